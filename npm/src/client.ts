/** The client: what a program makes once and calls everything on. */
import { Auth } from "./auth.js";
import { AuthStore, sessionOf } from "./authstore.js";
import { Batch } from "./batch.js";
import { Collection } from "./collection.js";
import type { ClientRef, Engine } from "./core/engine-api.js";
import { type ClientConfig, type Notice, Op } from "./core/ops.js";
import type { Platform } from "./core/platform.js";
import type { PicoBaseError } from "./error.js";
import { baseOf, Storage } from "./files.js";
import { filter, type Value } from "./filter.js";
import { type AnyOptions, optionsOf } from "./options.js";
import { Listeners } from "./listeners.js";
import { live, type LiveOptions, type LiveQuery, Realtime } from "./realtime.js";
import { type Backups, type Collections, type Crons, type Health, type Logs, service, type Settings, type Sql } from "./services.js";
import { peek, type StoreOption, storeOf } from "./stores.js";
import type { StoredSession } from "./token.js";
import type { CallOptions, RecordModel } from "./types.js";

/** How a client is set up. All times in milliseconds. */
export interface ClientOptions {
  /** How long a call may take, retries included; 30,000 by default, 0 for no limit. Set here it is as explicit as on the call. */
  timeout?: number | null | undefined;
  /** How long calls wait for a sleeping instance; 60,000 by default. */
  coldStartTimeout?: number | null | undefined;
  /** How long an upload or a download may stand still. */
  transferIdleTimeout?: number | null | undefined;
  /** How often a call is repeated at most. */
  maxRetries?: number | null | undefined;
  /** The language of the server's messages: the header Accept-Language. */
  acceptLanguage?: string | null | undefined;
  /** The collection that `client.auth` signs in to; `users` by default. */
  authCollection?: string | null | undefined;
  /** The server's version, `0.36.9` for example. Only servers before 0.39.9 need it: their filters have other escapes. */
  serverVersion?: string | null | undefined;
  /** Where the session is kept; localStorage in browsers, memory elsewhere. */
  store?: StoreOption | undefined;
  /** The key in localStorage; `pocketbase_auth` by default, as in PocketBase's SDK. */
  storageKey?: string | undefined;
  /** With these a service signs in by itself, when it first has to and when its session ends. Not for browsers. */
  credentials?: { identity: string; password: string; collection?: string | null | undefined } | null | undefined;
  /** When event streams are replaced, and how much is remembered. */
  realtime?: RealtimeOptions | null | undefined;
  /**
   * Called before each call; headers and query parameters that it returns are added. Synchronous. Where it throws, the call fails
   * with kind `Configuration` and is not sent.
   */
  beforeSend?:
    | ((call: SentCall) => {
        headers?: Record<string, string> | undefined;
        query?: Record<string, string | number | boolean | Date> | undefined;
      } | void)
    | null
    | undefined;
  /** Called when a call has ended, well or not. */
  afterSend?: ((report: CallReport) => void) | null | undefined;
  /** Sends the requests in place of the platform's own transport. */
  fetch?: typeof globalThis.fetch | undefined;
}

/** How realtime behaves. All times in milliseconds. */
export interface RealtimeOptions {
  /** A stream that is silent for so long is replaced; 270,000 by default. */
  liveness?: number | null | undefined;
  /** A stream is replaced at this age; 1,500,000 by default. */
  maxAge?: number | null | undefined;
  /** How long a stream that was replaced is heard; 500 by default. */
  overlap?: number | null | undefined;
  /** How long the stream stays when nobody listens any more. */
  linger?: number | null | undefined;
  /** Is what was missed fetched after a gap? true by default. */
  catchUp?: boolean | null | undefined;
  /** How far behind the last event catching up begins; 10,000 by default. */
  catchUpSkew?: number | null | undefined;
  /** Above so many missed records there is a `resync` in place of them. */
  catchUpMax?: number | null | undefined;
  /** Of how many records a topic remembers what was delivered. */
  trackedMax?: number | null | undefined;
  /** How many events wait for a slow listener before the oldest are dropped. */
  queueMax?: number | null | undefined;
}

/** What `beforeSend` is told. */
export interface SentCall {
  /** The endpoint's name: `records.get_list`. */
  endpoint: string;
  method: string;
  /** The headers that the caller gave. */
  headers: Record<string, string>;
}

/** What `afterSend` is told. */
export interface CallReport {
  /** The endpoint's name: `records.get_list`. */
  endpoint: string;
  method: string;
  /** The endpoint's path with its parameters unfilled. */
  path: string;
  /** The URL, its secrets taken out. */
  url: string;
  /** The status of the answer; 0 where there was none. */
  status: number;
  /** How many requests were sent. */
  attempts: number;
  /** How long it took, in milliseconds, waits included. */
  elapsed: number;
  /** Why it failed; null where it did not. */
  error: unknown;
}

/** Does the instance answer? `starting`: it wakes up and calls wait for it; `unreachable`: it did not wake up in time. */
export type InstanceState = "starting" | "ready" | "unreachable";

/** How `send` calls a route. */
export interface SendOptions extends CallOptions {
  /** GET by default. */
  method?: string | undefined;
  /**
   * JSON, a FormData, URLSearchParams, a Blob, or other bytes. Text goes as it is, as JSON where no `Content-Type` says what it is.
   */
  body?: unknown;
  /** May the call be repeated when its answer is lost? GET and HEAD always may. */
  safe?: boolean | undefined;
}

/** Names of collections and what their records look like. */
export interface AnySchema {
  [collection: string]: RecordModel;
}

const realtimeNames = ["liveness", "maxAge", "overlap", "linger", "catchUp", "catchUpSkew", "catchUpMax", "trackedMax", "queueMax"] as const;

/**
 * A client of one instance, with one session. Made by `createClient`; it can be used at once.
 *
 * `S` names the collections and what their records look like.
 *
 * ```ts
 * const client = createClient<{ posts: Post; users: User }>("https://my-app.picobase.com", "pk_…");
 * await client.auth.signIn("ada@example.com", "correct horse");
 * const { items } = await client.collection("posts").getList(1, 20, { sort: "-created" });
 * ```
 */
export class Client<S = AnySchema> {
  /** Signing in and out, and the session. */
  readonly auth: Auth;
  /** The session as PocketBase's SDK shows it: synchronous. */
  readonly authStore: AuthStore;
  /** File URLs, uploads, downloads. */
  readonly storage: Storage;
  /** Events of the server. */
  readonly realtime: Realtime;
  /** @internal */
  readonly engine: Engine;
  /** @internal */
  readonly ref: ClientRef;
  /** @internal */
  readonly platform: Platform;
  /** @internal Shared by the clients of a family. */
  readonly options: ClientOptions & { url: string | null };
  readonly #keys = new Map<string, AbortController>();
  readonly #states = new Listeners<[state: InstanceState]>();
  /**
   * Calls `listener` when this client's store fails and no call can say so: the session lives, but is not kept. Returns how to stop
   * that.
   *
   * ```ts
   * client.onStorageError((error) => console.warn(error.message));
   * ```
   */
  readonly onStorageError: (listener: (error: PicoBaseError) => unknown) => () => void;

  /** @internal */
  constructor(
    platform: Platform,
    engine: Engine,
    options: ClientOptions & { url: string | null },
    session: StoredSession | null,
    make: (listener: (notice: Notice) => void) => ClientRef,
  ) {
    this.platform = platform;
    this.engine = engine;
    this.options = options;
    this.authStore = new AuthStore(this, session);
    this.auth = new Auth(this, options.authCollection ?? "users");
    this.storage = new Storage(this);
    this.realtime = new Realtime(this);
    const failures = new Listeners<[error: PicoBaseError]>();
    this.onStorageError = failures.add;
    this.ref = make((told) => {
      if (told[0] == "state") this.#states.tell(told[1]);
      if (told[0] == "storage") failures.tell(told[1]);
      if (told[0] == "auth") this.authStore.heard(told[1], sessionOf(told[2]));
      if (told[0] == "realtime") this.realtime.heard(told[1]);
    });
  }

  /** The same as `storage`, under PocketBase's name. */
  get files(): Storage {
    return this.storage;
  }

  /** Collections and their schema, for superusers. */
  get collections(): Collections {
    return service(this, "collections");
  }

  /** The instance's settings, for superusers. */
  get settings(): Settings {
    return service(this, "settings");
  }

  /** Request logs, for superusers. */
  get logs(): Logs {
    return service(this, "logs");
  }

  /** Backups, for superusers. */
  get backups(): Backups {
    return service(this, "backups");
  }

  /** Scheduled jobs, for superusers. */
  get crons(): Crons {
    return service(this, "crons");
  }

  /** SQL, for superusers. */
  get sql(): Sql {
    return service(this, "sql");
  }

  /** Is the instance awake? */
  get health(): Health {
    return service(this, "health");
  }

  /** The URL as it was given; null where there is none yet. */
  get url(): string | null {
    return this.options.url;
  }

  /** The URL as calls use it: no slash at its end. Throws a PicoBaseError of kind `Configuration` where it is none. */
  get baseURL(): string {
    return baseOf(this.url);
  }

  /**
   * Sets another URL, for the whole family of clients. After the first call this ends streams, and where the origin is another
   * one the session too, unless `keepSession`.
   */
  async setUrl(url: string, { keepSession = false }: { keepSession?: boolean | undefined } = {}): Promise<void> {
    // One that is none never stands there: its failure would take away what another call has set meanwhile.
    baseOf(url);
    const before = this.url;
    this.options.url = url;
    try {
      await this.call(Op.SetUrl, [url, keepSession]);
    } catch (error) {
      this.options.url = before;
      throw error;
    }
  }

  /** The records of a collection, by its name in the schema. */
  collection<K extends keyof S & string>(name: K): Collection<S[K]>;
  /** The records of a collection, by name or id; `M` is what they look like. */
  collection<M = RecordModel>(name: string): Collection<M>;
  collection(name: string): Collection<any> {
    return new Collection(this, name);
  }

  /** Several writes in one request. */
  createBatch(): Batch {
    return new Batch(this);
  }

  /** The same as `createBatch`. */
  batch(): Batch {
    return this.createBatch();
  }

  /** A list that stays right: see {@link Collection.live}. */
  live<M = RecordModel>(collection: string, options?: LiveOptions): Promise<LiveQuery<M>> {
    return live(this, collection, options);
  }

  /** Puts values into the `{:name}` placeholders of a filter; see {@link filter}. */
  filter(template: string, params?: Record<string, Value>): string {
    return filter(template, params, this.options.serverVersion);
  }

  /**
   * Calls any other route of the instance.
   *
   * ```ts
   * await client.send("/api/hello", { method: "POST", body: { name: "Ada" } });
   * ```
   */
  send<T = any>(path: string, { method = "GET", body, safe = false, ...options }: SendOptions = {}): Promise<T> {
    // Text is no JSON string: who writes JSON with JSON.stringify means what it says.
    const form = body instanceof URLSearchParams && "x-www-form-urlencoded;charset=UTF-8";
    const content = form || typeof body == "string" ? new Blob([`${body}`], { type: `application/${form || "json"}` }) : body;
    return this.call(Op.Send, [method, path, content, safe], options);
  }

  /** Calls the function `name` of the instance: POST `/api/rpc/{name}`. */
  rpc<T = any>(name: string, data?: unknown, options?: CallOptions): Promise<T> {
    return this.call(Op.Rpc, [name, data ?? null], options);
  }

  /**
   * A client with a session of its own, on the same connections: for a server that answers many users. It begins with a
   * token, a session, what a store holds, or with nobody (null).
   *
   * ```ts
   * const visitor = client.withSession(fromCookies(request.headers.get("cookie")));
   * ```
   */
  withSession(source: string | SessionLike | Exclude<StoreOption, string> | null): Client<S> {
    const given = typeof source == "string" ? { token: source } : source;
    const { token, record = null } = given && "token" in given ? (given as SessionLike) : {};
    const session = token ? { token, record } : null;
    const store = given && !("token" in given) ? storeOf(given, this.platform) : null;
    return new Client(this.platform, this.engine, this.options, session, (listener) =>
      this.engine.withSession(this.ref, session ?? { store }, listener),
    );
  }

  /** Tells when the instance wakes up, is awake, or cannot be reached. Returns how to stop that. */
  onState(listener: (state: InstanceState) => void): () => void {
    return this.#states.add(listener);
  }

  /** Cancels the call of this `requestKey` if it is still under way. */
  cancelRequest(requestKey: string): void {
    this.#keys.get(requestKey)?.abort();
  }

  /** Ends the client: its stream, and its calls, which fail as `Cancelled`. */
  close(): void {
    this.authStore.close();
    this.realtime.close();
    this.engine.close(this.ref);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** What may be shown: no key, no token. */
  toJSON(): object {
    return { url: this.url };
  }

  /** @internal What Node prints. */
  [Symbol.for("nodejs.util.inspect.custom")](): object {
    return this.toJSON();
  }

  /** @internal */
  post(op: Op, args: unknown[]): void {
    this.engine.post(op, this.ref, args);
  }

  /** @internal */
  async call<T>(op: Op, args: unknown[], options?: AnyOptions): Promise<T> {
    const given = options && optionsOf(options);
    const key = options?.requestKey;
    let mine: AbortController | undefined;
    if (given && key != null) {
      this.cancelRequest(key);
      this.#keys.set(key, (mine = new AbortController()));
      given.signal = given.signal ? AbortSignal.any([given.signal, mine.signal]) : mine.signal;
    }
    try {
      return await this.engine.call<T>(op, this.ref, args, given);
    } catch (error) {
      // It was made where answers come in; here engines know who waits for it: a line of the program's.
      (Error as any).captureStackTrace?.(error);
      throw error;
    } finally {
      if (mine && this.#keys.get(key!) == mine) this.#keys.delete(key!);
    }
  }
}

/** What a session may begin with: what cookies held, another client's `authStore`, or a token alone. */
export interface SessionLike {
  token: string;
  record?: any;
}

/**
 * A new client of a platform.
 *
 * @internal
 */
export function open(
  platform: Platform,
  engine: Engine,
  url: string | URL | null | undefined,
  key: string | null | undefined,
  options: ClientOptions,
): Client<any> {
  const env = url == null ? (globalThis as any).process?.env : undefined;
  const { credentials, realtime, ...rest } = options;
  const shared = { ...rest, url: url != null ? `${url}` : (env?.PICOBASE_URL ?? null) };
  const store = storeOf(options.store, platform, options.storageKey);
  const config = {
    ...shared,
    key: key ?? env?.PICOBASE_API_KEY ?? null,
    store,
    credentials: credentials && [credentials.identity, credentials.password, credentials.collection ?? null],
    realtime: realtime && realtimeNames.map((name) => realtime[name] ?? null),
  } as unknown as ClientConfig;
  const initial = peek(options.store, store, options.storageKey);
  const client = new Client(platform, engine, shared, initial, (listener) => engine.client(config, listener));
  if (store) client.authStore.follow(options.storageKey);
  return client;
}

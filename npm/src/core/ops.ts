/**
 * What the module can be asked to do. The numbers are those of `bindings-wasm/src/ops.rs`; `cargo xtask check` compares
 * the two. A call is `engine.call(Op.X, client, [arguments], options)`; the arguments stand in the comments, then what it
 * answers. Values cross as {@link Value}s: strings, numbers, booleans, null, dates and lists by value, everything
 * else (records, files, streams, functions) as an opaque handle that the module passes on and never looks into.
 */
import type { PicoBaseError } from "../error.js";

export const enum Op {
  // Clients. Synchronous once the module is there.
  /** [config: ClientConfig] → number of the client */
  ClientNew = 1,
  /** [token | null, record | null, store: Store | null] → number of a client with a session of its own (client: its parent).
   * With a store the session is loaded from it; else the token (and record) are its session; without both it is a guest. */
  WithSession = 2,
  /** [] The client is closed: its stream ends, its calls fail as Cancelled. */
  Close = 3,

  // Calls. filter, sort, expand, fields and the rest stand in options.query.
  /** [row, [path parameters in the order of the row's path], body | null, kind: 0 JSON | 1 nothing] → JSON or undefined.
   * Any row of the endpoint table that needs no more than itself (see rows.ts). */
  Row = 10,
  /** [method, path, body: undefined (none) | JSON value | Blob/ArrayBuffer/FormData…, safe: boolean] → JSON, or null for an empty answer */
  Send = 11,
  /** [name, data] → JSON */
  Rpc = 12,
  /** [] → the token that opens protected files (cached) */
  FileToken = 15,

  // The session. `collection` is the auth collection; null for the client's own.
  /** [collection, identity, password, mfaId | null, identityField | null] → Session */
  SignIn = 17,
  /** [collection] → Session */
  Refresh = 18,
  /** [] → undefined */
  SignOut = 19,
  /** [token, record | null] → undefined. Takes a session as it is (SIGNED_IN). */
  SetSession = 20,
  /** [] → Session | null, when the first load is done. Also starts that load. */
  Ready = 21,
  /** [] → undefined. The store was changed by somebody else (another tab): takes over what stands there now. */
  SyncSession = 22,

  // Records, one by one.
  /** [collection, filter] → record */
  GetFirst = 24,
  /** [collection, body, files: FilePart[], safeRetry, progress | null] → record */
  Create = 26,
  /** [collection, id, body, files: FilePart[], safeRetry, progress | null] → record */
  Update = 27,
  /** [collection, id] → undefined */
  Delete = 28,

  // What few pages need at once is in a second module, which loads at the first of these.
  /** [url, keepSession] → undefined */
  SetUrl = 30,
  /** [row, [path parameters], protected: boolean] → Download. Body as a stream: files.download (49), backups.download (43). */
  Download = 31,
  /** [file: FilePart] → undefined. Upload of a backup. */
  BackupUpload = 32,
  /** [collection, batchSize | null] → records */
  GetFullList = 33,
  /** [collection, batchSize | null] → number of a walk; pull it with WalkNext, end it with WalkEnd */
  Walk = 34,
  /** [walk] → records of the next page, or null at the end */
  WalkNext = 35,
  /** [walk] ends it. Synchronous. */
  WalkEnd = 36,
  /** [collection, ids] → [records, missing ids] */
  GetMany = 37,
  /** [requests: [op: "create" | "update" | "upsert" | "delete", collection, id | null, body | null, files: FilePart[], query: Pairs, headers: Pairs][],
   *  chunk: null (one atomic request) | 0 (chunks of the server's limit) | n (chunks of n)]
   *  → [results: [status, body][], error | null]: with chunks the results until the first chunk that failed, and its error */
  Batch = 38,
  /** [collection, email, password, data | null] → Session, or null where verification must come first */
  SignUp = 41,
  /** [collection, otpId, password, mfaId | null] → Session */
  SignInOtp = 42,
  /** [collection, provider, redirectUrl] → [url, state, saved: what finishes it on another client] */
  BeginOAuth2 = 43,
  /** [collection, saved | null, code, state, createData | null, mfaId | null] → Session. Without state `code` is the whole callback URL. */
  FinishOAuth2 = 44,
  /** [collection] → undefined, when a refresh that began beside a call is done, or took too long. */
  Settled = 45,
  /** [collection, token] → undefined */
  ConfirmVerification = 51,
  /** [collection, token, password] → undefined */
  ConfirmReset = 52,
  /** [collection, token, password] → undefined */
  ConfirmEmailChange = 53,
  /** [collection, id] → records of _externalAuths */
  ExternalAuths = 54,
  /** [collection, id, provider] → undefined */
  UnlinkExternalAuth = 55,

  // Realtime is in a third module, which loads at the first of these.
  /** [collection, provider, scopes, createData | null, mfaId | null, timeout ms | null]; event: url to open → Session */
  OAuth2AllInOne = 69,
  /** [topic, collection | null, queueMax | null]; with a collection the topic is a record's id or `*`; options.query and options.headers are the topic's; events: {@link Event} → number of the listener, once the server has acknowledged */
  Subscribe = 70,
  /** [listener] ends it. Synchronous. */
  Unsubscribe = 71,
  /** [topic | null, collection | null] ends all of that topic, which is a record's id or `*` where there is a collection; without topic, all. Synchronous. */
  UnsubscribeTopic = 72,
  /** [prefix] Synchronous. */
  UnsubscribePrefix = 73,
  /** [collection, limit | null, recheck ms | null], filter, sort, expand, fields in options.query; events: {@link LiveEvent} → number of the live query, once its snapshot is there */
  Live = 74,
  /** [live query] ends it. Synchronous. */
  LiveEnd = 75,
  /** ["online" | "hidden" | "visible"] Synchronous. */
  Hint = 76,
}

/** Names and values, one behind the other: [name, value, name, value, …]. null and undefined values are left out. */
export type Pairs = unknown[];

/** A file of an upload: field, file name or null, content type or null, and the Blob, Uint8Array, ReadableStream … itself. */
export type FilePart = [field: string, filename: string | null, type: string | null, data: unknown];

/** What a call may be given beside its arguments. */
export interface Options {
  /** Milliseconds, waits and retries included; 0 or Infinity: none. */
  timeout?: number;
  headers?: Pairs;
  query?: Pairs;
  signal?: AbortSignal;
  /** Called for each event of an operation that has some, in order. */
  onEvent?: (event: any) => void;
}

/** A session as the module tells it. `expires`: Unix milliseconds, null where the token does not say; `meta`: what an OAuth2 provider said. */
export type Session = [token: string, record: any, expires: number | null, meta?: any];

/** A download's answer; `body` is the platform's own stream. */
export type Download = { status: number; size: number | null; type: string | null; body: ReadableStream<Uint8Array> };

/** An event of a subscription. */
export type Event =
  | [kind: "record", action: "create" | "update" | "delete", origin: "live" | "catchup", topic: string, record: any]
  | [kind: "message", topic: string, data: any]
  | [kind: "resync", reason: string]
  | [kind: "lagged", missed: number]
  | [kind: "error", error: unknown]
  | [kind: "end"];

/** An event of a live query. */
export type LiveEvent =
  | [kind: "snapshot", records: any[]]
  | [kind: "enter", index: number, id: string, record: any]
  | [kind: "change", index: number, id: string, record: any]
  | [kind: "leave", index: number, id: string]
  | [kind: "move", from: number, to: number, id: string]
  | [kind: "error", error: unknown]
  | [kind: "end"];

/** Where a session is kept, as the module uses it: text of `{"token": …, "record": …}`. Any of them may be asynchronous. */
export interface SessionStore {
  load(): string | null | Promise<string | null>;
  save(session: string): void | Promise<void>;
  clear(): void | Promise<void>;
}

/** How a client is set up. Times in milliseconds; what is null or missing has the core's default. */
export interface ClientConfig {
  url: string | null;
  key: string | null;
  acceptLanguage: string | null;
  authCollection: string | null;
  serverVersion: string | null;
  timeout: number | null;
  coldStartTimeout: number | null;
  transferIdleTimeout: number | null;
  maxRetries: number | null;
  store: SessionStore | null;
  credentials: [identity: string, password: string, collection: string | null] | null;
  /** liveness, maxAge, overlap, linger, catchUp, catchUpSkew, catchUpMax, trackedMax, queueMax */
  realtime: [number | null, number | null, number | null, number | null, boolean | null, number | null, number | null, number | null, number | null] | null;
  /** Called before each call; what it returns (or what it changed) is sent. Synchronous. */
  beforeSend: ((call: { endpoint: string; method: string; headers: Record<string, string> }) => { headers?: Record<string, string>; query?: Record<string, unknown> } | void) | null;
  /** Called when a call has ended. */
  afterSend: ((report: { endpoint: string; method: string; path: string; url: string; status: number; attempts: number; elapsed: number; error: unknown }) => void) | null;
}

/** What a client tells on its own (the engine's `listen`). */
export type Notice =
  | [kind: "auth", event: "INITIAL_SESSION" | "SIGNED_IN" | "SIGNED_OUT" | "TOKEN_REFRESHED" | "USER_UPDATED" | "SESSION_EXPIRED", session: Session | null]
  | [kind: "state", state: "starting" | "ready" | "unreachable"]
  | [kind: "realtime", state: string]
  | [kind: "storage", error: PicoBaseError];

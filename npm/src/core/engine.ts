/**
 * The module behind a family of clients: loads it, starts operations, performs its effects, and gives back what becomes
 * of them.
 *
 * The module is never entered while it runs: what it asks for is noted and done when it has returned.
 */
import { type ErrorParts, PicoBaseError } from "../error.js";
import type { ClientRef, Engine } from "./engine-api.js";
import { Body, Handles, isStream, JsonText, read, textOf, Tracked, Writer } from "./frame.js";
import { type ClientConfig, type Notice, Op, type Options, type SessionStore } from "./ops.js";
import { Form, type HttpRequest, type Platform, type Transport, TransportFailure } from "./platform.js";

/** Time and chance, which tests replace. */
export interface World {
  now(): number;
  uptime(): number;
  setTimeout(then: () => void, ms: number): unknown;
  clearTimeout(timer: any): void;
  random(bytes: Uint8Array): void;
}

const world: World = {
  now: () => Date.now(),
  uptime: () => performance.now(),
  setTimeout: (then, ms) => setTimeout(then, ms),
  clearTimeout: (timer) => clearTimeout(timer),
  random: (bytes) => crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>),
};

interface Exports {
  memory: WebAssembly.Memory;
  reserve(length: number): number;
  start(op: number, id: number, client: number, ptr: number, length: number): void;
  start_more: Exports["start"];
  start_realtime: Exports["start"];
  complete(id: number, ptr: number, length: number): void;
  progress(id: number, bytes: number): void;
  cancel(id: number): void;
  alive(): number;
}

/** A client, from this side. */
interface Ref extends ClientRef {
  /** What waits for it to be there; none once it is. */
  queue?: ((error?: unknown) => void)[];
  /** Why it will never be there. */
  error?: unknown;
  listener: (notice: Notice) => void;
  afterCall?: ClientConfig["afterCall"];
}

/** An operation that runs, or that still has events. */
interface Running {
  op: Op;
  ref: Ref;
  resolve(value: any): void;
  reject(error: unknown): void;
  onEvent?: (event: any) => void;
  /** The number of the listener or live query that came of it. */
  listener?: number;
}

/** The longest delay that timers take. */
const longest = 2 ** 31 - 1;
/** How long is waited for the body of an error. */
const errorBody = 5000;
/** What the module wants to know of the head of an answer. */
const heads = ["retry-after", "location", "content-length", "content-type"];
/** How often an upload that nobody can watch counts as being under way. */
const blindTick = 5000;

const cancelled = (cause?: unknown) =>
  new PicoBaseError({ kind: "Cancelled", message: "the call was cancelled", fix: "Nothing: the caller cancelled.", cause });

/** The operations that know no timeout themselves. */
const untimed = new Set<Op>([
  Op.SetUrl, Op.FileToken, Op.WalkNext, Op.SignUp, Op.BeginOAuth2, Op.FinishOAuth2, Op.Refresh,
  Op.SignOut, Op.SetSession, Op.ExternalAuths, Op.UnlinkExternalAuth, Op.Ready, Op.SyncSession,
]);

/** The modules, in the order in which they are loaded, and what starts an operation in each. */
const modules = ["core", "more", "realtime"] as const;
const starts = ["start", "start_more", "start_realtime"] as const;
const moduleOf = (op: Op) => (op < Op.SetUrl ? 0 : op < Op.OAuth2AllInOne ? 1 : 2);

/** An error as the module writes it. */
function errorOf(list: any): PicoBaseError {
  const [kind, message, fix, status, code, url, attempts, retryAfter, mfaId, body, item, maybeCreated, fields] = list;
  return new PicoBaseError({
    kind, message, fix, status, code, url, attempts, retryAfter, mfaId, body, item, maybeCreated,
    fields: Object.fromEntries(fields.map(([name, code, message, params]: any) => [name, { code, message, params }])),
  } as ErrorParts);
}

/** A listener's own mistake is told where uncaught errors are, and harms nobody else. */
function safely(then: () => void): void {
  try {
    then();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

class WasmEngine implements Engine {
  readonly #platform: Platform;
  readonly #world: World;
  readonly #transport: Transport;
  readonly #watches: boolean;
  readonly #blind: boolean;
  readonly #handles = new Handles();
  readonly #writer = new Writer(this.#handles);
  readonly #running = new Map<number, Running>();
  readonly #effects = new Map<number, () => void>();
  readonly #refs = new Set<Ref>();
  #exports?: Exports;
  #loading: (Promise<void> | undefined)[] = [];
  #last = 0;
  #depth = 0;
  #doing = false;
  #later: (() => void)[] = [];

  constructor(platform: Platform, fetch: typeof globalThis.fetch | undefined, given: World) {
    this.#platform = platform;
    this.#world = given;
    this.#transport = platform.transport(fetch);
    this.#watches = !fetch && !!platform.watches;
    this.#blind = platform.isBrowser && (!!fetch || !!platform.blind);
  }

  // What the facade calls.

  client(config: ClientConfig, listener: (notice: Notice) => void): ClientRef {
    const { beforeCall, afterCall } = config;
    const ref: Ref = { id: 0, queue: [], listener, afterCall };
    const before = beforeCall && ((endpoint: string, method: string, pairs: string[]) => {
      const headers: Record<string, string> = {};
      for (let i = 0; i < pairs.length; i += 2) headers[pairs[i]!] = pairs[i + 1]!;
      const added = beforeCall({ endpoint, method, headers });
      return [Object.entries({ ...headers, ...added?.headers }).flat(), Object.entries(added?.query ?? {}).flat()];
    });
    const args = [
      config.url, config.key, config.acceptLanguage, config.authCollection, config.serverVersion, config.timeout,
      config.coldStartTimeout, config.transferIdleTimeout, config.maxRetries, config.store, config.credentials,
      config.realtime, before, !!afterCall, this.#platform.isBrowser,
    ];
    const made = this.#load(0).then(() => this.#make(ref, Op.ClientNew, 0, args));
    made.catch((error) => this.#settle(ref, error));
    this.#refs.add(ref);
    return ref;
  }

  withSession(parent: ClientRef, { token = null, record = null, store = null }: { token?: string | null; record?: unknown; store?: SessionStore | null }, listener: (notice: Notice) => void): ClientRef {
    const ref: Ref = { id: 0, queue: [], listener };
    this.#when(parent as Ref, (error) => {
      if (error) return this.#settle(ref, error);
      // The number comes before the client is there: its first notice needs it.
      this.#make(ref, Op.WithSession, parent.id, [token, record, store]).catch((error) => this.#settle(ref, error));
    });
    this.#refs.add(ref);
    return ref;
  }

  ready(client: ClientRef): Promise<void> {
    return new Promise((resolve, reject) => this.#when(client as Ref, (error) => (error ? reject(error) : resolve())));
  }

  call<T>(op: Op, client: ClientRef, args: unknown[], options: Options = {}): Promise<T> {
    const ref = client as Ref;
    const { signal, timeout } = options;
    const id = ++this.#last;
    args = watched(op, args);
    return new Promise<T>((resolve, reject) => {
      const running: Running = { op, ref, onEvent: options.onEvent, resolve, reject };
      const timed = timeout && untimed.has(op) && timeout < longest;
      if (signal || timed) {
        let timer: unknown;
        const over = () => {
          signal?.removeEventListener("abort", abort);
          if (timer) this.#world.clearTimeout(timer);
        };
        const end = (error: PicoBaseError) => {
          over();
          // Told at once, also where it has not begun.
          if (this.#running.delete(id) && this.#exports && ref.id) this.#enter((module) => module.cancel(id));
          reject(error);
        };
        const abort = () => end(cancelled(signal!.reason));
        if (signal?.aborted) return abort();
        signal?.addEventListener("abort", abort);
        if (timed) {
          timer = this.#world.setTimeout(() => end(new PicoBaseError({
            kind: "Timeout", message: "the deadline passed", fix: "Try again, or give the call more time with `timeout`.",
          })), timeout);
        }
        running.resolve = (value) => (over(), resolve(value));
        running.reject = (error) => (over(), reject(error));
      }
      this.#running.set(id, running);
      this.#when(ref, (error) => {
        if (!error) this.#start(op, id, ref, args, options);
        else if (this.#running.delete(id)) running.reject(error);
      });
    });
  }

  post(op: Op, client: ClientRef, args: unknown[]): void {
    const ref = client as Ref;
    // What has no module yet has nothing to end either.
    const part = moduleOf(op);
    if (part && !this.#loading[part]) return;
    this.#when(ref, (error) => {
      if (error) return;
      if (op == Op.Unsubscribe || op == Op.LiveEnd) {
        for (const [id, running] of this.#running) if (running.listener == args[0]) this.#running.delete(id);
      }
      this.#start(op, 0, ref, args, {});
    });
  }

  close(client: ClientRef): void {
    const ref = client as Ref;
    this.#refs.delete(ref);
    for (const [id, running] of this.#running) {
      if (running.ref != ref) continue;
      this.#running.delete(id);
      if (this.#exports) this.#enter((module) => module.cancel(running.listener ?? id));
      running.reject(cancelled());
    }
    this.post(Op.Close, client, []);
    if (!this.#refs.size) this.#platform.close?.();
  }

  /** What is under way, for tests that look for leaks. */
  stats(): { operations: number; effects: number; handles: number; alive: number; memory: number } {
    const module = this.#exports;
    return {
      operations: this.#running.size,
      effects: this.#effects.size,
      handles: this.#handles.size,
      alive: module ? module.alive() : 0,
      memory: module ? module.memory.buffer.byteLength : 0,
    };
  }

  // The module.

  /** Loads a module and those below it; where that fails the next operation may try again. */
  #load(part: number): Promise<void> {
    return (this.#loading[part] ??= this.#instance(part).catch((error) => {
      this.#loading[part] = undefined;
      throw error;
    }));
  }

  /** All share the memory and the functions of the first. */
  async #instance(part: number): Promise<void> {
    if (part) await this.#load(part - 1);
    const core = this.#exports;
    // Where it was not divided.
    if (core && starts[part]! in core) return;
    try {
      const module = await this.#platform.module(modules[part]!);
      const { exports } = await WebAssembly.instantiate(module, { pb: this.#imports(), core: { ...core } });
      this.#exports = { ...core, ...exports } as unknown as Exports;
    } catch (cause: any) {
      throw new PicoBaseError({
        kind: "Configuration",
        message: `the WebAssembly module cannot be loaded: ${cause?.message ?? cause}`,
        fix: "See that the .wasm files are served beside the script and that the page's Content-Security-Policy allows 'wasm-unsafe-eval', or import from \"@picobase/client/inline\".",
        cause,
      });
    }
  }

  /** Makes a client in the module, and does what waited for it. */
  async #make(ref: Ref, op: Op, parent: number, args: unknown[]): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const id = ++this.#last;
      this.#running.set(id, { op, ref, resolve: (made) => ((ref.id = made), this.#settle(ref), resolve()), reject });
      this.#start(op, id, { id: parent } as Ref, args, {});
    });
  }

  #settle(ref: Ref, error?: unknown): void {
    const queue = ref.queue ?? [];
    ref.queue = undefined;
    ref.error = error;
    for (const then of queue) then(error);
  }

  /** Calls `then` when the client is there: at once, if it is. */
  #when(ref: Ref, then: (error?: unknown) => void): void {
    if (ref.queue) ref.queue.push(then);
    else then(ref.error);
  }

  #start(op: Op, id: number, ref: Ref, args: unknown[], { timeout, headers, query }: Options): void {
    const start = starts[moduleOf(op)]!;
    if (!(start in this.#exports!)) {
      this.#load(moduleOf(op)).then(() => this.#start(op, id, ref, args, { timeout, headers, query }), (error) => {
        this.#running.get(id)?.reject(error);
        this.#running.delete(id);
      });
      return;
    }
    this.#enter((module) => {
      // Ended while it waited for its turn.
      if (id && !this.#running.has(id)) return;
      const limit = timeout == null ? null : timeout == Infinity ? 0 : Math.max(0, Math.round(timeout));
      const writer = this.#writer.begin();
      writer.put(limit);
      writer.put(headers);
      writer.put(query);
      for (const value of args) writer.put(value);
      module[start](op, id, ref.id, this.#write(writer), writer.length);
    });
  }

  /** Enters the module, and then does what it asked for; later, if it is running. */
  #enter(then: (module: Exports) => void): void {
    if (this.#depth) {
      this.#later.push(() => this.#enter(then));
      return;
    }
    this.#depth++;
    try {
      then(this.#exports!);
    } catch (cause) {
      this.#broken(cause);
    } finally {
      this.#depth--;
    }
    // In the order in which it was told, also where one of it enters again.
    if (this.#doing) return;
    this.#doing = true;
    for (const next of this.#later) safely(next);
    this.#later = [];
    this.#doing = false;
  }

  /** The module has failed, which it never should: nothing of it can be used any more. */
  #broken(cause: unknown): void {
    const error = new PicoBaseError({
      kind: "Configuration",
      message: "the WebAssembly module failed",
      fix: "Make a new client, and report this with what led to it.",
      cause,
    });
    for (const ref of this.#refs) this.#settle(ref, error);
    for (const running of this.#running.values()) this.#later.push(() => running.reject(error));
    this.#running.clear();
  }

  /** Puts what was written into memory of the module. */
  #write({ bytes, length }: Writer): number {
    const ptr = this.#exports!.reserve(length);
    this.#memory(ptr, length).set(bytes.subarray(0, length));
    return ptr;
  }

  #bytes = new Uint8Array();

  #memory(ptr: number, length: number): Uint8Array {
    // Memory that grows is another buffer, and the old one is empty.
    if (!this.#bytes.length) this.#bytes = new Uint8Array(this.#exports!.memory.buffer);
    return this.#bytes.subarray(ptr, ptr + length);
  }

  #imports(): WebAssembly.ModuleImports {
    const given = this.#world;
    return {
      now: given.now,
      uptime: given.uptime,
      random: (ptr: number, length: number) => {
        // Not into the module's memory at once: it may be shared.
        const bytes = new Uint8Array(length);
        given.random(bytes);
        this.#memory(ptr, length).set(bytes);
      },
      effect: (kind: number, id: number, ptr: number, length: number) => {
        const args = read(this.#memory(ptr, length), this.#handles);
        let ended = false;
        this.#effects.set(id, () => (ended = true));
        this.#later.push(() => ended || this.#perform(kind, id, args));
      },
      abort: (id: number) => {
        const stop = this.#effects.get(id);
        this.#effects.delete(id);
        if (stop) this.#later.push(stop);
      },
      tell: (what: number, id: number, ptr: number, length: number) => {
        const told = this.#told(what, id, ptr, length);
        this.#later.push(told);
      },
      ask: (question: number, handle: number, ptr: number, length: number) => this.#answer(question, handle, ptr, length),
      release: (handle: number) => this.#handles.release(handle),
    };
  }

  /** What the module tells, as what is to be done about it. Read now, done later. */
  #told(what: number, id: number, ptr: number, length: number): () => void {
    const bytes = this.#memory(ptr, length);
    if (what == 3) {
      const [kind, ...rest] = read(bytes, this.#handles);
      return () => {
        for (const ref of this.#refs) {
          // The state of the instance is that of the family.
          if (ref.id == id || kind == "state") this.#notice(ref, kind, rest);
        }
      };
    }
    let value: any;
    try {
      value = read(bytes, this.#handles)[0];
    } catch (cause) {
      value = new PicoBaseError({ kind: "Decode", message: "the answer is not JSON", fix: "Check what the server sends.", cause });
    }
    if (value instanceof Array && value[3] instanceof Body) value[3].taken = true;
    return () => this.#ended(what, id, value);
  }

  #ended(what: number, id: number, value: any): void {
    const running = this.#running.get(id);
    if (!running) {
      // Acknowledged just when the caller stopped waiting.
      if (what == 0 && typeof value == "number") this.#drop(value);
      return;
    }
    if (what == 2) {
      if (value[0] == "end") this.#running.delete(id);
      if (value[0] == "error") value[1] = errorOf(value[1]);
      running.onEvent?.(value);
      return;
    }
    const stays = what == 0 && (running.op == Op.Subscribe || running.op == Op.Live);
    if (stays) running.listener = value;
    else this.#running.delete(id);
    if (value instanceof PicoBaseError) running.reject(value);
    else if (what) running.reject(errorOf(value));
    else running.resolve(running.op == Op.Batch ? [value[0], value[1] && errorOf(value[1])] : running.op == Op.Download ? download(value) : value ?? (running.op == Op.Send || running.op == Op.WalkNext ? null : value));
  }

  /** Ends a listener that nobody knows of. */
  #drop(job: number): void {
    if (job >= 2 ** 31) this.#enter((module) => module.cancel(job));
  }

  #notice(ref: Ref, kind: string, rest: any[]): void {
    if (kind == "call") {
      const [endpoint, method, path, url, status, attempts, elapsed, error] = rest[0];
      ref.afterCall?.({ endpoint, method, path, url, status, attempts, elapsed, error: error && errorOf(error) });
      return;
    }
    if (kind == "storage") rest = [errorOf(rest[0])];
    ref.listener([kind, ...rest] as unknown as Notice);
  }

  /** Answers what the module asks about a value. */
  #answer(question: number, handle: number, ptr: number, length: number): number {
    const value = this.#handles.get(handle);
    const about = this.#memory(ptr, length);
    const writer = new Writer(this.#handles);
    if (question == 0) {
      const name = textOf(about);
      if (!Object.hasOwn(value, name) || value[name] === undefined) return 0;
      writer.put(value[name], true);
    } else if (question == 1) {
      if (!Array.isArray(value)) return 0;
      writer.list(value, true);
    } else if (question == 2) {
      writer.list(Object.entries(value).filter(([, member]) => member !== undefined).flat(), true);
    } else if (question == 3) {
      writer.put(JSON.stringify(value));
    } else {
      try {
        for (const result of value(...read(about, this.#handles))) writer.put(result);
      } catch (error) {
        safely(() => {
          throw error;
        });
        return 0;
      }
    }
    const at = this.#exports!.reserve(writer.length + 4);
    const memory = this.#memory(at, writer.length + 4);
    for (let i = 0; i < 4; i++) memory[i] = writer.length >>> (8 * i);
    memory.set(writer.bytes.subarray(0, writer.length), 4);
    return at;
  }

  // Effects.

  #perform(kind: number, id: number, args: any[]): void {
    if (kind == 1) {
      const given = this.#world;
      const ms = Math.min(args[0], longest);
      const due = given.uptime() + ms;
      const wait = (ms: number) => {
        const timer = given.setTimeout(() => {
          // Timers may go off a little early; the module counts on it that they do not.
          const left = due - given.uptime();
          if (left > 0) wait(left);
          else this.#complete(id);
        }, ms);
        this.#effects.set(id, () => given.clearTimeout(timer));
      };
      wait(ms);
    } else if (kind == 0) void this.#fetch(id, args);
    else {
      const work = kind == 2 ? this.#read(args[0]) : kind == 3 ? sha256(args[0]) : store(args);
      void work.then((put) => this.#complete(id, put));
    }
  }

  /** An effect is done; nothing happens where nobody waits for it any more. */
  #complete(id: number, put?: (writer: Writer) => void): void {
    if (!this.#effects.delete(id)) return;
    this.#enter((module) => {
      const writer = this.#writer.begin();
      put?.(writer);
      module.complete(id, this.#write(writer), writer.length);
    });
  }

  async #fetch(id: number, [method, url, headers, reading, body]: any[]): Promise<void> {
    const abort = this.#transport.controller?.() ?? new AbortController();
    const stop = () => abort.abort();
    this.#effects.set(id, stop);
    let tick: any;
    let put: (writer: Writer) => void;
    try {
      const request: HttpRequest = { method, url, headers, body: bodyOf(body), signal: abort.signal };
      if (body?.[1] || body?.[2]) tick = this.#watch(id, request, body);
      const response = await this.#transport(request);
      const { status } = response;
      const head: string[] = [];
      for (const name of heads) {
        const value = response.header(name);
        if (value != null) head.push(name, value);
      }
      let answer: (writer: Writer) => void;
      if (reading == 2 && status < 300) {
        const stream = new Body(response.stream(), stop);
        answer = (writer) => writer.put(stream);
      } else {
        const text = response.text();
        answer = valueOf(status < 300 ? await text : await this.#soon(text), !reading && status < 300);
      }
      put = (writer) => {
        writer.put(status);
        writer.put(head);
        answer(writer);
      };
    } catch (error: any) {
      const failure = error instanceof TransportFailure ? error.failure : "broken";
      put = (writer) => {
        for (const value of [null, failure, `${error?.message ?? error}`]) writer.put(value);
      };
    }
    if (tick) clearInterval(tick);
    this.#complete(id, put);
  }

  /** Tells the module, and who wants to know, how an upload goes out. Where nobody can see it a timer says that it does. */
  #watch(id: number, request: HttpRequest, body: any[]): any {
    const tracked = trackedOf(body);
    const note = (sent: number) => this.#effects.has(id) && this.#exports!.progress(id, sent);
    let ticks = 0;
    // Of a stream that was begun nothing may be sent again: what is left of it would pass for the whole.
    const once = [body[2], ...(body[1] ?? []).map((file: any) => file[3])].some((data) => data && isStream(untracked(data)));
    if (this.#watches || (tracked && !this.#blind) || (once && !this.#platform.isBrowser)) {
      request.onProgress = (sent, total) => note(sent) !== false && safely(() => tracked?.(sent, total));
      return;
    }
    // Pages read a stream to its end before they send it.
    if (once) note(++ticks);
    return setInterval(() => note(++ticks), blindTick);
  }

  /** The body of an error: one that breaks off, or does not end, is still that error. */
  #soon(text: Promise<string>): Promise<string> {
    return new Promise((resolve) => {
      const timer = this.#world.setTimeout(() => resolve(""), errorBody);
      text.catch(() => "").then((text) => {
        this.#world.clearTimeout(timer);
        resolve(text.slice(0, 2 ** 20));
      });
    });
  }

  async #read(body: Body): Promise<(writer: Writer) => void> {
    try {
      const { value } = await (body.reader ??= body.stream.getReader()).read();
      return (writer) => (value ? writer.raw(value) : writer.put(null));
    } catch (error: any) {
      return (writer) => writer.put(`${error?.message ?? error}`);
    }
  }
}

const download = ([status, size, type, body]: any) => ({ status, size, type, body: body.stream });

/** The body of an answer: an object is a handle, other JSON text, what is no JSON the bytes. */
function valueOf(text: string, json: boolean): (writer: Writer) => void {
  if (!text) return (writer) => writer.put(null);
  if (!json) return (writer) => writer.put(text);
  try {
    const value = JSON.parse(text);
    if (value && typeof value == "object") return (writer) => writer.put(value, true);
    return (writer) => writer.put(new JsonText(text));
  } catch {
    return (writer) => writer.raw(new TextEncoder().encode(text));
  }
}

const untracked = (data: any) => (data instanceof Tracked ? data.data : data);
const jsonOf = (json: any) => (typeof json == "string" ? json : JSON.stringify(json));

/** A body as the module wrote it: JSON alone, and files if there are some; or a source alone. */
function bodyOf(body: any): HttpRequest["body"] {
  if (!body) return undefined;
  const [json, files, raw] = body;
  if (raw) return { raw: untracked(raw) };
  if (!files) return jsonOf(json);
  return new Form(json && jsonOf(json), files.map(([field, name, type, data]: any) => [field, name, type, untracked(data)]));
}

/** The arguments, the first file of an upload with the function that watches it. */
function watched(op: Op, args: any[]): unknown[] {
  const at = op == Op.Create ? 2 : op == Op.Update ? 3 : 0;
  const progress = at && args[at + 2];
  const [first, ...rest] = (progress && args[at]) || [];
  if (typeof progress != "function" || !first) return args;
  const [field, name, type, data] = first;
  return [...args.slice(0, at), [[field, name, type, new Tracked(data, progress)], ...rest], ...args.slice(at + 1, at + 2)];
}

function trackedOf(body: any): Tracked["progress"] | undefined {
  const data = body[2] ?? body[1]?.[0]?.[3];
  return data instanceof Tracked ? data.progress : undefined;
}

async function sha256(data: Uint8Array): Promise<(writer: Writer) => void> {
  try {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data as BufferSource));
    return (writer) => writer.raw(digest);
  } catch {
    return (writer) => writer.put(null);
  }
}

async function store([store, what, session]: any[]): Promise<(writer: Writer) => void> {
  try {
    const loaded = await store[what](session ?? undefined);
    return (writer) => writer.put(what == "load" ? (loaded ?? null) : null);
  } catch (error: any) {
    return (writer) => {
      writer.put(false);
      writer.put(`${error?.message ?? error}`);
    };
  }
}

/** An engine on a platform; `fetch` in place of its own transport. */
export function createEngine(platform: Platform, fetch?: typeof globalThis.fetch, given: World = world): Engine & Pick<WasmEngine, "stats"> {
  return new WasmEngine(platform, fetch, given);
}

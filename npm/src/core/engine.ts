/**
 * The module behind a family of clients: loads it, starts operations, performs its effects, and gives back what becomes
 * of them.
 *
 * The module is never entered while it runs: what it asks for is noted and done when it has returned.
 */
import { cancelled, type ErrorParts, late, PicoBaseError, problem, textOf } from "../error.js";
import { safely } from "../listeners.js";
import type { ClientRef, Engine } from "./engine-api.js";
import { Body, decode, Handles, isStream, json, next, read, Tagged, Tracked, writerTo } from "./frame.js";
import { type ClientConfig, type Notice, Op, type Options } from "./ops.js";
import { Form, type HttpRequest, longest, type Platform, TransportFailure } from "./platform.js";

interface Exports {
  memory: WebAssembly.Memory;
  reserve(length: number): number;
  start(op: number, id: number, client: number, ptr: number, length: number): void;
  /** Not there until their modules are. */
  start_more?: Exports["start"];
  start_realtime?: Exports["start"];
  complete(id: number, ptr: number, length: number): void;
  progress(id: number, bytes: number): void;
  cancel(id: number): void;
  alive(): number;
}

/** A client, from this side. */
interface Ref extends ClientRef {
  /** What waits for it to be there; none once it is. */
  queue?: ((error?: unknown) => void)[];
  /** Why it is not there. */
  error?: unknown;
  /** Makes it after all, where the module could not be loaded: a page may have begun offline. */
  again?: (() => void) | undefined;
  listener: (notice: Notice) => void;
  afterSend?: ClientConfig["afterSend"];
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
  /** The program has ended it: it is told its end, and nothing that happened before. */
  over?: boolean;
}

/** How long is waited for the body of an error, and how often an upload that nobody can watch counts as being under way. */
const patience = 5000;
/** What the module wants to know of the head of an answer. */
const heads = ["retry-after", "location", "content-length", "content-type"];

/** The operations that know no timeout themselves. */
const untimed = new Set<Op>([
  Op.SetUrl, Op.FileToken, Op.WalkNext, Op.SignUp, Op.BeginOAuth2, Op.Refresh, Op.SignOut, Op.SetSession,
  Op.UnlinkExternalAuth, Op.Ready, Op.SyncSession, Op.Batch,
]);

/** The modules, in the order in which they are loaded, and what starts an operation in each. */
const modules = ["core", "more", "realtime"] as const;
const starts = ["start", "start_more", "start_realtime"] as const;
const moduleOf = (op: Op) => (op < Op.SetUrl ? 0 : op < Op.OAuth2AllInOne ? 1 : 2);

/** An error as the module writes it. */
function errorOf([kind, message, fix, status, code, url, attempts, retryAfter, mfaId, body, item, maybeCreated, told]: any): PicoBaseError {
  const fields: ErrorParts["fields"] = {};
  for (const [name, code, message, params] of told) fields[name] = { code, message, params };
  return new PicoBaseError({ kind, message, fix, status, code, url, attempts, retryAfter, mfaId, body, item, maybeCreated, fields });
}

/** Names and values one behind the other, as an object. */
function membersOf(pairs: string[]): Record<string, string> {
  const members: Record<string, string> = {};
  for (let i = 0; i < pairs.length; i += 2) members[pairs[i]!] = pairs[i + 1]!;
  return members;
}

/** An engine on a platform; `fetch` in place of its own transport. */
export function createEngine(platform: Platform, fetch?: typeof globalThis.fetch): Engine & { stats(): unknown } {
  const transport = platform.transport(fetch);
  const watches = !fetch && platform.watches;
  const blind = platform.isBrowser && (fetch || platform.blind);
  const handles = new Handles();
  const write = writerTo(handles);
  const running = new Map<number, Running>();
  /** How to stop each effect. */
  const effects = new Map<number, () => void>();
  const refs = new Set<Ref>();
  let last = 0;

  // The module.

  let module: Exports | undefined;
  const loading: (Promise<void> | undefined)[] = [];

  /** Loads a module and those below it. All share the memory and the functions of the first. */
  const load = (part: number): Promise<void> =>
    (loading[part] ??= (async () => {
      try {
        if (part) await load(part - 1);
        // Where it was not divided.
        if (has(part)) return;
        const { exports } = await WebAssembly.instantiate(await platform.module(modules[part]!), { pb: imports, core: { ...module } });
        module = { ...module, ...(exports as any) };
      } catch (cause) {
        // The next operation may try again.
        loading[part] = undefined;
        if (cause instanceof PicoBaseError) throw cause;
        throw problem(
          "Configuration",
          `the WebAssembly module cannot be loaded: ${textOf(cause)}`,
          `Serve the .wasm files beside the script; a Content-Security-Policy needs 'wasm-unsafe-eval', connect-src 'self'. Or import "@picobase/client/inline".`,
          cause,
        );
      }
    })());

  const has = (part: number) => module && starts[part]! in module;

  let inside = false;
  let doing = false;
  /** The program ends something: of what ends now it wants no more events. */
  let ending = false;
  let later: (() => void)[] = [];

  /** Enters the module, and then does what it asked for; later, if it is running. */
  const enter = (then: (module: Exports) => void): void => {
    if (inside) return void later.push(() => enter(then));
    inside = true;
    try {
      then(module!);
    } catch (cause) {
      broken(cause);
    }
    inside = false;
    // In the order in which it was told, also where one of it enters again.
    if (doing) return;
    doing = true;
    for (const next of later) safely(next);
    later = [];
    doing = false;
  };

  /** The module has failed, which it never should: nothing of it can be used any more. */
  const broken = (cause: unknown) => {
    const error = problem("Configuration", "the WebAssembly module failed", "Report this; make a new client.", cause);
    for (const ref of refs) settle(ref, error);
    for (const id of running.keys()) later.push(() => drop(id, error));
    later.push(...effects.values());
    effects.clear();
  };

  let bytes = new Uint8Array();

  const memory = (ptr: number, length: number) => {
    // Memory that grows is another buffer, and the old one is empty.
    if (!bytes.length) bytes = new Uint8Array(module!.memory.buffer);
    return bytes.subarray(ptr, ptr + length);
  };

  /** Writes into memory of the module. */
  const send = (values: unknown[], head?: 4): [ptr: number, length: number] => {
    const written = write(values, head);
    const ptr = module!.reserve(written.length);
    memory(ptr, written.length).set(written);
    return [ptr, written.length];
  };

  const imports = {
    now: () => Date.now(),
    uptime: () => performance.now(),
    // Not into the module's memory at once: it may be shared.
    random: (ptr: number, length: number) => memory(ptr, length).set(crypto.getRandomValues(new Uint8Array(length))),
    effect(kind: number, id: number, ptr: number, length: number) {
      const args = read(memory(ptr, length), handles);
      effects.set(id, () => {});
      later.push(() => effects.has(id) && perform(kind, id, args));
    },
    abort(id: number) {
      const stop = effects.get(id);
      effects.delete(id);
      if (stop) later.push(stop);
    },
    tell: (what: number, id: number, ptr: number, length: number) => later.push(told(what, id, memory(ptr, length))),
    ask(question: number, handle: number, ptr: number, length: number) {
      try {
        const answer = answerTo(question, handles.get(handle), memory(ptr, length));
        return answer ? send(answer, 4)[0] : 0;
      } catch {
        // A value that cannot be read: of that the call tells when it is sent.
        return 0;
      }
    },
    release: (handle: number) => handles.release(handle),
  };

  /** Answers what the module asks about a value, in a list; none where there is no answer. */
  const answerTo = (question: number, value: any, about: Uint8Array): unknown[] | undefined => {
    if (question == 0) {
      const name = decode(about);
      return Object.hasOwn(value, name) && value[name] !== undefined ? [json(value[name])] : undefined;
    }
    if (question == 1) return Array.isArray(value) ? [value.map(json)] : undefined;
    if (question == 2) return [Object.entries(value).filter(([, member]) => member !== undefined).flat().map(json)];
    if (question == 3) return [JSON.stringify(value)];
    return value(...read(about, handles));
  };

  // Operations.

  /** Makes a client in the module, of its own or beside `parent`, when that is there; then does what waited for it. */
  const make = (ref: Ref, op: Op, args: unknown[], parent?: Ref) => {
    ref.queue = [];
    ref.again = undefined;
    const then = (error?: unknown) => {
      if (error) {
        ref.again = () => make(ref, op, args, parent);
        return settle(ref, error);
      }
      // The number comes before the client is there: its first notice needs it.
      const resolve = (made: number) => {
        ref.id = made;
        settle(ref);
      };
      running.set((last = next(last, running)), { op, ref, resolve, reject: (error) => settle(ref, error) });
      start(op, last, parent?.id ?? 0, args);
    };
    if (parent) when(parent, then);
    else load(0).then(then, then);
  };

  const settle = (ref: Ref, error?: unknown) => {
    const queue = ref.queue ?? [];
    ref.queue = undefined;
    ref.error = error;
    for (const then of queue) then(error);
  };

  /** Calls `then` when the client is there: at once, if it is. */
  const when = (ref: Ref, then: (error?: unknown) => void) => {
    ref.again?.();
    if (ref.queue) ref.queue.push(then);
    else then(ref.error);
  };

  /** An operation fails without the module's word. */
  const drop = (id: number, error: unknown) => {
    const one = running.get(id);
    running.delete(id);
    one?.reject(error);
  };

  const start = (op: Op, id: number, client: number, args: unknown[], options: Options = {}): void => {
    const part = moduleOf(op);
    if (!has(part)) {
      load(part).then(() => start(op, id, client, args, options), (error) => drop(id, error));
      return;
    }
    enter((module) => {
      // Ended while it waited for its turn.
      if (id && !running.has(id)) return;
      const { timeout, headers, query } = options;
      // NaN: the default. 0 is none, so what has passed or is less than a millisecond is not 0.
      const limit = timeout == 0 || timeout! >= longest ? 0 : Math.max(1, Math.round(timeout ?? NaN));
      let frame: [ptr: number, length: number];
      try {
        frame = send([limit, headers, query, ...args]);
      } catch (cause) {
        return drop(id, problem("Validation", "an argument cannot be read", "Pass plain values.", cause));
      }
      module[starts[part]!]!(op, id, client, ...frame);
    });
  };

  /** What the module tells, as what is to be done about it. Read now, done later. */
  const told = (what: number, id: number, about: Uint8Array): (() => void) => {
    let value: any;
    try {
      value = read(about, handles);
    } catch (cause) {
      value = [problem("Decode", "the answer is not JSON", "Check what the server sends.", cause)];
    }
    if (what == 3) return () => notice(id, value);
    const one = running.get(id);
    if (what == 2) {
      if (one && ending) one.over ||= value.at(-1)[0] == "end";
      return () => happened(id, value);
    }
    value = value[0];
    if (value?.[3] instanceof Body) value[3].taken = true;
    return () => ended(what, id, value);
  };

  const notice = (id: number, [kind, value, ...rest]: any[]) => {
    for (const ref of refs) {
      // The state of the instance is that of the family.
      if (ref.id != id && kind != "state") continue;
      if (kind == "call") {
        const [endpoint, method, path, url, status, attempts, elapsed, error] = value;
        ref.afterSend?.({ endpoint, method, path, url, status, attempts, elapsed, error: error && errorOf(error) });
      } else ref.listener([kind, kind == "storage" ? errorOf(value) : value, ...rest] as any);
    }
  };

  const ended = (what: number, id: number, value: any) => {
    const one = running.get(id);
    if (!one) {
      // Acknowledged just when the caller stopped waiting: a listener that nobody knows of.
      if (!what && value >= 2 ** 31) enter((module) => module.cancel(value));
      if (value?.[3] instanceof Body) value[3].abort();
      return;
    }
    if (!what && (one.op == Op.Subscribe || one.op == Op.Live)) one.listener = value;
    else running.delete(id);
    if (value instanceof PicoBaseError) one.reject(value);
    else if (what) one.reject(errorOf(value));
    else {
      if (one.op == Op.Batch) value[1] &&= errorOf(value[1]);
      if (one.op == Op.Download) value = { status: value[0], size: value[1], type: value[2], body: value[3].stream };
      one.resolve(value);
    }
  };

  /** Hands out the events of an operation, until one of those who hear them ends it. */
  const happened = (id: number, events: any[]) => {
    for (const event of events) {
      // Those whose records came as one text.
      if (event[0] == "records") for (let i = 2; i < event.length; i += 2) happens(id, ["record", event[i], "live", event[1], event[i + 1]]);
      else happens(id, event);
    }
  };

  const happens = (id: number, event: any) => {
    const one = running.get(id);
    const end = event[0] == "end";
    if (!one || (one.over && !end)) return;
    if (end) running.delete(id);
    if (event[0] == "error") event[1] = errorOf(event[1]);
    safely(one.onEvent, event);
  };

  // Effects.

  const perform = (kind: number, id: number, args: any[]) => {
    if (kind == 1) sleep(id, Math.min(args[0], longest));
    else void [request, , pull, sha256, store][kind]!(args, id).then((values) => complete(id, values));
  };

  const sleep = (id: number, ms: number, due = performance.now() + ms) => {
    const over = () => {
      // Timers may go off a little early; the module counts on it that they do not.
      const left = due - performance.now();
      if (left > 0) sleep(id, left, due);
      else complete(id, []);
    };
    const timer = setTimeout(over, ms);
    effects.set(id, () => clearTimeout(timer));
  };

  /** An effect is done; nothing happens where nobody waits for it any more. */
  const complete = (id: number, values: unknown[]) => {
    if (effects.delete(id)) enter((module) => module.complete(id, ...send(values)));
  };

  const request = async ([method, url, headers, reading, body, probe]: any[], id: number): Promise<unknown[]> => {
    const abort = transport.controller?.() ?? new AbortController();
    const stop = () => abort.abort();
    effects.set(id, stop);
    let tick: any;
    let failure: TransportFailure["failure"] = "invalid";
    try {
      const wrong = headers.findIndex((text: string) => /[^\t -~\x80-\xff]/.test(text));
      if (wrong >= 0) throw new Error(`the header ${headers[wrong & ~1]} cannot be sent: its value is not plain Latin-1`);
      const sent: HttpRequest = { method, url, headers, body: bodyOf(body), probe, signal: abort.signal };
      failure = "broken";
      if (body?.[1] || body?.[2]) tick = watch(id, sent, [body[2], ...(body[1] ?? []).map((file: any) => file[3])].filter(Boolean));
      const response = await transport(sent);
      const { status } = response;
      const good = status < 300;
      const head: string[] = [];
      for (const name of heads) {
        const value = response.header(name);
        if (value != null) head.push(name, value);
      }
      if (good && reading == 2) return [status, head, new Body(response.stream(), stop)];
      const text = await (good ? response.text() : soon(response.text(), stop));
      return [status, head, text ? (good && !reading ? valueOf(text) : text) : null];
    } catch (error) {
      return [null, error instanceof TransportFailure ? error.failure : failure, textOf(error)];
    } finally {
      if (tick) clearInterval(tick);
    }
  };

  /** Tells the module, and who wants to know, how an upload goes out. Where nobody can see it a timer says that it does. */
  const watch = (id: number, sent: HttpRequest, parts: any[]) => {
    const [first] = parts;
    const progress = first instanceof Tracked && first.progress;
    const note = (bytes: number) => effects.has(id) && module!.progress(id, bytes);
    let ticks = 0;
    // Of a stream that was begun nothing may be sent again: what is left of it would pass for the whole.
    const once = parts.some((data) => isStream(untracked(data)));
    if (watches || (progress && !blind) || (once && !platform.isBrowser)) {
      sent.onProgress = (bytes, total) => note(bytes) !== false && progress && safely(progress, bytes, total);
      return;
    }
    // Pages read a stream to its end before they send it.
    if (once) note(++ticks);
    return setInterval(() => note(++ticks), patience);
  };

  return {
    client(config, listener) {
      const { beforeSend, afterSend } = config;
      const ref: Ref = { id: 0, listener, afterSend };
      const before =
        beforeSend &&
        ((endpoint: string, method: string, pairs: string[]) => {
          try {
            const headers = membersOf(pairs);
            const added: any = beforeSend({ endpoint, method, headers });
            if (added?.then) throw new TypeError("it answered a promise");
            return [{ ...headers, ...added?.headers }, added?.query ?? {}].map((all) => Object.entries(all).flat());
          } catch (error) {
            return [textOf(error)];
          }
        });
      const args = [
        config.url, config.key, config.acceptLanguage, config.authCollection, config.serverVersion, config.timeout,
        config.coldStartTimeout, config.transferIdleTimeout, config.maxRetries, config.store, config.credentials,
        config.realtime, before, !!afterSend, platform.isBrowser,
      ];
      make(ref, Op.ClientNew, args);
      refs.add(ref);
      return ref;
    },

    withSession(parent, { token, record, store }, listener) {
      const ref: Ref = { id: 0, listener };
      make(ref, Op.WithSession, [token, record, store], parent as Ref);
      refs.add(ref);
      return ref;
    },

    call(op, client, args, options = {}) {
      const ref = client as Ref;
      const { signal, timeout, onEvent } = options;
      const id = (last = next(last, running));
      return new Promise<any>((resolve, reject) => {
        const one: Running = { op, ref, onEvent, resolve, reject };
        // What waits for a module does so within the same time.
        const timed = timeout && timeout < longest && (untimed.has(op) || ref.queue || !has(moduleOf(op)));
        if (signal || timed) {
          let timer: any;
          const over = (settle: (value: any) => void) => (value: any) => {
            signal?.removeEventListener("abort", abort);
            clearTimeout(timer);
            settle(value);
          };
          one.resolve = over(resolve);
          one.reject = over(reject);
          const end = (error: PicoBaseError) => {
            drop(id, error);
            if (ref.id) enter((module) => module.cancel(id));
          };
          const abort = () => end(cancelled(signal!.reason));
          if (signal) platform.heed?.(signal);
          // What is no signal fails here, and leaves nothing behind.
          signal?.addEventListener("abort", abort);
          if (timed) timer = setTimeout(() => end(late()), timeout);
        }
        running.set(id, one);
        if (signal?.aborted) return drop(id, cancelled(signal.reason));
        when(ref, (error) => {
          if (error) drop(id, error);
          else start(op, id, ref.id, watched(args), options);
        });
      });
    },

    post(op, client, args) {
      when(client as Ref, (error) => {
        // What has no module yet has nothing to end either.
        const part = moduleOf(op);
        if (error || (part && !loading[part])) return;
        if (op == Op.Unsubscribe || op == Op.LiveEnd) {
          for (const [id, { listener }] of running) if (listener == args[0]) running.delete(id);
        }
        ending = true;
        start(op, 0, client.id, args);
        ending = false;
      });
    },

    close(client) {
      refs.delete(client as Ref);
      (client as Ref).again = undefined;
      for (const [id, { op, ref, listener, onEvent }] of running) {
        // One that is being made is closed when it is there.
        if (ref != client || op < Op.Close) continue;
        if (module) enter((module) => module.cancel(listener ?? id));
        drop(id, cancelled());
        if (listener) safely(onEvent, ["end"]);
      }
      this.post(Op.Close, client, []);
      if (!refs.size) platform.close?.();
    },

    // What is under way, for tests that look for leaks.
    stats: () => [running, effects, handles, module],
  };
}

/** The body of an error: one that breaks off, or does not end, is still that error. */
function soon(text: Promise<string>, stop: () => void): Promise<string> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => (stop(), resolve("")), patience);
    const done = (text = "") => {
      clearTimeout(timer);
      resolve(text.slice(0, 2 ** 20));
    };
    text.then(done, () => done());
  });
}

/** The body of an answer: an object is a handle, other JSON text, what is no JSON the bytes. */
function valueOf(text: string): unknown {
  try {
    const value = json(JSON.parse(text));
    return value instanceof Tagged ? value : new Tagged(7, text);
  } catch {
    return new Tagged(9, text);
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

/** The arguments of an operation: where a function watches an upload, its first file goes with it. */
function watched(args: any[]): unknown[] {
  const progress = args.at(-1);
  const [first, ...rest] = (typeof progress == "function" && args.at(-3)) || [];
  if (!first) return args;
  const [field, name, type, data] = first;
  return [...args.slice(0, -3), [[field, name, type, new Tracked(data, progress)], ...rest], args.at(-2)];
}

// What is done outside: each takes the arguments of an effect, and never rejects.

async function pull([body]: any[]): Promise<unknown[]> {
  try {
    const { value } = await (body.reader ??= body.stream.getReader()).read();
    return [value && new Tagged(9, value)];
  } catch (error) {
    return [textOf(error)];
  }
}

async function sha256([data]: any[]): Promise<unknown[]> {
  try {
    return [new Tagged(9, new Uint8Array(await crypto.subtle.digest("SHA-256", data)))];
  } catch {
    return [null];
  }
}

async function store([store, what, session]: any[]): Promise<unknown[]> {
  try {
    let text = (await store[what](session ?? undefined)) ?? null;
    try {
      JSON.parse(text);
    } catch {
      // The core reads more than JavaScript can, which then could not show it.
      text = "?";
    }
    return [what == "load" ? text : null];
  } catch (error) {
    return [false, textOf(error)];
  }
}

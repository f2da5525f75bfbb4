/** What a test opens: proxies, servers and clients, closed when it ends. */
import { type Client, type ClientOptions, createClient, PicoBaseError } from "@picobase/client";
import { expect, test } from "vitest";
import { kit, openProxy, openServer, password, type Proxy, type Server, superuserToken } from "./kit.js";

export class World {
  #ends: (() => unknown)[] = [];

  /** Done when the test ends, the last one first. */
  later(end: () => unknown): void {
    this.#ends.push(end);
  }

  /** A proxy of the test's own before the server that all share. */
  async proxy(options?: { server_id?: string; tls?: boolean }): Promise<Proxy> {
    const proxy = await openProxy(options);
    this.later(() => proxy.close());
    return proxy;
  }

  async server(options?: object): Promise<Server> {
    const server = await openServer(options);
    this.later(() => server.close());
    return server;
  }

  /** A client whose session is kept in memory. */
  client(url: string = kit.url, options: ClientOptions = {}): Client {
    const client = createClient(url, null, { store: "memory", ...options });
    this.later(() => client.close());
    return client;
  }

  /** A client that is signed in as a new user of `users`. */
  async user(url: string = kit.url, options: ClientOptions = {}): Promise<Client> {
    const client = this.client(url, options);
    await client.auth.signUp(unique("user") + "@example.com", password);
    return client;
  }

  async superuser(url: string = kit.url, options: ClientOptions = {}): Promise<Client> {
    const client = this.client(url, options).withSession(await superuserToken());
    this.later(() => client.close());
    return client;
  }

  async end(): Promise<void> {
    for (const end of this.#ends.reverse()) await end();
  }
}

/** A test with a world of its own. */
export const it = test.extend<{ world: World }>({
  world: async ({}, use) => {
    const world = new World();
    await use(world);
    await world.end();
  },
});

let last = 0;

/** A word that no other test has. */
export function unique(word: string): string {
  return `${word}${Date.now().toString(36)}${(last++).toString(36)}${Math.random().toString(36).slice(2, 8)}`;
}

export const sleep = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));

/** Waits until it holds; fails with what stood there last. The limit is for what never comes, not for what is slow. */
export async function until<T>(what: () => T | Promise<T>, holds: (value: T) => boolean = Boolean, ms = 40_000): Promise<T> {
  const end = Date.now() + ms;
  for (;;) {
    const value = await what();
    if (holds(value)) return value;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}\n  last: ${JSON.stringify(value)}`);
    await sleep(20);
  }
}

/** The error of a call that must fail, which must be the package's own. */
export async function failure(call: Promise<unknown> | (() => unknown)): Promise<PicoBaseError> {
  let value: unknown;
  try {
    value = await (typeof call === "function" ? call() : call);
  } catch (error) {
    expect(error).toBeInstanceOf(PicoBaseError);
    return error as PicoBaseError;
  }
  throw new Error(`it did not fail, but answered ${JSON.stringify(value)}`);
}

/** How long it took, in milliseconds, and what came of it. */
export async function timed<T>(work: Promise<T>): Promise<[T, number]> {
  const start = performance.now();
  const value = await work;
  return [value, performance.now() - start];
}

/** What is under way in the engine of a client, for tests that look for leaks. */
export function stats(client: object): { operations: number; effects: number; handles: number; alive: number; memory: number } {
  const [running, effects, handles, module] = (client as any).engine.stats();
  return {
    operations: running.size,
    effects: effects.size,
    handles: handles.size,
    alive: module?.alive() ?? 0,
    memory: module?.memory.buffer.byteLength ?? 0,
  };
}

export const inBrowser = typeof document !== "undefined";
export const inNode = !inBrowser;

/** Errors that nobody caught: where a callback's own go. Returns how to stop; not for tests that run beside others. */
export function onUncaught(call: (error: unknown) => void): () => void {
  if (typeof window === "undefined") {
    const before = process.listeners("uncaughtException");
    const rejected = process.listeners("unhandledRejection");
    process.removeAllListeners("uncaughtException").on("uncaughtException", call);
    process.removeAllListeners("unhandledRejection").on("unhandledRejection", call);
    return () => {
      process.removeAllListeners("uncaughtException").removeAllListeners("unhandledRejection");
      for (const one of before) process.on("uncaughtException", one);
      for (const one of rejected) process.on("unhandledRejection", one as any);
    };
  }
  const heard = (event: ErrorEvent | PromiseRejectionEvent) => {
    event.preventDefault();
    event.stopImmediatePropagation();
    call("reason" in event ? event.reason : event.error);
  };
  window.addEventListener("error", heard, true);
  window.addEventListener("unhandledrejection", heard, true);
  return () => {
    window.removeEventListener("error", heard, true);
    window.removeEventListener("unhandledrejection", heard, true);
  };
}

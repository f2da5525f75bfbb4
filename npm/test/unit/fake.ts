/** A client on an engine that only writes down what it is asked; a test answers. */
import { Client } from "../../src/client.js";
import type { Engine } from "../../src/core/engine-api.js";
import type { Notice, Op, Options } from "../../src/core/ops.js";
import type { Platform } from "../../src/core/platform.js";

export interface Asked {
  op: Op;
  args: unknown[];
  options: Options;
  answer(value?: unknown): Promise<void>;
  fail(error: unknown): Promise<void>;
}

export interface World {
  client: Client<any>;
  /** Calls, in their order; `post`s stand among them. */
  calls: Asked[];
  posts: [op: Op, args: unknown[]][];
  /** Says something as the core would. */
  tell(...notice: Notice): void;
  /** The hints that the platform gives, once somebody listens. */
  hint?: (hint: "online" | "hidden" | "visible") => void;
  /** What withSession was given. */
  sessions: unknown[];
}

/** Lets everything go on that waits for nothing. */
export const settled = () => new Promise<void>((done) => setTimeout(done));

export function world(options: object = {}, initial: { token: string; record?: any } | null = null): World {
  const calls: Asked[] = [];
  const posts: World["posts"] = [];
  const sessions: unknown[] = [];
  let listen: (notice: Notice) => void = () => {};
  const engine: Engine = {
    call: (op, _, args, given = {}) =>
      new Promise<any>((resolve, reject) => {
        const answer = async (value: unknown) => (resolve(value), settled());
        calls.push({ op, args, options: given, answer, fail: async (error) => (reject(error), settled()) });
      }),
    post: (op, _, args) => void posts.push([op, args]),
    client: () => ({ id: 1 }),
    withSession: (_, session) => (sessions.push(session), { id: 2 }),
    close: () => {},
  };
  const made: World = { calls, posts, sessions, client: undefined!, tell: (...notice) => listen(notice) };
  const platform: Platform = {
    isBrowser: false,
    transport: () => () => Promise.reject(new Error("no transport")),
    module: () => Promise.reject(new Error("no module")),
    store: () => null,
    hints: (tell) => {
      made.hint = tell;
      return () => delete made.hint;
    },
  };
  made.client = new Client(platform, engine, { url: "http://h", ...options }, initial, (listener) => {
    listen = listener;
    return { id: 1 };
  });
  return made;
}

/** A token with these claims. */
export function token(claims: object): string {
  return `h.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.s`;
}

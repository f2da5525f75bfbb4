import type { Notice, Op, Options, ClientConfig, SessionStore } from "./ops.js";

/**
 * The module behind a client and its `withSession` family. Made by the entry of each runtime; loads the module at the
 * first client, not at import. Everything may be called at once: it waits for the module.
 */
export interface Engine {
  /** Starts an operation. Rejects with a PicoBaseError. A signal or a timeout ends it. */
  call<T>(op: Op, client: ClientRef, args: unknown[], options?: Options): Promise<T>;
  /** Something synchronous that answers nothing: done at once, or when the module is there, in order. */
  post(op: Op, client: ClientRef, args: unknown[]): void;
  /** A new client of this engine; it exists at once, in the module when that is there. */
  client(config: ClientConfig, listener: (notice: Notice) => void): ClientRef;
  /** A client with a session of its own beside `parent`. */
  withSession(parent: ClientRef, session: { token?: string | null; record?: unknown; store?: SessionStore | null }, listener: (notice: Notice) => void): ClientRef;
  /** Ends the client; the last one ends the module. */
  close(client: ClientRef): void;
}

/** A client in the module. */
export interface ClientRef {
  /** Its number there; 0 until the module is loaded. */
  id: number;
}

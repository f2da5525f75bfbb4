import type { SessionStore } from "./ops.js";

/** One request as the core wants it sent. It is sent as it is: no redirect is followed, nothing is cached, no cookies. */
export interface HttpRequest {
  method: string;
  url: string;
  /** Names and values, one behind the other. Content-Type of JSON and forms is the transport's, where none is given. */
  headers: string[];
  /** undefined: none; a string: JSON text; a form; anything else goes as it is (Blob, Uint8Array, ReadableStream, …). */
  body: undefined | string | Form | { raw: unknown };
  signal: AbortSignal;
  /** With files: a GET that says whether the server redirects, for transports that cannot refuse to follow. */
  probe?: string | undefined;
  /** Called as the body goes out, in bytes; only where the caller wants to know. */
  onProgress?: (sent: number, total: number | null) => void;
}

/** A file of a form, its name and its type as they are to be sent: the core has settled them. */
export type FormFile = [field: string, filename: string, type: string, data: unknown];

/** The longest delay that timers take, in milliseconds. */
export const longest = 2 ** 31 - 1;

/** A form: the part `@jsonPayload` first, then the files (contract B12). */
export class Form {
  constructor(
    readonly json: string | null,
    readonly files: FormFile[],
  ) {}
}

/** The answer to a request: its head, and its body in one of two ways, to be used at most once. */
export interface HttpResponse {
  status: number;
  /** A field of the head, null where it is not there or not shown. Names in lower case. */
  header(name: string): string | null;
  /** The whole body. */
  text(): Promise<string>;
  /** The body as it comes. */
  stream(): ReadableStream<Uint8Array>;
}

/** Why a request failed below HTTP. `refused`: nothing was processed; `invalid`: it cannot be sent like that; `broken`: unknown, also all that the platform cannot tell. */
export class TransportFailure extends Error {
  constructor(
    readonly failure: "refused" | "broken" | "tls" | "unknown_host" | "source" | "invalid",
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/** Sends requests. Rejects with a {@link TransportFailure}; when the signal aborts, with anything. */
export interface Transport {
  (request: HttpRequest): Promise<HttpResponse>;
  /** Makes what ends a request, where that can be less than an AbortController. */
  controller?(): { readonly signal: AbortSignal; abort(): void };
}

/** `core` is needed by all, `more` by what few pages need at once, `realtime` by subscriptions and live queries. */
export type ModuleName = "core" | "more" | "realtime";

/** What a runtime (browser, Node, worker) brings. Each entry of the package makes one. */
export interface Platform {
  /** May everyone read what the client knows (a page)? There a superuser's token as key is refused. */
  isBrowser: boolean;
  /** The transport; on `fetch` where one is given. */
  transport(fetch?: typeof globalThis.fetch): Transport;
  /** The compiled module of that name. Asked for once each, at the first operation that needs it. */
  module(name: ModuleName): WebAssembly.Module | Promise<WebAssembly.Module>;
  /** The store that a client has by default; null: in memory. */
  store(key: string): SessionStore | null;
  /** Can nobody see here how an upload goes out? */
  blind?: boolean;
  /** Does it cost nothing to watch every upload? Where not, only those are whose caller wants to know. */
  watches?: boolean;
  /** Many calls may listen to this signal, and that is no leak. */
  heed?(signal: AbortSignal): void;
  /** Lets go of what the transport keeps. */
  close?(): void;
  /** Tells the client of the network and of the page; returns how to stop. */
  hints?(tell: (hint: "online" | "hidden" | "visible") => void): () => void;
}

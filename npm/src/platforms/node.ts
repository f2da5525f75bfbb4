/**
 * Node 20.19 and newer.
 *
 * The transport stands on node:http, which costs a third of what fetch does. Its connections are kept and used again; while
 * idle they do not keep the process alive. HTTPS has the roots that Node has: its own, those of NODE_EXTRA_CA_CERTS, the
 * system's with `--use-system-ca`, those of SSL_CERT_FILE with `--use-openssl-ca`. The proxy variables are honoured in
 * every version.
 *
 * A server may close a kept connection just as a request goes out on it. Node cannot tell whether that request was still
 * read, so it is `broken`, never `refused`.
 */
import { setMaxListeners } from "node:events";
import http, { type IncomingMessage } from "node:http";
import https from "node:https";
import { isIP, type Socket } from "node:net";
import { pipeline, type Readable } from "node:stream";
import { createGunzip, gunzip } from "node:zlib";
import { TransportFailure, type HttpRequest, type HttpResponse, type Platform, type Transport } from "../core/platform.js";
import { moduleFromFile } from "./file.js";
import { outgoing, type Outgoing } from "./multipart.js";
import { proxyAddress, proxyFor, proxyHeaders, TunnelAgent } from "./proxy.js";
import { server, sorted } from "./server.js";

/** The way to a scheme, host and port: made once, so that a request need not parse its URL. */
interface Route {
  origin: string;
  request: typeof http.request;
  options: http.RequestOptions;
  /** Names and values that every request carries. */
  head: string[];
  /** A proxy wants the whole URL as the path. */
  whole: boolean;
}

/** What the transport itself decides about, so that a caller's header of that name is left out. */
const own = new Set(["accept-encoding", "connection", "content-length", "host", "transfer-encoding"]);

/** Connections whose server has said how long it keeps them (Keep-Alive). */
const hinted = new WeakSet<Socket>();

/** A dead peer is noticed within 75 seconds, also by a stream that only listens. */
const keep = { keepAlive: true, keepAliveMsecs: 30_000 };

/** A transport on node:http; `close` ends its idle connections and what is under way. */
export function nodeTransport(): Transport & { close(): void } {
  const routes = new Map<string, Route>();
  const agents: http.Agent[] = [];
  let last: Route | undefined;

  const routeOf = (url: string): Route => {
    if (last && url.startsWith(last.origin) && url[last.origin.length] == "/") return last;
    const parsed = new URL(url);
    // The caller's own spelling, so that the next URL is known by it.
    const origin = url.slice(0, url.indexOf("/", url.indexOf("//") + 2));
    last = routes.get(origin);
    if (!last) {
      last = makeRoute(origin, parsed);
      agents.push(last.options.agent as http.Agent);
      routes.set(origin, last);
    }
    return last;
  };

  const transport = (request: HttpRequest): Promise<HttpResponse> =>
    new Promise((resolve, reject) => {
      request.signal.throwIfAborted();
      let route;
      try {
        route = routeOf(request.url);
      } catch (error) {
        // A proxy variable that cannot be used; going around the proxy is not ours to decide.
        throw new TransportFailure("unknown_host", (error as Error).message);
      }
      send(route, request, resolve, reject);
    });
  return Object.assign(transport, {
    controller: () => new Controller(),
    close: () => agents.forEach((agent) => agent.destroy()),
  });
}

/** Ends a request. What this transport uses of a signal, and no more: an AbortController costs a fifth of a call. */
class Controller {
  aborted = false;
  #then?: () => void;

  get signal(): AbortSignal {
    return this as unknown as AbortSignal;
  }

  get reason(): Error {
    return new TransportFailure("broken", "nobody waits for the answer any more");
  }

  abort(): void {
    this.aborted = true;
    this.#then?.();
  }

  throwIfAborted(): void {
    if (this.aborted) throw this.reason;
  }

  addEventListener(_: "abort", then: () => void): void {
    this.#then = then;
  }

  removeEventListener(): void {
    this.#then = undefined;
  }
}

function makeRoute(origin: string, url: URL): Route {
  const secure = url.protocol == "https:";
  const proxy = proxyFor(url);
  const plain = proxy && !secure;
  const to = plain ? proxy : url;
  const { request, Agent } = to.protocol == "https:" ? https : http;
  const address = proxyAddress(to);
  const agent: http.Agent = proxy && secure ? new TunnelAgent(proxy, keep) : new Agent(keep);
  const usual = agent.keepSocketAlive;
  // Node looks for that field in an object of all headers, which nobody else needs: a twentieth of a call.
  agent.keepSocketAlive = (socket: Socket) => {
    if (hinted.has(socket)) return usual.call(agent, socket);
    socket.setKeepAlive(true, keep.keepAliveMsecs).unref();
    return true;
  };
  return {
    origin,
    request,
    // Without a name Node works it out for every request. Addresses have none.
    options: { agent, ...address, ...{ servername: isIP(address.host) ? "" : address.host } },
    head: ["Host", url.host, "Accept-Encoding", "gzip", ...(plain ? proxyHeaders(proxy) : [])],
    whole: !!plain,
  };
}

function send(
  route: Route,
  request: HttpRequest,
  resolve: (answer: HttpResponse) => void,
  reject: (error: TransportFailure) => void,
): void {
  const { method, url, body, signal } = request;
  const headers = route.head.slice();
  let type: string | undefined;
  for (let i = 0; i < request.headers.length; i += 2) {
    const name = request.headers[i]!.toLowerCase();
    if (own.has(name)) continue;
    if (name == "content-type") type = request.headers[i + 1]!;
    else headers.push(request.headers[i]!, request.headers[i + 1]!);
  }
  const out = body && typeof body != "string" ? outgoing(body) : null;
  if (body != null) headers.push("Content-Type", type ?? out?.type ?? "application/json");
  const length = out ? out.length : body != null ? Buffer.byteLength(body as string) : 0;
  if (length == null) headers.push("Transfer-Encoding", "chunked");
  else if (length || (method != "GET" && method != "HEAD")) headers.push("Content-Length", `${length}`);

  const path = route.whole ? url : url.slice(route.origin.length);
  const req = route.request({ ...route.options, method, path, headers });
  const abort = () => req.destroy(signal.reason);
  signal.addEventListener("abort", abort);
  req.on("close", () => signal.removeEventListener("abort", abort));
  req.on("error", (error) => reject(failure(error)));
  req.on("response", (res) => {
    if (fieldOf(res.rawHeaders, "keep-alive")) hinted.add(res.socket);
    resolve(answer(req, res, signal));
  });
  // Agents give this option to plain connections only.
  if (route.request == https.request) req.once("socket", (socket) => socket.setKeepAlive(true, keep.keepAliveMsecs));
  if (out) void pump(req, out, request.onProgress);
  else req.end(body);
}

/** Sends a body piece by piece, as fast as it is taken. Ends when the request does, also where its source says nothing more. */
async function pump(req: http.ClientRequest, out: Outgoing, onProgress: HttpRequest["onProgress"]): Promise<void> {
  let gone = () => {};
  req.once("close", () => gone());
  // Not Promise.race: its promises would all hang on one that lasts as long as the upload, with what they brought.
  const first = <T>(wait: (then: (value?: T) => void) => void) =>
    new Promise<T | undefined>((resolve) => {
      gone = () => resolve(undefined);
      wait(resolve);
    });
  const unread = (cause: unknown) => void req.destroy(new TransportFailure("source", "a file cannot be read", { cause }));
  const pieces = out.pieces();
  for (let sent = 0; !req.destroyed; ) {
    const piece = await first<IteratorResult<Uint8Array, void>>((then) => pieces.next().then(then, unread));
    if (!piece || req.destroyed) break;
    if (piece.done) return void req.end();
    if (!req.write(piece.value)) await first((then) => req.once("drain", then));
    onProgress?.((sent += piece.value.length), out.length);
  }
  void pieces.return().catch(() => {});
}

const failure = (error: any): TransportFailure =>
  error instanceof TransportFailure ? error : new TransportFailure(sorted(`${error?.code}`), `${error?.message}`, { cause: error });

/** An answer. Where its body is not wanted, the signal of the request ends it. */
function answer(req: http.ClientRequest, res: IncomingMessage, signal: AbortSignal): HttpResponse {
  const header = (name: string) => fieldOf(res.rawHeaders, name);
  const packed = header("content-encoding") == "gzip";
  /** Calls back when the body has ended, with what broke it off. */
  const ended = (source: Readable, then: (error?: TransportFailure) => void) => {
    const end = (error?: Error | null) => {
      // The server did not wait for all of what was sent: the rest is not sent any more.
      if (!req.writableEnded) req.destroy();
      // Node drops the rest of a body whose request was aborted, and then says that it has ended.
      then(error || signal.aborted ? failure(error ?? signal.reason) : undefined);
    };
    if (source.destroyed) return end(source.errored ?? new Error("aborted"));
    source.on("end", end).on("error", end);
  };
  return {
    status: res.statusCode!,
    // The length that is told is that of the packed body.
    header: (name) => (packed && name == "content-length" ? null : header(name)),
    text: () =>
      new Promise((resolve, reject) => {
        const pieces: Buffer[] = [];
        res.on("data", (piece) => pieces.push(piece));
        ended(res, (error) => {
          if (error) return reject(error);
          const all = pieces.length == 1 ? pieces[0]! : Buffer.concat(pieces);
          if (!packed || !all.length) return resolve(all.toString());
          gunzip(all, (error, bytes) => (error ? reject(failure(error)) : resolve(bytes.toString())));
        });
      }),
    stream: () => streamOf(packed ? pipeline(res, createGunzip(), () => {}) : res, ended),
  };
}

/**
 * A body as a web stream, of which no more is read than is taken. What has come at once is one piece: a server that pushes
 * events sends each as a chunk of its own.
 */
function streamOf(
  source: Readable,
  ended: (source: Readable, then: (error?: TransportFailure) => void) => void,
): ReadableStream<Uint8Array> {
  let pieces: Buffer[] = [];
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const give = () => {
          if (pieces.length) controller.enqueue(pieces.length == 1 ? pieces[0]! : Buffer.concat(pieces));
          pieces = [];
          if (controller.desiredSize! <= 0) source.pause();
        };
        source.on("data", (piece: Buffer) => {
          if (pieces.push(piece) == 1) queueMicrotask(give);
        });
        ended(source, (error) => {
          if (!error) give();
          pieces = [];
          if (error) controller.error(error);
          else controller.close();
        });
      },
      pull: () => void source.resume(),
      cancel() {
        pieces = [];
        source.removeAllListeners("data").destroy();
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: 65_536 }),
  );
}

/** A field of the head. Without it Node would make an object of all. */
function fieldOf(fields: string[], name: string): string | null {
  for (let i = 0; i < fields.length; i += 2)
    if (fields[i]!.length == name.length && fields[i]!.toLowerCase() == name) return fields[i + 1]!;
  return null;
}

/** The platform of Node for one client and its family. A fetch of the user's takes the place of node:http. */
export function node(): Platform {
  const own = nodeTransport();
  return {
    ...server,
    transport: (given) => (given ? server.transport(given) : own),
    module: moduleFromFile,
    watches: true,
    heed(signal) {
      // Node warns from the eleventh listener on, as of a leak. Signals that are not its own (jsdom's) it refuses.
      try {
        setMaxListeners(0, signal);
      } catch {}
    },
    close: own.close,
  };
}

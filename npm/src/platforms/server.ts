/** What runtimes on servers have in common: the transport on fetch, whose bodies go out as they come, and how failures are told. */
import { TransportFailure, type HttpRequest, type Platform } from "../core/platform.js";
import { fetchTransport, prepare } from "./fetch.js";
import { outgoing, type Outgoing } from "./multipart.js";

/** Why a connection failed. `words`: codes of errors, or their messages where a runtime has no codes. */
export function sorted(words: string): TransportFailure["failure"] {
  if (/ECONNREFUSED|connection ?refused/i.test(words)) return "refused";
  if (/ENOTFOUND|EAI_|dns error|lookup address/i.test(words)) return "unknown_host";
  return /CERT|ERR_TLS|ERR_SSL|EPROTO|SIGNATURE|UNABLE_TO_|HOSTNAME_MISMATCH/i.test(words) ? "tls" : "broken";
}

/** Deno's messages repeat the URL, which may hold a token: that is taken out, and the cause then kept back. */
function fetchFailed(error: any): never {
  if (error instanceof TransportFailure) throw error;
  const said = `${error?.cause?.message ?? error?.message ?? error}`;
  const message = said.replace(/https?:\/\/[^\s)]+/g, "…");
  const words = [error?.code, error?.cause?.code, message].join(" ");
  throw new TransportFailure(sorted(words), message, message == said ? { cause: error } : {});
}

type Unread = (failure: TransportFailure) => void;

/** A body as it comes. `unread` is told why its source cannot be read: of what fetch then says nobody can tell. */
function streamOf(out: Outgoing, onProgress: HttpRequest["onProgress"], unread: Unread): ReadableStream<Uint8Array> {
  const pieces = out.pieces();
  let sent = 0;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const piece = await pieces.next().catch((cause) => {
          unread(new TransportFailure("source", "a file cannot be read", { cause }));
          throw cause;
        });
        if (piece.done) return controller.close();
        controller.enqueue(piece.value);
        onProgress?.((sent += piece.value.length), out.length);
      },
      cancel: () => void pieces.return(),
    },
    { highWaterMark: 0 },
  );
}

/** What is whole goes out whole, with its length; streams go out as they come, and so does what is watched. */
async function prepareStreams(request: HttpRequest, unread: Unread): Promise<RequestInit> {
  const { body, onProgress } = request;
  // Next.js keeps what fetch brings unless it is told not to; some versions of workerd refuse to be told.
  const init: RequestInit = "cache" in Request.prototype ? { cache: "no-store" } : {};
  const out = body && typeof body == "object" ? outgoing(body) : null;
  if (!out || (out.length != null && !onProgress)) return { ...init, ...(await prepare(request)) };
  const { headers } = await prepare(request, Promise.resolve());
  if (!headers.has("content-type")) headers.set("content-type", out.type);
  return { ...init, headers, body: streamOf(out, onProgress, unread), duplex: "half" } as RequestInit;
}

/** A server's platform, all but the module. */
export const server: Omit<Platform, "module"> = {
  isBrowser: false,
  transport: (given) => (request) => {
    let failure: TransportFailure | undefined;
    const prepare = () => prepareStreams(request, (why) => (failure = why));
    return fetchTransport(given, prepare, (error) => fetchFailed(failure ?? error))(request);
  },
  store: () => null,
};

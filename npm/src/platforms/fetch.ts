/** The transport on fetch. */
import { TransportFailure, type HttpRequest, type HttpResponse, type Transport } from "../core/platform.js";
import { encode } from "./form.js";

/** Throws what failed as a TransportFailure. */
export const fail =
  (failure: TransportFailure["failure"], message: string) =>
  (cause: unknown): never => {
    throw new TransportFailure(failure, message, { cause });
  };

/** What pages and fetch say when there is no answer: nothing more. */
export const noAnswer = fail("broken", "no answer: offline, or blocked by CORS");

/** Headers and body as fetch takes them. The type of forms and Blobs is set by the platform. */
export async function prepare(request: HttpRequest, body: Promise<any> = encode(request)) {
  const headers = new Headers(typeof request.body == "string" ? { "content-type": "application/json" } : {});
  for (let i = 0; i < request.headers.length; i += 2) headers.set(request.headers[i]!, request.headers[i + 1]!);
  const prepared = { headers, body: await body.catch(fail("source", "a file cannot be read")) };
  // Reading may have taken long.
  request.signal.throwIfAborted();
  return prepared;
}

/** An answer. */
export const answer = (status: number, header: (name: string) => string | null, body: Response): HttpResponse => ({
  status,
  header,
  text: () => body.text().catch(fail("broken", "the answer broke off")),
  stream: () => body.body ?? new Blob().stream(),
});

/**
 * A transport on `given`, or on the fetch that is global when a request is sent. `prepare` makes what fetch is told beside
 * method, URL and signal; `failed` sorts what it throws.
 */
export const fetchTransport =
  (
    given: typeof fetch | undefined,
    prepare: (request: HttpRequest) => Promise<RequestInit>,
    failed: (error: any) => never = noAnswer,
  ): Transport =>
  async (request) => {
    const { method, url, signal } = request;
    const init: RequestInit = { method, signal, redirect: "manual", ...(await prepare(request)) };
    const got = await (given ?? fetch)(url, init).catch(failed);
    // Pages are not shown a redirect: its status is 0.
    return answer(got.status || 302, (name) => got.headers.get(name), got);
  };

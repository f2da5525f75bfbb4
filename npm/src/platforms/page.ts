/** Pages and their workers, all but the module, which does not come from the same place everywhere. */
import type { HttpRequest, HttpResponse, Platform } from "../core/platform.js";
import { storeIn } from "../stores.js";
import { answer, fetchTransport, noAnswer, prepare } from "./fetch.js";

/**
 * By XMLHttpRequest: only there a page can watch how a body goes out. It follows redirects by itself; one that was followed
 * is told as such.
 */
async function send(request: HttpRequest): Promise<HttpResponse> {
  const { method, url, signal, onProgress } = request;
  const { headers, body } = await prepare(request);
  const xhr = new XMLHttpRequest();
  const abort = () => xhr.abort();
  signal.addEventListener("abort", abort);
  xhr.open(method, url);
  xhr.responseType = "blob";
  headers.forEach((value, name) => xhr.setRequestHeader(name, value));
  xhr.upload.onprogress = ({ loaded, total }) => onProgress!(loaded, total);
  await new Promise((ended) => {
    xhr.onloadend = ended;
    xhr.send(body);
  });
  signal.removeEventListener("abort", abort);
  const { status, responseURL } = xhr;
  // A field that is not shown would be noted as an error, if it was asked for by its name.
  const header = (name: string) => new RegExp(`^${name}: *(.*)`, "mi").exec(xhr.getAllResponseHeaders())?.[1] ?? null;
  return status
    ? answer(responseURL == new URL(url).href ? status : 302, header, new Response(xhr.response))
    : noAnswer(0);
}

export const page: Omit<Platform, "module"> = {
  isBrowser: true,
  // Service workers have no XMLHttpRequest.
  blind: !globalThis.XMLHttpRequest,
  transport(given) {
    const usual = fetchTransport(given, async (request) => ({
      cache: "no-store",
      credentials: "omit",
      ...(await prepare(request)),
    }));
    /** What was asked and answered. A server that answers here does not redirect the next upload: not each of them is to ask. */
    const direct = new Set<string>();
    return async (request) => {
      const { probe, onProgress } = request;
      if (!onProgress || given) return usual(request);
      // A redirect would take key and token along to another origin. So this is asked first, in a way that follows none, and
      // nothing is sent where the server redirects or does not answer.
      if (!direct.has(probe!)) {
        const asked = await usual({ ...request, method: "GET", url: probe!, body: undefined });
        if (asked.status == 302) return asked;
        // What stands before a sleeping server says nothing about that one.
        if (asked.status == 200) direct.add(probe!);
      }
      return send(request);
    };
  },
  store(key) {
    try {
      // Not there in workers, and forbidden to some frames.
      return storeIn(localStorage, key);
    } catch {
      return null;
    }
  },
  hints(tell) {
    const stop = new AbortController();
    const on = (type: string, then: (event: any) => void) => addEventListener(type, then, stop);
    on("online", () => tell("online"));
    // A page that comes back from the browser's cache has lost its connections.
    on("pageshow", (event) => event.persisted && tell("online"));
    // It rises from the document, which workers do not have.
    on("visibilitychange", () => tell(document.hidden ? "hidden" : "visible"));
    return () => stop.abort();
  },
};

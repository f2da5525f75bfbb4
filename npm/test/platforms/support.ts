/** How a transport is asked in tests. */
import type { HttpRequest } from "../../src/core/platform.js";

/** A request with what a test does not care about filled in. */
export const ask = (url: string, parts: Partial<HttpRequest> = {}): HttpRequest => ({
  method: parts.body === undefined ? "GET" : "POST",
  url,
  headers: [],
  body: undefined,
  ...(parts.onProgress && { probe: new URL("/api/health", url).href }),
  signal: new AbortController().signal,
  ...parts,
});

/** A stream of so many bytes that are all `x`; made piece by piece. */
export function streamOf(bytes: number, piece = 65_536): ReadableStream<Uint8Array> {
  let left = bytes;
  return new ReadableStream({
    pull(controller) {
      const size = Math.min(piece, left);
      left -= size;
      if (size) controller.enqueue(new Uint8Array(size).fill(120));
      else controller.close();
    },
  });
}

export const soon = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

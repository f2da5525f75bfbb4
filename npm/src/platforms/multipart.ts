/**
 * Bodies piece by piece, in constant memory, for runtimes that can send them so. Forms are as in sdk-core's
 * `files/form.rs`, byte by byte.
 */
import { Form } from "../core/platform.js";

/** A body to be sent. */
export interface Outgoing {
  /** The Content-Type, unless the caller gave one. */
  type: string;
  /** How many bytes, where that is known. */
  length: number | null;
  pieces(): AsyncGenerator<Uint8Array, void, void>;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A body other than JSON. */
export function outgoing(body: Form | { raw: unknown }): Outgoing {
  if (body instanceof Form) return form(body);
  const { raw } = body;
  // The platform knows how these are written.
  if (raw instanceof FormData || raw instanceof URLSearchParams) {
    const written = new Response(raw);
    return of(written.headers.get("content-type")!, [written.body]);
  }
  return of((raw instanceof Blob && raw.type) || "application/octet-stream", [raw]);
}

function form({ json, files }: Form): Outgoing {
  const boundary = `picobase-${crypto.randomUUID()}`;
  const all: unknown[] = [];
  if (json != null) all.push(head(boundary, "@jsonPayload", "", "application/json"), json, "\r\n");
  for (const [field, name, type, data] of files) {
    all.push(head(boundary, field, `; filename="${escape(name)}"`, type), data, "\r\n");
  }
  all.push(`--${boundary}--\r\n`);
  return of(`multipart/form-data; boundary=${boundary}`, all);
}

/** What stands before a part. A line break in the type would begin a header of its own. */
const head = (boundary: string, name: string, filename: string, type: string): string =>
  `--${boundary}\r\nContent-Disposition: form-data; name="${escape(name)}"${filename}\r\nContent-Type: ${type.replace(/\p{Cc}/gu, "")}\r\n\r\n`;

/** As browsers write names: quotes and line breaks percent-encoded, all else as it is. */
const escape = (name: string): string => name.replace(/["\r\n]/g, encodeURIComponent);

function of(type: string, sources: unknown[]): Outgoing {
  const all = sources.map((source) => (typeof source == "string" ? bytes(source) : source));
  return {
    type,
    length: all.reduce<number | null>((sum, source) => (sum == null ? null : add(sum, sizeOf(source))), 0),
    async *pieces() {
      for (const source of all) yield* piecesOf(source);
    },
  };
}

const add = (sum: number, size: number | null): number | null => (size == null ? null : sum + size);

function sizeOf(source: any): number | null {
  return source instanceof Blob ? source.size : (source?.byteLength ?? null);
}

/** The bytes of a Blob, of memory, or of a stream; its pieces may be memory or text. */
async function* piecesOf(source: any): AsyncGenerator<Uint8Array, void, void> {
  if (typeof source == "string") yield bytes(source);
  else if (source instanceof Uint8Array) yield source;
  else if (ArrayBuffer.isView(source)) yield new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  else if (source instanceof ArrayBuffer) yield new Uint8Array(source);
  else if (source instanceof Blob) yield* source.stream() as any;
  else if (source?.[Symbol.asyncIterator]) for await (const piece of source) yield* piecesOf(piece);
  else throw new TypeError("A file must be a Blob, bytes, or a stream of bytes.");
}

/** File URLs, uploads and downloads. URLs are synchronous, so in TypeScript; shared vectors prove that the core's are the same. */
import type { Client } from "./client.js";
import { noFile, split, type FileData } from "./body.js";
import { type Download, Op } from "./core/ops.js";
import { longest } from "./core/platform.js";
import { cancelled, fail, late, type PicoBaseError, problem } from "./error.js";
import { safely } from "./listeners.js";
import { watcherOf } from "./options.js";
import { Row } from "./rows.js";
import type { CallOptions, Progress, RecordModel, WaitOptions, WriteOptions } from "./types.js";

/** Whose file it is: a record, or what of it tells where it is. */
export type FileOwner = { id?: string | undefined; collectionId?: string | null | undefined; collectionName?: string | null | undefined };

/** How a file's URL is made. */
export interface FileUrlOptions {
  /** The size of a thumb that the field has: `100x100`, `0x300`, `100x100t` … */
  thumb?: string | null | undefined;
  /** Should the browser save it instead of showing it? */
  download?: boolean | string | null | undefined;
  /** A token for protected files, see {@link Storage.getToken}. */
  token?: string | null | undefined;
}

/** How a file is uploaded as a record of its own. */
export interface UploadOptions extends WriteOptions {
  /** The field that takes the file; `file` by default. */
  field?: string | undefined;
  /** The other fields of the record. */
  data?: Record<string, any> | undefined;
  /** Its file name; by default that of the file itself. */
  name?: string | undefined;
  /** Its content type; by default that of the file itself. */
  type?: string | undefined;
}

/** How a file is downloaded. */
export interface DownloadOptions extends CallOptions {
  /** The size of a thumb instead of the file itself. */
  thumb?: string | null | undefined;
  /** Is the file protected? Then a token is fetched for it. */
  protected?: boolean | undefined;
  /** A token of your own for a protected file. */
  token?: string | null | undefined;
  /** Called as the bytes come in. */
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** File URLs, uploads and downloads: `client.storage`, and under PocketBase's name `client.files`. */
export class Storage {
  readonly #client: Client<any>;

  /** @internal */
  constructor(client: Client<any>) {
    this.#client = client;
  }

  /**
   * The URL of a file. It carries no key and no session; a protected file needs a token in it.
   *
   * Throws a PicoBaseError of kind `NotFound` where id, collection or name is missing, and of kind `Configuration` where the
   * client has no URL.
   *
   * ```ts
   * image.src = client.storage.getUrl(post, post.cover, { thumb: "100x100" });
   * ```
   */
  getUrl(record: FileOwner, name: string, options: FileUrlOptions = {}): string {
    const path = `files/${segment(collectionOf(record))}/${segment(record.id)}/${segment(name)}`;
    return urlOf(this.#client, path, { thumb: options.thumb, download: options.download && "1", token: options.token });
  }

  /** The same as {@link Storage.getUrl}, under PocketBase's name. */
  getURL(record: FileOwner, name: string, options?: FileUrlOptions): string {
    return this.getUrl(record, name, options);
  }

  /** A token that opens protected files for three minutes. It is kept and renewed in time. */
  getToken(options?: WaitOptions): Promise<string> {
    return this.#client.call(Op.FileToken, [], options);
  }

  /**
   * Creates a record with a file in it. Kind `Validation` where there is no file: nobody has chosen one.
   *
   * ```ts
   * const doc = await client.storage.upload("docs", input.files[0], {
   *   data: { title: "Report" },
   *   onProgress: ({ done, total }) => console.log(done, total),
   * });
   * ```
   */
  async upload<T = RecordModel>(collection: string, file: FileData, options: UploadOptions = {}): Promise<T> {
    const { field = "file", data = {}, name, type, safeRetry, onProgress, ...rest } = options;
    const [json, files] = split({ ...data, [field]: file });
    const part = files.find(([name]) => name == field) ?? noFile();
    [part[1], part[2]] = [name ?? part[1], type ?? part[2]];
    return this.#client.call(Op.Create, [collection, json, files, !!safeRetry, watcherOf(onProgress)], rest);
  }

  /**
   * Downloads a file as a `Response`: read it with `blob()`, `arrayBuffer()` or piece by piece from `body`. It may take as long as
   * bytes come; a `timeout` is for all of it, and `signal` ends it, whatever has come.
   *
   * Reading fails too: with kind `Network` where the download breaks off or bytes are missing, with `Timeout` where none came for
   * the client's `transferIdleTimeout`.
   *
   * ```ts
   * const film = await (await client.storage.download(post, "film.mp4")).blob();
   * ```
   */
  download(record: FileOwner, name: string, options?: DownloadOptions): Promise<Response> {
    return download(this.#client, Row.FilesDownload, [collectionOf(record), record.id, name], options);
  }
}

const collectionOf = (record: FileOwner) => record.collectionId || record.collectionName;

/** @internal */
export async function download(
  client: Client<any>,
  row: Row,
  params: (string | null | undefined)[],
  { protected: isProtected, onProgress, ...options }: DownloadOptions = {},
): Promise<Response> {
  const args = [row, params.map((param) => param ?? ""), !!isProtected];
  const { timeout = client.options.timeout } = options;
  const limit = timeout === 0 ? longest : timeout;
  const idle = limit! >= longest ? longest : (client.options.transferIdleTimeout ?? 30_000);
  const end = performance.now() + (limit ?? longest);
  const { size, type, body } = await client.call<Download>(Op.Download, args, options);
  let done = 0;
  const came = (bytes: number) => safely(onProgress, { done: (done += bytes), total: size });
  let why: PicoBaseError | undefined;
  const failed = (error: PicoBaseError | undefined) => (why ??= error);
  const answer: any = new Response(guarded(body, came, failed, idle, end, options.signal), {
    headers: { ...(type && { "content-type": type }), ...(size != null && { "content-length": `${size}` }) },
  });
  // Chromium's own tell a body that failed as a TypeError, whatever it failed with. They are reached by name, and not all are everywhere: hence untyped.
  for (const how of ["arrayBuffer", "blob", "bytes", "formData", "json", "text"]) {
    const read = answer[how];
    answer[how] &&= () =>
      read.call(answer).catch((error: unknown) => {
        throw why ?? error;
      });
  }
  return answer;
}

/** A body whose failures are PicoBaseErrors: it breaks off, says nothing while somebody waits for more, is late, or was cancelled. */
function guarded(
  body: ReadableStream<Uint8Array>,
  came: (bytes: number) => void,
  failed: (error: PicoBaseError | undefined) => unknown,
  idle: number,
  end: number,
  signal: AbortSignal | null | undefined,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let out: ReadableStreamDefaultController<Uint8Array>;
  let timer: any;
  // A stream that is closed takes no error any more.
  const leave = (error?: PicoBaseError) => {
    failed(error);
    out.error(error);
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
    reader.cancel().catch(() => {});
  };
  const abort = () => leave(cancelled(signal!.reason));
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        out = controller;
        signal?.addEventListener("abort", abort);
        if (signal?.aborted) abort();
      },
      async pull() {
        const wait = Math.min(idle, end - performance.now());
        timer = setTimeout(() => leave(late(wait == idle ? "the download made no progress" : undefined)), wait);
        try {
          const { value } = await reader.read();
          clearTimeout(timer);
          if (value) {
            out.enqueue(value);
            came(value.length);
          } else {
            out.close();
            leave();
          }
        } catch (cause) {
          leave(problem("Network", "the download broke off", "Try again.", cause));
        }
      },
      cancel: () => leave(),
    },
    { highWaterMark: 0 },
  );
}

/**
 * The URL of `path` on the client's instance.
 *
 * @internal
 */
export function urlOf(client: Client<any>, path: string, query: Record<string, string | false | null | undefined>): string {
  const parameters = Object.entries(query).flatMap(([name, value]) => (value ? [`${name}=${encode(value)}`] : []));
  return `${baseOf(client.url)}/api/${path}${parameters.length ? "?" : ""}${parameters.join("&")}`;
}

/** One segment of a path. */
export function segment(value: string | null | undefined): string {
  if (!value || value == "." || value == "..") {
    fail("NotFound", `"${value ?? ""}" cannot be the id or name of anything`, "Pass one that exists.");
  }
  return encode(value);
}

/** All but the unreserved characters of RFC 3986 become their UTF-8 bytes. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase());
}

/**
 * The base URL as the core keeps it. What is wrong with one that is none the core tells in each call.
 *
 * @internal
 */
export function baseOf(url: string | null): string {
  const [, scheme, host, port, path] =
    /^(https?):\/\/(\[[\da-f:.]+]|[\w!$&'()*+.;=~-]+)(?::(\d+))?(\/[^\s\0-\x1f\x7f\\<>"?#]*)?$/i.exec((url ?? "").trim()) ?? [];
  const plainPath = (path ?? "").replace(/\/+$/, "");
  if (!host || (port && !(+port > 0 && +port < 65536)) || /\/(\/|(\.|%2e){1,2}(\/|$))/i.test(plainPath)) {
    fail(
      "Configuration",
      "the client has no valid URL",
      "Write it like https://my-app.picobase.com or http://host:port/path, no user, query, fragment or ..",
    );
  }
  const start = `${scheme}://${host}`.toLowerCase();
  return start + (port && +port != (start[4] == "s" ? 443 : 80) ? `:${+port}` : "") + plainPath;
}

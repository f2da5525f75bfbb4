/** The one error type: a stable kind, what the server said, and what to do about it. */

/** What went wrong, in terms that are the same in every language of the SDK family. More kinds may come. */
export type ErrorKind =
  | "Configuration"
  | "Network"
  | "Timeout"
  | "Cancelled"
  | "Validation"
  | "Unauthorized"
  | "Forbidden"
  | "NotFound"
  | "Conflict"
  | "MfaRequired"
  | "RateLimited"
  | "InstanceUnavailable"
  | "InvalidApiKey"
  | "SessionExpired"
  | "Server"
  | "Decode"
  | "Storage"
  | (string & {});

/** Why the server refused one field. */
export interface FieldError {
  /** The server's code, `validation_required` for example; empty where it gives none. */
  code: string;
  /** The server's sentence about it. */
  message: string;
  /** The parameters of the message (`{min: 3}`), where the server gives some. */
  params: any;
}

/** What an error is made of: kind and message, and whatever else is known. */
export interface ErrorParts {
  kind: ErrorKind;
  message: string;
  status?: number;
  code?: string | null;
  fields?: Record<string, FieldError>;
  fix?: string;
  url?: string | null;
  attempts?: number;
  retryAfter?: number | null;
  mfaId?: string | null;
  body?: string | null;
  item?: number | null;
  maybeCreated?: string | null;
  cause?: unknown;
}

/**
 * Anything that can go wrong in a call. It has the members of PocketBase's `ClientResponseError` as well.
 *
 * What may hold a secret or what a user typed (`body`, `response`, `mfaId`) can be asked for, but is not printed.
 *
 * ```ts
 * try {
 *   await client.collection("posts").create({ title: "" });
 * } catch (e) {
 *   if (e instanceof PicoBaseError && e.kind === "Validation") console.log(e.fields.title?.message, e.fix);
 *   else throw e;
 * }
 * ```
 */
export class PicoBaseError extends Error {
  /** What went wrong. */
  declare readonly kind: ErrorKind;
  /** The HTTP status of the answer; 0 where there was none. It is 404 for all that is not found, also where nothing was asked. */
  declare readonly status: number;
  /** The gateway's machine-readable code, `invalid_api_key` for example. The server itself gives codes per field. */
  declare readonly code: string | null;
  /** The refused fields by name. Nested names are joined with dots. */
  declare readonly fields: Record<string, FieldError>;
  /** What to do about it, in a sentence for the developer. */
  declare readonly fix: string;
  /** The URL of the call with its secrets taken out; null where it had none. */
  declare readonly url: string | null;
  /** How many requests were sent for the call. */
  declare readonly attempts: number;
  /** How long the server asked to wait before the next try, in milliseconds. */
  declare readonly retryAfter: number | null;
  /** Which request of a batch, or which id of several, failed: its index. */
  declare readonly item: number | null;
  /** The id of a record that may or may not have been created: the answer was lost and could not be asked again. */
  declare readonly maybeCreated: string | null;
  readonly #body: string | null;
  readonly #mfaId: string | null;

  constructor({ message, cause, body, mfaId, ...rest }: ErrorParts) {
    super(message, cause === undefined ? {} : { cause });
    this.#body = body ?? null;
    this.#mfaId = mfaId ?? null;
    const unknown = { status: 0, code: null, fields: {}, fix: "", url: null, attempts: 0, retryAfter: null, item: null, maybeCreated: null };
    Object.assign(this, unknown, rest, rest.kind == "NotFound" && { status: rest.status || 404 });
  }

  override get name(): string {
    return "PicoBaseError";
  }

  /** The id to pass with the second factor, for kind `MfaRequired`. */
  get mfaId(): string | null {
    return this.#mfaId;
  }

  /** The answer's JSON as text, or the first 200 characters of anything else; null where there was no answer. */
  get body(): string | null {
    return this.#body;
  }

  /** The answer's JSON; where there is none, `{status, message, data: {}}`. */
  get response(): Record<string, any> {
    try {
      const json = JSON.parse(this.#body!);
      if (json && typeof json == "object") return json;
    } catch {}
    return { status: this.status, message: this.message, data: {} };
  }

  /** The same as `response`, as in PocketBase's SDK. */
  get data(): Record<string, any> {
    return this.response;
  }

  /** Did the caller cancel? */
  get isAbort(): boolean {
    return this.kind == "Cancelled";
  }

  /** What lies behind it: the platform's own error, where there is one. */
  get originalError(): unknown {
    return this.cause;
  }

  /** What may be logged. */
  toJSON(): object {
    return { ...this, name: this.name, message: this.message };
  }
}

/**
 * An error of the package's own making.
 *
 * @internal
 */
export function problem(kind: ErrorKind, message: string, fix: string, cause?: unknown): PicoBaseError {
  return new PicoBaseError({ kind, message, fix, cause });
}

/**
 * The caller wants no more of it.
 *
 * @internal
 */
export function cancelled(cause?: unknown): PicoBaseError {
  return problem("Cancelled", "the call was cancelled", "Nothing: the caller cancelled.", cause);
}

/**
 * It took longer than it may.
 *
 * @internal
 */
export function late(message = "the deadline passed"): PicoBaseError {
  return problem("Timeout", message, "Try again, or give it more time: `timeout`, for transfers `transferIdleTimeout`.");
}

/**
 * Throws one.
 *
 * @internal
 */
export function fail(kind: ErrorKind, message: string, fix: string): never {
  throw problem(kind, message, fix);
}

/**
 * What anything that was thrown says.
 *
 * @internal
 */
export function textOf(error: any): string {
  return `${error?.message ?? error}`;
}

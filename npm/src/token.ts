/** What a client may know of a token, and of the text that keeps a session. Shared vectors prove that the core reads the same. */
import type { RecordModel } from "./types.js";

/** A session as stores and cookies keep it. */
export interface StoredSession<M = RecordModel> {
  token: string;
  record: M | null;
}

/**
 * The claims of a token; null where it has not the shape of one. A client cannot check the signature and does not try.
 *
 * @internal
 */
export function claims(token: string): Record<string, any> | null {
  const [, payload] = /^[^.]*\.([\w+/-]*)=*\.[^.]*$/.exec(token) ?? [];
  try {
    const bytes = Uint8Array.from(atob(payload!.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
    return objectOf(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
  } catch {
    return null;
  }
}

/**
 * When the token expires, in whole Unix seconds; null where it does not say.
 *
 * @internal
 */
export function expiry(token: string): number | null {
  const exp = claims(token)?.exp;
  return typeof exp == "number" ? Math.floor(exp) : null;
}

/**
 * Does the clock say that the token has expired, or is it none?
 *
 * @internal
 */
export function expired(token: string, now = Date.now()): boolean {
  return !claims(token) || now / 1000 >= (expiry(token) ?? Infinity);
}

/**
 * Reads the text that stores and cookies keep; null where it is none. PocketBase's SDK of old wrote `model` for `record`.
 *
 * @internal
 */
export function parseSession(text: string | null | undefined): StoredSession | null {
  try {
    const { token, model, record = model } = JSON.parse(text!);
    return token && typeof token == "string" ? { token, record: objectOf(record) } : null;
  } catch {
    return null;
  }
}

function objectOf(value: any): any {
  return value && typeof value == "object" && !Array.isArray(value) ? value : null;
}

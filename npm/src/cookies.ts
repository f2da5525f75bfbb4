/**
 * The session as cookies, for pages that a server renders: in the cookie `pb_auth` of PocketBase's SDK, or in chunks of it
 * (`pb_auth.0`, `pb_auth.1` …) where one cookie would pass what browsers keep. Shared vectors prove the format.
 */
import { expiry, parseSession, type StoredSession } from "./token.js";

/** The name and the attributes of session cookies. */
export interface CookieOptions {
  /** `pb_auth` by default. */
  name?: string | undefined;
  /** Below which path the cookie is sent; `/` by default. */
  path?: string | undefined;
  /** The domain whose hosts get the cookie; by default only the host that sets it. */
  domain?: string | null | undefined;
  /** How long browsers keep it, in seconds; by default until the token expires. */
  maxAge?: number | null | undefined;
  /** Over HTTPS only? Yes by default; turn it off for development over plain HTTP. */
  secure?: boolean | undefined;
  /** Kept from the page's scripts? Yes by default; turn it off where a client in the page takes the session over. */
  httpOnly?: boolean | undefined;
  /** When it is sent with requests that another site started; `lax` by default. `true` is `strict`, as in PocketBase's SDK. */
  sameSite?: "strict" | "lax" | "none" | "Strict" | "Lax" | "None" | true | undefined;
}

/** Where cookies stand: a `Cookie` header, a Request, Headers, or what Node's servers hand over. */
export type CookieSource = string | { headers: HeadersLike } | HeadersLike | null | undefined;
type HeadersLike = { get(name: string): string | null } | { cookie?: string | undefined };

/** What browsers keep of one cookie, in bytes. */
const MAX = 4096;
/** The last millisecond of the year 9999. */
const LAST_DATE = 253402300799999;
/** The number of the cookie that is no chunk. */
const WHOLE = -1;

/**
 * The session as values of `Set-Cookie`; without a session (null, or no token in it) what removes it. `existing` are the
 * cookies that the request brought: what of an earlier session is not written now is removed.
 *
 * ```ts
 * for (const cookie of toCookies(visitor.authStore, {}, request)) headers.append("set-cookie", cookie);
 * ```
 */
export function toCookies(
  session: StoredSession<any> | null | undefined,
  options: CookieOptions = {},
  existing: CookieSource | readonly string[] = [],
): string[] {
  const name = plain(options.name);
  const nameOf = (part: number) => (part < 0 ? name : `${name}.${part}`);
  const names = Array.isArray(existing) ? existing : pairs(existing as CookieSource).map(([cookie]) => cookie);
  const stale = names.flatMap((cookie) => partOf(cookie, name) ?? []);
  const values = new Map<number, string>();
  if (session?.token) {
    const json = JSON.stringify({ token: session.token, record: session.record ?? null });
    const exp = expiry(session.token);
    const attributes = attributesOf(options, exp != null && exp >= 0 ? exp * 1000 : null, options.maxAge);
    const fits = (part: number, value: string) => nameOf(part).length + 1 + value.length + attributes.length <= MAX;
    const whole = encodeURIComponent(json);
    let part = fits(WHOLE, whole) ? WHOLE : 0;
    let value = "";
    // Between its characters; at least one each, or a name of 4 KB would make chunks for ever.
    for (const piece of part < 0 ? [whole] : [...json].map(encodeURIComponent)) {
      if (value && !fits(part, value + piece)) {
        part++;
        value = "";
      }
      values.set(part, (value += piece) + attributes);
    }
  } else stale.push(WHOLE);
  for (const part of stale.sort((a, b) => a - b)) if (!values.has(part)) values.set(part, attributesOf(options, 0));
  return [...values].map(([part, value]) => `${nameOf(part)}=${value}`);
}

/**
 * The session that a request's cookies hold; null where there is none, or it is damaged.
 *
 * Whoever sends a cookie can write into it what they like. The server checks the token with every call, but nobody has
 * checked the `record`: do not decide by it who someone is before `auth.refresh()` has brought the one that the server has.
 *
 * ```ts
 * const visitor = client.withSession(fromCookies(request));
 * ```
 */
export function fromCookies(source: CookieSource, name?: string): StoredSession | null {
  const found = new Map<number, string>();
  for (const [cookie, value] of pairs(source)) {
    const part = partOf(cookie, plain(name));
    if (part != null && value != null && !found.has(part)) found.set(part, value.replace(/^"(.*)"$/s, "$1"));
  }
  let text = found.get(WHOLE);
  found.delete(WHOLE);
  if (!text) {
    text = "";
    for (let part = 0; part < found.size; part++) {
      if (!found.has(part)) return null;
      text += found.get(part);
    }
  }
  try {
    return parseSession(decodeURIComponent(text));
  } catch {
    return null;
  }
}

/**
 * Puts the session into an answer: {@link toCookies} as `Set-Cookie` headers of a Response or its Headers.
 *
 * ```ts
 * const response = new Response(html, { headers: { "content-type": "text/html" } });
 * setCookies(response, visitor.authStore, {}, request);
 * ```
 */
export function setCookies(
  answer: Response | Headers,
  session: StoredSession<any> | null | undefined,
  options?: CookieOptions,
  existing?: CookieSource | readonly string[],
): void {
  const headers = "headers" in answer ? answer.headers : answer;
  for (const cookie of toCookies(session, options, existing)) headers.append("set-cookie", cookie);
}

/** Names and values of a Cookie header; without `=` there is no value. */
function pairs(source: CookieSource): [name: string, value?: string][] {
  const headers: any = source && typeof source == "object" && "headers" in source ? source.headers : source;
  const text: string = typeof headers == "string" ? headers : (headers?.get?.("cookie") ?? headers?.cookie ?? "");
  return text.split(";").map((pair) => {
    const at = pair.indexOf("=");
    return at < 0 ? [pair.trim()] : [pair.slice(0, at).trim(), pair.slice(at + 1).trim()];
  });
}

/** Which part of the session `name` this cookie is; null for another's. */
function partOf(cookie: string, name: string): number | null {
  if (cookie == name) return WHOLE;
  const digits = cookie.startsWith(name + ".") ? cookie.slice(name.length + 1) : "";
  const number = +digits >>> 0;
  // Neither `+1` nor `01` is a name that was written.
  return String(number) == digits ? number : null;
}

/** Only what a cookie's name may have (RFC 6265 §4.1.1). */
function plain(name = "pb_auth"): string {
  return name.replace(/[^\w!#$%&'*+.^`|~-]/g, "");
}

/** What follows the value. `expires` in Unix milliseconds. */
function attributesOf(options: CookieOptions, expires: number | null, maxAge?: number | null): string {
  const { path = "/", domain, secure = true, httpOnly = true, sameSite } = options;
  // Only what an attribute's value may have.
  const value = (text: string) => text.replace(/[^ -~]|;/g, "");
  const host = value(domain ?? "");
  return (
    `; Path=${value(path)}` +
    (host && `; Domain=${host}`) +
    (expires != null ? `; Expires=${new Date(Math.min(expires, LAST_DATE)).toUTCString()}` : "") +
    (maxAge != null ? `; Max-Age=${Math.max(0, Math.trunc(maxAge))}` : "") +
    (httpOnly ? "; HttpOnly" : "") +
    (secure ? "; Secure" : "") +
    `; SameSite=${{ true: "Strict", strict: "Strict", none: "None" }[String(sameSite).toLowerCase()] ?? "Lax"}`
  );
}

/** The session as text: tokens and cookies, by the shared vectors. */
import { describe, expect, it } from "vitest";
import { fromCookies, setCookies, toCookies } from "../../src/cookies.js";
import { claims, expired, expiry } from "../../src/token.js";
import { token } from "./fake.js";
import { type Case, vectors } from "./vectors.js";

describe("tokens", () => {
  it.each(vectors("tokens"))("$name", ({ in: given, out }: Case) => {
    const read = claims(given.token);
    const text = (value: unknown) => (typeof value === "string" ? value : null);
    const came = {
      valid_shape: !!read,
      exp: expiry(given.token),
      id: text(read?.id),
      collection_id: text(read?.collectionId),
      type: text(read?.type),
      refreshable: read?.refreshable !== false,
      expired: expired(given.token, given.now * 1000),
    };
    expect(came).toMatchObject(out);
  });
});

describe("cookies", () => {
  const cases = vectors("cookies");
  const sorted = (cookie: any) => ({ ...cookie, attributes: [...cookie.attributes].sort() });

  it.each(cases.filter((one) => "session" in one.in))("$name", ({ in: { session, options = {}, existing }, out }: Case) => {
    const { max_age, http_only, same_site, ...rest } = options;
    const cookies = toCookies(session, { ...rest, maxAge: max_age, httpOnly: http_only, sameSite: same_site }, existing);
    const read = cookies.map((cookie) => {
      expect(cookie.length).toBeLessThanOrEqual(4096);
      const [pair, ...attributes] = cookie.split("; ");
      const at = pair!.indexOf("=");
      return { name: pair!.slice(0, at), value: pair!.slice(at + 1), attributes };
    });
    expect(read.map(sorted)).toEqual(out.cookies.map(sorted));
  });

  it.each(cases.filter((one) => "cookie_header" in one.in))("$name", ({ in: given, out }: Case) => {
    expect(fromCookies(given.cookie_header, given.name)).toEqual(out.session);
  });

  it("has cases of both directions", () => {
    const exports = cases.filter((one) => "session" in one.in).length;
    expect(exports).toBeGreaterThan(20);
    expect(cases.length - exports).toBeGreaterThan(20);
  });

  it("options cannot break out of their attribute", () => {
    const options = { name: "a=b; c\r\n", path: "/x; Domain=evil\r\nX: 1", domain: "\u00e9;" };
    expect(toCookies(null, options)).toEqual([
      "abc=; Path=/x Domain=evilX: 1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax",
    ]);
  });

  it("dates stay dates", () => {
    expect(toCookies({ token: token({ exp: 1e300 }), record: null })[0]).toContain("; Expires=Fri, 31 Dec 9999 23:59:59 GMT;");
    expect(toCookies({ token: token({ exp: -1 }), record: null })[0]).not.toContain("Expires");
    expect(toCookies({ token: token({ exp: 1e9 }), record: null }, { sameSite: true })[0]).toContain("SameSite=Strict");
  });

  it("come from requests of all kinds and go into answers", () => {
    const session = { token: token({ exp: 2e9 }), record: { id: "u1", bio: "\u{1f600}".repeat(600) } };
    const headers = new Headers();
    setCookies(headers, session, {}, "theme=dark; pb_auth=old; pb_auth.9=old");
    const answer = new Response("");
    setCookies(answer, session, {}, { headers: { cookie: "theme=dark; pb_auth=old; pb_auth.9=old" } });
    expect(answer.headers.getSetCookie()).toEqual(headers.getSetCookie());
    const names = headers.getSetCookie().map((cookie) => cookie.split("=")[0]);
    expect(names).toEqual(["pb_auth.0", "pb_auth.1", "pb_auth", "pb_auth.9"]);
    const cookie = headers.getSetCookie().map((set) => set.split(";")[0]).filter((pair) => !pair!.endsWith("=")).join("; ");
    const request = new Request("http://h", { headers: { cookie } });
    for (const source of [cookie, { headers: { cookie } }, new Headers({ cookie }), request]) {
      expect(fromCookies(source)).toEqual(session);
    }
    for (const source of [null, undefined, "", { headers: {} }, new Headers()]) expect(fromCookies(source)).toBeNull();
  });

  it("a session without its middle is none", () => {
    const header = 'pb_auth.0={"token":"a; pb_auth.1=b; pb_auth.2=c"}';
    expect(fromCookies(header)!.token).toBe("abc");
    expect(fromCookies(header.replace("pb_auth.1=b; ", ""))).toBeNull();
  });
});

/** Auth store, its listeners, stores, and what the methods of sessions ask the engine. */
import { inspect } from "node:util";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Op } from "../../src/core/ops.js";
import type { Platform } from "../../src/core/platform.js";
import { PicoBaseError } from "../../src/error.js";
import { onOtherTabs, peek, storeOf } from "../../src/stores.js";
import { settled, token, world } from "./fake.js";

const ada = { token: token({ id: "u1", type: "auth", exp: 4e9 }), record: { id: "u1", email: "ada@example.com" } as any };
const bob = { token: token({ id: "u2", type: "auth", exp: 4e9 }), record: { id: "u2", email: "bob@example.com" } as any };
const told = ({ token, record }: typeof ada) => [token, record, 4e12] as [string, any, number];

afterEach(() => vi.unstubAllGlobals());

describe("authStore", () => {
  it("shows what it began with, then what the core says", () => {
    const { client, tell } = world({}, ada);
    const heard: any[] = [];
    client.authStore.onChange((token, record) => heard.push([token, record]), true);
    expect(client.authStore).toMatchObject({ ...ada, isValid: true, isSuperuser: false });
    tell("auth", "INITIAL_SESSION", [ada.token, { ...ada.record }, 4e12]);
    expect(heard).toEqual([[ada.token, ada.record]]);
    tell("auth", "SIGNED_OUT", null);
    expect(client.authStore).toMatchObject({ token: "", record: null, isValid: false });
    expect(heard.at(-1)).toEqual(["", null]);
  });

  it("shows save and clear at once, and nothing older that the core still says", async () => {
    const { client, tell, calls } = world();
    const heard: string[] = [];
    client.authStore.onChange((token) => heard.push(token));
    tell("auth", "INITIAL_SESSION", null);
    client.authStore.save(ada.token, ada.record);
    expect(client.authStore.token).toBe(ada.token);
    expect(calls.map(({ op, args }) => [op, args])).toEqual([[Op.SetSession, [ada.token, ada.record]]]);
    tell("auth", "SIGNED_IN", told(bob));
    expect(client.authStore.token).toBe(ada.token);
    tell("auth", "SIGNED_IN", told(ada));
    await calls[0]!.answer();
    expect(client.authStore.token).toBe(ada.token);
    client.authStore.save("");
    expect(calls[1]!.op).toBe(Op.SignOut);
    expect(client.authStore.token).toBe("");
    tell("auth", "SIGNED_OUT", null);
    await calls[1]!.answer();
    expect(heard).toEqual([ada.token, ""]);
  });

  it("takes back what the core refuses", async () => {
    const { client, tell, calls } = world({}, ada);
    tell("auth", "INITIAL_SESSION", told(ada));
    client.authStore.save("no token");
    expect(client.authStore.token).toBe("no token");
    await calls[0]!.fail(new PicoBaseError({ kind: "Decode", message: "no token" }));
    expect(client.authStore).toMatchObject(ada);
  });

  it("knows superusers and expired tokens", () => {
    const superuser = (claims: object, record: any) => world({}, { token: token({ type: "auth", ...claims }), record }).client.authStore.isSuperuser;
    expect(superuser({}, { collectionName: "_superusers" })).toBe(true);
    expect(superuser({ collectionId: "pbc_3142635823" }, null)).toBe(true);
    expect(superuser({ collectionId: "pbc_3142635823" }, { collectionName: "users" })).toBe(false);
    expect(superuser({ type: "file" }, { collectionName: "_superusers" })).toBe(false);
    expect(superuser({}, null)).toBe(false);
    expect(world({}, { token: token({ exp: 1 }) }).client.authStore.isValid).toBe(false);
    expect(world({}, { token: "x" }).client.authStore.isValid).toBe(false);
    expect(world().client.authStore.isValid).toBe(false);
  });

  it("goes through a cookie and back, also where the record is too long for one", async () => {
    const { client } = world({}, { ...ada, record: { ...ada.record, bio: "x".repeat(5000) } });
    const long = client.authStore.exportToCookie({ httpOnly: false }, "sid");
    expect(long).toMatch(/^sid=.*; Path=\/; Expires=.*; Secure; SameSite=Lax$/);
    const other = world();
    other.client.authStore.loadFromCookie(`theme=dark; ${long.split(";")[0]}`, "sid");
    expect(other.client.authStore).toMatchObject(ada);
    expect(other.calls[0]).toMatchObject({ op: Op.SetSession, args: [ada.token, ada.record] });
    other.client.authStore.loadFromCookie("theme=dark");
    expect(other.client.authStore.token).toBe("");
    expect(other.calls[1]).toMatchObject({ op: Op.SignOut });
    expect(other.client.authStore.exportToCookie()).toMatch(/^pb_auth=; .*Expires=Thu, 01 Jan 1970/);
  });

  it("shows no token where it is printed", () => {
    const { client } = world({}, ada);
    for (const shown of [JSON.stringify(client.authStore), inspect(client.authStore, { showHidden: true, depth: 9 }), `${client.authStore}`]) {
      expect(shown).not.toContain(ada.token);
    }
  });
});

describe("onAuthStateChange", () => {
  it("begins with INITIAL_SESSION, whenever one starts to listen", async () => {
    const { client, tell, calls } = world();
    const [first, second, third]: any[][] = [[], [], []];
    const stop = client.auth.onAuthStateChange((event, session) => first!.push([event, session?.token]));
    expect(calls[0]!.op).toBe(Op.Ready);
    await settled();
    expect(first).toEqual([]);
    tell("auth", "INITIAL_SESSION", null);
    client.auth.onAuthStateChange((event, session) => second!.push([event, session?.token]));
    expect(second).toEqual([]);
    await settled();
    client.auth.onAuthStateChange((event, session) => third!.push([event, session?.token]));
    tell("auth", "SIGNED_IN", told(ada));
    await settled();
    const all = [
      ["INITIAL_SESSION", undefined],
      ["SIGNED_IN", ada.token],
    ];
    expect([first, second, third]).toEqual([all, all, all]);
    stop();
    tell("auth", "SIGNED_OUT", null);
    expect([first!.length, second!.length, third!.length]).toEqual([2, 3, 3]);
  });

  it("one that stops before its first event hears nothing, and one that throws stops nobody", async () => {
    const { client, tell } = world();
    tell("auth", "INITIAL_SESSION", null);
    const heard: string[] = [];
    client.auth.onAuthStateChange((event) => heard.push(`stopped ${event}`))();
    const thrown = new Promise((caught) => process.once("uncaughtException", caught));
    client.auth.onAuthStateChange(() => {
      throw new Error("the program's");
    });
    client.auth.onAuthStateChange((event) => heard.push(event));
    expect(await thrown).toMatchObject({ message: "the program's" });
    expect(heard).toEqual(["INITIAL_SESSION"]);
  });

  it("the session has names", async () => {
    const { client, calls } = world();
    const session = client.auth.getSession();
    await calls[0]!.answer(told(ada));
    expect(await session).toMatchObject({ ...ada, expiresAt: 4e12 });
    for (const shown of [JSON.stringify(await session), inspect(await session, { showHidden: true })]) expect(shown).not.toContain(ada.token);
    const user = client.auth.getUser();
    await calls[1]!.answer(null);
    expect(await user).toBeNull();
  });
});

describe("what the methods ask", () => {
  const asked: [name: string, call: (c: any) => unknown, op: Op, args: unknown[]][] = [
    ["signIn", (c) => c.auth.signIn("a", "p"), Op.SignIn, ["people", "a", "p", null, null]],
    ["signIn", (c) => c.auth.signIn("a", "p", { mfaId: "m", identityField: "name" }), Op.SignIn, ["people", "a", "p", "m", "name"]],
    ["authWithPassword", (c) => c.collection("posts").authWithPassword("a", "p"), Op.SignIn, ["posts", "a", "p", null, null]],
    ["signUp", (c) => c.auth.signUp("a", "p", { name: "A" }), Op.SignUp, ["people", "a", "p", { name: "A" }]],
    ["signUp", (c) => c.collection("users").auth.signUp("a", "p"), Op.SignUp, ["users", "a", "p", null]],
    ["signOut", (c) => c.auth.signOut(), Op.SignOut, []],
    ["signInWithOtp", (c) => c.auth.signInWithOtp("o", "1", { mfaId: "m" }), Op.SignInOtp, ["people", "o", "1", "m"]],
    ["authWithOTP", (c) => c.collection("u").authWithOTP("o", "1"), Op.SignInOtp, ["u", "o", "1", null]],
    ["requestOtp", (c) => c.auth.requestOtp("a"), Op.Row, [27, ["people"], { email: "a" }, 0]],
    ["requestOTP", (c) => c.collection("u").requestOTP("a"), Op.Row, [27, ["u"], { email: "a" }, 0]],
    ["beginOAuth2", (c) => c.auth.beginOAuth2("p", "http://r").catch(() => {}), Op.BeginOAuth2, ["people", "p", "http://r"]],
    ["finishOAuth2", (c) => c.auth.finishOAuth2({ code: "c", state: "s" }, { createData: { a: 1 } }), Op.FinishOAuth2, ["people", null, "c", "s", { a: 1 }, null]],
    ["finishOAuth2", (c) => c.auth.finishOAuth2(new URL("http://r/?code=c")), Op.FinishOAuth2, ["people", null, "http://r/?code=c", null, null, null]],
    ["finishOAuth2", (c) => c.auth.finishOAuth2("http://r", { mfaId: "m" }), Op.FinishOAuth2, ["people", null, "http://r", null, null, "m"]],
    ["authWithOAuth2", (c) => c.collection("u").authWithOAuth2({ provider: "p", urlCallback() {}, timeout: 5 }), Op.OAuth2AllInOne, ["u", "p", [], null, null, 5]],
    ["signInWithOAuth", (c) => c.auth.signInWithOAuth("p", { urlCallback() {}, scopes: ["a"], createData: {}, mfaId: "m" }), Op.OAuth2AllInOne, ["people", "p", ["a"], {}, "m", null]],
    ["refresh", (c) => c.auth.refresh(), Op.Refresh, ["people"]],
    ["settled", (c) => c.auth.settled(), Op.Settled, ["people"]],
    ["authRefresh", (c) => c.collection("u").authRefresh(), Op.Refresh, ["u"]],
    ["setSession", (c) => c.auth.setSession(ada), Op.SetSession, [ada.token, ada.record]],
    ["methods", (c) => c.auth.methods(), Op.Row, [21, ["people"], null, 0]],
    ["listAuthMethods", (c) => c.collection("u").listAuthMethods(), Op.Row, [21, ["u"], null, 0]],
    ["requestVerification", (c) => c.auth.requestVerification("a"), Op.Row, [31, ["people"], { email: "a" }, 1]],
    ["confirmVerification", (c) => c.auth.confirmVerification("t"), Op.ConfirmVerification, ["people", "t"]],
    ["requestPasswordReset", (c) => c.collection("u").requestPasswordReset("a"), Op.Row, [29, ["u"], { email: "a" }, 1]],
    ["confirmPasswordReset", (c) => c.auth.confirmPasswordReset("t", "p", "p"), Op.ConfirmReset, ["people", "t", "p"]],
    ["confirmPasswordReset, mistyped", (c) => c.auth.confirmPasswordReset("t", "p", "q"), Op.Row, [30, ["people"], { token: "t", password: "p", passwordConfirm: "q" }, 1]],
    ["requestEmailChange", (c) => c.auth.requestEmailChange("b"), Op.Row, [33, ["people"], { newEmail: "b" }, 1]],
    ["confirmEmailChange", (c) => c.auth.confirmEmailChange("t", "p"), Op.ConfirmEmailChange, ["people", "t", "p"]],
    ["externalAuths", (c) => c.auth.externalAuths("i"), Op.ExternalAuths, ["people", "i"]],
    ["listExternalAuths", (c) => c.collection("u").listExternalAuths("i"), Op.ExternalAuths, ["u", "i"]],
    ["unlinkExternalAuth", (c) => c.auth.unlinkExternalAuth("i", "p"), Op.UnlinkExternalAuth, ["people", "i", "p"]],
    ["impersonate", (c) => c.auth.impersonate("i", 60), Op.Row, [35, ["people", "i"], { duration: 60 }, 0]],
  ];

  it.each(asked)("%s", (_, call, op, args) => {
    const { client, calls } = world({ authCollection: "people" });
    void call(client);
    expect(calls.map((one) => [one.op, one.args])).toEqual([[op, args]]);
  });

  it("options go along, query parameters of any name too", () => {
    const { client, calls } = world();
    const { signal } = new AbortController();
    void client.auth.signIn("a", "p", { expand: "team", headers: { a: "b" }, timeout: 5, signal, query: { x: 1 } });
    expect(calls[0]!.options).toMatchObject({ headers: ["a", "b"], timeout: 5, signal });
    expect(calls[0]!.options.query).toEqual(["expand", "team", "x", "1"]);
    expect(calls[0]!.args[0]).toBe("users");
  });

  it("answers are sessions, and true where there is nothing to say", async () => {
    const { client, calls } = world();
    const session = client.auth.signIn("a", "p");
    await calls[0]!.answer(told(ada));
    expect(await session).toMatchObject({ ...ada, expiresAt: 4e12 });
    const none = client.auth.signUp("a", "p");
    await calls[1]!.answer(null);
    expect(await none).toBeNull();
    const done = client.auth.requestVerification("a");
    await calls[2]!.answer();
    expect(await done).toBe(true);
  });

  it("a code of a flow of one's own begins the session that it brings", async () => {
    const { client, calls } = world();
    const answer = client.collection("users").authWithOAuth2Code("p", "c", "v", "http://r", { name: "A" });
    expect(calls[0]).toMatchObject({ op: Op.Row, args: [23, ["users"], { provider: "p", code: "c", codeVerifier: "v", redirectURL: "http://r", createData: { name: "A" } }, 0] });
    await calls[0]!.answer({ ...ada, meta: { isNew: true } });
    expect(calls[1]).toMatchObject({ op: Op.SetSession, args: [ada.token, ada.record] });
    await calls[1]!.answer();
    expect(await answer).toMatchObject({ ...ada, expiresAt: 4e12, meta: { isNew: true } });
  });

  it("impersonation is a client beside this one", async () => {
    const { client, calls, sessions } = world();
    const other = client.auth.impersonate("u1");
    await calls[0]!.answer(ada);
    expect((await other).authStore).toMatchObject(ada);
    expect(sessions).toEqual([ada]);
  });
});

describe("the provider's window", () => {
  it("opens within the click, gets its address later and is closed in the end", async () => {
    const page = { location: { href: "about:blank" }, close: vi.fn() };
    vi.stubGlobal("open", vi.fn(() => page));
    const { client, calls } = world();
    const session = client.auth.signInWithOAuth("google");
    expect(globalThis.open).toHaveBeenCalledTimes(1);
    calls[0]!.options.onEvent!("https://provider/");
    expect(page.location.href).toBe("https://provider/");
    expect(page.close).not.toHaveBeenCalled();
    await calls[0]!.answer(told(ada));
    expect((await session).token).toBe(ada.token);
    expect(page.close).toHaveBeenCalledTimes(1);
  });

  it("closes when the sign-in fails, and is not opened for those who show the address themselves", async () => {
    const page = { location: {}, close: vi.fn() };
    vi.stubGlobal("open", vi.fn(() => page));
    const { client, calls } = world();
    const failed = client.auth.signInWithOAuth("google").catch((error) => error);
    await calls[0]!.fail(new PicoBaseError({ kind: "Timeout", message: "late" }));
    expect(await failed).toMatchObject({ kind: "Timeout" });
    expect(page.close).toHaveBeenCalled();
    const urls: string[] = [];
    void client.auth.signInWithOAuth("google", { urlCallback: (url) => urls.push(url) });
    calls[1]!.options.onEvent!("https://provider/");
    expect(urls).toEqual(["https://provider/"]);
    expect(globalThis.open).toHaveBeenCalledTimes(1);
  });

  it("that cannot be opened is an error that says what to do", async () => {
    for (const open of [undefined, () => null]) {
      vi.stubGlobal("open", open);
      const { client, calls } = world();
      const error = await client.auth.signInWithOAuth("google").catch((error) => error);
      expect(error).toMatchObject({ kind: "Configuration" });
      expect(error.fix).toContain("click");
      expect(calls).toEqual([]);
    }
  });
});

describe("stores", () => {
  const platform = (store: any) => ({ store: vi.fn(() => store) }) as unknown as Platform;
  const text = JSON.stringify(ada);

  it("by default what the platform has, under PocketBase's name, known at once", () => {
    const has = platform({ load: () => text, save() {}, clear() {} });
    expect(peek(undefined, storeOf(undefined, has))).toEqual(ada);
    expect(has.store).toHaveBeenCalledWith("pocketbase_auth");
    storeOf("local", has, "mine");
    expect(has.store).toHaveBeenLastCalledWith("mine");
    expect(storeOf("memory", has)).toBeNull();
    expect(storeOf(null, platform(null))).toBeNull();
    expect(peek("memory", null)).toBeNull();
  });

  it("one that is full or forbidden does not throw", () => {
    const fails = () => {
      throw new Error("QuotaExceededError");
    };
    const store = storeOf(undefined, platform({ load: fails, save: fails, clear: fails }))!;
    expect(store.load()).toBeNull();
    expect(() => (store.save("x"), store.clear())).not.toThrow();
    expect(peek(undefined, store)).toBeNull();
  });

  it("a store of one's own is used as it is, and not asked twice", () => {
    const own = { load: vi.fn(() => text), save() {}, clear() {} };
    expect(storeOf(own, platform(null))).toBe(own);
    expect(peek(own, own)).toBeNull();
    expect(own.load).not.toHaveBeenCalled();
  });

  it("a storage of items, synchronous or not", async () => {
    const items = new Map<string, string>();
    const late = {
      getItem: async (key: string) => items.get(key),
      setItem: async (key: string, value: string) => void items.set(key, value),
      removeItem: async (key: string) => void items.delete(key),
    };
    const store = storeOf(late, platform(null), "mine")!;
    // The engine takes what is not there for null.
    expect((await store.load()) ?? null).toBeNull();
    await store.save(text);
    expect([...items]).toEqual([["mine", text]]);
    expect(await store.load()).toBe(text);
    expect(peek(late, store, "mine")).toBeNull();
    const now = { ...late, getItem: (key: string) => items.get(key) ?? null };
    expect(peek(now, store, "mine")).toEqual(ada);
    await store.clear();
    expect(items.size).toBe(0);
  });

  it("damaged texts are no session, the older word for the record is read", () => {
    const read = (stored: unknown) => peek(undefined, storeOf(undefined, platform({ load: () => stored })));
    for (const stored of [null, "", "{", "null", "[]", '{"token":""}', '{"token":5}']) expect(read(stored)).toBeNull();
    expect(read('{"token":"t","model":{"id":"m"}}')).toEqual({ token: "t", record: { id: "m" } });
    expect(read('{"token":"t","record":null,"model":{"id":"m"}}')).toEqual({ token: "t", record: null });
    expect(read('{"token":"t","record":[1]}')).toEqual({ token: "t", record: null });
  });

  it("hears of other tabs, until it is told to stop", () => {
    const target = new EventTarget();
    vi.stubGlobal("document", {});
    vi.stubGlobal("addEventListener", target.addEventListener.bind(target));
    const changed = vi.fn();
    const stop = onOtherTabs("mine", changed);
    const event = (key: string | null) => target.dispatchEvent(Object.assign(new Event("storage"), { key }));
    event("other");
    expect(changed).not.toHaveBeenCalled();
    event("mine");
    event(null);
    expect(changed).toHaveBeenCalledTimes(2);
    stop();
    event("mine");
    expect(changed).toHaveBeenCalledTimes(2);
  });
});

describe("tabs", () => {
  it("a client with a store follows the other tabs until it is closed", async () => {
    const target = new EventTarget();
    vi.stubGlobal("document", {});
    vi.stubGlobal("addEventListener", target.addEventListener.bind(target));
    const { client, calls } = world();
    const other = () => target.dispatchEvent(Object.assign(new Event("storage"), { key: "mine" }));
    client.authStore.follow("mine");
    other();
    expect(calls.map(({ op }) => op)).toEqual([Op.SyncSession]);
    await calls[0]!.fail(new Error("unreadable"));
    client.close();
    other();
    expect(calls).toHaveLength(1);
  });
});

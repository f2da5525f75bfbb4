/** B10: where a session is kept. */
import { describe, expect } from "vitest";
import { password } from "../support/kit.js";
import { failure, it, sleep } from "../support/world.js";

describe.concurrent("B10", () => {
  it("a store of one's own, asynchronous: calls wait for the first load", async ({ world }) => {
    let stored: string | null = null;
    let loads = 0;
    const store = {
      load: async () => (loads++, await sleep(200), stored),
      save: async (session: string) => void (stored = session),
      clear: async () => void (stored = null),
    };
    const first = await world.user(undefined, { store });
    expect(JSON.parse(stored!)).toMatchObject({ token: first.authStore.token, record: { id: first.authStore.record!.id } });
    const proxy = await world.proxy();
    const second = world.client(proxy.url, { store });
    await Promise.all([second.collection("private_notes").getList(1, 1), second.collection("posts").getList(1, 1)]);
    expect(loads).toBe(2);
    for (const request of await proxy.requests()) expect(request.headers.authorization).toBe(first.authStore.token);
    await second.auth.signOut();
    expect(stored).toBeNull();
  });

  it("what is stored and cannot be read is not fatal", async ({ world }) => {
    let stored: string | null = "no json {";
    const store = { load: () => stored, save: (session: string) => void (stored = session), clear: () => void (stored = null) };
    const client = world.client(undefined, { store });
    await client.collection("posts").getList(1, 1);
    await client.auth.signIn("alice@example.com", password);
    expect(JSON.parse(stored!).token).toBe(client.authStore.token);
  });

  it("a store that fails: the calls go on, the error says Storage", async ({ world }) => {
    const fails = () => {
      throw new Error("the disk is full");
    };
    const client = world.client(undefined, { store: { load: () => null, save: fails, clear: fails } });
    const came = await client.auth.signIn("alice@example.com", password).then(
      () => null,
      (error) => error,
    );
    if (came) expect(came.kind).toBe("Storage");
    expect((await client.collection("posts").getList(1, 1)).page).toBe(1);
  });

  it("cookies: what one side exports the other loads", async ({ world }) => {
    const user = await world.user();
    const cookie = user.authStore.exportToCookie({ httpOnly: false }, "pb_auth");
    expect(cookie).toMatch(/^pb_auth=%7B%22token%22/);
    expect(cookie).not.toContain("HttpOnly");
    const server = world.client();
    server.authStore.loadFromCookie(`theme=dark; ${cookie.split(";")[0]}`, "pb_auth");
    expect(server.authStore).toMatchObject({ token: user.authStore.token, isValid: true });
    expect((await server.collection("users").getList()).items.map((r) => r.id)).toEqual([user.authStore.record!.id]);
    server.authStore.loadFromCookie("theme=dark");
    expect(server.authStore.token).toBe("");
    expect((await server.collection("users").getList()).items).toEqual([]);
  });

  it("a visitor's client has its own store and cannot be seen by the next", async ({ world }) => {
    const shared = world.client();
    const token = (await world.user()).authStore.token;
    const one = shared.withSession(token);
    const two = shared.withSession(null);
    expect((await one.collection("users").getList()).totalItems).toBe(1);
    expect((await two.collection("users").getList()).totalItems).toBe(0);
    await one.auth.signOut();
    expect(await failure(one.collection("users").authRefresh())).toMatchObject({ kind: "SessionExpired", attempts: 0 });
  });
});

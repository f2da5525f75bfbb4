/** B9: a session lives on by itself, and its end is said once. */
import { describe, expect } from "vitest";
import { type Client, toCookies } from "@picobase/client";
import { password } from "../support/kit.js";
import { Script, type Sent } from "../support/script.js";
import { failure, inNode, it, sleep, until, type World } from "../support/world.js";

async function shortlived(client: Client): Promise<string> {
  return (await client.collection("shortlived").authWithPassword("shortlived@example.com", password)).token;
}

function told(client: Client): string[] {
  const seen: string[] = [];
  client.auth.onAuthStateChange((event) => void seen.push(event));
  return seen;
}

const refreshes = { path_contains: "auth-refresh" };

describe.concurrent("B9", () => {
  it("near its expiry one refresh runs beside thirty calls, which go on", async ({ world }) => {
    const proxy = await world.proxy();
    const client = world.client(proxy.url);
    const seen = told(client);
    const token = await shortlived(client);
    await proxy.forget();
    await sleep(1100);
    await proxy.faults({ ...refreshes, action: { type: "delay", ms: 5000 } });
    await Promise.all(Array.from({ length: 30 }, () => client.collection("posts").getList(1, 1)));
    await until(() => client.authStore.token !== token);
    expect(await proxy.requests("auth-refresh")).toHaveLength(1);
    const calls = await proxy.requests("/posts/");
    expect(new Set(calls.map((r) => r.headers.authorization))).toEqual(new Set([token]));
    await until(() => seen.length === 3);
    expect(seen).toEqual(["INITIAL_SESSION", "SIGNED_IN", "TOKEN_REFRESHED"]);
  });

  for (const [status, kept] of [
    [401, false],
    [403, false],
    [404, false],
    [500, true],
    [429, true],
  ] as const) {
    it(`a refresh that is answered ${status} ${kept ? "keeps" : "ends"} the session`, async ({ world }) => {
      const proxy = await world.proxy();
      const client = world.client(proxy.url);
      const seen = told(client);
      const token = await shortlived(client);
      await proxy.faults({ ...refreshes, action: { type: "respond", status, body: { status, message: "no", data: {} } } });
      await client.collection("posts").getList(1, 1);
      if (kept) {
        await until(async () => (await proxy.requests("auth-refresh")).length > 0);
        await sleep(200);
        await client.collection("posts").getList(1, 1);
        expect(client.authStore.token).toBe(token);
        expect(seen).toEqual(["INITIAL_SESSION", "SIGNED_IN"]);
        return;
      }
      await until(() => seen.length === 3);
      expect(seen).toEqual(["INITIAL_SESSION", "SIGNED_IN", "SESSION_EXPIRED"]);
      expect(client.authStore).toMatchObject({ token: "", record: null, isValid: false });
      const error = await failure(client.collection("posts").getList(1, 1));
      expect(error).toMatchObject({ kind: "SessionExpired", attempts: 0 });
      expect(error.fix).not.toBe("");
      // Sign-in, health and the ways to sign in go through, and signing out makes a guest.
      await client.health.check();
      await client.collection("users").listAuthMethods();
      await client.auth.signOut();
      await client.collection("posts").getList(1, 1);
      expect(seen).toEqual(["INITIAL_SESSION", "SIGNED_IN", "SESSION_EXPIRED", "SIGNED_OUT"]);
    });
  }

  it("a stored session that has expired: the server is asked before anything else, and then a guest calls", async ({ world }) => {
    const proxy = await world.proxy();
    const expired = `h.${btoa(JSON.stringify({ id: "u1", type: "auth", collectionId: "_pb_users_auth_", exp: 1 })).replace(/=+$/, "")}.s`;
    let stored: string | null = JSON.stringify({ token: expired, record: { id: "u1", collectionId: "_pb_users_auth_", collectionName: "users" } });
    const store = {
      load: () => stored,
      save: (session: string) => void (stored = session),
      clear: () => void (stored = null),
    };
    const client = world.client(proxy.url, { store });
    const seen = told(client);
    await client.collection("posts").getList(1, 1);
    await until(() => seen.length === 2);
    expect(seen).toEqual(["INITIAL_SESSION", "SESSION_EXPIRED"]);
    expect((await proxy.requests()).map((r) => r.path.split("/").pop())).toEqual(["auth-refresh", "records"]);
    expect((await proxy.requests("/records"))[0]!.headers.authorization).toBeUndefined();
    expect(stored).toBeNull();
  });

  it("an answer that belongs to an earlier session is dropped", async ({ world }) => {
    const proxy = await world.proxy();
    const client = world.client(proxy.url);
    await shortlived(client);
    await proxy.faults({ ...refreshes, times: 1, action: { type: "delay", ms: 6000 } });
    await client.collection("posts").getList(1, 1);
    const refreshed = () => proxy.requests("auth-refresh");
    await until(async () => (await refreshed()).length === 1);
    const { token } = await client.collection("users").authWithPassword("bob@example.com", password);
    await until(async () => (await refreshed())[0]!.ended_ms !== null);
    await sleep(100);
    expect(client.authStore.token).toBe(token);
  });
});

describe("a server that writes a visitor's cookie", () => {
  const record = { id: "u1", collectionId: "_pb_users_auth_", collectionName: "users" };
  const lasting = (seconds: number) => {
    const claims = { id: "u1", type: "auth", collectionId: record.collectionId, refreshable: true, exp: Math.floor(Date.now() / 1000) + seconds };
    return `h.${btoa(JSON.stringify(claims)).replace(/=+$/, "")}.s`;
  };
  const refreshed = { token: lasting(90_000), record };

  /** A visitor whose call is done, while the refresh that it began waits for the test. */
  const visit = async (world: World) => {
    const script = new Script((sent) => sent.path.endsWith("/auth-refresh") || sent.answer(200, '{"items":[]}'));
    const visitor = world.client("http://server.test", { fetch: script.fetch }).withSession({ token: lasting(30), record });
    world.later(() => visitor.close());
    // Nothing is under way. Also: what it needs is loaded.
    await visitor.auth.settled();
    await visitor.collection("posts").getList();
    const refresh: Sent = await until(() => script.requests.find((sent) => sent.path.endsWith("/auth-refresh")));
    return { visitor, refresh };
  };

  it("waits for a refresh that began beside a call", async ({ world }) => {
    const { visitor, refresh } = await visit(world);
    const order: string[] = [];
    visitor.authStore.onChange(() => order.push("changed"));
    const settled = visitor.auth.settled().then(() => order.push("settled"));
    setTimeout(() => refresh.answer(200, JSON.stringify(refreshed)));
    await settled;
    expect(order).toEqual(["changed", "settled"]);
    expect(visitor.authStore.token).toBe(refreshed.token);
    expect(toCookies(visitor.authStore)[0]).toContain(refreshed.token);
  });

  it("does not wait for ever", async ({ world }) => {
    const { visitor, refresh } = await visit(world);
    const { token } = visitor.authStore;
    await visitor.auth.settled();
    expect([refresh.waits, visitor.authStore.token]).toEqual([true, token]);
  });
});

describe("a server with many visitors", () => {
  it("200 interleaved requests of 20 visitors never see another's session", async ({ world }) => {
    if (!inNode) return; // One pool for all is what servers have.
    const proxy = await world.proxy();
    // So many at once take their time on a slow machine.
    const options = { timeout: 200_000 };
    const shared = world.client(proxy.url, options);
    const visitors = await Promise.all(Array.from({ length: 20 }, () => world.user(proxy.url, options)));
    const requests = Array.from({ length: 200 }, async (_, n) => {
      const { token, record } = visitors[n % 20]!.authStore;
      const client = n % 3 ? shared.withSession({ token, record }) : shared.withSession(token);
      await sleep(Math.random() * 20);
      const note = await client.collection("private_notes").create({ owner: record!.id, body: String(n) });
      const notes = await client.collection("private_notes").getFullList();
      expect(new Set(notes.map((other) => other.owner))).toEqual(new Set([record!.id]));
      expect(notes.map((other) => other.id)).toContain(note.id);
      expect((await client.collection("users").getFullList()).map((user) => user.id)).toEqual([record!.id]);
      client.close();
    });
    await Promise.all(requests);
    expect(shared.authStore.token).toBe("");
    expect((await shared.collection("private_notes").getList()).totalItems).toBe(0);
    // One for each request would be far more, one for each that is under way at once is what there may be.
    expect((await proxy.stats()).connections_total).toBeLessThan(400);
  });
});

/** B14: subscriptions. */
import { describe, expect } from "vitest";
import { failure, it, onUncaught, sleep, unique, until } from "../support/world.js";

describe.concurrent("subscriptions", () => {
  it("what is acknowledged hears of every write from then on", async ({ world }) => {
    const client = world.client();
    const title = unique("order");
    const got: any[] = [];
    const posts = client.collection("posts");
    const stop = await posts.subscribe("*", (event) => event.record.title === title && got.push(event));
    expect(client.realtime.isConnected).toBe(true);
    const heard = (count: number) => until(() => got.length, (length) => length === count);
    // The server may tell of a later write first; what is older than that is then dropped.
    const made = await posts.create({ title, n: 1 });
    await heard(1);
    await posts.update(made.id, { n: 2 });
    await heard(2);
    await posts.delete(made.id);
    await heard(3);
    expect(got.map((event) => [event.action, event.record.n, event.origin, event.topic])).toEqual([
      ["create", 1, "live", "posts/*"],
      ["update", 2, "live", "posts/*"],
      ["delete", 2, "live", "posts/*"],
    ]);
    await stop();
    await posts.create({ title });
    await sleep(200);
    expect(got).toHaveLength(3);
  });

  it("two callbacks on one topic, each ends alone; topics of one record; by PocketBase's names", async ({ world }) => {
    const client = world.client();
    const posts = client.collection("posts");
    const made = await posts.create({ title: unique("two") });
    const [one, two, record, raw]: any[][] = [[], [], [], []];
    const stopOne = await posts.subscribe("*", (e) => e.record.id === made.id && one!.push(e.action));
    await posts.subscribe("*", (e) => e.record.id === made.id && two!.push(e.action));
    await posts.subscribe(made.id, (e) => record!.push(e.action));
    await client.realtime.subscribe(`posts/${made.id}`, (e: any) => raw!.push(e.record.id));
    await posts.update(made.id, { n: 1 });
    await until(() => [one, two, record, raw].every((list) => list!.length === 1));
    await stopOne();
    await posts.update(made.id, { n: 2 });
    await until(() => [two, record, raw].every((list) => list!.length === 2));
    await posts.unsubscribe(made.id);
    await posts.update(made.id, { n: 3 });
    await until(() => two!.length === 3);
    await posts.unsubscribe();
    await posts.update(made.id, { n: 4 });
    await sleep(200);
    expect([one!.length, two!.length, record!.length, raw!.length]).toEqual([1, 3, 2, 2]);
  });

  it("events as an iterable, which ends its subscription when it is left", async ({ world }) => {
    const proxy = await world.proxy();
    const client = world.client(proxy.url);
    const posts = client.collection("posts");
    const title = unique("iter");
    const seen: number[] = [];
    const writing = (async () => {
      await until(() => client.realtime.isConnected);
      for (let n = 0; n < 5; n++) {
        await posts.create({ title, n });
        // The server may tell of a later write first.
        if (n < 3) await until(() => seen.length > n);
      }
    })();
    for await (const event of client.realtime.events("posts/*") as AsyncIterable<any>) {
      if (event.record?.title === title && seen.push(event.record.n) === 3) break;
    }
    await writing;
    expect(seen).toEqual([0, 1, 2]);
    // What has no body yet has not arrived.
    const submits = async () => (await proxy.requests("/api/realtime")).filter((r) => r.method === "POST" && r.body).map((r) => JSON.parse(r.body).subscriptions);
    // Nothing is subscribed any more, or the stream is closed.
    await until(async () => (await submits()).at(-1)!.length === 0 || (await proxy.stats()).in_flight === 0);
  });

  it("who reads an iterable too slowly is told how much was lost, and gets the newest", async ({ world }) => {
    const client = world.client();
    const posts = client.collection("posts");
    const title = unique("slow");
    const filter = client.filter("title = {:title}", { title });
    const events = client.realtime.events("posts/*", { filter, queueMax: 2 });
    const first = events.next();
    await until(() => client.realtime.isConnected);
    const heard: unknown[] = [];
    await posts.subscribe("*", (event) => heard.push(event), { filter });
    for (let n = 0; n < 6; n++) {
      await posts.create({ title, n });
      // The server may tell of a later write first.
      await until(() => heard.length > n);
    }
    const next = async () => (await events.next()).value as any;
    expect(((await first).value as any).record.n).toBe(0);
    expect(await next()).toEqual({ action: "lagged", missed: 3 });
    expect([(await next()).record.n, (await next()).record.n]).toEqual([4, 5]);
    await events.return();
    expect(await events.next()).toEqual({ done: true, value: undefined });
  });

  it("a topic's own filter, expansion and fields", async ({ world }) => {
    const author = await world.user();
    const posts = author.collection("posts");
    const title = unique("opt");
    const got: any[] = [];
    await posts.subscribe("*", (e) => got.push(e.record), {
      filter: author.filter("title = {:title} && n > {:n}", { title, n: 1 }),
      expand: "author",
      fields: "n,expand.author.id",
    });
    await posts.create({ title, n: 1, author: author.authStore.record!.id });
    const made = await posts.create({ title, n: 2, author: author.authStore.record!.id });
    await until(() => got.length > 0);
    await sleep(100);
    expect(got).toHaveLength(1);
    expect(got[0]).toMatchObject({ id: made.id, n: 2, expand: { author: { id: author.authStore.record!.id } } });
    expect(got[0].title).toBeUndefined();
  });

  it("a refused topic fails its own subscribe alone", async ({ world }) => {
    const client = world.client();
    const got: unknown[] = [];
    await client.collection("posts").subscribe("*", (e) => got.push(e));
    const error = await failure(client.collection("posts").subscribe("x".repeat(2600), () => {}));
    expect(error.kind).toBe("Validation");
    await client.collection("posts").create({ title: unique("still") });
    await until(() => got.length > 0);
  });

  it("many at once are one submit", async ({ world }) => {
    const proxy = await world.proxy();
    const client = world.client(proxy.url);
    await Promise.all(Array.from({ length: 50 }, (_, n) => client.realtime.subscribe(`topic${n}`, () => {})));
    const posts = (await proxy.requests("/api/realtime")).filter((r) => r.method === "POST");
    expect(posts).toHaveLength(1);
    expect(JSON.parse(posts[0]!.body).subscriptions).toHaveLength(50);
  });

  it("who signs in hears what a guest may not, and is told to look again; who signs out hears nothing more of it", async ({ world }) => {
    const proxy = await world.proxy();
    const user = await world.user();
    const { token, record } = user.authStore;
    const client = world.client(proxy.url);
    const got: any[] = [];
    const resyncs: string[] = [];
    await client.collection("private_notes").subscribe("*", (e) => got.push(e), { onResync: (reason: string) => void resyncs.push(reason) });
    const write = () => user.collection("private_notes").create({ owner: record!.id, body: "x" });
    await write();
    await sleep(200);
    expect(got).toEqual([]);
    await client.auth.setSession({ token, record });
    await until(() => resyncs.length === 1);
    expect(resyncs).toEqual(["auth_changed"]);
    await write();
    await until(() => got.length === 1);
    await client.auth.signOut();
    await until(() => resyncs.length === 2);
    await write();
    await sleep(200);
    expect(got).toHaveLength(1);
    const streams = (await proxy.requests("/api/realtime")).filter((r) => r.method === "GET");
    expect(streams).toHaveLength(2);
  });

  it("states are told", async ({ world }) => {
    const proxy = await world.proxy();
    const client = world.client(proxy.url);
    expect(client.realtime.state).toBe("disconnected");
    const states: string[] = [];
    client.realtime.onStateChange((state) => void states.push(state));
    await client.collection("posts").subscribe("*", () => {});
    await proxy.cut("reset", "/realtime");
    await until(() => states.filter((state) => state === "connected").length === 2);
    expect(states).toEqual(["connecting", "connected", "reconnecting", "connected"]);
    expect(client.realtime.state).toBe("connected");
  });

  it("an instance that sleeps while one subscribes", async ({ world }) => {
    const proxy = await world.proxy();
    await proxy.faults({ path_prefix: "/api/", for_ms: 1200, from: "first_hit", action: { type: "respond", status: 503, headers: { "Retry-After": "1" } } });
    const client = world.client(proxy.url);
    const got: unknown[] = [];
    await client.collection("posts").subscribe("*", (e) => got.push(e));
    await client.collection("posts").create({ title: unique("awake") });
    await until(() => got.length > 0);
  });

  it("three failures in a row reject those who wait", async ({ world }) => {
    const proxy = await world.proxy();
    await proxy.faults({ path: "/api/realtime", action: { type: "respond", status: 500 } });
    const error = await failure(world.client(proxy.url).collection("posts").subscribe("*", () => {}));
    expect(error).toMatchObject({ kind: "Server", status: 500 });
    expect((await proxy.requests("/api/realtime")).length).toBeGreaterThanOrEqual(3);
  });
});

describe("mistakes of callbacks", () => {
  it("a callback that throws harms no other", async ({ world }) => {
    const client = world.client();
    const posts = client.collection("posts");
    const title = unique("throw");
    let got = 0;
    const errors: unknown[] = [];
    const stop = onUncaught((error) => errors.push(error));
    world.later(stop);
    await posts.subscribe("*", (e) => {
      if (e.record.title === title) throw new Error("the callback's own");
    });
    await posts.subscribe("*", (e) => void (e.record.title === title && got++));
    await posts.create({ title });
    await posts.create({ title });
    await until(() => got === 2);
    await client.collection("posts").getList(1, 1);
  });
});

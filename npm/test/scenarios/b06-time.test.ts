/** B6: every call, transfer and wait can be given a deadline and can be cancelled. */
import { describe, expect } from "vitest";
import { failure, inNode, it, timed, unique, until } from "../support/world.js";

const never = { path_prefix: "/api/", action: { type: "stall" } };
const asleep = { path_prefix: "/api/", action: { type: "respond", status: 503, headers: { "Retry-After": "1" } } };

/** Far more than a slow machine needs, far less than what would end without the deadline or the cancellation. */
const LATE = 20_000;

describe.concurrent("deadlines", () => {
  it("of a call", async ({ world }) => {
    const proxy = await world.proxy();
    await proxy.faults(never);
    const [error, took] = await timed(failure(world.client(proxy.url).collection("posts").getList(1, 1, { timeout: 300 })));
    expect(error).toMatchObject({ kind: "Timeout", isAbort: false });
    expect(took).toBeGreaterThan(290);
    expect(took).toBeLessThan(LATE);
    await until(async () => (await proxy.stats()).in_flight, (n) => n === 0);
  });

  it("of a client", async ({ world }) => {
    const proxy = await world.proxy();
    await proxy.faults(never);
    const client = world.client(proxy.url, { timeout: 300 });
    expect(await failure(client.collection("posts").getOne("abc"))).toMatchObject({ kind: "Timeout" });
  });

  it("of a call that waits for an instance to wake up", async ({ world }) => {
    const proxy = await world.proxy();
    await proxy.faults(asleep);
    const [error, took] = await timed(failure(world.client(proxy.url).health.check({ timeout: 500 })));
    expect(error.kind).toMatch(/^(Timeout|InstanceUnavailable)$/);
    expect(took).toBeLessThan(LATE);
  });

  it("of a subscription, whose listener is gone then", async ({ world }) => {
    const proxy = await world.proxy();
    await proxy.faults({ path: "/api/realtime", action: { type: "stall" } });
    const client = world.client(proxy.url);
    const got: unknown[] = [];
    expect(await failure(client.collection("posts").subscribe("*", (e) => got.push(e), { timeout: 400 }))).toMatchObject({ kind: "Timeout" });
    await proxy.faults();
    const other: any[] = [];
    await client.collection("posts").subscribe("*", (e) => other.push(e));
    const post = await client.collection("posts").create({ title: unique("t") });
    await until(() => other.some((e) => e.record.id === post.id));
    expect(got).toEqual([]);
  });
});

describe.concurrent("cancellation", () => {
  it("before: nothing is sent", async ({ world }) => {
    const proxy = await world.proxy();
    const error = await failure(world.client(proxy.url).collection("posts").getList(1, 1, { signal: AbortSignal.abort() }));
    expect(error).toMatchObject({ kind: "Cancelled", isAbort: true });
    expect(await proxy.requests()).toEqual([]);
  });

  it("during: the request ends", async ({ world }) => {
    const proxy = await world.proxy();
    await proxy.faults(never);
    const controller = new AbortController();
    const call = failure(world.client(proxy.url).collection("posts").getList(1, 1, { signal: controller.signal }));
    await until(async () => (await proxy.stats()).in_flight, (n) => n === 1);
    controller.abort();
    const [error, took] = await timed(call);
    expect(error).toMatchObject({ kind: "Cancelled", isAbort: true });
    expect(took).toBeLessThan(LATE);
    await until(async () => (await proxy.stats()).in_flight, (n) => n === 0);
  });

  it("in a wait for an instance to wake up, and the others go on", async ({ world }) => {
    const proxy = await world.proxy();
    await proxy.faults(asleep);
    const client = world.client(proxy.url);
    const states: string[] = [];
    client.onState((state) => states.push(state));
    const controller = new AbortController();
    const cancelled = failure(client.collection("posts").getList(1, 1, { signal: controller.signal }));
    const other = client.collection("posts").getList(1, 1);
    await until(() => states.length > 0);
    controller.abort();
    // While it sleeps on, however often it is asked meanwhile.
    const first = await Promise.race([cancelled, other.then(() => "the other")]);
    expect(first).toMatchObject({ kind: "Cancelled" });
    expect(states).toEqual(["starting"]);
    await proxy.faults();
    expect((await other).page).toBe(1);
  });

  it("of an upload, a download, a walk and a subscription", async ({ world }) => {
    const proxy = await world.proxy();
    const client = world.client(proxy.url);
    const post = await client.collection("posts").create({ title: "x", attachments: new File([new Uint8Array(1_500_000)], "a.bin") });
    await proxy.faults(
      // The proxy sees the end of an upload behind what the system still holds of it, which may be all of it: ten seconds.
      { method: "POST", path_prefix: "/api/", action: { type: "slow", bytes_per_sec: 60_000, direction: "request" } },
      { method: "GET", path_prefix: "/api/files", action: { type: "slow", bytes_per_sec: 30_000, direction: "response" } },
    );
    const soon = () => AbortSignal.timeout(300);
    const file = new File([new Uint8Array(600_000)], "b.bin");
    expect(await failure(client.collection("posts").create({ title: "x", attachments: file }, { signal: soon() }))).toMatchObject({ kind: "Cancelled" });
    const download = async () => (await client.storage.download(post, post.attachments[0], { signal: soon() })).arrayBuffer();
    // Chromium may say of a body that is cut off no more than "Failed to fetch".
    const [cut, took] = await timed(download().then(() => null, (error) => error));
    expect(cut).toMatchObject(inNode ? { kind: "Cancelled", isAbort: true } : { name: expect.any(String) });
    expect(took).toBeLessThan(LATE);
    await proxy.faults(never);
    expect(await failure(client.collection("posts").getFullList({ signal: soon() }))).toMatchObject({ kind: "Cancelled" });
    expect(await failure(client.collection("posts").subscribe("*", () => {}, { signal: soon() }))).toMatchObject({ kind: "Cancelled" });
    await until(async () => (await proxy.stats()).in_flight, (n) => n === 0);
  });

  it("by a later call with the same request key, and only by that", async ({ world }) => {
    const proxy = await world.proxy();
    await proxy.faults({ path_prefix: "/api/", times: 3, action: { type: "delay", ms: 400 } });
    const posts = world.client(proxy.url).collection("posts");
    const first = failure(posts.getList(1, 1, { requestKey: "k" }));
    const other = posts.getList(1, 1, { requestKey: "other" });
    const without = posts.getList(1, 1);
    const second = posts.getList(1, 1, { requestKey: "k" });
    expect(await first).toMatchObject({ kind: "Cancelled", isAbort: true });
    await Promise.all([other, without, second]);
    await posts.getList(1, 1, { requestKey: "k" });
  });

  it("by closing the client", async ({ world }) => {
    const proxy = await world.proxy();
    await proxy.faults(never);
    const client = world.client(proxy.url);
    const call = failure(client.collection("posts").getList());
    await until(async () => (await proxy.stats()).in_flight, (n) => n === 1);
    client.close();
    expect(await call).toMatchObject({ kind: "Cancelled" });
    expect(await failure(client.collection("posts").getList())).toMatchObject({ kind: "Cancelled" });
    await until(async () => (await proxy.stats()).in_flight, (n) => n === 0);
  });

  it("leaves no listener on the signal", async ({ world }) => {
    const client = world.client();
    const signal = new AbortController().signal;
    let listeners = 0;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...args: any) => (listeners++, addEventListener.apply(signal, args));
    signal.removeEventListener = (...args: any) => (listeners--, removeEventListener.apply(signal, args));
    for (let n = 0; n < 5; n++) await client.collection("posts").getList(1, 1, { signal });
    expect(listeners).toBe(0);
  });
});

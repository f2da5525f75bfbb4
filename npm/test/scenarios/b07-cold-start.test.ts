/** B7: an instance that sleeps makes an answer slower, never wrong. */
import type { Client } from "@picobase/client";
import { describe, expect } from "vitest";
import type { Logged } from "../support/kit.js";
import { failure, it, timed, unique, until } from "../support/world.js";

const asleep = (ms: number, headers: object = {}) => ({
  path_prefix: "/api/",
  for_ms: ms,
  from: "first_hit" as const,
  action: { type: "respond", status: 503, headers, body: "waking up" },
});

/** The requests that found the instance asleep, without those that were under way together at first: the first of each call. */
function probes(log: Logged[]): Logged[] {
  const sleeping = log.filter((r) => r.status === 503);
  return sleeping.filter((r, n) => sleeping.findIndex((other) => other.query === r.query) < n);
}

/** Until the client knows that the instance sleeps. */
async function noticed(client: Client): Promise<void> {
  const states: string[] = [];
  client.onState((state) => void states.push(state));
  await until(() => states.includes("starting"));
}

describe.concurrent("B7", () => {
  for (const [name, headers, pause] of [
    ["with Retry-After", { "Retry-After": "1" }, 990],
    ["without Retry-After", {}, 0],
  ] as const) {
    it(`thirty calls wait for one probe ${name}, and creates happen once`, async ({ world }) => {
      const proxy = await world.proxy();
      const client = world.client(proxy.url);
      const states: string[] = [];
      client.onState((state) => states.push(state));
      await client.collection("posts").getList(1, 1);
      await proxy.forget();
      await proxy.faults({ path_prefix: "/api/", action: asleep(0, headers).action });
      const title = unique("thirty");
      const posts = client.collection("posts");
      // Each with a query of its own, by which it is known again.
      const calls = Array.from({ length: 30 }, (_, n) => (n % 2 ? posts.create({ title, n }, { query: { n } }) : posts.getList(1, 1, { query: { n } })));
      // It sleeps for as long as it takes to be asked a few times.
      await until(async () => probes(await proxy.requests()).length, (asked) => asked >= 3);
      await proxy.faults();
      await Promise.all(calls);
      expect(states).toEqual(["starting", "ready"]);
      const asked = probes(await proxy.requests());
      expect(asked.length).toBeLessThanOrEqual(12);
      for (const [n, probe] of asked.slice(1).entries()) expect(probe.started_ms - asked[n]!.ended_ms!).toBeGreaterThanOrEqual(pause);
      const made = await posts.getFullList({ filter: client.filter("title = {:title}", { title }) });
      expect(made.map((post) => post.n).sort((a, b) => a - b)).toEqual(Array.from({ length: 15 }, (_, n) => 2 * n + 1));
    });
  }

  it("it does not wake up", async ({ world }) => {
    const proxy = await world.proxy();
    await proxy.faults({ path_prefix: "/api/", action: { type: "respond", status: 503 } });
    // Time enough for a second question, also where each takes its time.
    const client = world.client(proxy.url, { coldStartTimeout: 6000 });
    const states: string[] = [];
    client.onState((state) => states.push(state));
    const [error, took] = await timed(failure(client.collection("posts").getList()));
    expect(error).toMatchObject({ kind: "InstanceUnavailable", status: 503 });
    expect(error.attempts).toBeGreaterThan(1);
    expect(took).toBeGreaterThan(500);
    expect(took).toBeLessThan(40_000);
    expect(states).toEqual(["starting", "unreachable"]);
    // And then it does.
    await proxy.faults();
    await until(() => client.collection("posts").getList(1, 1).then(() => true, () => false));
    expect(states).toEqual(["starting", "unreachable", "ready"]);
  });

  it("the default deadline is outlasted, an explicit one holds", async ({ world }) => {
    const proxy = await world.proxy();
    await proxy.faults({ path_prefix: "/api/", action: asleep(0).action });
    const client = world.client(proxy.url);
    const explicit = failure(client.collection("posts").getList(1, 1, { timeout: 700 }));
    const other = client.collection("posts").getList(1, 1);
    expect((await explicit).kind).toMatch(/^(Timeout|InstanceUnavailable)$/);
    await proxy.faults();
    await other;
  });

  it("health passes the gate and opens it", async ({ world }) => {
    const proxy = await world.proxy();
    await proxy.faults({ path_prefix: "/api/collections", times: 1, action: { type: "respond", status: 503, headers: { "Retry-After": "50" } } });
    const client = world.client(proxy.url);
    const waiting = client.collection("posts").getList(1, 1);
    await noticed(client);
    expect(await client.health.check()).toMatchObject({ code: 200 });
    const [, took] = await timed(waiting);
    expect(took).toBeLessThan(30_000);
  });

  it("clients of one family share the gate", async ({ world }) => {
    const proxy = await world.proxy();
    await proxy.faults(asleep(1500, { "Retry-After": "1" }));
    const client = world.client(proxy.url);
    const sibling = client.withSession(null);
    const first = client.collection("posts").getList(1, 1);
    await noticed(client);
    await Promise.all([first, ...Array.from({ length: 10 }, () => sibling.collection("posts").getList(1, 1))]);
    expect((await proxy.requests()).filter((r) => r.status === 503).length).toBeLessThanOrEqual(3);
  });

  it("a write with a file wakes it up, and is made once", async ({ world }) => {
    const proxy = await world.proxy();
    await proxy.faults(asleep(1200, { "Retry-After": "1" }));
    const client = world.client(proxy.url);
    const title = unique("file");
    await client.collection("posts").create({ title, attachments: new File(["hello"], "a.txt") });
    expect((await client.collection("posts").getFullList({ filter: client.filter("title = {:title}", { title }) }))).toHaveLength(1);
  });

  it("429 holds back its own call only", async ({ world }) => {
    const proxy = await world.proxy();
    const throttle = (seconds: string) =>
      proxy.faults({ path_prefix: "/api/collections/posts", times: 1, action: { type: "respond", status: 429, headers: { "Retry-After": seconds } } });
    const client = world.client(proxy.url);
    await throttle("25");
    const stop = new AbortController();
    const throttled = failure(client.collection("posts").getList(1, 1, { signal: stop.signal }));
    await until(async () => (await proxy.requests("/posts/")).some((r) => r.ended_ms !== null));
    const other = client.collection("bulk").getList(1, 1);
    expect(await Promise.race([other.then(() => "other"), throttled])).toBe("other");
    stop.abort();
    expect(await throttled).toMatchObject({ kind: "Cancelled" });
    await throttle("2");
    expect((await timed(client.collection("posts").getList(1, 1)))[1]).toBeGreaterThan(1990);
  });

  it("429 for good", async ({ world }) => {
    const proxy = await world.proxy();
    await proxy.faults({ path_prefix: "/api/", action: { type: "respond", status: 429, headers: { "Retry-After": "1" }, body: { status: 429, message: "Slow down.", data: {} } } });
    const error = await failure(world.client(proxy.url, { maxRetries: 1 }).collection("posts").getList());
    expect(error).toMatchObject({ kind: "RateLimited", status: 429, attempts: 2, retryAfter: 1000, message: "Slow down." });
  });

  it("502 and 504 are asked again for reads, not for writes", async ({ world }) => {
    const proxy = await world.proxy();
    for (const status of [502, 504]) {
      await proxy.faults({ path_prefix: "/api/", times: 1, action: { type: "respond", status } });
      const client = world.client(proxy.url);
      await client.collection("posts").getList(1, 1);
      await proxy.faults({ path_prefix: "/api/", times: 1, action: { type: "respond", status } });
      expect(await failure(client.collection("posts").create({ title: "x" }))).toMatchObject({ kind: "Server", status, attempts: 1 });
    }
  });

  it("a create that is safe to repeat is made once although its answer was lost", async ({ world }) => {
    const proxy = await world.proxy();
    await proxy.faults({ method: "POST", path_prefix: "/api/", times: 1, action: { type: "lose_answer" } });
    const client = world.client(proxy.url);
    const title = unique("safe");
    const made = await client.collection("posts").create({ title }, { safeRetry: true });
    const all = await client.collection("posts").getFullList({ filter: client.filter("title = {:title}", { title }) });
    expect(all.map((post) => post.id)).toEqual([made.id]);
  });
});

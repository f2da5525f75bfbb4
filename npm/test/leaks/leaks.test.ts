/** Many calls and subscriptions leave nothing: not on the JavaScript heap, not in the module's memory, not in the engine's tables. */
import type { Client } from "@picobase/client";
import { beforeAll, describe, expect } from "vitest";
import { Script } from "../support/script.js";
import { failure, inBrowser, it, sleep, stats, until } from "../support/world.js";

/** Bytes on the JavaScript heap after a collection. */
let heap: () => Promise<number>;

beforeAll(async () => {
  if (!inBrowser) {
    heap = async () => {
      for (let n = 0; n < 4; n++) {
        globalThis.gc!();
        await sleep(10);
      }
      return process.memoryUsage().heapUsed;
    };
    return;
  }
  const { cdp } = await import(/* @vite-ignore */ "vitest/browser");
  const session = cdp() as any;
  await session.send("HeapProfiler.enable");
  heap = async () => {
    for (let n = 0; n < 3; n++) await session.send("HeapProfiler.collectGarbage");
    return (await session.send("Runtime.getHeapUsage")).usedSize;
  };
});

/** What WebAssembly's memory grows by: where blocks come to lie may cost one. */
const PAGE = 65_536;

/**
 * Does `work` in rounds, and waits until what the last rounds have added to the heap is gone: a leak stays, what a timer or a
 * socket still holds goes. Answers what they have added to the module's memory, in bytes: it never gets smaller, and grows once more where
 * more than ever before happens at one moment, so where it grew the rounds are done again. A leak adds to it each time.
 */
async function growth(client: Client<any>, rounds: number, work: () => Promise<void>): Promise<number> {
  const warm = 6;
  for (let n = 0; n < warm; n++) await work();
  const before = await heap();
  let grown = Infinity;
  for (let tries = 0; tries < 4 && grown > PAGE; tries++) {
    const { memory } = stats(client);
    for (let n = 0; n < rounds; n++) await work();
    grown = Math.min(grown, stats(client).memory - memory);
  }
  await until(async () => ((await heap()) - before) / 1e6, (megabytes) => megabytes < 1);
  return grown;
}

const page = JSON.stringify({ page: 1, perPage: 30, totalItems: 20, totalPages: 1, items: Array.from({ length: 20 }, (_, n) => ({ id: `r${n}`, title: "x".repeat(200), n })) });

describe("leaks", () => {
  it("10,000 calls, of which some fail, are cancelled, or have a deadline", async ({ world }) => {
    let n = 0;
    const script = new Script((sent) => {
      script.requests.length = 0;
      if (n++ % 10 === 0) sent.answer(400, '{"status":400,"message":"no","data":{"title":{"code":"x","message":"y"}}}');
      else if (n % 10 !== 1) sent.answer(200, page);
    });
    const client = world.client("https://h", { fetch: script.fetch });
    const posts = client.collection("posts");
    await client.health.check().catch(() => {});
    const idle = stats(client);
    const grown = await growth(client, 10, async () => {
      for (let round = 0; round < 20; round++) {
        const calls = Array.from({ length: 50 }, (_, n) => {
          if (n % 3 === 0) return posts.create({ title: "x", n }, { signal: AbortSignal.timeout(30) });
          if (n % 3 === 1) return posts.getList(1, 20, { filter: "a = 1", timeout: 30 });
          return posts.getOne("abc", { timeout: 30, requestKey: n % 2 ? "k" : null });
        });
        await Promise.allSettled(calls);
      }
    });
    expect(grown).toBeLessThanOrEqual(PAGE);
    await until(() => stats(client), (now) => now.operations === idle.operations && now.effects === idle.effects && now.handles === idle.handles && now.alive === idle.alive);
  });

  it("1,000 subscriptions, with events, that come and go", async ({ world }) => {
    // Of its own, so that no other test's writes come in between.
    const client = world.client((await world.server()).url, { realtime: { linger: 50 } });
    const posts = client.collection("posts");
    const stop = await posts.subscribe("*", () => {});
    await stop();
    await until(() => client.realtime.state === "disconnected");
    const idle = stats(client);
    const grown = await growth(client, 10, async () => {
      let events = 0;
      const stops = await Promise.all(
        Array.from({ length: 100 }, (_, n) => (n % 2 ? posts.subscribe("*", () => events++) : client.realtime.subscribe(`topic${n}`, () => {}))),
      );
      const made = await posts.create({ title: "leak" });
      await until(() => events >= 50);
      await posts.delete(made.id);
      await Promise.all(stops.map((end) => end()));
    });
    await until(() => client.realtime.state === "disconnected");
    expect(grown).toBeLessThanOrEqual(PAGE);
    await until(() => stats(client), (now) => now.operations === idle.operations && now.effects === idle.effects && now.handles === idle.handles && now.alive === idle.alive);
  });

  it("subscriptions that fail, live queries and iterables", async ({ world }) => {
    // Of its own, so that no other test's writes come in between.
    const client = world.client((await world.server()).url, { realtime: { linger: 50 } });
    const posts = client.collection("posts");
    const once = async () => {
      await failure(posts.subscribe("x".repeat(3000), () => {}));
      await failure(posts.subscribe("*", () => {}, { signal: AbortSignal.timeout(1) })).catch(() => {});
      await posts.unsubscribe();
      const live = await posts.live({ limit: 5 });
      live.close();
      for await (const _ of client.collection("posts").iterate({ batch: 1 })) break;
    };
    await posts.create({ title: "one" });
    await once();
    await until(() => client.realtime.state === "disconnected");
    const idle = stats(client);
    const grown = await growth(client, 5, async () => {
      for (let n = 0; n < 10; n++) await once();
    });
    await until(() => client.realtime.state === "disconnected");
    expect(grown).toBeLessThanOrEqual(PAGE);
    await until(() => stats(client), (now) => now.operations === idle.operations && now.effects === idle.effects && now.handles === idle.handles && now.alive === idle.alive);
  });

  it("clients that come and go, and sessions of visitors", async ({ world }) => {
    const script = new Script((sent) => ((script.requests.length = 0), sent.answer(200, page)));
    const shared = world.client("https://h", { fetch: script.fetch });
    await shared.collection("posts").getList();
    const idle = stats(shared);
    const grown = await growth(shared, 10, async () => {
      for (let n = 0; n < 100; n++) {
        const visitor = shared.withSession({ token: `h.${btoa('{"exp":4102444800}').replace(/=/g, "")}.s`, record: { id: "u1" } });
        await visitor.collection("posts").getList();
        visitor.close();
      }
    });
    expect(grown).toBeLessThanOrEqual(PAGE);
    await until(() => stats(shared), (now) => now.operations === idle.operations && now.effects === idle.effects && now.handles === idle.handles && now.alive === idle.alive);
  });
});

/** What the facade makes of the core's events: callbacks, iterables, and the list of a live query. */
import { describe, expect, it } from "vitest";
import { type LiveEvent, Op } from "../../src/core/ops.js";
import type { LiveQuery } from "../../src/realtime.js";
import { type Asked, settled, world } from "./fake.js";

const record = (id: string) => ({ id, collectionId: "c", collectionName: "posts" });

/** Answers a call that has begun. */
async function answered(calls: Asked[], value: unknown): Promise<Asked> {
  await settled();
  const call = calls.at(-1)!;
  await call.answer(value);
  return call;
}

describe("subscribe", () => {
  it("hands records to the callback, the rest to the options, and ends with its handle", async () => {
    const { client, calls, posts } = world();
    const got: any[] = [];
    const options = {
      filter: "n > 1",
      queueMax: 5,
      headers: { a: "b" },
      onResync: (reason: string) => got.push({ reason }),
      onLagged: (missed: number) => got.push({ missed }),
      onError: (error: unknown) => got.push({ error }),
    };
    const subscribed = client.collection("posts").subscribe("*", (event) => got.push(event), options);
    const { op, args, options: given } = await answered(calls, 7);
    expect([op, args, given.query, given.headers]).toEqual([Op.Subscribe, ["*", "posts", 5], ["filter", "n > 1"], ["a", "b"]]);
    const unsubscribe = await subscribed;
    given.onEvent!(["record", "create", "live", "posts/*", record("a")]);
    given.onEvent!(["resync", "auth_changed"]);
    given.onEvent!(["lagged", 3]);
    given.onEvent!(["error", "why"]);
    expect(got).toEqual([
      { action: "create", id: "a", record: record("a"), origin: "live", topic: "posts/*" },
      { reason: "auth_changed" },
      { missed: 3 },
      { error: "why" },
    ]);
    await unsubscribe();
    await unsubscribe();
    expect(posts).toEqual([[Op.Unsubscribe, [7]]]);
    given.onEvent!(["record", "create", "live", "posts/*", record("b")]);
    expect(got).toHaveLength(4);
  });

  it("messages of topics of one's own are {topic, data}; an end by the core needs no ending", async () => {
    const { client, calls, posts } = world();
    const got: any[] = [];
    const subscribed = client.realtime.subscribe("news", (event) => got.push(event));
    const { options } = await answered(calls, 7);
    options.onEvent!(["message", "news", { n: 1 }]);
    expect(got).toEqual([{ topic: "news", data: { n: 1 } }]);
    options.onEvent!(["end"]);
    await (await subscribed)();
    expect(posts).toEqual([]);
  });

  it("its signal ends it, and its handle lets go of the signal", async () => {
    const { client, calls, posts } = world();
    const [one, other] = [new AbortController(), new AbortController()];
    for (const { signal } of [one, other]) {
      const subscribed = client.collection("posts").subscribe("*", () => {}, { signal });
      await answered(calls, calls.length);
      if (signal == other.signal) await (await subscribed)();
    }
    one.abort();
    other.abort();
    expect(posts).toEqual([[Op.Unsubscribe, [2]], [Op.Unsubscribe, [1]]]);
  });

  it("no topic is no topic of a collection either", () => {
    const { client, calls } = world();
    for (const topic of ["", undefined as any]) void client.collection("posts").subscribe(topic, () => {});
    expect(calls.map(({ args }) => args[0] || "")).toEqual(["", ""]);
  });

  it("a failed one fails", async () => {
    const { client, calls } = world();
    const failed = expect(client.realtime.subscribe("news", () => {})).rejects.toThrow("refused");
    await calls[0]!.fail(new Error("refused"));
    await failed;
  });

  it("ending by topic and by prefix; nothing is loaded for it where nobody listens", async () => {
    const { client, posts } = world();
    await client.realtime.unsubscribe();
    expect(posts).toEqual([]);
    void client.realtime.subscribe("a", () => {});
    await client.realtime.unsubscribe("a");
    await client.realtime.unsubscribeByPrefix("b/");
    await client.realtime.unsubscribe();
    await client.collection("posts").unsubscribe("");
    await client.collection("posts").unsubscribe();
    expect(posts).toEqual([
      [Op.UnsubscribeTopic, ["a", null]],
      [Op.UnsubscribePrefix, ["b/"]],
      [Op.UnsubscribeTopic, [null, null]],
      [Op.UnsubscribeTopic, ["", "posts"]],
      [Op.UnsubscribeTopic, [null, "posts"]],
    ]);
  });

  it("the platform's hints come from the first subscription to the end of the client", () => {
    const made = world();
    expect(made.hint).toBeUndefined();
    void made.client.realtime.subscribe("a", () => {});
    made.hint!("hidden");
    expect(made.posts).toEqual([[Op.Hint, ["hidden"]]]);
    made.client.close();
    expect(made.hint).toBeUndefined();
  });

  it("a client that was closed asks the platform for no hints any more", () => {
    const made = world();
    made.client.close();
    void made.client.realtime.subscribe("a", () => {});
    expect(made.hint).toBeUndefined();
  });

  it("the state can be watched", () => {
    const { client, tell } = world();
    const { onStateChange } = client.realtime;
    const seen: string[] = [];
    const stop = onStateChange((state) => seen.push(state));
    expect([client.realtime.state, client.realtime.isConnected]).toEqual(["disconnected", false]);
    tell("realtime", "disconnected");
    tell("realtime", "connected");
    expect([client.realtime.state, client.realtime.isConnected]).toEqual(["connected", true]);
    stop();
    tell("realtime", "reconnecting");
    expect(seen).toEqual(["connected"]);
    const last: string[] = [];
    onStateChange((state) => last.push(state));
    client.close();
    expect([client.realtime.state, client.realtime.isConnected, last]).toEqual(["disconnected", false, ["disconnected"]]);
  });
});

describe("events", () => {
  it("come one after the other, and leaving the loop unsubscribes", async () => {
    const { client, calls, posts } = world();
    const events = client.realtime.events("posts/*", { filter: "a = 1" });
    await settled();
    expect(calls).toEqual([]);
    const first = events.next();
    const { options } = await answered(calls, 7);
    options.onEvent!(["record", "update", "catchup", "posts/*", record("a")]);
    options.onEvent!(["resync", "too_much"]);
    expect((await first).value).toMatchObject({ action: "update", id: "a", origin: "catchup" });
    for await (const event of events) {
      expect(event).toEqual({ action: "resync", reason: "too_much" });
      break;
    }
    expect(posts).toEqual([[Op.Unsubscribe, [7]]]);
  });

  it("a reader who is too slow loses the oldest and is told how many", async () => {
    const { client, calls } = world();
    const events = client.realtime.events("news", { queueMax: 3 });
    const first = events.next();
    const { options } = await answered(calls, 7);
    for (let n = 0; n < 10; n++) options.onEvent!(["message", "news", n]);
    expect((await first).value).toEqual({ action: "lagged", missed: 7 });
    options.onEvent!(["end"]);
    const rest = [];
    for await (const event of events) rest.push((event as any).data);
    expect(rest).toEqual([7, 8, 9]);
  });

  it("end at once where they are given up or their signal says so, also while one waits for the next", async () => {
    for (const how of ["return", "signal", "signal, at once"]) {
      const { client, calls, posts } = world();
      const stop = new AbortController();
      const events = client.realtime.events("news", { signal: stop.signal });
      const next = events.next();
      await settled();
      const there = calls[0]!.answer(7);
      // The caller does not know yet what the core has answered.
      if (how != "signal, at once") await there;
      if (how == "return") void events.return();
      else stop.abort();
      expect(await next).toEqual({ done: true, value: undefined });
      await settled();
      expect(posts).toEqual([[Op.Unsubscribe, [7]]]);
    }
  });

  it("an error is an event, since the events go on after it; one at the beginning fails the loop", async () => {
    const { client, calls } = world();
    const events = client.realtime.events("news");
    const next = events.next();
    const { options } = await answered(calls, 7);
    options.onEvent!(["error", "why"]);
    expect((await next).value).toEqual({ action: "error", error: "why" });
    const failed = expect(client.realtime.events("news").next()).rejects.toThrow("refused");
    await settled();
    await calls[1]!.fail(new Error("refused"));
    await failed;
  });
});

describe("live", () => {
  async function live(first = ["a", "b", "c"], options = {}) {
    const made = world();
    const query = made.client.collection("posts").live({ filter: "n > 1", sort: "-n", limit: 9, recheckEvery: 50, ...options });
    const call = await answered(made.calls, 5);
    const hear = (...event: LiveEvent) => call.options.onEvent!(event);
    hear("snapshot", first.map(record));
    return { ...made, call, hear, query: (await query) as LiveQuery<any> };
  }
  const ids = (query: LiveQuery<any>) => query.records.map((one) => one.id).join("");

  it("is there with its snapshot, and asks for what was wanted", async () => {
    const { call, query } = await live();
    expect([call.op, call.args]).toEqual([Op.Live, ["posts", 9, 50]]);
    expect(call.options.query).toEqual(["filter", "n > 1", "sort", "-n"]);
    expect(ids(query)).toBe("abc");
  });

  it("each change makes another array, with the same records where they have not changed", async () => {
    const { hear, query } = await live();
    const steps: [LiveEvent, string][] = [
      [["enter", 1, "d", record("d")], "adbc"],
      [["leave", 0, "a"], "dbc"],
      [["move", 0, 2, "d"], "bcd"],
      [["move", 2, 0, "d"], "dbc"],
      [["change", 1, "b", { ...record("b"), n: 2 }], "dbc"],
      [["enter", 3, "e", record("e")], "dbce"],
      [["leave", 3, "e"], "dbc"],
      [["snapshot", [record("z")]], "z"],
    ];
    for (const [event, after] of steps) {
      const before = query.records;
      const was = ids(query);
      hear(...event);
      expect(ids(query)).toBe(after);
      expect(query.records).not.toBe(before);
      expect(before.map((one) => one.id).join("")).toBe(was);
    }
    const before = query.records;
    hear("error", "why");
    expect(query.records).toBe(before);
  });

  it("lists stay right under any changes", async () => {
    const { hear, query } = await live([]);
    const model: any[] = [];
    let seed = 7;
    const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
    for (let n = 0; n < 2000; n++) {
      const at = model.length ? random(model.length) : 0;
      const kind = model.length ? random(4) : 0;
      if (kind == 0) {
        const index = random(model.length + 1);
        model.splice(index, 0, record(`r${n}`));
        hear("enter", index, `r${n}`, record(`r${n}`));
      } else if (kind == 1) hear("leave", at, model.splice(at, 1)[0].id);
      else if (kind == 2) {
        model[at] = { ...model[at], n };
        hear("change", at, model[at].id, model[at]);
      } else {
        const [one] = model.splice(at, 1);
        const to = random(model.length + 1);
        model.splice(to, 0, one);
        hear("move", at, to, one.id);
      }
    }
    expect(query.records).toEqual(model);
  });

  it("listeners are told once for what came together, and without their object", async () => {
    const { hear, query } = await live();
    await settled();
    const { subscribe } = query;
    const seen: string[] = [];
    const stop = subscribe(() => seen.push(ids(query)));
    hear("leave", 0, "a");
    hear("leave", 0, "b");
    expect(seen).toEqual([]);
    await settled();
    expect(seen).toEqual(["c"]);
    hear("error", "why");
    await settled();
    expect([seen.length, query.error]).toEqual([2, "why"]);
    hear("enter", 0, "x", record("x"));
    await settled();
    expect([seen.length, query.error]).toEqual([3, null]);
    stop();
    hear("leave", 0, "x");
    await settled();
    expect(seen).toHaveLength(3);
  });

  it("an error is over when the stream is back, also where nothing has changed", async () => {
    const { hear, query, tell } = await live();
    hear("error", "why");
    await settled();
    let told = 0;
    query.subscribe(() => told++);
    tell("realtime", "connecting");
    await settled();
    expect([told, query.error]).toEqual([0, "why"]);
    tell("realtime", "connected");
    await settled();
    expect([told, query.error, ids(query)]).toEqual([1, null, "abc"]);
    hear("error", "why");
    query.close();
    tell("realtime", "connecting");
    tell("realtime", "connected");
    await settled();
    expect(query.error).toBe("why");
  });

  it("changes begin with the list as it is", async () => {
    const { hear, query } = await live();
    const got: any[] = [];
    const reading = (async () => {
      for await (const change of query.changes()) got.push(change);
    })();
    await settled();
    hear("enter", 0, "d", record("d"));
    hear("move", 0, 1, "d");
    hear("leave", 1, "d");
    hear("change", 0, "a", record("a"));
    hear("error", "why");
    hear("end");
    await reading;
    expect(got).toEqual([
      { action: "snapshot", records: ["a", "b", "c"].map(record) },
      { action: "enter", index: 0, id: "d", record: record("d") },
      { action: "move", from: 0, to: 1, id: "d" },
      { action: "leave", index: 1, id: "d" },
      { action: "change", index: 0, id: "a", record: record("a") },
      { action: "error", error: "why" },
    ]);
  });

  it("who reads too slowly gets the list as it has become", async () => {
    const { hear, query } = await live([]);
    const changes = query.changes();
    expect((await changes.next()).value).toEqual({ action: "snapshot", records: [] });
    for (let n = 0; n < 1500; n++) hear("enter", n, `r${n}`, record(`r${n}`));
    const { value } = await changes.next();
    expect(value).toMatchObject({ action: "snapshot" });
    expect((value as any).records).toHaveLength(1500);
    hear("leave", 0, "r0");
    expect((await changes.next()).value).toMatchObject({ action: "leave", id: "r0" });
  });

  it("closing ends it, its loops, and the core's part of it, once", async () => {
    const { hear, query, posts } = await live();
    const reading = (async () => {
      for await (const _ of query.changes());
    })();
    await settled();
    query.close();
    query[Symbol.dispose]();
    await reading;
    expect(posts).toEqual([[Op.LiveEnd, [5]]]);
    hear("leave", 0, "a");
    expect(ids(query)).toBe("abc");
    expect((await query.changes().next()).value).toMatchObject({ action: "snapshot" });
  });

  it("its signal closes it; one that the core has ended is not ended again", async () => {
    const stop = new AbortController();
    const { posts } = await live(["a"], { signal: stop.signal });
    stop.abort();
    expect(posts).toEqual([[Op.LiveEnd, [5]]]);
    const other = await live();
    other.hear("end");
    other.query.close();
    expect(other.posts).toEqual([]);
  });

  it("its signal closes it also just when it is there", async () => {
    const { client, calls, posts } = world();
    const stop = new AbortController();
    const query = client.collection("posts").live({ signal: stop.signal });
    const there = calls[0]!.answer(5);
    stop.abort();
    await there;
    expect(posts).toEqual([[Op.LiveEnd, [5]]]);
    expect((await query).records).toEqual([]);
  });

  it("changes end where their signal has said so before they are read", async () => {
    const { query } = await live();
    const seen = [];
    for await (const { action } of query.changes({ signal: AbortSignal.abort() })) seen.push(action);
    expect(seen).toEqual(["snapshot"]);
  });

  it("fails where the core does", async () => {
    const { client, calls } = world();
    const failed = expect(client.collection("posts").live()).rejects.toThrow("refused");
    await calls[0]!.fail(new Error("refused"));
    await failed;
  });
});

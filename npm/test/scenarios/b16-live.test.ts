/** B16: a live query is the server's list, whoever writes and whatever breaks. */
import type { Client } from "@picobase/client";
import { describe, expect } from "vitest";
import { Stage } from "../support/stage.js";
import { failure, it, sleep, until } from "../support/world.js";

type Row = { id: string; n: number; text: string };

const query = { filter: "n >= 10 && text != 'hidden'", sort: "-n,id", limit: 20 };

/** The list as the server gives it now. */
const fresh = async (client: Client) => (await client.collection<Row>("bulk").getList(1, 20, { filter: query.filter, sort: query.sort })).items;

describe.concurrent("B16", () => {
  it("records enter, change, move and leave, and each change is a new array", async ({ world }) => {
    const stage = await Stage.new(world);
    const bulk = stage.direct.collection<Row>("bulk");
    const first = await bulk.create({ n: 20, text: "a" });
    const live = await stage.client.collection<Row>("bulk").live(query);
    world.later(() => live.close());
    expect(live.records.map((row) => row.id)).toEqual([first.id]);
    const seen: (readonly Row[])[] = [];
    live.subscribe(() => void seen.push(live.records));
    const ids = (...wanted: string[]) => until(() => live.records.map((row) => row.id), (now) => now.join() === wanted.join());
    const second = await bulk.create({ n: 30, text: "b" });
    await ids(second.id, first.id);
    await bulk.update(first.id, { n: 40 });
    await ids(first.id, second.id);
    await bulk.update(second.id, { text: "hidden" });
    await ids(first.id);
    await bulk.update(first.id, { text: "c" });
    await until(() => live.records[0]!.text === "c");
    await bulk.delete(first.id);
    await ids();
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.every(Array.isArray)).toBe(true);
    live.close();
    await bulk.create({ n: 50, text: "late" });
    await sleep(200);
    expect(live.records).toEqual([]);
  });

  it("equals a fresh list after random writes while streams and calls break", async ({ world }) => {
    const stage = await Stage.new(world, { liveness: 2000 });
    const live = await stage.client.collection<Row>("bulk").live(query);
    world.later(() => live.close());
    stage.write();
    await stage.more(20);
    await stage.cut("reset");
    await stage.proxy.faults({ method: "GET", path_contains: "/records", times: 3, action: { type: "respond", status: 502 } });
    await stage.more(20);
    await stage.server.restart(500);
    await stage.more(30);
    await stage.cut("close");
    await stage.more(20);
    await stage.stop();
    // However few the writer has left.
    for (let n = 0; n < 6; n++) await stage.direct.collection("bulk").create({ n: 10_000 + n, text: "last" });
    // Asked anew each time: a write that its writer has given up may still be done.
    await until(
      async () => ({ live: live.records, fresh: await fresh(stage.direct) }),
      ({ live, fresh }) => JSON.stringify(live) === JSON.stringify(fresh),
    );
    expect(live.records.length).toBeGreaterThan(5);
  });

  it("changes as an iterable", async ({ world }) => {
    const stage = await Stage.new(world);
    const live = await stage.client.collection<Row>("bulk").live(query);
    world.later(() => live.close());
    const writing = sleep(100).then(() => stage.direct.collection("bulk").create({ n: 11, text: "x" }));
    for await (const _ of live.changes()) if (live.records.length === 1) break;
    await writing;
    expect(live.records).toMatchObject([{ n: 11 }]);
  });

  it("signing in and out turns the list into that of the user", async ({ world }) => {
    const stage = await Stage.new(world);
    const live = await stage.client.collection<{ id: string }>("users").live({ sort: "id" });
    world.later(() => live.close());
    expect(live.records).toEqual([]);
    const { password } = await import("../support/kit.js");
    await stage.client.auth.signIn("alice@example.com", password);
    await until(() => live.records.length === 1);
    expect(live.records[0]!.id).toBe(stage.client.authStore.record!.id);
    await stage.client.auth.signOut();
    await until(() => live.records.length === 0);
  });

  it("what the server refuses is an error of its own", async ({ world }) => {
    const client = world.client();
    expect(await failure(client.collection("posts").live({ filter: "no = such" }))).toMatchObject({ kind: "Validation" });
    expect(await failure(client.collection("noaccess").live({}))).toMatchObject({ kind: "Forbidden" });
  });

  it("nothing is left of one that is closed", async ({ world }) => {
    const stage = await Stage.new(world, { linger: 200 });
    const live = await stage.client.collection("bulk").live(query);
    live.close();
    await until(async () => (await stage.proxy.stats()).in_flight, (n) => n === 0);
  });
});

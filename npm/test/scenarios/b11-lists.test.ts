/** B3, B4 and B11: lists, their options, and whole collections while others write. */
import { describe, expect } from "vitest";
import { failure, it, unique } from "../support/world.js";

interface Post {
  id: string;
  title: string;
  n: number;
}

describe.concurrent("lists", () => {
  it("pages and their options", async ({ world }) => {
    const client = world.client();
    const posts = client.collection<Post>("posts");
    const title = unique("page");
    const author = (await world.user()).authStore.record!;
    for (let n = 0; n < 5; n++) await posts.create({ title, n, author: author.id });
    const filter = client.filter("title = {:title} && n >= {:n}", { title, n: 1 });
    const page = await posts.getList(2, 3, { filter, sort: "-n", fields: "n" });
    expect(page).toMatchObject({ page: 2, perPage: 3, totalItems: 4, totalPages: 2, items: [{ n: 1 }] });
    expect(Object.keys(page.items[0]!)).toEqual(["n"]);
    const counted = await posts.getList(1, 2, { filter, skipTotal: true });
    expect(counted).toMatchObject({ totalItems: -1, totalPages: -1 });
    expect((await posts.getFirstListItem(filter, { sort: "n" })).n).toBe(1);
    expect(await failure(posts.getFirstListItem("title = 'nothing at all'"))).toMatchObject({ kind: "NotFound", status: 404 });
    expect((await posts.getList(1, 1, { filter: undefined, sort: null as any, query: { page: undefined } })).page).toBe(1);
    expect((await failure(posts.getList(1, 1, { filter: "no = such = thing" }))).kind).toBe("Validation");
  });

  it("values in a filter stay values", async ({ world }) => {
    const client = world.client();
    const posts = client.collection<Post>("posts");
    for (const text of [`a "b" 'c' \\ d`, "x || true", "{:other}", "100% _ äöü 🎉", "line\nbreak", "\\", 'ends in "']) {
      const title = `${unique("v")} ${text}`;
      const made = await posts.create({ title });
      const found = await posts.getFullList({ filter: client.filter("title = {:title}", { title, other: "no" }) });
      expect(found.map((post) => post.id), text).toEqual([made.id]);
    }
    const when = new Date(Date.UTC(2027, 0, 2, 3, 4, 5, 6));
    const made = await posts.create({ title: unique("when"), when, n: 1e21 });
    expect(made).toMatchObject({ when: "2027-01-02 03:04:05.006Z" });
    const filter = client.filter("id = {:id} && when = {:when} && n = {:n} && flag = {:flag}", { id: made.id, when, n: 1e21, flag: false });
    expect((await posts.getFirstListItem(filter)).id).toBe(made.id);
  });

  it("a whole collection while others write: what is there the whole time comes exactly once", async ({ world }) => {
    const server = await world.server();
    await server.seed("bulk", 2500);
    const client = world.client(server.url);
    const bulk = client.collection<{ id: string; n: number }>("bulk");
    let writes = true;
    const writer = (async () => {
      while (writes) {
        const made = await bulk.create({ n: -1, text: "new" });
        await bulk.delete(made.id);
      }
    })();
    const all = await bulk.getFullList({ batch: 200 });
    const walked: number[] = [];
    for await (const row of bulk.iterate({ batch: 300, fields: "n" })) {
      expect(Object.keys(row)).toEqual(["n"]);
      walked.push(row.n);
    }
    writes = false;
    await writer;
    const kept = (numbers: number[]) => numbers.filter((n) => n >= 0).sort((a, b) => a - b);
    const seeded = kept(all.map((row) => row.n));
    expect(seeded).toHaveLength(2500);
    expect(new Set(seeded).size).toBe(2500);
    expect(kept(walked)).toEqual(seeded);
  });

  it("a walk that is left ends", async ({ world }) => {
    const server = await world.server();
    await server.seed("bulk", 1000);
    const client = world.client(server.url);
    let n = 0;
    for await (const _ of client.collection("bulk").iterate({ batch: 100 })) if (++n === 150) break;
    expect(n).toBe(150);
    expect((await server.proxy.requests("/bulk/")).length).toBeLessThanOrEqual(4);
  });

  it("records by their ids, in order, missing ones reported", async ({ world }) => {
    const posts = world.client().collection<Post>("posts");
    const made = await Promise.all([0, 1, 2].map((n) => posts.create({ title: unique("many"), n })));
    const ids = [made[2]!.id, "aaaaaaaaaaaaaaa", made[0]!.id];
    const { records, missing } = await posts.getMany(ids);
    expect(records.map((post) => post.n)).toEqual([2, 0]);
    expect(missing).toEqual(["aaaaaaaaaaaaaaa"]);
  });

  it("expand and fields", async ({ world }) => {
    const author = await world.user();
    const posts = author.collection<Post & { expand?: { author: { id: string; name: string } } }>("posts");
    const made = await posts.create({ title: unique("expand"), author: author.authStore.record!.id }, { expand: "author" });
    expect(made.expand?.author.id).toBe(author.authStore.record!.id);
    const one = await posts.getOne(made.id, { fields: "id,expand.author.id", expand: "author" });
    expect(one).toEqual({ id: made.id, expand: { author: { id: author.authStore.record!.id } } });
  });

  it("odd ids reach nothing else", async ({ world }) => {
    const proxy = await world.proxy();
    const posts = world.client(proxy.url).collection("posts");
    for (const id of ["", ".", ".."]) expect(await failure(posts.getOne(id)), id).toMatchObject({ kind: "NotFound", attempts: 0 });
    expect(await proxy.requests()).toEqual([]);
    for (const id of ["a/b", "../users/x", "a?b=c", "a#b", "ä ö", "%2e%2e"]) expect(await failure(posts.getOne(id)), id).toMatchObject({ kind: "NotFound" });
    for (const request of await proxy.requests()) expect(request.path).toMatch(/^\/api\/collections\/posts\/records\/[^/]+$/);
  });
});

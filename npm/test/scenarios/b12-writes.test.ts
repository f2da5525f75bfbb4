/** B12: creates, updates, deletes and batches, with files and without. */
import { describe, expect } from "vitest";
import { failure, it, unique, until } from "../support/world.js";

const file = (name: string, text: string) => new File([text], name, { type: "text/plain" });

describe.concurrent("records", () => {
  it("from create to delete, and modifiers of fields", async ({ world }) => {
    const posts = world.client().collection("posts");
    const made = await posts.create({ title: unique("crud"), n: 1, tags: ["a"], meta: { deep: [1, { x: null }] } });
    expect(made).toMatchObject({ collectionName: "posts", n: 1, tags: ["a"], meta: { deep: [1, { x: null }] } });
    const changed = await posts.update(made.id, { "n+": 4, "tags+": "b", body: undefined });
    expect(changed).toMatchObject({ n: 5, tags: ["a", "b"] });
    expect(await posts.update(made.id, { "tags-": "a" }, { fields: "tags" })).toEqual({ tags: ["b"] });
    expect((await posts.getOne(made.id)).n).toBe(5);
    expect(await posts.delete(made.id)).toBe(true);
    expect(await failure(posts.getOne(made.id))).toMatchObject({ kind: "NotFound" });
    const own = await posts.create({ id: "abcdefghij" + Math.random().toString(36).slice(2, 7), title: "own id" });
    expect(own.id).toMatch(/^abcdefghij/);
  });

  it("files in an object, in lists, in a form; added and removed", async ({ world }) => {
    const posts = world.client().collection("posts");
    const made = await posts.create({ title: unique("files"), n: 3, attachments: [file("a.txt", "aaa"), file("b.txt", "bb")] });
    expect(made.n).toBe(3);
    expect(made.attachments).toHaveLength(2);
    const more = await posts.update(made.id, { "attachments+": file("c.txt", "c") });
    expect(more.attachments).toHaveLength(3);
    const fewer = await posts.update(made.id, { "attachments-": [more.attachments[0]] });
    expect(fewer.attachments).toEqual(more.attachments.slice(1));

    const form = new FormData();
    form.append("title", unique("form"));
    form.append("n", "7");
    form.append("tags", "a");
    form.append("tags", "b");
    form.append("attachments", new Blob(["x"]), "data.bin");
    const fromForm = await posts.create(form);
    expect(fromForm).toMatchObject({ n: 7, tags: ["a", "b"] });
    expect(fromForm.attachments[0]).toMatch(/^data_\w+\.bin$/);
  });

  it("the names of fields are never changed, numbers and odd texts arrive as they are", async ({ world }) => {
    const posts = world.client().collection("posts");
    const body = { title: `odd "\\\n\u0001äöü🎉`, n: -1.5e-7, meta: { a_b: 1, aB: 2, "": 3, __proto_: 4 } };
    for (const extra of [{}, { attachments: file("a.txt", "a") }]) {
      const made = await posts.create({ ...body, ...extra });
      expect(made).toMatchObject(body);
      expect(await posts.getOne(made.id)).toMatchObject(body);
    }
  });
});

describe.concurrent("batches", () => {
  it("every kind of write, with files, in one request", async ({ world }) => {
    const proxy = await world.proxy();
    const client = world.client(proxy.url);
    const old = await client.collection("posts").create({ title: "old" });
    const gone = await client.collection("posts").create({ title: "gone" });
    await proxy.forget();
    const batch = client.createBatch();
    const posts = batch.collection("posts");
    posts.create({ title: "made", attachments: [file("a.txt", "a"), file("b.txt", "b")] }, { fields: "id,title,attachments" });
    posts.update(old.id, { title: "new", "attachments+": file("c.txt", "c") });
    posts.upsert({ id: old.id, n: 5 });
    posts.upsert({ id: unique("").slice(0, 15).padEnd(15, "0"), title: "upserted" });
    posts.delete(gone.id);
    const results = await batch.send();
    expect(results.map((result) => result.status)).toEqual([200, 200, 200, 200, 204]);
    expect(results[0]!.body).toMatchObject({ title: "made" });
    expect(Object.keys(results[0]!.body).sort()).toEqual(["attachments", "id", "title"]);
    expect(results[0]!.body.attachments).toHaveLength(2);
    expect(results[2]!.body).toMatchObject({ id: old.id, title: "new", n: 5 });
    expect(await proxy.requests()).toHaveLength(1);
  });

  it("all or nothing", async ({ world }) => {
    const client = world.client();
    const title = unique("none");
    const batch = client.createBatch();
    batch.collection("posts").create({ title });
    batch.collection("posts").delete("aaaaaaaaaaaaaaa");
    expect(await failure(batch.send())).toMatchObject({ item: 1, kind: "NotFound" });
    expect((await client.collection("posts").getFullList({ filter: client.filter("title = {:title}", { title }) }))).toEqual([]);
  });

  it("more writes than the server takes at once, in chunks", async ({ world }) => {
    const proxy = await world.proxy();
    const client = world.client(proxy.url);
    const title = unique("chunk");
    const batch = client.createBatch();
    for (let n = 0; n < 120; n++) batch.collection("posts").create({ title, n });
    expect(batch.length).toBe(120);
    const { results, error } = await batch.sendChunked();
    expect(error).toBeNull();
    expect(results.map((result) => result.body.n)).toEqual(Array.from({ length: 120 }, (_, n) => n));
    expect(await proxy.requests("/api/batch")).toHaveLength(3);

    const second = client.createBatch();
    for (let n = 0; n < 6; n++) second.collection("posts").create({ title: n === 4 ? "" : title, n });
    const some = await second.sendChunked({ size: 2 });
    expect(some.results).toHaveLength(4);
    expect(some.error).toMatchObject({ kind: "Validation", item: 4 });
  });

  it("the own record in a batch updates the session", async ({ world }) => {
    const client = await world.user();
    const batch = client.createBatch();
    batch.collection("users").update(client.authStore.record!.id, { name: "Batched" });
    await batch.send();
    await until(() => client.authStore.record!.name === "Batched");
  });
});

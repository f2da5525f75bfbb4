/** Which operation each public method asks the module for, and with what. */
import { describe, expect, it } from "vitest";
import { type Client, open } from "../../src/client.js";
import { type Download, type Notice, Op } from "../../src/core/ops.js";
import { PicoBaseError } from "../../src/error.js";
import { Row } from "../../src/rows.js";

type Call = { op: Op; args: any[]; options: any };

/** A client on an engine that only writes down what it is asked, and answers from a list. */
function fake(options: object = {}, url: string | null = "https://h/base/") {
  const calls: Call[] = [];
  const posts: Call[] = [];
  const answers: unknown[] = [];
  const clients: any[] = [];
  const made: { listener: (notice: Notice) => void; config?: any; session?: any }[] = [];
  const engine = {
    async call(op: Op, _ref: unknown, args: any[], options: any) {
      calls.push({ op, args, options });
      const answer = answers.shift();
      return typeof answer == "function" ? answer(options) : answer;
    },
    post: (op: Op, _ref: unknown, args: any[]) => void posts.push({ op, args, options: undefined }),
    client: (config: any, listener: any) => (made.push({ config, listener }), { id: 1 }),
    withSession: (_parent: any, session: any, listener: any) => (made.push({ session, listener }), { id: 2 }),
    close: (ref: any) => void clients.push(ref),
  };
  const platform = { isBrowser: false, store: () => null } as any;
  const client: Client = open(platform, engine as any, url, "pk_1", options);
  return { client, calls, posts, answers, made, closed: clients };
}

describe("records", () => {
  const cases: [string, (client: Client) => Promise<unknown>, Op, unknown[], unknown[]?][] = [
    ["getList", (c) => c.collection("posts").getList(), Op.Row, [Row.RecordsList, ["posts"], null, 0], ["page", "1", "perPage", "30"]],
    [
      "getList with all",
      (c) => c.collection("posts").getList(2, 5, { filter: "a = 1", sort: "-a", expand: null, skipTotal: true, query: { n: 1e21, at: new Date(0), o: { a: [1] } } }),
      Op.Row,
      [Row.RecordsList, ["posts"], null, 0],
      ["page", "2", "perPage", "5", "filter", "a = 1", "sort", "-a", "skipTotal", "true", "n", "1000000000000000000000", "at", "1970-01-01 00:00:00.000Z", "o", '{"a":[1]}'],
    ],
    ["getOne", (c) => c.collection("posts").getOne("r1", { expand: "author" }), Op.Row, [Row.RecordsOne, ["posts", "r1"], null, 0], ["expand", "author"]],
    ["getFullList", (c) => c.collection("posts").getFullList({ batch: 7, filter: "a" }), Op.GetFullList, ["posts", 7], ["filter", "a"]],
    ["getFullList without options", (c) => c.collection("posts").getFullList(), Op.GetFullList, ["posts", null], []],
    ["getFullList as of old", (c) => c.collection("posts").getFullList(9, { sort: "a" }), Op.GetFullList, ["posts", 9], ["sort", "a"]],
    ["getFirstListItem", (c) => c.collection("posts").getFirstListItem("a = 1", { sort: "a" }), Op.GetFirst, ["posts", "a = 1"], ["sort", "a"]],
    ["create", (c) => c.collection("posts").create({ title: "a" }), Op.Create, ["posts", { title: "a" }, [], false, null], []],
    ["create with options", (c) => c.collection("posts").create({}, { safeRetry: true, fields: "id" }), Op.Create, ["posts", {}, [], true, null], ["fields", "id"]],
    ["create with nothing", (c) => c.collection("posts").create(), Op.Create, ["posts", {}, [], false, null], []],
    ["update", (c) => c.collection("posts").update("r1", { "n+": 1 }), Op.Update, ["posts", "r1", { "n+": 1 }, [], false, null], []],
    ["query pairs", (c) => c.send("/api/x", { query: [["tag", "a"], ["tag", "b"]] }), Op.Send, ["GET", "/api/x", undefined, false], ["tag", "a", "tag", "b"]],
    ["send", (c) => c.send("/api/x", { method: "PUT", body: { a: 1 }, safe: true }), Op.Send, ["PUT", "/api/x", { a: 1 }, true], []],
    ["rpc", (c) => c.rpc("f", { a: 1 }), Op.Rpc, ["f", { a: 1 }]],
    ["getToken", (c) => c.files.getToken(), Op.FileToken, []],
  ];
  it.each(cases)("%s", async (_, run, op, args, query) => {
    const { client, calls } = fake();
    await run(client);
    expect(calls).toHaveLength(1);
    expect(calls[0]).toMatchObject({ op, args });
    expect(calls[0]!.options?.query).toEqual(query);
  });

  it("maps what a call may be given", async () => {
    const { client, calls } = fake();
    const { signal } = new AbortController();
    const headers = { "X-A": "1", "X-B": undefined };
    await client.collection("posts").getOne("r1", { timeout: 5, signal, headers, query: undefined, fields: undefined });
    expect(calls[0]!.options).toEqual({ timeout: 5, signal, headers: ["X-A", "1"], query: [], onEvent: undefined });
    await client.collection("posts").getOne("r1", { headers: new Headers({ "x-c": "2" }) });
    expect(calls[1]!.options.headers).toEqual(["x-c", "2"]);
  });

  it("sends text as it is, as JSON where no header says what it is", async () => {
    const { client, calls } = fake();
    await client.send("/api/x", { method: "POST", body: '{"a":1}' });
    const body = calls[0]!.args[2];
    expect(body).toBeInstanceOf(Blob);
    expect([await body.text(), body.type]).toEqual(['{"a":1}', "application/json"]);
    await client.send("/api/x", { method: "POST", body: new URLSearchParams({ a: "1 ü", b: "&" }) });
    const form = calls[1]!.args[2];
    expect([await form.text(), form.type]).toEqual(["a=1+%C3%BC&b=%26", "application/x-www-form-urlencoded;charset=utf-8"]);
  });

  it("has a status of 404 for all that is not found, also where nothing was asked", () => {
    const error = new PicoBaseError({ kind: "NotFound", message: "no", status: 0 });
    expect([error.status, error.response.status]).toEqual([404, 404]);
    expect(new PicoBaseError({ kind: "Network", message: "no" }).status).toBe(0);
  });

  it("refuses a query value that cannot be written, without sending anything", async () => {
    const { client, calls } = fake();
    await expect(client.collection("posts").getList(1, 1, { query: { n: NaN } })).rejects.toMatchObject({ kind: "Validation" });
    expect(calls).toEqual([]);
  });

  it("walks page by page, and ends the walk", async () => {
    const { client, calls, posts, answers } = fake();
    answers.push(7, [1, 2], [3], null);
    const seen = [];
    for await (const record of client.collection("posts").iterate<number>({ batch: 2, sort: "a" })) seen.push(record);
    expect(seen).toEqual([1, 2, 3]);
    expect(calls.map(({ op, args }) => [op, args])).toEqual([[Op.Walk, ["posts", 2]], ...Array(3).fill([Op.WalkNext, [7]])]);
    expect(posts).toMatchObject([{ op: Op.WalkEnd, args: [7] }]);
    answers.push(8, [1, 2]);
    for await (const record of client.collection("posts").iterate<number>()) if (record == 1) break;
    expect(posts[1]).toMatchObject({ op: Op.WalkEnd, args: [8] });
  });

  it("tells which ids are missing", async () => {
    const { client, calls, answers } = fake();
    answers.push([[{ id: "a" }], ["b"]]);
    expect(await client.collection("posts").getMany(["a", "b"])).toEqual({ records: [{ id: "a" }], missing: ["b"] });
    expect(calls[0]).toMatchObject({ op: Op.GetMany, args: ["posts", ["a", "b"]] });
  });

  it("answers true where the module answers nothing", async () => {
    const { client, calls } = fake();
    expect(await client.collection("posts").delete("r1")).toBe(true);
    expect(calls[0]).toMatchObject({ op: Op.Delete, args: ["posts", "r1"] });
  });
});

describe("bodies", () => {
  const written = async (body: any) => {
    const { client, calls } = fake();
    await client.collection("posts").create(body);
    const [, json, files] = calls[0]!.args;
    return { json, files };
  };

  it("passes an object without files on as it is", async () => {
    const body = { title: "a", tags: ["a"], meta: { a: new Date(0) } };
    expect((await written(body)).json).toBe(body);
  });

  it("takes files out, wherever they stand, and leaves the body alone", async () => {
    const [cover, text] = [new File(["x"], "a.png", { type: "image/png" }), new Blob(["y"])];
    const bytes = new Uint8Array([1]);
    const stream = new ReadableStream();
    const body = { title: "a", cover, "attachments+": [text, "kept.txt", bytes], stream };
    const { json, files } = await written(body);
    expect(json).toEqual({ title: "a", "attachments+": ["kept.txt"] });
    expect(files).toEqual([
      ["cover", "a.png", "image/png", cover],
      ["attachments+", null, null, text],
      ["attachments+", null, null, bytes],
      ["stream", null, null, stream],
    ]);
    expect(Object.keys(body)).toHaveLength(4);
  });

  it("reads a form", async () => {
    const form = new FormData();
    const file = new File(["x"], "a.txt", { type: "text/plain" });
    for (const [name, value] of Object.entries({ title: "007", n: "-1.5", flag: "true", empty: "" })) form.append(name, value);
    form.append("tags", "a");
    form.append("tags", "b");
    form.append("@jsonPayload", '{"meta":{"a":1}}');
    form.append("attachments", file);
    const { json, files } = await written(form);
    expect(json).toEqual({ title: "007", n: -1.5, flag: true, empty: "", tags: ["a", "b"], meta: { a: 1 } });
    expect(files).toMatchObject([["attachments", "a.txt", "text/plain", expect.anything()]]);
  });

  it("uploads a file as a record", async () => {
    const { client, calls } = fake();
    const seen: any[] = [];
    const onProgress = (progress: any) => seen.push(progress);
    await client.storage.upload("docs", new Uint8Array([1]), { field: "doc", data: { title: "t" }, name: "a.bin", type: "x/y", onProgress });
    const [watcher, ...args] = calls[0]!.args.reverse();
    expect(args.reverse()).toEqual(["docs", { title: "t" }, [["doc", "a.bin", "x/y", new Uint8Array([1])]], false]);
    watcher(1, null);
    expect(seen).toEqual([{ done: 1, total: null }]);
  });

  it("nothing is sent where nobody has chosen a file", async () => {
    const { client, calls } = fake();
    const wanted = { kind: "Validation", message: "there is no file to upload" };
    for (const none of [undefined, null, "a.txt", []] as any[]) {
      await expect(client.storage.upload("docs", none, { data: { title: "t" } })).rejects.toMatchObject(wanted);
    }
    await expect(client.backups.upload(undefined as any)).rejects.toMatchObject(wanted);
    await expect(client.backups.upload({})).rejects.toMatchObject(wanted);
    expect(calls).toEqual([]);
  });
});

describe("downloads", () => {
  it("are responses, with progress", async () => {
    const { client, calls, answers } = fake();
    const told: Download = { status: 200, size: 3, type: "text/plain", body: new Blob(["abc"]).stream() };
    answers.push(told);
    const seen: any[] = [];
    const response = await client.storage.download({ id: "r1", collectionName: "docs" }, "a.txt", {
      protected: true,
      thumb: "1x1",
      onProgress: (p) => seen.push(p),
    });
    expect([response.headers.get("content-type"), response.headers.get("content-length")]).toEqual(["text/plain", "3"]);
    expect(await response.text()).toBe("abc");
    expect(seen.at(-1)).toEqual({ done: 3, total: 3 });
    expect(calls[0]).toMatchObject({ op: Op.Download, args: [Row.FilesDownload, ["docs", "r1", "a.txt"], true] });
    expect(calls[0]!.options.query).toEqual(["thumb", "1x1"]);
  });
});

describe("batches", () => {
  it("are one list of writes", async () => {
    const { client, calls, answers } = fake();
    const batch = client.createBatch();
    const file = new File(["x"], "a.txt");
    batch.collection("posts").create({ title: "a", cover: file }, { expand: "author", headers: { "X-A": "1" } });
    batch.collection("posts").update("r1", { title: "b" });
    batch.collection("tags").upsert({ id: "r2" }, { query: { a: 1 } });
    batch.collection("tags").delete("r3");
    expect(batch.length).toBe(4);
    const requests = [
      ["create", "posts", null, { title: "a" }, [["cover", "a.txt", null, file]], ["expand", "author"], ["X-A", "1"]],
      ["update", "posts", "r1", { title: "b" }, [], [], []],
      ["upsert", "tags", null, { id: "r2" }, [], ["a", "1"], []],
      ["delete", "tags", "r3", null, [], [], []],
    ];
    answers.push([[[200, { id: "n" }]], null], [[[204, null]], new PicoBaseError({ kind: "Validation", message: "no" })]);
    expect(await batch.send()).toEqual([{ status: 200, body: { id: "n" } }]);
    expect(calls[0]).toMatchObject({ op: Op.Batch, args: [requests, null] });
    expect(await batch.sendChunked({ size: 2, timeout: 5 })).toMatchObject({ results: [{ status: 204 }], error: { kind: "Validation" } });
    const sent = calls.length;
    for (const size of [0, -1, NaN, 2.5, Infinity]) await expect(batch.sendChunked({ size })).rejects.toMatchObject({ kind: "Validation" });
    expect(calls).toHaveLength(sent);
    expect(calls[1]).toMatchObject({ args: [requests, 2], options: { timeout: 5 } });
  });
});

describe("services", () => {
  const cases: [string, (client: Client) => Promise<unknown>, unknown[], unknown?][] = [
    ["collections.getOne", (c) => c.collections.getOne("posts"), [Row.CollectionsOne, ["posts"], null, 0]],
    ["collections.create", (c) => c.collections.create({ name: "a" }), [Row.CollectionsCreate, [], { name: "a" }, 0]],
    ["collections.update", (c) => c.collections.update("a", { name: "b" }), [Row.CollectionsUpdate, ["a"], { name: "b" }, 0]],
    ["collections.delete", (c) => c.collections.delete("a"), [Row.CollectionsDelete, ["a"], null, 1], true],
    ["collections.truncate", (c) => c.collections.truncate("a"), [Row.CollectionsTruncate, ["a"], null, 1], true],
    ["collections.import", (c) => c.collections.import([{}], true), [Row.CollectionsImport, [], { collections: [{}], deleteMissing: true }, 1], true],
    ["collections.getScaffolds", (c) => c.collections.getScaffolds(), [Row.CollectionsScaffolds, [], null, 0]],
    ["collections.getAllOAuth2Providers", (c) => c.collections.getAllOAuth2Providers(), [Row.CollectionsOAuth2Providers, [], null, 0]],
    ["collections.dryRunViewQuery", (c) => c.collections.dryRunViewQuery("SELECT 1"), [Row.CollectionsDryRunView, [], { query: "SELECT 1" }, 0]],
    ["settings.getAll", (c) => c.settings.getAll(), [Row.SettingsGetAll, [], null, 0]],
    ["settings.update", (c) => c.settings.update({ a: 1 }), [Row.SettingsUpdate, [], { a: 1 }, 0]],
    ["settings.testS3", (c) => c.settings.testS3("backups"), [Row.SettingsTestS3, [], { filesystem: "backups" }, 1], true],
    ["settings.testEmail", (c) => c.settings.testEmail("users", "a@b", "otp"), [Row.SettingsTestEmail, [], { collection: "users", email: "a@b", template: "otp" }, 1], true],
    [
      "settings.generateAppleClientSecret",
      (c) => c.settings.generateAppleClientSecret("c", "t", "k", "p", 9),
      [Row.SettingsAppleSecret, [], { clientId: "c", teamId: "t", keyId: "k", privateKey: "p", duration: 9 }, 0],
    ],
    ["logs.getOne", (c) => c.logs.getOne("l1"), [Row.LogsOne, ["l1"], null, 0]],
    ["logs.getStats", (c) => c.logs.getStats(), [Row.LogsStats, [], null, 0]],
    ["logs.truncate", (c) => c.logs.truncate(), [Row.LogsDelete, [], null, 1], true],
    ["backups.getFullList", (c) => c.backups.getFullList(), [Row.BackupsList, [], null, 0]],
    ["backups.create", (c) => c.backups.create("a.zip"), [Row.BackupsCreate, [], { name: "a.zip" }, 1], true],
    ["backups.delete", (c) => c.backups.delete("a.zip"), [Row.BackupsDelete, ["a.zip"], null, 1], true],
    ["backups.restore", (c) => c.backups.restore("a.zip"), [Row.BackupsRestore, ["a.zip"], null, 1], true],
    ["crons.getFullList", (c) => c.crons.getFullList(), [Row.CronsList, [], null, 0]],
    ["crons.run", (c) => c.crons.run("j"), [Row.CronsRun, ["j"], null, 1], true],
    ["sql.run", (c) => c.sql.run("SELECT 1"), [Row.Sql, [], { query: "SELECT 1" }, 0]],
    ["health.check", (c) => c.health.check(), [Row.Health, [], null, 0]],
  ];
  it.each(cases)("%s", async (_, run, args, answer) => {
    const { client, calls } = fake();
    expect(await run(client)).toBe(answer);
    expect(calls[0]).toMatchObject({ op: Op.Row, args, options: undefined });
  });

  it("take options last, and pages into the query", async () => {
    const { client, calls } = fake();
    await client.collections.delete("a", { timeout: 5 });
    await client.settings.testEmail("users", "a@b", "otp", { timeout: 6 });
    await client.logs.getList(2, 5, { filter: "level > 0" });
    await client.logs.getList();
    await client.logs.getStats({ filter: "level > 0" });
    expect(calls.map(({ options }) => [options.timeout, options.query])).toEqual([
      [5, []],
      [6, []],
      [undefined, ["page", "2", "perPage", "5", "filter", "level > 0"]],
      [undefined, []],
      [undefined, ["filter", "level > 0"]],
    ]);
  });

  it("list all collections and find one", async () => {
    const { client, calls, answers } = fake();
    const found = await Promise.all([
      (answers.push({ items: [1, 2], perPage: 2 }, { items: [3], perPage: 2 }), client.collections.getFullList({ batch: 2 })),
    ]);
    expect(found[0]).toEqual([1, 2, 3]);
    expect(calls[1]!.options.query).toEqual(["page", "2", "perPage", "2", "skipTotal", "true"]);
    // What is no size of a page the server replaces by its own, and what is too much by the most that it gives.
    for (const batch of [0, null as any, 5000]) {
      answers.push({ items: [1, 2], perPage: 2 }, { items: [3], perPage: 2 });
      expect(await client.collections.getFullList({ batch })).toEqual([1, 2, 3]);
    }
    answers.push({ items: [{ name: "a" }] }, { items: [] });
    expect(await client.collections.getFirstListItem("name = 'a'")).toEqual({ name: "a" });
    await expect(client.collections.getFirstListItem("name = 'b'")).rejects.toMatchObject({ kind: "NotFound" });
  });

  it("upload and download backups", async () => {
    const { client, calls, answers } = fake();
    const file = new File(["x"], "a.zip", { type: "application/zip" });
    const part = ["file", "a.zip", "application/zip", file];
    expect([await client.backups.upload(file), await client.backups.upload({ file })]).toEqual([true, true]);
    expect(calls.map(({ op, args }) => [op, args])).toEqual([[Op.BackupUpload, [part]], [Op.BackupUpload, [part]]]);
    answers.push({ status: 200, size: null, type: null, body: new Blob(["z"]).stream() });
    expect(await (await client.backups.download("a.zip")).text()).toBe("z");
    expect(calls[2]).toMatchObject({ op: Op.Download, args: [Row.BackupsDownload, ["a.zip"], true] });
    expect(client.backups.getDownloadURL("t", "a b.zip")).toBe("https://h/base/api/backups/a%20b.zip?token=t");
  });
});

describe("the client", () => {
  it("hands its options to the module", () => {
    const beforeSend = () => {};
    const { made } = fake({
      timeout: 5,
      coldStartTimeout: null,
      credentials: { identity: "a", password: "b" },
      realtime: { liveness: 9, queueMax: 3 },
      beforeSend,
    });
    expect(made[0]!.config).toMatchObject({
      url: "https://h/base/",
      key: "pk_1",
      timeout: 5,
      coldStartTimeout: null,
      store: null,
      credentials: ["a", "b", null],
      realtime: [9, null, null, null, null, null, null, null, 3],
      beforeSend,
    });
  });

  it("takes URL and key from the environment where it is given none", () => {
    Object.assign(process.env, { PICOBASE_URL: "https://env", PICOBASE_API_KEY: "pk_env" });
    try {
      expect(open({ store: () => null } as any, { client: (config: any) => config } as any, null, null, {}).ref).toMatchObject({
        url: "https://env",
        key: "pk_env",
      });
      expect(fake().made[0]!.config).toMatchObject({ url: "https://h/base/", key: "pk_1" });
      expect(fake({}, new URL("https://h/base") as any).made[0]!.config).toMatchObject({ url: "https://h/base", key: "pk_1" });
    } finally {
      delete process.env.PICOBASE_URL;
      delete process.env.PICOBASE_API_KEY;
    }
  });

  it("cancels an earlier call of the same key, and no other", async () => {
    const { client, answers } = fake();
    const wait = ({ signal }: any) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(new PicoBaseError({ kind: "Cancelled", message: "" }))));
    const mine = new AbortController();
    answers.push(wait, wait, "third", wait, wait);
    const [first, other] = ["a", "b"].map((requestKey) => client.send("/1", { requestKey }));
    const third = client.send("/3", { requestKey: "a" });
    await expect(first).rejects.toMatchObject({ kind: "Cancelled", isAbort: true });
    expect(await third).toBe("third");
    client.cancelRequest("a"); // It is over.
    client.cancelRequest("b");
    await expect(other).rejects.toMatchObject({ kind: "Cancelled" });
    const fourth = client.send("/4", { requestKey: "a", signal: mine.signal });
    mine.abort();
    await expect(fourth).rejects.toMatchObject({ kind: "Cancelled" });
  });

  it("makes clients with sessions of their own", () => {
    const { client, made } = fake();
    const store = { load: () => null, save() {}, clear() {} };
    for (const source of ["t1", { token: "t2", record: { id: "u" } }, client.authStore, store, null] as const) client.withSession(source);
    expect(made.slice(1).map(({ session }) => session)).toEqual([
      { token: "t1", record: null },
      { token: "t2", record: { id: "u" } },
      { store: null },
      { store },
      { store: null },
    ]);
    expect(client.withSession({ token: "t2", record: { id: "u" } }).authStore.record).toEqual({ id: "u" });
  });

  it("tells the state until it is told not to", () => {
    const { client, made } = fake();
    const seen: string[] = [];
    const stop = client.onState((state) => seen.push(state));
    made[0]!.listener(["state", "starting"]);
    stop();
    made[0]!.listener(["state", "ready"]);
    expect(seen).toEqual(["starting"]);
  });

  it("changes its URL, and keeps the old one where the new one is refused", async () => {
    const { client, calls, answers } = fake();
    const changing = client.setUrl("https://other/", { keepSession: true });
    expect(client.baseURL).toBe("https://other");
    await changing;
    expect(calls[0]).toMatchObject({ op: Op.SetUrl, args: ["https://other/", true] });
    await expect(client.setUrl("nonsense")).rejects.toMatchObject({ kind: "Configuration" });
    answers.push(() => {
      throw new PicoBaseError({ kind: "Cancelled", message: "no" });
    });
    await expect(client.setUrl("https://third/")).rejects.toMatchObject({ kind: "Cancelled" });
    expect(client.url).toBe("https://other/");
  });

  it("shows no key and no token", async () => {
    const { inspect } = await import("node:util");
    const { client } = fake({ credentials: { identity: "a", password: "s3cret" } });
    const shown = [inspect(client, { depth: 9 }), JSON.stringify(client), inspect(client.collection("posts"), { depth: 9 }), String(client)].join();
    expect(shown).not.toMatch(/pk_1|s3cret/);
    expect(shown).toContain("https://h/base/");
  });

  it("closes", () => {
    const { client, closed } = fake();
    {
      using _ = client;
    }
    expect(closed).toEqual([client.ref]);
  });
});

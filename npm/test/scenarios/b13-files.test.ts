/** B13: uploads, downloads, protected files, with progress and in bounded memory. */
import { describe, expect } from "vitest";
import type { Progress } from "@picobase/client";
import { failure, inNode, it, sleep, stats, unique, until } from "../support/world.js";

const bytes = (n: number) => Uint8Array.from({ length: n }, (_, i) => i * 31 + (i >> 8));
/** Reads a body to its end. */
async function drained({ body }: Response): Promise<number> {
  let bytes = 0;
  for (const reader = body!.getReader(); ; ) {
    const { value } = await reader.read();
    if (!value) return bytes;
    bytes += value.length;
  }
}

const sum = (data: Uint8Array) => data.reduce((a, b, i) => (a + b * ((i % 251) + 1)) % 1_000_000_007, 0);

describe.concurrent("B13", () => {
  it("what goes up comes down, with progress in both directions", async ({ world }) => {
    const client = world.client();
    const data = bytes(3_000_000);
    const up: Progress[] = [];
    const post = await client.storage.upload("posts", new File([data], "film.bin"), {
      field: "attachments",
      data: { title: unique("up"), n: 2 },
      onProgress: (p) => up.push(p),
    });
    expect(post).toMatchObject({ n: 2 });
    expect(up.length).toBeGreaterThan(0);
    for (const [n, p] of up.entries()) if (n) expect(p.done).toBeGreaterThanOrEqual(up[n - 1]!.done);
    expect(up.at(-1)!.done).toBe(up.at(-1)!.total);
    expect(up.at(-1)!.total!).toBeGreaterThanOrEqual(data.length);

    const down: Progress[] = [];
    const answer = await client.storage.download(post, post.attachments[0], { onProgress: (p) => down.push(p) });
    const got = new Uint8Array(await answer.arrayBuffer());
    expect(got.length).toBe(data.length);
    expect(sum(got)).toBe(sum(data));
    expect(down.at(-1)).toEqual({ done: data.length, total: data.length });
  });

  it("every source: Blob, bytes, stream", async ({ world }) => {
    const client = world.client();
    const data = bytes(100_000);
    const stream = () =>
      new ReadableStream<Uint8Array>({
        start(controller) {
          for (let at = 0; at < data.length; at += 10_000) controller.enqueue(data.subarray(at, at + 10_000));
          controller.close();
        },
      });
    for (const source of [new Blob([data]), data, data.buffer, stream()]) {
      const post = await client.storage.upload("posts", source as Blob, { field: "attachments", name: "data.bin", data: { title: "x" } });
      expect(post.attachments[0]).toMatch(/^data_\w+\.bin$/);
      const got = new Uint8Array(await (await client.storage.download(post, post.attachments[0])).arrayBuffer());
      expect(sum(got)).toBe(sum(data));
    }
  });

  it("protected files: one token for many, dropped with the session", async ({ world }) => {
    const proxy = await world.proxy();
    const client = await world.user(proxy.url);
    const doc = await client.storage.upload("docs", new File(["secret"], "a.txt"), { field: "doc", data: { title: "x" } });
    expect((await failure(client.storage.download(doc, doc.doc))).kind).toBe("NotFound");
    await proxy.forget();
    const texts = await Promise.all(
      Array.from({ length: 5 }, async () => (await client.storage.download(doc, doc.doc, { protected: true })).text()),
    );
    expect(texts).toEqual(Array(5).fill("secret"));
    expect(await proxy.requests("/api/files/token")).toHaveLength(1);
    const token = await client.files.getToken();
    expect(await proxy.requests("/api/files/token")).toHaveLength(1);
    expect(await (await fetch(client.files.getURL(doc, doc.doc, { token }))).text()).toBe("secret");
    await client.auth.signOut();
    expect((await failure(client.files.getToken())).status).toBe(401);
  });

  it("thumbs, and files that are not there", async ({ world }) => {
    const client = world.client();
    const png = Uint8Array.from(atob("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="), (c) => c.charCodeAt(0));
    const post = await client.collection("posts").create({ title: "cover", cover: new File([png], "c.png", { type: "image/png" }) });
    const thumb = await client.storage.download(post, post.cover, { thumb: "100x100" });
    expect(thumb.headers.get("content-type")).toBe("image/png");
    expect((await thumb.arrayBuffer()).byteLength).toBeGreaterThan(50);
    expect(await failure(client.storage.download(post, "missing.png"))).toMatchObject({ kind: "NotFound", status: 404 });
    expect(await failure(async () => client.storage.getUrl({ id: "" }, "a.png"))).toMatchObject({ kind: "NotFound" });
  });

  it("a download that breaks off is an error, or goes on where it broke", async ({ world }) => {
    const proxy = await world.proxy();
    const client = world.client(proxy.url);
    const data = bytes(500_000);
    const post = await client.storage.upload("posts", new Blob([data]), { field: "attachments", name: "a.bin", data: { title: "x" } });
    await proxy.faults({ path_prefix: "/api/files/", action: { type: "truncate", bytes: 100_000 } });
    const read = async () => drained(await client.storage.download(post, post.attachments[0]));
    expect(await failure(read())).toMatchObject({ kind: "Network", message: "the download broke off" });
    for (const how of ["arrayBuffer", "blob", "bytes", "json", "text"] as const) {
      const answer = await client.storage.download(post, post.attachments[0]);
      if (how in answer) expect(await failure(answer[how]()), how).toMatchObject({ kind: "Network", message: "the download broke off" });
      else await answer.body!.cancel();
    }
    await proxy.faults();
    expect(await read()).toBe(data.length);
  });

  it("a download that stalls, one that is late, and one that nobody reads for a while", async ({ world }) => {
    const proxy = await world.proxy();
    // Time enough for all that does come.
    const idle = 4000;
    const client = world.client(proxy.url, { transferIdleTimeout: idle });
    const post = await client.storage.upload("posts", new Blob([bytes(500_000)]), { field: "attachments", name: "a.bin", data: { title: "x" } });
    const download = (from = client, options?: object) => from.storage.download(post, post.attachments[0], options);
    await proxy.faults({ path_prefix: "/api/files/", action: { type: "stall", when: "after_response_bytes", bytes: 100_000 } });
    const whole = failure(download().then((answer) => answer.blob()));
    const stop = new AbortController();
    const [stalled, overdue, endless] = (
      await Promise.all([download(), download(world.client(proxy.url), { timeout: idle }), download(client, { timeout: 0, signal: stop.signal })])
    ).map((answer) => failure(drained(answer)));
    expect(await stalled).toMatchObject({ kind: "Timeout", message: "the download made no progress" });
    expect(await whole).toMatchObject({ kind: "Timeout", message: "the download made no progress" });
    expect(await overdue).toMatchObject({ kind: "Timeout", message: "the deadline passed" });
    // What never ends by itself can be ended.
    expect(await Promise.race([endless, sleep(1000)])).toBeUndefined();
    stop.abort();
    expect((await endless!).kind).toBe("Cancelled");
    await until(async () => (await proxy.stats()).in_flight, (n) => n === 0);
    await proxy.faults();
    const slowly = await download();
    await sleep(idle + 1000);
    expect(await drained(slowly)).toBe(500_000);
  });

  it("an upload that stalls, and one that is merely slow", async ({ world }) => {
    const proxy = await world.proxy();
    const client = world.client(proxy.url, { transferIdleTimeout: 4000 });
    // Pages see how an upload goes on only where somebody watches it.
    const options = { field: "attachments", name: "a.bin", data: { title: "x" }, onProgress: () => {} };
    const upload = () => client.storage.upload("posts", new Blob([new Uint8Array(9_000_000)]), options);
    // In all it takes longer than the client would wait for nothing; what the system holds of it is through sooner.
    await proxy.faults({ method: "POST", path_prefix: "/api/", action: { type: "slow", bytes_per_sec: 1_500_000, direction: "request" } });
    await upload();
    await proxy.faults({ method: "POST", path_prefix: "/api/", action: { type: "stall", when: "after_request_bytes", bytes: 100_000 } });
    expect((await failure(upload())).kind).toMatch(/^(Timeout|Network)$/);
  });

  for (const own of [false, true]) {
    it(`a stream that was begun is never sent again (${own ? "fetch of one's own" : "the platform's transport"})`, async ({ world }) => {
      const proxy = await world.proxy();
      await proxy.faults({ method: "POST", path_prefix: "/api/collections", times: 1, action: { type: "respond", status: 503, headers: { "Retry-After": "1" } } });
      const client = world.client(proxy.url, own ? { fetch: (url, init) => fetch(url, init) } : {});
      const upload = (file: any) => client.storage.upload("posts", file, { field: "attachments", name: "a.bin", data: { title: "x" } });
      const error = await failure(upload(new Blob([bytes(100_000)]).stream()));
      expect(error).toMatchObject({ kind: "InstanceUnavailable", status: 503, attempts: 1 });
      expect((await proxy.requests()).filter((r) => r.method === "POST")).toHaveLength(1);
      const post = await upload(new Blob([bytes(100_000)]).stream());
      expect((await (await client.storage.download(post, post.attachments[0])).arrayBuffer()).byteLength).toBe(100_000);
    });
  }
});

// Not beside the others, whose files would count too.
describe("B13, alone", () => {
  it("50 MB up and down as streams take a small part of that in memory", async ({ world }) => {
    if (!inNode) return; // A page's memory is its browser's business.
    const client = world.client();
    await client.health.check();
    const piece = bytes(65_536);
    const size = 800 * piece.length;
    let [most, pieces] = [0, 0];
    // What is held, not what waits to be collected: when that is done is the machine's business.
    const held = () => {
      if (pieces++ % 50) return;
      globalThis.gc!();
      const { heapUsed, external } = process.memoryUsage();
      most = Math.max(most, heapUsed + external + stats(client).memory);
    };
    held();
    const before = most;
    let sent = 0;
    const source = new ReadableStream<Uint8Array>({
      pull(controller) {
        held();
        if (sent++ === 800) controller.close();
        else controller.enqueue(piece.slice());
      },
    });
    const post = await client.storage.upload("posts", source, { field: "attachments", name: "big.bin", data: { title: "big" }, timeout: 0 });
    const { body } = await client.storage.download(post, post.attachments[0]);
    let got = 0;
    for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) {
      got += chunk.length;
      held();
    }
    expect(got).toBe(size);
    await client.collection("posts").delete(post.id);
    expect((most - before) / 1e6).toBeLessThan(20);
  });
});

/** What goes in and out of the module: values that cannot be sent, ends at every stage, and what is left afterwards. */
import { type Client, type ClientOptions, createClient } from "@picobase/client";
import { afterEach, describe, expect, it, vi } from "vitest";
import { open as openOn } from "../../src/client.js";
import { createEngine } from "../../src/core/engine.js";
import type { Platform } from "../../src/core/platform.js";
import { Script, type Sent } from "../support/script.js";
import { failure, sleep, stats, until } from "../support/world.js";

const open: Client[] = [];
afterEach(() => open.splice(0).forEach((client) => client.close()));

/** A client on a script; without an `answer` every request is answered with `{}`. */
function on(answer: (sent: Sent) => void = (sent) => sent.answer(200, "{}"), options: ClientOptions = {}) {
  const script = new Script(answer);
  const client = createClient("http://h", null, { store: "memory", fetch: script.fetch, ...options });
  open.push(client);
  return { script, client, posts: client.collection("posts") };
}

/** The text of a body as it was sent. */
const text = (sent: Sent | undefined) => sent?.init.body as string;

/** What the program does wrong itself shows up as uncaught; here it is taken. */
async function uncaught(work: () => Promise<unknown>): Promise<unknown[]> {
  const seen: unknown[] = [];
  const listeners = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => seen.push(error));
  try {
    await work();
    await sleep(5);
  } finally {
    process.removeAllListeners("uncaughtException");
    for (const listener of listeners) process.on("uncaughtException", listener);
  }
  return seen;
}

describe("values", () => {
  it("what is no record is told in words of no language", async () => {
    for (const body of ["text", [1], 5]) {
      expect(await failure(on().posts.create(body as any))).toMatchObject({ kind: "Validation", fix: "Pass names with their values." });
    }
  });

  const circular: any = {};
  circular.self = circular;
  const secretive = new Proxy({}, { has: () => { throw new Error("has"); }, ownKeys: () => { throw new Error("keys"); } });
  const all = Array(5).fill("Validation");
  // What of them each call says: null where JSON leaves the value out, and a proxy's own error where it is looked at first.
  it.each<[string, unknown, unknown[]]>([
    ["a circle", circular, all],
    ["a bigint", 1n, [...all.slice(0, 2), null, ...all.slice(3)]],
    ["a symbol", Symbol("s"), [null, null, null, null, "Decode"]],
    ["a bigint inside", { n: 1n }, all],
    ["a toJSON that throws", { toJSON() { throw new Error("no"); } }, all],
    ["a proxy that throws", secretive, ["Validation", "Validation", "keys", "keys", "keys"]],
  ])("%s as a body harms no other call", async (_, body, wanted) => {
    const { client, posts } = on();
    const before = (await client.health.check(), stats(client));
    const batch = client.createBatch();
    batch.collection("posts").create(body as any);
    const calls = [
      () => client.send("/x", { method: "POST", body, safe: true }),
      () => client.rpc("f", body),
      () => posts.create(body as any, { safeRetry: true }),
      () => posts.update("r1", body as any),
      () => batch.send(),
    ];
    const seen = [];
    for (const call of calls) {
      seen.push(await call().then(() => null, (error: any) => error.kind ?? error.message));
      expect(await client.send("/y")).toEqual({});
    }
    expect(seen).toEqual(wanted);
    expect(stats(client)).toMatchObject({ handles: before.handles, operations: 0, effects: before.effects });
  });

  it("bodies are what JSON.stringify makes of them", async () => {
    const { client, script, posts } = on((sent) => sent.answer(200, '{"id":"r1"}'));
    const body = { at: new Date(0), no: undefined, fn() {}, list: [undefined, NaN, Infinity, -Infinity, -0, 1e21], nested: { toJSON: () => "x" }, "__proto__x": 1, text: "\0", own: JSON.parse('{"__proto__":{"a":1}}') };
    await posts.create(body);
    expect(text(script.last)).toBe(JSON.stringify(body));
    await posts.create(body, { safeRetry: true });
    const { id, ...sent } = JSON.parse(text(script.last));
    expect(sent).toEqual(JSON.parse(JSON.stringify(body)));
    expect(id).toHaveLength(15);
    const batch = client.createBatch();
    batch.collection("posts").create(body);
    script.requests.length = 0;
    await batch.send().catch(() => {});
    expect(JSON.parse(text(script.last)).requests[0].body).toEqual(JSON.parse(JSON.stringify(body)));
  });

  it("answers: scalars, nothing, BOM, no JSON", async () => {
    const answers: [string, unknown][] = [["null", null], ["true", true], ["0.5", 0.5], ['"x\\ud800\\u0000"', "x\ud800\0"], ["1e400", Infinity], ["[]", []], ['\ufeff{"a":1}', { a: 1 }], ['{"__proto__":1}', JSON.parse('{"__proto__":1}')], [" 7 ", 7]];
    let next = "";
    const { client } = on((sent) => sent.answer(200, next));
    for (const [body, value] of answers) {
      next = body;
      expect([body, await client.send("/x")]).toEqual([body, value]);
    }
    for (const body of ["", "<html>", "{", "{'a':1}", "nul", '{"a":1,}', "\0"]) {
      next = body;
      expect([body, (await failure(client.send("/x"))).kind]).toEqual([body, "Decode"]);
    }
  });

  it("methods are written as HTTP has them", async () => {
    const { client, script } = on();
    await client.send("/x", { method: "get" });
    expect(script.last!.method).toBe("GET");
    await client.send("/x", { method: "patch" });
    expect(script.last!.method).toBe("PATCH");
    const { kind } = await failure(client.send("/x", { method: "OPTIONS" }));
    expect(kind).toBe("Validation");
  });

  it("a stored session that is nearly JSON is none", async () => {
    const { client } = on(undefined, { store: { load: () => '{"token":"a.b.c","record":{"a":"\\q","b":1,}}', save() {}, clear() {} } });
    await client.auth.getSession().catch(() => {});
    expect(await client.send("/x")).toEqual({});
  });

  it.each([["beyond Latin-1", "ł"], ["a control", "a\x01"], ["delete", "\x7f"]])("a header with %s is refused and never retried", async (_, value) => {
    const { client, script } = on();
    const error = await failure(client.send("/x", { headers: { "X-Ok": "é\t~", "X-Bad": value } }));
    expect([error.kind, error.message.includes("X-Bad"), script.requests.length]).toEqual(["Validation", true, 0]);
    // No field of a record was refused: nothing sends who reads it there.
    expect(error.fix).toBe("Correct what the message names.");
    const own = createClient("http://127.0.0.1:9", null, { store: "memory", beforeSend: () => ({ headers: { "X-Bad": value } }) });
    open.push(own);
    expect((await failure(own.send("/x"))).kind).toBe("Validation");
    await client.send("/x", { headers: { "X-Ok": "é\t~" } });
    expect(script.last!.headers.get("x-ok")).toBe("é\t~");
  });

  it("headers of hooks that are not there are left out, dates that are none are refused", async () => {
    let query: any = {};
    const { client, script } = on(undefined, { beforeSend: () => ({ headers: { "X-A": undefined as any, "X-B": null as any, "X-C": 1 as any }, query }) });
    await client.send("/x");
    expect([...script.last!.headers].filter(([name]) => name.startsWith("x-"))).toEqual([["x-c", "1"]]);
    query = { at: new Date(NaN) };
    expect((await failure(client.send("/x"))).kind).toBe("Validation");
    query = { circular };
    await uncaught(() => client.send("/x").catch(() => {}));
    query = { n: 1n };
    await uncaught(() => client.send("/x").catch(() => {}));
    query = {};
    await client.send("/x");
  });
});

describe("addresses", () => {
  it("one that is refused takes away none that was set meanwhile", async () => {
    const { client, script } = on();
    const refused = failure(client.setUrl("nonsense"));
    const taken = client.setUrl("http://other");
    expect((await refused).kind).toBe("Configuration");
    await taken;
    await client.send("/x");
    expect([client.url, script.last!.url]).toEqual(["http://other", "http://other/x"]);
  });
});

describe("a hook that fails", () => {
  it.each<[string, () => any, string]>([
    ["throws", () => { throw new Error("no tenant"); }, "no tenant"],
    ["throws what has no text", () => { throw Symbol("s"); }, "beforeSend"],
    ["answers a promise", async () => ({ headers: { "X-Tenant": "a" } }), "promise"],
  ])("one that %s fails the call, which is not sent", async (_, beforeSend, said) => {
    const { client, script } = on(undefined, { beforeSend });
    const seen = await uncaught(async () => {
      const { kind, message } = await failure(client.send("/x"));
      expect([kind, message.includes(said)]).toEqual(["Configuration", true]);
    });
    expect([seen, script.requests.length]).toEqual([[], 0]);
  });

  it("fails that call and no other", async () => {
    let broken = true;
    const beforeSend = () => {
      if (broken) throw new Error("no");
      return { headers: { "X-Tenant": "a" } };
    };
    const { client, script } = on(undefined, { beforeSend });
    expect((await failure(client.send("/x"))).kind).toBe("Configuration");
    broken = false;
    await client.send("/x");
    expect(script.requests.map(({ headers }) => headers.get("x-tenant"))).toEqual(["a"]);
  });
});

describe("headers and query", () => {
  const options = { headers: { "X-A": "1" }, query: { tenant: "a" } };
  const sent = (script: Script) => script.requests.map(({ path, url, headers }) => [path, url.includes("tenant=a"), headers.get("x-a")]);

  it("go with the linked accounts of a user", async () => {
    const { client, script } = on((sent) => sent.answer(200, '{"items":[]}'));
    expect(await client.auth.listExternalAuths("u", options)).toEqual([]);
    expect(sent(script)).toEqual([["/api/collections/_externalAuths/records", true, "1"]]);
  });

  it("go with each chunk of a batch", async () => {
    const { client, script } = on((sent) => sent.answer(200, '[{"status":204,"body":null}]'));
    const batch = client.createBatch();
    for (const id of ["a", "b"]) batch.collection("posts").delete(id);
    expect((await batch.sendChunked({ size: 1, ...options })).error).toBeNull();
    expect(sent(script)).toEqual(Array(2).fill(["/api/batch", true, "1"]));
  });

  it("go with the code of a provider", async () => {
    const provider = { name: "p", displayName: "P", state: "s", authURL: "https://p/?redirect_uri=", codeVerifier: "v", codeChallenge: "c", codeChallengeMethod: "S256" };
    const methods = { password: { enabled: false }, oauth2: { enabled: true, providers: [provider] } };
    const token = `h.${btoa('{"exp":4000000000,"id":"u","type":"auth"}')}.s`;
    const { client, script } = on((sent) => sent.answer(200, JSON.stringify(sent.method == "GET" ? methods : { token, record: { id: "u" } })));
    const { state } = await client.auth.beginOAuth2("p", "http://app/back");
    expect((await client.auth.finishOAuth2({ code: "c", state }, options)).record).toEqual({ id: "u" });
    expect(sent(script)[1]).toEqual(["/api/collections/users/auth-with-oauth2", true, "1"]);
  });
});

describe("stores", () => {
  /** One that cannot be read, which no call tells. */
  const corrupt = () => ({ load: () => "no session", save() {}, clear() {} });

  it("what fails is told to the client whose store it is", async () => {
    const { client } = on(undefined, { store: corrupt() });
    const visitor = client.withSession(corrupt());
    const seen: string[] = [];
    client.onStorageError(({ kind }) => seen.push(`client ${kind}`));
    const stop = visitor.onStorageError(({ kind }) => seen.push(`visitor ${kind}`));
    await visitor.send("/x");
    await client.send("/x");
    expect(seen.sort()).toEqual(["client Storage", "visitor Storage"]);
    stop();
    visitor.close();
  });
});

describe("time", () => {
  it.each([[-5], [0.2], [1]])("a timeout of %s ms is one", async (timeout) => {
    const { client } = on(() => {});
    const before = Date.now();
    expect((await failure(client.send("/x", { timeout }))).kind).toBe("Timeout");
    // Without it, half a minute.
    expect(Date.now() - before).toBeLessThan(25_000);
  });

  it.each([[0], [Infinity], [1e22], [2 ** 32]])("a timeout of %s ms lasts", async (timeout) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
    try {
      const { client, script } = on(() => {});
      const call = client.send("/x", { timeout });
      await vi.waitFor(() => expect(script.requests).toHaveLength(1), 40_000);
      await vi.advanceTimersByTimeAsync(100_000);
      script.last!.answer(200, "{}");
      expect(await call).toEqual({});
    } finally {
      vi.useRealTimers();
    }
  });

  it("the body of an error that does not end is given up", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
    try {
      const { client, script } = on((sent) => sent.stream(400));
      const call = failure(client.send("/x"));
      await vi.waitFor(() => expect(script.requests).toHaveLength(1), 40_000);
      await vi.advanceTimersByTimeAsync(10_000);
      expect(await call).toMatchObject({ status: 400 });
      expect(script.last!.dropped).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("ends", () => {
  it("many calls may share a signal: Node does not warn of a leak", async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error) => void warnings.push(warning);
    process.on("warning", warned);
    const { client } = on();
    const { signal } = new AbortController();
    await Promise.all(Array.from({ length: 30 }, () => client.send("/x", { signal })));
    await sleep(5);
    process.off("warning", warned);
    expect(warnings).toEqual([]);
  });

  it("a signal need not be Node's own", async () => {
    const own = new AbortController().signal;
    const signal: any = { aborted: false, addEventListener: own.addEventListener.bind(own), removeEventListener: own.removeEventListener.bind(own) };
    expect(await on().client.send("/x", { signal })).toEqual({});
  });

  it("a download that is cancelled while it comes", async () => {
    const { client, script } = on((sent) => sent.stream(200));
    const stop = new AbortController();
    const response = await client.storage.download({ id: "r1", collectionName: "docs" }, "a", { signal: stop.signal });
    script.last!.send("abc");
    const reading = response.text();
    stop.abort();
    await expect(reading).rejects.toBeTruthy();
    expect(script.last!.dropped).toBe(true);
  });

  it("a download that nobody waits for any more", async () => {
    const stop = new AbortController();
    const { client, script } = on((sent) => sent.stream(200), { afterSend: () => stop.abort() });
    expect((await failure(client.storage.download({ id: "r1", collectionName: "docs" }, "a", { signal: stop.signal }))).kind).toBe("Cancelled");
    await until(() => script.last!.dropped);
    await until(() => stats(client), ({ operations, effects, handles }) => !operations && !effects && !handles);
  });

  it("a visitor that is closed in a callback", async () => {
    let then = () => {};
    const { client } = on(undefined, { afterSend: () => then() });
    await client.send("/x");
    const before = stats(client);
    then = () => client.withSession(null).close();
    await client.send("/x");
    then = () => {};
    await client.send("/x");
    expect(stats(client)).toEqual(before);
  });

  it("timers leave nothing in memory", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
    try {
      const { client } = on((sent) => sent.url.endsWith("health") && sent.answer(200, "{}"));
      await client.health.check();
      const round = async (n: number) => {
        for (let i = 0; i < n; i++) {
          const call = failure(client.send("/x", { timeout: 1 }));
          await Promise.resolve();
          vi.advanceTimersByTime(2);
          await call;
        }
      };
      await round(2000);
      const before = stats(client).memory;
      await round(20_000);
      expect(stats(client).memory).toBe(before);
    } finally {
      vi.useRealTimers();
    }
  });

  it("a stream between other files is not sent again", async () => {
    let n = 0;
    const { client, script } = on((sent) => void new Response(sent.init.body as any, { headers: sent.headers }).text().then(() => (n++ ? sent.answer(200, '{"id":"r1"}') : sent.answer(503, "", { "retry-after": "0" }))));
    const body = { a: new Blob(["a"]), b: new Blob(["b"]).stream() };
    expect(await failure(client.collection("docs").create(body))).toMatchObject({ status: 503 });
    expect(script.requests.filter(({ method }) => method == "POST")).toHaveLength(1);
  });

  it("what is no signal fails alone: nothing is left of its call", async () => {
    const { client, script, posts } = on();
    await client.send("/x");
    const before = stats(client);
    await expect(posts.getOne("r1", { signal: new AbortController() as any })).rejects.toThrow(TypeError);
    expect(stats(client)).toEqual(before);
    expect(script.requests).toHaveLength(1);
    client.close();
  });

  it("where the module could not be loaded the next call tries again, for visitors too", async () => {
    let loads = 0;
    const { client, script } = on();
    const own: Platform = (client as any).platform;
    const platform: Platform = { ...own, module: (name) => (loads++ < 2 ? Promise.reject(new TypeError("Failed to fetch")) : own.module(name)) };
    const offline = openOn(platform, createEngine(platform, script.fetch), "http://h", null, { store: "memory" });
    const events: string[] = [];
    offline.auth.onAuthStateChange((event) => events.push(event));
    const visitor = offline.withSession(null);
    const failed = { kind: "Configuration", message: "the WebAssembly module cannot be loaded: Failed to fetch" };
    await expect(visitor.send("/x")).rejects.toMatchObject(failed);
    await expect(offline.send("/x")).rejects.toMatchObject(failed);
    expect(loads).toBe(2);
    await Promise.all([visitor.send("/a"), offline.send("/b"), offline.send("/c")]);
    expect(loads).toBe(3);
    expect(script.requests.map(({ path }) => path).sort()).toEqual(["/a", "/b", "/c"]);
    await until(() => events.length > 0);
    expect(events).toEqual(["INITIAL_SESSION"]);
    visitor.close();
    offline.close();
  });

  it("a client that is closed does not load the module again", async () => {
    let loads = 0;
    const platform: Platform = { isBrowser: false, transport: () => () => Promise.reject(), module: () => (loads++, Promise.reject(new Error("no"))), store: () => null };
    const never = openOn(platform, createEngine(platform), "http://h", null, {});
    await expect(never.send("/x")).rejects.toMatchObject({ kind: "Configuration" });
    never.close();
    await expect(never.send("/x")).rejects.toMatchObject({ kind: "Configuration" });
    expect(loads).toBe(1);
  });

  it("a call that waits for a module has its deadline", async () => {
    const platform: Platform = { isBrowser: false, transport: () => () => Promise.reject(), module: () => new Promise(() => {}), store: () => null };
    const late = openOn(platform, createEngine(platform), "http://h", null, {});
    const before = Date.now();
    expect(await late.send("/x", { timeout: 5 }).catch((error) => error)).toMatchObject({ kind: "Timeout" });
    expect(await late.realtime.subscribe("t", () => {}, { timeout: 5 }).catch((error) => error)).toMatchObject({ kind: "Timeout" });
    expect(Date.now() - before).toBeLessThan(25_000);
    late.close();
  });
});

/** A server of realtime: `stream` is its event stream. */
function realtime(options: ClientOptions = {}) {
  const streams: Sent[] = [];
  const made = on((sent) => {
    if (!sent.url.includes("/api/realtime")) return sent.answer(200, '{"items":[]}');
    if (sent.method == "POST") return sent.answer(204, "");
    sent.stream(200, { "content-type": "text/event-stream" });
    sent.send('id:c1\nevent:PB_CONNECT\ndata:{"clientId":"c1"}\n\n');
    streams.push(sent);
  }, options);
  const event = (id: string) => `id:c1\nevent:t\ndata:{"n":"${id}"}\n\n`;
  return { ...made, streams, event };
}

describe("realtime", () => {
  it("close ends what waits for events", async () => {
    const { client } = realtime();
    const seen: unknown[] = [];
    const reading = (async () => {
      for await (const event of client.realtime.events("t")) seen.push(event);
    })();
    await until(() => client.realtime.isConnected);
    const live = await client.live("posts");
    const changes = (async () => {
      for await (const change of live.changes()) seen.push(change.action);
    })();
    await until(() => seen.length === 1);
    client.close();
    await reading;
    await changes;
    expect(seen).toEqual(["snapshot"]);
    await until(() => stats(client), ({ operations, effects, handles }) => !operations && !effects && !handles);
  });

  it("what is unsubscribed before the module is there is not subscribed", async () => {
    const { client, streams, event } = realtime();
    const seen: unknown[] = [];
    const subscribing = client.realtime.subscribe("t", (message) => seen.push(message)).then(() => "there", (error) => error.kind);
    await client.realtime.unsubscribe("t");
    const first = await subscribing;
    streams[0]?.send(event("1"));
    await sleep(20);
    expect([first, seen]).toEqual([expect.anything(), []]);
  });

  it("after unsubscribing nothing is told, also of what has come already", async () => {
    const { client, streams, event } = realtime();
    const seen: unknown[] = [];
    await client.realtime.subscribe("t", (message) => {
      seen.push(message);
      void client.realtime.unsubscribe("t");
    });
    streams[0]!.send(event("1") + event("2") + event("3"));
    await until(() => seen.length > 0);
    await sleep(20);
    expect(seen).toHaveLength(1);
  });

  const change = (id: string, more = "", action = "update") =>
    `id:c1\nevent:a"b/*\ndata:{"action":"${action}","record":{"id":"${id}","updated":"2026-01-01 00:00:00.00${id}Z"${more}}}\n\n`;

  it("events that come at once are told one after the other, whatever they are", async () => {
    const { client, streams, event } = realtime();
    const seen: any[] = [];
    const push = (event: unknown) => seen.push(event);
    await client.realtime.subscribe('a"b/*', push, { queueMax: 4, onLagged: (missed) => push({ missed }) });
    await client.realtime.subscribe("t", push);
    const record = (id: string) => ({ id, updated: `2026-01-01 00:00:00.00${id}Z` });
    streams[0]!.send(change("1", ',"t":"\\u00e9\\n\\"\\ud83d"', "create") + change("2") + change("1", "", "delete"));
    await until(() => seen.length == 3);
    expect(seen).toEqual([
      { action: "create", id: "1", origin: "live", topic: 'a"b/*', record: { ...record("1"), t: 'é\n"\ud83d' } },
      { action: "update", id: "2", origin: "live", topic: 'a"b/*', record: record("2") },
      { action: "delete", id: "1", origin: "live", topic: 'a"b/*', record: record("1") },
    ]);
    seen.length = 0;
    streams[0]!.send([3, 4, 5, 6, 7, 8].map((n) => change(`${n}`)).join(""));
    await until(() => seen.length == 5);
    expect(seen.map(({ missed, id }) => missed ?? id)).toEqual([2, "5", "6", "7", "8"]);
    seen.length = 0;
    // What only looks like JSON is text, and stands in nobody's way.
    streams[0]!.send(event("1") + 'id:c1\nevent:t\ndata:{"n":"\\q"}\n\n' + event("2"));
    await until(() => seen.length == 3);
    expect(seen.map(({ data }) => data)).toEqual([{ n: "1" }, '{"n":"\\q"}', { n: "2" }]);
  });

  it.each<[string, (client: Client, stop: () => unknown, abort: () => void) => unknown]>([
    ["its handle", (_, stop) => stop()],
    ["its signal", (_client, _stop, abort) => abort()],
    ["its topic", (client) => client.realtime.unsubscribe('a"b/*')],
    ["all topics", (client) => client.realtime.unsubscribe()],
    ["its client", (client) => client.close()],
  ])("what ends by %s amid events that came at once hears none of the rest", async (how, end) => {
    const { client, streams } = realtime();
    const seen: string[] = [];
    const abort = new AbortController();
    const stop = await client.realtime.subscribe(
      'a"b/*',
      ({ id }) => {
        seen.push(id);
        if (id == "2") void end(client, stop, () => abort.abort());
      },
      { signal: abort.signal },
    );
    const others: string[] = [];
    await client.realtime.subscribe('a"b/*', ({ id }) => others.push(id), { filter: null });
    streams[0]!.send(["1", "2", "3", "4"].map((id) => change(id)).join(""));
    await until(() => seen.length > 1);
    await sleep(20);
    expect(seen).toEqual(["1", "2"]);
    if (how == "its handle" || how == "its signal") expect(others).toEqual(["1", "2", "3", "4"]);
  });

  it("a listener that throws amid events that came at once harms no event and no other listener", async () => {
    const { client, streams } = realtime();
    const [seen, others]: string[][] = [[], []];
    await client.realtime.subscribe('a"b/*', ({ id }) => {
      seen!.push(id);
      throw new Error(id);
    });
    await client.realtime.subscribe('a"b/*', ({ id }) => others!.push(id));
    const thrown = await uncaught(async () => {
      streams[0]!.send(change("1") + change("2") + change("3"));
      await until(() => others!.length == 3);
    });
    expect([seen, others, thrown.map((error) => (error as Error).message)]).toEqual(Array(3).fill(["1", "2", "3"]));
  });

  it("no event comes before the subscription", async () => {
    const { client, streams, event } = realtime();
    await client.realtime.subscribe("t", () => {});
    let there = false;
    const early: unknown[] = [];
    const subscribing = client.realtime.subscribe("t", (message) => there || early.push(message));
    streams[0]!.send(event("1"));
    await subscribing;
    there = true;
    await sleep(20);
    expect(early).toEqual([]);
  });
});

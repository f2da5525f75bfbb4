/** B1 and B2: a client is there at once, with its key, and its calls wait for the module. */
import { createClient, PicoBaseError } from "@picobase/client";
import { describe, expect } from "vitest";
import { kit, superuserToken } from "../support/kit.js";
import { failure, inBrowser, it, timed } from "../support/world.js";

describe.concurrent("B1", () => {
  it("a client answers at once what needs no server, and its first call comes through", async ({ world }) => {
    const client = world.client();
    expect(client.authStore.token).toBe("");
    expect(client.filter("a = {:a}", { a: 1 })).toBe("a = 1");
    const record = { id: "r1", collectionId: "c1", collectionName: "posts" };
    expect(client.storage.getUrl(record, "a b.png", { thumb: "100x100" })).toBe(`${kit.url}/api/files/c1/r1/a%20b.png?thumb=100x100`);
    expect(client.files.getURL(record, "a.png")).toBe(client.storage.getUrl(record, "a.png"));
    const [list] = await timed(client.collection("posts").getList(1, 1));
    expect(list.page).toBe(1);
  });

  it("an address that is none says how to write it", async ({ world }) => {
    for (const url of ["ftp://h", "h.example.com", "https://", "https://h/?a=1", "https://user:pass@h"]) {
      const error = await failure(async () => {
        const client = createClient(url, null, { store: "memory" });
        world.later(() => client.close());
        await client.collection("posts").getList(1, 1);
      });
      expect(error, url).toMatchObject({ kind: "Configuration" });
      expect(error.fix).not.toBe("");
      expect(String(error)).not.toContain("user:pass");
    }
  });

  it("without a server there is an error of the connection", async ({ world }) => {
    // Nothing listens there; for a page it is a connection like any other that breaks.
    const client = world.client("http://127.0.0.1:9", { coldStartTimeout: 700, maxRetries: 0 });
    const error = await failure(client.collection("posts").getList(1, 1));
    expect(error.kind).toBe(inBrowser ? "Network" : "InstanceUnavailable");
  });

  it("key and token go with every call, the key also with the one that signs in", async ({ world }) => {
    const proxy = await world.proxy();
    const client = createClient(proxy.url, "pbk_abc123", { store: "memory", acceptLanguage: "de" });
    world.later(() => client.close());
    await client.collection("posts").getList(1, 1);
    const { token } = await client.collection("users").authWithPassword("alice@example.com", kit.password);
    await client.collection("posts").getList(1, 1, { headers: { "X-Trace": "1" } });
    const [guest, , user] = (await proxy.requests()).map((r) => r.headers);
    expect(guest).toMatchObject({ "x-picobase-key": "pbk_abc123", authorization: "Bearer pbk_abc123", "accept-language": "de" });
    expect(user).toMatchObject({ "x-picobase-key": "pbk_abc123", authorization: token, "x-trace": "1" });
  });

  it("a superuser's token is no key for a page", async ({ world }) => {
    const token = await superuserToken();
    const use = async () => {
      const client = createClient(kit.url, token, { store: "memory" });
      world.later(() => client.close());
      return (await client.collection("noaccess").getList(1, 1)).page;
    };
    if (inBrowser) expect(await failure(use)).toMatchObject({ kind: "Configuration" });
    else await use().catch((error) => expect(error).toBeInstanceOf(PicoBaseError));
  });

  it("another address is another session", async ({ world }) => {
    const first = await world.proxy();
    const second = await world.proxy();
    const client = await world.user(first.url);
    await client.setUrl(second.url);
    expect(client.authStore.token).toBe("");
    await client.collection("posts").getList(1, 1);
    expect((await second.requests())[0]!.headers.authorization).toBeUndefined();
  });

  it("routes of one's own, and none that leave the instance", async ({ world }) => {
    const client = world.client();
    expect(await client.send("/api/health", { method: "GET" })).toMatchObject({ code: 200 });
    expect(await failure(client.send("https://elsewhere.example/api/health", {}))).toMatchObject({ attempts: 0 });
    expect(await failure(client.send("//elsewhere.example/api", {}))).toMatchObject({ attempts: 0 });
    expect(await failure(client.rpc("nothing", { a: 1 }))).toMatchObject({ kind: "NotFound" });
  });

  it("a client that is disposed of is closed", async ({ world }) => {
    const client = world.client();
    client[Symbol.dispose]();
    expect(await failure(client.health.check())).toMatchObject({ kind: "Cancelled" });
  });

  it("many clients share one module and end without each other", async ({ world }) => {
    const one = world.client();
    const two = world.client();
    await Promise.all([one.health.check(), two.health.check()]);
    one.close();
    expect(await two.health.check()).toMatchObject({ code: 200 });
    const three = world.client();
    two.close();
    expect(await three.health.check()).toMatchObject({ code: 200 });
  });
});

/** B17: what is secret is in no error, and in nothing that is printed. */
import { createClient } from "@picobase/client";
import { describe, expect } from "vitest";
import { failure, inBrowser, inNode, it, unique } from "../support/world.js";

const secret = "SentinelPassw0rd";
const key = "pb_SentinelKey0123456789";

/** All that a program prints of a value without asking for its parts. */
async function printed(value: any): Promise<string> {
  const said = [String(value), JSON.stringify(value) ?? "", `${value?.stack}`, Object.keys(value).join(), `${value?.message}`];
  if (inNode) {
    const { inspect } = await import(/* @vite-ignore */ "node:util");
    said.push(inspect(value), inspect(value, { depth: 10, showHidden: true }));
  } else {
    // What a console shows of an object are its own enumerable members.
    said.push(JSON.stringify(Object.entries({ ...value }).map(([name, part]) => [name, String(part)])));
  }
  return said.join("\n");
}

describe("B17", () => {
  it("errors, clients, sessions, subscriptions and batches", async ({ world }) => {
    const proxy = await world.proxy();
    const client = createClient(proxy.url, key, { store: "memory" });
    world.later(() => client.close());
    const email = `${unique("secret")}@example.com`;
    const session = await client.auth.signUp(email, secret);
    const token = client.authStore.token;
    const shown: any[] = [client, client.auth, client.authStore, client.collection("users"), client.realtime, client.storage, session!];
    const users = client.collection("users");
    shown.push(await failure(users.authWithPassword(email, secret + secret)));
    shown.push(await failure(users.confirmPasswordReset(secret, secret, secret)));
    shown.push(await failure(users.update("x", { password: secret, passwordConfirm: secret }, { headers: { "X-Secret": key }, query: { token: secret, password: secret } })));
    shown.push(await failure(client.send(`/api/x?token=${secret}`, { method: "POST", body: { password: secret } })));
    const doc = { id: "aaaaaaaaaaaaaaa", collectionId: "docs" };
    shown.push(await failure(client.storage.download(doc, "a.txt", { token: secret })));
    const batch = client.createBatch();
    batch.collection("users").update("x", { password: secret });
    shown.push(batch, await failure(batch.send({ query: { token: secret } })));
    await proxy.faults({ path_contains: "/records", action: { type: "redirect", status: 302, location: `http://127.0.0.1:9/?token=${secret}` } });
    shown.push(await failure(users.getList(1, 1, { query: { key } })));
    await proxy.faults({ path_contains: "/records", action: { type: "respond", status: 400, body: { status: 400, message: "no", data: {}, token } } });
    shown.push(await failure(users.create({ email, password: secret })));
    await proxy.faults({ path_contains: "/records", action: { type: "respond", status: 200, content_type: "text/html", body: `<p>${token}` } });
    shown.push(await failure(users.getOne("x")));
    await proxy.faults({ path_contains: "/records", action: { type: "reset" } });
    shown.push(await failure(users.create({ password: secret }, { query: { token } })));
    for (const value of shown) {
      const text = await printed(value);
      for (const word of [secret, key, token]) expect(text.includes(word), text).toBe(false);
    }
  });

  it("the key and the token go to no other origin, and in no file's address", async ({ world }) => {
    const proxy = await world.proxy();
    const other = await world.proxy();
    const client = createClient(proxy.url, key, { store: "memory" });
    world.later(() => client.close());
    await proxy.faults({ path_contains: "/records", action: { type: "redirect", status: 307, location: `${other.url}/api/collections/posts/records` } });
    expect(await failure(client.collection("posts").getList())).toMatchObject({ kind: "Configuration" });
    expect(await failure(client.send(`${other.url}/api/health`, {}))).toBeTruthy();
    expect(await other.requests()).toEqual([]);
    expect(client.storage.getUrl({ id: "r", collectionId: "c" }, "a.png")).not.toContain(key);
  });

  it("a watched upload goes to no other origin either; a page asks once whether the server redirects", async ({ world }) => {
    const [proxy, other] = [await world.proxy(), await world.proxy()];
    const client = createClient(proxy.url, key, { store: "memory" });
    world.later(() => client.close());
    const upload = (collection: string) =>
      client.storage.upload(collection, new Blob(["abc"]), { field: "attachments", name: "a.bin", data: { title: "x" }, onProgress() {} });
    const posts = "/api/collections/posts/records";
    await proxy.faults({ path_prefix: "/api/", action: { type: "redirect", status: 307, location: other.url + posts } });
    // Its name stands in the path twice.
    expect(await failure(upload("api"))).toMatchObject({ kind: "Configuration" });
    const paths = async () => (await proxy.requests()).map(({ path }) => path);
    expect(await paths()).toEqual([inBrowser ? "/api/health" : "/api/collections/api/records"]);
    expect(await other.requests()).toEqual([]);

    await proxy.faults();
    await proxy.forget();
    await upload("posts");
    await upload("posts");
    expect(await paths()).toEqual([...(inBrowser ? ["/api/health"] : []), posts, posts]);

    // A page cannot refuse a redirect that only the upload meets, but tells of it.
    await proxy.faults({ path: posts, action: { type: "redirect", status: 307, location: other.url + posts } });
    expect(await failure(upload("posts"))).toMatchObject({ kind: "Configuration" });
    expect(await other.requests()).toHaveLength(inBrowser ? 1 : 0);
  });

  it("nothing is printed", async ({ world }) => {
    const said: unknown[] = [];
    const names = ["log", "info", "warn", "error", "debug"] as const;
    const before = names.map((name) => console[name]);
    for (const name of names) console[name] = (...args: unknown[]) => void said.push(args);
    try {
      const client = await world.user();
      await failure(client.collection("posts").create({}));
      await failure(client.auth.signIn("a@example.com", "wrong"));
      const stop = await client.collection("posts").subscribe("*", () => {});
      await stop();
    } finally {
      names.forEach((name, n) => (console[name] = before[n]!));
    }
    expect(said).toEqual([]);
  });
});

/** B5: one error type, whatever answers. */
import { describe, expect } from "vitest";
import { password } from "../support/kit.js";
import { failure, it, unique } from "../support/world.js";

describe("the server's refusals", () => {
  it("names each refused field, and stands in PocketBase's members too", async ({ world }) => {
    const client = world.client();
    const error = await failure(client.collection("posts").create({ title: "", email: "no address" }));
    expect(error).toMatchObject({ kind: "Validation", status: 400, attempts: 1, name: "PicoBaseError", isAbort: false });
    expect(error.fields.title).toEqual({ code: "validation_required", message: "Cannot be blank.", params: null });
    expect(error.fields.email?.code).toBe("validation_is_email");
    expect(error.fix).not.toBe("");
    expect(error.url).toContain("/api/collections/posts/records");
    expect(error.response).toMatchObject({ status: 400, data: { title: { code: "validation_required" } } });
    expect(error.data).toEqual(error.response);
    expect(error).toBeInstanceOf(Error);
    expect(error.stack).toContain("PicoBaseError");
  });

  it("tells what is not unique as a conflict", async ({ world }) => {
    const client = world.client();
    const slug = unique("slug");
    await client.collection("posts").create({ title: "one", slug });
    const error = await failure(client.collection("posts").create({ title: "two", slug }));
    expect(error).toMatchObject({ kind: "Conflict", status: 400, fields: { slug: { code: "validation_not_unique" } } });
  });

  it("tells who may not, and what is not there", async ({ world }) => {
    const client = world.client();
    expect(await failure(client.collection("noaccess").getList())).toMatchObject({ kind: "Forbidden", status: 403 });
    expect(await failure(client.collection("posts").getOne("aaaaaaaaaaaaaaa"))).toMatchObject({ kind: "NotFound", status: 404 });
    expect(await failure(client.collection("nothing").getList())).toMatchObject({ kind: "NotFound", status: 404 });
    expect(await failure(client.collection("docs").create({ title: "x" }))).toMatchObject({ kind: "Validation", status: 400 });
    expect(await failure(client.auth.signIn("alice@example.com", "wrong"))).toMatchObject({ kind: "Validation", status: 400 });
    expect(await failure(client.files.getToken())).toMatchObject({ kind: "Unauthorized", status: 401 });
  });

  it("says which of a batch was refused", async ({ world }) => {
    const client = world.client();
    const batch = client.createBatch();
    batch.collection("posts").create({ title: "fine" });
    batch.collection("posts").create({ title: "" });
    const error = await failure(batch.send());
    expect(error).toMatchObject({ kind: "Validation", status: 400, item: 1, fields: { title: { code: "validation_required" } } });
  });

  it("asks for the second factor", async ({ world }) => {
    const client = world.client();
    const error = await failure(client.collection("secured").authWithPassword("secured@example.com", password));
    expect(error).toMatchObject({ kind: "MfaRequired", status: 401 });
    expect(error.mfaId).toMatch(/\w{10,}/);
    expect(JSON.stringify(error)).not.toContain(error.mfaId);
  });
});

describe("answers that are none", () => {
  const answers: [name: string, action: Record<string, unknown>, wanted: object][] = [
    ["a page of a proxy", { status: 200, content_type: "text/html", body: "<h1>Hello</h1>" }, { kind: "Decode", status: 200 }],
    ["half a JSON", { status: 200, content_type: "application/json", body: '{"items":[' }, { kind: "Decode", status: 200 }],
    ["nothing at all", { status: 200, body: "" }, { kind: "Decode", status: 200 }],
    ["the gateway's key error", { status: 401, body: { error: { code: "invalid_api_key", message: "No.", details: null } } }, { kind: "InvalidApiKey", code: "invalid_api_key", message: "No." }],
    ["a server's error page", { status: 500, content_type: "text/html", body: "<html>oops</html>" }, { kind: "Server", status: 500, attempts: 1 }],
  ];
  for (const [name, action, wanted] of answers) {
    it.concurrent(name, async ({ world }) => {
      const proxy = await world.proxy();
      await proxy.faults({ path_prefix: "/api/", action: { type: "respond", ...action } });
      const error = await failure(world.client(proxy.url).collection("posts").getList());
      expect(error).toMatchObject(wanted);
      expect(error.fix).not.toBe("");
    });
  }

  it("shows the line of the program that waits for the call", async ({ world }) => {
    const client = world.client();
    const posts = client.collection("posts");
    const calls = [
      async function getsOne() { await posts.getOne("nothing"); },
      async function deletes() { await posts.delete("nothing"); },
      async function signsIn() { await client.auth.signIn("nobody@example.com", "wrong", { requestKey: "a" }); },
      async function asksAService() { await client.collections.getOne("posts"); },
      async function isCancelled() { await posts.getList(1, 1, { signal: AbortSignal.abort() }); },
    ];
    for (const call of calls) expect((await failure(call())).stack).toContain(call.name);
  });

  it("a redirect names its target and is not followed", async ({ world }) => {
    const proxy = await world.proxy();
    await proxy.faults({ path_prefix: "/api/", action: { type: "redirect", status: 302, location: "http://127.0.0.1:9/elsewhere?token=s3cret" } });
    const error = await failure(world.client(proxy.url).collection("posts").getList());
    expect(error.kind).toBe("Configuration");
    // A page is not told where a redirect leads.
    if (typeof document === "undefined") expect(error.message).toContain("http://127.0.0.1:9/elsewhere");
    expect(`${error} ${error.message} ${error.fix}`).not.toContain("s3cret");
    expect(await proxy.requests()).toHaveLength(1);
  });

  it("a connection that breaks is a network error after its retries, a write is sent once", async ({ world }) => {
    const proxy = await world.proxy();
    await proxy.faults({ path_prefix: "/api/", action: { type: "reset", when: "before_forward" } });
    const client = world.client(proxy.url, { maxRetries: 1 });
    expect(await failure(client.collection("posts").getList())).toMatchObject({ kind: "Network", status: 0, attempts: 2 });
    expect(await failure(client.collection("posts").create({ title: "x" }))).toMatchObject({ kind: "Network", status: 0, attempts: 1 });
  });
});

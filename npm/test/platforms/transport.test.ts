/** What every transport does, in Node and in a page. */
import { describe, expect, it } from "vitest";
import vectors from "../../../tests/vectors/multipart.json";
import { Form, TransportFailure, type Transport } from "../../src/core/platform.js";
import { control, openProxy, type Proxy, type Rule } from "../support/kit.js";
import { ask, soon, streamOf } from "./support.js";

const inPage = typeof document == "object";

async function transports(): Promise<[name: string, transport: Transport][]> {
  if (inPage) {
    const { page } = await import("../../src/platforms/page.js");
    const given: typeof fetch = (url, init) => fetch(url, init);
    return [
      ["page", page.transport()],
      ["page with a fetch of its own", page.transport(given)],
    ];
  }
  const { node } = await import("../../src/platforms/node.js");
  const { server } = await import("../../src/platforms/server.js");
  return [
    ["node", node().transport()],
    ["server", server.transport()],
    ["node with a fetch of its own", node().transport((url, init) => fetch(url, init))],
  ];
}

async function proxied(run: (proxy: Proxy) => Promise<void>, ...rules: Rule[]): Promise<void> {
  const proxy = await openProxy();
  try {
    await proxy.faults(...rules);
    await run(proxy);
  } finally {
    await proxy.close();
  }
}

const failure = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error) => (error instanceof TransportFailure ? error.failure : `not a TransportFailure: ${error}`),
  );

const list = "/api/collections/posts/records?perPage=1";
const posts = "/api/collections/posts/records";
const ok: Rule = { action: { type: "respond", status: 200, body: {} } };

/** The parts of a form as the proxy has logged it. */
function partsOf(body: string) {
  const boundary = body.slice(0, body.indexOf("\r\n"));
  const parts = body.split(boundary).slice(1);
  expect(parts.pop()).toBe("--\r\n");
  return parts.map((part) => {
    const [head, content] = [part.slice(2, part.indexOf("\r\n\r\n")), part.slice(part.indexOf("\r\n\r\n") + 4, -2)];
    const field = (name: string) => new RegExp(`^${name}: (.*)$`, "im").exec(head)?.[1];
    return { disposition: field("content-disposition")!, type: field("content-type"), content };
  });
}

const escaped = (name: string) => name.replace(/["\r\n]/g, encodeURIComponent);

for (const [name, transport] of await transports()) {
  describe(`transport: ${name}`, () => {
    it("answers with status, head and text", () =>
      proxied(async ({ url }) => {
        const answer = await transport(ask(url + list));
        expect(answer.status).toBe(200);
        expect(answer.header("content-type")).toContain("application/json");
        expect(answer.header("x-not-there")).toBeNull();
        expect(JSON.parse(await answer.text())).toMatchObject({ page: 1, perPage: 1 });
      }));

    it("sends what it was given, and nothing of the browser's own", () =>
      proxied(async (proxy) => {
        const headers = ["X-PicoBase-Key", "pk", "Authorization", "t", "Accept-Language", "de"];
        await (await transport(ask(proxy.url + posts, { headers, body: '{"title":"\u00e9\u65e5"}' }))).text();
        const [sent] = await proxy.requests();
        expect(sent).toMatchObject({ method: "POST", body: '{"title":"\u00e9\u65e5"}' });
        expect(sent!.headers).toMatchObject({
          "x-picobase-key": "pk",
          authorization: "t",
          "accept-language": "de",
          "content-type": "application/json",
          "content-length": "17",
        });
        expect(sent!.headers).not.toHaveProperty("cookie");
      }, ok));

    it("leaves a content type that was given", () =>
      proxied(async (proxy) => {
        await (await transport(ask(proxy.url + posts, { headers: ["content-type", "application/merge+json"], body: "{}" }))).text();
        await (await transport(ask(proxy.url + posts, { headers: ["Content-Type", "text/x"], body: { raw: new Blob(["a"]) } }))).text();
        const sent = await proxy.requests();
        expect(sent.map((one) => one.headers["content-type"])).toEqual(["application/merge+json", "text/x"]);
      }, ok));

    it("sends bodies of bytes, text, Blobs, forms and streams", () =>
      proxied(async (proxy) => {
        const form = new FormData();
        form.append("a", "b");
        const raws = [new Blob(["blob"], { type: "text/plain" }), new TextEncoder().encode("bytes"), new TextEncoder().encode("buffer").buffer, streamOf(3), form];
        for (const raw of raws) expect((await transport(ask(proxy.url + posts, { body: { raw } }))).status).toBe(200);
        const sent = await proxy.requests();
        expect(sent.slice(0, 4).map((one) => one.body)).toEqual(["blob", "bytes", "buffer", "xxx"]);
        expect(sent[0]!.headers["content-type"]).toBe("text/plain");
        expect(partsOf(sent[4]!.body)).toEqual([{ disposition: 'form-data; name="a"', type: undefined, content: "b" }]);
      }, ok));

    it("has no body and no type where none was given", () =>
      proxied(async (proxy) => {
        for (const method of ["GET", "DELETE", "POST"]) await (await transport(ask(proxy.url + posts, { method }))).text();
        for (const sent of await proxy.requests()) {
          expect(sent.body_bytes).toBe(0);
          expect(sent.headers).not.toHaveProperty("content-type");
        }
      }, ok));

    it("tells an empty answer", () =>
      proxied(
        async ({ url }) => {
          const answer = await transport(ask(url + posts, { method: "DELETE" }));
          expect([answer.status, await answer.text()]).toEqual([204, ""]);
          const again = await transport(ask(url + posts, { method: "DELETE" }));
          expect((await again.stream().getReader().read()).done).toBe(true);
        },
        { action: { type: "respond", status: 204 } },
      ));

    it("follows no redirect", () =>
      proxied(
        async (proxy) => {
          const answer = await transport(ask(proxy.url + list));
          expect([301, 302]).toContain(answer.status);
          expect(answer.header("location")).toBe(inPage ? null : "/elsewhere");
          expect(await proxy.requests("elsewhere")).toEqual([]);
        },
        { path: posts, action: { type: "redirect", status: 301, location: "/elsewhere" } },
      ));

    it("tells 503 with what stands in it", () =>
      proxied(
        async ({ url }) => {
          const answer = await transport(ask(url + list));
          expect([answer.status, answer.header("retry-after"), await answer.text()]).toEqual([503, "1", '{"message":"asleep"}']);
        },
        { action: { type: "respond", status: 503, headers: { "Retry-After": "1" }, body: { message: "asleep" } } },
      ));

    it("tells a refused connection", () =>
      proxied(
        async ({ url }) => expect(await failure(transport(ask(url + list)))).toBe(inPage ? "broken" : "refused"),
        { action: { type: "refuse" } },
      ));

    it.each(["reset", "close"])("tells a connection that was broken by a %s", (type) =>
      proxied(
        async ({ url }) => expect(await failure(transport(ask(url + list, { body: "{}" })))).toBe("broken"),
        { action: { type } },
      ));

    it("tells a lost answer", () =>
      proxied(
        async ({ url }) => expect(await failure(transport(ask(url + posts, { body: "{}" })))).toBe("broken"),
        { action: { type: "lose_answer" } },
      ));

    it.each(["truncate", "reset"])("tells an answer that is cut off by %s", (type) =>
      proxied(
        async ({ url }) => {
          const text = async () => (await transport(ask(url + list))).text();
          expect(await failure(text())).toBe("broken");
          const read = async () => {
            for (const reader = (await transport(ask(url + list))).stream().getReader(); ; ) if ((await reader.read()).done) return;
          };
          await expect(read()).rejects.toBeDefined();
        },
        // A stream's length is not told by the server, only that it is not over.
        { action: type == "reset" ? { type, when: "after_response_bytes", bytes: 10 } : { type, bytes: 10 } },
      ));

    it("tells an address that nobody listens on, without the query", async () => {
      const error = await transport(ask("http://127.0.0.1:9/api?token=secret")).catch((error) => error);
      expect(error).toBeInstanceOf(TransportFailure);
      expect(`${error.message} ${error.cause} ${error.cause?.cause}`).not.toContain("secret");
    });

    it("tells an unknown host", async () => {
      const told = await failure(transport(ask("http://nobody.invalid/api/health")));
      expect(told).toBe(inPage ? "broken" : "unknown_host");
    });

    it("is aborted before it begins", () =>
      proxied(async (proxy) => {
        await expect(transport(ask(proxy.url + list, { signal: AbortSignal.abort() }))).rejects.toBeDefined();
        expect(await proxy.requests()).toEqual([]);
      }));

    it("is aborted while it waits for the answer", () =>
      proxied(
        async (proxy) => {
          const stop = new AbortController();
          const asked = transport(ask(proxy.url + list, { signal: stop.signal }));
          await soon(50);
          stop.abort();
          await expect(asked).rejects.toBeDefined();
          await expect.poll(async () => (await proxy.stats()).in_flight).toBe(0);
        },
        { action: { type: "stall" } },
      ));

    it("is aborted while the answer comes", () =>
      proxied(
        async (proxy) => {
          for (const how of ["text", "stream"] as const) {
            const stop = new AbortController();
            const answer = await transport(ask(proxy.url + list, { signal: stop.signal }));
            const read = how == "text" ? answer.text() : last(answer.stream());
            await soon(50);
            stop.abort();
            await expect(read).rejects.toBeDefined();
          }
          const late = new AbortController();
          const answer = await transport(ask(proxy.url + list, { signal: late.signal }));
          late.abort();
          await expect(answer.text()).rejects.toBeDefined();
        },
        { action: { type: "stall", when: "after_response_bytes", bytes: 10 } },
      ));

    it("is aborted while the body goes out", () =>
      proxied(
        async (proxy) => {
          const stop = new AbortController();
          const body = new Form("{}", [["attachments", "a", "application/octet-stream", new Blob([new Uint8Array(20_000_000)])]]);
          const asked = transport(ask(proxy.url + posts, { body, signal: stop.signal }));
          await soon(100);
          stop.abort();
          await expect(asked).rejects.toBeDefined();
        },
        { action: { type: "stall", when: "after_request_bytes", bytes: 100_000 } },
      ));

    it("gives the body as it comes, and stops when it is cancelled", () =>
      proxied(async (proxy) => {
        const answer = await transport(ask(`${proxy.url}/api/realtime`));
        const reader = answer.stream().getReader();
        for (let said = ""; !said.includes("PB_CONNECT"); ) {
          const { value } = await reader.read();
          expect(value, said).toBeDefined();
          said += new TextDecoder().decode(value);
        }
        await reader.cancel();
        await expect.poll(async () => (await proxy.stats()).in_flight).toBe(0);
      }));

    it.each(vectors.cases.filter((one) => one.out.parts))("sends the form: $name", ({ in: { body, files }, out: { parts } }) =>
      proxied(async (proxy) => {
        // Name and type are settled by the core, of which the vectors tell on their whole way.
        const settled = parts!.filter((part: any) => !("json" in part));
        const all = files.map(({ field }: any, i: number): any => [field, settled[i].filename, settled[i].content_type, new Blob(["data"])]);
        await (await transport(ask(proxy.url + posts, { body: new Form(JSON.stringify(body), all) }))).text();
        const [sent] = await proxy.requests();
        const got = partsOf(sent!.body);
        expect(got.length).toBe(parts!.length);
        parts!.forEach((want: any, i) => {
          const { disposition, type, content } = got[i]!;
          if ("json" in want) {
            expect(JSON.parse(content)).toEqual(want.json);
            expect(disposition).toBe(`form-data; name="${want.name}"`);
          } else {
            expect(content).toBe("data");
            expect(disposition).toBe(want.disposition ?? `form-data; name="${escaped(want.name)}"; filename="${escaped(want.filename)}"`);
            expect(type).toBe(want.content_type);
          }
        });
      }, ok));

    it("sends a form without a payload, and streams in forms", () =>
      proxied(async (proxy) => {
        const body = new Form(null, [["file", "a.bin", "application/octet-stream", streamOf(70_000 - 1_000, 10_000)], ["file", "file", "application/octet-stream", new Uint8Array([97])]]);
        expect((await transport(ask(proxy.url + posts, { body }))).status).toBe(200);
        const [sent] = await proxy.requests();
        expect(sent!.headers["content-type"]).toMatch(/^multipart\/form-data; boundary=/);
        expect(sent!.body_bytes).toBeGreaterThan(69_000);
        expect(sent!.body).toContain('name="file"; filename="a.bin"');
        expect(sent!.body).not.toContain("@jsonPayload");
      }, ok));

    it("tells how far an upload has come", () =>
      proxied(async (proxy) => {
        const told: [number, number | null][] = [];
        const data = new Blob([new Uint8Array(3_000_000)]);
        const body = new Form('{"title":"a"}', [["attachments", "a.bin", "application/octet-stream", data]]);
        const answer = await transport(ask(proxy.url + posts, { body, onProgress: (...now) => told.push(now) }));
        expect([answer.status, answer.header("content-type")]).toEqual([200, "application/json"]);
        expect(JSON.parse(await answer.text())).toMatchObject({ title: "a" });
        // A page's fetch cannot tell.
        if (name == "page with a fetch of its own") return expect(told).toEqual([]);
        const [sent, total] = told.at(-1)!;
        expect(sent).toBe(total);
        expect(total).toBe((await proxy.requests(posts))[0]!.body_bytes);
        for (let i = 1; i < told.length; i++) expect(told[i]![0]).toBeGreaterThan(told[i - 1]![0]);
      }));

    it("fails and is aborted the same where somebody watches", () =>
      proxied(
        async (proxy) => {
          const onProgress = () => {};
          const body = new Form("{}", [["attachments", "a.bin", "application/octet-stream", new Blob([new Uint8Array(100_000)])]]);
          const request = (which: string) => ask(`${proxy.url}${posts}?${which}`, { body, onProgress });
          const answer = await transport(request("asleep"));
          expect([answer.status, answer.header("retry-after"), await answer.text()]).toEqual([503, "1", "asleep"]);
          expect(await failure(transport(request("reset")))).toBe("broken");
          expect((await transport(request("redirect"))).status).toBeOneOf([302, 307]);
          const stop = new AbortController();
          const asked = transport({ ...request("stall"), signal: stop.signal });
          await soon(100);
          stop.abort();
          await expect(asked).rejects.toBeDefined();
        },
        { query_contains: "asleep", action: { type: "respond", status: 503, headers: { "Retry-After": "1" }, body: "asleep" } },
        { query_contains: "reset", action: { type: "reset" } },
        { query_contains: "redirect", action: { type: "respond", status: 307, headers: { Location: list } } },
        { query_contains: "stall", action: { type: "stall" } },
      ));

    it("tells a file that cannot be read", () =>
      proxied(async ({ url }) => {
        const broken = () => new ReadableStream({ pull: (controller) => controller.error(new Error("gone")) });
        const form = new Form("{}", [["attachments", "a", "application/octet-stream", broken()]]);
        expect(await failure(transport(ask(url + posts, { body: form })))).toBe("source");
        expect(await failure(transport(ask(url + posts, { body: { raw: broken() } })))).toBe("source");
      }, ok));
  });
}

async function last(stream: ReadableStream<Uint8Array>): Promise<void> {
  for (const reader = stream.getReader(); ; ) if ((await reader.read()).done) return;
}

it("runs against the testkit", async () => expect(await control("GET", "/proxies/default/stats")).toBeDefined());

/** What only Node's transport does, against small servers. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createReadStream, openAsBlob } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import net, { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Form, TransportFailure } from "../../src/core/platform.js";
import { nodeTransport } from "../../src/platforms/node.js";
import { proxyFor } from "../../src/platforms/proxy.js";
import { kit, openProxy } from "../support/kit.js";
import { ask, soon, streamOf } from "./support.js";

const transport = nodeTransport();
const cleanups: (() => unknown)[] = [() => transport.close()];
afterAll(async () => {
  for (const clean of cleanups) await clean();
});

async function serve(handler: (request: IncomingMessage, answer: ServerResponse) => void): Promise<{ url: string; server: http.Server }> {
  const server = http.createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(() => (server.closeAllConnections(), server.close()));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, server };
}

async function bytesOf(request: IncomingMessage): Promise<number> {
  let bytes = 0;
  for await (const piece of request) bytes += piece.length;
  return bytes;
}

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "picobase-"))));
afterAll(() => rm(folder, { recursive: true }));

describe("answers", () => {
  it("unpacks gzip, and does not tell a length that is not that of the text", async () => {
    const { url } = await serve((request, answer) => {
      expect(request.headers["accept-encoding"]).toBe("gzip");
      answer.setHeader("Content-Encoding", "gzip").end(gzipSync("[\"caf\u00e9\"]".repeat(10_000)));
    });
    const whole = await transport(ask(url));
    expect(whole.header("content-length")).toBeNull();
    expect(await whole.text()).toBe("[\"caf\u00e9\"]".repeat(10_000));
    const streamed = await transport(ask(url));
    expect(await new Response(streamed.stream()).text()).toBe("[\"caf\u00e9\"]".repeat(10_000));
  });

  it("tells packed answers that are cut off", async () => {
    const { url } = await serve((_, answer) => {
      const all = gzipSync("x".repeat(1000) + Math.random());
      answer.setHeader("Content-Encoding", "gzip").end(all.subarray(0, all.length - 12));
    });
    await expect((await transport(ask(url))).text()).rejects.toBeInstanceOf(TransportFailure);
    await expect(new Response((await transport(ask(url))).stream()).text()).rejects.toBeInstanceOf(TransportFailure);
  });

  it("reads UTF-8 whose characters come in pieces", async () => {
    const { url } = await serve(async (_, answer) => {
      for (const byte of new TextEncoder().encode("\u00e9\u65e5\u{1f600}")) {
        answer.write(Uint8Array.of(byte));
        await soon(2);
      }
      answer.end();
    });
    expect(await (await transport(ask(url))).text()).toBe("\u00e9\u65e5\u{1f600}");
  });

  it("reads an answer that has broken off before anybody asked for it", async () => {
    const { url } = await serve((_, answer) => {
      answer.writeHead(200, { "Content-Length": "100" }).write("abc");
      setTimeout(() => answer.destroy(), 20);
    });
    for (const how of ["text", "stream"] as const) {
      const answer = await transport(ask(url));
      await soon(60);
      const read = how == "text" ? answer.text() : new Response(answer.stream()).text();
      await expect(read).rejects.toBeInstanceOf(TransportFailure);
    }
  });

  it("tells an answer that came before the body was sent, and sends no more of it", async () => {
    const { url } = await serve((_, answer) => void answer.writeHead(413).end("too large"));
    const answer = await transport(ask(url, { body: { raw: streamOf(1e9) } }));
    expect([answer.status, await answer.text()]).toEqual([413, "too large"]);
  });

  it("holds back what is not taken, and stops the server when the reader leaves", async () => {
    let sent = 0;
    let gone = false;
    const { url } = await serve((_, answer) => {
      answer.on("close", () => (gone = true));
      const more = () => {
        while (sent < 100e6 && answer.write(Buffer.alloc(65_536))) sent += 65_536;
      };
      answer.on("drain", more);
      more();
    });
    const reader = (await transport(ask(url))).stream().getReader();
    await reader.read();
    await soon(100);
    // What the kernel holds for both sides, and no more.
    expect(sent).toBeLessThan(20e6);
    await reader.cancel();
    await expect.poll(() => gone).toBe(true);
  });
});

describe("bodies", () => {
  it("takes everything that Node calls a file, with its length where it is known", async () => {
    const got: [string | undefined, number][] = [];
    const { url } = await serve(async (request, answer) => {
      got.push([request.headers["content-length"], await bytesOf(request)]);
      answer.end();
    });
    const path = join(folder, "file");
    await writeFile(path, "x".repeat(200_000));
    async function* pieces() {
      yield new Uint8Array(150_000);
      yield "x".repeat(50_000);
    }
    const sized = [await openAsBlob(path), Buffer.alloc(200_000), new Uint8Array(200_000), new ArrayBuffer(200_000), new Float64Array(25_000), new File([new Uint8Array(200_000)], "a")];
    const unsized = [createReadStream(path), Readable.from([Buffer.alloc(200_000)]), pieces(), streamOf(200_000)];
    for (const raw of [...sized, ...unsized]) await transport(ask(url, { body: { raw } }));
    expect(got).toEqual([...sized.map(() => ["200000", 200_000]), ...unsized.map(() => [undefined, 200_000])]);
  });

  it("tells a file that has changed since, and what is no file", async () => {
    const { url } = await serve(async (request, answer) => {
      await bytesOf(request).catch(() => {});
      answer.end();
    });
    const path = join(folder, "changing");
    await writeFile(path, "before");
    const blob = await openAsBlob(path);
    await writeFile(path, "afterwards");
    for (const data of [blob, createReadStream(join(folder, "missing")), { no: "file" }]) {
      const told = await transport(ask(url, { body: new Form("{}", [["f", "a", "application/octet-stream", data]]) })).catch((error) => error);
      expect(told).toMatchObject({ failure: "source" });
    }
  });

  it("lets go of a source when the call is aborted, also of one that says nothing", async () => {
    const { url } = await serve(() => {});
    const stop = new AbortController();
    const source = new Readable({ read() {} });
    const asked = transport(ask(url, { body: { raw: source }, signal: stop.signal }));
    await soon(30);
    stop.abort();
    await expect(asked).rejects.toBeDefined();
    const file = createReadStream("/dev/zero");
    const late = new AbortController();
    const second = transport(ask(url, { body: { raw: file }, signal: late.signal }));
    await soon(30);
    late.abort();
    await expect(second).rejects.toBeDefined();
    await expect.poll(() => file.destroyed).toBe(true);
  });

  it("leaves out the headers that are its own, and sends the length of text in bytes", async () => {
    let head: NodeJS.Dict<string | string[]> = {};
    const { url } = await serve((request, answer) => {
      head = request.headers;
      answer.end();
    });
    const headers = ["Host", "evil", "Content-Length", "7", "Connection", "close", "X-A", "1"];
    await transport(ask(url, { headers, body: '"\u00e9"' }));
    expect(head).toMatchObject({ host: new URL(url).host, "content-length": "4", connection: "keep-alive", "x-a": "1" });
  });

  it("tells a header that cannot be sent", async () => {
    const { url } = await serve((_, answer) => void answer.end());
    await expect(transport(ask(url, { headers: ["X-A", "\u65e5"] }))).rejects.toBeDefined();
  });
});

describe("connections", () => {
  it("are used again, and closed", async () => {
    const own = nodeTransport();
    const seen = new Set<net.Socket>();
    const { url } = await serve((request, answer) => {
      seen.add(request.socket);
      answer.end("{}");
    });
    for (let i = 0; i < 20; i++) await (await own(ask(url))).text();
    expect(seen.size).toBe(1);
    own.close();
    await expect.poll(() => [...seen].every((socket) => socket.destroyed)).toBe(true);
    expect(await (await own(ask(url))).text()).toBe("{}");
    own.close();
  });

  it("is broken, not refused, where the server closes a kept one", async () => {
    const { url } = await serve((request, answer) => {
      if (request.url == "/lost") request.socket.resetAndDestroy();
      else answer.end("{}");
    });
    await (await transport(ask(url))).text();
    await expect(transport(ask(`${url}lost`, { body: "{}" }))).rejects.toMatchObject({ failure: "broken" });
    expect(await (await transport(ask(url))).text()).toBe("{}");
  });

  it("tells certificates that it does not trust", async () => {
    const proxy = await openProxy({ tls: true });
    cleanups.push(() => proxy.close());
    await expect(transport(ask(`${proxy.url}/api/health`))).rejects.toMatchObject({ failure: "tls" });
    // Something that speaks no TLS at all.
    const { url } = await serve((_, answer) => void answer.end());
    await expect(transport(ask(url.replace("http:", "https:")))).rejects.toMatchObject({ failure: "tls" });
  });

  it("are asked whether they live while a stream says nothing, over TLS too, where Node itself does not", async () => {
    const proxy = await openProxy({ tls: true });
    cleanups.push(() => proxy.close());
    // Asked of the socket: the system's own table of connections is not whole on every machine.
    const asked = await program(
      { NODE_EXTRA_CA_CERTS: kit.tls_ca },
      `${proxy.url}/api/realtime`,
      `const { Socket } = await import("node:net");
       const { setKeepAlive } = Socket.prototype;
       const asked = new Set();
       Socket.prototype.setKeepAlive = function (on, after) {
         if (on && after > 0 && after <= 30000) asked.add(this);
         return setKeepAlive.call(this, on, after);
       };
       const answer = await transport(ask(url));
       const reader = answer.stream().getReader();
       await reader.read();
       console.log([...asked].filter((socket) => !socket.destroyed && socket.remotePort == new URL(url).port).length);
       await reader.cancel();`,
    );
    expect(asked).toBe("1");
  });

  it("leave nothing behind: 2,000 requests, some of which fail", async () => {
    const own = nodeTransport();
    let open = 0;
    const { url, server } = await serve((request, answer) => {
      if (request.url == "/reset") return request.socket.resetAndDestroy();
      if (request.url == "/stall") return;
      answer.end(`{"items":[${"1,".repeat(500)}1]}`);
    });
    server.on("connection", (socket) => (open++, socket.on("close", () => open--)));
    const { signal } = new AbortController();
    let listeners = 0;
    const [add, remove] = [signal.addEventListener, signal.removeEventListener];
    signal.addEventListener = (...args: any[]) => (listeners++, add.apply(signal, args as any));
    signal.removeEventListener = (...args: any[]) => (listeners--, remove.apply(signal, args as any));
    const one = async (i: number) => {
      if (i % 10 == 0) return own(ask(`${url}reset`, { signal })).catch(() => {});
      // Not AbortSignal.any: of one that has nothing but a timeout Node 20 collects the timeout, and it never says so.
      if (i % 10 == 1) return own(ask(`${url}stall`, { signal: AbortSignal.timeout(5) })).catch(() => {});
      const answer = await own(ask(url, { signal, body: i % 2 ? "{}" : undefined }));
      if (i % 3) await answer.text();
      else await new Response(answer.stream()).text();
    };
    const round = async (from: number) => {
      for (let i = from; i < from + 1000; i += 20) await Promise.all(Array.from({ length: 20 }, (_, k) => one(i + k)));
    };
    const heap = async () => {
      globalThis.gc!();
      await soon(50);
      globalThis.gc!();
      return process.memoryUsage().heapUsed;
    };
    await round(0);
    const first = await heap();
    await round(1000);
    await expect.poll(() => listeners).toBe(0);
    await expect.poll(() => open).toBeLessThanOrEqual(20);
    // What is left behind stays; what sockets that close still hold goes.
    await expect.poll(async () => (await heap()) - first).toBeLessThan(2e6);
    own.close();
    await expect.poll(() => open).toBe(0);
  });

  it("carry 50 MB each way in constant memory", async () => {
    const size = 50_000_000;
    const { url } = await serve(async (request, answer) => {
      if (request.method == "POST") return void answer.end(`${await bytesOf(request)}`);
      for (let left = size; left > 0; left -= 100_000) if (!answer.write(Buffer.alloc(100_000))) await once(answer, "drain");
      answer.end();
    });
    const path = join(folder, "large");
    await writeFile(path, Buffer.alloc(size));
    let most = 0;
    let calls = 0;
    // What is held, not what waits to be collected.
    const held = () => {
      if (calls++ % 64) return;
      globalThis.gc!();
      const { arrayBuffers, heapUsed } = process.memoryUsage();
      most = Math.max(most, arrayBuffers + heapUsed);
    };
    held();
    const before = most;
    const told: number[] = [];
    for (const data of [await openAsBlob(path), createReadStream(path), streamOf(size)]) {
      const body = new Form("{}", [["f", "large", "application/octet-stream", data]]);
      const onProgress = (sent: number) => {
        told.push(sent);
        held();
      };
      const answer = await transport(ask(url, { body, onProgress }));
      expect(+(await answer.text())).toBe(told.at(-1));
      expect(told.at(-1)).toBeGreaterThan(size);
    }
    let got = 0;
    for await (const piece of (await transport(ask(url))).stream() as any) {
      got += piece.length;
      held();
    }
    expect(got).toBe(size);
    expect(most - before).toBeLessThan(20e6);
  });
});

/** A program of its own, whose environment is read when it starts; `body` has the transport, and the URL as `url`. */
async function program(env: Record<string, string>, url: string, body: string): Promise<string> {
  const file = join(folder, `program-${Math.random()}.mjs`);
  await build({
    stdin: {
      contents: `
        import { nodeTransport } from "./src/platforms/node.ts";
        import { readFileSync } from "node:fs";
        const transport = nodeTransport();
        const url = process.argv[2];
        const ask = (url) => ({ method: "GET", url, headers: [], body: undefined, signal: new AbortController().signal });
        ${body}
      `,
      resolveDir: new URL("../..", import.meta.url).pathname,
    },
    bundle: true,
    platform: "node",
    format: "esm",
    define: { SPLIT: "false" },
    external: ["./bytes.js"],
    outfile: file,
  });
  const { stdout } = await promisify(execFile)(process.execPath, [file, url], { env: { ...process.env, ...env }, timeout: 60_000 });
  return stdout.trim();
}

/** Asks once, and ends by itself: idle connections do not hold a program. */
const asksOnce = `
  const asked = transport(ask(url)).then(async (answer) => answer.status + " " + await answer.text());
  console.log(await asked.catch((error) => error.failure + " " + error.message));`;

describe("proxies", () => {
  it.each<[string, Record<string, string>, string | null]>([
    ["http://a.example/", {}, null],
    ["http://a.example/", { HTTP_PROXY: "http://p:3128" }, "http://p:3128/"],
    ["http://a.example/", { http_proxy: "low:1", HTTP_PROXY: "http://up:2" }, "http://low:1/"],
    ["http://a.example/", { HTTP_PROXY: "http://p", REQUEST_METHOD: "GET" }, null],
    ["http://a.example/", { HTTPS_PROXY: "http://p" }, null],
    ["https://a.example/", { HTTPS_PROXY: "http://p" }, "http://p/"],
    ["https://a.example/", { ALL_PROXY: "http://p" }, "http://p/"],
    ["https://a.example/", { HTTPS_PROXY: "http://p", NO_PROXY: "*" }, null],
    ["https://a.example/", { HTTPS_PROXY: "http://p", NO_PROXY: "other.example, A.example" }, null],
    ["https://a.example/", { HTTPS_PROXY: "http://p", NO_PROXY: ".example" }, null],
    ["https://a.example/", { HTTPS_PROXY: "http://p", NO_PROXY: "example" }, null],
    ["https://a.example/", { HTTPS_PROXY: "http://p", no_proxy: "*.example" }, null],
    ["https://a.example/", { HTTPS_PROXY: "http://p", NO_PROXY: "b.a.example,ample" }, "http://p/"],
    ["https://a.example/", { HTTPS_PROXY: "http://p", NO_PROXY: "a.example:443" }, null],
    ["https://a.example/", { HTTPS_PROXY: "http://p", NO_PROXY: "a.example:444" }, "http://p/"],
    ["http://10.1.2.3:8090/", { HTTP_PROXY: "http://p", NO_PROXY: "10.0.0.0/8" }, null],
    ["http://11.1.2.3:8090/", { HTTP_PROXY: "http://p", NO_PROXY: "10.0.0.0/8" }, "http://p/"],
    ["http://[::1]:8090/", { HTTP_PROXY: "http://p", NO_PROXY: "::1" }, null],
    ["http://[::1]:8090/", { HTTP_PROXY: "http://p", NO_PROXY: "[::1]:8090" }, null],
    ["http://[fd00::5]/", { HTTP_PROXY: "http://p", NO_PROXY: "fd00::/8" }, null],
    ["http://[fe00::5]/", { HTTP_PROXY: "http://p", NO_PROXY: "fd00::/8" }, "http://p/"],
  ])("%s with %o", (url, variables, proxy) => {
    expect(proxyFor(new URL(url), variables)?.href ?? null).toBe(proxy);
  });

  it("are not gone around where their name cannot be used", () => {
    expect(() => proxyFor(new URL("http://a"), { HTTP_PROXY: "socks5://p" })).toThrow("http://");
  });

  it("carry http and https", async () => {
    const seen: string[] = [];
    const { url, server } = await serve((request, answer) => {
      seen.push(`${request.method} ${request.url} ${request.headers.host} ${request.headers["proxy-authorization"]}`);
      answer.end("from the proxy");
    });
    server.on("connect", (request, socket) => {
      seen.push(`CONNECT ${request.url} ${request.headers["proxy-authorization"]}`);
      if (request.url!.startsWith("refused")) return socket.end("HTTP/1.1 407 No\r\n\r\n");
      const [host, port] = request.url!.split(":");
      const to = net.connect(+port!, host, () => socket.write("HTTP/1.1 200 OK\r\n\r\n"));
      to.pipe(socket).pipe(to);
      to.on("error", () => socket.destroy());
      socket.on("error", () => to.destroy());
    });
    const proxy = url.replace("://", "://ada:p%40ss@");
    const basic = `Basic ${Buffer.from("ada:p@ss").toString("base64")}`;
    expect(await program({ HTTP_PROXY: proxy }, "http://a.invalid/api?x=1", asksOnce)).toBe("200 from the proxy");
    const secure = await openProxy({ tls: true });
    cleanups.push(() => secure.close());
    const ca = { HTTPS_PROXY: proxy, NODE_EXTRA_CA_CERTS: kit.tls_ca };
    expect(await program(ca, `${secure.url}/api/health`, asksOnce)).toMatch(/^200 .*healthy/);
    expect(await program(ca, "https://refused.invalid/api", asksOnce)).toBe("broken the proxy answered 407 to CONNECT");
    expect(await program({ HTTPS_PROXY: proxy, NODE_EXTRA_CA_CERTS: "" }, `${secure.url}/api/health`, asksOnce)).toMatch(/^tls /);
    const { host } = new URL(secure.url);
    expect(seen).toEqual([
      `GET http://a.invalid/api?x=1 a.invalid ${basic}`,
      `CONNECT ${host} ${basic}`,
      `CONNECT refused.invalid:443 ${basic}`,
      `CONNECT ${host} ${basic}`,
    ]);
    expect(await program({ HTTP_PROXY: "socks5://p" }, "http://a.invalid/", asksOnce)).toMatch(/^unknown_host .*http:\/\//);
  });
});

it("reads the modules beside the entry, once, in both module systems", async () => {
  const wasm = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0);
  await writeFile(join(folder, "core.wasm"), wasm);
  await writeFile(join(folder, "realtime.wasm"), wasm);
  for (const [format, name, more] of [
    ["esm", "module.mjs", {}],
    ["cjs", "module.cjs", { define: { "import.meta.url": "here", SPLIT: "true" }, banner: { js: 'const here = require("node:url").pathToFileURL(__filename).href;' } }],
  ] as const) {
    await build({
      stdin: {
        contents: `import { node } from "./src/platforms/node.ts"; for (const name of ["core", "realtime"]) { const module = node().module(name); console.log(module instanceof WebAssembly.Module, node().module(name) === module); }`,
        resolveDir: new URL("../..", import.meta.url).pathname,
      },
      bundle: true,
      platform: "node",
      format,
      define: { SPLIT: "true" },
      external: ["./bytes.js"],
      outfile: join(folder, name),
      ...more,
    });
    const { stdout } = await promisify(execFile)(process.execPath, [join(folder, name)]);
    expect(stdout).toBe("true true\ntrue true\n");
  }
  expect((await readFile(join(folder, "core.wasm"))).length).toBe(8);
});

it("brings the modules along where a bundler leaves the files behind", async () => {
  const elsewhere = await mkdtemp(join(folder, "bundled-"));
  for (const [format, name, entry] of [["esm", "main.mjs", "node.js"], ["cjs", "main.cjs", "node.cjs"], ["esm", "deno.mjs", "deno.js"]] as const) {
    await build({
      stdin: {
        // What is wrong with a URL the core says.
        contents: `import { createClient } from "./dist/${entry}"; createClient("nowhere").collection("a").getFullList().catch((error) => console.log(error.message));`,
        resolveDir: new URL("../..", import.meta.url).pathname,
      },
      bundle: true,
      platform: "node",
      format,
      outfile: join(elsewhere, name),
    });
    const { stdout } = await promisify(execFile)(process.execPath, [join(elsewhere, name)]);
    expect(stdout).toBe("the URL has no scheme\n");
  }
});

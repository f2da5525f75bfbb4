/** What a page brings beside its transport. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Form } from "../../src/core/platform.js";
import { browser } from "../../src/platforms/browser.js";
import { page } from "../../src/platforms/page.js";
import { openProxy, type Proxy } from "../support/kit.js";
import { ask } from "./support.js";

afterEach(() => vi.unstubAllGlobals());

it("keeps sessions in localStorage", () => {
  const store = page.store("session-of-a-test")!;
  expect(store.load()).toBeNull();
  store.save("text");
  expect([store.load(), localStorage.getItem("session-of-a-test")]).toEqual(["text", "text"]);
  store.clear();
  expect(store.load()).toBeNull();
});

it("has no store where localStorage is forbidden", () => {
  const own = Object.getOwnPropertyDescriptor(window, "localStorage")!;
  Object.defineProperty(window, "localStorage", {
    configurable: true,
    get() {
      throw new DOMException("no", "SecurityError");
    },
  });
  try {
    expect(page.store("x")).toBeNull();
  } finally {
    Object.defineProperty(window, "localStorage", own);
  }
});

it("tells of the network and of the page, until it is stopped", () => {
  const told: string[] = [];
  let hidden = true;
  vi.spyOn(document, "hidden", "get").mockImplementation(() => hidden);
  const stop = page.hints!((hint) => told.push(hint));
  const all = () => {
    window.dispatchEvent(new Event("online"));
    document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
    hidden = !hidden;
    document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
    window.dispatchEvent(new PageTransitionEvent("pageshow", { persisted: false }));
    window.dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
  };
  all();
  const expected = ["online", "hidden", "visible", "online"];
  expect(told).toEqual(expected);
  stop();
  all();
  expect(told).toEqual(expected);
});

it("compiles the module, whatever type the server gives it", async () => {
  const asked: string[] = [];
  vi.stubGlobal("SPLIT", true);
  for (const type of ["application/wasm", "application/octet-stream"]) {
    vi.stubGlobal("fetch", async (url: URL) => {
      asked.push(url.href.replace(/.*\//, ""));
      return new Response(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0), { headers: { "content-type": type } });
    });
    expect(await browser.module("core")).toBeInstanceOf(WebAssembly.Module);
    expect(await browser.module("realtime")).toBeInstanceOf(WebAssembly.Module);
  }
  expect(asked).toEqual(["core.wasm", "realtime.wasm", "core.wasm", "realtime.wasm"]);
  vi.stubGlobal("fetch", async () => new Response("<html>", { status: 404 }));
  await expect(browser.module("core")).rejects.toThrow(/answers 404/);
});

describe("an upload that is watched", () => {
  const records = "/api/collections/posts/records";
  const request = (url: string) => {
    const body = new Form("{}", [["attachments", "a.bin", "application/octet-stream", new Blob(["abc"])]]);
    return ask(url + records, { headers: ["X-PicoBase-Key", "pk"], body, onProgress: () => {} });
  };
  const paths = async (proxy: Proxy) => (await proxy.requests()).map(({ path }) => path);
  const redirect = (to: Proxy) => ({ type: "redirect", status: 307, location: to.url + records });
  let [here, there]: Proxy[] = [];
  beforeEach(async () => {
    [here, there] = await Promise.all([openProxy(), openProxy()]);
    return async () => void (await Promise.all([here!.close(), there!.close()]));
  });

  it("is not sent where the server redirects: the key would go along", async () => {
    await here!.faults({ path_prefix: "/api/", action: redirect(there!) });
    expect((await page.transport()(request(here!.url))).status).toBe(302);
    expect([await paths(here!), await paths(there!)]).toEqual([["/api/health"], []]);
  });

  it("is not sent where the server cannot be asked", async () => {
    await here!.faults({ path: "/api/health", action: { type: "reset" } });
    await expect(page.transport()(request(here!.url))).rejects.toMatchObject({ failure: "broken" });
    expect(await paths(here!)).not.toContain(records);
  });

  it("asks once where the server answers, and again where it was asleep", async () => {
    const transport = page.transport();
    await here!.faults({ path: "/api/health", times: 1, action: { type: "respond", status: 503 } });
    for (let n = 0; n < 3; n++) await transport(request(here!.url));
    expect(await paths(here!)).toEqual(["/api/health", records, "/api/health", records, records]);
  });

  it("is told as redirected where only uploads are", async () => {
    await here!.faults({ path: records, action: redirect(there!) });
    expect((await page.transport()(request(here!.url))).status).toBe(302);
    expect(await paths(there!)).toEqual([records]);
  });

  it("asks for no field of the answer that browsers would complain about", async () => {
    const asked = vi.spyOn(XMLHttpRequest.prototype, "getResponseHeader");
    const answer = await page.transport()(request(here!.url));
    expect([answer.header("retry-after"), answer.header("content-type")]).toEqual([null, "application/json"]);
    expect(asked).not.toHaveBeenCalled();
  });
});

it("runs in a worker, which has neither localStorage nor a document", async () => {
  const url = new URL("../../src/platforms/page.ts", import.meta.url).href;
  const script = `
    import(${JSON.stringify(url)}).then(async ({ page }) => {
      const transport = page.transport();
      const stop = page.hints(() => {});
      stop();
      const answer = await transport({ method: "GET", url: "data:text/plain,hello", headers: [], signal: new AbortController().signal });
      postMessage([page.store("x"), await answer.text()]);
    }).catch((error) => postMessage(String(error)));`;
  const worker = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })), { type: "module" });
  const said = await new Promise((resolve) => (worker.onmessage = (event) => resolve(event.data)));
  worker.terminate();
  expect(said).toEqual([null, "hello"]);
});

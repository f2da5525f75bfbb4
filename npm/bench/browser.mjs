/** Chromium with a page for each side: the package as bundlers take it, and its module beside it. */
import { createServer } from "node:http";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const root = fileURLToPath(new URL("..", import.meta.url));
const types = { html: "text/html", js: "text/javascript", wasm: "application/wasm" };

async function bundle() {
  const { outputFiles } = await build({
    entryPoints: [`${root}bench/page.mjs`],
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    conditions: ["browser"],
  });
  return outputFiles[0].contents;
}

/** Serves the page, the bundle, and the modules of dist/. */
async function serve() {
  const page = await bundle();
  const files = (name) => (name == "page.js" ? page : name.endsWith(".wasm") ? readFileSync(`${root}dist/${name}`) : "<script type=module src=page.js></script>");
  const server = createServer(({ url }, answer) => {
    const name = url.split(/[?#]/)[0].slice(1) || "index.html";
    if (name == "favicon.ico") return answer.writeHead(404).end();
    answer.setHeader("content-type", types[name.split(".").pop()]);
    answer.end(files(name));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

/** A browser for pages that talk to the server at `url`. */
export async function openBrowser(url) {
  const server = await serve();
  const browser = await chromium.launch({
    executablePath: process.env.PICOBASE_CHROMIUM ?? "/usr/bin/chromium",
    args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
  });
  return {
    version: browser.version(),
    /** A side in a page, and a process, of its own. */
    async side(name) {
      const context = await browser.newContext();
      const page = await context.newPage();
      page.on("pageerror", (error) => console.error(`${name}: ${error.stack}`));
      await page.goto(`http://127.0.0.1:${server.address().port}/?server=${encodeURIComponent(url)}#${name}`);
      await page.waitForFunction("globalThis.batch");
      return { batch: (asked) => page.evaluate((asked) => globalThis.batch(asked), asked), end: () => context.close() };
    },
    async end() {
      await browser.close();
      server.close();
    },
  };
}

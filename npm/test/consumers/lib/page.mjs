/** Pages, in Chromium. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { delimiter, extname, join } from "node:path";
import { chromium } from "playwright-core";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".css": "text/css" };

/** Opens the page of a folder, which puts the promise of its scenario at `window.saw`; answers what that saw. */
export async function open(folder, { wasmType, policy }, config) {
  const server = await serve(folder, wasmType, policy);
  const browser = await chromium.launch({ executablePath: program(), args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
  try {
    const page = await browser.newPage();
    const trouble = [];
    page.on("pageerror", (error) => trouble.push(`page error: ${error.message}`));
    page.on("console", (message) => message.type() === "error" && trouble.push(`console: ${message.text()}`));
    await page.goto(`http://127.0.0.1:${server.address().port}/#${encodeURIComponent(JSON.stringify(config))}`);
    const began = await page.waitForFunction(() => "saw" in window, null, { timeout: 60_000 }).catch(() => null);
    if (!began) throw new Error(["the page did not begin", ...trouble].join("\n"));
    return await page.evaluate(() => window.saw).catch((error) => Promise.reject(new Error([error.message, ...trouble].join("\n"))));
  } finally {
    await browser.close();
    server.close();
  }
}

/** Serves the files of a folder. */
function serve(folder, wasmType, policy) {
  const server = createServer(({ url }, response) => {
    const path = new URL(url, "http://localhost").pathname;
    const file = join(folder, path.endsWith("/") ? `${path}index.html` : path);
    if (!existsSync(file) || !statSync(file).isFile()) return response.writeHead(404).end();
    const type = (extname(file) === ".wasm" && wasmType) || TYPES[extname(file)] || "application/octet-stream";
    response.writeHead(200, { "Content-Type": type, ...(policy && { "Content-Security-Policy": policy }) }).end(readFileSync(file));
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

/** The browser: `PICOBASE_CHROMIUM`, or the first of its names on PATH. */
function program() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const names = ["chromium", "chromium-browser", "google-chrome"].flatMap((name) => folders.map((folder) => join(folder, name)));
  const found = process.env.PICOBASE_CHROMIUM ?? names.find((path) => existsSync(path));
  if (!found) throw new Error("there is no Chromium: install it, or name it in PICOBASE_CHROMIUM");
  return found;
}

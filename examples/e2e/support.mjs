// What the examples' end-to-end runs share: the testkit, a browser, steps with a summary, screenshots.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { crc32, deflateSync } from "node:zlib";

const REPOSITORY = resolve(import.meta.dirname, "../..");

/** How long anything may take to appear, in milliseconds: for what never comes, also on a slow machine. */
export const PATIENCE = 60_000;

/**
 * Installs what the example in `root` needs: its lock file, or with PICOBASE_TARBALL that package in place of the
 * checkout's. Nothing of it is kept in package.json.
 */
export function install(root) {
  const installed = join(root, "node_modules/@picobase/client");
  const tarball = process.env.PICOBASE_TARBALL;
  const isCheckout = existsSync(installed) && lstatSync(installed).isSymbolicLink();
  if (!existsSync(join(root, "node_modules")) || (!tarball && !isCheckout)) npm(root, "ci");
  if (tarball) npm(root, "install", "--no-save", "--no-package-lock", resolve(tarball));
}

/** Runs a script of the example's package. */
export function build(root, env = {}) {
  npm(root, "run", "--silent", "build", { ...process.env, ...env });
}

function npm(root, ...args) {
  const env = typeof args.at(-1) === "object" ? args.pop() : process.env;
  const quiet = args[0] === "run" ? [] : ["--no-audit", "--no-fund", "--loglevel=error"];
  execFileSync("npm", [...args, ...quiet], { cwd: root, env, stdio: "inherit" });
}

/** The testkit, with a server of this run's own behind a proxy of its own. It ends with this process. */
export async function startKit() {
  const binary = process.env.PICOBASE_TESTKIT_BIN ?? join(REPOSITORY, "target/debug/picobase-testkit");
  const child = spawn(binary, { stdio: ["pipe", "pipe", "inherit"] });
  const info = await new Promise((done, failed) => {
    child.once("error", failed);
    child.once("exit", (code) => failed(new Error(`the testkit ended (${code}) before it was ready`)));
    createInterface(child.stdout).once("line", (line) => done(JSON.parse(line)));
  });
  const ask = async (method, path, body) => {
    const answer = await fetch(info.control + path, {
      method,
      ...(body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  };
  const server = await ask("POST", "/servers", {});
  return {
    url: server.url,
    password: info.password,
    /** A call of a superuser, past the proxy. Answers its body. */
    async admin(method, path, body) {
      const answer = await ask("POST", `/servers/${server.server_id}/admin`, { method, path, body });
      assert.ok(answer.status < 300, `${method} ${path}: ${JSON.stringify(answer)}`);
      return answer.body;
    },
    faults: (rules) => ask("PUT", `/proxies/${server.proxy_id}/faults`, rules),
    requests: () => ask("GET", `/proxies/${server.proxy_id}/requests`),
    kill: () => ask("POST", `/servers/${server.server_id}/kill`),
    start: () => ask("POST", `/servers/${server.server_id}/start`),
    stop: () => child.stdin.end(),
  };
}

/** A sleeping instance, until the faults are others. Pages may read the answer, as the gateway lets them. */
export const asleep = [
  {
    path_prefix: "/api/",
    action: { type: "respond", status: 503, headers: { "Retry-After": "1", "Access-Control-Allow-Origin": "*" }, body: {} },
  },
];

/** Chromium: PICOBASE_CHROMIUM, else what is on PATH. */
export async function openBrowser(root) {
  const { chromium } = createRequire(join(root, "package.json"))("playwright-core");
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const found = (process.env.PATH ?? "").split(delimiter).flatMap((folder) => names.map((name) => join(folder, name)));
  const executablePath = process.env.PICOBASE_CHROMIUM ?? found.find((file) => existsSync(file));
  assert.ok(executablePath, "Chromium is neither on PATH nor in PICOBASE_CHROMIUM");
  return chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
}

/** Screenshots of one example, in target/screenshots. */
export function screenshots(example) {
  const folder = join(REPOSITORY, "target/screenshots", example);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const sizes = { desktop: { width: 1100, height: 760 }, phone: { width: 390, height: 844 } };
  return {
    /** The page as it is. */
    one: (page, name) => page.screenshot({ path: join(folder, `${name}.png`) }),
    /** The page on a desktop and on a phone, light and dark. */
    async all(page, name) {
      for (const [size, viewport] of Object.entries(sizes)) {
        await page.setViewportSize(viewport);
        for (const colorScheme of ["light", "dark"]) {
          await page.emulateMedia({ colorScheme });
          await page.screenshot({ path: join(folder, `${name}-${size}-${colorScheme}.png`) });
        }
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `${name} is ${overflow} pixels wider than a ${size}`);
      }
      await page.setViewportSize(sizes.desktop);
      await page.emulateMedia({ colorScheme: "light" });
    },
  };
}

/** Runs the steps of a scenario until one fails, and says how it went. */
export async function run(example, scenario) {
  const started = performance.now();
  const steps = [];
  const cleanups = [];
  const context = {
    async step(name, work) {
      const began = performance.now();
      steps.push({ name, ok: false });
      const result = await work();
      steps.at(-1).ok = true;
      console.log(`  ok  ${name} (${Math.round(performance.now() - began)} ms)`);
      return result;
    },
    /** Runs at the end, last first, whatever happens. */
    defer: (cleanup) => cleanups.push(cleanup),
  };
  let failure;
  console.log(example);
  try {
    await scenario(context);
  } catch (error) {
    failure = error;
    console.log(`  FAILED  ${steps.at(-1)?.name ?? "before the first step"}`);
    console.error(error);
  }
  for (const cleanup of cleanups.reverse()) await Promise.resolve(cleanup(failure)).catch((error) => console.error(error));
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${example}: ${steps.filter((step) => step.ok).length} steps passed, ${failure ? 1 : 0} failed, ${seconds} s`);
  process.exit(failure ? 1 : 0);
}

/** A PNG of waves and noise; the noise, which does not compress, makes it about `width × height × 2` bytes large. */
export function picture(width, height) {
  const rows = Buffer.alloc(height * (1 + width * 3));
  for (let y = 0, at = 0; y < height; y++) {
    rows[at++] = 0;
    for (let x = 0; x < width; x++) {
      const wave = Math.sin((x / width) * 5 + Math.cos((y / height) * 4) * 2);
      const noise = Math.random() * 40;
      rows[at++] = 205 + wave * 10 + noise;
      rows[at++] = 110 + wave * 60 + noise;
      rows[at++] = 80 + (y / height) * 90 + noise;
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const framed = Buffer.alloc(body.length + 8);
    framed.writeUInt32BE(data.length, 0);
    framed.set(body, 4);
    framed.writeUInt32BE(crc32(body), body.length + 4);
    return framed;
  };
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", deflateSync(rows, { level: 1 })), chunk("IEND", Buffer.alloc(0))]);
}

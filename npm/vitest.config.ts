/**
 * The same tests in Node and in a page of headless Chromium, against the package as it was built and a real server.
 * A file `*.node.test.ts` or `*.browser.test.ts` runs only there.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** The package under test: this folder, or another build of it. */
const root = process.env.PICOBASE_PACKAGE ?? here(".");

/** What `exports` of package.json says for `.` under these conditions: the tests import what users get. */
function built(...conditions: string[]): string {
  let target = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).exports?.["."];
  while (target && typeof target === "object") {
    const met = Object.keys(target).find((name) => name === "default" || conditions.includes(name));
    target = met && target[met];
  }
  return join(root, target ?? "is-not-built.js");
}

function chromium(): string {
  if (process.env.PICOBASE_CHROMIUM) return process.env.PICOBASE_CHROMIUM;
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const found = names.map((name) => {
    try {
      return execFileSync("/bin/sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim();
    } catch {
      return "";
    }
  });
  return found.find((path) => path) ?? "chromium";
}

const shared = ["test/{vectors,scenarios,leaks}/**/*.test.ts"];

export default defineConfig({
  server: { fs: { allow: [here(".."), root, process.env.PICOBASE_WASM ?? root] } },
  test: {
    globalSetup: here("test/support/setup.ts"),
    // For what never comes: a machine that does other things too is slow, and that is no failure.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 40_000 } },
    projects: [
      {
        extends: true,
        resolve: { alias: [{ find: /^@picobase\/client$/, replacement: built("node", "import") }] },
        test: {
          name: "node",
          include: [...shared, "test/{unit,platforms}/**/*.test.ts"],
          exclude: ["**/*.browser.test.ts"],
          // As the package is loaded outside of tests: by Node itself.
          server: { deps: { external: [/\/dist\//] } },
          execArgv: ["--expose-gc"],
        },
      },
      {
        extends: true,
        resolve: { alias: [{ find: /^@picobase\/client$/, replacement: built("browser", "import") }] },
        test: {
          name: "browser",
          include: [...shared, "test/platforms/**/*.test.ts"],
          exclude: ["**/*.node.test.ts"],
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({
              launchOptions: {
                executablePath: chromium(),
                args: [...(process.getuid?.() === 0 ? ["--no-sandbox"] : []), "--enable-precise-memory-info"],
              },
            }),
            instances: [{ browser: "chromium" }],
          },
        },
      },
    ],
  },
});

/**
 * run.mjs TARBALL [NAME…]: installs what is shipped of the package as its users do, each time in a project of its own in a
 * temporary folder, and runs it there against a real server.
 *
 * Prints what each project saw and one line for each; exits with 1 where one failed. The testkit is
 * `PICOBASE_TESTKIT_BIN`, its server `PICOBASE_TEST_SERVER_BINARY`, the browser `PICOBASE_CHROMIUM` or what PATH has.
 */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./lib/command.mjs";
import { open } from "./lib/page.mjs";
import { startTestkit } from "./lib/testkit.mjs";

const here = dirname(fileURLToPath(import.meta.url));

/**
 * The projects: what their users do, and where their page is, if they have one. Wrong types of the `.wasm` files and a
 * strict policy are what servers do to pages.
 */
const consumers = [
  { name: "node-esm", what: "Node, import" },
  { name: "node-cjs", what: "Node, require" },
  { name: "typescript", what: "tsc 5 and 7, NodeNext and Bundler" },
  { name: "vite", what: "Vite 8, in Chromium", page: "dist", policy: "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' http://127.0.0.1:*" },
  { name: "webpack", what: "webpack 5, in Chromium; .wasm served as octet-stream", page: "dist", wasmType: "application/octet-stream" },
  { name: "esbuild-inline", what: "esbuild with ./inline, in Chromium", page: "dist" },
  { name: "worker", what: "module worker, in Chromium", page: "dist" },
  { name: "workerd", what: "workerd, by miniflare" },
  { name: "lint", what: "publint, are the types wrong" },
];

/** Makes the project in a folder of its own and installs what it needs, last the tarball. */
async function install({ name }, tarball, folder) {
  const project = join(folder, name);
  cpSync(join(here, name), project, { recursive: true, filter: (path) => !/node_modules|dist$/.test(path) });
  cpSync(join(here, "scenario.mjs"), join(project, "scenario.mjs"));
  if (existsSync(join(project, "package-lock.json"))) await run("npm", ["ci", "--no-audit", "--no-fund"], { cwd: project });
  await run("npm", ["install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund", tarball], { cwd: project });
  return project;
}

/** Builds and runs one project; answers what it printed. */
async function consume(consumer, tarball, folder, kit) {
  const project = await install(consumer, tarball, folder);
  const { scripts = {} } = JSON.parse(readFileSync(join(project, "package.json"), "utf8"));
  const config = await kit.server();
  const env = { ...process.env, PICOBASE_CONSUMER: JSON.stringify(config), PICOBASE_TARBALL: tarball };
  if (scripts.build) await run("npm", ["run", "build"], { cwd: project, env });
  if (consumer.page) return open(join(project, consumer.page), consumer, config);
  return run("npm", ["start", "--silent"], { cwd: project, env });
}

async function main(tarball, names) {
  const unknown = names.filter((name) => !consumers.some((consumer) => consumer.name === name));
  if (!tarball || unknown.length) throw new Error(`usage: run.mjs TARBALL [${consumers.map(({ name }) => name).join(" | ")}]`);
  const folder = mkdtempSync(join(tmpdir(), "picobase-consumers-"));
  const kit = await startTestkit();
  const summary = [];
  try {
    for (const consumer of consumers.filter(({ name }) => !names.length || names.includes(name))) {
      const start = performance.now();
      const passed = await consume(consumer, resolve(tarball), folder, kit).then(
        (printed) => (console.log(`-- ${consumer.name}\n${printed.trimEnd()}`), true),
        (error) => (console.error(`-- ${consumer.name} FAILED\n${error.stack ?? error}`), false),
      );
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      summary.push({ passed, line: `${passed ? "ok    " : "FAILED"} ${seconds.padStart(6)} s  ${consumer.name.padEnd(15)} ${consumer.what}` });
    }
  } finally {
    kit.end();
    rmSync(folder, { recursive: true, force: true });
  }
  const failed = summary.filter(({ passed }) => !passed).length;
  console.log(`\n${summary.map(({ line }) => line).join("\n")}\n${summary.length - failed} passed, ${failed} failed`);
  if (failed || !summary.length) process.exitCode = 1;
}

const [tarball, ...names] = process.argv.slice(2);
await main(tarball, names);

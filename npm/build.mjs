/**
 * Builds the package into dist/: one bundle for each runtime, the modules beside them, and the types.
 *
 * The modules come from target/wasm, or from the folder PICOBASE_WASM; `cargo xtask build js` makes them and then calls this.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(fileURLToPath(import.meta.url));
const modules = process.env.PICOBASE_WASM ?? join(root, "../target/wasm");
const dist = join(root, "dist");
const types = join(dist, "types");

/** Finds the modules that are imported: beside the bundle, or within it (`?base64`); and the script that has them, which stays one. */
const wasm = {
  name: "wasm",
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/bytes\.js$/ }, ({ path, kind }) => (kind === "dynamic-import" ? { path, external: true } : null));
    onResolve({ filter: /\.wasm\?/ }, ({ path }) => {
      const [file, how] = basename(path).split("?");
      return how === "base64" ? { path: join(modules, file) } : { path: `./${basename(path)}`, external: true };
    });
  },
};

/** Bundles an entry. */
async function bundle(entry, format, { define = {}, ...more } = {}) {
  await build({
    absWorkingDir: root,
    entryPoints: [`src/entries/${entry}.ts`],
    outfile: join(dist, `${entry}.${format === "cjs" ? "cjs" : "js"}`),
    bundle: true,
    format,
    target: "es2022",
    legalComments: "none",
    loader: { ".wasm": "base64" },
    define,
    plugins: [wasm],
    logLevel: "warning",
    ...more,
  });
}

/** In CommonJS a file knows its own place by another name. */
const place = {
  define: { "import.meta.url": "importMetaUrl" },
  banner: { js: 'const importMetaUrl = require("node:url").pathToFileURL(__filename).href;' },
};

async function bundleAll() {
  await bundle("browser", "esm", { minify: true });
  await bundle("worker", "esm", { minify: true });
  await bundle("deno", "esm", { platform: "node" });
  await bundle("react-native", "esm");
  await bundle("node", "esm", { platform: "node" });
  await bundle("node", "cjs", { platform: "node", ...place });
  await bundle("bytes", "esm", { minify: true, entryPoints: ["src/platforms/bytes.ts"] });
  await bundle("inline", "esm", { minify: true });
  await bundle("inline", "cjs", { minify: true });
}

/** The modules, and the licences that go with every copy. */
function copyFiles() {
  for (const name of ["LICENSE-MIT", "LICENSE-APACHE"]) copyFileSync(join(root, "..", name), join(dist, name));
  for (const name of ["core.wasm", "more.wasm", "realtime.wasm"]) copyFileSync(join(modules, name), join(dist, name));
}

/** A declaration file, which names the library of `Symbol.dispose` itself: older settings of TypeScript do not have it. */
function declaration(file) {
  const text = readFileSync(file, "utf8");
  return text.includes("Symbol.dispose") ? `/// <reference lib="esnext.disposable" />\n${text}` : text;
}

/**
 * The declarations that can be reached from the entry, once for ES modules and once, under names that say so, for CommonJS. All
 * entries export the same, so one stands for all.
 */
function declare() {
  const all = join(dist, "all");
  const flags = ["--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--stripInternal", "--rootDir", "src", "--outDir", all];
  const tsc = spawnSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", root, ...flags], { stdio: "inherit" });
  if (tsc.status) process.exit(1);
  const waiting = [join(all, "entries/node.d.ts")];
  for (const file of waiting) {
    const text = declaration(file);
    for (const [, path] of text.matchAll(/(?:from |import\()"(\..*?)\.js"/g)) {
      const next = join(dirname(file), `${path}.d.ts`);
      if (!waiting.includes(next)) waiting.push(next);
    }
    const target = join(types, relative(all, file));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
    writeFileSync(target.replace(/ts$/, "cts"), text.replace(/((?:from |import\()"\..*?)\.js"/g, '$1.cjs"'));
  }
  rmSync(all, { recursive: true });
}

if (!existsSync(join(modules, "core.wasm"))) {
  console.error(`There is no core.wasm in ${modules}: run "cargo xtask build js", which makes it and then the package.`);
  process.exit(1);
}
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
copyFiles();
await bundleAll();
declare();

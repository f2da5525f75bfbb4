// size.mjs REPORT [--set]: weighs the package as a page loads it, writes the report, and fails where a ceiling of
// npm/size-limits.json is exceeded.
//
// KB are 1024 bytes of gzip -9. The JavaScript is the browser entry with all that it exports, bundled and minified by
// esbuild; beside it stand its peers, bundled in the same run, with no more than the function or class that makes a
// client. A ceiling is what was reached, rounded up to the next half KB; a budget is what the design asks for. Exceeding
// a ceiling fails, missing a budget is said; with --set the ceilings become what is reached now.
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, platform, arch } from "node:os";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import { dirname, join } from "node:path";
import { build } from "esbuild";

const KB = 1024;
const root = fileURLToPath(new URL("..", import.meta.url));
const limitsFile = join(root, "size-limits.json");
const limits = JSON.parse(readFileSync(limitsFile, "utf8"));
const [reportFile, set] = process.argv.slice(2);

/** How heavy some bytes are. */
function weigh(...parts) {
  const sum = (size) => parts.reduce((total, part) => total + size(Buffer.from(part)), 0);
  return {
    raw: sum((part) => part.length),
    gzip: sum((part) => gzipSync(part, { level: 9 }).length),
    brotli: sum((part) => brotliCompressSync(part, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length),
  };
}

/** Bundles one line for a page: the files that load with it, and those that load later. */
async function bundle(line) {
  const { outputFiles, metafile } = await build({
    stdin: { contents: line, resolveDir: root },
    bundle: true,
    minify: true,
    splitting: true,
    write: false,
    metafile: true,
    format: "esm",
    target: "es2022",
    conditions: ["browser"],
    outdir: "out",
    legalComments: "none",
    logLevel: "error",
  });
  const first = new Set();
  const load = (name) => {
    if (first.has(name)) return;
    first.add(name);
    metafile.outputs[name].imports.filter((i) => i.kind === "import-statement" && !i.external).forEach((i) => load(i.path));
  };
  load("out/stdin.js");
  const files = outputFiles.map((file) => ({ name: `out/${file.path.slice(dirname(outputFiles[0].path).length + 1)}`, file }));
  const pick = (wanted) => files.filter(({ name }) => first.has(name) === wanted).map(({ file }) => file.contents);
  return { first: pick(true), later: pick(false) };
}

const version = (name) => JSON.parse(readFileSync(join(root, "node_modules", name, "package.json"), "utf8")).version;

async function measure() {
  const js = await bundle('export * from "@picobase/client"');
  const [core, more, realtime] = ["core", "more", "realtime"].map((name) => readFileSync(join(root, `dist/${name}.wasm`)));
  const rows = {
    js: weigh(...js.first, ...js.later),
    wasm: weigh(core, more, realtime),
    total: weigh(...js.first, ...js.later, core, more, realtime),
    beforeSubscribe: weigh(...js.first, core),
  };
  const parts = { "core.wasm": weigh(core), "more.wasm": weigh(more), "realtime.wasm": weigh(realtime) };
  const peers = {};
  for (const [name, line] of [
    ["pocketbase", 'export { default } from "pocketbase"'],
    ["@supabase/supabase-js", 'export { createClient } from "@supabase/supabase-js"'],
  ]) {
    const { first, later } = await bundle(line);
    peers[`${name} ${version(name)}`] = weigh(...first, ...later);
  }
  return { rows, parts, peers };
}

/** The rows of the report, each beside its limits. */
function judge(rows) {
  return Object.entries(limits.rows).map(([row, { what, ceiling, budget }]) => {
    const ours = rows[row].gzip / KB;
    return {
      row: what, unit: "KB gzip", ours: round(ours), ceiling, budget,
      ratio: round(ours / budget), holds: ours <= budget, belowCeiling: ours <= ceiling,
      raw: rows[row].raw, gzip: rows[row].gzip, brotli: rows[row].brotli,
    };
  });
}

const round = (number) => Math.round(number * 1000) / 1000;
const kb = (bytes) => (bytes / KB).toFixed(2).padStart(8);

/** What was reached becomes the ceiling, rounded up to the next half KB. */
function setCeilings(rows) {
  for (const [row, limit] of Object.entries(limits.rows)) limit.ceiling = Math.ceil((rows[row].gzip / KB) * 2) / 2;
  const lines = Object.entries(limits.rows).map(([row, limit]) => `    ${JSON.stringify(row)}: ${oneLine(limit)}`);
  writeFileSync(limitsFile, `{\n  "unit": ${JSON.stringify(limits.unit)},\n  "rows": {\n${lines.join(",\n")}\n  }\n}\n`);
}

const oneLine = (limit) => JSON.stringify(limit, null, 1).replace(/\n\s*/g, " ");

const { rows, parts, peers } = await measure();
if (set === "--set") setCeilings(rows);
const judged = judge(rows);
console.log(`${"KB of 1024 bytes".padEnd(36)}     raw    gzip  brotli  ceiling  budget`);
for (const { row, raw, gzip, brotli, ceiling, budget } of judged) {
  console.log(`${row.padEnd(32)}${kb(raw)}${kb(gzip)}${kb(brotli)}${ceiling.toFixed(1).padStart(9)}${budget.toFixed(1).padStart(8)}`);
}
for (const [name, { raw, gzip, brotli }] of [...Object.entries(parts), ...Object.entries(peers)]) {
  console.log(`${`  ${name}`.padEnd(32)}${kb(raw)}${kb(gzip)}${kb(brotli)}`);
}
const machine = `${cpus().length} x ${cpus()[0]?.model ?? "?"}, ${platform()} ${arch()}, node ${process.version}`;
const report = { machine, unit: "KB of 1024 bytes, gzip -9; brotli -11 beside it", rows: judged, parts, peers };
writeFileSync(reportFile, `${JSON.stringify(report, null, 2)}\n`);
for (const { row, ours, budget } of judged.filter((row) => !row.holds)) {
  console.log(`BUDGET MISSED: ${row} is ${ours} KB, the budget ${budget}`);
}
for (const { row, ours, ceiling } of judged.filter((row) => row.belowCeiling && row.ours <= row.ceiling - 1)) {
  console.log(`npm/size-limits.json could say less: ${row} is ${ours} KB, the ceiling ${ceiling}`);
}
const over = judged.filter((row) => !row.belowCeiling);
for (const { row, ours, ceiling } of over) console.error(`TOO HEAVY: ${row} is ${ours} KB, npm/size-limits.json lets it be ${ceiling}`);
process.exitCode = over.length ? 1 : 0;

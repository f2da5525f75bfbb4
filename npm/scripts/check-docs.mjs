// Type-checks the code of documents against the built package: each ```ts and ```tsx block is a module of its own.
//
//     node scripts/check-docs.mjs [document …]      docs/typescript.md and the package's README.md by default
//
// What the blocks of a document take for granted stands in it once, in a comment that readers do not see:
//
//     <!-- check-docs
//     declare const client: import("@picobase/client").Client;
//     -->
//
// Errors carry the document's own line numbers. Types of React are those of examples/react (`npm ci` there).

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";

const PACKAGE = resolve(import.meta.dirname, "..");
const REPOSITORY = resolve(PACKAGE, "..");
const WORK = join(REPOSITORY, "target/check-docs");

const CONFIG = {
  compilerOptions: {
    target: "es2022",
    module: "esnext",
    moduleResolution: "bundler",
    lib: ["es2022", "esnext.disposable", "dom", "dom.iterable", "dom.asynciterable"],
    types: ["node"],
    jsx: "react-jsx",
    strict: true,
    skipLibCheck: true,
    noEmit: true,
  },
  include: ["*.ts", "*.tsx"],
};

/** What the blocks may import, by the folder that has it. */
const MODULES = {
  "@picobase/client": PACKAGE,
  "@types/node": join(PACKAGE, "node_modules/@types/node"),
  "undici-types": join(PACKAGE, "node_modules/undici-types"),
  "@types/react": join(REPOSITORY, "examples/react/node_modules/@types/react"),
  csstype: join(REPOSITORY, "examples/react/node_modules/csstype"),
};

const documents = process.argv.slice(2).map((name) => resolve(name));
if (!documents.length) documents.push(join(REPOSITORY, "docs/typescript.md"), join(PACKAGE, "README.md"));

rmSync(WORK, { recursive: true, force: true });
for (const [name, folder] of Object.entries(MODULES)) {
  if (!existsSync(folder)) fail(`${name} is missing: there is no ${relative(REPOSITORY, folder)}; run npm ci there`);
  const link = join(WORK, "node_modules", name);
  mkdirSync(dirname(link), { recursive: true });
  symlinkSync(folder, link);
}
let failures = 0;
for (const document of documents) failures += check(document);
process.exit(failures ? 1 : 0);

/** How many errors a document has. */
function check(document) {
  const title = relative(REPOSITORY, document);
  const text = readFileSync(document, "utf8");
  const folder = join(WORK, basename(dirname(document)) + "-" + basename(document, ".md"));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(CONFIG));
  const context = /^<!-- check-docs\n(.*?)^-->/ms.exec(text);
  if (context) writeFileSync(join(folder, "context.d.ts"), padded(text, context.index) + "\n" + context[1]);
  const blocks = [...text.matchAll(/^```(tsx?)\n(.*?)^```/gms)];
  for (const [index, [, language, code]] of blocks.entries()) {
    const module = padded(text, blocks[index].index) + "\n" + code + "export {};\n";
    writeFileSync(join(folder, `${index}.${language}`), module);
  }
  if (!blocks.length) fail(`${title} has no block of TypeScript`);
  const tsc = spawnSync(process.execPath, [join(PACKAGE, "node_modules/typescript/bin/tsc"), "--pretty", "false", "-p", folder], { encoding: "utf8", cwd: folder });
  const errors = `${tsc.stdout}${tsc.stderr}`.replace(/^(\d+\.tsx?|context\.d\.ts)(?=\()/gm, title).trim();
  if (tsc.status) console.log(errors);
  console.log(`${title}: ${blocks.length} blocks, ${tsc.status ? "FAILED" : "all compile"}`);
  return tsc.status === 0 ? 0 : 1;
}

/** As many empty lines as stand before `index`, so that line numbers stay those of the document. */
function padded(text, index) {
  return "\n".repeat(text.slice(0, index).split("\n").length - 1);
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

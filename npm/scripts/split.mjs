/**
 * Makes the two modules that ship out of the one that the linker wrote: `core.wasm`, and `realtime.wasm` with what only the
 * realtime operations need, which is loaded before the first of them. Both share memory, table and stack pointer.
 *
 *   node scripts/split.mjs linked.wasm outputDirectory [root = start_realtime]
 *
 * What goes into the second module is computed, from the linker's relocations (`-Clink-arg=--emit-relocs`). They say exactly which function
 * calls which, which one knows the table's slot of another, and which piece of static data holds such slots (vtables). What
 * can be reached without the root stays in the first module; the rest is the second.
 *
 * Both are loaded so, with the same imports:
 *   const core = await WebAssembly.instantiate(coreModule, { env });
 *   const realtime = await WebAssembly.instantiate(realtimeModule, { env, core: core.exports });
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

/** What the module may use: WebAssembly 2.0 as all current engines have it. */
const FEATURES = ["bulk-memory", "mutable-globals", "sign-ext", "nontrapping-float-to-int", "reference-types", "multivalue"].map(
  (name) => `--enable-${name}`,
);
/** The best of what was measured. Not --traps-never-happen: an aborted panic is a trap, and must stay one. */
const OPTIMIZE = ["--strip-debug", "--strip-producers", "--low-memory-unused", "-Oz", "--flatten", "--rereloop", "-Oz", "-Oz"];

/** For each part: no more than tidying, since what was inlined across the border would come back. */
const FINISH = ["--low-memory-unused", "-Oz"];

/** Sections of a module by their numbers. */
const [CUSTOM, IMPORT, EXPORT, ELEMENT, CODE, DATA] = [0, 2, 7, 9, 10, 11];

/** Reads a module's numbers, names and bytes. */
class Reader {
  constructor(bytes, at = 0, end = bytes.length) {
    Object.assign(this, { bytes, at, end });
  }
  get more() {
    return this.at < this.end;
  }
  byte() {
    return this.bytes[this.at++];
  }
  /** LEB128, unsigned. */
  number() {
    let [out, scale] = [0, 1];
    for (;;) {
      const byte = this.byte();
      out += (byte & 127) * scale;
      if (byte < 128) return out;
      scale *= 128;
    }
  }
  /** LEB128, signed, 32 bits. */
  signed() {
    const start = this.at;
    const out = this.number();
    const bits = 7 * (this.at - start);
    return this.bytes[this.at - 1] & 64 ? out - 2 ** bits : out;
  }
  /** The constant of an initial expression: `i32.const n end`. */
  constant() {
    if (this.byte() !== 0x41) throw new Error("split: an offset is no constant");
    const out = this.signed();
    this.byte();
    return out;
  }
  name() {
    const length = this.number();
    return Buffer.from(this.bytes.subarray(this.at, (this.at += length))).toString();
  }
  list(read) {
    return Array.from({ length: this.number() }, () => read(this));
  }
  limits() {
    if (this.number() & 1) this.number();
    this.number();
  }
}

/** The sections of a module: number, name of a custom one, and where its content stands. */
function sections(bytes) {
  const [reader, out] = [new Reader(bytes, 8), []];
  while (reader.more) {
    const start = reader.at;
    const id = reader.byte();
    const length = reader.number();
    const end = reader.at + length;
    const [index, content] = [out.length, reader.at];
    const name = id === CUSTOM ? reader.name() : undefined;
    const at = reader.at;
    out.push({ id, name, start, end, index, content, reader: () => new Reader(bytes, at, end) });
    reader.at = end;
  }
  return out;
}

/** How many functions a module imports. */
function importedFunctions(section) {
  if (!section) return 0;
  const skip = [(r) => r.number(), (r) => (r.byte(), r.limits()), (r) => r.limits(), (r) => (r.byte(), r.byte())];
  return section
    .reader()
    .list((r) => {
      r.name(), r.name();
      const kind = r.byte();
      skip[kind](r);
      return kind;
    })
    .filter((kind) => kind === 0).length;
}

/** Which function stands in which slot of the table. */
function tableSlots(section) {
  const slots = new Map();
  section?.reader().list((r) => {
    if (r.number() !== 0) throw new Error("split: an element segment of an unknown form");
    const start = r.constant();
    r.list((r) => r.number()).forEach((func, at) => slots.set(start + at, func));
  });
  return slots;
}

/** The symbols that relocations speak of, and the address of each piece of data. */
function symbols(section, segments) {
  const reader = section.reader();
  reader.number();
  while (reader.more) {
    const kind = reader.byte();
    const length = reader.number();
    const end = reader.at + length;
    if (kind === 8) return reader.list((r) => symbol(r, segments));
    reader.at = end;
  }
  throw new Error("split: the module has no symbols");
}

function symbol(r, segments) {
  const [UNDEFINED, NAMED] = [16, 64];
  const kind = r.byte();
  const flags = r.number();
  if (kind === 1) {
    const out = { kind: "data", name: r.name() };
    if (flags & UNDEFINED) return out;
    const [segment, offset, size] = [r.number(), r.number(), r.number()];
    return { ...out, start: (segments[segment]?.address ?? 0) + offset, size };
  }
  if (kind === 3) return { kind: "section", index: r.number() };
  const index = r.number();
  const name = !(flags & UNDEFINED) || flags & NAMED ? r.name() : "";
  return { kind: kind === 0 ? "function" : "other", index, name };
}

/** The relocations of a section: where, and which symbol. */
function relocations(section) {
  const ADDEND = new Set([3, 4, 5, 8, 9, 11, 14, 15, 16, 17, 21, 22, 23, 25]);
  const TYPE = 6;
  const reader = section.reader();
  const of = reader.number();
  const list = reader.list((r) => {
    const [type, at, symbol] = [r.byte(), r.number(), r.number()];
    if (ADDEND.has(type)) r.signed();
    return { type, at, symbol };
  });
  return { of, list: list.filter((one) => one.type !== TYPE) };
}

/**
 * What of the linked module can be reached without some of its exports.
 *
 * @param {Uint8Array} bytes the module with its relocations
 * @param {string[]} without
 * @returns {{ slots: Set<number>, moved: [number, number][], why: (part: string) => string[] }} the slots of the table; the
 *   addresses of static data that only the root needs, from and to; and, to look into it, the way to each function whose name has that part
 */
export function reachable(bytes, without) {
  const all = sections(bytes);
  const byId = (id) => all.find((section) => section.id === id);
  const linking = all.find((section) => section.name === "linking");
  if (!linking) throw new Error("split: link with --emit-relocs");
  const segments = byId(DATA).reader().list(dataSegment);
  const table = symbols(linking, segments);
  const edges = graph(all, segments, functionBodies(byId(CODE), importedFunctions(byId(IMPORT))), table);

  const exported = byId(EXPORT).reader().list((r) => ({ name: r.name(), kind: r.byte(), index: r.number() }));
  for (const name of without) if (!exported.some((one) => one.name === name)) throw new Error(`split: nothing is exported as ${name}`);
  const roots = exported.filter((one) => one.kind === 0 && !without.includes(one.name)).map((one) => `f${one.index}`);
  // What no symbol owns may be anybody's.
  const from = walk(edges, [...roots, "d?"]);
  const slots = tableSlots(byId(ELEMENT));
  return {
    slots: new Set([...slots.keys()].filter((slot) => from.has(`f${slots.get(slot)}`))),
    moved: only(table, (at) => from.has(`d${at}`)),
    why: (part) => table.filter((one) => one.kind === "function" && one.name.includes(part)).map((one) => path(from, `f${one.index}`, table)),
  };
}

/** Who names whom. Functions are known by number, data by the number of its symbol, data without one as `d?`. */
function graph(all, segments, bodies, table) {
  const edges = new Map();
  const link = (from, to) => edges.get(from)?.add(to) ?? edges.set(from, new Set([to]));
  const node = (at) => (table[at].kind === "function" ? `f${table[at].index}` : `d${at}`);
  const data = table.map((one, at) => ({ ...one, at })).filter((one) => one.size > 0);
  const owners = (address) => {
    const found = data.filter((one) => one.start <= address && address < one.start + one.size);
    return found.length ? found.map((one) => `d${one.at}`) : ["d?"];
  };
  for (const section of all.filter((section) => section.name?.startsWith("reloc."))) {
    const { of, list } = relocations(section);
    for (const { at, symbol } of list) {
      if (table[symbol].kind !== "function" && table[symbol].kind !== "data") continue;
      const position = all[of].content + at;
      const holder = within(all[of].id === CODE ? bodies : segments, position);
      if (all[of].id === CODE) link(`f${holder.func}`, node(symbol));
      else if (all[of].id === DATA) for (const owner of owners(holder.address + position - holder.start)) link(owner, node(symbol));
    }
  }
  return edges;
}

/** All that can be reached, with where it was reached from. */
function walk(edges, roots) {
  const from = new Map(roots.map((root) => [root, null]));
  for (const at of from.keys()) for (const to of edges.get(at) ?? []) if (!from.has(to)) from.set(to, at);
  return from;
}

function path(from, to, table) {
  const name = (node) => (node[0] === "f" ? table.find((one) => one.kind === "function" && `f${one.index}` === node)?.name : table[node.slice(1)]?.name) ?? node;
  return from.has(to) ? [...path(from, from.get(to) ?? "", table), name(to)] : [];
}

/** The ranges of addresses that have an owner, and none that is kept. */
function only(table, isKept) {
  const data = table.map((one, at) => ({ ...one, at })).filter((one) => one.size > 0);
  const edges = [...new Set(data.flatMap((one) => [one.start, one.start + one.size]))].sort((a, b) => a - b);
  const kept = (from) => {
    const owners = data.filter((one) => one.start <= from && from < one.start + one.size);
    return !owners.length || owners.some((one) => isKept(one.at));
  };
  const out = [];
  edges.slice(0, -1).forEach((from, at) => {
    if (kept(from)) return;
    if (out.at(-1)?.[1] === from) out.at(-1)[1] = edges[at + 1];
    else out.push([from, edges[at + 1]]);
  });
  return out;
}

function dataSegment(r) {
  if (r.number() !== 0) throw new Error("split: a data segment of an unknown form");
  const address = r.constant();
  const length = r.number();
  const start = r.at;
  r.at += length;
  return { address, start, end: start + length };
}

function functionBodies(section, imported) {
  let func = imported;
  return section.reader().list((r) => {
    const length = r.number();
    const start = r.at;
    r.at += length;
    return { func: func++, start, end: r.at };
  });
}

/** The range that holds a position, of ranges in order. */
function within(ranges, position) {
  let [low, high] = [0, ranges.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (ranges[middle].start <= position) low = middle;
    else high = middle - 1;
  }
  return ranges[low];
}

/** The forms of a module's text, as wasm-dis writes it: each begins on a line of its own, one space in. */
function forms(text) {
  const lines = text.slice(text.indexOf("\n") + 1, text.lastIndexOf(")")).split(/\n(?= \()/);
  return lines.map((form) => ({ text: form.trim(), kind: /^\s*\((\w+)/.exec(form)?.[1] ?? "", name: /\$[^\s()]+/.exec(form)?.[0] ?? "" }));
}

/** The bytes of a string of the text format. */
function unquote(text) {
  const ESCAPES = { n: 10, t: 9, r: 13, '"': 34, "'": 39, "\\": 92 };
  const out = [];
  for (const [, hex, escape, plain] of text.matchAll(/\\([0-9a-f]{2})|\\(.)|([^\\]+)/gis)) {
    if (hex) out.push(parseInt(hex, 16));
    else if (escape) out.push(ESCAPES[escape]);
    else out.push(...Buffer.from(plain));
  }
  return Buffer.from(out);
}

const quote = (bytes) => `"${[...bytes].map((byte) => `\\${byte.toString(16).padStart(2, "0")}`).join("")}"`;

/**
 * Divides a module's text by what of its table and static data is to stay.
 *
 * @param {string} text
 * @param {string} root
 * @param {ReturnType<typeof reachable>} keep
 * @returns {[string, string]} the text of both modules
 */
export function divide(text, root, keep) {
  const all = forms(text);
  const of = (kind) => all.filter((form) => form.kind === kind);
  const functions = new Map(of("func").map((form) => [form.name, form.text]));
  const exported = of("export").map((form) => /"(.*?)" \((\w+) (\S+?)\)/.exec(form.text).slice(1));
  const slots = of("elem").flatMap((form) => {
    const [, start, listed] = /\(i32\.const (\d+)\)(?: func)?\s+([^)]*)\)$/.exec(form.text);
    const names = listed.trim().split(/\s+/);
    return names.map((name, at) => [Number(start) + at, name]);
  });
  // What was divided off before takes its functions from wherever they end up.
  const entries = exported.filter(([name, kind]) => kind === "func" && name !== root && !isShared(name)).map(([, , name]) => name);
  const first = callees(functions, [...entries, ...slots.filter(([slot]) => keep.slots.has(slot)).map(([, name]) => name)]);
  // What is called from here and stands in a slot of there as well can fill that at once.
  const stays = ([slot, name]) => keep.slots.has(slot) || first.has(name);
  const secondOnes = [...functions.keys()].filter((name) => !first.has(name));
  const called = [...callees(functions, secondOnes, 1)];

  const [keptData, movedData] = divideData(of("data"), keep.moved);
  const types = of("type").map((form) => form.text);
  const imports = of("import");
  const memory = of("memory")[0];
  const table = of("table")[0];
  // Short names: capital letters, and numbers for functions.
  const shared = [
    ...[[memory, "M"], [table, "T"]].map(([form, as]) => ({ form, as, kind: form.kind })),
    ...of("global").map((form, at) => ({ form, as: `G${at}`, kind: "global" })).filter(({ form }) => secondOnes.some((name) => mentions(functions.get(name), form.name))),
  ];
  const exportedAs = new Map(exported.filter(([, kind]) => kind === "func").map(([as, , name]) => [name, as]));
  const fresh = exported.filter(([name]) => isShared(name)).length;
  const sharedFunctions = called
    .filter((name) => first.has(name) && functions.has(name))
    .map((name, at) => [name, exportedAs.get(name) ?? (fresh + at).toString(36)]);
  const [own, passedOn] = [true, false].map((here) => exported.filter(([name, kind, what]) => name !== root && !name.startsWith("__") && (kind !== "func" || first.has(what)) === here));
  const primary = [
    ...types,
    ...imports.map((form) => form.text),
    ...[memory, table, ...of("global")].map((form) => form.text),
    ...keptData,
    ...elements(slots.filter(stays), table.name),
    ...own.map(([name, kind, what]) => `(export "${name}" (${kind} ${what}))`),
    ...shared.filter(({ as }) => !own.some(([name]) => name === as)).map(({ form, as, kind }) => `(export "${as}" (${kind} ${form.name}))`),
    ...sharedFunctions.filter(([name]) => !exportedAs.has(name)).map(([name, as]) => `(export "${as}" (func ${name}))`),
    ...[...first].filter((name) => functions.has(name)).map((name) => functions.get(name)),
  ];
  const secondary = [
    ...types,
    ...imports.filter((form) => called.includes(/\(func (\S+?)[\s)]/.exec(form.text)?.[1])).map((form) => form.text),
    ...shared.map(({ form, as, kind }) => `(import "core" "${as}" (${kind} ${form.name} ${declared(form.text)}))`),
    ...sharedFunctions.map(([name, as]) => `(import "core" "${as}" (func ${name} ${signature(functions.get(name))}))`),
    ...movedData,
    ...elements(slots.filter((slot) => !stays(slot)), table.name),
    `(export "${root}" (func ${exported.find(([name]) => name === root)[2]}))`,
    ...passedOn.map(([name, kind, what]) => `(export "${name}" (${kind} ${what}))`),
    ...secondOnes.map((name) => functions.get(name)),
  ];
  return [primary, secondary].map(module);
}

/** Is it an export for the other modules? Those of the crate have longer names. */
const isShared = (name) => name.length < 4;

const mentions = (text, name) => text.includes(`${name} `) || text.includes(`${name})`) || text.includes(`${name}\n`);

const module = (forms) => `(module\n ${forms.join("\n ")}\n)`;

/**
 * Puts each function of a module behind those that it is most like, by its runs of three words, so that compression finds one near the
 * other. It begins with the small ones: sorted by size alone they were 0.4 % larger, and as they came 3 %.
 */
function byLikeness(text) {
  const WINDOW = 30_000;
  const all = forms(text);
  const functions = all.filter(({ kind }) => kind === "func").map(({ text }) => ({ text, ...runs(text) }));
  const left = new Set(functions.sort((a, b) => a.text.length - b.text.length));
  const [out, near] = [[], new Map()];
  let [words, from] = [0, 0];
  const count = (run, change) => near.set(run, (near.get(run) ?? 0) + change);
  while (left.size) {
    let [next, most] = [undefined, -1];
    for (const one of left) {
      const likeness = one.runs.filter((run) => near.get(run)).length / one.runs.length;
      if (likeness > most) [next, most] = [one, likeness];
    }
    left.delete(next);
    out.push(next);
    next.runs.forEach((run) => count(run, 1));
    words += next.words;
    for (; words - out[from].words > WINDOW; words -= out[from++].words) out[from].runs.forEach((run) => count(run, -1));
  }
  return module([...all.filter(({ kind }) => kind !== "func"), ...out].map(({ text }) => text));
}

/** How many words a text has, and its runs of three of them, each once. */
function runs(text) {
  const words = text.match(/[^\s()]+/g);
  return { words: words.length, runs: [...new Set(words.slice(2).map((word, at) => `${words[at]} ${words[at + 1]} ${word}`))] };
}

/** The functions that these call, and those call, and so on; these among them, unless `depth` is 1. */
function callees(functions, names, depth = Infinity) {
  const out = new Set(depth === 1 ? [] : names);
  const todo = [...names];
  for (const name of todo) {
    for (const [, callee] of (functions.get(name) ?? "").matchAll(/\((?:return_call|call|ref\.func) (\$[^\s()]+)/g)) {
      if (out.has(callee)) continue;
      out.add(callee);
      if (depth > 1) todo.push(callee);
    }
  }
  return out;
}

/** The parameters and the result of a function, as an import declares them. */
const signature = (text) => /^\(func \S+((?: \((?:param|result|type) [^)]*\))*)/.exec(text)[1].replace(/\(param \$\S+ (\w+)\)/g, "(param $1)");

/** What an import says of a memory, a table or a global. */
const declared = (text) => /^\(\w+ \S+ (\(mut \w+\)|[^("]+)/.exec(text)[1].replace(/\)$/, "").replace(/^\(mut (\w+)$/, "(mut $1)");

/** Segments of the table, one for each run of slots. */
function elements(slots, table) {
  const runs = [];
  for (const [slot, name] of slots) {
    if (runs.at(-1)?.next === slot) runs.at(-1).names.push(name);
    else runs.push({ start: slot, names: [name] });
    runs.at(-1).next = slot + 1;
  }
  return runs.map(({ start, names }) => `(elem (table ${table}) (i32.const ${start}) func ${names.join(" ")})`);
}

/** Cuts the moved ranges out of the segments of static data. A short one stays: a segment has a head of its own. */
function divideData(segments, moved) {
  const SHORT = 16;
  const [kept, cut] = [[], []];
  const push = (to, at, bytes) => bytes.length && to.push(`(data (i32.const ${at}) ${quote(bytes)})`);
  for (const { text } of segments) {
    const start = Number(/\(i32\.const (\d+)\)/.exec(text)[1]);
    const bytes = unquote(text.slice(text.indexOf('"') + 1, text.lastIndexOf('"')));
    let at = start;
    const end = start + bytes.length;
    for (const [from, to] of moved.filter(([from, to]) => from >= start && to <= end && to - from >= SHORT)) {
      push(kept, at, bytes.subarray(at - start, from - start));
      push(cut, from, bytes.subarray(from - start, to - start));
      at = to;
    }
    push(kept, at, bytes.subarray(at - start));
  }
  return [kept, cut];
}

/** A module without its custom sections: wasm-opt would leave the relocations in, which are wrong by then. */
function withoutCustom(bytes) {
  return Buffer.concat([bytes.subarray(0, 8), ...sections(bytes).filter((one) => one.id !== CUSTOM).map((one) => bytes.subarray(one.start, one.end))]);
}

/** Runs a tool of the binaryen package. */
function binaryen(tool, args) {
  const require = createRequire(join(process.cwd(), "package.json"));
  const bin = join(dirname(require.resolve("binaryen/package.json")), "bin", tool);
  execFileSync(process.execPath, [bin, ...FEATURES, ...args], { stdio: ["ignore", "inherit", "inherit"] });
}

/** The modules that are divided off, from the last that is loaded: the name, and the export that only it has. Each needs those below it. */
const PARTS = [["realtime", "start_realtime"], ["more", "start_more"]];

function main([input, output]) {
  const work = mkdtempSync(join(tmpdir(), "picobase-split-"));
  try {
    const linked = readFileSync(input);
    const whole = join(work, "whole.wasm");
    writeFileSync(whole, withoutCustom(linked));
    binaryen("wasm-opt", [...OPTIMIZE, whole, "-o", whole]);
    binaryen("wasm-dis", [whole, "-o", join(work, "whole.wat")]);
    let rest = readFileSync(join(work, "whole.wat"), "utf8");
    const parts = PARTS.map(([name, root], at) => {
      const divided = divide(rest, root, reachable(linked, PARTS.slice(0, at + 1).map(([, root]) => root)));
      rest = divided[0];
      return [name, divided[1]];
    });
    mkdirSync(output, { recursive: true });
    for (const [name, text] of [["core", rest], ...parts]) {
      const source = join(work, "part.wat");
      writeFileSync(source, byLikeness(text));
      binaryen("wasm-opt", [source, ...FINISH, "-o", join(output, `${name}.wasm`)]);
    }
  } finally {
    rmSync(work, { recursive: true });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) main(process.argv.slice(2));

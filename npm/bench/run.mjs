/**
 * Measures the built package against PocketBase's SDK and against requests made by hand, in Node and in Chromium.
 *
 *   node bench/run.mjs [--out FILE] [--only TEXT]
 *
 * `cargo xtask bench js` builds what it needs and runs it. What the rows are and how to read them stands in
 * tests/bench/README.md. By itself it needs PICOBASE_TESTKIT_BIN and PICOBASE_TEST_SERVER_BINARY, and PICOBASE_BENCH_BIN
 * for the burst: where `picobase-bench` is, whose server repeats it.
 */
import { fork, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { openBrowser } from "./browser.mjs";
import { Report } from "./report.mjs";
import { RECORDS } from "./sides.mjs";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const { values: options } = parseArgs({ options: { out: { type: "string" }, only: { type: "string", default: "" } } });

/**
 * What is measured: the side's method, its name, how many rounds of how many calls, how many before them to warm up (a process
 * of Node needs some thousand calls until its compilers are done), which cost, what it must hold, and a floor.
 */
const inNode = [
  { row: "get_one", name: "get_one", warm: 25, rounds: 40, calls: 200, unit: "µs CPU", budget: 0.45, floor: "http" },
  { row: "list", name: "list of 500", warm: 15, rounds: 40, calls: 16, unit: "µs CPU", budget: 0.8, floor: "http" },
  { row: "full_list", name: "full list of 5000", warm: 10, rounds: 30, calls: 1, unit: "µs wall", budget: 1, floor: "http" },
  { row: "burst", name: "burst of 18000 events", warm: 4, rounds: 14, calls: 1, unit: "µs CPU", budget: 0.6, floor: "http", each: 18_000 },
];
const inPages = [
  { row: "get_one", name: "get_one, Chromium", warm: 5, rounds: 40, calls: 50, unit: "µs wall", budget: 1.05, floor: "fetch" },
  { row: "list", name: "list of 500, Chromium", warm: 5, rounds: 40, calls: 6, unit: "µs wall", budget: 1.05, floor: "fetch" },
];
const wanted = (rows) => rows.filter(({ name }) => name.includes(options.only));
const peers = { pocketbase: "pocketbase", http: "bare node:http", fetch: "bare fetch" };

/** Starts a program that says its first line when it is ready and ends when its input does. */
async function service(program, ...args) {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  const failed = new Promise((_, reject) => {
    child.on("error", (error) => reject(new Error(`${program} cannot be started: ${error.message}`)));
    child.on("exit", (code) => reject(new Error(`${program} ended with ${code}`)));
  });
  const [line] = await Promise.race([once(createInterface(child.stdout), "line"), failed]);
  failed.catch(() => {});
  return { line, end: () => child.stdin.end() };
}

/** A path that the environment has to name. */
function named(variable) {
  const path = process.env[variable];
  if (!path) throw new Error(`${variable} is not set: run \`cargo xtask bench js\`, which sets it`);
  return path;
}

/** A server with records, and their ids. */
async function stage() {
  const kit = await service(named("PICOBASE_TESTKIT_BIN"));
  const { control } = JSON.parse(kit.line);
  const ask = async (path, body) => {
    const answer = await fetch(control + path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  const server = await ask("/servers", {});
  await ask(`/servers/${server.server_id}/seed`, { collection: "bulk", count: RECORDS });
  const page = await fetch(`${server.direct_url}/api/collections/bulk/records?perPage=1000&fields=id`);
  return { url: server.direct_url, ids: (await page.json()).items.map(({ id }) => id), end: kit.end };
}

/** A side in a process of its own. */
async function startSide(name, url, replay) {
  const child = fork(here("node.mjs"), [name, url, replay], { serialization: "advanced" });
  const gone = new Promise((_, reject) => child.on("exit", (code) => reject(new Error(`the side ${name} ended with ${code}`))));
  gone.catch(() => {});
  const next = async () => {
    const [told] = await Promise.race([once(child, "message"), gone]);
    if (told.error) throw new Error(`${name}: ${told.error}`);
    return told;
  };
  await next();
  return {
    batch(asked) {
      child.send(asked);
      return next();
    },
    end: () => child.kill(),
  };
}

/** Batches of all sides in turn; who begins changes, and the first ones warm up and do not count. */
async function takeTurns(sides, { row, warm, rounds, calls, unit }, ids) {
  const costs = sides.map(() => []);
  let next = 0;
  const cost = unit.endsWith("CPU") ? "cpu" : "wall";
  for (let round = -warm; round < rounds; round++) {
    const asked = { row, calls, ids: ids.slice(next, next + calls) };
    next = (next + calls) % (ids.length - calls);
    for (let i = 0; i < sides.length; i++) {
      const which = (i + Math.max(round, 0)) % sides.length;
      const took = await sides[which].batch(asked);
      if (round >= 0) costs[which].push(took[cost]);
    }
  }
  return costs;
}

/** Measures one row against the peer, and beside the floor. */
async function measure(report, of, row, ids) {
  const names = ["picobase", "pocketbase", ...(row.floor ? [row.floor] : [])];
  const sides = await Promise.all(names.map(of));
  try {
    const [ours, ...others] = await takeTurns(sides, row, ids);
    others.forEach((theirs, i) => {
      report.compare({ ...row, peer: peers[names[i + 1]], ours, theirs, per: row.each ?? row.calls, budget: i ? null : row.budget });
    });
  } finally {
    await Promise.all(sides.map((side) => side.end()));
  }
}

/** Processes that import a library and get one record. */
function measureStart(report, { url, ids }) {
  const run = (name, i) => {
    const { stdout, status, stderr } = spawnSync(process.execPath, [here("node.mjs"), name, url, url, ids[i]], { encoding: "utf8" });
    if (status) throw new Error(stderr);
    return Number(stdout);
  };
  const both = Array.from({ length: 15 }, (_, i) => (i % 2 ? [run("picobase", i), run("pocketbase", i)] : [run("pocketbase", i), run("picobase", i)].reverse()));
  const [ours, theirs] = [0, 1].map((side) => both.map((pair) => pair[side]));
  report.compare({ name: "import to first record", peer: "pocketbase", unit: "ms wall", ours, theirs, per: 1, budget: null });
}

async function inBrowser(report, { url, ids }) {
  const rows = wanted(inPages);
  if (!rows.length) return "";
  const browser = await openBrowser(url);
  try {
    for (const row of rows) await measure(report, (name) => browser.side(name), row, ids);
  } finally {
    await browser.end();
  }
  return `, Chromium ${browser.version}`;
}

async function main() {
  const report = new Report();
  const ends = [];
  try {
    const set = await stage();
    ends.push(set.end);
    for (const row of wanted(inNode)) {
      const replays = {};
      if (row.row == "burst") {
        for (const name of ["picobase", "pocketbase", row.floor]) {
          const replay = await service(named("PICOBASE_BENCH_BIN"), "replay");
          ends.push(replay.end);
          replays[name] = replay.line.trim();
        }
      }
      await measure(report, (name) => startSide(name, set.url, replays[name] ?? set.url), row, set.ids);
    }
    if ("import to first record".includes(options.only)) measureStart(report, set);
    const chromium = await inBrowser(report, set);
    const { length, 0: cpu } = cpus();
    report.machine = `${cpu.model}, ${length} cores, ${process.platform} ${release()} ${process.arch}, Node ${process.versions.node}${chromium}`;
  } finally {
    ends.forEach((end) => end());
  }
  report.print();
  if (options.out) writeFileSync(options.out, report.json());
}

await main();

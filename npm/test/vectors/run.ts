/** Reads the test vectors of the SDK family and runs every case. What they mean is said in their README. */
import { expect } from "vitest";
import type { PicoBaseError } from "@picobase/client";

export interface Case {
  name: string;
  in: any;
  out?: any;
  error?: { kind: string; status?: number; mentions?: string[]; not_mentions?: string[]; fix?: boolean };
  needs?: string[];
}

/** Runs one case: its `in`, and its `out` for topics that compare in ways of their own. {@link skipped}: this platform cannot. */
export type Run = (given: any, wanted: any) => unknown;

/** Thrown by a runner where the platform cannot do what the case needs; counted and told. */
export class Skipped extends Error {}

const texts = import.meta.glob("../../../tests/vectors/*.json", { query: "?raw", import: "default", eager: true }) as Record<string, string>;

/** The files by name, as text. */
const files = new Map(Object.entries(texts).map(([path, text]) => [path.slice(path.lastIndexOf("/") + 1), text]));

function read(file: string): any {
  const text = files.get(file);
  if (text === undefined) throw new Error(`there is no ${file}`);
  expect(/^[\x00-\x7f]*$/.test(text), `${file} is ASCII`).toBe(true);
  return JSON.parse(text);
}

/** No file, topic or case is left out in silence. */
export function nothingIsLeftOut(runners: Record<string, Run>): void {
  const index = read("index.json");
  expect([...files.keys()].filter((name) => name !== "index.json").sort()).toEqual(index.files.map((f: any) => f.file).sort());
  expect(Object.keys(runners).sort()).toEqual(index.files.map((f: any) => f.topic).sort());
  let sum = 0;
  for (const { file, topic, contract, cases } of index.files) {
    const vectors = read(file);
    expect([vectors.vectors, vectors.contract, vectors.cases.length], file).toEqual([topic, contract, cases]);
    sum += cases;
  }
  expect(sum).toBe(index.cases);
}

/** Runs every case of a topic, and fails with all that do not hold. Answers the names of those that cannot run here. */
export async function hold(topic: string, run: Run): Promise<string[]> {
  const { cases } = read(`${topic}.json`) as { cases: Case[] };
  const failures: string[] = [];
  const skipped: string[] = [];
  const names = new Set<string>();
  for (const one of cases) {
    if (names.has(one.name)) throw new Error(`two cases are called ${one.name}`);
    names.add(one.name);
    for (const need of one.needs ?? []) expect(need).toBe("ordered_objects");
    const why = await mistake(one, run);
    if (why instanceof Skipped) skipped.push(`${one.name} (${why.message})`);
    else if (why) failures.push(`${one.name}\n    in:   ${JSON.stringify(one.in)}\n    ${why}`);
  }
  if (failures.length) throw new Error(`${topic}: ${failures.length} of ${cases.length} fail:\n  ${failures.join("\n  ")}`);
  return skipped;
}

async function mistake(one: Case, run: Run): Promise<string | Skipped | undefined> {
  let came: any;
  try {
    came = await run(one.in, one.out);
  } catch (error) {
    if (error instanceof Skipped) return error;
    if (!one.error) return `want: ${JSON.stringify(one.out)}\n    came: ${(error as Error)?.stack ?? error}`;
    const wrong = wrongError(one.error, error as PicoBaseError);
    return wrong && `want: ${JSON.stringify(one.error)}\n    ${wrong}: ${(error as Error)?.stack ?? error}`;
  }
  if (!one.out) return `want: ${JSON.stringify(one.error)}\n    came: ${JSON.stringify(came)}`;
  const differ = Object.keys(one.out).filter((key) => !same(one.out[key], came?.[key] ?? null));
  if (differ.length) return `want: ${JSON.stringify(one.out)}\n    came: ${JSON.stringify(came)}\n    differ: ${differ}`;
}

/** What of an error is not as wanted. */
function wrongError(wanted: NonNullable<Case["error"]>, error: PicoBaseError): string {
  const wrong: string[] = [];
  if (error.kind !== wanted.kind) wrong.push(`other kind ${error.kind}`);
  if (error.status !== (wanted.status ?? (wanted.kind === "NotFound" ? 404 : 0))) wrong.push(`status ${error.status}`);
  const said = `${error.message} ${error.fix}`.toLowerCase();
  for (const mention of wanted.mentions ?? []) if (!said.includes(mention.toLowerCase())) wrong.push(`does not mention ${JSON.stringify(mention)}`);
  const shown = `${error} ${error.message} ${error.fix} ${error.url} ${error.stack} ${JSON.stringify(error)} ${Object.values(error)}`;
  for (const secret of wanted.not_mentions ?? []) if (shown.includes(secret)) wrong.push(`mentions ${JSON.stringify(secret)}`);
  if (wanted.fix && !error.fix) wrong.push("has no fix");
  return wrong.join(", ");
}

/** Equal as JSON values: the order of keys means nothing; missing is null. */
export function same(a: any, b: any): boolean {
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, n) => same(item, b[n]));
  if (a && typeof a === "object") {
    if (!b || typeof b !== "object" || Array.isArray(b)) return false;
    const keys = Object.keys(a);
    return keys.length === Object.keys(b).length && keys.every((key) => key in b && same(a[key], b[key]));
  }
  return a === b || (a === 0 && b === 0);
}

/** The core's pure functions, in the build of the module that exports them for tests. */
import { inject } from "vitest";

declare module "vitest" {
  interface ProvidedContext {
    /** Where that build lies; empty where there is none. */
    testModule: string;
  }
}

async function bytes(): Promise<BufferSource> {
  const path = inject("testModule");
  if (!path) throw new Error("there is no target/wasm/test.wasm: `cargo xtask test js` builds it");
  if (typeof document !== "undefined") return (await fetch(`/@fs${path}`)).arrayBuffer();
  const { readFile } = await import(/* @vite-ignore */ "node:fs/promises");
  return readFile(path);
}

/** Runs a case of `topic` on the core: its `in` to its `out`. */
export type Pure = (topic: string, given: unknown) => any;

export async function loadPure(): Promise<Pure> {
  const told: { ok: boolean; text: string }[] = [];
  let memory: WebAssembly.Memory;
  const nothing = () => 0;
  const imports = {
    now: nothing,
    uptime: nothing,
    random: nothing,
    effect: nothing,
    abort: nothing,
    ask: nothing,
    release: nothing,
    tell(what: number, _id: number, ptr: number, len: number) {
      told.push({ ok: what === 0, text: new TextDecoder().decode(new Uint8Array(memory.buffer, ptr, len)) });
    },
  };
  const { instance } = await WebAssembly.instantiate(await bytes(), { pb: imports });
  const { memory: own, reserve, pure } = instance.exports as any;
  memory = own;
  return (topic, given) => {
    const written = new TextEncoder().encode(JSON.stringify({ topic, in: given }));
    const ptr = reserve(written.length) >>> 0;
    new Uint8Array(memory.buffer).set(written, ptr);
    pure(ptr, written.length);
    const answer = told.pop();
    if (!answer?.ok) throw new Error(`the module knows no topic ${topic}`);
    const out = JSON.parse(answer.text);
    if (out.error) throw Object.assign(new Error(out.error.message), out.error);
    return out;
  };
}

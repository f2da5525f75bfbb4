/** Starts the testkit once for all tests of a run; it ends with this process, whose pipe it holds. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";
import type { Testkit } from "./kit.js";

declare module "vitest" {
  interface ProvidedContext {
    testkit: Testkit;
  }
}

const testModule = join(process.env.PICOBASE_WASM ?? fileURLToPath(new URL("../../../target/wasm", import.meta.url)), "test.wasm");
const built = fileURLToPath(new URL("../../../target/debug/picobase-testkit", import.meta.url));

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const binary = process.env.PICOBASE_TESTKIT_BIN ?? built;
  if (!existsSync(binary)) throw new Error(`no testkit at ${binary}: run \`cargo build -p picobase-testkit\`, or set PICOBASE_TESTKIT_BIN`);
  project.provide("testModule", existsSync(testModule) ? testModule : "");
  const kit = spawn(binary, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(kit, "exit");
  const first = once(createInterface(kit.stdout), "line");
  const line = await Promise.race([first, ended.then(([code]) => Promise.reject(new Error(`the testkit ended with ${code}`)))]);
  project.provide("testkit", JSON.parse(line[0]));
  return async () => {
    kit.stdin.end();
    await ended;
  };
}

/** The testkit: real servers, each behind a proxy that makes faults. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** Starts it; it ends with this process, or with `end`. */
export async function startTestkit() {
  const binary = process.env.PICOBASE_TESTKIT_BIN;
  if (!binary) throw new Error("PICOBASE_TESTKIT_BIN names no testkit: run `cargo xtask test js`");
  const child = spawn(binary, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "exit").then(() => Promise.reject(new Error("the testkit ended before it was ready")));
  const [line] = await Promise.race([once(createInterface(child.stdout), "line"), ended]);
  ended.catch(() => {}); // Later it is meant to.
  const { control, users, password } = JSON.parse(line);
  return {
    /** A fresh server; what a project has to know of it. */
    async server() {
      const answer = await fetch(`${control}/servers`, { method: "POST" });
      const { url, proxy_id } = await answer.json();
      return { url, faults: `${control}/proxies/${proxy_id}/faults`, email: users[0], password };
    },
    end: () => child.stdin.end(),
  };
}

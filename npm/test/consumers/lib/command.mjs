/** Other programs. */
import { spawn } from "node:child_process";

/** How long a program may take. */
const LIMIT = 300_000;

/** Runs a program and answers what it printed; fails with that where it fails. */
export function run(program, args, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { ...options, stdio: ["ignore", "pipe", "pipe"], timeout: LIMIT });
    let printed = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (printed += text));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) resolve(printed);
      else reject(new Error(`${program} ${args.join(" ")}: ${signal ?? `exit code ${code}`}\n${printed.trim()}`));
    });
  });
}

/** The module where files can be read: it stands beside the entry. Bundlers and tracers of servers find it by these URLs. */
import { readFileSync } from "node:fs";

export const moduleFromFile = (name: "core" | "realtime"): WebAssembly.Module =>
  new WebAssembly.Module(
    readFileSync(SPLIT && name == "realtime" ? new URL("./realtime.wasm", import.meta.url) : new URL("./core.wasm", import.meta.url)),
  );

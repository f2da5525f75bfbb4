/** Pages, whose module stands beside the script. */
import type { Platform } from "../core/platform.js";
import { page } from "./page.js";

/** Bundlers find the module by these URLs. */
export const browser: Platform = {
  ...page,
  async module(name) {
    const answer = await fetch(
      SPLIT && name == "realtime" ? new URL("./realtime.wasm", import.meta.url) : new URL("./core.wasm", import.meta.url),
    );
    // Compiling as it comes is refused where the server does not know the type.
    return answer.headers.get("content-type") == "application/wasm"
      ? WebAssembly.compileStreaming(answer)
      : WebAssembly.compile(await answer.arrayBuffer());
  },
};

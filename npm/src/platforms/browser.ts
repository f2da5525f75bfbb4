/** Pages, whose module stands beside the script. */
import type { Platform } from "../core/platform.js";
import { page } from "./page.js";
import { place } from "./place.js";

export const browser: Platform = {
  ...page,
  async module(name) {
    const answer = await fetch(place(name));
    if (answer.status >= 400) throw new Error(`${answer.url} answers ${answer.status}`);
    // Compiling as it comes is refused where the server does not know the type.
    return answer.headers.get("content-type") == "application/wasm"
      ? WebAssembly.compileStreaming(answer)
      : WebAssembly.compile(await answer.arrayBuffer());
  },
};

/** Where the modules stand: beside the entry. Bundlers and tracers of servers find them by these URLs, each written out. */
import type { ModuleName } from "../core/platform.js";

export const place = (name: ModuleName): URL =>
  name == "core"
    ? new URL("./core.wasm", import.meta.url)
    : name == "more"
      ? new URL("./more.wasm", import.meta.url)
      : new URL("./realtime.wasm", import.meta.url);

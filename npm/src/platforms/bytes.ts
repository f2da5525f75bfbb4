/** The modules as base64. A file of its own beside the entries of servers, loaded where the .wasm files cannot be read. */
import core from "./core.wasm?base64";
import more from "./more.wasm?base64";
import realtime from "./realtime.wasm?base64";
import type { ModuleName } from "../core/platform.js";

export const compile = (name: ModuleName): Promise<WebAssembly.Module> =>
  WebAssembly.compile(Uint8Array.from(atob({ core, more, realtime }[name]), (byte) => byte.charCodeAt(0)));

/** Deno and Bun: fetch, which is theirs and fast, and the module from its file. Deno asks for `--allow-read` for that; `./inline` needs none. */
import type { Platform } from "../core/platform.js";
import { moduleFromFile } from "./file.js";
import { server } from "./server.js";

export const deno: Platform = { ...server, module: moduleFromFile };

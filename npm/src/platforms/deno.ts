/** Deno and Bun: fetch, which is theirs and fast, and the module from its file, or as a script where Deno may not read. */
import type { Platform } from "../core/platform.js";
import { moduleFromFile } from "./file.js";
import { server } from "./server.js";

export const deno: Platform = { ...server, module: moduleFromFile };

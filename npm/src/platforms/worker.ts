/**
 * Workers of Cloudflare and edge functions of Vercel and Next.js. They compile no bytes: the modules are imported, and the
 * bundler brings them compiled. `?module` is how Next.js wants it said; wrangler takes both.
 */
import core from "./core.wasm?module";
import more from "./more.wasm?module";
import realtime from "./realtime.wasm?module";
import type { Platform } from "../core/platform.js";
import { server } from "./server.js";

export const worker: Platform = { ...server, module: (name) => ({ core, more, realtime })[name] };

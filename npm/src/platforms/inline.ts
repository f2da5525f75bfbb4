/**
 * The modules within the script, as base64: for bundlers that copy no assets. Runs in pages and on servers. It is a
 * third larger, and cannot be compiled while it loads.
 */
import type { Platform } from "../core/platform.js";
import { compile } from "./bytes.js";
import { page } from "./page.js";
import { server } from "./server.js";

/** Pages and their workers have a location; servers do not, but for Deno with `--location`. */
const inPage = () => "location" in globalThis && !("Deno" in globalThis);

/** Where it runs is asked when a client is made, not at import. */
export const inline = (): Platform => ({ ...(inPage() ? page : server), module: compile });

/** The package in workers of Cloudflare and in edge functions. */
import { entry } from "../entry.js";
import { worker } from "../platforms/worker.js";

export * from "../index.js";
export const createClient = /* @__PURE__ */ entry(worker);

/** The package in Deno and Bun. */
import { entry } from "../entry.js";
import { deno } from "../platforms/deno.js";

export * from "../index.js";
export const createClient = /* @__PURE__ */ entry(deno);

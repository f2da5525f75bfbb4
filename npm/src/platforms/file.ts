/** The module where files can be read: it stands beside the entry. Bundlers and tracers of servers find it by these URLs. */
import { readFileSync } from "node:fs";
import type { ModuleName } from "../core/platform.js";
import { place } from "./place.js";

/** Servers that make a client for each request compile once all the same. */
const compiled: { [name in ModuleName]?: WebAssembly.Module } = {};

export const moduleFromFile = (name: ModuleName): WebAssembly.Module | Promise<WebAssembly.Module> => {
  try {
    return (compiled[name] ??= new WebAssembly.Module(readFileSync(place(name))));
  } catch {
    // A bundler has left it behind (esbuild), or taken its URL for one that pages fetch (Next.js in server components). Scripts
    // that are imported they all bring along.
    return import("./bytes.js").then(async ({ compile }) => (compiled[name] = await compile(name)));
  }
};

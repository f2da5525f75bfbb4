/** The module where files can be read: it stands beside the entry. Bundlers and tracers of servers find it by these URLs. */
import { readFileSync } from "node:fs";
import type { ModuleName } from "../core/platform.js";
import { place } from "./place.js";

export const moduleFromFile = (name: ModuleName): WebAssembly.Module => new WebAssembly.Module(readFileSync(place(name)));

/** Both sides in a page; esbuild bundles it, and `run.mjs` calls `batch`. */
import PocketBase from "pocketbase";
import { createClient } from "@picobase/client";
import { bare, byFetch, picobase, pocketbase } from "./sides.mjs";

const url = new URLSearchParams(location.search).get("server");
const sides = {
  picobase: () => picobase(createClient, url),
  pocketbase: () => pocketbase(PocketBase, url),
  fetch: () => bare(byFetch, url),
};
const side = sides[location.hash.slice(1)]();

/** Does a batch; the time on the wall, in microseconds for all calls together. */
globalThis.batch = async ({ row, calls, ids }) => {
  const began = performance.now();
  for (let i = 0; i < calls; i++) await side[row](ids[i % ids.length]);
  return { wall: (performance.now() - began) * 1000 };
};

import { readdirSync } from "node:fs";
import { Miniflare } from "miniflare";

const files = readdirSync("dist");
const wasm = files.filter((file) => file.endsWith(".wasm"));
const flare = new Miniflare({
  modulesRoot: "dist",
  modules: [
    { type: "ESModule", path: "dist/worker.js" },
    ...wasm.map((file) => ({ type: "CompiledWasm", path: `dist/${file}` })),
  ],
  compatibilityDate: "2026-04-01",
});
try {
  const answer = await flare.dispatchFetch("http://localhost/", { method: "POST", body: process.env.PICOBASE_CONSUMER });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  console.log(text);
} finally {
  await flare.dispose();
}

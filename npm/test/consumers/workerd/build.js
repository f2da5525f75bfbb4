// Bundles as wrangler does: for the condition workerd, modules of WebAssembly beside the script.
import { build } from "esbuild";

await build({
  entryPoints: ["worker.js"],
  bundle: true,
  format: "esm",
  outdir: "dist",
  conditions: ["workerd", "worker", "browser"],
  loader: { ".wasm": "copy" },
  assetNames: "[name]",
  logLevel: "warning",
});

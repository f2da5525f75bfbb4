// Bundles as wrangler does: for the condition workerd, with modules of WebAssembly beside the script, whose imports may say
// `?module`.
import { cpSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { build } from "esbuild";

const compiledWasm = {
  name: "compiled-wasm",
  setup({ onResolve, initialOptions }) {
    onResolve({ filter: /\.wasm(\?module)?$/ }, ({ path, importer }) => {
      const file = path.replace("?module", "");
      cpSync(join(dirname(importer), file), join(initialOptions.outdir, basename(file)));
      return { path: `./${basename(file)}`, external: true };
    });
  },
};

await build({
  entryPoints: ["worker.js"],
  bundle: true,
  format: "esm",
  outdir: "dist",
  conditions: ["workerd", "worker", "browser"],
  plugins: [compiledWasm],
  logLevel: "warning",
});

import node from "@astrojs/node";
import react from "@astrojs/react";
import { defineConfig } from "astro/config";

// The names under which the site is reached; SITE_HOST when it is built for the world. Astro takes forms from these only.
const hostnames = ["localhost", process.env.SITE_HOST].filter((name) => name !== undefined);

export default defineConfig({
  output: "server",
  adapter: node({ mode: "standalone" }),
  integrations: [react()],
  security: { allowedDomains: hostnames.map((hostname) => ({ hostname })) },
  vite: {
    // Vite before 8 loses the module of a package that its dev server bundles.
    optimizeDeps: { exclude: ["@picobase/client"] },
    // Only in this repository, where the package lies outside of the site and would be taken for a part of it.
    server: { fs: { allow: [".", "../../npm"] } },
    ssr: { external: ["@picobase/client"] },
  },
  devToolbar: { enabled: false },
});

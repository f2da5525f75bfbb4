import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [react()],
  // Only in this repository, where the package lies outside of the app.
  server: { fs: { allow: [".", "../../npm"] } },
});

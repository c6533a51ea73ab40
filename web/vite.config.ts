import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The bundle is part of the gateway's package, so that running EDGECORE needs no Node. File names carry no hashes:
// the gateway serves them with ETags, and a rebuild of the same sources gives the same files.
export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../services/gateway/src/edgecore_gateway/studio",
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    rollupOptions: {
      output: {
        entryFileNames: "assets/studio.js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/studio[extname]",
      },
    },
  },
  server: { proxy: { "/api": { target: "http://127.0.0.1:8080", ws: true } } },
});

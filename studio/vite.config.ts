import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// The built files are committed and compared byte by byte, so their names hold no hashes.
export default defineConfig({
  base: "/studio/",
  plugins: [svelte()],
  build: {
    outDir: "../chronotope/serve/studio/built",
    emptyOutDir: true,
    assetsDir: "",
    cssCodeSplit: false,
    modulePreload: false,
    target: "es2022",
    rollupOptions: {
      output: {
        entryFileNames: "studio.js",
        chunkFileNames: "[name].js",
        assetFileNames: "studio[extname]",
      },
    },
  },
  // `npm run dev` beside a `chronotope serve` at its usual address
  server: {
    proxy: { "/v1": "http://127.0.0.1:8000", "/health": "http://127.0.0.1:8000", "/ready": "http://127.0.0.1:8000" },
  },
});

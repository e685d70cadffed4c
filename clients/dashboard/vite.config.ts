import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

// File names carry no hash and the build reads no clock, so that the same sources give the same bytes: the built
// files are committed and a test compares them with a rebuild.
export default defineConfig({
  base: "./",
  resolve: {
    alias: {
      "itsbox-client": here("../typescript/src/index.ts"),
      "openapi-fetch": here("./node_modules/openapi-fetch"),
    },
  },
  build: {
    outDir: here("../../service/itsbox/static"),
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    cssCodeSplit: false,
    rolldownOptions: {
      output: {
        entryFileNames: "assets/dashboard.js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/dashboard[extname]",
      },
    },
  },
  worker: {
    format: "es",
    rolldownOptions: { output: { entryFileNames: "assets/stream-worker.js" } },
  },
  server: { proxy: { "/v1": { target: "http://127.0.0.1:8321", ws: true } } },
  test: {
    environment: "happy-dom",
    include: ["test/**/*.test.ts", "test/**/*.test.tsx"],
  },
});

// Bundles the page into web/dist (or the folder given), which is committed: `npm run build` after a change.
// Three bundles, so that the first paint waits for the smallest alone: app.js, rich.js (answers), charts.js.
import { build } from "esbuild";
import { copyFileSync, mkdirSync, readFileSync, rmSync } from "node:fs";

const out = process.argv[2] ?? "dist";

// KaTeX's fonts that formulas of chats are made of; letters of the others fall back on them.
const fonts = ["AMS-Regular", "Main-Regular", "Main-Bold", "Math-Italic", "Size1-Regular", "Size2-Regular",
  "Size3-Regular", "Size4-Regular"];

const katexFonts = {
  name: "katex-fonts",
  setup(build) {
    build.onLoad({ filter: /katex\.min\.css$/ }, ({ path }) => ({
      loader: "css",
      contents: readFileSync(path, "utf8").replace(/@font-face\{[^}]*\}/g, (face) => {
        const name = /KaTeX_([\w-]+)\.woff2/.exec(face)?.[1];
        return fonts.includes(name) ? face.replace(/src:[^;}]*/, `src:url(/page/KaTeX_${name}.woff2) format("woff2")`) : "";
      }),
    }));
  },
};

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
await build({
  entryPoints: { app: "src/main.tsx", rich: "src/rich.ts", charts: "src/charts.ts" },
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome109", "firefox115", "safari16"],
  jsx: "automatic",
  jsxImportSource: "preact",
  external: ["/page/*"],
  legalComments: "none",
  charset: "utf8",
  logLevel: "warning",
  plugins: [katexFonts],
});
for (const font of fonts) copyFileSync(`node_modules/katex/dist/fonts/KaTeX_${font}.woff2`, `${out}/KaTeX_${font}.woff2`);
for (const file of ["index.html", "icon.svg"]) copyFileSync(file, `${out}/${file}`);

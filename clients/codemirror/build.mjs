/**
 * Builds CodeMirror for the workflow editor into dashboard/static/vendor, and names the packages in its manifest. The
 * versions are those of package-lock.json, so a build without changes writes the same file.
 */
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const OUTPUT = process.env.BECKON_VENDOR_OUTPUT || join(HERE, "../../dashboard/static/vendor");
const lock = JSON.parse(readFileSync(join(HERE, "package-lock.json"), "utf8")).packages;
const packages = Object.entries(lock)
  .filter(([path, entry]) => path && !entry.dev)
  .map(([path, { version }]) => `${path.slice("node_modules/".length)}@${version}`)
  .sort();

const version = lock["node_modules/@codemirror/view"].version;
const { outputFiles: [script] } = await build({
  entryPoints: [join(HERE, "index.js")],
  bundle: true,
  minify: true,
  write: false,
  format: "esm",
  target: "es2020",
  legalComments: "none",
});
const licence = packages
  .map((name) => {
    const folder = join(HERE, "node_modules", name.slice(0, name.lastIndexOf("@")));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    return `${name}\n\n${file ? readFileSync(join(folder, file), "utf8").trim() : "MIT"}\n`;
  })
  .join("\n----\n\n");

const manifestFile = join(OUTPUT, "manifest.json");
const manifest = JSON.parse(readFileSync(manifestFile, "utf8"));
for (const name of Object.keys(manifest)) {
  if (!name.startsWith("codemirror-")) continue;
  rmSync(join(OUTPUT, name), { force: true });
  delete manifest[name];
}
for (const [name, content] of [[`codemirror-${version}.min.js`, script.contents], [`codemirror-${version}.LICENSE`, licence]]) {
  writeFileSync(join(OUTPUT, name), content);
  const sha384 = "sha384-" + createHash("sha384").update(content).digest("base64");
  manifest[name] = { from: `clients/codemirror: ${packages.join(", ")}`, sha384 };
}
writeFileSync(manifestFile, JSON.stringify(manifest, null, 2) + "\n");

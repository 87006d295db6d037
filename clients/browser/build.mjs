/**
 * Builds the script of customers' pages into dashboard/static/browser, with a manifest that tests compare without Node.
 * The version is the package's with the first digits of the sources' hash: a file's content never changes under its name.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const OUTPUT = process.env.BECKON_BROWSER_OUTPUT || join(HERE, "../../dashboard/static/browser");
const SOURCES = ["build.mjs", "package.json", "package-lock.json", "tsconfig.json", ...listSources()];
const ENTRIES = { script: ["index.js", "beckon"], preview: ["preview.js", "beckon-preview"] };

function listSources() {
  return readdirSync(join(HERE, "src")).sort().map((name) => `src/${name}`);
}

/** SHA-256 over every source's name and content, in the order of SOURCES. */
function hashSources() {
  const hash = createHash("sha256");
  for (const name of SOURCES) hash.update(name).update("\0").update(readFileSync(join(HERE, name))).update("\0");
  return hash.digest("hex");
}

function bundle(entry, version) {
  return build({
    entryPoints: [join(HERE, "src", entry)],
    bundle: true,
    minify: true,
    write: false,
    format: "iife",
    target: "es2018",
    legalComments: "none",
    define: { "globalThis.BECKON_VERSION": JSON.stringify(version) },
  });
}

/** Remove the earlier builds of this version of the package, which were never released. */
function removeEarlierBuilds(version) {
  const pattern = new RegExp(`^beckon(-preview)?-${version.replaceAll(".", "\\.")}-[0-9a-f]+\\.js$`);
  for (const name of readdirSync(OUTPUT)) if (pattern.test(name)) rmSync(join(OUTPUT, name));
}

const source = hashSources();
const release = JSON.parse(readFileSync(join(HERE, "package.json"), "utf8")).version;
const version = `${release}-${source.slice(0, 8)}`;
const manifest = { version, source };

mkdirSync(OUTPUT, { recursive: true });
removeEarlierBuilds(release);
for (const [kind, [entry, name]] of Object.entries(ENTRIES)) {
  if (!existsSync(join(HERE, "src", entry))) continue;
  const file = `${name}-${version}.js`;
  const [{ contents }] = (await bundle(entry, version)).outputFiles;
  writeFileSync(join(OUTPUT, file), contents);
  manifest[kind] = { file, integrity: "sha384-" + createHash("sha384").update(contents).digest("base64") };
}
writeFileSync(join(OUTPUT, "manifest.json"), JSON.stringify(manifest, null, 2) + "\n");

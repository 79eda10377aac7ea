import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { build, type Plugin } from 'esbuild';
import { end, executableOf, firstMatch, type Served } from './runtimes.ts';

/** What an example says of itself, as wrangler reads it. */
interface WranglerConfig {
  readonly main: string;
  readonly compatibility_date: string;
  readonly compatibility_flags?: readonly string[];
  readonly assets?: { readonly binding: string };
  readonly vars?: Readonly<Record<string, string>>;
}

/** A Worker as wrangler uploads it: one script, and the WebAssembly modules that it imports. */
export interface Bundle {
  readonly script: Uint8Array;
  /** Names, and where their bytes are. */
  readonly modules: ReadonlyMap<string, string>;
}

/** Bundles an example as wrangler does: for the conditions of Workers, .wasm files as modules beside the script. */
export async function bundleWorker(folder: string, minify = false): Promise<Bundle> {
  const modules = new Map<string, string>();
  const { outputFiles } = await build({
    entryPoints: [path.join(folder, configOf(folder).main)],
    bundle: true,
    minify,
    format: 'esm',
    target: 'es2022',
    platform: 'browser',
    conditions: ['workerd', 'worker', 'browser'],
    write: false,
    tsconfigRaw: {}, // the paths of tsconfig.json lead to the sources
    plugins: [wasmModules(modules)],
    logLevel: 'silent',
  });
  return { script: outputFiles[0].contents, modules };
}

/** Runs an example in workerd on a free port; `assets` is the folder behind its binding. */
export async function serveWorker(
  folder: string,
  { assets, vars = {} }: { assets?: string; vars?: Readonly<Record<string, string>> } = {},
): Promise<Served> {
  const config = configOf(folder);
  const { script, modules } = await bundleWorker(folder);
  const place = mkdtempSync(path.join(os.tmpdir(), 'ddpm-wasm-worker-'));
  writeFileSync(path.join(place, 'index.js'), script);
  for (const [name, file] of modules) copyFileSync(file, path.join(place, name));
  const names = [...modules.keys()];
  writeFileSync(path.join(place, 'config.capnp'), capnp(config, names, { assets, vars: { ...config.vars, ...vars } }));

  const args = ['serve', 'config.capnp', '--control-fd=3', '--socket-addr=http=127.0.0.1:0'];
  const child = spawn(executableOf('workerd')!, args, { cwd: place, stdio: ['ignore', 'inherit', 'inherit', 'pipe'] });
  const stop = async () => {
    await end(child);
    rmSync(place, { recursive: true });
  };
  const control = child.stdio[3] as NodeJS.ReadableStream;
  const port = await firstMatch(child, control, /"event":"listen","socket":"http","port":(\d+)/);
  return { url: `http://127.0.0.1:${port}`, child, stop };
}

function configOf(folder: string): WranglerConfig {
  return JSON.parse(readFileSync(path.join(folder, 'wrangler.jsonc'), 'utf8'));
}

/** Leaves imports of .wasm files to the runtime, which gives a WebAssembly.Module for each. */
function wasmModules(modules: Map<string, string>): Plugin {
  const resolved = Symbol('resolved');
  return {
    name: 'wasm modules',
    setup: ({ onResolve, resolve }) =>
      onResolve({ filter: /\.wasm$/ }, async ({ path: name, resolveDir, kind, importer, pluginData }) => {
        if (pluginData === resolved) return undefined;
        const found = await resolve(name, { resolveDir, kind, importer, pluginData: resolved });
        modules.set(path.basename(found.path), found.path);
        return { path: path.basename(found.path), external: true };
      }),
  };
}

/** The same for workerd itself, in its own language. */
function capnp(
  { compatibility_date, compatibility_flags = [], assets: binding }: WranglerConfig,
  modules: readonly string[],
  { assets, vars }: { assets?: string; vars: Readonly<Record<string, string>> },
): string {
  const text = JSON.stringify;
  const files = modules.map((name) => `(name = ${text(name)}, wasm = embed ${text(name)})`);
  const bindings = Object.entries(vars).map(([name, value]) => `(name = ${text(name)}, text = ${text(value)})`);
  if (binding) bindings.push(`(name = ${text(binding.binding)}, service = "assets")`);
  const disk = assets ? `(name = "assets", disk = (path = ${text(path.resolve(assets))})),` : '';
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker), ${disk}
    (name = "internet", network = (allow = ["private"])),
  ],
  sockets = [(name = "http", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [(name = "index.js", esModule = embed "index.js"), ${files.join(', ')}],
  compatibilityDate = ${text(compatibility_date)},
  compatibilityFlags = ${text(compatibility_flags)},
  bindings = [${bindings.join(', ')}],
);`;
}

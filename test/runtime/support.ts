import { execFile } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('../../', import.meta.url));

interface Surroundings {
  /** An empty folder to run in. */
  readonly folder: string;
  /** The packages that are installed there; others cannot be found. */
  readonly packages: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a script, which may import sources of the repository, in a Node of its own, and gives what it prints. */
export async function runBundled(script: string, { folder, packages, env }: Surroundings): Promise<string> {
  const main = path.join(folder, 'main.mjs');
  await build({
    stdin: { contents: script, resolveDir: root, loader: 'ts' },
    bundle: true,
    format: 'esm',
    platform: 'node',
    outfile: main,
    external: ['onnxruntime-node', 'onnxruntime-web', './engineBytes.ts'],
    alias: { '#runtime': path.join(root, 'src/runtime/node.ts') },
    logLevel: 'error',
  });
  mkdirSync(path.join(folder, 'node_modules'), { recursive: true });
  for (const name of packages)
    symlinkSync(path.join(root, 'node_modules', name), path.join(folder, 'node_modules', name), 'dir');
  const { stdout } = await promisify(execFile)(process.execPath, [main], { env: { ...process.env, ...env } });
  return stdout;
}

// From nothing to the first image, of a server in Node and of a Worker. Each checks its image before it is timed.
// Run it with: npm run build && npx tsx bench/coldStart.ts
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { executableOf, type Served, serveExample } from '../test/support/runtimes.ts';
import { serveWorker } from '../test/support/workerd.ts';
import { type Figure, printFigures } from './figure.ts';

const cli = path.resolve('dist/cli/main.js');
const query = '/v1/samples?count=1&sampler=ddim&steps=1';
const repeats = 3;

/** `ddpm-wasm serve` and examples/worker, one image of one step of the bundled model. */
export async function serverColdStart(): Promise<Figure[]> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'ddpm-wasm-'));
  try {
    const command = [process.execPath, cli, 'serve', '--port', '0', '--device', 'cpu'];
    const node = await fastest(() => serveExample(command), sampled(folder, 'cpu'));
    const figures = [
      { name: 'cold start: ddpm-wasm serve, process start to first image', value: node.fromStart, unit: 'ms' },
      { name: 'the same, first request', value: node.first, unit: 'ms' },
    ];
    if (!executableOf('workerd')) return figures;
    run(['convert', 'fashion', '--out', path.join(folder, 'fashion.ddpm')]);
    const worker = await fastest(() => serveWorker('examples/worker', { assets: folder }), sampled(folder, 'wasm'));
    return [
      ...figures,
      { name: 'cold start: workerd, first request', value: worker.first, unit: 'ms' },
      { name: 'the same, second request', value: worker.second, unit: 'ms' },
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Times {
  readonly fromStart: number;
  readonly first: number;
  readonly second: number;
}

/** The least of each time, as others use the machine, too. */
async function fastest(start: () => Promise<Served>, expected: Buffer): Promise<Times> {
  const times: Times[] = [];
  for (let i = 0; i < repeats; i++) times.push(await timed(start, expected));
  const least = (key: keyof Times) => Math.min(...times.map((time) => time[key]));
  return { fromStart: least('fromStart'), first: least('first'), second: least('second') };
}

async function timed(start: () => Promise<Served>, expected: Buffer): Promise<Times> {
  const begun = performance.now();
  const { url, stop } = await start();
  try {
    const ask = async () => {
      const asked = performance.now();
      const image = Buffer.from(await (await fetch(url + query)).arrayBuffer());
      const took = performance.now() - asked;
      if (!image.equals(expected)) throw new Error(`${url} gave other bytes than the command line`);
      return took;
    };
    const first = await ask();
    const fromStart = performance.now() - begun;
    return { fromStart, first, second: await ask() };
  } finally {
    await stop();
  }
}

/** What the command line writes for the same query. */
function sampled(folder: string, device: string): Buffer {
  const out = path.join(folder, `${device}.png`);
  run(['sample', '--count', '1', '--sampler', 'ddim', '--steps', '1', '--device', device, '--out', out]);
  return readFileSync(out);
}

function run(args: readonly string[]): void {
  const { status, stderr } = spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) printFigures(await serverColdStart());

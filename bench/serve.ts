// What the server gives under load: autocannon on loopback against `ddpm-wasm serve` with the bundled model, one image of
// ten steps a request. The server's CPUs are the clients' too. Run it with: npm run build && npx tsx bench/serve.ts
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import autocannon, { type Result } from 'autocannon';
import { type Figure, printFigures } from './figure.ts';

const cli = path.resolve('dist/cli/main.js');
const query = '/v1/samples?count=1&sampler=ddim&steps=10';
const seconds = 15;

/** Throughput of many clients over that of one, answers of overload, and how long checks of health take meanwhile. */
export async function serveFigures(): Promise<Figure[]> {
  const { url, child, started } = await startServer([]);
  try {
    const first = performance.now() - started;
    await checkBytes(url);
    const one = await load(url, 1);
    const [many, health] = await Promise.all([load(url, 64), checkHealth(url)]);
    const again = await load(url, 1);
    const rate = (result: Result) => result.requests.average;
    return [
      { name: 'serve: from process start to the first image', value: first, unit: 'ms' },
      { name: 'serve: one client', value: rate(one), unit: 'images/s' },
      { name: 'serve: 64 clients', value: rate(many), unit: 'images/s' },
      { name: 'serve: 64 clients over one', value: rate(many) / rate(one), unit: 'x', target: '>= 2' },
      { name: 'serve: p99 of /healthz meanwhile', value: health.latency.p99, unit: 'ms', target: '<= 50' },
      { name: 'serve: one client after over before', value: rate(again) / rate(one), unit: 'x' },
    ];
  } finally {
    child.kill('SIGTERM');
  }
}

/** Ten times what there is room for: only 200 and 503, and as much memory after as before. */
export async function overloadFigures(): Promise<Figure[]> {
  const { url, child } = await startServer(['--active', '16', '--queue', '16']);
  try {
    const before = await load(url, 1, 5);
    const memory = () => Number(readFileSync(`/proc/${child.pid}/statm`, 'utf8').split(' ')[1]) / 256;
    const warm = await load(url, 320, seconds);
    const held = memory();
    const result = await load(url, 320, 2 * seconds);
    const grown = memory() - held;
    const after = await load(url, 1, 5);
    const others = Object.keys(result.statusCodeStats ?? {}).filter((status) => !['200', '503'].includes(status));
    if (warm.errors + result.errors > 0 || others.length > 0)
      throw new Error(`overload gave ${result.errors} errors and statuses ${others.join(', ')}`);
    const count = (status: '200' | '503') => result.statusCodeStats?.[status]?.count ?? 0;
    return [
      { name: 'overload: answers 200', value: count('200') / result.duration, unit: '/s' },
      { name: 'overload: answers 503', value: count('503') / result.duration, unit: '/s' },
      { name: 'overload: memory after over before', value: grown, unit: 'MiB' },
      {
        name: 'overload: one client after over before',
        value: after.requests.average / before.requests.average,
        unit: 'x',
      },
    ];
  } finally {
    child.kill('SIGTERM');
  }
}

async function startServer(args: readonly string[]): Promise<{ url: string; child: ChildProcess; started: number }> {
  const started = performance.now();
  const child = spawn(process.execPath, [cli, 'serve', '--port', '0', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the server ended with ${code}`)));
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const { event, url } = JSON.parse(line);
      if (event === 'listening') resolve(url);
    });
  });
  await (await fetch(`${url}${query}`)).arrayBuffer();
  return { url, child, started };
}

/** Nothing is timed that is wrong: what is served is what the command line writes. */
async function checkBytes(url: string): Promise<void> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'ddpm-wasm-'));
  try {
    const out = path.join(folder, 'a.png');
    const flags = ['--count', '1', '--sampler', 'ddim', '--steps', '10', '--out', out];
    const { status, stderr } = spawnSync(process.execPath, [cli, 'sample', ...flags], { encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    const served = Buffer.from(await (await fetch(`${url}${query}`)).arrayBuffer());
    if (!served.equals(readFileSync(out))) throw new Error('the server gave other bytes than the command line');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function load(url: string, connections: number, duration = seconds): Promise<Result> {
  const result = await autocannon({ url: `${url}${query}`, connections, duration, timeout: 60 });
  if (result.requests.total === 0) throw new Error(`${connections} clients got no answer`);
  return result;
}

async function checkHealth(url: string): Promise<Result> {
  const result = await autocannon({ url: `${url}/healthz`, connections: 1, duration: seconds, overallRate: 50 });
  if (result.non2xx + result.errors > 0) throw new Error('a check of health failed');
  return result;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href)
  printFigures([...(await serveFigures()), ...(await overloadFigures())]);

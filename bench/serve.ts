// What the server gives under load: autocannon on loopback against `ddpm-wasm serve` with the bundled model, one image of
// ten steps a request. The server's CPUs are the clients' too. Run it with: npm run build && npx tsx bench/serve.ts
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import autocannon, { type Options, type Result } from 'autocannon';
import { type Figure, printFigures } from './figure.ts';

const cli = path.resolve('dist/cli/main.js');
const query = '/v1/samples?count=1&sampler=ddim&steps=10';
const seconds = 20;

/** Throughput of many clients over that of one, answers of overload, and how long checks of health take meanwhile. */
export async function serveFigures(): Promise<Figure[]> {
  const { url, child, started } = await startServer([]);
  try {
    const first = performance.now() - started;
    await checkBytes(url);
    const one = await load(url, { connections: 1, amount: 60 });
    const [many, health, idle] = await Promise.all([
      load(url, { connections: 64, amount: 640 }),
      checkHealth(`${url}/healthz`),
      withBareServer(checkHealth),
    ]);
    const again = await load(url, { connections: 1, amount: 60 });
    return [
      { name: 'serve: from process start to the first image', value: first, unit: 'ms' },
      { name: 'serve: one client', value: rate(one), unit: 'images/s' },
      { name: 'serve: 64 clients', value: rate(many), unit: 'images/s' },
      { name: 'serve: 64 clients over one', value: rate(many) / rate(one), unit: 'x', target: '>= 2' },
      { name: 'serve: p99 of /healthz meanwhile', value: health.latency.p99, unit: 'ms', target: '<= 50' },
      { name: 'serve: p99 of a bare server beside it', value: idle.latency.p99, unit: 'ms' },
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
    const before = await load(url, { connections: 1, amount: 30 });
    const memory = () => Number(readFileSync(`/proc/${child.pid}/statm`, 'utf8').split(' ')[1]) / 256;
    const warm = await load(url, { connections: 320, duration: seconds });
    const held = memory();
    const result = await load(url, { connections: 320, duration: 60 });
    const grown = memory() - held;
    const after = await load(url, { connections: 1, amount: 30 });
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
        value: rate(after) / rate(before),
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

/** Requests a second, by the time that all took: runs that share calls end together, and not every second. */
function rate({ requests, duration }: Result): number {
  return requests.total / duration;
}

async function load(url: string, options: Pick<Options, 'connections' | 'amount' | 'duration'>): Promise<Result> {
  const result = await autocannon({ url: `${url}${query}`, timeout: 60, ...options });
  if (result.requests.total === 0) throw new Error(`${options.connections} clients got no answer`);
  return result;
}

async function checkHealth(url: string): Promise<Result> {
  const result = await autocannon({ url, connections: 1, duration: seconds, overallRate: 50 });
  if (result.non2xx + result.errors > 0) throw new Error('a check of health failed');
  return result;
}

/** What the machine itself takes at the same time: a server that does nothing else, in a process of its own. */
async function withBareServer<T>(work: (url: string) => Promise<T>): Promise<T> {
  const script = `const server = require('http').createServer((_, response) => response.end('ok'));
    server.listen(0, '127.0.0.1', () => console.log(server.address().port));`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const [port] = await once(child.stdout, 'data');
    return await work(`http://127.0.0.1:${String(port).trim()}/`);
  } finally {
    child.kill();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href)
  printFigures([...(await serveFigures()), ...(await overloadFigures())]);

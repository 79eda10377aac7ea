import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createRemoteDenoiser } from '../../src/remote.ts';
import { ddpmWasm, temporaryFolder } from '../support/cli.ts';
import { serveCli } from '../support/server.ts';

const soon = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function gauge(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(text.match(new RegExp(`^${name} (.+)$`, 'm'))![1]);
}

/** Waits until so many images are sampled at the same time. */
async function activeImages(url: string, count: number): Promise<void> {
  while ((await gauge(url, 'ddpm_active_images')) !== count) await soon(10);
}

describe('ddpm-wasm serve', () => {
  it('gives the bytes that `sample` writes for the same seed, alone and beside others', async () => {
    const cwd = temporaryFolder();
    await ddpmWasm(['convert', 'fashion', '--out', 'f.ddpm'], { cwd });
    const { url } = await serveCli([path.join(cwd, 'f.ddpm'), '--device', 'cpu']);
    const query = 'seed=18446744073709551615&count=3&class=Sneaker,Bag,3&steps=4';
    const alone = await fetch(`${url}/v1/samples?${query}`);
    expect([alone.status, alone.headers.get('content-type')]).toEqual([200, 'image/png']);
    const others = Array.from({ length: 6 }, (_, i) => fetch(`${url}/v1/samples?seed=${i}&steps=${3 + i}`));
    const [beside, raw] = await Promise.all([
      fetch(`${url}/v1/samples?${query}&columns=2`),
      fetch(`${url}/v1/samples?${query}&format=raw`),
      ...others,
    ]);

    const flags = ['--seed', '18446744073709551615', '--count', 3, '--class', 'Sneaker,Bag,3', '--steps', 4];
    await ddpmWasm(['sample', ...flags, '--out', 'a.png', '--raw', 'a.safetensors', '--device', 'cpu'], { cwd });
    const file = (name: string) => new Uint8Array(readFileSync(path.join(cwd, name)));
    for (const response of [alone, beside]) expect(new Uint8Array(await response.arrayBuffer())).toEqual(file('a.png'));
    expect(new Uint8Array(await raw.arrayBuffer())).toEqual(file('a.safetensors'));
    expect(await gauge(url, 'ddpm_network_calls_total')).toBeLessThan(1 + 4 + 4 + 4 + (3 + 4 + 5 + 6 + 7 + 8));
  });

  it('answers checks of health while the network is busy, and stops for clients that went away', async () => {
    const { url } = await serveCli(['--device', 'cpu']);
    const client = new AbortController();
    const busy = fetch(`${url}/v1/samples?count=64&sampler=ddpm&steps=1000`, { signal: client.signal });
    const outcome = busy.then(
      () => 'done',
      () => 'gone',
    );
    await activeImages(url, 64);
    for (let i = 0; i < 5; i++) expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect(await Promise.race([outcome, soon(1)])).toBeUndefined();
    client.abort();
    expect(await outcome).toBe('gone');
    await activeImages(url, 0);
    const calls = await gauge(url, 'ddpm_network_calls_total');
    await soon(200);
    expect(await gauge(url, 'ddpm_network_calls_total')).toBe(calls);
  });

  it('told to stop, answers what it accepted or says that it cannot, logs that as JSON, and exits 0', async () => {
    const { child, url, log, exit } = await serveCli(['--active', 4, '--grace', 2, '--device', 'cpu']);
    const short = Array.from({ length: 4 }, (_, i) => fetch(`${url}/v1/samples?seed=${i}&steps=2`));
    const long = Array.from({ length: 3 }, (_, i) =>
      fetch(`${url}/v1/samples?seed=${i}&count=4&sampler=ddpm&steps=1000`),
    );
    const stream = await fetch(`${url}/v1/samples/stream?sampler=ddpm&steps=1000&every=1`);
    await activeImages(url, 4);
    child.kill('SIGTERM');
    const statuses = (await Promise.all([...short, ...long])).map(({ status }) => status);
    for (const status of statuses) expect([200, 503]).toContain(status);
    expect(statuses.slice(4)).toContain(503);
    const events = await stream.text();
    expect(events.includes('event: done') || events.includes('"code":"closing"')).toBe(true);
    expect(await exit).toBe(0);
    expect(log.map(({ event }) => event).filter((event) => event !== 'request')).toEqual([
      'listening',
      'stopping',
      'stopped',
    ]);
    expect(log.find(({ event }) => event === 'request')).toMatchObject({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      method: 'GET',
      client: '127.0.0.1',
      milliseconds: expect.any(Number),
    });
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
  });

  it('told to stop under load, answers or tells each of 60 requests, network calls too, within its grace', async () => {
    const { child, url, exit } = await serveCli(['--grace', 2, '--device', 'cpu', '--denoise']);
    const denoiser = createRemoteDenoiser(url, { retries: 0 });
    const x = { data: new Float32Array(16 * 784), shape: [16, 1, 28, 28] };
    const call = async () => denoiser(x, new Float32Array(16), { classLabels: new Uint8Array(16) });
    const told = (error: Error) =>
      Number(/the server answered (503): the server is about to stop/.exec(error.message)?.[1]);
    const called = () => call().then(() => 200, told);
    const sampled = async (seed: number) => {
      const steps = seed % 2 ? 50 : 500;
      return (await fetch(`${url}/v1/samples?seed=${seed}&count=2&steps=${steps}`)).status;
    };
    const running = Array.from({ length: 16 }, (_, i) => sampled(i));
    await activeImages(url, 32);
    const waiting = Array.from({ length: 44 }, (_, i) => (i % 2 ? called() : sampled(i)));
    while ((await gauge(url, 'ddpm_waiting_requests')) < 44) await soon(10);
    const started = performance.now();
    child.kill('SIGTERM');
    const statuses = await Promise.all([...running, ...waiting]);
    expect(await exit).toBe(0);
    expect(performance.now() - started).toBeLessThan(2000 + 3000);
    for (const status of statuses) expect([200, 503]).toContain(status);
    expect(statuses.slice(0, 16).filter((_, i) => i % 2 === 0)).toEqual(Array(8).fill(503));
  });

  it('killed at work leaves nothing to repair: started again on its port, it gives the same bytes', async () => {
    const cwd = temporaryFolder();
    const model = path.join(cwd, 'f.ddpm');
    await ddpmWasm(['convert', 'fashion', '--out', model]);
    const before = readFileSync(model);
    let port = '0';
    const sampled = new Set<string>();
    for (let i = 0; i < 3; i++) {
      const { child, url, exit } = await serveCli([model, '--device', 'cpu'], {}, port);
      port = new URL(url).port;
      const response = await fetch(`${url}/v1/samples?seed=5&steps=3&format=raw`);
      sampled.add(Buffer.from(await response.arrayBuffer()).toString('hex'));
      const broken = Promise.allSettled(
        [1, 2, 3].map((seed) => fetch(`${url}/v1/samples?seed=${seed}&count=8&steps=500`)),
      );
      await activeImages(url, 24);
      child.kill('SIGKILL');
      expect(await exit).toBeNull();
      expect((await broken).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    }
    expect(sampled.size).toBe(1);
    expect(readdirSync(cwd)).toEqual(['f.ddpm']);
    expect(readFileSync(model).equals(before)).toBe(true);
  });

  it('loads the model again where its thread crashes: not ready until then, and the same bytes after', async () => {
    const cwd = temporaryFolder();
    const [script, order] = [path.join(cwd, 'crash.cjs'), path.join(cwd, 'order')];
    // ends the thread of the network, and not the server, when there is such a file
    writeFileSync(
      script,
      `const { isMainThread } = require('node:worker_threads');
      const { existsSync, rmSync } = require('node:fs');
      const order = ${JSON.stringify(order)};
      const look = () => { if (existsSync(order)) { rmSync(order); process.exit(7); } };
      if (!isMainThread) setInterval(look, 10).unref();`,
    );
    const { url, child, exit } = await serveCli(['--device', 'cpu'], { NODE_OPTIONS: `--require ${script}` });
    const status = async () => (await fetch(`${url}/readyz`)).status;
    const becomes = async (code: number) => {
      while ((await status()) !== code) await soon(5);
    };
    const sampled = async () => {
      const response = await fetch(`${url}/v1/samples?seed=3&steps=2`);
      return [response.status, response.headers.get('etag'), Buffer.from(await response.arrayBuffer()).toString('hex')];
    };
    const crash = async () => {
      writeFileSync(order, '');
      while (existsSync(order)) await soon(5);
    };
    await becomes(200);
    const before = await sampled();
    expect(before[0]).toBe(200);
    await crash();
    await becomes(503);
    await becomes(200);
    expect(await sampled()).toEqual(before);
    // who asks before anyone has noticed waits for the new thread, or is told
    await crash();
    const asked = await sampled();
    expect(asked[0] === 503 ? before : asked).toEqual(before);
    await becomes(200);
    expect(await sampled()).toEqual(before);
    child.kill('SIGTERM');
    expect(await exit).toBe(0);
  });

  it('takes its token from a file or the environment', async () => {
    const file = path.join(temporaryFolder(), 'token');
    writeFileSync(file, 'from-a-file\n');
    for (const [args, env, token] of [
      [['--token-file', file], {}, 'from-a-file'],
      [[], { DDPM_WASM_TOKEN: 'from-env' }, 'from-env'],
    ] as const) {
      const { url, child, exit } = await serveCli([...args], env);
      expect((await fetch(`${url}/v1/model`)).status).toBe(401);
      const headers = { authorization: `Bearer ${token}` };
      expect((await fetch(`${url}/v1/model`, { headers })).status).toBe(200);
      child.kill('SIGINT');
      expect(await exit).toBe(0);
    }
  });

  it('listens on this machine only', async () => {
    const { url } = await serveCli([]);
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  });

  it.each([
    ['a model that is not there', ['nowhere'], 1, 'nowhere: expected a file, a folder or a bundled model'],
    ['a port that is none', ['--port', '70000'], 2, '"--port" expected an integer in 0..65535, got 70000'],
    ['a limit that is none', ['--max-count', '0'], 2, '"--max-count" expected an integer in 1..2147483647, got 0'],
    ['a batch that is none', ['--batch', '0'], 2, '"--batch" expected an integer in 1..4096, got 0'],
    ['network calls of no number', ['--denoise', 'x'], 2, '"--denoise" expected a number, got "x"'],
    ['a token that cannot be sent', ['--token-file', 'package.json'], 2, '"--token" expected letters, digits'],
    ['a file of none', ['--token-file', 'nowhere'], 1, '--token-file: cannot read nowhere: ENOENT'],
  ])('refuses %s in one line', async (_, args, code, message) => {
    const outcome = await ddpmWasm(['serve', ...args]);
    expect(outcome.stderr).toMatch(/^ddpm-wasm: [^\n]+\n$/);
    expect(outcome.stderr).toContain(message);
    expect(outcome).toMatchObject({ code, stdout: '' });
  });

  it('refuses a port that is taken in one line', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void taken.close());
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as { port: number };
    const outcome = await ddpmWasm(['serve', '--port', port]);
    expect(outcome).toEqual({
      code: 1,
      stdout: '',
      stderr: `ddpm-wasm: cannot listen on 127.0.0.1:${port}: it is in use\n`,
    });
  });
});

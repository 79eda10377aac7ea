import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { decode, decodeMulti } from '@msgpack/msgpack';
import { decode as decodePng } from 'fast-png';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readSafetensors, toFloat32 } from '../../src/onnx/safetensors.ts';
import { loadPipeline } from '../../src/pipeline.ts';
import { createRemoteDenoiser } from '../../src/remote.ts';
import type { ConcreteDevice } from '../../src/runtime/types.ts';
import { cli } from '../support/cli.ts';

/** A server of the bundled model, wherever it runs. */
export interface Place {
  readonly url: string;
  /** How to reach it, where that is not by a socket. */
  readonly fetch?: (request: Request) => Promise<Response>;
  close(): Promise<void>;
}

/** What the suite asks for that a place may do without. */
export interface Abilities {
  /** Whether bodies come as they are made. */
  readonly streams?: boolean;
}

const asked = { seed: '18446744073709551615', count: 3, class: 'Sneaker,Bag,3', steps: 3 };
const query = new URLSearchParams(Object.entries(asked).map(([key, value]) => [key, String(value)]));
const samples = `/v1/samples?${query}`;

/** The requests that every runtime answers alike, inside a `describe` of its own. */
export function runSuite(open: () => Promise<Place>, { streams = true }: Abilities = {}): void {
  let place: Place;
  let device: ConcreteDevice;
  let expected: { readonly png: Uint8Array; readonly raw: Float32Array };
  let takesCalls: boolean;
  const ask = async (path: string, init?: RequestInit): Promise<Response> => {
    const request = new Request(place.url + path, init);
    return place.fetch ? place.fetch(request) : fetch(request);
  };
  const bytes = async (path: string, init?: RequestInit) => new Uint8Array(await (await ask(path, init)).arrayBuffer());
  const active = async () => (await (await ask('/metrics')).text()).match(/^ddpm_active_images (\d+)$/m)![1];

  beforeAll(async () => {
    place = await open();
    const facts = await (await ask('/v1/model')).json();
    expect(facts).toMatchObject({ name: 'fashion', shape: [1, 28, 28], classes: 11, unconditional: 10 });
    device = facts.device;
    takesCalls = facts.limits.denoise > 0;
    expected = sampledByCli(device);
  });
  afterAll(async () => place?.close());

  it('is well, and is ready once the network has answered', async () => {
    expect(await (await ask('/healthz')).json()).toEqual({ status: 'ok' });
    await expect.poll(async () => (await ask('/readyz')).status, { timeout: 30_000 }).toBe(200);
  });

  it('gives the bytes of the PNG that the command line writes for the same seed', async () => {
    const response = await ask(samples);
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'image/png']);
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(expected.png);
  });

  it('gives the floats that the command line writes, and a PNG an image as JSON and MessagePack', async () => {
    const floats = toFloat32(readSafetensors(await bytes(`${samples}&format=raw`)).get('samples')!);
    expect(floats).toEqual(expected.raw);
    const json = await (await ask(`${samples}&format=json`)).json();
    const pack = decode(await bytes(`${samples}&format=msgpack`)) as typeof json;
    const about = { model: 'fashion', seed: asked.seed, count: 3, steps: 3, sampler: 'ddim', shape: [3, 1, 28, 28] };
    for (const body of [json, pack]) expect(body).toMatchObject(about);
    for (let i = 0; i < 3; i++) {
      const { data } = decodePng(pack.images[i]);
      expect(decodePng(Buffer.from(json.images[i].split(',')[1], 'base64')).data).toEqual(data);
      // toPixels' rule, to within the one level that its rounding to even may differ by from this
      const grey = Uint8Array.from(expected.raw.subarray(784 * i, 784 * (i + 1)), (v) =>
        Math.min(255, Math.max(0, Math.round((v / 2 + 0.5) * 255))),
      );
      for (const [k, level] of grey.entries()) expect(Math.abs(level - data[k])).toBeLessThanOrEqual(1);
    }
  });

  it('gives the same bytes to a POST of the same', async () => {
    const body = JSON.stringify({ ...asked, class: ['Sneaker', 'Bag', 3] });
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body };
    expect(await bytes('/v1/samples', init)).toEqual(expected.png);
    const unsaid = { ...init, body: new Blob([body]).stream(), duplex: 'half' } as RequestInit;
    expect(await bytes('/v1/samples', unsaid)).toEqual(expected.png);
  });

  it('knows by its ETag what a client has, and answers HEAD without a body', async () => {
    const head = await ask(samples, { method: 'HEAD' });
    const etag = head.headers.get('etag')!;
    expect([head.status, await head.text(), etag]).toEqual([200, '', expect.stringMatching(/^"[0-9a-f]{32}"$/)]);
    const again = await ask(samples, { headers: { 'if-none-match': etag } });
    expect([again.status, again.headers.get('etag'), await again.text()]).toEqual([304, etag, '']);
  });

  it('shows the steps on the way, and ends with the image', async () => {
    const response = await ask(`/v1/samples/stream?${query}&every=1`);
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const events = (await response.text()).trim().split('\n\n');
    expect(events.map((event) => event.split('\n')[0])).toEqual(['event: step', 'event: step', 'event: done']);
    const { image } = JSON.parse(events[2].split('\ndata: ')[1]);
    expect(new Uint8Array(Buffer.from(image.split(',')[1], 'base64'))).toEqual(expected.png);
    const packed = [...decodeMulti(await bytes(`/v1/samples/stream?${query}&every=1&format=msgpack`))] as object[];
    expect(packed.at(-1)).toMatchObject({ event: 'done', index: 2, image: expected.png });
  });

  it('gives requests at the same time what each gets alone', async () => {
    const queries = Array.from(
      { length: 5 },
      (_, i) => `/v1/samples?seed=${i}&steps=${2 + (i % 2)}&class=${i}&scale=1`,
    );
    const together = await Promise.all(queries.map((query) => bytes(query)));
    for (const [i, query] of queries.entries()) expect(await bytes(query)).toEqual(together[i]);
    expect(new Set(together.map((png) => Buffer.from(png).toString('hex'))).size).toBe(5);
  });

  it.runIf(streams)('goes on where clients leave, on the way and before', async () => {
    for (let i = 0; i < 3; i++) {
      const client = new AbortController();
      const stream = await ask('/v1/samples/stream?sampler=ddpm&steps=100&every=1', { signal: client.signal });
      await stream.body!.getReader().read();
      client.abort();
      const gone = new AbortController();
      const images = ask(`/v1/samples?seed=${i}&count=2&steps=10`, { signal: gone.signal });
      setTimeout(() => gone.abort(), 20);
      await images.catch(() => undefined);
    }
    await expect.poll(active, { timeout: 30_000, interval: 100 }).toBe('0');
    expect(await bytes(samples)).toEqual(expected.png);
  });

  it.each([
    ['/v1/samples?steps=0', 400, 'invalid-argument'],
    ['/v1/samples?class=Trousers', 400, 'invalid-argument'],
    ['/v1/samples?seed=18446744073709551616', 400, 'invalid-argument'],
    ['/v1/samples/stream?every=0', 400, 'invalid-argument'],
    ['/../../etc/passwd', 404, 'not-found'],
  ])('refuses %s with %i, as a problem', async (path, status, code) => {
    const response = await ask(path);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect([response.status, (await response.json()).code]).toEqual([status, code]);
  });

  it('refuses methods, types and bodies that it has no use for', async () => {
    const post = (body: BodyInit, type: string) => ({ method: 'POST', headers: { 'content-type': type }, body });
    const refused: [string, RequestInit, number][] = [
      ['/v1/samples', { method: 'DELETE' }, 405],
      ['/v1/samples', { method: 'PUT', body: 'x'.repeat(20_000) }, 405],
      ['/v1/samples', post('{}', 'text/plain'), 415],
      ['/v1/samples', post('{', 'application/json'), 400],
      ['/v1/samples', post(JSON.stringify('x'.repeat(20_000)), 'application/json'), 413],
    ];
    const endless = new Blob(['x'.repeat(20_000)]).stream();
    refused.push(['/v1/samples', { ...post(endless, 'application/json'), duplex: 'half' } as RequestInit, 413]);
    for (const [path, init, status] of refused) expect((await ask(path, init)).status, String(status)).toBe(status);
  });

  it('describes itself, and has a page without scripts', async () => {
    const { openapi, paths } = await (await ask('/openapi.json')).json();
    expect(openapi).toBe('3.1.0');
    expect(Object.keys(paths)).toEqual(expect.arrayContaining(['/v1/samples', '/v1/samples/stream', '/v1/model']));
    const page = await ask('/?seed=1');
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(await page.text()).toContain('<img src="v1/samples?seed=1"');
  });

  it('answers network calls as a network here does, to the bit, or has no such route', async () => {
    const pipeline = await loadPipeline('fashion', { device });
    const x = { data: expected.raw, shape: [3, 1, 28, 28] };
    const call = [x, Float32Array.of(0, 500, 999), { classLabels: [0, 7, 10] }] as const;
    const local = await pipeline.model.denoiser(...call);
    const remote = createRemoteDenoiser(place.url, { fetch: place.fetch });
    if (takesCalls) expect(await remote(...call)).toEqual(local);
    else await expect(remote(...call)).rejects.toThrow('the server answered 404');
    await pipeline.dispose();
  });
}

/** What `ddpm-wasm sample` writes for what the suite asks. */
function sampledByCli(device: ConcreteDevice): { png: Uint8Array; raw: Float32Array } {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'ddpm-wasm-suite-'));
  try {
    const flags = Object.entries(asked).flatMap(([key, value]) => [`--${key}`, String(value)]);
    const out = ['--device', device, '--out', 'a.png', '--raw', 'a.safetensors'];
    execFileSync(process.execPath, [cli, 'sample', ...flags, ...out], { cwd: folder, stdio: 'ignore' });
    const read = (name: string) => new Uint8Array(readFileSync(path.join(folder, name)));
    return { png: read('a.png'), raw: toFloat32(readSafetensors(read('a.safetensors')).get('samples')!) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

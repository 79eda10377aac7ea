import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeQuestion, encodeAnswer, encodeQuestion, frameType } from '../../src/core/denoiseFrame.ts';
import { isArgumentError } from '../../src/core/errors.ts';
import { encodeMsgpack } from '../../src/core/msgpack.ts';
import { createRemoteDenoiser } from '../../src/remote.ts';
import { type Ask, smallHandler } from './support.ts';

const keys = ['seed', 'count', 'steps', 'sampler', 'eta', 'class', 'guidance', 'columns', 'scale', 'format', 'every'];
const samplers = [
  'ddpm',
  'ddim',
  'dpm-solver++',
  'unipc',
  'heun',
  'euler',
  'edm',
  'lcm',
  'pndm',
  'euler-maruyama',
  'deis',
];
const key = fc.oneof({ arbitrary: fc.constantFrom(...keys), weight: 8 }, { arbitrary: fc.string(), weight: 1 });
const text = fc.oneof(
  fc.integer({ min: -2, max: 12 }).map(String),
  fc.constantFrom('json', 'msgpack', 'raw', 'png', 'sse', 'cat', 'cat,2', '0', '1e9', '-0', 'NaN', '٣', '0x10', ' 3'),
  fc.constantFrom(...samplers),
  fc.string(),
  fc.double().map(String),
  fc.bigInt({ min: 0n, max: 2n ** 70n }).map(String),
);
const json = fc.oneof(fc.integer({ min: -2, max: 12 }), text, fc.jsonValue({ maxDepth: 2 }));
const limits = { steps: 8, count: 4, pixels: 2 ** 15, body: 2000, seconds: 20 };

const images = fc.integer({ min: 1, max: 5 });
const question = (n: number, numbers: readonly number[]) => ({
  x: { data: Float32Array.from({ length: 64 * n }, (_, i) => numbers[i % numbers.length]), shape: [n, 1, 8, 8] },
  timesteps: Float32Array.from({ length: n }, (_, i) => i),
  classLabels: Array.from({ length: n }, (_, i) => i % 4),
});
const floats = fc.array(fc.float(), { minLength: 1, maxLength: 4 });
/** Frames as they should be, a few of more images than may be. */
const whole = fc.tuple(images, floats).map(([n, numbers]) => encodeQuestion(question(n, numbers)));
/** The same with bytes changed, or cut off. */
const changed = images.chain((n) => changesOf(encodeQuestion(question(n, [0.5]))));
/** Maps of the right keys and any values. */
const odd = fc.oneof(fc.integer(), fc.string(), fc.uint8Array({ maxLength: 600 }), fc.jsonValue({ maxDepth: 2 }));
const near = fc
  .record(
    {
      x: fc.oneof(
        odd,
        fc.record({ data: odd, shape: fc.array(fc.integer({ min: -1, max: 2 ** 31 }), { maxLength: 5 }) }),
      ),
      timesteps: odd,
      classLabels: fc.oneof(odd, fc.array(fc.integer({ min: -1, max: 5 }), { maxLength: 5 })),
    },
    { requiredKeys: [] },
  )
  .map((value) => encodeMsgpack(value));

function changesOf(bytes: Uint8Array) {
  const change = fc.tuple(fc.nat(Math.min(bytes.length, 120) - 1), fc.nat(255));
  return fc.tuple(fc.array(change, { maxLength: 4 }), fc.option(fc.nat(bytes.length))).map(([changes, end]) => {
    const copy = bytes.slice();
    for (const [at, value] of changes) copy[at] = value;
    return copy.subarray(0, end ?? copy.length);
  });
}

/** A request that is answered or refused: never an error of ours, never a wait without end. */
async function harmless(ask: Ask, path: string, init?: RequestInit): Promise<number> {
  const response = await ask(path, init);
  const body = await response.text();
  if (![200, 400, 404, 405, 413, 415].includes(response.status))
    throw new Error(`${path} ${init?.body}: ${response.status} ${body}`);
  if (response.status !== 200) expect(body).toMatch(/^\{"type":"about:blank"/);
  return response.status;
}

describe('no request makes an error of the server', () => {
  it('by its query: 3,000 cases', async () => {
    const { ask } = await smallHandler({ limits });
    const query = fc.array(fc.tuple(key, text), { maxLength: 5 }).map((pairs) => new URLSearchParams(pairs).toString());
    const path = fc.constantFrom('/v1/samples', '/v1/samples', '/v1/samples/stream', '/');
    const seen: number[] = [];
    await fc.assert(
      fc.asyncProperty(path, query, async (path, query) => {
        seen.push(await harmless(ask, `${path}?${query}`));
      }),
      { seed: 1, numRuns: 3000 },
    );
    // many get through, and many do not
    for (const status of [200, 400]) expect(seen.filter((one) => one === status).length).toBeGreaterThan(300);
  });

  it('by its body: 3,000 cases', async () => {
    const { ask } = await smallHandler({ limits });
    const body = fc.oneof(
      fc.dictionary(key, json, { maxKeys: 5 }).map((value) => JSON.stringify(value)),
      fc.json(),
      fc.string({ maxLength: 3000 }),
    );
    const type = fc.constantFrom('application/json', 'application/json', 'application/json; charset=x', 'text/plain');
    await fc.assert(
      fc.asyncProperty(body, type, async (body, type) => {
        await harmless(ask, '/v1/samples', { method: 'POST', headers: { 'content-type': type }, body });
      }),
      { seed: 2, numRuns: 3000 },
    );
  });

  it('by its path, method and headers: 2,500 cases', async () => {
    const { ask } = await smallHandler({ limits });
    const odd = fc.string({ unit: 'grapheme' }).map((part) => `/${encodeURIComponent(part)}`);
    const path = fc.oneof(fc.webPath(), odd, fc.constantFrom('/', '/v1/samples?steps=1', '/v1/model', '/metrics'));
    const method = fc.constantFrom('GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'PATCH');
    const value = fc.string({ unit: 'grapheme-ascii', maxLength: 40 }).map((text) => text.replace(/[^\x20-\x7e]/g, ''));
    const name = fc.constantFrom(
      'if-none-match',
      'authorization',
      'accept',
      'origin',
      'content-length',
      'range',
      'x-forwarded-for',
    );
    await fc.assert(
      fc.asyncProperty(path, method, name, value, async (path, method, name, value) => {
        const response = await ask(path, { method, headers: { [name]: value } });
        expect(response.status, `${method} ${path}`).toBeLessThan(500);
      }),
      { seed: 3, numRuns: 2500 },
    );
  });

  it('by the frame of a network call: 4,000 cases, of which many are answered', async () => {
    const { ask } = await smallHandler({ limits: { ...limits, denoise: 4 } });
    const seen: number[] = [];
    let most = 0;
    await fc.assert(
      fc.asyncProperty(fc.oneof(whole, changed, near, fc.uint8Array({ maxLength: 300 })), async (bytes) => {
        const headers = { 'content-type': frameType };
        const response = await ask('/v1/denoise', { method: 'POST', headers, body: bytes as BodyInit });
        seen.push(response.status);
        if (![200, 400, 413].includes(response.status)) throw new Error(`${response.status} ${await response.text()}`);
        most = Math.max(most, process.memoryUsage().arrayBuffers);
      }),
      { seed: 4, numRuns: 4000 },
    );
    for (const status of [200, 400]) expect(seen.filter((one) => one === status).length).toBeGreaterThan(800);
    // frames may say that they hold 4 GiB
    expect(most).toBeLessThan(2 ** 28);
  });
});

describe('no frame', () => {
  it('makes anything of its reader but a question or an error that names a part: 6,000 cases', () => {
    const named = /^"(body|x|x\.data|x\.shape|timesteps|classLabels)" expected /;
    fc.assert(
      fc.property(fc.oneof(changed, near, fc.uint8Array({ maxLength: 300 })), (bytes) => {
        try {
          const { x, timesteps } = decodeQuestion(bytes);
          expect(x.data.length).toBe(x.shape.reduce((a, b) => a * b));
          expect(4 * (x.data.length + timesteps.length)).toBeLessThanOrEqual(bytes.length);
        } catch (error) {
          expect(isArgumentError(error), String(error)).toBe(true);
          expect((error as Error).message).toMatch(named);
        }
      }),
      { seed: 5, numRuns: 6000 },
    );
  });

  it('of an answer makes anything of a remote denoiser but a prediction or `network-failed`: 1,500 cases', async () => {
    const answer = encodeAnswer({ data: new Float32Array(64), shape: [1, 1, 8, 8] });
    const bytes = fc.oneof(changesOf(answer), fc.uint8Array({ maxLength: 300 }));
    const x = { data: new Float32Array(64), shape: [1, 1, 8, 8] };
    await fc.assert(
      fc.asyncProperty(bytes, fc.constantFrom(200, 200, 200, 204, 400, 500, 999), async (bytes, status) => {
        const fetch = async () =>
          status === 999 ? Response.error() : new Response(status === 204 ? null : bytes, { status });
        const asked = createRemoteDenoiser('http://localhost', { fetch: fetch as () => Promise<Response>, retries: 0 });
        try {
          expect((await asked(x, Float32Array.of(3))).data.length % 64).toBe(0);
        } catch (error) {
          expect(error).toMatchObject({ name: 'DdpmError', code: 'network-failed' });
        }
      }),
      { seed: 6, numRuns: 1500 },
    );
  });
});

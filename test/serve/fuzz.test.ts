import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
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
  it('by its query: 2,000 cases', async () => {
    const { ask } = await smallHandler({ limits });
    const query = fc.array(fc.tuple(key, text), { maxLength: 5 }).map((pairs) => new URLSearchParams(pairs).toString());
    const path = fc.constantFrom('/v1/samples', '/v1/samples', '/v1/samples/stream', '/');
    const seen: number[] = [];
    await fc.assert(
      fc.asyncProperty(path, query, async (path, query) => {
        seen.push(await harmless(ask, `${path}?${query}`));
      }),
      { seed: 1, numRuns: 2000 },
    );
    // many get through, and many do not
    for (const status of [200, 400]) expect(seen.filter((one) => one === status).length).toBeGreaterThan(300);
  });

  it('by its body: 1,500 cases', async () => {
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
      { seed: 2, numRuns: 1500 },
    );
  });

  it('by its path, method and headers: 1,500 cases', async () => {
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
      { seed: 3, numRuns: 1500 },
    );
  });
});

import { decode, decodeMulti } from '@msgpack/msgpack';
import { decode as decodePngFile } from 'fast-png';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { imageGrid } from '../../src/image/grid.ts';
import { encodePng } from '../../src/image/png.ts';
import { toPixels } from '../../src/image/tensor.ts';
import { readSafetensors, toFloat32 } from '../../src/onnx/safetensors.ts';
import { createHandler, type RequestRecord } from '../../src/serve/index.ts';
import { smallHandler, smallPipeline } from './support.ts';

const bytesOf = async (response: Response) => new Uint8Array(await response.arrayBuffer());
const detailOf = async (response: Response) => (await response.json()).detail;
const post = (body: unknown, type = 'application/json'): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': type },
  body: typeof body === 'string' ? body : JSON.stringify(body),
});

describe('/v1/samples', () => {
  it('gives the pixels of pipeline.sample in every format', async () => {
    const pipeline = await smallPipeline();
    const { ask } = await smallHandler({ pipeline });
    const images = await pipeline.sample({ count: 3, seed: 7, class: ['owl', 'cat', 1], sampler: 'ddpm', steps: 5 });
    const pixels = toPixels(pipeline.engine, images);
    const query = '/v1/samples?count=3&seed=7&class=owl,cat,1&sampler=ddpm&steps=5';

    const png = await ask(query);
    expect([png.status, png.headers.get('content-type')]).toEqual([200, 'image/png']);
    expect(await bytesOf(png)).toEqual(encodePng(imageGrid(pixels)));

    const webp = await ask(`${query}&format=webp&scale=1&columns=3`);
    expect(webp.headers.get('content-type')).toBe('image/webp');
    const { data, info } = await sharp(await bytesOf(webp))
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    const grid = imageGrid(pixels, { scale: 1, columns: 3 });
    expect([info.width, info.height]).toEqual([grid.width, grid.height]);
    expect(Array.from(grid.data, (_, i) => data[i * info.channels])).toEqual(Array.from(grid.data));

    const json = await (await ask(`${query}&format=json`)).json();
    const about = { model: 'small', seed: '7', count: 3, sampler: 'ddpm', steps: 5, shape: [3, 1, 8, 8] };
    expect(json).toMatchObject(about);
    const pack = decode(await bytesOf(await ask(`${query}&format=msgpack`))) as typeof json;
    expect(pack).toMatchObject(about);
    for (const [i, { data }] of pixels.entries()) {
      expect(decodePngFile(pack.images[i]).data).toEqual(data);
      expect(decodePngFile(Buffer.from(json.images[i].split(',')[1], 'base64')).data).toEqual(data);
    }

    const raw = readSafetensors(await bytesOf(await ask(`${query}&format=raw`))).get('samples')!;
    expect(toFloat32(raw)).toEqual(images.data);
  });

  it('takes the same as JSON, a seed of 64 bits as text, and stores nothing then', async () => {
    const { ask } = await smallHandler();
    const seed = String(2n ** 64n - 1n);
    const got = await ask(`/v1/samples?seed=${seed}&count=2&class=cat,2&guidance=2`);
    const posted = await ask('/v1/samples', post({ seed, count: 2, class: ['cat', 2], guidance: 2 }));
    expect([posted.status, posted.headers.get('cache-control')]).toEqual([200, 'no-store']);
    expect(await bytesOf(posted)).toEqual(await bytesOf(got));
  });

  it('says by its ETag that the same query gives the same bytes, and 304 to who has them, without a network call', async () => {
    const pipeline = await smallPipeline();
    const { ask } = await smallHandler({ pipeline });
    const first = await ask('/v1/samples?seed=1&count=2');
    const etag = first.headers.get('etag')!;
    expect(etag).toMatch(/^"[0-9a-f]{32}"$/);
    expect(first.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
    const other = await smallHandler({ pipeline: await smallPipeline() });
    expect((await other.ask('/v1/samples?count=2&seed=1')).headers.get('etag')).toBe(etag);
    for (const query of ['seed=2&count=2', 'seed=1&count=1', 'seed=1&count=2&format=raw', 'seed=1&count=2&eta=1'])
      expect((await ask(`/v1/samples?${query}`)).headers.get('etag')).not.toBe(etag);

    const calls = async () => (await (await ask('/metrics')).text()).match(/^ddpm_network_calls_total (\d+)$/m)![1];
    const before = await calls();
    for (const value of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
      const again = await ask('/v1/samples?seed=1&count=2', { headers: { 'if-none-match': value } });
      expect([again.status, again.headers.get('etag'), await again.text()]).toEqual([304, etag, '']);
    }
    const head = await ask('/v1/samples?seed=1&count=2', { method: 'HEAD' });
    expect([head.status, head.headers.get('etag'), head.headers.get('content-type')]).toEqual([200, etag, 'image/png']);
    expect(await calls()).toBe(before);
  });

  it.each([
    ['steps=0', '"steps" expected >=1, got 0'],
    ['steps=x', '"steps" expected number, got "x"'],
    ['steps=1001', '"steps" expected <=1000, got 1001'],
    ['steps=51', '"steps" expected'],
    ['count=65', '"count" expected <=64, got 65'],
    ['count=1.5', '"count"'],
    ['count=', '"count" expected number, got ""'],
    ['seed=-1', '"seed"'],
    ['seed=18446744073709551616', '"seed" expected an integer in 0..2^64-1'],
    ['sampler=best', '"sampler" expected'],
    ['sampler=ddim-inverse', '"sampler" expected'],
    ['class=bird', '"class" expected one of cat, dog, owl or an index, got "bird"'],
    ['class=9', '"class" expected an integer in 0..3, got 9'],
    ['class=cat,dog', '"class" expected one class or 1'],
    ['guidance=-1', '"guidance" expected >=0, got -1'],
    ['eta=2', '"eta" expected <=1, got 2'],
    ['format=gif', '"format" expected'],
    ['scale=64&count=64', '"scale" expected a picture of at most 1048576 pixels'],
    ['seed=1&seed=2', '"seed" expected one value'],
    ['path=/etc/passwd', '"path" expected no such key'],
    ['__proto__=1', '"__proto__" expected no such key'],
    ['every=2', '"every" expected no such key'],
  ])('answers 400 to ?%s, naming it', async (query, message) => {
    const { ask } = await smallHandler();
    const response = await ask(`/v1/samples?${query}`);
    expect([response.status, response.headers.get('content-type')]).toEqual([400, 'application/problem+json']);
    const { detail, ...rest } = await response.json();
    expect(rest).toEqual({ type: 'about:blank', title: 'Bad Request', status: 400, code: 'invalid-argument' });
    expect(detail).toContain(message);
  });

  it('answers 400 to a sampler that takes more network calls than the limit', async () => {
    const { ask } = await smallHandler({ limits: { steps: 6 } });
    expect((await ask('/v1/samples?sampler=heun&steps=3')).status).toBe(200);
    expect(await detailOf(await ask('/v1/samples?sampler=heun&steps=6'))).toContain(
      '"steps" expected at most 6 network calls',
    );
  });

  it('answers 413, 415 and 400 to bodies that are too large, no JSON, or no object', async () => {
    const { ask } = await smallHandler({ limits: { body: 100 } });
    const large = await ask('/v1/samples', post(`{"seed":"${'1'.repeat(200)}"}`));
    expect([large.status, await detailOf(large)]).toEqual([413, 'expected at most 100 bytes']);
    const parts = new ReadableStream({ pull: (c) => c.enqueue(new Uint8Array(60)) });
    const streamed = { ...post(''), body: parts, duplex: 'half' } as RequestInit;
    expect((await ask('/v1/samples', streamed)).status).toBe(413);
    expect((await ask('/v1/samples', post('{}', 'text/plain'))).status).toBe(415);
    expect((await ask('/v1/samples', { method: 'POST' })).status).toBe(415);
    for (const body of ['{', 'null', '[1]', '7', '']) expect((await ask('/v1/samples', post(body))).status).toBe(400);
    expect((await ask('/v1/samples', post('{}', 'Application/JSON; charset=utf-8'))).status).toBe(200);
  });
});

describe('/v1/samples/stream', () => {
  const query = '/v1/samples/stream?count=2&seed=3&steps=6&every=2';

  it('shows every n-th step and then the images, as server-sent events', async () => {
    const pipeline = await smallPipeline();
    const { ask } = await smallHandler({ pipeline });
    const response = await ask(query);
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
    const events = (await response.text())
      .trim()
      .split('\n\n')
      .map((event) => event.split('\n'));
    expect(events.map(([name]) => name)).toEqual(['event: step', 'event: step', 'event: done']);
    const data = events.map(([, line]) => JSON.parse(line.slice('data: '.length)));
    expect(data.map(({ index }) => index)).toEqual([1, 3, 5]);
    expect(data[2]).toMatchObject({ calls: 6, model: 'small', seed: '3', count: 2 });

    const previews: Uint8Array[] = [];
    const picture = (x: Parameters<typeof toPixels>[1]) => encodePng(imageGrid(toPixels(pipeline.engine, x)));
    for await (const { index, x, start } of pipeline.steps({ count: 2, seed: 3, steps: 6 }))
      if (index % 2 === 1) previews.push(picture(index === 5 ? x : start));
    expect(data.map(({ image }) => new Uint8Array(Buffer.from(image.split(',')[1], 'base64')))).toEqual(previews);
  });

  it('does so as MessagePack, one map after the other', async () => {
    const { ask } = await smallHandler();
    const frames = [...decodeMulti(await bytesOf(await ask(`${query}&format=msgpack`)))] as Record<string, unknown>[];
    expect(frames.map(({ event, index }) => [event, index])).toEqual([
      ['step', 1],
      ['step', 3],
      ['done', 5],
    ]);
    expect(decodePngFile(frames[2].image as Uint8Array)).toMatchObject({ channels: 1 });
  });

  it('answers 400 before it begins', async () => {
    const { ask } = await smallHandler();
    expect((await ask('/v1/samples/stream?format=png')).status).toBe(400);
    expect((await ask('/v1/samples/stream?steps=51')).status).toBe(400);
  });
});

describe('what else there is', () => {
  it('says what the model is, without names of this machine', async () => {
    const { ask } = await smallHandler();
    const model = await (await ask('/v1/model')).json();
    expect(model).toMatchObject({ name: 'small', shape: [1, 8, 8], labels: ['cat', 'dog', 'owl'], unconditional: 3 });
    expect(model).toMatchObject({ sampling: { sampler: 'ddim', steps: 4 }, limits: { count: 64, steps: 1000 } });
    expect(model.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(model.notes).toBeUndefined();
  });

  it('describes itself: OpenAPI 3.1 from the schemas that check', async () => {
    const { ask } = await smallHandler({ limits: { count: 9 } });
    const { openapi, paths } = await (await ask('/openapi.json')).json();
    expect(openapi).toBe('3.1.0');
    expect(Object.keys(paths).sort()).toEqual(
      ['/healthz', '/metrics', '/openapi.json', '/readyz', '/v1/model', '/v1/samples', '/v1/samples/stream'].sort(),
    );
    const { properties, additionalProperties } =
      paths['/v1/samples'].post.requestBody.content['application/json'].schema;
    expect(properties.count).toMatchObject({ type: 'integer', minimum: 1, maximum: 9 });
    expect(additionalProperties).toBe(false);
    const names = paths['/v1/samples'].get.parameters.map(({ name }: { name: string }) => name);
    expect(names).toEqual(Object.keys(properties));
  });

  it('has a page without scripts that shows what was asked for, and nothing that a query could put there', async () => {
    const { ask } = await smallHandler();
    const page = await (await ask('/?count=2&seed=5&steps=&sampler=ddpm')).text();
    expect(page).toContain('<img src="v1/samples?count=2&amp;seed=5&amp;sampler=ddpm"');
    expect(page).toContain('<option value="ddpm" selected>ddpm</option>');
    expect(page).toMatch(/<option value="2" ?>owl<\/option>/);
    const hostile = await (await ask(`/?seed=${encodeURIComponent('"><script>alert(1)</script>')}`)).text();
    expect(hostile).not.toContain('<script');
    expect(hostile).toContain('role="alert"');
    expect(await (await ask('/')).text()).not.toContain('<img');
  });

  it('counts in the text of Prometheus', async () => {
    const { ask } = await smallHandler();
    await ask('/v1/samples?count=3');
    await ask('/v1/samples?count=0');
    await ask('/made/up"\n');
    const response = await ask('/metrics');
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    const text = await response.text();
    for (const line of [
      'ddpm_requests_total{route="/v1/samples",status="200"} 1',
      'ddpm_requests_total{route="/v1/samples",status="400"} 1',
      'ddpm_requests_total{route="other",status="404"} 1',
      'ddpm_images_total{sampler="ddim"} 3',
      'ddpm_network_calls_total 5',
      'ddpm_network_images_total 14',
      'ddpm_samples_seconds_count 1',
      'ddpm_active_images 0',
    ])
      expect(text.split('\n')).toContain(line);
    for (const line of text.trim().split('\n'))
      expect(line).toMatch(/^(# (HELP|TYPE) .+|[a-z_]+(\{[^}]*\})? [\d.e+-]+)$/);
  });

  it('is healthy at once and ready when the network has answered; then it is not when it closes', async () => {
    const handler = createHandler({ pipeline: await smallPipeline() });
    const status = async (path: string) => (await handler(new Request(`http://localhost${path}`))).status;
    expect([await status('/healthz'), await status('/readyz')]).toEqual([200, 503]);
    await handler.ready();
    expect(await status('/readyz')).toBe(200);
    await handler.close();
    expect([await status('/healthz'), await status('/readyz'), await status('/v1/samples')]).toEqual([200, 503, 503]);
  });

  it('answers 404 to other paths, and 405 with what is allowed to other methods', async () => {
    const { ask } = await smallHandler();
    for (const path of ['/v1', '/v1/samples/', '/../etc/passwd', '/constructor', '/v1/samples/x', '/%00'])
      expect((await ask(path)).status, path).toBe(404);
    const wrong = await ask('/v1/samples', { method: 'DELETE' });
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET, HEAD, POST']);
    expect((await ask('/healthz', { method: 'POST' })).headers.get('allow')).toBe('GET, HEAD');
  });
});

describe('who may ask', () => {
  it('everyone without a token; with one, who has it, and the checks of health', async () => {
    const { ask } = await smallHandler({ token: 'a-Secret_1' });
    const asked = (authorization?: string, path = '/v1/samples?steps=1') =>
      ask(path, { headers: authorization === undefined ? {} : { authorization } });
    for (const header of [
      undefined,
      'Bearer no',
      'Bearer a-Secret_',
      'Bearer a-Secret_12',
      'Basic a-Secret_1',
      'x',
      'Bearer ä',
    ]) {
      const response = await asked(header);
      expect([response.status, (await response.json()).code], header).toEqual([401, 'unauthorized']);
      expect(response.headers.get('www-authenticate')).toMatch(/^Bearer /);
    }
    const response = await asked('Bearer a-Secret_1');
    expect([response.status, response.headers.get('cache-control')]).toEqual([
      200,
      'private, max-age=31536000, immutable',
    ]);
    for (const path of ['/', '/metrics', '/v1/model', '/openapi.json', '/nothing'])
      expect((await asked(undefined, path)).status, path).toBe(401);
    for (const path of ['/healthz', '/readyz']) expect((await asked(undefined, path)).status).toBe(200);
  });

  it('pages of other origins only where that is asked for', async () => {
    const origin = { headers: { origin: 'https://a.example' } };
    const { ask } = await smallHandler();
    const closed = await ask('/v1/model', origin);
    expect(closed.headers.get('access-control-allow-origin')).toBeNull();
    expect(closed.headers.get('cross-origin-resource-policy')).toBe('same-origin');
    expect((await ask('/v1/samples', { ...origin, method: 'OPTIONS' })).status).toBe(405);

    const open = await smallHandler({ cors: ['https://a.example'] });
    expect((await open.ask('/v1/model', origin)).headers.get('access-control-allow-origin')).toBe('https://a.example');
    const other = { headers: { origin: 'https://b.example' } };
    expect((await open.ask('/v1/model', other)).headers.get('access-control-allow-origin')).toBeNull();
    expect((await open.ask('/v1/samples', { ...origin, method: 'OPTIONS' })).status).toBe(204);
  });

  it('a client only so often, by its own bucket', async () => {
    const { ask } = await smallHandler({ rateLimit: { requests: 3, seconds: 60 } });
    const statuses = async (client: string) => {
      const list = [];
      for (let i = 0; i < 4; i++) list.push((await ask('/v1/samples?steps=1', {}, client)).status);
      return list;
    };
    expect(await statuses('a')).toEqual([200, 200, 200, 429]);
    expect(await statuses('b')).toEqual([200, 200, 200, 429]);
    const refused = await ask('/v1/samples', {}, 'a');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await ask('/healthz', {}, 'a')).status).toBe(200);
  });

  it('every answer has the headers that keep it in its place', async () => {
    const { ask } = await smallHandler();
    for (const path of [
      '/',
      '/v1/samples?steps=1',
      '/v1/samples?steps=x',
      '/v1/samples/stream?steps=1',
      '/nothing',
      '/metrics',
    ]) {
      const { headers } = await ask(path);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('x-frame-options')).toBe('DENY');
      expect(headers.get('referrer-policy')).toBe('no-referrer');
      expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    }
  });
});

describe('createHandler', () => {
  it('tells of every request, and of what went wrong on our side', async () => {
    const records: RequestRecord[] = [];
    const pipeline = await smallPipeline();
    const plan = pipeline.model.denoiser;
    let broken = false;
    const breaking = Object.assign((...args: Parameters<typeof plan>) => {
      if (broken) throw new Error('/secret/path');
      return plan(...args);
    }, plan);
    const { ask } = await smallHandler({
      pipeline: { ...pipeline, model: { ...pipeline.model, denoiser: breaking as typeof plan } },
      onRequest: (record) => records.push(record),
    });
    await ask('/v1/samples?seed=1', {}, 'me');
    broken = true;
    const failed = await ask('/v1/samples?seed=2');
    expect([failed.status, await failed.text()]).toEqual([500, expect.not.stringContaining('secret')]);
    expect(records).toMatchObject([
      { method: 'GET', path: '/v1/samples', status: 200, client: 'me' },
      { method: 'GET', path: '/v1/samples', status: 500, error: expect.objectContaining({ message: '/secret/path' }) },
    ]);
  });

  it('refuses options by name', async () => {
    const pipeline = await smallPipeline();
    expect(() => createHandler({ pipeline, limits: { count: 0 } })).toThrow(
      '"limits.count" expected an integer in 1..',
    );
    expect(() => createHandler({ pipeline, limits: { counts: 1 } as object })).toThrow(
      '"counts" expected no such option',
    );
    expect(() => createHandler({ pipeline, tokens: 'x' } as never)).toThrow('"tokens" expected no such option');
    expect(() => createHandler({ pipeline, token: 'ä' })).toThrow('"token" expected letters, digits');
    expect(() => createHandler({ pipeline, rateLimit: { requests: 0, seconds: 1 } })).toThrow('"rateLimit.requests"');
  });
});

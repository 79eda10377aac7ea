import { describe, expect, it, onTestFinished } from 'vitest';
import { decodeAnswer, encodeAnswer, encodeQuestion, frameType, questionBytes } from '../../src/core/denoiseFrame.ts';
import { encodeMsgpack } from '../../src/core/msgpack.ts';
import type { Tensor } from '../../src/core/tensor.ts';
import { createPlan, runPlan } from '../../src/index.ts';
import { createRemoteDenoiser, type RemoteOptions } from '../../src/remote.ts';
import { startServer } from '../../src/serve/node.ts';
import { gated, smallHandler, smallPipeline } from './support.ts';

const limits = { denoise: 16 };
const places = { host: 'http://localhost', path: '/v1/denoise' };

/** A remote denoiser whose requests go to a handler in this process. */
function over(handler: (request: Request) => Promise<Response>, options: RemoteOptions = {}) {
  return createRemoteDenoiser(places.host, { fetch: handler, ...options });
}

/** A call of n images of the small model. */
const call = (n: number, shape: readonly number[] = [n, 1, 8, 8]) => ({
  x: {
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.fround((i % 97) / 48 - 1)),
    shape,
  },
  timesteps: Float32Array.from({ length: n }, (_, i) => (7 * i) % 50),
  classLabels: Array.from({ length: n }, (_, i) => i % 4),
});
const post = (body: Uint8Array<ArrayBuffer> | undefined, type = frameType): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': type },
  body,
});
const copy = ({ data, shape }: Tensor) => ({ data: data.slice(), shape: [...shape] });

describe('createRemoteDenoiser', () => {
  it('gives the prediction of the local network to the bit, in one request or several, over a socket', async () => {
    const pipeline = await smallPipeline();
    const server = await startServer({ pipeline, limits, token: 'abc' });
    onTestFinished(() => server.close());
    const { x, timesteps, classLabels } = call(7);
    const local = copy(await pipeline.model.denoiser(x, timesteps, { classLabels }));
    for (const batch of [undefined, 7, 3, 1]) {
      const remote = createRemoteDenoiser(server.url, { token: 'abc', batch });
      expect(await remote(x, timesteps, { classLabels })).toEqual(local);
      const out = { data: new Float32Array(local.data.length), shape: local.shape };
      expect(await remote(x, timesteps, { classLabels: Uint8Array.from(classLabels) }, { out })).toBe(out);
      expect(out).toEqual(local);
    }
  });

  it.each(['ddim', 'ddpm', 'dpm-solver++', 'heun'] as const)(
    'samples as the local network does, by %s: equal to the bit',
    async (sampler) => {
      const pipeline = await smallPipeline();
      const { handler } = await smallHandler({ pipeline, limits });
      const plan = createPlan(pipeline.schedule, { sampler, steps: 6 });
      const run = { shape: [3, 1, 8, 8], seed: 5, condition: { classLabels: [0, 1, 2] } };
      expect(await runPlan(plan, over(handler), run)).toEqual(await runPlan(plan, pipeline.model.denoiser, run));
    },
  );

  it('shares network calls with those who sample at the same time', async () => {
    const { pipeline, calls, open, close } = gated(await smallPipeline());
    const { handler, ask } = await smallHandler({
      pipeline,
      limits: { ...limits, active: 64 },
      batch: { maxImages: 16, maxWait: 1000 },
    });
    const { x, timesteps, classLabels } = call(2);
    const alone = copy(await over(handler)(x, timesteps, { classLabels }));
    calls.length = 0;
    close();
    const sampled = ask('/v1/samples?count=3&steps=2');
    const asked = Promise.all([1, 2, 3].map(() => over(handler)(x, timesteps, { classLabels })));
    while (calls.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    await new Promise((resolve) => setTimeout(resolve, 20));
    open();
    for (const answer of await asked) expect(answer).toEqual(alone);
    expect((await sampled).status).toBe(200);
    expect(calls.reduce((sum, images) => sum + images)).toBe(3 * 2 + 3 * 2);
    expect(calls.length).toBeLessThanOrEqual(4);
  });

  it('asks again where the server is busy, as often as told, and after that is busy itself', async () => {
    const { handler } = await smallHandler({ limits });
    let asked = 0;
    const busyFor = (n: number) => async (request: Request) => {
      const detail = JSON.stringify({ detail: 'no room' });
      return asked++ < n ? new Response(detail, { status: 503, headers: { 'retry-after': '0' } }) : handler(request);
    };
    const { x, timesteps, classLabels } = call(1);
    await over(busyFor(2))(x, timesteps, { classLabels });
    expect(asked).toBe(3);
    asked = 0;
    await expect(over(busyFor(9), { retries: 1 })(x, timesteps, { classLabels })).rejects.toMatchObject({
      code: 'busy',
      message: 'http://localhost/v1/denoise: the server answered 503: no room',
    });
    expect(asked).toBe(2);
  });

  it('says what the server refuses, without asking again', async () => {
    const { handler } = await smallHandler({ limits, token: 'abc' });
    const { x, timesteps } = call(1);
    const refused = (options: RemoteOptions) => over(handler, options)(x, timesteps, { classLabels: [9] });
    await expect(refused({})).rejects.toMatchObject({
      code: 'network-failed',
      message: expect.stringMatching(/denoise: the server answered 401: expected Authorization: Bearer/),
    });
    await expect(refused({ token: 'abc' })).rejects.toThrow('400: "classLabels" expected integers in 0..3, got 9');
    const { handler: without } = await smallHandler();
    await expect(over(without)(x, timesteps)).rejects.toThrow('the server answered 404: there is nothing here');
  });

  it.each([
    ['no MessagePack', () => new Response('<html>'), /"answer" expected MessagePack/],
    ['nothing', () => new Response(null), /"answer" expected MessagePack, got "nothing"/],
    ['another shape', () => new Response(encodeMsgpack({ data: new Float32Array(64), shape: [1, 1, 64, 1] })), /shape/],
    ['more than was asked for', () => new Response(new Uint8Array(10_000)), /larger than 768 bytes/],
    ['another place', () => new Response(null, { status: 307, headers: { location: 'http://evil' } }), /answered 307/],
  ])('refuses an answer that is %s', async (_, answer, message) => {
    const { x, timesteps } = call(1);
    const failed = over(async () => answer())(x, timesteps);
    await expect(failed).rejects.toMatchObject({ code: 'network-failed', message: expect.stringMatching(message) });
  });

  it('takes an answer of twice the channels, which predicts the variance too', async () => {
    const { x, timesteps } = call(2);
    const answer = { data: Float32Array.from({ length: 256 }, (_, i) => i), shape: [2, 2, 8, 8] };
    expect(await over(async () => new Response(encodeAnswer(answer)))(x, timesteps)).toEqual(answer);
  });

  it('ends with its signal, and after its seconds, though the server never answers', async () => {
    const never = () => new Promise<Response>(() => {});
    const { x, timesteps } = call(1);
    const controller = new AbortController();
    const asked = over(never, { signal: controller.signal })(x, timesteps);
    controller.abort(new Error('enough'));
    await expect(asked).rejects.toThrow('enough');
    await expect(over(never, { seconds: 0.05 })(x, timesteps)).rejects.toThrow('no answer within 0.05 seconds');
  });

  it('says that a server cannot be reached', async () => {
    const server = await startServer({ pipeline: await smallPipeline() });
    await server.close();
    const { x, timesteps } = call(1);
    const asked = createRemoteDenoiser(server.url, { retries: 1 })(x, timesteps);
    await expect(asked).rejects.toMatchObject({ code: 'network-failed', message: expect.stringContaining(server.url) });
  });

  it.each([
    ['ftp://x', {}, '"url" expected an http: or https: URL without a password'],
    ['http://user:secret@x', {}, 'got "http://x/"'],
    ['x', {}, '"url" expected a URL, got "x"'],
    [7, {}, '"url" expected a URL, got 7'],
    ['http://x', { batch: 0 }, '"batch"'],
    ['http://x', { retries: -1 }, '"retries"'],
    ['http://x', { seconds: 0 }, '"seconds"'],
    ['http://x', { fetch: 'x' }, '"fetch" expected a function'],
    ['http://x', { tokn: 'x' }, '"tokn" expected no such option'],
  ])('refuses %j with %j', (url, options, message) => {
    expect(() => createRemoteDenoiser(url as string, options as RemoteOptions)).toThrow(message);
  });
});

describe('/v1/denoise', () => {
  it('is not there unless it is asked for, and is documented where it is', async () => {
    const { ask } = await smallHandler();
    expect((await ask(places.path, post(encodeQuestion(call(1))))).status).toBe(404);
    expect((await (await ask('/openapi.json')).json()).paths[places.path]).toBeUndefined();
    expect((await (await ask('/v1/model')).json()).limits.denoise).toBe(0);
    const on = await smallHandler({ limits });
    const { post: documented } = (await (await on.ask('/openapi.json')).json()).paths[places.path];
    const { properties } = documented.requestBody.content[frameType].schema;
    expect(Object.keys(properties)).toEqual(['x', 'timesteps', 'classLabels']);
    expect((await on.ask(places.path)).headers.get('allow')).toBe('POST');
    expect((await (await on.ask('/v1/model')).json()).limits.denoise).toBe(16);
  });

  const { x, timesteps, classLabels } = call(2);
  const bytes = (view: Float32Array) => new Uint8Array(view.buffer);
  it.each([
    ['no images', { timesteps, classLabels }, '"x" expected a map of data, shape, got undefined'],
    ['images of numbers', { x: { data: [1, 2], shape: [1, 1, 1, 2] }, timesteps }, '"x.data" expected binary'],
    ['too few numbers', { x: { ...x, data: new Float32Array(127) }, timesteps }, '"x.data" expected 128 numbers'],
    ['half a number', { x: { ...x, data: new Uint8Array(511) }, timesteps }, '"x.data" expected whole float32 numbers'],
    ['another size', { ...call(2, [2, 1, 4, 16]) }, '"x.shape" expected [n, 1, 8, 8], got [2, 1, 4, 16]'],
    ['three axes', { x: { ...x, shape: [2, 8, 8] }, timesteps }, '"x.shape" expected 4 positive integers'],
    ['a shape beyond reason', { x: { ...x, shape: [2 ** 20, 2 ** 20, 8, 8] } }, '"x.shape" expected at most 2^30'],
    ['too many images', call(17), '"x.shape" expected at most 16 images, got 17'],
    ['a timestep too few', { x, timesteps: timesteps.slice(1), classLabels }, '"timesteps" expected 2 numbers, got 1'],
    ['a timestep beyond the schedule', { x, timesteps: Float32Array.of(0, 50), classLabels }, '"timesteps" expected'],
    ['a timestep that is none', { x, timesteps: Float32Array.of(0, Number.NaN), classLabels }, '"timesteps" expected'],
    ['no labels', { x, timesteps }, '"classLabels" expected a label for each image'],
    ['a label too many', { x, timesteps, classLabels: [0, 1, 2] }, '"classLabels" expected 2 labels, got 3'],
    ['a label that is none', { x, timesteps, classLabels: [0, 4] }, '"classLabels" expected integers in 0..3, got 4'],
    ['labels in binary', { x, timesteps, classLabels: bytes(timesteps) }, '"classLabels" expected a list'],
    [
      'another key',
      { x, timesteps, classLabels, out: 1 },
      '"body" expected a map of x, timesteps, classLabels, got "out"',
    ],
    ['a list', [1], '"body" expected a map of x, timesteps, classLabels, got [1]'],
  ])('refuses %s with 400', async (_, body, detail) => {
    const { ask } = await smallHandler({ limits: { ...limits, denoise: 16 } });
    const response = await ask(places.path, post(encodeMsgpack(body)));
    const problem = await response.json();
    expect([response.status, problem.code]).toEqual([400, 'invalid-argument']);
    expect(problem.detail).toContain(detail);
  });

  it('refuses bytes that are no frame, another type, and bodies beyond what its images take', async () => {
    const { ask } = await smallHandler({ limits });
    const status = async (init: RequestInit) => (await ask(places.path, init)).status;
    expect(await status(post(new Uint8Array([0xc1])))).toBe(400);
    expect(await status(post(encodeQuestion(call(1)).slice(0, 99)))).toBe(400);
    expect(await status(post(undefined))).toBe(400);
    expect(await status(post(encodeQuestion(call(1)), 'application/json'))).toBe(415);
    const most = questionBytes([16, 1, 8, 8]);
    expect(await status(post(new Uint8Array(most)))).toBe(400);
    expect(await status(post(new Uint8Array(most + 1)))).toBe(413);
    const said = { 'content-type': frameType, 'content-length': String(most + 1) };
    expect(await status({ method: 'POST', headers: said, body: new Uint8Array(1) })).toBe(413);
    // as many as fit, by what the length says: more than it says is not read
    const less = { 'content-type': frameType, 'content-length': '300' };
    expect(await status({ method: 'POST', headers: less, body: encodeQuestion(call(2)) })).toBe(413);
  });

  it('answers as many images as it is told to, with a frame of the same', async () => {
    const pipeline = await smallPipeline();
    const { ask } = await smallHandler({ pipeline, limits: { denoise: 20 } });
    const { x, timesteps, classLabels } = call(20);
    const response = await ask(places.path, post(encodeQuestion({ x, timesteps, classLabels })));
    expect([response.status, response.headers.get('content-type')]).toEqual([200, frameType]);
    const answer = decodeAnswer(new Uint8Array(await response.arrayBuffer()));
    expect(answer).toEqual(copy(await pipeline.model.denoiser(x, timesteps, { classLabels })));
  });

  it('takes a place, waits, is refused and ends as requests for images do', async () => {
    const { pipeline, open, close } = gated(await smallPipeline());
    const { handler, ask } = await smallHandler({ pipeline, limits: { ...limits, active: 1, queue: 1 } });
    close();
    const question = encodeQuestion(call(1));
    const soon = () => new Promise((resolve) => setTimeout(resolve, 20));
    const first = ask(places.path, post(question));
    await soon();
    const client = new AbortController();
    const gone = ask(places.path, { ...post(question), signal: client.signal });
    await soon();
    expect((await (await ask(places.path, post(question))).json()).code).toBe('busy');
    client.abort();
    expect((await gone).status).toBe(499);
    const late = ask(places.path, post(question));
    await soon();
    const closing = handler.close({ milliseconds: 30 });
    expect((await (await late).json()).code).toBe('closing');
    expect((await ask(places.path, post(question))).status).toBe(503);
    open();
    await closing;
    expect((await first).status).toBe(503);
  });

  it('reads no body before there is room for its images', async () => {
    const { pipeline, open, close } = gated(await smallPipeline());
    const { ask } = await smallHandler({ pipeline, limits: { ...limits, active: 1 } });
    close();
    const first = ask(places.path, post(encodeQuestion(call(1))));
    let read = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          read++;
          controller.enqueue(encodeQuestion(call(1)));
          controller.close();
        },
      },
      { highWaterMark: 0 },
    );
    const second = ask(places.path, { ...post(undefined), body, duplex: 'half' } as RequestInit);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(read).toBe(0);
    open();
    expect([(await first).status, (await second).status, read]).toEqual([200, 200, 1]);
  });

  it('counts with the rate of a client, and among the routes of the metrics', async () => {
    const { ask } = await smallHandler({ limits, rateLimit: { requests: 1, seconds: 60 } });
    const question = encodeQuestion(call(1));
    expect((await ask(places.path, post(question), 'a')).status).toBe(200);
    expect((await ask(places.path, post(question), 'a')).status).toBe(429);
    expect((await ask(places.path, post(question), 'b')).status).toBe(200);
    expect(await (await ask('/metrics')).text()).toContain('ddpm_requests_total{route="/v1/denoise",status="200"} 2');
  });
});

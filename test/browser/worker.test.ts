import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { WorkerOptions, WorkerPipeline } from '../../src/browser/client.ts';
import { type Evaluation, loadPipeline } from '../../src/index.ts';
import type { TestServer } from '../runtime/server.ts';
import { executablePath, type Files, isolation, openPage, serveSite, tinyModel } from './site.ts';

if (!executablePath) console.log('no Chromium: the worker is not tested');

const main = `<!doctype html><html lang="en"><title>test</title><link rel="icon" href="data:,">
  <script type="module">
    import { drawImages, loadWorkerPipeline } from '/dist/standalone/client.js';
    globalThis.drawImages = drawImages;
    globalThis.answers = [];
    globalThis.load = async (options = {}, source = '/tiny') => {
      const worker = () => {
        const made = new Worker('/dist/standalone/worker.js', { type: 'module' });
        made.addEventListener('message', ({ data }) => answers.push(data.kind));
        return made;
      };
      const { code } = (globalThis.pipeline = await loadWorkerPipeline(source, {
        device: 'wasm', threads: 1, wasmPaths: '/ort/', worker, ...options,
      }).catch((error) => error));
      return code;
    };
    globalThis.fate = (promise) => promise.then(({ data }) => data.length, ({ name, code }) => (typeof code === 'string' ? code : name));
  </script></html>`;

// what the page's script defines, for functions that run there
declare const answers: string[];
declare const drawImages: typeof import('../../src/browser/client.ts').drawImages;
declare const pipeline: WorkerPipeline;
declare const load: (options?: Partial<WorkerOptions>, source?: string) => Promise<string | undefined>;
declare const fate: (promise: Promise<unknown>) => Promise<number | string>;

describe.skipIf(!executablePath)('a pipeline in a worker', () => {
  let model: Files;
  let site: TestServer;
  let isolated: TestServer;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let complaints: string[];

  beforeAll(async () => {
    model = await tinyModel();
    const pages = {
      '/': main,
      ...Object.fromEntries(Object.entries(model).map(([name, body]) => [`/tiny/${name}`, body])),
      '/html/model.onnx': '<html>',
      '/html/files.json': '{ "model.onnx": { "sha256": "0" } }',
    };
    site = await serveSite(pages);
    isolated = await serveSite(pages, isolation);
    const args = ['--no-sandbox', '--enable-blink-features=ForceEagerMeasureMemory'];
    browser = await chromium.launch({ executablePath, args });
  });
  afterEach(() => context?.close());
  afterAll(async () => {
    await browser?.close();
    await site?.close();
    await isolated?.close();
  });

  async function open(server = site) {
    context = await browser.newContext();
    ({ page, complaints } = await openPage(context, server.url, 'globalThis.load'));
  }

  it('samples, inverts, reconstructs and interpolates what Node does, within 1e-4', async () => {
    await open();
    const ours = await page.evaluate(async () => {
      await load();
      const images = await pipeline.sample({ count: 2, steps: 3, seed: 5, class: 'bee' });
      const latents = await pipeline.invert(images, { steps: 2, class: 'bee' });
      const again = await pipeline.reconstruct(latents, { steps: 2, class: 'bee' });
      const between = await pipeline.interpolate({ from: 1, to: latents, count: 2, steps: 2 }).catch(() => undefined);
      const way = await pipeline.interpolate({ from: 1, to: 2, count: 3, steps: 2 });
      const { rows, sampler } = await pipeline.plan({ steps: 3 });
      return { parts: [images, latents, again, way].map(({ data }) => [...data]), rows, sampler, refused: !between };
    });
    const node = await loadPipeline(model['model.onnx'] as Uint8Array, {
      device: 'cpu',
      scheduler: JSON.parse(model['scheduler_config.json'] as string),
    });
    const images = await node.sample({ count: 2, steps: 3, seed: 5, class: 1 });
    const latents = await node.invert(images, { steps: 2, class: 1 });
    const again = await node.reconstruct(latents, { steps: 2, class: 1 });
    const way = await node.interpolate({ from: 1, to: 2, count: 3, steps: 2 });
    for (const [i, { data }] of [images, latents, again, way].entries()) {
      expect(ours.parts[i].length).toBe(data.length);
      expect(Math.max(...ours.parts[i].map((value, k) => Math.abs(value - data[k])))).toBeLessThan(1e-4);
    }
    const { rows, sampler } = node.plan({ steps: 3 });
    expect({ rows: ours.rows, sampler: ours.sampler }).toEqual({ rows, sampler });
    expect(ours.refused).toBe(true); // noise of one image has the shape [1, ...]
    await node.dispose();
    expect(complaints).toEqual([]);
  });

  it('evaluates as Node does: 20 ranges of timesteps and the bound within 1e-4, told batch by batch', async () => {
    await open();
    const data = Uint8Array.from({ length: 3 * 3 * 16 * 16 }, (_, i) => (i * 37) % 256);
    const images = [{ data, shape: [3, 3, 16, 16], labels: Int32Array.of(0, 1, 0) }];
    const options = { metrics: ['simple', 'vlb'], boundTimesteps: 4, timestepsPerImage: 2, batch: 2, seed: 5 } as const;
    const ours = await page.evaluate(
      async ({ data, options }) => {
        await load();
        const bytes = Uint8Array.from(data);
        const batches = [{ data: bytes, shape: [3, 3, 16, 16], labels: Int32Array.of(0, 1, 0) }];
        const found: Evaluation[] = [];
        for await (const evaluation of pipeline.evaluations(batches, options)) found.push(evaluation);
        const last = await pipeline.evaluate(batches, { ...options, count: 2 });
        const code = await pipeline.evaluate(batches, { count: 0 }).catch((error) => error.argument);
        return {
          done: found.map(({ images, of, progress }) => [images, of, progress]),
          simple: found.at(-1)!.simple,
          vlb: found.at(-1)!.vlb,
          last,
          code,
        };
      },
      { data: [...data], options },
    );
    const node = await loadPipeline(model['model.onnx'] as Uint8Array, {
      device: 'cpu',
      scheduler: JSON.parse(model['scheduler_config.json'] as string),
    });
    const { simple, vlb } = await node.evaluate(images, options);
    await node.dispose();
    expect(ours.done).toEqual([
      [2, 3, 2 / 3],
      [3, 3, 1],
      [3, 3, 1],
    ]);
    expect(ours.simple!.noise.mean).toBeCloseTo(simple!.noise.mean, 4);
    expect(ours.simple!.byTimestep.map(({ count }) => count)).toEqual(simple!.byTimestep.map(({ count }) => count));
    expect(Math.abs(ours.vlb!.total.mean / vlb!.total.mean - 1)).toBeLessThan(1e-4);
    expect([ours.last.images, ours.last.complete, ours.code]).toEqual([2, true, 'count']);
  });

  it('stops at most one step after it is cancelled, by a signal, by `cancel` and by leaving the loop', async () => {
    await open();
    const found = await page.evaluate(async () => {
      await load();
      const cancelled = async (cancel: (controller: AbortController) => void) => {
        const controller = new AbortController();
        let before = 0;
        const run = (async () => {
          for await (const { index } of pipeline.steps({ steps: 500, signal: controller.signal })) {
            if (index !== 3) continue;
            before = answers.filter((kind) => kind === 'step').length;
            cancel(controller);
          }
          return { data: [] };
        })();
        const ended = await fate(run);
        await pipeline.sample({ steps: 1 }); // answered after the last of the other
        return { ended, after: answers.filter((kind) => kind === 'step').length - before };
      };
      const bySignal = await cancelled((controller) => controller.abort());
      const byCall = await cancelled(() => pipeline.cancel());
      const before = answers.length;
      for await (const _ of pipeline.steps({ steps: 500 })) break;
      await pipeline.sample({ steps: 1 });
      return { bySignal, byCall, left: answers.slice(before) };
    });
    // two steps may be on their way to the page when it cancels
    expect(found.bySignal.ended).toBe('AbortError');
    expect(found.byCall.ended).toBe('cancelled');
    for (const { after } of [found.bySignal, found.byCall]) expect(after).toBeLessThanOrEqual(3);
    expect(found.left.filter((kind) => kind === 'step').length).toBeLessThanOrEqual(3);
    expect(found.left.slice(-2)).toEqual(['failed', 'done']);
  });

  it('a run without steps stops as well: what waits behind 1000 steps is not kept waiting', async () => {
    await open();
    const [first, second, kinds] = await page.evaluate(async () => {
      await load();
      answers.length = 0;
      const long = fate(pipeline.sample({ sampler: 'ddpm', steps: 1000 }));
      const next = fate(pipeline.sample({ steps: 1 }));
      // the worker is at it by then
      await new Promise((resolve) => setTimeout(resolve, 100));
      pipeline.cancel();
      const after = fate(pipeline.sample({ steps: 1, count: 2 }));
      return [await long, [await next, await after], answers] as const;
    });
    expect(first).toBe('cancelled');
    expect(second).toEqual(['cancelled', 2 * 3 * 16 * 16]);
    expect(kinds.at(-1)).toBe('done');
    expect(kinds.filter((kind) => kind === 'done').length).toBe(1);
  });

  it('overlapping requests queue, or the latest wins; too many are busy; after `dispose` there are none', async () => {
    await open();
    const [queued, latest, busy, disposed] = await page.evaluate(async () => {
      const three = () => [1, 2, 3].map((count) => fate(pipeline.sample({ count, steps: 2 })));
      await load();
      const queued = await Promise.all(three());
      await load({ overlap: 'latest' });
      const latest = await Promise.all(three());
      await load({ maxRequests: 2 });
      const busy = await Promise.all(three());
      const waiting = fate(pipeline.sample());
      await pipeline.dispose();
      return [queued, latest, busy, [await waiting, await fate(pipeline.sample())]];
    });
    const size = 3 * 16 * 16;
    expect(queued).toEqual([size, 2 * size, 3 * size]);
    expect(latest).toEqual(['cancelled', 'cancelled', 3 * size]);
    expect(busy).toEqual([size, 2 * size, 'busy']);
    expect(disposed).toEqual(['cancelled', 'cancelled']);
  });

  it.each([
    ['ends', 'self.close()'],
    ['throws outside of any request', 'setTimeout(() => { throw new Error("a defect") })'],
  ])('a worker that %s fails what it was asked, and the next call has a fresh one', async (_, defect) => {
    await open();
    await page.evaluate(() => load());
    const running = page.evaluate(() => fate(pipeline.sample({ sampler: 'ddpm', steps: 1000 })));
    const [worker] = page.workers();
    await worker.evaluate(defect);
    expect(await running).toBe('worker-crashed');
    expect(await page.evaluate(() => fate(pipeline.sample({ steps: 2 })))).toBe(3 * 16 * 16);
  });

  it('fails by code and class: no model, a damaged one, a bad option, a function', async () => {
    await open();
    const codes = await page.evaluate(async () => {
      const loading = [await load({}, '/nothing'), await load({}, '/html'), await load({ device: 'webgpu' })];
      loading.push(await load({ lora: new URL('/none.safetensors', location.href) }));
      await load();
      const kind = (promise: Promise<unknown>) =>
        promise.catch((error) => [error.constructor.name, error.code, error.argument]);
      const guide: object = { guide: () => undefined };
      const runs = [pipeline.sample({ steps: 0 }), pipeline.sample(guide)];
      const evaluations = [pipeline.evaluate(new Map() as never, { count: 0 }), pipeline.evaluate(5 as never)];
      evaluations.push(pipeline.evaluate([], null as never));
      return [...loading, ...(await Promise.all([...runs, ...evaluations].map(kind)))];
    });
    expect(codes).toEqual([
      'model-not-found',
      'config-invalid',
      'webgpu-unavailable',
      'model-not-found',
      ['RangeError', 'invalid-argument', 'steps'],
      ['RangeError', 'invalid-argument', 'guide'],
      ['RangeError', 'invalid-argument', 'count'],
      ['TypeError', 'invalid-argument', 'batches'],
      ['TypeError', 'invalid-argument', 'options'],
    ]);
  });

  it('draws images in [-1, 1] as a grid of their pixels, and refuses what are none', async () => {
    await open();
    const found = await page.evaluate(() => {
      const canvas = document.createElement('canvas');
      const data = Float32Array.from({ length: 3 * 4 * 64 }, (_, i) => [-1, 0, 1, 3][Math.floor(i / 64) % 4]);
      drawImages(canvas, { data, shape: [3, 1, 8, 32] });
      const drawn = canvas.getContext('2d', { willReadFrequently: true })!.getImageData(0, 0, 65, 17).data;
      const at = (x: number, y: number) => [...drawn.subarray(4 * (65 * y + x), 4 * (65 * y + x) + 4)];
      const refused = (shape: number[]) => {
        try {
          drawImages(canvas, { data, shape });
          return 'drawn';
        } catch (error) {
          return (error as { argument: string }).argument;
        }
      };
      const pixels = [at(0, 0), at(0, 2), at(64, 4), at(0, 15), at(32, 0)];
      return { size: [canvas.width, canvas.height], pixels, refused: [refused([3, 256]), refused([3, 2, 8, 16])] };
    });
    expect(found.size).toEqual([65, 17]);
    const opaque = (grey: number) => [grey, grey, grey, 255];
    expect(found.pixels).toEqual([opaque(0), opaque(128), opaque(255), opaque(255), [0, 0, 0, 0]]);
    expect(found.refused).toEqual(['images.shape', 'images.shape']);
  });

  it('loads offline what it loaded before, and asks for a file with a digest once', async () => {
    await open();
    await page.evaluate(() => load());
    const before = site.requests.filter((request) => request.includes('/tiny/')).length;
    await page.evaluate(() => load());
    expect(site.requests.filter((request) => request.includes('/tiny/')).slice(before)).toEqual([
      'GET /tiny/files.json',
    ]);
    await context.setOffline(true);
    const length = await page.evaluate(async () => {
      return (await load()) ?? fate(pipeline.sample({ steps: 2 }));
    });
    expect(length).toBe(3 * 16 * 16);
    expect(complaints).toEqual([]);
  });

  it('keeps no more than `cache.maxBytes`, and nothing with `cache: false`', async () => {
    await open();
    const kept = await page.evaluate(async () => {
      const keys = async () => (await (await caches.open('ddpm-wasm')).keys()).map(({ url }) => new URL(url).pathname);
      await load({ cache: false });
      const none = await keys();
      await load({ cache: { maxBytes: 2000 } });
      return [none, await keys()];
    });
    expect(kept[0]).toEqual([]);
    expect(kept[1]).toContain('/tiny/files.json');
    expect(kept[1]).not.toContain('/tiny/model.onnx');
  });

  it('samples 50 times without the memory of page and worker growing by more than 1 MB', async () => {
    await open(isolated);
    const [before, after] = await page.evaluate(async () => {
      await load();
      const { measureUserAgentSpecificMemory: measure } = performance as unknown as {
        measureUserAgentSpecificMemory(): Promise<{ bytes: number }>;
      };
      const sample = async (times: number) => {
        for (let seed = 0; seed < times; seed++) {
          await pipeline.sample({ count: 4, steps: 2, seed });
          for await (const _ of pipeline.steps({ count: 4, steps: 2, seed }));
        }
        return (await measure.call(performance)).bytes;
      };
      return [await sample(5), await sample(50)];
    });
    expect(before).toBeGreaterThan(1e6);
    expect(after - before).toBeLessThan(1e6);
  });
});

import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { train, trainingDataOf } from '../../src/train/index.ts';
import { serve, type TestServer } from '../runtime/server.ts';
import { maxDifference } from '../support/goldens.ts';
import { finish, ofType, tinyConfig, vectorOf } from '../train/trainSupport.ts';

type Config = Parameters<typeof train>[0];

const executablePath = ['/usr/bin/chromium', '/usr/bin/google-chrome'].find((file) => existsSync(file));
if (!executablePath) console.warn('skipped: train in a browser, for there is no Chromium here');

const images = {
  data: Uint8Array.from({ length: 16 * 64 }, (_, i) => (i % 8 > 2 + ((i >> 6) % 4) ? 220 : 40)),
  shape: [16, 1, 8, 8],
  labels: Int32Array.from({ length: 16 }, (_, i) => i % 2),
};

/** What a page is asked to do, and what came of it. */
interface Task {
  readonly config: Config;
  /** The name of a database for checkpoints. */
  readonly name?: string;
  /** The step at which the run is stopped, by something else than the loop that asks for its events. */
  readonly stop?: number;
  readonly device?: 'webgpu';
}

// the library as a page bundles it; no isolation from other origins, so onnxruntime-web has one thread
const script = `
  import * as lib from './dist/train/index.js';
  globalThis.lib = lib;
  globalThis.run = async ({ config, name, stop, device = 'wasm' }, images) => {
    const controller = new AbortController();
    let [first, history, losses] = [0, [], []];
    const events = lib.train(config, {
      device,
      data: lib.trainingDataOf({ ...images, data: Uint8Array.from(images.data) }),
      signal: controller.signal,
      ...(name && { checkpoints: lib.indexedDbStore(name), resume: true }),
    });
    let next = await events.next();
    for (; !next.done; next = await events.next()) {
      const { type, step, loss } = next.value;
      if (type === 'begun') [first, history] = [step, next.value.history];
      if (type === 'step') losses.push(loss);
      // as a click does, a timer comes in a turn of its own
      if (type === 'step' && step === stop) setTimeout(() => controller.abort());
    }
    const { step, complete, parameters } = next.value;
    const vector = [...parameters.values()].flatMap(({ data }) => [...data]);
    return { first, history, losses, step, complete, vector };
  };
`;

interface Outcome {
  readonly first: number;
  readonly history: readonly unknown[];
  readonly losses: number[];
  readonly step: number;
  readonly complete: boolean;
  readonly vector: number[];
}

describe.skipIf(!executablePath)('the built package in Chromium', () => {
  let server: TestServer;
  let browser: Browser;

  beforeAll(async () => {
    const { outputFiles } = await build({
      stdin: { contents: script, resolveDir: path.resolve('.') },
      ...{ bundle: true, splitting: true, format: 'esm', platform: 'browser', outdir: '/out', write: false },
      tsconfigRaw: {}, // the paths of tsconfig.json lead to the sources
      logLevel: 'error',
    });
    const scripts = new Map(outputFiles.map((file) => [`/${path.basename(file.path)}`, file.contents]));
    server = await serve((url) => {
      if (url === '/')
        return { type: 'text/html', body: '<!doctype html><script type="module" src="/stdin.js"></script>' };
      const ort = url.startsWith('/ort-') ? readFileSync(`node_modules/onnxruntime-web/dist${url}`) : undefined;
      const body = scripts.get(url) ?? ort;
      return body && { type: url.endsWith('.wasm') ? 'application/wasm' : 'text/javascript', body };
    });
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--enable-unsafe-webgpu'] });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  async function openPage() {
    const page = await browser.newPage();
    await page.goto(server.url);
    await page.waitForFunction(() => 'run' in globalThis);
    const plain = { ...images, data: [...images.data], labels: [...images.labels] };
    const run = (task: Task): Promise<Outcome> =>
      page.evaluate(
        ([task, images]) => (globalThis as unknown as { run(...of: unknown[]): Promise<Outcome> }).run(task, images),
        [task, plain] as const,
      );
    return { page, run };
  }

  it('trains on wasm to the losses and the parameters of Node within 1e-3', async () => {
    const config = tinyConfig(6, { optimizer: { learningRate: 1e-3, warmupSteps: 0 } });
    const { page, run } = await openPage();
    const there = await run({ config });
    const { events, model } = await finish(train(config, { data: trainingDataOf(images) }));
    expect(there).toMatchObject({ step: 6, complete: true });
    const here = ofType(events, 'step').map(({ loss }) => loss);
    expect(maxDifference(there.losses, here)).toBeLessThan(1e-3);
    expect(maxDifference(there.vector, vectorOf(model))).toBeLessThan(1e-3);
    await page.close();
  });

  it('trains on WebGPU to the losses and the parameters of wasm within 1e-3', async (context) => {
    const { page, run } = await openPage();
    const adapter = await page.evaluate(async () => {
      const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<unknown> } };
      return Boolean(await gpu?.requestAdapter());
    });
    if (!adapter) return context.skip('Chromium has no WebGPU adapter here');
    // software runs it: the least network, and few steps
    const model = { block_out_channels: [8], norm_num_groups: 4, attention: [] };
    const config = { ...tinyConfig(3), model, batch: 4, optimizer: { learningRate: 0.01, warmupSteps: 0 } };
    const [here, there] = [await run({ config }), await run({ config, device: 'webgpu' })];
    expect(maxDifference(there.losses, here.losses)).toBeLessThan(1e-3);
    expect(maxDifference(there.vector, here.vector)).toBeLessThan(1e-3);
    await page.close();
  }, 300_000);

  it('stopped by a timer and continued after a reload, gives the bytes of a run that was not', async () => {
    const config = tinyConfig(24, { accumulation: 2, data: { flip: true }, checkpoints: { every: 4, keep: 2 } });
    const { page, run } = await openPage();
    const whole = await run({ config });
    const part = await run({ config, name: 'kept', stop: 13 });
    // it comes between two steps, not after all
    expect(part.step).toBeGreaterThanOrEqual(13);
    expect(part).toMatchObject({ first: 0, complete: false });
    expect(part.step).toBeLessThan(20);

    await page.reload();
    await page.waitForFunction(() => 'run' in globalThis);
    const rest = await run({ config, name: 'kept' });
    expect(rest).toMatchObject({ first: part.step, step: 24, complete: true });
    expect(rest.history).toMatchObject([{ step: 10 }]);
    expect([...part.losses, ...rest.losses]).toEqual(whole.losses);
    expect(rest.vector).toEqual(whole.vector);
    await page.close();
  });

  it('keeps files in IndexedDB whole, and without room refuses one and keeps those before', async () => {
    const { page } = await openPage();
    const session = await page.context().newCDPSession(page);
    await session.send('Storage.overrideQuotaForOrigin', { origin: server.url, quotaSize: 1_000_000 });
    const found = await page.evaluate(async () => {
      const { lib } = globalThis as unknown as { lib: typeof import('../../src/train/index.ts') };
      const store = lib.indexedDbStore('files');
      const before = await store.list();
      await store.write('part', new Uint8Array(8).fill(1).subarray(2, 4));
      await store.write('gone', new Uint8Array(1000).fill(2));
      await store.remove('gone');
      await store.remove('never there');
      // Chromium compresses what it keeps
      const large = new Uint8Array(2 ** 22);
      for (let at = 0; at < large.length; at += 2 ** 16) crypto.getRandomValues(large.subarray(at, at + 2 ** 16));
      const tell = ({ name, code, message }: { name: string; code: string; message: string }) => [name, code, message];
      const failed = await store.write('part', large).then(() => 'written', tell);
      const [part, gone] = [(await store.read('part'))!, await store.read('gone')];
      return { before, list: await store.list(), part: [...part], memory: part.buffer.byteLength, gone, failed };
    });
    expect(found).toEqual({
      ...{ before: [], list: ['part'], part: [1, 1], memory: 2, gone: undefined },
      failed: ['DdpmError', 'output-failed', 'database files cannot be written: no room is left for this site'],
    });
    await page.close();
  });
});

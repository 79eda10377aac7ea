import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadPipeline } from '../../src/index.ts';
import { serve, type TestServer } from '../runtime/server.ts';
import { maxDifference } from '../support/goldens.ts';

const executablePath = ['/usr/bin/chromium', '/usr/bin/google-chrome'].find((file) => existsSync(file));
const options = { count: 3, sampler: 'ddim', eta: 1, steps: 4, seed: 11, class: 8 } as const;

describe.skipIf(!executablePath)('the built package in Chromium, bundled through its browser condition', () => {
  let server: TestServer;
  let browser: Browser;

  beforeAll(async () => {
    const { outputFiles } = await build({
      stdin: {
        contents: "import * as lib from './dist/index.js'; globalThis.lib = lib;",
        resolveDir: path.resolve('.'),
      },
      bundle: true,
      splitting: true,
      format: 'esm',
      platform: 'browser',
      outdir: '/out',
      write: false,
      tsconfigRaw: {}, // the paths of tsconfig.json lead to the sources
      logLevel: 'error',
    });
    const scripts = new Map(outputFiles.map((file) => [`/${path.basename(file.path)}`, file.contents]));
    server = await serve((url) => {
      if (url === '/')
        return { type: 'text/html', body: '<!doctype html><script type="module" src="/stdin.js"></script>' };
      if (url.startsWith('/models/') && existsSync(`.${url}`)) return { body: readFileSync(`.${url}`) };
      const body =
        scripts.get(url) ??
        (url.startsWith('/ort-') ? readFileSync(`node_modules/onnxruntime-web/dist${url}`) : undefined);
      return body && { type: url.endsWith('.wasm') ? 'application/wasm' : 'text/javascript', body };
    });
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  it('samples the bundled model on wasm to the images of Node within 1e-3', async () => {
    const page = await browser.newPage();
    await page.goto(server.url);
    await page.waitForFunction(() => 'lib' in globalThis);
    const images = await page.evaluate(async (options) => {
      const { lib } = globalThis as unknown as { lib: typeof import('../../src/index.ts') };
      const pipeline = await lib.loadPipeline('/models/fashion', { device: 'wasm' });
      const { data } = await pipeline.sample(options);
      await pipeline.dispose();
      return [...data];
    }, options);

    const pipeline = await loadPipeline('fashion', { device: 'cpu' });
    const { data } = await pipeline.sample(options);
    await pipeline.dispose();
    expect(maxDifference(images, data)).toBeLessThan(1e-3);
  });

  it('draws the very same random numbers and rows as Node, bit for bit', async () => {
    const page = await browser.newPage();
    await page.goto(server.url);
    await page.waitForFunction(() => 'lib' in globalThis);
    const theirs = await page.evaluate(async () => {
      const { lib } = globalThis as unknown as { lib: typeof import('../../src/index.ts') };
      const engine = await lib.createEngine();
      const plan = lib.createPlan(lib.createSchedule(engine, { beta_schedule: 'squaredcos_cap_v2' }), { steps: 20 });
      const noise = lib.randn(engine, [3, 100], { seed: 5 });
      const torch = lib.randn(engine, [3, 100], { seed: 5, rng: 'torch' });
      return { rows: JSON.stringify(plan.rows), noise: [...noise.data], torch: [...torch.data] };
    });
    const lib = await import('../../src/index.ts');
    const engine = await lib.createEngine();
    const plan = lib.createPlan(lib.createSchedule(engine, { beta_schedule: 'squaredcos_cap_v2' }), { steps: 20 });
    expect(theirs.rows).toBe(JSON.stringify(plan.rows));
    expect(theirs.noise).toEqual([...lib.randn(engine, [3, 100], { seed: 5 }).data]);
    expect(theirs.torch).toEqual([...lib.randn(engine, [3, 100], { seed: 5, rng: 'torch' }).data]);
  });
});

import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import * as native from 'onnxruntime-node';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serve, type TestServer } from '../runtime/server.ts';
import { apart, smallProblem } from '../train/problem.ts';
import { type Problem, train } from '../train/workers.ts';

const executablePath = ['/usr/bin/chromium', '/usr/bin/google-chrome'].find((file) => existsSync(file));
const script = `
  import * as ort from 'onnxruntime-web/webgpu';
  import { train } from './test/train/workers.ts';
  globalThis.train = async () => train(ort, await (await fetch('/problem.json')).json(), ['webgpu']);
`;

if (!executablePath) console.warn('skipped: training on WebGPU, for there is no Chromium here');

describe.skipIf(!executablePath)('training in Chromium', () => {
  let problem: Problem;
  let server: TestServer;
  let browser: Browser;

  beforeAll(async () => {
    problem = await smallProblem({ workers: 1, steps: 2 });
    const { outputFiles } = await build({
      stdin: { contents: script, resolveDir: path.resolve('.'), loader: 'ts' },
      ...{ bundle: true, format: 'esm', platform: 'browser', write: false, logLevel: 'error' },
    });
    server = await serve((url) => {
      if (url === '/') return { type: 'text/html', body: '<!doctype html><script type="module" src="/a.js"></script>' };
      if (url === '/a.js') return { type: 'text/javascript', body: outputFiles[0].contents };
      if (url === '/problem.json') return { type: 'application/json', body: JSON.stringify(problem) };
      if (!url.startsWith('/ort-')) return undefined;
      const type = url.endsWith('.wasm') ? 'application/wasm' : 'text/javascript';
      return { type, body: readFileSync(`node_modules/onnxruntime-web/dist${url}`) };
    });
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--enable-unsafe-webgpu'] });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  it('on WebGPU gives the losses and the gradient of the CPU within 1e-3, all three graphs', async (context) => {
    const page = await browser.newPage();
    await page.goto(server.url);
    const adapter = await page.evaluate(async () => {
      const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<unknown> } };
      return Boolean(await gpu?.requestAdapter());
    });
    if (!adapter) return context.skip('Chromium has no WebGPU adapter here');
    await page.waitForFunction(() => 'train' in globalThis);
    const there = await page.evaluate(() => (globalThis as unknown as { train(): ReturnType<typeof train> }).train());
    const here = await train(native, problem, ['cpu']);
    for (const [t, loss] of here.losses.entries()) expect(Math.abs(there.losses[t] / loss - 1)).toBeLessThan(1e-3);
    expect(apart(there.errors, here.errors)).toBeLessThan(1e-3);
    expect(apart(there.gradient, here.gradient)).toBeLessThan(1e-3);
    // a step of Adam shows the sign of the least gradient
    expect(apart(there.parameters, here.parameters)).toBeLessThan(2e-3);
    expect(apart(there.ema, here.ema)).toBeLessThan(2e-3);
  }, 300_000);
});

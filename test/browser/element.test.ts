import { type Browser, type BrowserContext, chromium } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { DdpmSample } from '../../src/browser/sampleElement.ts';
import type { SampleOptions } from '../../src/index.ts';
import type { TestServer } from '../runtime/server.ts';
import { drawnBytes } from './drawn.ts';
import { executablePath, type Files, openPage, pageOf, serveSite, strictPolicy, tinyModel } from './site.ts';

if (!executablePath) console.log('no Chromium: the element is not tested');

const isolation = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };
const asked = 'wasm-paths="/ort/" sampler="ddim" steps="4" seed="11"';
const fashion = `model="/models/fashion" count="3" class="Bag" ${asked}`;

describe.skipIf(!executablePath)('<ddpm-sample> from a static server', () => {
  let model: Files;
  let site: TestServer;
  let isolated: TestServer;
  let browser: Browser;
  let context: BrowserContext;

  beforeAll(async () => {
    model = await tinyModel();
    const tiny = Object.fromEntries(Object.entries(model).map(([name, body]) => [`/tiny/${name}`, body]));
    const pages = {
      ...tiny,
      '/wasm': pageOf(`<ddpm-sample device="wasm" ${fashion}></ddpm-sample>`),
      '/webgpu': pageOf(`<ddpm-sample device="webgpu" model="/tiny" count="2" ${asked}></ddpm-sample>`),
      '/two': pageOf(
        `<ddpm-sample id="a" device="wasm" model="/tiny" ${asked} autoplay></ddpm-sample>
         <ddpm-sample id="b" device="wasm" model="/tiny" wasm-paths="/ort/" steps="3" class="hero" autoplay></ddpm-sample>`,
      ),
      '/missing': pageOf('<ddpm-sample device="wasm" model="/nothing/here" wasm-paths="/ort/"></ddpm-sample>'),
    };
    site = await serveSite(pages, { 'content-security-policy': strictPolicy });
    isolated = await serveSite(pages, { ...isolation, 'content-security-policy': strictPolicy });
    const args = ['--no-sandbox', '--enable-unsafe-webgpu', '--enable-blink-features=ForceEagerMeasureMemory'];
    browser = await chromium.launch({ executablePath, args });
  });
  afterEach(() => context?.close());
  afterAll(async () => {
    await browser?.close();
    await site?.close();
    await isolated?.close();
  });

  async function open(server: TestServer, path: string) {
    context = await browser.newContext();
    return openPage(context, server.url + path);
  }

  it.each([
    [
      'wasm with 1 thread',
      '/wasm',
      'runs on wasm, 1 thread: the page is not cross-origin isolated (COOP and COEP headers)',
    ],
    ['wasm with 2 threads', '/wasm', 'runs on wasm, 2 threads'],
    ['WebGPU', '/webgpu', 'runs on webgpu'],
  ])(
    'draws the images of Node within one grey level, without a complaint under a strict policy: %s',
    async (name, path, note) => {
      const { page, complaints } = await open(name.includes('2') ? isolated : site, path);
      const { drawn, notes, steps } = await page.evaluate(async () => {
        const element = document.querySelector<DdpmSample>('ddpm-sample')!;
        let steps = 0;
        element.addEventListener('progress', (event) => {
          if ((event as unknown as CustomEvent).detail.phase === 'sample') steps++;
        });
        await element.sample();
        const canvas = element.shadowRoot!.querySelector('canvas')!;
        const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
        return { drawn: [...data], notes: (await element.pipeline()).notes, steps };
      });
      expect(steps).toBe(4);
      expect(notes).toContain(note);
      const scheduler = JSON.parse(model['scheduler_config.json'] as string);
      const options: SampleOptions = { sampler: 'ddim', steps: 4, seed: 11 };
      const expected =
        path === '/wasm'
          ? await drawnBytes('models/fashion', { ...options, count: 3, class: 'Bag' })
          : await drawnBytes(model['model.onnx'] as Uint8Array, { ...options, count: 2, class: [0, 1] }, scheduler);
      expect(drawn.length).toBe(expected.length);
      expect(Math.max(...drawn.map((byte, i) => Math.abs(byte - expected[i])))).toBeLessThanOrEqual(1);
      expect(complaints).toEqual([]);
    },
  );
});

import { type Browser, type BrowserContext, chromium, type Locator, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { DdpmSample } from '../../src/browser/sampleElement.ts';
import type { SampleOptions } from '../../src/index.ts';
import type { TestServer } from '../runtime/server.ts';
import { drawnBytes } from './drawn.ts';
import { executablePath, type Files, isolation, openPage, pageOf, serveSite, strictPolicy, tinyModel } from './site.ts';

if (!executablePath) console.log('no Chromium: the element is not tested');

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
      '/keyboard': pageOf('<ddpm-sample device="wasm" model="/tiny" wasm-paths="/ort/" steps="500"></ddpm-sample>'),
      '/missing': pageOf('<ddpm-sample device="wasm" model="/nothing/here" wasm-paths="/ort/"></ddpm-sample>'),
    };
    site = await serveSite(pages, { 'content-security-policy': strictPolicy });
    isolated = await serveSite(pages, { ...isolation, 'content-security-policy': strictPolicy });
    const args = ['--no-sandbox', '--enable-unsafe-webgpu'];
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
    return openPage(context, server.url + path, 'customElements.get("ddpm-sample")');
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

  /** What the first element of a page shows. */
  const shown = (page: Page) => ({
    button: page.locator('ddpm-sample >> button').first(),
    status: page.locator('ddpm-sample >> [role=status]').first(),
    alert: page.locator('ddpm-sample >> [role=alert]').first(),
    image: page.locator('ddpm-sample >> canvas').first(),
  });

  it('two on a page sample by themselves what each is asked, and leave a class of style sheets alone', async () => {
    const { page, complaints } = await open(site, '/two');
    const elements = page.locator('ddpm-sample');
    for (const i of [0, 1]) await expectText(elements.nth(i).locator('[role=status]'), /^Done in [\d.]+ s on wasm$/);
    const drawn = await page.evaluate(async () => {
      const all = [...document.querySelectorAll<DdpmSample>('ddpm-sample')];
      const [a, b] = await Promise.all(all.map((element) => element.toBlob()));
      await all[1].sample({ seed: 11, steps: 4, sampler: 'ddim' });
      const [type, same] = [a.type, await (await all[1].toBlob()).text()];
      return { type, apart: (await a.text()) !== (await b.text()), same: (await a.text()) === same };
    });
    expect(drawn).toEqual({ type: 'image/png', apart: true, same: true });
    expect(await elements.nth(1).getAttribute('class')).toBe('hero');
    expect(complaints).toEqual([]);
  });

  it('is used by keyboard alone: Enter starts and stops, Escape stops, what is drawn is described', async () => {
    const { page, complaints } = await open(site, '/keyboard');
    const { button, status, image } = shown(page);
    expect(await image.getAttribute('aria-label')).toBe('Images sampled from /tiny: none yet');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await expectText(button, /^Stop$/);
    await page.keyboard.press('Escape');
    await expectText(button, /^Sample$/);
    await expectText(status, /^Stopped$/);
    await page.keyboard.press('Enter');
    await expectText(status, /^Sampling$/);
    await page.keyboard.press('Enter');
    await expectText(status, /^Stopped$/);
    const events = await page.evaluate(async () => {
      const element = document.querySelector<DdpmSample>('ddpm-sample')!;
      const events: string[] = [];
      for (const type of ['done', 'error', 'cancel']) element.addEventListener(type, () => events.push(type));
      const given = element.sample().catch(({ code }) => code);
      await element.sample({ steps: 2 });
      return [...events, await given];
    });
    expect(events).toEqual(['cancel', 'done', 'cancelled']);
    expect(await image.getAttribute('aria-label')).toBe('4 images sampled from /tiny');
    // after the button: another seed, then a class
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    expect(await page.evaluate(() => document.activeElement!.shadowRoot!.activeElement!.ariaLabel)).toBe('Class');
    expect(complaints).toEqual([]);
  });

  it('says that there is no model, by event, promise and alert, and goes on with another', async () => {
    const { page } = await open(site, '/missing');
    const codes = await page.evaluate(async () => {
      const element = document.querySelector<DdpmSample>('ddpm-sample')!;
      const event = new Promise<string>((resolve) =>
        element.addEventListener('error', (event) => resolve((event as unknown as CustomEvent).detail.code)),
      );
      const blob = await element.toBlob().catch(({ code }) => code);
      return [await element.sample().catch(({ code }) => code), await event, blob];
    });
    expect(codes).toEqual(['model-not-found', 'model-not-found', 'output-failed']);
    await expectText(shown(page).alert, /\/nothing\/here: no model\.onnx/);
    await page.evaluate(() => document.querySelector('ddpm-sample')!.setAttribute('model', '/tiny'));
    await shown(page).button.click();
    await expectText(shown(page).status, /^Done/);
    await expectText(shown(page).alert, /^$/);
  });

  it('runs in examples/element.html as any static server serves it, on a phone without scrolling sideways', async () => {
    const plain = await serveSite({});
    context = await browser.newContext({ viewport: { width: 360, height: 740 } });
    const { page, complaints } = await openPage(context, `${plain.url}/examples/element.html`, 'true');
    await expectText(shown(page).status, /^Done/);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
    expect(complaints).toEqual([]);
    await plain.close();
  });

  it('with prefers-reduced-motion draws the end alone', async () => {
    const draws = async (reducedMotion: 'reduce' | 'no-preference') => {
      context = await browser.newContext({ reducedMotion });
      const { page } = await openPage(context, `${site.url}/keyboard`, 'customElements.get("ddpm-sample")');
      const count = await page.evaluate(async () => {
        let count = 0;
        const { putImageData } = CanvasRenderingContext2D.prototype;
        CanvasRenderingContext2D.prototype.putImageData = function (...args: unknown[]) {
          count++;
          Reflect.apply(putImageData, this, args);
        };
        await document.querySelector<DdpmSample>('ddpm-sample')!.sample({ steps: 5, count: 1 });
        return count;
      });
      await context.close();
      return count;
    };
    expect(await draws('reduce')).toBe(1);
    expect(await draws('no-preference')).toBe(5);
  });

  it('frees its worker when it is removed, not when it is moved', async () => {
    const { page } = await open(site, '/keyboard');
    await page.evaluate(() => document.querySelector<DdpmSample>('ddpm-sample')!.sample({ steps: 2 }));
    expect(page.workers().length).toBe(1);
    await page.evaluate(() => document.body.append(document.querySelector('ddpm-sample')!));
    await page.evaluate(() => document.querySelector<DdpmSample>('ddpm-sample')!.sample({ steps: 2 }));
    expect(page.workers().length).toBe(1);
    const closed = page.workers()[0].waitForEvent('close');
    await page.evaluate(() => document.querySelector('ddpm-sample')!.remove());
    await closed;
    expect(page.workers().length).toBe(0);
  });
});

/** Waits until an element says something. */
async function expectText(locator: Locator, pattern: RegExp): Promise<void> {
  await expect.poll(() => locator.innerText(), { timeout: 60_000 }).toMatch(pattern);
}

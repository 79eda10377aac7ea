import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { coverPixels, type Pixels } from '../../src/data/index.ts';
import { encodePng } from '../../src/image/png.ts';
import {
  addNoise,
  createEngine,
  createPlan,
  createSchedule,
  type Engine,
  loadPipeline,
  type Pipeline,
  randn,
  type Schedule,
  type Tensor,
} from '../../src/index.ts';
import { bytesOf, idx } from '../datasets/support.ts';
import type { TestServer } from '../runtime/server.ts';
import { drawnBytes } from './drawn.ts';
import { executablePath, isolation, openPage, serveSite } from './site.ts';

if (!executablePath) console.warn('skipped: the explorer, for there is no Chromium here');

const vite = path.resolve('node_modules/vite/bin/vite.js');
const root = path.resolve('examples/explorer');
const config = JSON.parse(readFileSync('models/fashion/scheduler_config.json', 'utf8'));

// grey, larger than the model's images and not square
const photo: Pixels = {
  data: Uint8Array.from({ length: 56 * 84 }, (_, i) => (i * i) % 251),
  width: 56,
  height: 84,
  channels: 1,
};
const small = [coverPixels(photo, { width: 28, height: 28, channels: 1 }).data, bytesOf([2, 28, 28])];
/** What the page holds of these files, images in [-1, 1]. */
const held: Tensor = {
  data: Float32Array.from(
    small.flatMap((bytes) => [...bytes]),
    (byte) => byte / 127.5 - 1,
  ),
  shape: [3, 1, 28, 28],
};
const first: Tensor = { data: held.data.slice(0, 784), shape: [1, 1, 28, 28] };

describe.skipIf(!executablePath)('examples/explorer, built by Vite and served at some path of a static host', () => {
  const out = mkdtempSync(path.join(os.tmpdir(), 'ddpm-wasm-explorer-'));
  let site: TestServer;
  let browser: Browser;
  let page: Page;
  let complaints: string[];
  let url: string;
  let pipeline: Pipeline;
  let engine: Engine;
  let schedule: Schedule;

  beforeAll(async () => {
    const env = { ...process.env, NODE_ENV: 'production' };
    const build = [vite, 'build', root, '--outDir', out, '--emptyOutDir'];
    const { status, stderr } = spawnSync('node', build, { env, encoding: 'utf8' });
    expect(status, stderr).toBe(0);
    site = await serveSite({}, isolation, (url) => {
      const file = url.startsWith('/some/where/') && path.join(out, url.slice(12) || 'index.html');
      return file && existsSync(file) ? readFileSync(file) : undefined;
    });
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    context.setDefaultTimeout(60_000);
    url = new URL('some/where/?device=wasm', site.url).href;
    ({ page, complaints } = await openPage(
      context,
      `${url}#sample?steps=4&seed=5&class=Bag&guidance=2`,
      'customElements.get("loss-panel")',
    ));
    pipeline = await loadPipeline('fashion', { device: 'cpu' });
    engine = await createEngine();
    schedule = createSchedule(engine, config);
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
    await pipeline?.dispose();
    rmSync(out, { recursive: true, force: true });
  });

  const panel = (name: string) => page.locator(`#${name}`);
  const done = (name: string) => panel(name).locator('[role=status]', { hasText: /^Done/ }).waitFor();
  /** The red bytes of a canvas. */
  const redOf = (selector: string) =>
    page
      .locator(selector)
      .first()
      .evaluate((canvas) => {
        const { width, height } = canvas as HTMLCanvasElement;
        // a copy: a canvas that is read often warns
        const copy = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true })!;
        copy.drawImage(canvas as HTMLCanvasElement, 0, 0);
        const { data } = copy.getImageData(0, 0, width, height);
        return Array.from({ length: width * height }, (_, i) => data[4 * i]);
      });
  /** Every number in a place, all its digits. */
  const numbersIn = (selector: string) =>
    page.locator(`${selector} data`).evaluateAll((all) => all.map((one) => Number((one as HTMLDataElement).value)));
  const goTo = (hash: string) =>
    page.evaluate((hash) => {
      location.hash = hash;
    }, hash);

  it('samples what Node does: the last state within a grey level, from the settings in the address', async () => {
    await done('sample');
    const options = { sampler: 'ddim', eta: 1, steps: 4, seed: 5, class: 'Bag', guidance: 2 } as const;
    const expected = await drawnBytes('fashion', options);
    expect(differ(await redOf('#sample-state'), red(expected))).toBeLessThanOrEqual(1);
    expect(await panel('sample').getByLabel('Class').inputValue()).toBe('Bag');
    // the estimate at the last step is the image
    expect(await redOf('#sample-start')).toEqual(await redOf('#sample-state'));
  });

  it('shows the row of the plan that the run is at, number for number, and the posterior beside it', async () => {
    const plan = createPlan(schedule, { sampler: 'ddim', eta: 1, steps: 4 });
    const rows = panel('reverse').getByRole('slider');
    await rows.press('ArrowLeft');
    await rows.press('ArrowLeft');
    expect(await panel('sample').locator('.pair figcaption').first().textContent()).toBe('x, the state after step 2');
    await panel('reverse').locator('summary').click();
    expect(await numbersIn('#row')).toEqual(Object.values(plan.rows[1]));
    const { posteriorMeanCoef1, posteriorMeanCoef2, posteriorVariance } = jump(plan.timesteps[1], plan.timesteps[2]);
    const [state, stateOf, start, startOf, sigma, sigmaOf] = await numbersIn('#row-and-posterior');
    const wanted = [posteriorMeanCoef2, posteriorMeanCoef1, Math.sqrt(posteriorVariance)];
    // eta 1 is the ancestral step
    for (const [i, found] of [state, start, sigma].entries()) expect(found).toBeCloseTo(wanted[i], 12);
    for (const [i, found] of [stateOf, startOf, sigmaOf].entries()) expect(found).toBeCloseTo(wanted[i], 12);
  });

  /** Eq. 7 of Ho et al. 2020 in the chain that knows only two timesteps, from the engine's own tables. */
  function jump(t: number, s: number) {
    const [at, after] = [schedule.alphasCumprod[t], schedule.alphasCumprod[s]];
    const two = createSchedule(
      engine,
      { ...config, num_train_timesteps: 2, trained_betas: [1 - after, 1 - at / after] },
      { precision: 'float64' },
    );
    return {
      posteriorMeanCoef1: two.posteriorMeanCoef1[1],
      posteriorMeanCoef2: two.posteriorMeanCoef2[1],
      posteriorVariance: two.posteriorVariance[1],
    };
  }

  it('compares samplers on one seed: each image within a grey level of what Node samples', async () => {
    await goTo('#compare?class=Coat&seed=3&samplers=ddim dpm-solver%2B%2B&steps=2 5');
    await panel('compare').getByRole('button', { name: 'Compare' }).click();
    await done('compare');
    const cells = panel('compare').locator('td');
    expect(await cells.locator('small').allTextContents()).toEqual(
      expect.arrayContaining([expect.stringMatching(/^2 calls, [\d.]+ s$/), expect.stringMatching(/^5 calls/)]),
    );
    expect(await cells.locator('canvas').count()).toBe(4);
    const expected = await drawnBytes('fashion', { sampler: 'dpm-solver++', steps: 5, seed: 3, class: 'Coat' });
    const found = await redOf('#compare [aria-label="dpm-solver++, 5 steps"]');
    expect(differ(found, red(expected))).toBeLessThanOrEqual(1);
  });

  it('makes pictures, and takes files: a dropped image covers 28x28, an idx file is read, what is neither is named', async () => {
    const shelf = panel('pictures').locator('.shelf canvas');
    await shelf.nth(9).waitFor();
    await page.getByRole('button', { name: 'Remove all' }).click();
    expect(await shelf.count()).toBe(0);
    await page.locator('#files').setInputFiles([
      { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('no picture at all') },
      { name: 'two-idx3-ubyte', mimeType: '', buffer: Buffer.from(idx([2, 28, 28])) },
    ]);
    const said = (text: string) => panel('pictures').locator('[role=status]', { hasText: text });
    await said('2 pictures added.').waitFor();
    expect(await said('added').textContent()).toMatch(/^2 pictures added\. notes\.txt: expected a folder or zip/);
    await page.evaluate(
      (bytes) => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([Uint8Array.from(bytes)], 'photo.png', { type: 'image/png' }));
        document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true }));
      },
      [...encodePng(photo)],
    );
    await said('1 picture added.').waitFor();
    // the newest are in front
    const names = await shelf.evaluateAll((all) => all.map((one) => one.getAttribute('aria-label')));
    expect(names).toEqual(['photo.png', 'two-idx3-ubyte, 1', 'two-idx3-ubyte, 2']);
    expect(await redOf('#pictures [aria-label="photo.png"]')).toEqual([...small[0]]);
    expect(await redOf('#pictures [aria-label="two-idx3-ubyte, 2"]')).toEqual([...small[1].subarray(784)]);
  });

  it('takes a drawing, made with the keyboard alone', async () => {
    await panel('pictures').locator('summary').press('Enter');
    const pad = panel('pictures').locator('drawing-pad canvas');
    await pad.press('Space');
    for (let i = 0; i < 5; i++) await pad.press('ArrowRight');
    await pad.press('Space');
    await page.getByRole('button', { name: 'Keep the drawing' }).press('Enter');
    const drawing = await redOf('#pictures [aria-label="Drawing"]');
    const place = (x: number) => drawing[14 * 28 + x];
    expect([14, 19, 24].map(place)).toEqual([255, 255, 0]);
    await page.getByRole('button', { name: 'Remove Drawing' }).click();
  });

  it('noises the picture to x_t bit for bit, and gives beta, the mixture and SNR of each schedule', async () => {
    await goTo('#forward?t=500&schedule=squaredcos_cap_v2&seed=9');
    await panel('forward').getByText('at t = 500').waitFor();
    const cosine = createSchedule(engine, { ...config, beta_schedule: 'squaredcos_cap_v2' });
    const noise = randn(engine, [1, 1, 28, 28], { seed: 9 });
    const noised = addNoise(cosine, first, 500, noise);
    expect(await redOf('#forward-state')).toEqual([...grey(noised)]);
    const abar = cosine.alphasCumprod[500];
    expect(await numbersIn('#forward-numbers')).toEqual([
      cosine.betas[500],
      Math.sqrt(abar),
      Math.sqrt(1 - abar),
      expect.closeTo(abar / (1 - abar), 9),
    ]);
    await panel('forward').getByRole('slider').press('End');
    expect((await numbersIn('#forward-numbers'))[0]).toBe(cosine.betas[999]);
    expect(page.url()).toBe(`${url}#forward?t=999&schedule=squaredcos_cap_v2&seed=9`);
    await panel('forward').getByText('exp', { exact: true }).click();
    const { betas } = createSchedule(engine, { ...config, beta_schedule: 'exp' });
    expect((await numbersIn('#forward-numbers'))[0]).toBe(betas[999]);
    expect(await panel('forward').locator('plot-view svg').count()).toBe(4);
  });

  it('inverts a picture and makes it again as Node does, within two grey levels', async () => {
    await goTo('#edit?tool=invert');
    await panel('edit').getByLabel('Steps').fill('3');
    await panel('edit').getByRole('button', { name: 'Invert' }).click();
    await done('edit');
    const latents = await pipeline.invert(first, { steps: 3 });
    const again = await pipeline.reconstruct(latents, { steps: 3 });
    const canvases = panel('edit').locator('.trio canvas');
    expect(await canvases.count()).toBe(3);
    expect(differ(await redOf('#edit [aria-label="Its noise"]'), grey(latents))).toBeLessThanOrEqual(2);
    expect(differ(await redOf('#edit [aria-label="Made of the noise"]'), grey(again))).toBeLessThanOrEqual(2);
  });

  it('repaints what is painted over, and keeps every other pixel', async () => {
    await panel('edit').getByText('Repaint', { exact: true }).click();
    await panel('edit').getByLabel('Steps').fill('3');
    const pad = panel('edit').locator('drawing-pad canvas');
    await panel('edit').getByRole('button', { name: 'Repaint' }).click();
    await panel('edit').locator('[role=alert]', { hasText: 'Nothing is painted over yet.' }).waitFor();
    await pad.scrollIntoViewIfNeeded();
    const { x, y, width, height } = (await pad.boundingBox())!;
    await page.mouse.move(x + 0.3 * width, y + 0.5 * height);
    await page.mouse.down();
    await page.mouse.move(x + 0.7 * width, y + 0.5 * height);
    await page.mouse.up();
    await pad.press('ArrowUp');
    await pad.press('Space');
    await panel('edit').getByRole('button', { name: 'Repaint' }).click();
    await done('edit');
    const mask = await panel('edit')
      .locator('drawing-pad')
      .evaluate((pad) => Array.from((pad as unknown as { ink: Float32Array }).ink, (ink) => ink > 0.5));
    const found = await redOf('#inpainted');
    const painted = mask.filter(Boolean).length;
    expect(painted).toBeGreaterThan(40);
    expect(painted).toBeLessThan(200);
    const changed = found.map((value, i) => value !== small[0][i]);
    expect(changed.filter((other, i) => other && !mask[i])).toEqual([]);
    expect(changed.filter((other, i) => other && mask[i]).length).toBeGreaterThan(0.9 * painted);
  });

  it('goes from one picture to another by way of their noises, as Node does within two grey levels', async () => {
    await panel('edit').getByText('Interpolate', { exact: true }).click();
    await panel('edit').getByLabel('Steps').fill('2');
    await panel('edit').getByLabel('Images').fill('3');
    await panel('edit').getByRole('button', { name: 'Interpolate' }).click();
    await done('edit');
    const two = { data: held.data.slice(0, 2 * 784), shape: [2, 1, 28, 28] };
    const { data } = await pipeline.invert(two, { steps: 2 });
    const [from, to] = [0, 784].map((at) => ({ data: data.slice(at, at + 784), shape: [1, 1, 28, 28] }));
    const way = await pipeline.interpolate({ from, to, count: 3, steps: 2 });
    for (const [i, share] of ['0 %', '50 %', '100 %'].entries()) {
      const image = { data: way.data.slice(784 * i, 784 * (i + 1)), shape: [1, 1, 28, 28] };
      expect(differ(await redOf(`#way [aria-label="${share} of the way"]`), grey(image))).toBeLessThanOrEqual(2);
    }
  });

  it('measures the loss by timestep and the bound as Node does, within 1e-4', async () => {
    await goTo('#loss?measure=simple&class=Coat&seed=2');
    await panel('loss').getByRole('button', { name: 'Measure on 3 pictures' }).click();
    await done('loss');
    const bytes = Uint8Array.from(small.flatMap((one) => [...one]));
    const images = [{ data: bytes, shape: [3, 1, 28, 28] }];
    const options = { metrics: ['simple'], class: 4, seed: 2, timestepsPerImage: 20 } as const;
    const { simple } = await pipeline.evaluate(images, options);
    const overall = await numbersIn('#loss-numbers');
    for (const [i, unit] of (['noise', 'start', 'velocity'] as const).entries())
      expect(Math.abs(overall[i] / simple![unit].mean - 1)).toBeLessThan(1e-4);
    const found = await numbersIn('#loss-table');
    const wanted = simple!.byTimestep.flatMap(({ mean, standardError }) => [mean, standardError]);
    expect(found.length).toBe(40);
    for (const [i, value] of wanted.entries()) expect(Math.abs(found[i] / value - 1)).toBeLessThan(1e-4);
    expect(await panel('loss').locator('plot-view svg').count()).toBe(1);

    for (const name of ['two-idx3-ubyte, 1', 'two-idx3-ubyte, 2'])
      await page.getByRole('button', { name: `Remove ${name}` }).click();
    await goTo('#loss?measure=vlb&class=Coat&seed=2');
    await panel('loss').getByRole('button', { name: 'Measure on 1 picture' }).click();
    await done('loss');
    const { vlb } = await pipeline.evaluate([{ data: bytes.subarray(0, 784), shape: [1, 1, 28, 28] }], {
      ...options,
      metrics: ['vlb'],
    });
    const parts = [vlb!.total.mean, vlb!.prior.mean, vlb!.reconstruction.mean];
    for (const [i, value] of (await numbersIn('#loss-numbers')).entries())
      expect(Math.abs(value / parts[i] - 1)).toBeLessThan(1e-4);
  });

  it('says what is wrong with settings that no plan has', async () => {
    await goTo('#sample?sampler=pndm&steps=1000000');
    await page.waitForFunction(() => document.querySelector<HTMLInputElement>('#sample input')!.value === '1000');
    await goTo('#sample?sampler=pndm&steps=1');
    await panel('sample').locator('[role=alert]', { hasText: '"steps"' }).waitFor();
    await goTo('#sample?steps=2');
    await done('sample');
  });

  it.each([
    ['light', 1440, 'invert'],
    ['dark', 1440, 'inpaint'],
    ['light', 375, 'inpaint'],
    ['dark', 375, 'interpolate'],
  ] as const)(
    'has nothing that axe finds, in %s and %i pixels wide, where nothing is cut off',
    async (colorScheme, width, tool) => {
      await page.setViewportSize({ width, height: 812 });
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await goTo(`#edit?tool=${tool}`);
      await panel('edit').locator(`${tool}-tool`).waitFor();
      await page.evaluate(() => {
        for (const details of document.querySelectorAll('details')) details.open = true;
      });
      await page.addScriptTag({ path: 'node_modules/axe-core/axe.min.js' });
      const found = await page.evaluate(async () => {
        const { axe } = globalThis as unknown as { axe: typeof import('axe-core') };
        const { violations, passes } = await axe.run({ resultTypes: ['violations'] });
        return {
          violations: violations.map(({ id, nodes }) => [id, ...nodes.map(({ html, any }) => [html, any[0]?.message])]),
          passes: passes.length,
          overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        };
      });
      expect(found.violations).toEqual([]);
      expect(found.passes).toBeGreaterThan(20);
      expect(found.overflow).toBe(0);
    },
  );

  it('has asked nobody else for anything, and complained of nothing', () => {
    expect(complaints).toEqual([]);
    expect(site.requests.some((request) => request.includes('/fashion/model.onnx'))).toBe(true);
  });

  it('is served on this machine alone, with the headers that threads need', async () => {
    const preview = [vite, 'preview', root, '--outDir', out, '--port', '0'];
    const server = spawn('node', preview, { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const place = await new Promise<string>((resolve, reject) => {
        let text = '';
        server.stdout.on('data', (more) => {
          text += String(more)
            .replaceAll(String.fromCharCode(27), '')
            .replace(/\[\d+m/g, '');
          const [found] = text.match(/http:\S+/) ?? [];
          if (found) resolve(found);
        });
        server.once('exit', (code) => reject(new Error(`it ended with ${code}`)));
      });
      expect(new URL(place).hostname).toBe('127.0.0.1');
      const { headers } = await fetch(place);
      expect([...headers]).toEqual(expect.arrayContaining(Object.entries(isolation)));
    } finally {
      server.kill();
    }
  });
});

/** The largest difference. */
function differ(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
}

function red(rgba: Uint8Array): Uint8Array {
  return rgba.filter((_, i) => i % 4 === 0);
}

/** Values in [-1, 1] as a canvas has them. */
function grey({ data }: Tensor): Uint8ClampedArray {
  return Uint8ClampedArray.from(data, (value) => (value * 0.5 + 0.5) * 255);
}

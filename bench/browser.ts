// What the bundled model does in Chromium, and the same model and steps in tfjs 4, run in turns in the same worker. WebGPU
// in software takes minutes. Run it with: npm run build && npm run bench:browser [-- page wasm webgpu]
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { type Browser, type BrowserContext, chromium } from 'playwright-core';
import { executablePath, isolation, serveSite } from '../test/browser/site.ts';
import type { TestServer } from '../test/runtime/server.ts';
import type { Contest, Entrant, Standing } from './browser/contest.ts';
import { type Figure, printFigures } from './figure.ts';

// what the pages' scripts define, for functions that run there
declare const firstImage: (device: 'wasm' | 'webgpu', steps: number) => Promise<number>;
declare const longestTask: (steps: number) => Promise<number>;

const firstSteps = 10;

const groups = ['page', 'wasm', 'webgpu'] as const;

/** The figures of some groups, one after another; an entrant that does not run here is named with its reason. */
export async function* browserFigures(
  wanted: readonly string[] = groups,
): AsyncGenerator<readonly Figure[], void, void> {
  if (!executablePath) throw new Error('no Chromium here');
  const pages = await bundles();
  const [plain, isolated] = [await serveSite(pages), await serveSite(pages, isolation)];
  const args = ['--no-sandbox', '--enable-unsafe-webgpu'];
  const browser = await chromium.launch({ executablePath, args });
  try {
    const adapter = await adapterOf(browser, plain);
    console.log(`Chromium ${browser.version()}, WebGPU on ${adapter.name}${adapter.isSoftware ? ', in software' : ''}`);
    if (wanted.includes('page')) {
      yield await firstImages(browser, plain, 'wasm');
      if (!adapter.isSoftware) yield await firstImages(browser, plain, 'webgpu');
    }
    if (wanted.includes('wasm')) {
      yield await contestOnWasm(browser, plain, 1);
      yield await contestOnWasm(browser, isolated, 2);
    }
    if (wanted.includes('webgpu')) yield await contestOnGpu(browser, plain, adapter);
  } finally {
    await browser.close();
    await Promise.all([plain.close(), isolated.close()]);
  }
}

/** From the start of a page to its first image, with nothing in any cache and with what that left there. */
async function firstImages(browser: Browser, site: TestServer, device: 'wasm' | 'webgpu'): Promise<Figure[]> {
  const context = await browser.newContext();
  try {
    const page = await openPage(context, `${site.url}/page`);
    const first = () => page.evaluate(([device, steps]) => firstImage(device, steps), [device, firstSteps] as const);
    const cold = await first();
    await page.reload();
    await page.waitForFunction('globalThis.firstImage');
    const warm = await first();
    const longest = await page.evaluate(() => longestTask(20));
    return [
      { name: `${device}: first image of ${firstSteps} steps, empty caches`, value: cold, unit: 'ms' },
      { name: `${device}: the same, caches filled`, value: warm, unit: 'ms' },
      {
        name: `${device}: longest task over 50 ms in the page meanwhile (0: none)`,
        value: longest,
        unit: 'ms',
        target: '<= 50',
      },
    ];
  } finally {
    await context.close();
  }
}

async function contestOnWasm(browser: Browser, site: TestServer, threads: number): Promise<Figure[]> {
  const name = `wasm, ${threads} thread${threads > 1 ? 's' : ''}`;
  const [mine, peer] = [name, `tfjs ${name}`];
  const entrants: Entrant[] = [
    { name: mine, device: 'wasm' },
    { name: peer, backend: 'wasm' },
  ];
  const figures: Figure[] = [];
  for (const count of [1, 16]) {
    const standings = await hold(browser, site, { entrants, count, steps: 10, rounds: 5, threads });
    figures.push(...figuresOf(standings, count, [[mine, peer]]));
  }
  return figures;
}

/** In software a step of the bundled model takes seconds: few of them, of one image. */
async function contestOnGpu(browser: Browser, site: TestServer, { isSoftware }: Adapter): Promise<Figure[]> {
  const [on, off] = ['WebGPU, images stay', 'WebGPU, images come back'];
  const entrants: Entrant[] = [
    { name: on, device: 'webgpu', resident: true },
    { name: off, device: 'webgpu', resident: false },
    { name: 'tfjs WebGPU', backend: 'webgpu' },
    { name: 'tfjs WebGL', backend: 'webgl' },
  ];
  const pairs = [off, 'tfjs WebGPU', 'tfjs WebGL'].map((other) => [on, other] as const);
  const figures: Figure[] = [];
  for (const count of isSoftware ? [1] : [1, 16]) {
    const size = isSoftware ? { steps: 2, rounds: 2 } : { steps: 20, rounds: 5 };
    figures.push(...figuresOf(await hold(browser, site, { entrants, count, ...size, threads: 1 }), count, pairs));
  }
  return figures;
}

function figuresOf(
  standings: readonly Standing[],
  count: number,
  pairs: readonly (readonly [string, string])[],
): Figure[] {
  const speed = new Map(standings.map(({ name, stepsPerSecond }) => [name, stepsPerSecond]));
  for (const { name, problem } of standings) if (problem) console.log(`${name}: left out, ${problem}`);
  const of = count === 1 ? 'one image' : `${count} images`;
  const speeds = [...speed].flatMap(([name, value]) =>
    value === undefined ? [] : [{ name: `${name}: steps of ${of}`, value, unit: 'a second' }],
  );
  const ratios = pairs.flatMap(([a, b]) => {
    const [mine, other] = [speed.get(a), speed.get(b)];
    return mine && other ? [{ name: `${a} over ${b}, ${of}`, value: mine / other, unit: 'x' }] : [];
  });
  return [...speeds, ...ratios];
}

/** Holds a contest in a worker of a page of its own. */
async function hold(browser: Browser, site: TestServer, contest: Contest): Promise<readonly Standing[]> {
  const context = await browser.newContext();
  try {
    const page = await openPage(context, `${site.url}/page`);
    const answer = await page.evaluate(
      (contest) =>
        new Promise<readonly Standing[] | string>((resolve) => {
          const worker = new Worker('/contest.js', { type: 'module' });
          worker.onmessage = ({ data }) => resolve(data);
          worker.onerror = ({ message }) => resolve(`the worker failed: ${message}`);
          worker.postMessage(contest);
        }),
      contest,
    );
    if (typeof answer === 'string') throw new Error(answer);
    return answer;
  } finally {
    await context.close();
  }
}

async function openPage(context: BrowserContext, url: string) {
  const page = await context.newPage();
  page.setDefaultTimeout(0);
  await page.goto(url);
  await page.waitForFunction('globalThis.firstImage');
  return page;
}

interface Adapter {
  readonly name: string;
  readonly isSoftware: boolean;
}

async function adapterOf(browser: Browser, site: TestServer): Promise<Adapter> {
  const context = await browser.newContext();
  const page = await openPage(context, `${site.url}/page`);
  const adapter = await page.evaluate(async () => {
    const { gpu } = navigator as unknown as { gpu?: GPU };
    const info = (await gpu?.requestAdapter())?.info;
    return info && { name: info.description || info.architecture || info.vendor, isSoftware: info.isFallbackAdapter };
  });
  await context.close();
  return adapter ?? { name: 'nothing', isSoftware: true };
}

/** The pages' scripts, and the files of tfjs' wasm backend in /tfjs. */
async function bundles(): Promise<Record<string, Uint8Array | string>> {
  const { outputFiles } = await build({
    entryPoints: ['bench/browser/contest.ts', 'bench/browser/page.ts'],
    ...{
      bundle: true,
      splitting: true,
      format: 'esm',
      platform: 'browser',
      outdir: '/out',
      write: false,
      minify: true,
    },
    conditions: ['onnxruntime-web-use-extern-wasm'],
    tsconfigRaw: {}, // the paths of tsconfig.json lead to the sources
    logLevel: 'error',
  });
  const tfjs = 'node_modules/@tensorflow/tfjs-backend-wasm/dist';
  const variants = ['', '-simd', '-threaded-simd'].map((variant) => `tfjs-backend-wasm${variant}.wasm`);
  const found = variants.filter((file) => existsSync(path.join(tfjs, file)));
  return {
    ...Object.fromEntries(outputFiles.map((file) => [`/${path.basename(file.path)}`, file.contents])),
    ...Object.fromEntries(found.map((file) => [`/tfjs/${file}`, readFileSync(path.join(tfjs, file))])),
    '/page': `<!doctype html><html lang="en"><title>bench</title><link rel="icon" href="data:,"><canvas></canvas>
      <script type="module" src="/page.js"></script></html>`,
  };
}

function askedFor(names: readonly string[]): readonly string[] {
  const unknown = names.find((name) => !groups.some((group) => group === name));
  if (unknown !== undefined) throw new RangeError(`expected some of ${groups.join(', ')}, got ${unknown}`);
  return names.length > 0 ? names : groups;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href)
  for await (const figures of browserFigures(askedFor(process.argv.slice(2)))) printFigures(figures);

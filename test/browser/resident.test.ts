import { createHash } from 'node:crypto';
import path from 'node:path';
import { build } from 'esbuild';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WorkerOptions, WorkerPipeline } from '../../src/browser/client.ts';
import type { Pipeline, PipelineOptions, SampleOptions } from '../../src/index.ts';
import { GraphBuilder } from '../../src/onnx/index.ts';
import type { TestServer } from '../runtime/server.ts';
import { maxDifference } from '../support/goldens.ts';
import { executablePath, type Files, openPage, serveSite } from './site.ts';

if (!executablePath) console.log('no Chromium: images that stay on the GPU are not tested');

// what the page's script defines, for functions that run there
declare const counts: { buffers: number; reads: number };
declare const load: (options: PipelineOptions, source?: string) => Promise<Pipeline>;
declare const loadWorker: (options: WorkerOptions) => Promise<WorkerPipeline>;
declare const pipelines: { on: Pipeline; off: Pipeline };

// counts what comes back from the GPU, and the buffers there that are not destroyed
const script = `
  import { loadPipeline } from './dist/index.js';
  import { loadWorkerPipeline } from './dist/browser/client.js';
  globalThis.loadWorker = (options) => {
    const worker = () => new Worker('/dist/standalone/worker.js', { type: 'module' });
    return loadWorkerPipeline('/small', { device: 'webgpu', wasmPaths: '/ort/', cache: false, worker, ...options });
  };
  globalThis.load = (options, source = '/small') =>
    loadPipeline(source, { device: 'webgpu', wasmPaths: '/ort/', batch: 4, cache: false, ...options });
  globalThis.counts = { buffers: 0, reads: 0 };
  const count = (type, method, counter, by) => {
    const original = type.prototype[method];
    type.prototype[method] = function (...args) {
      counts[counter] += by;
      return original.apply(this, args);
    };
  };
  count(GPUDevice, 'createBuffer', 'buffers', 1);
  count(GPUBuffer, 'destroy', 'buffers', -1);
  count(GPUBuffer, 'mapAsync', 'reads', 1);
`;

const shape = ['N', 2, 5, 3];

/** A network of few operators, whose answer depends on the image, the timestep and the class. */
function smallNetwork(): Uint8Array {
  const g = new GraphBuilder('small');
  const x = g.input('sample', 'float32', shape);
  const column = (value: string) => g.op('Reshape', [value, g.intVector([-1, 1, 1, 1])]);
  const t = column(g.input('timestep', 'float32', ['N']));
  const labels = g.input('class_labels', 'int64', ['N']);
  const bias = column(g.op('Gather', [g.floats('embedding', [3, 1], Float32Array.of(-0.3, 0.4, 0.1)), labels]));
  const sum = g.op('Add', [g.op('Add', [g.op('Mul', [x, g.scalar(0.8)]), bias]), g.op('Mul', [t, g.scalar(5e-4)])]);
  g.output('out_sample', 'float32', shape, g.op('Tanh', [sum]));
  return g.toBytes();
}

/** One that gives no numbers at t = 500; with `images`, of so many images a call only. */
function otherNetwork(images: number | string): Uint8Array {
  const g = new GraphBuilder('other');
  const x = g.input('sample', 'float32', [images, ...shape.slice(1)]);
  const t = g.input('timestep', 'float32', [images]);
  const gap = g.op('Reshape', [g.op('Sub', [t, g.scalar(500)]), g.intVector([-1, 1, 1, 1])]);
  g.output('out_sample', 'float32', [images, ...shape.slice(1)], g.op('Div', [g.op('Sub', [x, x]), gap]));
  return g.toBytes();
}

function modelFiles(folder: string, network: Uint8Array, more: Files = {}): Files {
  const files = { 'model.onnx': network, 'scheduler_config.json': '{}', ...more };
  const list = Object.entries(files).map(([name, body]) => {
    return [name, { sha256: createHash('sha256').update(body).digest('hex') }];
  });
  const all = { ...files, 'files.json': JSON.stringify(Object.fromEntries(list)) };
  return Object.fromEntries(Object.entries(all).map(([name, body]) => [`/${folder}/${name}`, body]));
}

describe.skipIf(!executablePath)('on WebGPU, images that stay on the GPU between steps', () => {
  let site: TestServer;
  let browser: Browser;
  let page: Page;
  let complaints: string[];

  beforeAll(async () => {
    const { outputFiles } = await build({
      stdin: { contents: script, resolveDir: path.resolve('.') },
      ...{ bundle: true, splitting: true, format: 'esm', platform: 'browser', outdir: '/out', write: false },
      conditions: ['onnxruntime-web-use-extern-wasm'],
      tsconfigRaw: {}, // the paths of tsconfig.json lead to the sources
      logLevel: 'error',
    });
    const head = '<!doctype html><html lang="en"><title>test</title><link rel="icon" href="data:,">';
    site = await serveSite({
      '/': `${head}<script type="module" src="/stdin.js"></script></html>`,
      ...Object.fromEntries(outputFiles.map((file) => [`/${path.basename(file.path)}`, file.contents])),
      ...modelFiles('small', smallNetwork(), { 'labels.json': '{ "labels": ["ant", "bee"], "unconditional": 2 }' }),
      ...modelFiles('failing', otherNetwork('N')),
      ...modelFiles('fixed', otherNetwork(2)),
    });
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--enable-unsafe-webgpu'] });
    ({ page, complaints } = await openPage(await browser.newContext(), site.url, 'globalThis.load'));
    await page.evaluate(async () => {
      const [on, off] = [await load({ resident: true }), await load({ resident: false })];
      Object.assign(globalThis, { pipelines: { on, off } });
    });
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
  });

  /** The numbers of every step and of the whole run each way, and how often anything came back from the GPU. */
  const bothWays = (options: SampleOptions) =>
    page.evaluate(async (options) => {
      const run = async (pipeline: Pipeline) => {
        const steps: number[][] = [];
        for await (const { x, start } of pipeline.steps(options)) steps.push([...x.data, ...start.data]);
        const before = counts.reads;
        const { data, shape } = await pipeline.sample(options);
        return { steps, images: [...data], shape, reads: counts.reads - before };
      };
      return { on: await run(pipelines.on), off: await run(pipelines.off) };
    }, options);

  it.each<[string, SampleOptions]>([
    ['ddim, which adds no noise', { sampler: 'ddim', steps: 4, count: 2 }],
    ['ddpm, whose noise is uploaded', { sampler: 'ddpm', steps: 4, count: 6 }],
    ['dpm-solver++, which keeps what it estimated', { sampler: 'dpm-solver++', steps: 5 }],
    ['unipc, which keeps x as well', { sampler: 'unipc', steps: 5 }],
    ['pndm, which keeps answers', { sampler: 'pndm', steps: 4 }],
    ['edm, with rows that call no network', { sampler: 'edm', steps: 3, sChurn: 2 }],
    ['classes with guidance', { sampler: 'ddim', eta: 1, steps: 3, count: 5, class: 'bee', guidance: 3 }],
    ["torch's random numbers", { sampler: 'ddpm', steps: 4, rng: 'torch' }],
  ])('are the engine’s within 1e-6 at every step, and come back once: %s', async (_, options) => {
    const { on, off } = await bothWays({ seed: 4, ...options });
    expect(on.steps.length).toBe(off.steps.length);
    const apart = off.steps.map((step, i) => maxDifference(on.steps[i], step));
    expect(Math.max(...apart, maxDifference(on.images, off.images))).toBeLessThan(1e-6);
    expect(on.shape).toEqual(off.shape);
    const batches = Math.ceil(on.shape[0] / (options.guidance ? 2 : 4));
    expect(on.reads).toBe(batches);
    expect(off.reads).toBeGreaterThanOrEqual(off.steps.length);
    expect(complaints).toEqual([]);
  });

  it('come back as often as they are asked for, in steps as well', async () => {
    const found = await page.evaluate(async () => {
      const reads: number[] = [];
      for await (const { index } of pipelines.on.steps({ sampler: 'ddim', steps: 7, every: 3 }))
        reads.push(index, counts.reads);
      return reads.map((n, i) => (i % 2 ? n - reads[1] : n));
    });
    expect(found).toEqual([2, 0, 5, 2, 6, 4]); // x and start
  });

  it.each<[string, SampleOptions]>([
    ['thresholding', { sampler: 'ddim', steps: 3, thresholding: true }],
    ['a rescaled guidance', { sampler: 'ddim', steps: 3, class: 0, guidance: 2, guidanceRescale: 0.7 }],
    ['a corrector', { sampler: 'euler-maruyama', steps: 3, correctorSteps: 1 }],
  ])('are not kept there where the engine is needed, and are its to the bit: %s', async (_, options) => {
    const { on, off } = await bothWays({ seed: 4, ...options });
    expect(on.images).toEqual(off.images);
    expect(on.reads).toBe(off.reads);
  });

  it('are not kept there with a guide or a mask, either', async () => {
    const same = await page.evaluate(async () => {
      const init = { data: new Float32Array(30).fill(0.5), shape: [1, 2, 5, 3] };
      const mask = { data: Float32Array.from({ length: 15 }, (_, i) => i % 2), shape: [1, 1, 5, 3] };
      const edits: SampleOptions[] = [{ init, mask }, { guide: (start) => start }];
      const images = async (pipeline: Pipeline, edit: SampleOptions) =>
        (await pipeline.sample({ sampler: 'ddim', steps: 3, ...edit })).data.join();
      return Promise.all(
        edits.map(async (edit) => (await images(pipelines.on, edit)) === (await images(pipelines.off, edit))),
      );
    });
    expect(same).toEqual([true, true]);
  });

  it('start from images noised by the engine', async () => {
    const parts = await page.evaluate(() => {
      const init = { data: new Float32Array(60).fill(0.5), shape: [2, 2, 5, 3] };
      const options = { sampler: 'ddim', steps: 8, init, strength: 0.5 } as const;
      return Promise.all(
        [pipelines.on, pipelines.off].map(async (pipeline) => [...(await pipeline.sample(options)).data]),
      );
    });
    expect(maxDifference(parts[0], parts[1])).toBeLessThan(1e-6);
  });

  it('leave nothing there after a run, be it whole, left or cancelled', async () => {
    const [before, after, fate] = await page.evaluate(async () => {
      const options = { sampler: 'ddpm', steps: 6, count: 6 } as const;
      const round = async () => {
        await pipelines.on.sample(options);
        for await (const { index } of pipelines.on.steps(options)) if (index === 1) break;
        const cancel = new AbortController();
        // as a message does, a timer comes in a turn of its own
        setTimeout(() => cancel.abort());
        return pipelines.on.sample({ ...options, steps: 500, signal: cancel.signal }).catch(({ name }) => name);
      };
      await round();
      const before = counts.buffers;
      for (let i = 0; i < 3; i++) await round();
      const after = counts.buffers;
      return [before, after, await round()];
    });
    expect(after).toBe(before);
    expect(fate).toBe('AbortError');
  });

  it('stay there for a pipeline in a worker as well, whose run can be cancelled', async () => {
    const { notes, images, expected, fate } = await page.evaluate(async () => {
      const worker = await loadWorker({ resident: true });
      const options = { sampler: 'ddim', steps: 4, count: 2, seed: 9 } as const;
      const [{ data: images }, { data: expected }] = [await worker.sample(options), await pipelines.on.sample(options)];
      const long = worker.sample({ sampler: 'ddpm', steps: 1000 }).catch(({ code }) => code);
      setTimeout(() => worker.cancel(), 100);
      const fate = [await long, (await worker.sample({ steps: 1 })).data.length];
      await worker.dispose();
      return { notes: worker.notes, images: [...images], expected: [...expected], fate };
    });
    expect(notes).toContain('images stay on the GPU between steps, as asked for');
    expect(maxDifference(images, expected)).toBeLessThan(1e-6);
    expect(fate).toEqual(['cancelled', 30]);
  });

  it('that are no numbers are reported when they come back', async () => {
    const failure = await page.evaluate(async () => {
      const pipeline = await load({ resident: true }, '/failing');
      const timesteps = [900, 500, 100, 0];
      const failed = await pipeline
        .sample({ sampler: 'ddim', timesteps })
        .catch(({ code, message }) => [code, message]);
      await pipeline.dispose();
      return failed;
    });
    expect(failure).toEqual([
      'network-failed',
      expect.stringMatching(/^the network gave NaN at step 4 of 4 \(timestep 0\) or before$/),
    ]);
  });

  it('are kept there as is asked, else where a trial is faster, and `notes` say which and why', async () => {
    const found = await page.evaluate(async () => {
      const [fixed, measured] = [await load({ resident: true }, '/fixed'), await load({})];
      const before = counts.reads;
      await measured.sample({ sampler: 'ddim', steps: 5 });
      const reads = counts.reads - before;
      await Promise.all([fixed.dispose(), measured.dispose()]);
      const notes = ({ notes }: Pipeline) => notes.filter((note) => note.startsWith('images '));
      return {
        on: notes(pipelines.on),
        off: notes(pipelines.off),
        fixed: notes(fixed),
        measured: notes(measured),
        reads,
      };
    });
    expect(found.on).toEqual(['images stay on the GPU between steps, as asked for']);
    expect(found.off).toEqual([]);
    expect(found.fixed).toEqual(['images come from the GPU at each step: the network takes a fixed number of images']);
    const [note] = found.measured;
    expect(note).toMatch(
      /^images (stay on the GPU between steps|come from the GPU at each step)(: [\d.]+ ms a step, and not [\d.]+ ms|, which takes \d+ ms)$/,
    );
    // a machine that is busy may take so long for a step that there is no second time
    const [chosen, other = chosen] = note.match(/[\d.]+(?= ms)/g)!.map(Number);
    expect(chosen).toBeLessThanOrEqual(other);
    expect(found.reads).toBe(note.startsWith('images stay') ? 1 : 5);
  });
});

// In a page: how soon the first image is there, and what stops the page while a worker samples.
import { drawImages, loadWorkerPipeline, type WorkerPipeline } from 'ddpm-wasm/worker';

const sampler = { sampler: 'ddim', eta: 0, count: 1, seed: 7, guidance: 0 } as const;
let pipeline: WorkerPipeline;

/** Milliseconds from the start of the page until an image of so many steps is drawn. */
async function firstImage(device: 'wasm' | 'webgpu', steps: number): Promise<number> {
  const worker = () => new Worker('/dist/standalone/worker.js', { type: 'module' });
  pipeline = await loadWorkerPipeline('/models/fashion', { device, wasmPaths: '/ort/', worker });
  drawImages(document.querySelector('canvas')!, await pipeline.sample({ ...sampler, steps }));
  return performance.now();
}

/** The longest task of the page over 50 ms while a worker samples and every step is drawn; 0 if there is none. */
async function longestTask(steps: number): Promise<number> {
  let tasks: number[] = [];
  const observer = new PerformanceObserver((list) => {
    tasks.push(...list.getEntries().map(({ duration }) => duration));
  });
  observer.observe({ type: 'longtask' });
  const heard = () => new Promise((resolve) => setTimeout(resolve, 300));
  // that it would be heard of
  await new Promise((resolve) => setTimeout(resolve));
  for (const end = performance.now() + 100; performance.now() < end; );
  await heard();
  if (tasks.length === 0) throw new Error('this browser does not tell of long tasks');
  tasks = [];
  for await (const { x } of pipeline.steps({ ...sampler, count: 16, steps }))
    drawImages(document.querySelector('canvas')!, x);
  await heard();
  observer.disconnect();
  return Math.max(0, ...tasks);
}

Object.assign(globalThis, { firstImage, longestTask });

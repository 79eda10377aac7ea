// What inversion and reconstruction lose, 100 steps each way: mean absolute error in grey levels of 0 to 255, on 16 test
// images of Fashion-MNIST and the bundled model, and on two closed-form networks. Run it with: npx tsx bench/inversion.ts
import { existsSync, readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { fromPixels } from '../src/image/tensor.ts';
import {
  createEngine,
  createInversionPlan,
  createPlan,
  createSchedule,
  type Denoiser,
  loadPipeline,
  randn,
  runPlan,
  type Schedule,
  type Tensor,
} from '../src/index.ts';
import { type Figure, printFigures } from './figure.ts';
import { idxImages, readIdx } from './quality/idx.ts';

const testImages = new URL('../../shared/data/fashion-mnist/t10k-images-idx3-ubyte.gz', import.meta.url);
const steps = 100;
const shape = [16, 1, 28, 28];

/** The figures of the closed-form networks and, where the test images are there, of the bundled model. */
export async function inversionFigures(): Promise<Figure[]> {
  const engine = await createEngine();
  const schedule = createSchedule(engine, { clip_sample: false });
  const figures: Figure[] = [];
  const networks = { 'N(0.4, 0.25^2)': [[0.4], 0.25], 'a mixture at -0.5 and 0.5': [[-0.5, 0.5], 0.3] } as const;
  for (const [name, [means, deviation]] of Object.entries(networks)) {
    const denoiser = mixtureOracle(schedule, means, deviation);
    const noise = randn(engine, shape, { seed: 1 });
    const data = noise.data.map((z, i) => means[i % means.length] + deviation * z);
    for (const refine of [0, 1]) {
      const value = await roundTrip(schedule, denoiser, { data, shape }, refine);
      figures.push(figure(`inversion, ideal network of ${name}`, refine, value));
    }
  }
  return existsSync(testImages) ? [...figures, ...(await modelFigures())] : figures;
}

async function modelFigures(): Promise<Figure[]> {
  const pipeline = await loadPipeline('fashion', { device: 'cpu' });
  try {
    const images = fromPixels(pipeline.engine, idxImages(readIdx(readFileSync(testImages)), 0, 16));
    const figures: Figure[] = [];
    for (const refine of [0, 1, 2]) {
      const latents = await pipeline.invert(images, { steps, refine });
      const again = await pipeline.reconstruct(latents, { steps });
      figures.push(figure('inversion, fashion and 16 test images', refine, greyLevels(images, again)));
    }
    return figures;
  } finally {
    await pipeline.dispose();
  }
}

function figure(name: string, refine: number, value: number): Figure {
  return { name: `${name}, refine ${refine}`, value, unit: 'grey levels', ...(refine === 1 && { target: '<= 2' }) };
}

async function roundTrip(schedule: Schedule, denoiser: Denoiser, start: Tensor, refine: number): Promise<number> {
  const run = { shape: start.shape, seed: 0 };
  const latents = await runPlan(createInversionPlan(schedule, { steps, refine }), denoiser, { ...run, start });
  const back = createPlan(schedule, { sampler: 'ddim', steps });
  return greyLevels(start, await runPlan(back, denoiser, { ...run, start: latents }));
}

function greyLevels(a: Tensor, b: Tensor): number {
  return (127.5 * a.data.reduce((sum, value, i) => sum + Math.abs(value - b.data[i]), 0)) / a.data.length;
}

/** The best prediction of the noise where every pixel is drawn from an even mixture of normal distributions. */
function mixtureOracle({ alphasCumprod }: Schedule, means: readonly number[], deviation: number): Denoiser {
  return (x, [t]) => {
    const signal = Math.sqrt(alphasCumprod[t]);
    const variance = alphasCumprod[t] * deviation ** 2 + 1 - alphasCumprod[t];
    const data = x.data.map((value) => {
      const distances = means.map((mean) => value - signal * mean);
      const likelihoods = distances.map((d) => Math.exp(-(d ** 2) / (2 * variance)));
      const total = likelihoods.reduce((sum, p) => sum + p, 0);
      const pull = distances.reduce((sum, d, i) => sum + d * likelihoods[i], 0) / total;
      return (Math.sqrt(1 - alphasCumprod[t]) / variance) * pull;
    });
    return { data, shape: x.shape };
  };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) printFigures(await inversionFigures());

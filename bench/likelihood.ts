// What a likelihood takes in network calls and how near it is: two-dimensional mixtures, whose density is known, and a few
// test images of the bundled model at three tolerances. Run it with: npx tsx bench/likelihood.ts
import { existsSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { openDataset } from '../src/data/index.ts';
import { createEngine, createSchedule, likelihood, loadPipeline } from '../src/index.ts';
import { Mixture, mixtureOracle, randomNumbers } from '../test/support/mixture.ts';
import { type Figure, printFigures } from './figure.ts';

const testImages = fileURLToPath(new URL('../../shared/data/fashion-mnist/t10k-images-idx3-ubyte.gz', import.meta.url));
const points = 60;
const images = 8;

const around = (n: number, radius: number, deviation: number) =>
  Array.from({ length: n }, (_, k) => {
    const angle = (2 * Math.PI * k) / n;
    return { weight: 1 / n, mean: [radius * Math.cos(angle), radius * Math.sin(angle)], deviation };
  });
const mixtures = {
  'two parts': [
    { weight: 0.4, mean: [-0.5, 0.2], deviation: 0.2 },
    { weight: 0.6, mean: [0.4, -0.3], deviation: 0.3 },
  ],
  'a triangle': around(3, 0.8, 0.1),
  'a ring of eight': around(8, 0.7, 0.05),
};

/** Errors and network calls of points of mixtures at tolerance 1e-5. */
export async function mixtureFigures(): Promise<Figure[]> {
  const engine = await createEngine();
  const figures: Figure[] = [];
  for (const beta_schedule of ['linear', 'squaredcos_cap_v2'])
    for (const [name, components] of Object.entries(mixtures)) {
      const schedule = createSchedule(engine, { beta_schedule });
      const mixture = new Mixture(components);
      const x = mixture.sample(points, randomNumbers(3)).map((point) => point.map(Math.fround));
      const tensor = { data: Float32Array.from(x.flat()), shape: [points, 2] };
      const found = await likelihood(schedule, mixtureOracle(schedule, mixture).denoiser, tensor);
      const errors = x.map((p, i) => Math.abs(found.bitsPerDimension[i] + mixture.logDensity(p) / (2 * Math.LN2)));
      const title = `likelihood of ${name}, ${beta_schedule}`;
      figures.push(
        { name: `${title}: mean error`, value: 1000 * mean(errors), unit: 'mbits/dim', target: '<= 10' },
        { name: `${title}: worst error`, value: 1000 * Math.max(...errors), unit: 'mbits/dim' },
        { name: `${title}: mean calls`, value: mean(found.evaluations), unit: 'calls', target: '<= 150' },
        { name: `${title}: most calls`, value: Math.max(...found.evaluations), unit: 'calls' },
      );
    }
  return figures;
}

async function modelFigures(): Promise<Figure[]> {
  const pipeline = await loadPipeline('fashion', { device: 'cpu', batch: 64 });
  try {
    const figures: Figure[] = [];
    for (const tolerance of [1e-3, 1e-4, 1e-5]) {
      const data = await openDataset(testImages, { shape: pipeline.model.shape });
      const { likelihood } = await pipeline.evaluate(data, { metrics: ['likelihood'], count: images, tolerance });
      const title = `likelihood of ${images} test images, tolerance ${tolerance}`;
      figures.push(
        { name: title, value: likelihood!.bitsPerDimension.mean, unit: 'bits/dim' },
        { name: `${title}: mean calls`, value: likelihood!.calls.mean, unit: 'calls' },
      );
    }
    return figures;
  } finally {
    await pipeline.dispose();
  }
}

function mean(values: ArrayLike<number>): number {
  return Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  printFigures(await mixtureFigures());
  if (existsSync(testImages)) printFigures(await modelFigures());
}

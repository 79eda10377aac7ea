// What the losses and the bound cost beside the network: each result is checked, then timed. A figure is the least of a few
// repetitions, which other work on the machine disturbs least.
//   npx tsx bench/evaluate.ts
import { pathToFileURL } from 'node:url';
import { loadPipeline, type Pipeline, simpleLoss, type Tensor, variationalBound } from 'ddpm-wasm';
import { type Figure, printFigures } from './figure.ts';
import { withSessionTime } from './sessionTime.ts';

const count = 16;
const condition = { classLabels: Array.from({ length: count }, (_, i) => i % 10) };

/** All time of an evaluation outside `session.run`, over the time inside it. */
export async function evaluationFigures(): Promise<Figure[]> {
  return withSessionTime(async (inside) => {
    const pipeline = await loadPipeline('fashion', { device: 'cpu' });
    const images = await eightBitImages(pipeline);
    const { schedule, model } = pipeline;
    const options = { seed: 1, condition };
    const simple = async () => {
      const { noise } = await simpleLoss(schedule, model.denoiser, images, { ...options, timestepsPerImage: 20 });
      return noise;
    };
    const bound = async () =>
      (await variationalBound(schedule, model.denoiser, images, { ...options, timesteps: 20 })).total;
    const learned = { ...options, timesteps: 20, varianceType: 'learned_range' } as const;
    const widened = withVariance(model.denoiser);
    const range = async () => (await variationalBound(schedule, widened, images, learned)).total;
    const figures = [
      await overhead('simple loss', simple, inside, [0.001, 1]),
      await overhead('bound', bound, inside, [0.5, 8]),
      await overhead('bound with a learned range', range, inside, [0.5, 8]),
    ];
    await pipeline.dispose();
    return figures;
  });
}

/** The images that the model makes in a few steps, rounded to bytes. */
async function eightBitImages(pipeline: Pipeline): Promise<Tensor> {
  const { data, shape } = await pipeline.sample({ count, sampler: 'ddim', steps: 10, seed: 1 });
  const byte = (x: number) => Math.round((Math.min(Math.max(x, -1), 1) + 1) * 127.5);
  return { data: data.map((x) => Math.fround(byte(x) / 127.5) - 1), shape };
}

/** A network that also says the middle of the range of variances, as one trained for it would in the same call. */
function withVariance(denoiser: Pipeline['model']['denoiser']): typeof denoiser {
  const wide = async (...[x, timesteps, condition]: Parameters<typeof denoiser>) => {
    const { data } = await denoiser(x, timesteps, condition);
    const pixels = data.length / x.shape[0];
    const both = new Float32Array(2 * data.length);
    for (let i = 0; i < x.shape[0]; i++) both.set(data.subarray(i * pixels, (i + 1) * pixels), 2 * i * pixels);
    return { data: both, shape: [x.shape[0], 2, 28, 28] };
  };
  return Object.assign(wide, denoiser);
}

async function overhead(
  name: string,
  work: () => Promise<Float64Array>,
  inside: () => number,
  [low, high]: readonly [number, number],
): Promise<Figure> {
  const check = await work(); // also warms up
  const mean = check.reduce((sum, value) => sum + value, 0) / check.length;
  if (!(mean > low && mean < high)) throw new Error(`${name}: ${mean} is not in ${low}..${high}`);
  let least = Infinity;
  for (let repetition = 0; repetition < 4; repetition++) {
    const [before, started] = [inside(), performance.now()];
    const again = await work();
    const network = inside() - before;
    least = Math.min(least, (performance.now() - started - network) / network);
    if (again.some((value, i) => value !== check[i])) throw new Error(`${name}: the same seed gave two results`);
  }
  return {
    name: `${name}, fashion at ${count} images`,
    value: 100 * least,
    unit: '% of session.run',
    target: '<= 2',
  };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) printFigures(await evaluationFigures());

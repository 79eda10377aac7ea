import { variationalBound } from '../diffusion/bound.ts';
import { chainOf } from '../diffusion/chain.ts';
import type { Chunk } from './batches.ts';
import { growingEdges, RangeMeans, RunningMean } from './estimates.ts';
import type { Gauge, Subject } from './gauge.ts';

/** How many ranges of timesteps are told apart, at most. */
const ranges = 40;

/** What to find of the bound. */
export interface BoundGaugeOptions {
  readonly seed: number | bigint;
  readonly timesteps: number | 'all';
  readonly timestepRespacing?: string;
}

/** Gathers the variational bound. */
export function boundGauge({ model, schedule }: Subject, options: BoundGaugeOptions): Gauge {
  const { seed, timesteps, timestepRespacing } = options;
  const [total, prior, reconstruction] = Array.from({ length: 3 }, () => new RunningMean());
  const steps = chainOf(schedule, timestepRespacing).timesteps;
  const chain = steps.length;
  const perImage = timesteps === 'all' ? chain : Math.min(timesteps, chain);
  const edges = growingEdges(1, schedule.trainTimesteps, ranges);
  const terms = new RangeMeans(edges);
  const stepsIn = edges.slice(1).map(() => 0);
  for (let i = 1; i < chain; i++) stepsIn[terms.rangeOf(steps[i])]++;
  return {
    callsPerImage: perImage,
    async add({ first, x0, condition }: Chunk, how) {
      const bound = await variationalBound(schedule, model.denoiser, x0, {
        ...{ seed, first, condition, timesteps: perImage, timestepRespacing },
        ...how,
      });
      for (let image = 0; image < x0.shape[0]; image++) {
        total.add(bound.total[image]);
        prior.add(bound.prior[image]);
        reconstruction.add(bound.reconstruction[image]);
        // what an image says of a range: the terms that it took there, each for those that it did not
        const sums = stepsIn.map(() => 0);
        for (let j = image * bound.perImage; j < (image + 1) * bound.perImage; j++)
          sums[terms.rangeOf(bound.timesteps[j])] += bound.weights[j] * bound.terms[j];
        for (const [range, sum] of sums.entries()) terms.add(range, sum);
      }
      return bound.timesteps.length + x0.shape[0];
    },
    result: () => ({
      vlb: {
        total: total.estimate,
        prior: prior.estimate,
        reconstruction: reconstruction.estimate,
        terms: terms.estimates.map((term, i) => ({ ...term, steps: stepsIn[i] })).filter(({ steps }) => steps > 0),
        chain,
        timesteps: perImage,
      },
    }),
  };
}

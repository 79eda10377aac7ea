import { simpleLoss } from '../diffusion/simple.ts';
import type { Chunk } from './batches.ts';
import { evenEdges, RangeMeans, RunningMean } from './estimates.ts';
import type { Gauge, Subject } from './gauge.ts';

/** How many ranges of timesteps are told apart. */
const ranges = 20;

/** Gathers the error of the prediction. */
export function simpleGauge({ model, schedule }: Subject, options: { perImage: number; seed: number | bigint }): Gauge {
  const { perImage, seed } = options;
  const [noise, start, velocity, minSnr] = Array.from({ length: 4 }, () => new RunningMean());
  const byTimestep = new RangeMeans(evenEdges(schedule.trainTimesteps, ranges));
  return {
    callsPerImage: perImage,
    async add({ first, x0, condition }: Chunk, how) {
      const loss = await simpleLoss(schedule, model.denoiser, x0, {
        ...{ seed, first, condition, timestepsPerImage: perImage },
        ...how,
      });
      // timesteps of one image are no independent images: the standard error is of their means
      const meanOf = (values: Float64Array, image: number) =>
        values.subarray(image * perImage, (image + 1) * perImage).reduce((sum, value) => sum + value, 0) / perImage;
      const weighted = loss.noise.map((error, i) => loss.weights[i] * error);
      for (let image = 0; image < loss.count; image++) {
        noise.add(meanOf(loss.noise, image));
        start.add(meanOf(loss.start, image));
        velocity.add(meanOf(loss.velocity, image));
        minSnr.add(meanOf(weighted, image));
      }
      for (const [i, t] of loss.timesteps.entries()) byTimestep.add(byTimestep.rangeOf(t), loss.noise[i]);
      return loss.timesteps.length;
    },
    result: () => ({
      simple: {
        noise: noise.estimate,
        start: start.estimate,
        velocity: velocity.estimate,
        minSnr: minSnr.estimate,
        byTimestep: byTimestep.estimates,
      },
    }),
  };
}

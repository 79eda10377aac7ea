import { likelihood } from '../diffusion/likelihood.ts';
import type { Chunk } from './batches.ts';
import { RunningMean } from './estimates.ts';
import type { Gauge, Subject } from './gauge.ts';

/** What to find of the likelihood. */
export interface LikelihoodGaugeOptions {
  readonly seed: number | bigint;
  readonly tolerance?: number;
  readonly probes?: number;
}

/** What an image takes at the default tolerance, for the bar of progress alone. */
const usualCalls = 150;

/** Gathers the likelihood of 8-bit images. */
export function likelihoodGauge({ model, schedule }: Subject, options: LikelihoodGaugeOptions): Gauge {
  const [bits, calls, divergenceError] = Array.from({ length: 3 }, () => new RunningMean());
  return {
    callsPerImage: usualCalls,
    async add({ first, x0, condition }: Chunk, how) {
      const found = await likelihood(schedule, model.denoiser, x0, {
        ...{ ...options, first, condition, dequantize: true },
        ...how,
      });
      for (const value of found.bitsPerDimension) bits.add(value);
      for (const value of found.evaluations) calls.add(value);
      for (const value of found.divergenceError) divergenceError.add(value);
      return found.evaluations.reduce((sum, n) => sum + n, 0);
    },
    result: () => ({
      likelihood: {
        bitsPerDimension: bits.estimate,
        calls: calls.estimate,
        divergenceError: divergenceError.estimate,
      },
    }),
  };
}

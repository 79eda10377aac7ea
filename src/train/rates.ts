import type { TrainingConfig } from './configSchema.ts';
import type { Rates } from './member.ts';

/** What the rates of a step depend on besides the config. */
export interface Moment {
  /** The step, from 0 on. */
  readonly step: number;
  /** How much of the run is done, 0 to 1. */
  readonly progress: number;
}

/** The learning rate: a line up over the warm-up, then half a cosine down to a fraction (Loshchilov and Hutter 2017). */
export function learningRate({ optimizer }: Pick<TrainingConfig, 'optimizer'>, { step, progress }: Moment): number {
  const { learningRate, warmupSteps, finalFraction } = optimizer;
  if (step < warmupSteps) return (learningRate * (step + 1)) / warmupSteps;
  const cosine = (1 + Math.cos(Math.PI * Math.min(progress, 1))) / 2;
  return learningRate * (finalFraction + (1 - finalFraction) * cosine);
}

/** The numbers of a step for the optimizer's graph; `norm` is the gradient's, which is made as long as `clip` at most. */
export function ratesOf(config: Pick<TrainingConfig, 'optimizer' | 'ema'>, moment: Moment, norm: number): Rates {
  const { clip, betas } = config.optimizer;
  const factor = clip === null ? 1 : Math.min(1, clip / (norm + 1e-6));
  // Adam's moments begin at zero, and are taken for larger by what that is missing (Kingma and Ba 2015)
  const [first, second] = betas.map((beta) => 1 / (1 - power(beta, moment.step + 1)));
  return [factor, learningRate(config, moment), first, second, emaDecay(config.ema, moment.step)];
}

function emaDecay(ema: TrainingConfig['ema'], step: number): number {
  if (ema === null) return 0;
  return ema.ramp ? Math.min(ema.decay, (1 + step) / (10 + step)) : ema.decay;
}

/** `base` to a whole power, by squaring: the same on every machine. */
function power(base: number, exponent: number): number {
  let result = 1;
  for (let factor = base, n = exponent; n > 0; n = Math.floor(n / 2), factor *= factor)
    if (n % 2 === 1) result *= factor;
  return result;
}

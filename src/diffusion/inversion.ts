import { assertInteger } from '../core/assert.ts';
import { wrongValue } from '../core/errors.ts';
import { camelKeys } from '../core/schedulerConfig.ts';
import { derivePlan } from './derive.ts';
import { createPlan, type Plan, type PlanOptions, type PlanRow } from './plan.ts';
import type { Schedule } from './schedule.ts';

/**
 * What takes images to noise and back again without loss: DDIM without noise of its own, and without clipping. A clipped
 * start and the noise that the network saw no longer add up to x, and what was cut off does not come back.
 */
export const faithful = { sampler: 'ddim', eta: 0, clipSample: false, thresholding: false } as const;

/**
 * The plan that finds the noise of an image: DDIM run backwards (Song et al. 2021, section 4.3) over the timesteps that
 * the `ddim` plan of the same options comes back by. `clipSample` and `thresholding` are off unless asked for.
 *
 * A backward step takes the noise that the network sees in x_s for the noise in the x_t that it goes to. Each round of
 * `refine` asks again, in the x_t found so far, and takes the step anew from x_s: a fixed point of it is the exact
 * inverse of the `ddim` step (Pan et al. 2023, "Effective real image editing with accelerated iterative diffusion
 * inversion"). It costs one network call a step.
 *
 * @param options What `createPlan` takes for `ddim-inverse`, and `refine`, 0 to 100. Default 0.
 */
export function createInversionPlan(
  schedule: Schedule,
  options: PlanOptions & { readonly refine?: number } = {},
): Plan {
  const { refine = 0, ...rest } = camelKeys(options) as typeof options;
  assertInteger(refine, 'refine', 0, 100);
  const { clipSample = false, thresholding = false } = rest;
  const plan = createPlan(schedule, { ...rest, sampler: 'ddim-inverse', clipSample, thresholding });
  if (refine === 0) return plan;
  if (clipSample || thresholding) throw wrongValue('refine', '0 with a clipped start, which has no inverse', refine);

  const { predictionType, setAlphaToOne = schedule.config.setAlphaToOne ?? true } = rest;
  const timesteps = [...plan.timesteps].reverse();
  const back = createPlan(schedule, { ...faithful, timesteps, ...(predictionType && { predictionType }) }).rows;
  const { alphasCumprod: abar } = schedule;
  const rows = plan.rows.flatMap((row, i) => {
    const image = setAlphaToOne ? 1 : abar[0];
    const from = i === 0 ? image : abar[plan.timesteps[i - 1]];
    const again = refinedRow(row, back[back.length - 1 - i], { from, to: abar[plan.timesteps[i]] });
    // only the first call of a step begins at x_s
    return [{ ...row, store: 1, storeX: 1 }, ...new Array<PlanRow>(refine).fill(again)];
  });
  return derivePlan(plan, rows.map(Object.freeze) as PlanRow[]);
}

/**
 * sqrt(abar_t/abar_s) x_s + (sqrt(1 - abar_t) - sqrt(abar_t (1 - abar_s)/abar_s)) eps, the DDIM step solved for its x_t,
 * with x_s from slot 1 and eps = (x - sqrt(abar_t) start)/sqrt(1 - abar_t) read at x, where the last call led.
 */
function refinedRow(row: PlanRow, { a, b }: PlanRow, { from: s, to: t }: { from: number; to: number }): PlanRow {
  const noise = (Math.sqrt(1 - t) - Math.sqrt((t * (1 - s)) / s)) / Math.sqrt(1 - t);
  const signal = -noise * Math.sqrt(t);
  return { ...row, a, b, x: noise + signal * a, model: signal * b, start: 0, h1: Math.sqrt(t / s) };
}

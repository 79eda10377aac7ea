import { assertNumber } from '../core/assert.ts';
import { isArgumentError, wrongValue } from '../core/errors.ts';
import { derivePlan, historyWeights } from './derive.ts';
import { createPlan, type Plan, type PlanOptions, type PlanRow } from './plan.ts';
import type { Schedule } from './schedule.ts';

/**
 * The last part of a plan, for images that are noised only so far (SDEdit, Meng et al. 2022): of n steps the last
 * floor(n * strength) are left, as in diffusers. Run it with `init`, which noises the images to where it begins.
 *
 * A plan of single steps is cut. One whose steps lean on those before is made anew over the timesteps that are left, so
 * that it begins with its own first steps.
 *
 * @param options What `createPlan` takes, and `strength` in (0, 1]: 1 keeps all steps, less keeps more of the images.
 * @throws TypeError or RangeError naming the option, "strength" also where a sampler cannot begin in the middle.
 */
export function createPartialPlan(schedule: Schedule, options: PlanOptions & { readonly strength: number }): Plan {
  const { strength, ...rest } = options;
  assertNumber(strength, 'strength', 0, 1);
  const plan = createPlan(schedule, rest);
  if (plan.sampler === 'ddim-inverse') throw wrongValue('sampler', 'one that goes from noise to images', plan.sampler);
  const cuts = singleSteps(plan);
  const steps = cuts?.length ?? plan.calls;
  const left = Math.floor(steps * strength);
  if (left === steps) return Object.freeze({ ...plan, initialScale: 1 });
  if (left === 0) throw wrongValue('strength', `at least ${1 / steps}, which leaves one step of ${steps}`, strength);
  if (cuts)
    return derivePlan(plan, plan.rows.slice(cuts[steps - left]), {
      initialScale: 1,
      sigmas: plan.sigmas.slice(-left - 1),
    });
  return { ...planOver(schedule, options, plan.timesteps.slice(steps - left)), initialScale: 1 };
}

/** The plan over just these timesteps, which begins as every plan of its sampler does. */
function planOver(
  schedule: Schedule,
  { strength, ...options }: Parameters<typeof createPartialPlan>[1],
  timesteps: readonly number[],
): Plan {
  try {
    return createPlan(schedule, { ...options, steps: undefined, timestepRespacing: undefined, timesteps });
  } catch (error) {
    if (!isArgumentError(error)) throw error;
    throw wrongValue('strength', `1, as a plan like this cannot begin in the middle (${error.message})`, strength);
  }
}

/** Where each step begins, if every one of them can begin a plan. */
function singleSteps({ rows, sigmas, calls }: Plan): number[] | undefined {
  const starts = beginnings(rows);
  return starts.length === (sigmas.length > 0 ? sigmas.length - 1 : calls) ? starts : undefined;
}

/** The rows that a plan can begin with, as nothing from there on reads what came before. */
function beginnings(rows: readonly PlanRow[]): number[] {
  const read = new Set<number>();
  const found: number[] = [];
  for (let i = rows.length - 1; i >= 0; i--) {
    const row = rows[i];
    // a row reads its slots before it stores
    read.delete(row.store);
    for (const [slot, weight] of historyWeights.entries()) if (row[weight] !== 0) read.add(slot + 1);
    const begins = row.calls > 0 || (keepsX(row) && rows[i + 1]?.calls > 0 && found[0] !== i + 1);
    if (read.size === 0 && begins) found.unshift(i);
  }
  return found;
}

/** Whether a row does nothing but keep x for the row that asks the network. */
function keepsX(row: PlanRow): boolean {
  const { x, model, start, sigma, store, storeModel, storeStart } = row;
  return store > 0 && x === 1 && [model, start, sigma, storeModel, storeStart].every((weight) => weight === 0);
}

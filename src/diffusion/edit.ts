import { wrongKind, wrongValue } from '../core/errors.ts';
import type { Tensor } from '../core/tensor.ts';
import { createInversionPlan } from './inversion.ts';
import { createPartialPlan } from './partial.ts';
import { createPlan, type Plan, type PlanOptions } from './plan.ts';
import { planSettings } from './planOptions.ts';
import { resamplePlan } from './resample.ts';
import type { RunOptions } from './runOptions.ts';
import type { Schedule } from './schedule.ts';

/** How a run changes images that are there already, or finds the noise that they come from. */
export interface EditOptions {
  /**
   * Images to begin with, [n, channels, height, width] in [-1, 1]: one for all, or one for each. Without a mask they are
   * noised so far that `strength` of the steps brings them back; with one they are what the mask keeps.
   */
  readonly init?: Tensor;
  /**
   * How much of the steps to run on `init`, in (0, 1]: 1 keeps next to nothing of the images, little nearly everything.
   * Default 0.8; with a mask, all steps from fresh noise.
   */
  readonly strength?: number;
  /** Inpainting: 1 where `init` is kept, 0 where it is generated anew, [n, 1 or channels, height, width]. */
  readonly mask?: Tensor;
  /** Inpainting: how many steps a jump back towards noise undoes. Default 10. */
  readonly jumpLength?: number;
  /** Inpainting: how often each stretch of steps is run. Default 1, without jumps; with `jumpLength` 10, as in RePaint. */
  readonly jumpCount?: number;
  /** `ddim-inverse`: how many more network calls make each step exact. Default 0. */
  readonly refine?: number;
}

/**
 * The plan for an edit, and what its run needs besides: the layers under `createPlan`, `createPartialPlan`,
 * `resamplePlan` and `createInversionPlan` put together.
 *
 * @throws TypeError or RangeError naming the option, also one that is of no use without another.
 */
export function planEdit(
  schedule: Schedule,
  planOptions: PlanOptions,
  edit: EditOptions,
): { readonly plan: Plan; readonly run: Pick<RunOptions, 'init' | 'inpaint'> } {
  const { init, strength, mask, jumpLength, jumpCount, refine } = edit;
  const needs = (option: keyof EditOptions, needed: string, there: unknown) => {
    if (edit[option] !== undefined && there === undefined) throw wrongValue(option, `"${needed}" beside it`, there);
  };
  needs('strength', 'init', init);
  needs('mask', 'init', init);
  needs('jumpLength', 'mask', mask);
  needs('jumpCount', 'mask', mask);
  if (refine !== undefined && planOptions.sampler !== 'ddim-inverse')
    throw wrongValue('refine', 'the sampler ddim-inverse beside it', refine);
  if (init !== undefined && planOptions.sampler === 'ddim-inverse')
    throw wrongKind('init', 'nothing, as ddim-inverse takes its images as "start"', init);

  if (planOptions.sampler === 'ddim-inverse')
    return { plan: createInversionPlan(schedule, { ...planOptions, refine }), run: {} };
  if (!init) return { plan: createPlan(schedule, planOptions), run: {} };
  if (tellsNoTimesteps(schedule, planOptions))
    throw wrongValue(
      'timestepType',
      'discrete where images are noised, as continuous ones are no timesteps',
      'continuous',
    );
  const noised = mask === undefined || strength !== undefined;
  const plan = noised
    ? createPartialPlan(schedule, { ...planOptions, strength: strength ?? 0.8 })
    : createPlan(schedule, planOptions);
  const start = noised && { init: { images: init, schedule } };
  if (!mask) return { plan, run: { ...start } };
  const jumps = jumpCount === undefined && jumpLength !== undefined ? 10 : (jumpCount ?? 1);
  return {
    plan: resamplePlan(schedule, plan, { jumpLength, jumpCount: jumps }),
    run: { ...start, inpaint: { images: init, mask, schedule } },
  };
}

/** Whether the network is told log(sigma)/4, from which the level of noise cannot be looked up in the schedule. */
function tellsNoTimesteps(schedule: Schedule, options: PlanOptions): boolean {
  const { sampler, timestepType, predictionType } = planSettings(schedule, options);
  return sampler === 'euler' && timestepType === 'continuous' && predictionType === 'v_prediction';
}

import type { Denoiser } from '../core/denoiser.ts';
import type { Tensor } from '../core/tensor.ts';
import type { Plan } from './plan.ts';
import { Run } from './run.ts';
import { checkRun, type RunOptions } from './runOptions.ts';
import { type Step, walk } from './walk.ts';

export type { RunOptions } from './runOptions.ts';
export type { Step } from './walk.ts';

/**
 * Runs a plan to its end and returns the images, float32 in about [-1, 1], not clipped.
 *
 * @throws DdpmError `network-failed` when the network gives NaN, infinity or the wrong shape, naming the step.
 * @throws The signal's reason when it is aborted.
 * @example
 * const plan = createPlan(schedule, { sampler: 'ddim', steps: 20 });
 * const images = await runPlan(plan, denoiser, { shape: [4, 3, 32, 32], seed: 7 });
 */
export async function runPlan(plan: Plan, denoiser: Denoiser, options: RunOptions): Promise<Tensor> {
  for await (const { x } of inEngine(plan, denoiser, { ...options, every: plan.calls, keepStart: false }))
    return { data: x.data.slice(), shape: x.shape };
  throw new Error('a plan calls the network at least once');
}

/**
 * Runs a plan step by step: yields x and start after each network call, as views that are valid until the next step.
 * Leaving the loop early frees what the run holds. Takes what `runPlan` takes.
 */
export function planSteps(plan: Plan, denoiser: Denoiser, options: RunOptions): AsyncGenerator<Step, void, void> {
  return inEngine(plan, denoiser, { ...options, keepStart: true });
}

async function* inEngine(plan: Plan, denoiser: Denoiser, options: RunOptions & { readonly keepStart: boolean }) {
  checkRun(plan, denoiser, options);
  const arena = await plan.engine.lease();
  try {
    yield* walk(plan, new Run(arena, plan, denoiser, options), options);
  } finally {
    plan.engine.release(arena);
  }
}

import type { Denoiser } from '../core/denoiser.ts';
import type { Tensor } from '../core/tensor.ts';
import type { Plan } from './plan.ts';
import { Run } from './run.ts';
import { checkRun, type RunOptions } from './runOptions.ts';

export type { RunOptions } from './runOptions.ts';

/**
 * The state after one network call and the rows that use it. Both tensors are views of the engine's memory, which the
 * next step overwrites: copy what is to stay (`x.data.slice()`).
 */
export interface Step {
  /** Which network call, from 0 to the plan's `calls` - 1. */
  readonly index: number;
  /** What the network was told. */
  readonly timestep: number;
  /** The images after the step. */
  readonly x: Tensor;
  /** What the network took the finished images to be. */
  readonly start: Tensor;
}

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
  for await (const { index, x } of walk(plan, denoiser, options, false))
    if (index === plan.calls - 1) return { data: x.data.slice(), shape: x.shape };
  throw new Error('a plan calls the network at least once');
}

/**
 * Runs a plan step by step: yields x and start after each network call, as views that are valid until the next step.
 * Leaving the loop early frees what the run holds. Takes what `runPlan` takes.
 */
export function planSteps(plan: Plan, denoiser: Denoiser, options: RunOptions): AsyncGenerator<Step, void, void> {
  return walk(plan, denoiser, options, true);
}

/** The one loop over the rows of any sampler. */
async function* walk(plan: Plan, denoiser: Denoiser, options: RunOptions, keepStart: boolean) {
  checkRun(plan, denoiser, options);
  const arena = await plan.engine.lease();
  try {
    const run = new Run(arena, plan, denoiser, { ...options, keepStart });
    let index = -1;
    let timestep = 0;
    for (const [i, row] of plan.rows.entries()) {
      if (row.calls > 0) {
        options.signal?.throwIfAborted();
        await run.predict(i);
        timestep = row.timestep;
        index++;
        if (options.guide) await run.follow(options.guide, i, index);
      }
      run.step(i);
      // rows that ask no network belong to the step before them
      const done = plan.rows[i + 1]?.calls !== 0;
      if (!done || index < 0) continue;
      run.keep(i);
      yield { index, timestep, x: run.x, start: run.start } satisfies Step;
    }
  } finally {
    plan.engine.release(arena);
  }
}

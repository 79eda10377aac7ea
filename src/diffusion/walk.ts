import type { Tensor } from '../core/tensor.ts';
import type { Plan } from './plan.ts';

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

/** Images on their way through a plan, wherever they are. */
export interface Walker {
  /** Asks the network about x, as a row has it; `index` counts the calls. */
  predict(row: number, index: number): Promise<void>;
  /** Applies a row. */
  step(row: number): void | Promise<void>;
  /** Puts back what a run keeps, after the last row of a step. */
  keep?(row: number): void;
  /** The images, until the next row. */
  state(): Pick<Step, 'x' | 'start'> | Promise<Pick<Step, 'x' | 'start'>>;
}

/** The one loop over the rows of any sampler: yields after every `every`-th network call, and at the end. */
export async function* walk(
  plan: Plan,
  walker: Walker,
  { signal, every = 1 }: { readonly signal?: AbortSignal; readonly every?: number },
): AsyncGenerator<Step, void, void> {
  let index = -1;
  let timestep = 0;
  for (const [i, row] of plan.rows.entries()) {
    if (row.calls > 0) {
      signal?.throwIfAborted();
      await walker.predict(i, ++index);
      timestep = row.timestep;
    }
    await walker.step(i);
    // rows that ask no network belong to the step before them
    const done = plan.rows[i + 1]?.calls !== 0;
    if (!done || index < 0) continue;
    walker.keep?.(i);
    if ((index + 1) % every === 0 || index === plan.calls - 1) yield { index, timestep, ...(await walker.state()) };
  }
}

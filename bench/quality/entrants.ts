import { type Denoiser, type Pipeline, type Plan, type PlanOptions, planSteps } from '../../src/index.ts';
import { digestOf } from './digest.ts';

/** A way to sample that takes part in the comparison. */
export interface Entrant {
  readonly name: string;
  /** All but the steps, which follow from the network calls that are allowed. */
  readonly options: PlanOptions & { readonly sampler: NonNullable<PlanOptions['sampler']> };
}

/** Who takes part; a new sampler is one more line. */
export const entrants: readonly Entrant[] = [
  ...spaced('ddim eta 0', { sampler: 'ddim', eta: 0 }),
  ...spaced('ddim eta 1', { sampler: 'ddim', eta: 1 }),
  ...spaced('ddpm', { sampler: 'ddpm' }),
  { name: 'dpm-solver++ 2', options: { sampler: 'dpm-solver++' } },
  { name: 'dpm-solver++ 2 karras', options: { sampler: 'dpm-solver++', useKarrasSigmas: true } },
  { name: 'dpm-solver++ 2 sde', options: { sampler: 'dpm-solver++', algorithmType: 'sde-dpmsolver++' } },
  { name: 'dpm-solver++ 3 singlestep', options: { sampler: 'dpm-solver++-singlestep', solverOrder: 3 } },
  { name: 'unipc 2', options: { sampler: 'unipc' } },
  { name: 'deis 2', options: { sampler: 'deis' } },
  { name: 'euler', options: { sampler: 'euler' } },
  { name: 'euler-ancestral', options: { sampler: 'euler-ancestral' } },
  { name: 'heun', options: { sampler: 'heun' } },
  { name: 'dpm2', options: { sampler: 'dpm2' } },
  { name: 'dpm2-ancestral', options: { sampler: 'dpm2-ancestral' } },
  { name: 'lms', options: { sampler: 'lms' } },
  { name: 'pndm', options: { sampler: 'pndm', skipPrkSteps: true } },
  { name: 'lcm', options: { sampler: 'lcm' } },
  { name: 'edm', options: { sampler: 'edm', sChurn: 10 } },
  { name: 'euler-maruyama', options: { sampler: 'euler-maruyama' } },
];

/** An entrant with a number of network calls that it may use, and the plan that uses most of them. */
export interface Cell {
  readonly entrant: Entrant;
  readonly budget: number;
  readonly steps: number;
  readonly plan: Plan;
}

/** The cell of an entrant with at most `budget` calls an image, or undefined if it cannot do with so few. */
export function cellWithin(pipeline: Pick<Pipeline, 'plan'>, entrant: Entrant, budget: number): Cell | undefined {
  // a step takes one call or more
  for (let steps = budget; steps > 0; steps--) {
    const plan = pipeline.plan({ ...entrant.options, steps });
    if (plan.calls <= budget) return { entrant, budget, steps, plan };
  }
  return undefined;
}

/**
 * What a plan does, in one word: the timesteps, and every state of a run over two images with arithmetic in the
 * network's place.
 *
 * The engine's own bytes are left out on purpose: they change with every sampler that it learns, this changes with what
 * the rows, the kernels and the noise make of an image, to the bit.
 */
export async function behaviourOf(plan: Plan, shape: readonly number[], seed: number): Promise<string> {
  const states: (string | Float32Array)[] = [];
  for await (const { timestep, x } of planSteps(plan, arithmetic, { shape: [2, ...shape], seed }))
    states.push(String(timestep), x.data.slice());
  return digestOf(...states);
}

const arithmetic: Denoiser = (x, timesteps) => ({
  data: x.data.map((value) => Math.fround(Math.fround(value * timesteps[0]) / (timesteps[0] + 1))),
  shape: x.shape,
});

function spaced(name: string, options: Entrant['options']): Entrant[] {
  return (['leading', 'trailing'] as const).map((timestepSpacing) => ({
    name: `${name} ${timestepSpacing}`,
    options: { ...options, timestepSpacing },
  }));
}

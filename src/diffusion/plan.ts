import { assertKeys, assertNumber, assertOneOf } from '../core/assert.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import { type Sampler, samplers } from '../core/schedulerConfig.ts';
import type { Engine } from '../engine/engine.ts';
import { runLevels } from './levels.ts';
import { type PlanOptions, planSettings, type Settings } from './planOptions.ts';
import { checkedRows, type PlanRow } from './planRow.ts';
import { samplerRows } from './samplers.ts';
import type { Schedule } from './schedule.ts';
import { timestepFamily } from './timesteps.ts';

export type { PlanOptions } from './planOptions.ts';
export { type PlanRow, rowData, rowFields, slotCount } from './planRow.ts';

/** A sampler as a table: what to ask the network and how to combine its answers, computed before anything runs. */
export interface Plan {
  readonly engine: Engine;
  readonly sampler: Sampler | undefined;
  /** What the network is told, call by call. */
  readonly timesteps: readonly number[];
  readonly rows: readonly PlanRow[];
  /**
   * The noise levels sqrt((1 - abar)/abar) at each step and after the last, for samplers that step between them; empty
   * for the others.
   */
  readonly sigmas: readonly number[];
  /** Network calls for one image. */
  readonly calls: number;
  /** What unit-variance noise is multiplied by to become the first x. */
  readonly initialScale: number;
  /** Whether rows need a network that predicts the variance as well. */
  readonly learnedVariance: boolean;
  /** What was ignored or assumed. */
  readonly notes: readonly string[];
}

/**
 * The plan of a sampler over a schedule.
 *
 * The sampler defaults to the one of the config's `_class_name`, and every option to the config's value, or where it
 * says nothing to the default of the sampler's class in diffusers. `steps` defaults to all T for `ddpm` and
 * `euler-maruyama`, to 4 for `lcm` and to 50 for the others.
 *
 * | sampler | is |
 * | --- | --- |
 * | `ddpm` | ancestral sampling, Ho et al. 2020 |
 * | `ddim`, `ddim-inverse` | Song et al. 2021, from noise to an image and back |
 * | `dpm-solver++`, `dpm-solver++-singlestep` | Lu et al. 2022, with its relatives by `algorithmType` |
 * | `unipc` | Zhao et al. 2023 |
 * | `deis` | Zhang and Chen 2023 |
 * | `euler`, `heun`, `edm`, `dpm2`, `lms` | on sigma, Karras et al. 2022 and k-diffusion; `edm` is `heun` on Karras' sigmas |
 * | `euler-ancestral`, `dpm2-ancestral` | the same, down and then up again by noise |
 * | `pndm` | Liu et al. 2022 |
 * | `lcm` | latent consistency models, Luo et al. 2023 |
 * | `euler-maruyama` | the reverse SDE of Song et al. 2021 |
 *
 * Where diffusers is known to be wrong this does the right thing: the previous level of a DDIM step is the next
 * timestep of the list (not t - T/n), noise is left out at the last step (not at t = 0), `fixed_large_log` is the
 * variance it names (not NaN), UniPC's last step to sigma 0 is finite, churn is added before the network is asked, and
 * lists of timesteps stay inside the table.
 *
 * @throws TypeError or RangeError naming the option.
 * @example
 * const plan = createPlan(schedule, { sampler: 'ddim', steps: 10, eta: 0 });
 * plan.timesteps; // [900, 800, 700, 600, 500, 400, 300, 200, 100, 0]
 */
export function createPlan(schedule: Schedule, options: PlanOptions = {}): Plan {
  const settings = planSettings(schedule, options);
  return schedule.engine.scratch((arena) => {
    const levels = runLevels(arena, schedule, settings);
    checkZeroSnr(schedule, settings, levels.timesteps);
    const rows = samplerRows(arena, schedule, settings, levels);
    const [highest] = levels.sigmas;
    // diffusers' init_noise_sigma, in units of a plan's x: sigma itself, or for leading timesteps sqrt(sigma^2 + 1)
    const inSigmas = timestepFamily(settings.sampler) === 'real' && settings.timestepSpacing !== 'leading';
    const initialScale = inSigmas ? highest / Math.sqrt(highest * highest + 1) : 1;
    const { engine, notes } = schedule;
    return freeze({ engine, sampler: settings.sampler, sigmas: [...levels.sigmas], rows, initialScale, notes });
  });
}

/**
 * A plan from rows that were printed, stored or sent: it gives the same bytes as the plan they came from.
 *
 * Numbers are taken as they are; a `clip` of null is Infinity, which JSON cannot write.
 *
 * @throws TypeError or RangeError naming the row and the number.
 * @example
 * const again = planFromRows(engine, JSON.parse(JSON.stringify({ rows: plan.rows, initialScale: plan.initialScale })));
 */
export function planFromRows(
  engine: Engine,
  plan: {
    rows: readonly (Omit<PlanRow, 'clip'> & { readonly clip: number | null })[];
    initialScale?: number;
    sampler?: Sampler;
  },
): Plan {
  if (typeof plan !== 'object' || plan === null) throw wrongKind('plan', 'an object', plan);
  assertKeys(plan, 'a plan', [
    'rows',
    'initialScale',
    'sampler',
    'timesteps',
    'sigmas',
    'calls',
    'learnedVariance',
    'notes',
  ]);
  const { initialScale = 1, sampler } = plan;
  assertNumber(initialScale, 'initialScale');
  if (sampler !== undefined) assertOneOf(sampler, 'sampler', samplers);
  return freeze({ engine, sampler, sigmas: [], rows: checkedRows(plan.rows), initialScale, notes: [] });
}

/** Adds what follows from the rows. */
function freeze(plan: Omit<Plan, 'timesteps' | 'calls' | 'learnedVariance'>): Plan {
  const calling = plan.rows.filter((row) => row.calls > 0);
  return Object.freeze({
    ...plan,
    timesteps: calling.map((row) => row.timestep),
    calls: calling.length,
    learnedVariance: plan.rows.some((row) => row.variance !== 0),
  });
}

/** At a level without any signal the noise does not tell the image: Lin et al. 2024, section 3.2. */
function checkZeroSnr(schedule: Schedule, { sampler, predictionType }: Settings, timesteps: Float64Array): void {
  const family = timestepFamily(sampler);
  if (predictionType !== 'epsilon' || family === 'real' || family === 'solver') return;
  const empty = timesteps.find((t) => schedule.alphasCumprod[Math.ceil(t)] === 0);
  if (empty !== undefined)
    throw wrongValue(
      'predictionType',
      `sample or v_prediction where the schedule ends in pure noise (abar is 0 at timestep ${empty})`,
      predictionType,
    );
}

import { wrongValue } from '../core/errors.ts';
import { runLevels } from './levels.ts';
import { freezePlan, type Plan } from './planFromRows.ts';
import { type PlanOptions, planSettings, type Settings } from './planOptions.ts';
import { samplerRows } from './samplers.ts';
import type { Schedule } from './schedule.ts';
import { timestepFamily } from './timesteps.ts';

export { type Plan, planFromRows } from './planFromRows.ts';
export type { PlanOptions } from './planOptions.ts';
export { type PlanRow, rowData, rowFields, slotCount } from './planRow.ts';

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
    return freezePlan({ engine, sampler: settings.sampler, sigmas: [...levels.sigmas], rows, initialScale, notes });
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

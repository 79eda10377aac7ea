import { wrongValue } from '../core/errors.ts';
import type { Sampler } from '../core/schedulerConfig.ts';
import type { Arena } from '../engine/arena.ts';
import type { Engine } from '../engine/engine.ts';
import { type PlanOptions, planSettings, type Settings } from './planOptions.ts';
import type { Schedule } from './schedule.ts';
import { customTimesteps, spacedTimesteps } from './timesteps.ts';

export type { PlanOptions } from './planOptions.ts';

/** The float64 numbers of one row in the engine's memory; the names are those of assembly/row.ts in its order. */
const fields = [
  'timestep',
  'a',
  'b',
  'clip',
  'x',
  'model',
  'start',
  'h1',
  'h2',
  'h3',
  'h4',
  'h5',
  'h6',
  'sigma',
  'variance',
  'logVarianceMin',
  'logVarianceMax',
  'thresholdRatio',
  'thresholdMax',
  'calls',
  'store',
  'storeX',
  'storeModel',
  'storeStart',
] as const;

export const rowFields = fields.length;
/** How many things rows can keep for later ones. */
export const slotCount = 6;

/**
 * One step of a sampler, as numbers:
 *
 *     start = clamp(a*x + b*model, -clip, clip)
 *     x'    = x*x + model*model + start*start + h1*h1 + ... + h6*h6 + sigma*z    the row's weight on the left of each *
 *
 * where h1 to h6 are what earlier rows kept: a row with `store` n keeps storeX*x + storeModel*model + storeStart*start,
 * of the x that it began with, as hn. A row with `calls` 0 asks no network and combines what is there already.
 * `variance` 1 and 2 say that sigma comes from the model's second half of channels (learned, learned range);
 * a `thresholdRatio` above 0 says that the start is divided by that quantile of its size instead of clamped.
 */
export type PlanRow = { readonly [K in (typeof fields)[number]]: number };

/** A sampler as a table: what to ask the network and how to combine its answers, computed before anything runs. */
export interface Plan {
  readonly engine: Engine;
  readonly sampler: Sampler;
  /** What the network is told, row by row. */
  readonly timesteps: readonly number[];
  readonly rows: readonly PlanRow[];
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
 * The plan of a sampler over a schedule: DDPM (Ho et al. 2020), DDIM or its inverse (Song et al. 2021).
 *
 * The sampler defaults to the one of the config's `_class_name`, and every option to the config's value. `steps`
 * defaults to all T for `ddpm` and to 50 for the others, as in diffusers' pipelines. Where diffusers is known to be
 * wrong this does the right thing: the previous level of a DDIM step is the next timestep of the list (not t - T/n),
 * noise is left out at the last step (not at t = 0), `fixed_large_log` is the variance it names (not NaN), and lists
 * of timesteps stay inside the table.
 *
 * @throws TypeError or RangeError naming the option.
 * @example
 * const plan = createPlan(schedule, { sampler: 'ddim', steps: 10, eta: 0 });
 * plan.timesteps; // [900, 800, 700, 600, 500, 400, 300, 200, 100, 0]
 */
export function createPlan(schedule: Schedule, options: PlanOptions = {}): Plan {
  const settings = planSettings(schedule, options);
  const towardsNoise = settings.sampler === 'ddim-inverse';
  const timesteps = settings.timesteps
    ? customTimesteps(schedule, settings.timesteps, towardsNoise)
    : spacedTimesteps(schedule, settings.steps, {
        spacing: settings.timestepSpacing,
        offset: settings.stepsOffset,
        towardsNoise,
      });
  checkZeroSnr(schedule, settings, timesteps);

  const rows = schedule.engine.scratch((arena) => fillRows(arena, schedule, settings, timesteps));
  return Object.freeze({
    engine: schedule.engine,
    sampler: settings.sampler,
    timesteps: [...timesteps],
    rows,
    calls: rows.reduce((sum, row) => sum + row.calls, 0),
    initialScale: 1,
    learnedVariance: rows.some((row) => row.variance !== 0),
    notes: schedule.notes,
  });
}

/** The rows as the engine's kernels read them. */
export function rowData(rows: readonly PlanRow[]): Float64Array {
  return Float64Array.from(rows.flatMap((row) => fields.map((field) => row[field])));
}

const predictions = { epsilon: 0, sample: 1, v_prediction: 2 } as const;
const variances = {
  fixed_small: 0,
  fixed_small_log: 0,
  fixed_large: 1,
  fixed_large_log: 1,
  learned: 2,
  learned_range: 3,
} as const;

function fillRows(arena: Arena, schedule: Schedule, settings: Settings, timesteps: Float64Array): PlanRow[] {
  const { alphasCumprod } = schedule;
  const n = timesteps.length;
  const out = arena.alloc(n * rowFields * 8);
  const common = [
    out,
    arena.allocF64(timesteps),
    n,
    arena.allocF64(alphasCumprod),
    predictions[settings.predictionType],
    settings.clipSample && !settings.thresholding ? settings.clipSampleRange : Infinity,
    settings.thresholding ? settings.dynamicThresholdingRatio : 0,
    settings.sampleMaxValue,
  ] as const;

  // the level of a finished image: no noise at all, or one step of it
  const clean = settings.setAlphaToOne ? 1 : alphasCumprod[0];
  switch (settings.sampler) {
    case 'ddpm':
      arena.wasm.planDdpm(...common, variances[settings.varianceType]);
      break;
    case 'ddim':
      arena.wasm.planDdim(...common, clean, settings.eta, settings.useClippedModelOutput);
      break;
    case 'ddim-inverse':
      // a network that predicts the image says nothing of the noise in an image without any
      arena.wasm.planDdimInverse(...common, settings.predictionType === 'sample' ? alphasCumprod[0] : clean);
      break;
  }

  const data = arena.f64(out, n * rowFields);
  return Array.from({ length: n }, (_, i) =>
    Object.freeze(Object.fromEntries(fields.map((field, j) => [field, data[i * rowFields + j]])) as PlanRow),
  );
}

/** At a level without any signal the noise does not tell the image: Lin et al. 2024, section 3.2. */
function checkZeroSnr(schedule: Schedule, { predictionType }: Settings, timesteps: Float64Array): void {
  const empty = timesteps.find((t) => schedule.alphasCumprod[t] === 0);
  if (empty !== undefined && predictionType === 'epsilon')
    throw wrongValue(
      'predictionType',
      `sample or v_prediction where the schedule ends in pure noise (abar is 0 at timestep ${empty})`,
      predictionType,
    );
}

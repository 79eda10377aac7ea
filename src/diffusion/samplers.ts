import { wrongValue } from '../core/errors.ts';
import type { AlgorithmType, PredictionType, VarianceType } from '../core/schedulerConfig.ts';
import type { Arena } from '../engine/arena.ts';
import type { Levels } from './levels.ts';
import type { Settings } from './planOptions.ts';
import { type PlanRow, readRows, rowFields } from './planRow.ts';
import type { Schedule } from './schedule.ts';

// the numbers of assembly/planRow.ts, planDdpm.ts and planDpm.ts
const predictions: Record<PredictionType, number> = { epsilon: 0, sample: 1, v_prediction: 2 };
const variances: Record<VarianceType, number> = {
  fixed_small: 0,
  fixed_small_log: 0,
  fixed_large: 1,
  fixed_large_log: 1,
  learned: 2,
  learned_range: 3,
};
const algorithms: Record<AlgorithmType, number> = {
  'dpmsolver++': 0,
  dpmsolver: 1,
  'sde-dpmsolver++': 2,
  'sde-dpmsolver': 3,
};

/** No sampler takes more rows than this for a step, corrections apart, or this many besides. */
const rowsPerStep = 3;
const rowsBesides = 15;

/** The rows of a sampler over the levels of a run, filled by the engine: one function of assembly/plan*.ts each. */
export function samplerRows(arena: Arena, schedule: Schedule, settings: Settings, levels: Levels): PlanRow[] {
  const perStep = rowsPerStep + settings.correctorSteps;
  const rows = arena.alloc((perStep * levels.timesteps.length + rowsBesides) * rowFields * 8);
  const count = fill({ arena, schedule, settings, levels, rows });
  return readRows(arena.f64(rows, count * rowFields));
}

interface Job {
  readonly arena: Arena;
  readonly schedule: Schedule;
  readonly settings: Settings;
  readonly levels: Levels;
  readonly rows: number;
}

function fill(job: Job): number {
  const { arena, schedule, settings, levels, rows } = job;
  const { wasm } = arena;
  const { alphasCumprod: abar, betas, trainTimesteps: T } = schedule;
  const { sampler, solverType, algorithmType, lowerOrderFinal, eta } = settings;
  const n = levels.timesteps.length;
  const timesteps = arena.allocF64(levels.timesteps);
  const answer = arena.allocF64(howToRead(settings));
  const inTraining = () => [rows, timesteps, n, arena.allocF64(abar), answer] as const;
  const inSigma = () => [rows, timesteps, arena.allocF64(levels.sigmas), n, answer] as const;
  // the level of a finished image: no noise at all, or one step of it
  const clean = settings.setAlphaToOne ? 1 : abar[0];
  const heun = solverType === 'heun';
  const algorithm = algorithms[algorithmType];
  const order = () => solverOrder(settings);

  switch (sampler) {
    case 'ddpm':
      return wasm.planDdpm(...inTraining(), variances[settings.varianceType]);
    case 'ddim':
      return wasm.planDdim(...inTraining(), clean, eta, settings.useClippedModelOutput);
    case 'ddim-inverse':
      // a network that predicts the image says nothing of the noise in an image without any
      return wasm.planDdimInverse(...inTraining(), settings.predictionType === 'sample' ? abar[0] : clean);
    case 'dpm-solver++':
      return wasm.planDpm(...inSigma(), algorithm, order(), heun, lowerOrderFinal, settings.eulerAtFinal);
    case 'dpm-solver++-singlestep':
      return wasm.planDpmSinglestep(
        ...inSigma(),
        algorithm,
        heun,
        arena.allocF64(singlestepOrders(levels, order(), settings)),
      );
    case 'unipc': {
      const corrects = Float64Array.from({ length: n }, (_, i) => (settings.disableCorrector.includes(i - 1) ? 0 : 1));
      const { predictX0 } = settings;
      return wasm.planUnipc(
        ...inSigma(),
        order(),
        solverType === 'bh1',
        predictX0,
        lowerOrderFinal,
        arena.allocF64(corrects),
      );
    }
    case 'deis':
      return wasm.planDeis(...inSigma(), order(), lowerOrderFinal);
    case 'lms':
      return wasm.planLms(...inSigma(), settings.solverOrder);
    case 'euler':
      return wasm.planEuler(...inSigma(), arena.allocF64(churn(settings)), levels.lookup);
    case 'heun':
    case 'edm':
      return wasm.planHeun(...inSigma(), arena.allocF64(churn(settings)), levels.lookup);
    case 'dpm2':
      return wasm.planDpm2(...inSigma(), 0, levels.lookup);
    case 'dpm2-ancestral':
      return wasm.planDpm2(...inSigma(), eta, levels.lookup);
    case 'euler-ancestral':
      return wasm.planEulerAncestral(...inSigma(), eta);
    case 'pndm':
      return wasm.planPndm(...inTraining(), pndmStride(n, job), clean, settings.skipPrkSteps);
    case 'lcm':
      return wasm.planLcm(...inTraining(), settings.timestepScaling);
    case 'euler-maruyama':
      return wasm.planEulerMaruyama(
        ...([rows, timesteps, n, arena.allocF64(abar), arena.allocF64(betas), T, answer] as const),
        settings.correctorSteps,
        settings.correctorSnr,
      );
  }
}

/** What assembly/planRow.ts reads of the network's answer. */
function howToRead(settings: Settings): number[] {
  const { predictionType, clipSample, thresholding } = settings;
  // what thresholding does to a start is no help to solvers of the noise, and diffusers leaves it out of UniPC's
  const ofNoise = settings.sampler === 'unipc' && !settings.predictX0;
  const thresholded = thresholding && !ofNoise;
  return [
    predictions[predictionType],
    clipSample && !thresholded ? settings.clipSampleRange : Infinity,
    thresholded ? settings.dynamicThresholdingRatio : 0,
    settings.sampleMaxValue,
  ];
}

function solverOrder({ solverOrder: order, sampler }: Settings): number {
  if (order > 3) throw wrongValue('solverOrder', `an integer in 1..3 for ${sampler}`, order);
  return order;
}

function churn({ sChurn, sTmin, sTmax, sNoise }: Settings): number[] {
  return [sChurn, sTmin, sTmax, sNoise];
}

/**
 * Groups of steps of order 1, 2, 3, anew where a sigma comes twice. A run that ends at sigma 0, or is to end in low
 * order, ends in a step of order 1 (Lu et al. 2022a, appendix D).
 */
function singlestepOrders({ sigmas }: Levels, order: number, { finalSigmasType, lowerOrderFinal }: Settings): number[] {
  const n = sigmas.length - 1;
  const orders: number[] = [];
  for (let i = 0; i < n; i++) {
    const last = orders[i - 1] ?? order;
    orders.push(last === order || sigmas[i] === sigmas[i - 1] ? 1 : last + 1);
  }
  if (finalSigmasType === 'zero' || (lowerOrderFinal && n % order === 0)) orders[n - 1] = 1;
  return orders;
}

/** The steps of PNDM are all as long as whole timesteps allow. */
function pndmStride(n: number, { schedule, settings }: Job): number {
  if (!settings.skipPrkSteps && n < 4) throw wrongValue('steps', 'at least 4 with Runge-Kutta steps', n);
  return Math.floor(schedule.trainTimesteps / settings.steps);
}

import { DdpmError } from '../core/errors.ts';
import type { PredictionType, VarianceType } from '../core/schedulerConfig.ts';
import type { Arena } from '../engine/arena.ts';
import { silentRow } from './derive.ts';
import { planSettings } from './planOptions.ts';
import { rowData, rowFields, slotCount } from './planRow.ts';
import { fixedLogVariance, type Schedule } from './schedule.ts';

/** How a reverse step is to be read off the network's answer; what is not said is as in the `ddpm` plan. */
export interface ReverseOptions {
  /** The reverse variance. */
  readonly varianceType?: VarianceType;
  /** Whether the start is clamped (or thresholded, where the config says so). */
  readonly clipStart?: boolean;
}

export const reverseKeys = ['varianceType', 'clipStart'];

/** The settings of a reverse step, every default filled in. */
export interface ReverseSettings {
  readonly varianceType: VarianceType;
  readonly predictionType: PredictionType;
  /** How far the start may reach; Infinity where it is not clamped. */
  readonly clip: number;
  /** The quantile of dynamic thresholding, or 0. */
  readonly thresholdRatio: number;
  readonly thresholdMax: number;
  readonly learnedVariance: boolean;
}

/** Fills in what the config says, and what DDPMScheduler says where it does not. */
export function reverseSettings(schedule: Schedule, { varianceType, clipStart }: ReverseOptions): ReverseSettings {
  const settings = planSettings(schedule, { sampler: 'ddpm', varianceType });
  const thresholded = settings.thresholding && clipStart !== false;
  const clipped = !thresholded && (clipStart ?? settings.clipSample);
  return {
    varianceType: settings.varianceType,
    predictionType: settings.predictionType,
    clip: clipped ? settings.clipSampleRange : Number.POSITIVE_INFINITY,
    thresholdRatio: thresholded ? settings.dynamicThresholdingRatio : 0,
    thresholdMax: settings.sampleMaxValue,
    learnedVariance: settings.varianceType.startsWith('learned'),
  };
}

/** A log-variance p + q*v for each of an image's values v in the engine's memory. */
export interface LogVariance {
  readonly v: number;
  readonly p: number;
  readonly q: number;
}

/** p(x_{t-1} given x_t) of one image at a time, in memory that the next image overwrites. */
export class ReverseStep {
  readonly #arena: Arena;
  readonly #schedule: Schedule;
  readonly #settings: ReverseSettings;
  readonly #pixels: number;
  readonly #row: number;
  readonly #rows = new Map<number, Float64Array>();
  readonly #buffers: number;
  readonly #logs: number;
  /** What the network takes the clean image to be, and the step's mean. */
  readonly start: number;
  readonly mean: number;

  constructor(
    arena: Arena,
    schedule: Schedule,
    options: { readonly settings: ReverseSettings; readonly pixels: number },
  ) {
    const { settings, pixels } = options;
    this.#arena = arena;
    this.#schedule = schedule;
    this.#settings = settings;
    this.#pixels = pixels;
    this.#row = arena.alloc(rowFields * 8);
    this.#logs = settings.varianceType === 'learned' ? arena.alloc(pixels * 4) : 0;
    this.start = arena.alloc(pixels * 4);
    this.mean = arena.alloc(pixels * 4);
    // x and the model's answer are told with each step; nothing is kept in slots, and there is no noise
    this.#buffers = arena.allocU32([0, 0, ...Array(slotCount).fill(0), 0, this.start, this.mean]);
  }

  /** Finds the start and the mean from x_t and the network's answer; returns the log-variance. */
  take(t: number, { xt, model }: { xt: number; model: number }): LogVariance {
    const { wasm } = this.#arena;
    this.#arena.f64(this.#row, rowFields).set(this.#rowOf(t));
    new Uint32Array(wasm.memory.buffer, this.#buffers, 2).set([xt, model]);
    const done = wasm.step(this.#row, this.#buffers, 1, this.#pixels, this.#pixels, 0n, 0, 0n);
    if (!done) throw new DdpmError('out-of-memory', "one image more than the engine's memory can hold");
    return this.#logVariance(t, model);
  }

  /** The step as a row of a plan, without noise. */
  #rowOf(t: number): Float64Array {
    const known = this.#rows.get(t);
    if (known) return known;
    const { clip, thresholdRatio, thresholdMax, predictionType } = this.#settings;
    const schedule = this.#schedule;
    const row = silentRow(t, {
      ...readAnswer(predictionType, schedule.alphasCumprod[t]),
      ...{ clip, thresholdRatio, thresholdMax },
      start: schedule.posteriorMeanCoef1[t],
      x: schedule.posteriorMeanCoef2[t],
    });
    const data = rowData([row]);
    this.#rows.set(t, data);
    return data;
  }

  #logVariance(t: number, model: number): LogVariance {
    const { varianceType } = this.#settings;
    const low = fixedLogVariance(this.#schedule, varianceType, t);
    const second = model + this.#pixels * 4;
    if (varianceType === 'learned') {
      this.#arena.wasm.logs(this.#logs, second, this.#pixels);
      return { v: this.#logs, p: 0, q: 1 };
    }
    if (varianceType !== 'learned_range') return { v: this.start, p: low, q: 0 };
    // from the posterior's to beta as v goes from -1 to 1 (Nichol and Dhariwal 2021, eq. 15)
    const high = Math.log(this.#schedule.betas[t]);
    return { v: second, p: (high + low) / 2, q: (high - low) / 2 };
  }
}

/** start = a*x + b*model, by what the model predicts. */
function readAnswer(predictionType: PredictionType, abar: number): { a: number; b: number } {
  const [signal, noise] = [Math.sqrt(abar), Math.sqrt(1 - abar)];
  if (predictionType === 'epsilon') return { a: 1 / signal, b: -noise / signal };
  if (predictionType === 'sample') return { a: 0, b: 1 };
  return { a: signal, b: -noise };
}

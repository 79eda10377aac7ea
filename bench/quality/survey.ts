import { assertInteger } from '../../src/core/assert.ts';
import { type Distance, fitGaussian, frechetWithError, type Gaussian, leastRows } from '../../src/metrics/frechet.ts';
import type { Rows } from '../../src/metrics/rows.ts';
import { digestOf } from './digest.ts';
import { cellWithin, type Entrant } from './entrants.ts';
import { type FeatureSet, realSet, sampleSet } from './featureSets.ts';
import type { Lab } from './lab.ts';

/** One distance to the test images, measured. */
export interface Measurement extends Distance {
  /** The entrant's, or what real images stand in its place. */
  readonly name: string;
  readonly samples: number;
  /** What it was measured with: the same key, the same distance. */
  readonly key: string;
  /** For samples: the network calls that were allowed, those that an image took, and the steps that they made. */
  readonly budget?: number;
  readonly calls?: number;
  readonly steps?: number;
}

/** One distance to be had. */
export interface Subject extends Omit<Measurement, keyof Distance> {
  measure(signal?: AbortSignal): Promise<Distance>;
}

/** What to survey. */
export interface SurveyOptions {
  readonly entrants: readonly Entrant[];
  /** Network calls that an image may take. */
  readonly budgets: readonly number[];
  /** Images a cell. */
  readonly samples: number;
}

/** What to do about each subject. */
export interface SettleOptions {
  readonly recorded: readonly Measurement[];
  /** Ends the measuring; the subjects that remain are left out. */
  readonly signal?: AbortSignal;
  /** Told of what was measured now, with the seconds that it took. */
  readonly onMeasured?: (measurement: Measurement, seconds: number) => void;
}

/** How many test images there are. */
export const testImages = 10_000;
const trainImages = 60_000;
export const halvesName = 'test images, even against odd';
export const trainingName = 'training images';

/** Every distance of a survey: those of real images, then the cells, cheapest first. */
export async function subjectsOf(lab: Lab, options: SurveyOptions): Promise<Subject[]> {
  const { entrants, budgets, samples } = options;
  assertInteger(samples, 'samples', leastRows, trainImages);
  for (const budget of budgets) assertInteger(budget, 'calls', 1, 1000);
  const test = realSet(lab, 'test');
  const real = fittedOnce(lab, test);
  const subjects = [
    halves(lab, test),
    against(lab, { set: realSet(lab, 'train'), name: trainingName, samples }, { test, real }),
  ];
  for (const budget of [...budgets].sort((a, b) => a - b))
    for (const entrant of entrants) {
      const cell = cellWithin(lab.pipeline, entrant, budget);
      if (!cell) continue;
      const set = await sampleSet(lab, cell);
      const figures = { budget, calls: cell.plan.calls, steps: cell.steps };
      subjects.push({ ...against(lab, { set, name: entrant.name, samples }, { test, real }), ...figures });
    }
  return subjects;
}

/** The measurements of subjects: recorded ones where the key still holds, the rest measured until the signal says stop. */
export async function settle(subjects: readonly Subject[], options: SettleOptions): Promise<Measurement[]> {
  const { recorded, signal, onMeasured } = options;
  const settled: Measurement[] = [];
  for (const { measure, ...subject } of subjects) {
    const known = recorded.find((one) => one.key === subject.key);
    if (known) {
      settled.push({ ...known, ...subject });
      continue;
    }
    const started = performance.now();
    try {
      const measurement = { ...subject, ...(await measure(signal)) };
      settled.push(measurement);
      onMeasured?.(measurement, (performance.now() - started) / 1000);
    } catch (error) {
      // what lies complete in the cache can still be had of the subjects after this one
      if (!signal?.aborted || error !== signal.reason) throw error;
    }
  }
  return settled;
}

/** A set's first images against all test images. */
function against(
  { network: { dims } }: Lab,
  { set, name, samples }: { set: FeatureSet; name: string; samples: number },
  { test, real }: { test: FeatureSet; real: (signal?: AbortSignal) => Promise<Gaussian> },
): Subject {
  return {
    name,
    samples,
    key: digestOf(set.key, String(samples), test.key),
    measure: async (signal) => frechetWithError(rowsOf(await set.rows(samples, signal), dims), await real(signal)),
  };
}

/** What two sets of real images are apart. */
function halves({ network: { dims } }: Lab, test: FeatureSet): Subject {
  return {
    name: halvesName,
    samples: testImages / 2,
    key: digestOf('halves', test.key),
    async measure(signal) {
      const rows = await test.rows(testImages, signal);
      const half = (odd: number) =>
        rowsOf(
          rows.filter((_, at) => Math.floor(at / dims) % 2 === odd),
          dims,
        );
      return frechetWithError(half(0), fitGaussian(half(1)));
    },
  };
}

function fittedOnce({ network: { dims } }: Lab, set: FeatureSet): (signal?: AbortSignal) => Promise<Gaussian> {
  let fitted: Gaussian | undefined;
  return async (signal) => {
    fitted ??= fitGaussian(rowsOf(await set.rows(testImages, signal), dims));
    return fitted;
  };
}

function rowsOf(data: Float32Array, dims: number): Rows {
  return { data, shape: [data.length / dims, dims] };
}

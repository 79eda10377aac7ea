import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  createEngine,
  createSchedule,
  normalKl,
  type Schedule,
  trainingLosses,
  variationalBound,
} from '../../src/index.ts';
import { byteImages, column, meanOf, slice, timedDenoiser, withVariance } from '../support/evaluation.ts';
import { normalImages, normalOracle } from '../support/oracle.ts';

interface Golden {
  readonly total_bpd: number[];
  readonly prior_bpd: number[];
  readonly vb_t0: number[];
  readonly vb_t1: number[];
  readonly vb_tlast: number[];
  readonly mse_mean: number[];
  readonly xstart_mse_mean: number[];
}

const goldens: {
  readonly bounds: Record<string, Golden>;
  readonly training: Record<'vb' | 'mse' | 'loss', number[]>;
} = JSON.parse(readFileSync(new URL('../data/bounds.json', import.meta.url), 'utf8'));

const engine = await createEngine();
const images = byteImages([2, 3, 8, 8]);
const torch = { seed: 0, rng: 'torch' } as const;
const learnedRange = withVariance(timedDenoiser, 0.25);

describe.each(['float32', 'float64'] as const)('OpenAI’s calc_bpd_loop on a schedule in %s', (precision) => {
  const cases: [name: string, config: object, timestepRespacing?: string][] = [
    ['linear1000/fixed_large', { variance_type: 'fixed_large' }],
    ['linear1000/fixed_small', {}],
    ['linear1000/learned_range', { variance_type: 'learned_range' }],
    ['cosine1000/learned_range', { variance_type: 'learned_range', beta_schedule: 'squaredcos_cap_v2' }],
    ['linear1000/respace50/fixed_large', { variance_type: 'fixed_large' }, '50'],
    ['linear1000/ddim50/fixed_small', {}, 'ddim50'],
  ];
  it.each(cases)(
    '%s: terms within 1e-6 of themselves or 2e-7 bits, totals within 1e-6 of themselves',
    async (name, config, timestepRespacing) => {
      const schedule = createSchedule(engine, config, { precision });
      const denoiser = name.includes('learned') ? learnedRange : timedDenoiser;
      const bound = await variationalBound(schedule, denoiser, images, { ...torch, timestepRespacing });
      const golden = goldens.bounds[name];
      const { perImage, terms, errors } = bound;
      for (const i of [0, 1]) {
        const near = (value: number, expected: number) =>
          expect(Math.abs(value - expected)).toBeLessThan(2e-7 + 1e-6 * expected);
        const mean = (values: Float64Array) => meanOf(slice1(values, perImage + 1, i)).mean;
        near(bound.total[i], golden.total_bpd[i]);
        near(bound.prior[i], golden.prior_bpd[i]);
        near(bound.reconstruction[i], golden.vb_t0[i]);
        near(terms[(i + 1) * perImage - 1], golden.vb_t1[i]);
        near(terms[i * perImage], golden.vb_tlast[i]);
        near(mean(errors.noise), golden.mse_mean[i]);
        near(mean(errors.start), golden.xstart_mse_mean[i]);
      }
    },
  );

  it('training_losses: mse, vb and their sum within 1e-6', async () => {
    const schedule = createSchedule(engine, { variance_type: 'learned_range' }, { precision });
    const losses = await trainingLosses(schedule, learnedRange, images, { ...torch, timesteps: [0, 500] });
    for (const [name, expected] of Object.entries(goldens.training))
      for (const i of [0, 1])
        expect(Math.abs(losses[name as keyof typeof goldens.training][i] - expected[i])).toBeLessThan(1e-6);
  });
});

// few enough steps for many images, and a chain that ends in noise
const short = { num_train_timesteps: 40, beta_start: 0.002, beta_end: 0.4, clip_sample: false };
const [m, s] = [0.1, 0.3];
const data = normalImages(engine, [48, 1, 12, 12], { m, s, seed: 5 });

describe('for data N(m, s^2) and the exact denoiser', () => {
  const variances = ['fixed_small', 'fixed_small_log', 'fixed_large', 'fixed_large_log', 'learned', 'learned_range'];
  it.each(variances.flatMap((variance) => [undefined, '10'].map((respacing) => [variance, respacing] as const)))(
    '%s, respacing %s: every term is its formula (eq. 14) within 3.5 standard errors of 48 images, their sum within 3',
    async (variance_type, timestepRespacing) => {
      const schedule = createSchedule(engine, { ...short, variance_type });
      const said = variance_type === 'learned' ? 0.01 : 0.3;
      const oracle = normalOracle(schedule, m, s);
      const denoiser = variance_type.startsWith('learned') ? withVariance(oracle, said) : oracle;
      const bound = await variationalBound(schedule, denoiser, data, { seed: 1, timestepRespacing });
      const steps = [...bound.timesteps.subarray(0, bound.perImage).toReversed()];
      const expected = expectedTerms(schedule, [0, ...steps], said);
      for (const [j, t] of steps.entries()) {
        const found = meanOf(column(bound.terms, bound.perImage, bound.perImage - 1 - j));
        expect(Math.abs(found.mean - expected.terms[j]), `t = ${t}`).toBeLessThan(3.5 * found.standardError);
      }
      const total = meanOf(bound.total);
      const reconstruction = meanOf(bound.reconstruction);
      expect(Math.abs(reconstruction.mean - expected.reconstruction)).toBeLessThan(3 * reconstruction.standardError);
      const sum = expected.terms.reduce((a, b) => a + b, expected.reconstruction) + meanOf(bound.prior).mean;
      expect(Math.abs(total.mean - sum)).toBeLessThan(3 * total.standardError);
    },
  );

  it('the prior is KL(q(x_T given x_0) to N(0, I)), and with fixed variances (16) times the noise error, to 1e-6', async () => {
    const schedule = createSchedule(engine, { ...short, variance_type: 'fixed_large' }, { precision: 'float64' });
    const bound = await variationalBound(schedule, normalOracle(schedule, m, s), data, { seed: 1 });
    const abar = schedule.alphasCumprod[39];
    for (let i = 0; i < 48; i++) {
      const { data: values } = slice(data, i, i + 1);
      const nats = values.reduce((sum, x) => sum + normalKl(Math.sqrt(abar) * x, Math.log(1 - abar), 0, 0), 0);
      expect(Math.abs(bound.prior[i] / (nats / 144 / Math.LN2) - 1)).toBeLessThan(1e-6);
      for (let j = 0; j < bound.perImage; j++) {
        const t = bound.timesteps[i * bound.perImage + j];
        const apart = schedule.vlbWeights[t] * bound.errors.noise[i * (bound.perImage + 1) + j];
        const variances = normalKl(0, schedule.posteriorLogVarianceClipped[t], 0, Math.log(schedule.betas[t]));
        const term = bound.terms[i * bound.perImage + j];
        expect(Math.abs((apart + variances) / Math.LN2 / term - 1)).toBeLessThan(1e-6);
      }
    }
  });

  it('total is prior + weights*terms + reconstruction to 1e-12, and errors have t = 0 last', async () => {
    const schedule = createSchedule(engine, short);
    for (const timesteps of ['all', 8] as const) {
      const denoiser = normalOracle(schedule, m, s);
      const bound = await variationalBound(schedule, denoiser, data, { seed: 1, timesteps });
      const { total, prior, terms, weights, reconstruction, perImage } = bound;
      expect(perImage).toBe(timesteps === 'all' ? 39 : 7);
      for (const [i, value] of total.entries()) {
        const at = i * perImage;
        const row = slice1(terms, perImage, i).map((term, j) => term * weights[at + j]);
        expect(value).toBeCloseTo(
          row.reduce((a, b) => a + b, prior[i] + reconstruction[i]),
          12,
        );
        const told = slice1(bound.errors.timesteps, perImage + 1, i);
        expect(told).toEqual([...slice1(bound.timesteps, perImage, i), 0]);
      }
    }
  });
});

describe('a part of the timesteps', () => {
  const schedule = createSchedule(engine, { ...short, num_train_timesteps: 100, beta_end: 0.15 });
  const denoiser = normalOracle(schedule, m, s);
  const many = normalImages(engine, [400, 1, 4, 4], { m, s, seed: 9 });
  const whole = variationalBound(schedule, denoiser, many, { seed: 2 });

  it.each([3, 5, 10, 40])(
    '%i of 100 is unbiased: within 3 standard errors of all, over 400 images',
    async (timesteps) => {
      const all = await whole;
      const some = await variationalBound(schedule, denoiser, many, { seed: 2, timesteps });
      // the noise at a timestep is the same, so that only the choice of timesteps makes a difference
      const differences = some.total.map((total, i) => total - all.total[i]);
      const { mean, standardError } = meanOf(differences);
      expect(Math.abs(mean)).toBeLessThan(3 * standardError);
      expect(some.reconstruction).toEqual(all.reconstruction);
      // what it says of its own error: no less than the true one, and no more than three times it
      const root = (values: Float64Array) => Math.sqrt(meanOf(values.map((value) => value ** 2)).mean);
      const said = root(some.standardError) / root(differences);
      if (timesteps > 3) expect(said).toBeGreaterThan(0.9);
      expect(said).toBeLessThan(3);
    },
  );

  it('is the part of the whole that it takes, bit for bit', async () => {
    const few = slice(many, 0, 3);
    const all = await variationalBound(schedule, denoiser, few, { seed: 2 });
    const some = await variationalBound(schedule, denoiser, few, { seed: 2, timesteps: 20 });
    for (const [place, t] of some.timesteps.entries()) {
      const image = Math.floor(place / some.perImage);
      expect(some.terms[place]).toBe(all.terms[image * all.perImage + (99 - t)]);
    }
    expect(all.standardError).toEqual(new Float64Array(3));
    expect((await variationalBound(schedule, denoiser, few, { seed: 2, timesteps: 100 })).total).toEqual(all.total);
  });

  it.each(['all', 12] as const)(
    'timesteps %s: images do not depend on how they are batched, bit for bit',
    async (timesteps) => {
      const images = slice(many, 0, 64);
      const whole = await variationalBound(schedule, denoiser, images, { seed: 3, timesteps });
      for (const size of [1, 5, 64]) {
        const totals: number[] = [];
        for (let first = 0; first < 64; first += size) {
          const part = slice(images, first, Math.min(first + size, 64));
          totals.push(
            ...(await variationalBound(schedule, denoiser, part, { seed: 3, first, timesteps, batch: 7 })).total,
          );
        }
        expect(totals).toEqual([...whole.total]);
      }
    },
  );
});

describe('at the edges', () => {
  const schedule = createSchedule(engine, {});

  it('a chain that ends in pure noise has a prior of 0 and finite terms', async () => {
    const config = { rescale_betas_zero_snr: true, prediction_type: 'v_prediction', ...short, beta_end: 0.2 };
    const bound = await variationalBound(createSchedule(engine, config), timedDenoiser, images, { seed: 0 });
    expect([...bound.prior]).toEqual([0, 0]);
    expect(bound.terms.every((term) => Number.isFinite(term) && term >= 0)).toBe(true);
  });

  it('a chain of one step is prior and reconstruction', async () => {
    const options = { seed: 0, timestepRespacing: '1', clipStart: true };
    const bound = await variationalBound(schedule, timedDenoiser, images, options);
    expect([bound.perImage, bound.terms.length]).toEqual([0, 0]);
    for (const i of [0, 1]) expect(bound.total[i]).toBe(bound.prior[i] + bound.reconstruction[i]);
    expect(bound.total.every((total) => Number.isFinite(total))).toBe(true);
  });

  it('clipping the start, which the config asks for, lowers the error and can be left out', async () => {
    const [clipped, free] = await Promise.all(
      [undefined, false].map((clipStart) => variationalBound(schedule, timedDenoiser, images, { seed: 0, clipStart })),
    );
    expect(meanOf(clipped.errors.start).mean).toBeLessThan(meanOf(free.errors.start).mean);
  });

  it.each<[object, string]>([
    [{ timesteps: 1 }, '"timesteps" expected an integer in 2..1000, got 1'],
    [{ timesteps: 1001 }, '"timesteps" expected an integer in 2..1000'],
    [{ timesteps: 'some' }, `"timesteps" expected 'all' or a number, got "some"`],
    [{ timestepRespacing: 'ddim51x' }, '"timestepRespacing" expected ddim50 or 10,15,20'],
    [{ varianceType: 'large' }, '"varianceType" expected one of fixed_small'],
    [{ clipStart: 1 }, '"clipStart" expected true or false'],
    [{ respacing: '50' }, '"respacing" expected no such option: variationalBound takes'],
    [{ varianceType: 'learned' }, 'expected float32 [2, 6, 8, 8], got [2, 3, 8, 8]'],
  ])('%j is refused by name', async (options, message) => {
    await expect(variationalBound(schedule, timedDenoiser, images, { seed: 0, ...options })).rejects.toThrow(message);
  });
});

/** Expected terms for t > 0 in ascending order, and the reconstruction, in bits per dimension. */
function expectedTerms(schedule: Schedule, timesteps: readonly number[], said: number) {
  const abar = timesteps.map((t) => schedule.alphasCumprod[t]);
  // what the exact denoiser leaves open: the variance of x_0 given x_t
  const open = abar.map((a) => (s * s * (1 - a)) / (a * s * s + 1 - a));
  const before = abar.map((_, j) => (j > 0 ? abar[j - 1] : 1));
  const betas = abar.map((a, j) => 1 - a / before[j]);
  const posterior = betas.map((beta, j) => ((1 - before[j]) / (1 - abar[j])) * beta);
  posterior[0] = posterior[1];
  const { varianceType } = schedule.config;
  const variances = betas.map((beta, j) => {
    if (varianceType === 'learned') return Math.fround(said);
    if (varianceType === 'learned_range') {
      const f = (Math.fround(said) + 1) / 2;
      return Math.exp(f * Math.log(beta) + (1 - f) * Math.log(posterior[j]));
    }
    return varianceType.startsWith('fixed_large') && j > 0 ? beta : posterior[j];
  });
  const terms = timesteps.map((_, j) => {
    const weight = (Math.sqrt(before[j]) * betas[j]) / (1 - abar[j]);
    const distance = weight * Math.sqrt(open[j]);
    return normalKl(distance, Math.log(posterior[j]), 0, Math.log(variances[j])) / Math.LN2;
  });
  return { terms: terms.slice(1), reconstruction: expectedReconstruction(open[0], variances[0]) };
}

/** The mean of -log2 of the bin's mass where x_0 lies N(0, open) around the mean: by the trapezoidal rule. */
function expectedReconstruction(open: number, variance: number): number {
  const cdf = (d: number) => {
    const z = d / Math.sqrt(variance);
    return 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (z + 0.044715 * z ** 3)));
  };
  let sum = 0;
  for (let z = -8; z <= 8; z += 1 / 256) {
    const d = z * Math.sqrt(open);
    const mass = Math.max(cdf(d + 1 / 255) - cdf(d - 1 / 255), 1e-12);
    sum -= (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI) / 256) * Math.log2(mass);
  }
  return sum;
}

/** Row i of values [rows, columns]. */
function slice1(values: Float64Array | Int32Array, columns: number, i: number): number[] {
  return [...values.subarray(i * columns, (i + 1) * columns)];
}

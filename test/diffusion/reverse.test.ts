import { describe, expect, it } from 'vitest';
import {
  createEngine,
  createPlan,
  createSchedule,
  forwardTrajectory,
  normalKl,
  planFromRows,
  posterior,
  predictStart,
  randn,
  reverseLogDensity,
  reverseMoments,
  runPlan,
  type Tensor,
} from '../../src/index.ts';
import { meanOf, slice, withVariance } from '../support/evaluation.ts';
import { maxDifference } from '../support/goldens.ts';
import { normalImages, normalOracle } from '../support/oracle.ts';

const engine = await createEngine();
const shape = [3, 2, 5, 5];
const [xt, answer] = [1, 2].map((seed) => randn(engine, shape, { seed }));
const wide: Tensor = {
  ...randn(engine, [3, 4, 5, 5], { seed: 3 }),
  data: randn(engine, [3, 4, 5, 5], { seed: 3 }).data.map((v) => Math.tanh(v)),
};
const fixed = ['fixed_small', 'fixed_small_log', 'fixed_large', 'fixed_large_log'];
const predictions = ['epsilon', 'sample', 'v_prediction'];

describe('reverseMoments (eq. 10)', () => {
  const options = [{}, { clip_sample: false }, { thresholding: true, sample_max_value: 3 }, { clip_sample_range: 0.4 }];
  it.each([...fixed, 'learned_range', 'learned'].flatMap((variance) => predictions.map((p) => [variance, p])))(
    '%s, %s: mean + sigma z is a step of the ddpm plan within 2e-6 of its size',
    async (variance_type, prediction_type) => {
      for (const more of options) {
        const config = { variance_type, prediction_type, ...more };
        const schedule = createSchedule(engine, config, { precision: 'float64' });
        const { rows } = createPlan(schedule, { sampler: 'ddpm' });
        // a variance is no negative number
        const said = variance_type === 'learned' ? { ...wide, data: wide.data.map((v) => v * v) } : wide;
        const model = variance_type.startsWith('learned') ? said : answer;
        for (const t of [1, 400, 999]) {
          const row = rows[999 - t];
          expect(row.timestep).toBe(t);
          const one = planFromRows(engine, { rows: [row] });
          const run = { shape, seed: 6, rng: 'torch', start: xt } as const;
          const next = await runPlan(one, () => model, run);
          const { mean, variance } = reverseMoments(schedule, xt, t, model);
          const z = randn(engine, shape, { seed: 6, rng: 'torch' });
          const expected = mean.data.map((mu, i) => mu + Math.sqrt(variance.data[i]) * z.data[i]);
          const size = Math.max(...expected.map(Math.abs));
          expect(maxDifference(next.data, expected) / size).toBeLessThan(2e-6);
        }
      }
    },
  );

  it('has the start that the answer implies, and the mean of (8) for it, within 1e-6 of their size', () => {
    const schedule = createSchedule(engine, { clip_sample: false });
    const t = [0, 500, 999];
    const { start, mean } = reverseMoments(schedule, xt, t, answer);
    const expected = predictStart(schedule, xt, t, answer);
    for (let i = 0; i < 3; i++) {
      const [found, wanted] = [start, expected].map((tensor) => slice(tensor, i, i + 1).data);
      expect(maxDifference(found, wanted) / Math.max(...wanted)).toBeLessThan(1e-6);
    }
    expect(maxDifference(mean.data, posterior(schedule, start, xt, t).mean.data)).toBeLessThan(1e-5);
    const clipped = reverseMoments(schedule, xt, t, answer, { clipStart: true }).start;
    expect(Math.max(...clipped.data.map(Math.abs))).toBe(1);
  });

  it('has the schedule’s own variances, float32, with the value of t = 1 at t = 0', () => {
    for (const variance_type of fixed) {
      const schedule = createSchedule(engine, { variance_type });
      const { variance, logVariance } = reverseMoments(schedule, xt, [0, 1, 700], answer);
      const table = variance_type.startsWith('fixed_large') ? schedule.betas : schedule.posteriorVariance;
      const expected = [schedule.posteriorVariance[1], table[1], table[700]];
      for (let i = 0; i < 3; i++) {
        expect(variance.data[50 * i] / expected[i]).toBeCloseTo(1, 6);
        expect(logVariance.data[50 * i + 49]).toBeCloseTo(Math.log(expected[i]), 5);
      }
    }
  });

  it('learned_range goes from the posterior’s log-variance to log beta as v goes from -1 to 1, to 1e-6', () => {
    const schedule = createSchedule(engine, { variance_type: 'learned_range' });
    const tables = [schedule.posteriorLogVarianceClipped[300], Math.log(schedule.betas[300])];
    for (const [v, expected] of [
      [-1, tables[0]],
      [0, (tables[0] + tables[1]) / 2],
      [1, tables[1]],
    ]) {
      const model = { data: new Float32Array(300).fill(v), shape: [3, 4, 5, 5] };
      const { logVariance, variance } = reverseMoments(schedule, xt, 300, model);
      expect(logVariance.data.every((lv) => Math.abs(lv - expected) < 1e-6)).toBe(true);
      expect(variance.data[7] / Math.exp(expected)).toBeCloseTo(1, 6);
    }
  });

  it('of odd images in a batch are those of each alone, bit for bit', () => {
    const schedule = createSchedule(engine, { variance_type: 'learned_range' });
    const x = { data: xt.data.subarray(0, 15), shape: [3, 1, 5] };
    const model = { data: wide.data.subarray(0, 30), shape: [3, 2, 5] };
    const together = reverseMoments(schedule, x, [4, 5, 6], model);
    for (let i = 0; i < 3; i++) {
      const alone = reverseMoments(schedule, slice(x, i, i + 1), 4 + i, slice(model, i, i + 1));
      for (const name of ['mean', 'variance', 'logVariance', 'start'] as const)
        expect(slice(together[name], i, i + 1).data).toEqual(alone[name].data);
    }
  });

  it.each<[object, () => Tensor, string]>([
    [{ variance_type: 'learned' }, () => answer, '"modelOutput.shape" expected [3, 4, 5, 5], got [3, 2, 5, 5]'],
    [{}, () => ({ ...answer, shape: [150] }), '"modelOutput.shape" expected [3, 2, 5, 5], got [150]'],
    [{ rescale_betas_zero_snr: true }, () => answer, '"prediction_type" expected sample or v_prediction'],
  ])('checks its arguments by name: %j', (config, model, message) => {
    expect(() => reverseMoments(createSchedule(engine, config), xt, 999, model())).toThrow(message);
  });
});

describe('the joint densities', () => {
  const short = { num_train_timesteps: 30, beta_start: 0.003, beta_end: 0.4, clip_sample: false };
  const schedule = createSchedule(engine, short);
  const [m, s] = [0.1, 0.4];
  const x0 = normalImages(engine, [3, 1, 4, 4], { m, s, seed: 2 });

  it.each(['fixed_large', 'learned_range', 'learned'])(
    '(12), %s: each factor is the Gaussian of reverseMoments, and all add up with N(x_T; 0, I), to 1e-4 of a nat',
    async (variance_type) => {
      const own = createSchedule(engine, { ...short, variance_type }, { precision: 'float64' });
      const oracle = normalOracle(own, m, s);
      const denoiser = variance_type === 'fixed_large' ? oracle : withVariance(oracle, 0.2);
      const trajectory = [...forwardTrajectory(own, x0, { seed: 1 })];
      const density = await reverseLogDensity(own, denoiser, x0, { trajectory });
      const states = [x0, ...trajectory.map(({ x }) => x)];
      expect([...density.timesteps]).toEqual(trajectory.map(({ timestep }) => timestep));
      for (const [t, { x }] of trajectory.entries()) {
        const said = await denoiser(x, new Float32Array(3).fill(t));
        const { mean, logVariance } = reverseMoments(own, x, t, said);
        for (let i = 0; i < 3; i++) {
          const [at, mu, lv] = [states[t], mean, logVariance].map((tensor) => slice(tensor, i, i + 1).data);
          const nats = at.reduce((sum, v, j) => sum + logNormal(v, mu[j], lv[j]), 0);
          expect(Math.abs(density.terms[i * 30 + t] - nats)).toBeLessThan(1e-4);
        }
      }
      for (let i = 0; i < 3; i++) {
        const prior = slice(states[30], i, i + 1).data.reduce((sum, v) => sum + logNormal(v, 0, 0), 0);
        expect(density.prior[i]).toBeCloseTo(prior, 4);
        const sum = density.terms.subarray(i * 30, i * 30 + 30).reduce((a, b) => a + b, density.prior[i]);
        expect(density.total[i]).toBeCloseTo(sum, 10);
      }
    },
  );

  it.each([undefined, [0, 4, 11, 29]])(
    '(12) less (3) is on average minus the bound of densities, at timesteps %j, within 3 standard errors',
    async (timesteps) => {
      // many trajectories of one image
      const pixels = slice(x0, 0, 1);
      const copies = {
        data: Float32Array.from({ length: 2000 * 16 }, (_, i) => pixels.data[i % 16]),
        shape: [2000, 1, 4, 4],
      };
      const trajectory = [...forwardTrajectory(schedule, copies, { seed: 3, timesteps })];
      const reverse = await reverseLogDensity(schedule, normalOracle(schedule, m, s), copies, { trajectory });
      const gaps = reverse.total.map((total, i) =>
        trajectory.reduce((sum, { logDensity }) => sum - logDensity[i], total),
      );
      const { mean, standardError } = meanOf(gaps);
      const expected = expectedBound(pixels.data, timesteps ?? schedule.betas.map((_, t) => t));
      expect(Math.abs(mean + expected)).toBeLessThan(3 * standardError);
    },
  );

  /** The bound of x_0, in nats, with the density of x_0 as its last factor: all means are linear in the noise. */
  function expectedBound(x0: Float32Array, timesteps: ArrayLike<number>): number {
    const levels = [1, ...Array.from(timesteps, (t) => schedule.alphasCumprod[t])];
    const last = levels[levels.length - 1];
    let nats = x0.reduce((sum, x) => sum + normalKl(Math.sqrt(last) * x, Math.log(1 - last), 0, 0), 0);
    const variances = levels.slice(1).map((a, j) => ((1 - levels[j]) / (1 - a)) * (1 - a / levels[j]));
    variances[0] = variances[1];
    for (let j = 0; j < variances.length; j++) {
      const [before, a] = [levels[j], levels[j + 1]];
      const weight = (Math.sqrt(before) * (1 - a / before)) / (1 - a);
      for (const x of x0) {
        // start - x_0 = (1 - k sqrt(abar)) (m - x_0) + k sqrt(1-abar) z, k = sqrt(abar) s^2 / (abar s^2 + 1 - abar)
        const k = (Math.sqrt(a) * s * s) / (a * s * s + 1 - a);
        const square = ((1 - k * Math.sqrt(a)) * (m - x)) ** 2 + k * k * (1 - a);
        const apart = (weight * weight * square) / variances[j] / 2;
        nats += j > 0 ? apart : apart + 0.5 * Math.log(2 * Math.PI * variances[0]);
      }
    }
    return nats;
  }
});

describe('forwardTrajectory', () => {
  const schedule = createSchedule(engine, {});
  const white: Tensor = { data: new Float32Array(20_000).fill(0.8), shape: [20_000, 1] };

  it('(2) applied t times, or in jumps (5), has the mean and variance of (4): 20,000 values within 4 standard errors', () => {
    for (const timesteps of [Array.from({ length: 60 }, (_, t) => t), [30, 200, 700]]) {
      for (const { timestep, x } of forwardTrajectory(schedule, white, { seed: 1, timesteps })) {
        const kept = schedule.alphasCumprod[timestep];
        const { mean } = meanOf(x.data);
        const variance = meanOf(x.data.map((v) => (v - mean) ** 2)).mean;
        expect(Math.abs(mean - Math.sqrt(kept) * 0.8)).toBeLessThan(4 * Math.sqrt((1 - kept) / 20_000));
        expect(Math.abs(variance / (1 - kept) - 1)).toBeLessThan(4 * Math.sqrt(2 / 20_000) + 1e-3);
      }
    }
  });

  it('(3) has the log-density of each step’s Gaussian at the state that it drew, within 1e-3 of a nat', () => {
    const x0 = normalImages(engine, [2, 1, 4, 4], { m: 0.1, s: 0.4, seed: 2 });
    const exact = createSchedule(engine, {}, { precision: 'float64' });
    const { alphasCumprod, betas } = exact;
    for (const timesteps of [
      [0, 1, 2],
      [400, 401, 900, 999],
    ]) {
      let before = x0;
      let [s, signal] = [-1, 1];
      for (const { timestep, x, logDensity } of forwardTrajectory(exact, x0, { seed: 5, timesteps })) {
        const kept = timestep === s + 1 ? 1 - betas[timestep] : alphasCumprod[timestep] / signal;
        for (let i = 0; i < 2; i++) {
          const [from, to] = [before, x].map((tensor) => slice(tensor, i, i + 1).data);
          const nats = to.reduce((sum, v, j) => sum + logNormal(v, Math.sqrt(kept) * from[j], Math.log(1 - kept)), 0);
          expect(Math.abs(logDensity[i] - nats)).toBeLessThan(1e-3);
        }
        [before, s, signal] = [x, timestep, alphasCumprod[timestep]];
      }
    }
  });

  it('is a function of seed and image alone, and with torch of its stream', () => {
    const x0 = normalImages(engine, [4, 1, 4, 4], { m: 0, s: 0.4, seed: 2 });
    const options = { seed: 5, timesteps: [3, 50] };
    const whole = [...forwardTrajectory(schedule, x0, options)];
    const part = [...forwardTrajectory(schedule, slice(x0, 3, 4), { ...options, first: 3 })];
    for (const [j, { x, logDensity }] of part.entries()) {
      expect(x.data).toEqual(slice(whole[j].x, 3, 4).data);
      expect(logDensity[0]).toBe(whole[j].logDensity[3]);
    }
    const stream = randn(engine, [2, 4, 1, 4, 4], { seed: 5, rng: 'torch' });
    const drawn = [...forwardTrajectory(schedule, x0, { ...options, rng: 'torch' })];
    for (const [j, { logDensity }] of drawn.entries()) {
      const kept = j === 0 ? schedule.alphasCumprod[3] : schedule.alphasCumprod[50] / schedule.alphasCumprod[3];
      for (let i = 0; i < 4; i++) {
        const z = stream.data.slice((j * 4 + i) * 16, (j * 4 + i + 1) * 16);
        const nats = z.reduce((sum, v) => sum + logNormal(v, 0, 0) - 0.5 * Math.log(1 - kept), 0);
        expect(logDensity[i]).toBeCloseTo(nats, 4);
      }
    }
  });

  it('checks its arguments at the call, by name', () => {
    expect(() => forwardTrajectory(schedule, white, { seed: 0, timesteps: [5, 5] })).toThrow(
      '"timesteps" expected timesteps that ascend, got [5, 5]',
    );
    expect(() => forwardTrajectory(schedule, white, { seed: 1.5 })).toThrow('"seed"');
  });
});

function logNormal(x: number, mean: number, logVariance: number): number {
  return -0.5 * (Math.log(2 * Math.PI) + logVariance + (x - mean) ** 2 / Math.exp(logVariance));
}

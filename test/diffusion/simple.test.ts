import { describe, expect, it } from 'vitest';
import { evenEdges, RangeMeans } from '../../src/evaluate/estimates.ts';
import {
  addNoise,
  createEngine,
  createSchedule,
  type Denoiser,
  predictNoise,
  predictStart,
  randn,
  simpleLoss,
  velocity,
} from '../../src/index.ts';
import { byteImages, column, meanOf, slice, timedDenoiser, withVariance } from '../support/evaluation.ts';
import { normalImages, normalOracle } from '../support/oracle.ts';

const engine = await createEngine();
const schedule = createSchedule(engine, {});
const { alphasCumprod: abar } = schedule;
const [m, s] = [0.1, 0.5];
const images = normalImages(engine, [96, 1, 12, 12], { m, s, seed: 5 });

describe('L_simple (eq. 13)', () => {
  const timesteps = [0, 3, 20, 100, 300, 600, 999];
  it('of the exact denoiser of N(m, s^2) is abar/(1-abar) times what x_t leaves open, within 3 standard errors', async () => {
    const oracle = normalOracle(schedule, m, s);
    const loss = await simpleLoss(schedule, oracle, images, { seed: 1, timesteps });
    expect([loss.count, loss.perImage]).toEqual([96, 7]);
    for (const [j, t] of timesteps.entries()) {
      const open = (s * s * (1 - abar[t])) / (abar[t] * s * s + 1 - abar[t]);
      const units = { noise: (abar[t] / (1 - abar[t])) * open, start: open, velocity: open / (1 - abar[t]) };
      for (const [unit, expected] of Object.entries(units)) {
        const { mean, standardError } = meanOf(column(loss[unit as keyof typeof units], 7, j));
        expect(Math.abs(mean - expected), `${unit} at ${t}`).toBeLessThan(3 * standardError);
      }
    }
  });

  it('is the mean of the squares of the difference to the noise, the start and the velocity, to 1e-5, and says all at once', async () => {
    // the noise of timestep t is draw t of the image: at 0 what randn gives
    const x0 = slice(images, 0, 1);
    const noise = randn(engine, x0.shape, { seed: 4 });
    const xt = addNoise(schedule, x0, 0, noise);
    const said = randn(engine, x0.shape, { seed: 8 });
    const square = (a: Float32Array, b: Float32Array) => meanOf(a.map((v, i) => (v - b[i]) ** 2)).mean;
    const start = predictStart(schedule, xt, 0, said);
    const expected = {
      noise: square(said.data, noise.data),
      start: square(start.data, x0.data),
      velocity: square(velocity(schedule, start, 0, said).data, velocity(schedule, x0, 0, noise).data),
    };
    const answers = {
      epsilon: said,
      sample: start,
      v_prediction: velocity(schedule, start, 0, predictNoise(schedule, xt, 0, start)),
    };
    for (const [prediction_type, answer] of Object.entries(answers)) {
      const own = createSchedule(engine, { prediction_type });
      const loss = await simpleLoss(own, () => answer, x0, { seed: 4, timesteps: [0] });
      for (const [unit, value] of Object.entries(expected))
        expect(loss[unit as keyof typeof expected][0] / value).toBeCloseTo(1, prediction_type === 'epsilon' ? 5 : 2);
    }
  });

  it('takes no notice of a second half of channels', async () => {
    const options = { seed: 1, timestepsPerImage: 2 };
    const plain = await simpleLoss(schedule, timedDenoiser, images, options);
    expect(await simpleLoss(schedule, withVariance(timedDenoiser, 0.7), images, options)).toEqual(plain);
  });

  it('min-SNR weights make one loss of the three units, min(SNR, gamma) times that of the start, to 1e-12', async () => {
    for (const gamma of [1, 5]) {
      const loss = await simpleLoss(schedule, timedDenoiser, images, { seed: 1, timesteps, gamma });
      for (const [place, t] of loss.timesteps.entries()) {
        const snr = abar[t] / (1 - abar[t]);
        const weighted = loss.weights[place] * loss.noise[place];
        expect((Math.min(snr, gamma) * loss.start[place]) / weighted).toBeCloseTo(1, 12);
        expect(((Math.min(snr, gamma) / (snr + 1)) * loss.velocity[place]) / weighted).toBeCloseTo(1, 12);
      }
      const { mean } = meanOf(loss.noise.map((error, place) => error * loss.weights[place]));
      expect(loss.overall.weighted).toBeCloseTo(mean, 12);
      expect(loss.overall.noise).toBeCloseTo(meanOf(loss.noise).mean, 12);
    }
  });

  it('with v_prediction is finite where no signal is left', async () => {
    const empty = createSchedule(engine, { rescale_betas_zero_snr: true, prediction_type: 'v_prediction' });
    const loss = await simpleLoss(empty, timedDenoiser, images, { seed: 1, timesteps: [999] });
    expect(loss.noise.every((error) => error === 0)).toBe(true);
    expect(loss.velocity.every((error) => error > 0.1)).toBe(true);
    const epsilon = createSchedule(engine, { rescale_betas_zero_snr: true });
    await expect(simpleLoss(epsilon, timedDenoiser, images, { seed: 1, timesteps: [999] })).rejects.toThrow(
      '"prediction_type" expected sample or v_prediction where the schedule ends in pure noise',
    );
  });
});

describe('timesteps', () => {
  it.each([1, 7, 40])(
    '%i an image: one in each of as many strata, over images as even as possible',
    async (perImage) => {
      const loss = await simpleLoss(schedule, timedDenoiser, images, { seed: 3, timestepsPerImage: perImage });
      const bins = new RangeMeans(evenEdges(1000, 8));
      for (const [place, t] of loss.timesteps.entries()) {
        const stratum = place % perImage;
        expect((t + 1) * perImage).toBeGreaterThan(stratum * 1000);
        expect(t * perImage).toBeLessThan((stratum + 1) * 1000);
      }
      for (const [place, t] of loss.timesteps.entries()) bins.add(bins.rangeOf(t), loss.noise[place]);
      // 96 points of a sequence with the least discrepancy known are within two of their share of any bin
      for (const { count } of bins.estimates) expect(Math.abs(count - 12 * perImage)).toBeLessThanOrEqual(2 * perImage);
      const other = await simpleLoss(schedule, timedDenoiser, images, { seed: 4, timestepsPerImage: perImage });
      expect(other.timesteps).not.toEqual(loss.timesteps);
    },
  );

  it('vary less over an even choice than independent ones: means of 32 images by more than two', async () => {
    const oracle = normalOracle(schedule, 0, 0.5);
    const few = slice(images, 0, 32);
    const [even, independent]: number[][] = [[], []];
    for (let seed = 0; seed < 40; seed++) {
      even.push((await simpleLoss(schedule, oracle, few, { seed })).overall.noise);
      // each image of a seed of its own has a random shift of its own
      const single = slice(images, 0, 1);
      const losses: number[] = [];
      for (let i = 0; i < 32; i++)
        losses.push((await simpleLoss(schedule, oracle, single, { seed: 1000 + 32 * seed + i })).overall.noise);
      independent.push(meanOf(losses).mean);
    }
    expect(meanOf(independent).standardError / meanOf(even).standardError).toBeGreaterThan(2);
  });

  it('that come again have other noise', async () => {
    const loss = await simpleLoss(schedule, timedDenoiser, images, { seed: 1, timesteps: [500, 500] });
    for (let i = 0; i < 96; i++) expect(loss.noise[2 * i]).not.toBe(loss.noise[2 * i + 1]);
  });
});

describe('seeds', () => {
  it('decide an image alone: batches of 1, 5 and 64, and any number a call, are the same bit for bit', async () => {
    const part = slice(images, 0, 64);
    const whole = await simpleLoss(schedule, timedDenoiser, part, { seed: 7, timestepsPerImage: 3 });
    for (const size of [1, 5, 64]) {
      const found: number[] = [];
      for (let first = 0; first < 64; first += size) {
        const some = slice(part, first, Math.min(64, first + size));
        const options = { seed: 7, first, timestepsPerImage: 3, batch: size === 5 ? 4 : undefined };
        found.push(...(await simpleLoss(schedule, timedDenoiser, some, options)).noise);
      }
      expect(found).toEqual([...whole.noise]);
    }
  });

  it('of torch draw a tensor for the batch, timestep after timestep', async () => {
    const part = slice(images, 0, 3);
    const stream = randn(engine, [2, ...part.shape], { seed: 7, rng: 'torch' });
    const seen: number[] = [];
    const keep: Denoiser = (x) => {
      seen.push(...x.data);
      return { data: new Float32Array(x.data.length), shape: x.shape };
    };
    await simpleLoss(schedule, keep, part, { seed: 7, rng: 'torch', timesteps: [900, 10], batch: 4 });
    const [first, second] = [0, 1].map((j) => slice(stream, j, j + 1).data);
    const expected = [
      ...addNoise(schedule, part, 900, { data: first, shape: part.shape }).data,
      ...addNoise(schedule, part, 10, { data: second, shape: part.shape }).data,
    ];
    expect(seen).toEqual(expected);
  });
});

it('a call holds at most `batch` images, with each its timestep and label, and the network may write its answer in place', async () => {
  const calls: { count: number; labels: number[]; timesteps: number[] }[] = [];
  const denoiser: Denoiser = (x, timesteps, condition, options) => {
    calls.push({ count: x.shape[0], labels: [...Array.from(condition!.classLabels!)], timesteps: [...timesteps] });
    const out = options?.out ?? { data: new Float32Array(x.data.length), shape: x.shape };
    out.data.fill(0.5);
    return out;
  };
  const part = slice(images, 0, 3);
  const condition = { classLabels: [7, 8, 9] };
  const loss = await simpleLoss(schedule, denoiser, part, { seed: 0, timesteps: [1, 2, 3], batch: 4, condition });
  expect(calls.map(({ count }) => count)).toEqual([4, 4, 1]);
  expect(calls.flatMap(({ labels }) => labels)).toEqual([7, 8, 9, 7, 8, 9, 7, 8, 9]);
  expect(calls.flatMap(({ timesteps }) => timesteps)).toEqual([1, 1, 1, 2, 2, 2, 3, 3, 3]);
  expect(loss.noise.every((error) => error > 0.8 && error < 2)).toBe(true);
});

describe('arguments are checked by name', () => {
  const few = byteImages([2, 1, 2, 2]);
  const aborted = AbortSignal.abort(new Error('enough'));
  it.each<[object, string]>([
    [{ seed: -1 }, '"seed" expected an integer'],
    [{ seed: 0, timesteps: [1000] }, '"timesteps[]" expected an integer in 0..999, got 1000'],
    [{ seed: 0, timesteps: [] }, '"timesteps" expected at least one timestep'],
    [{ seed: 0, timesteps: [1], timestepsPerImage: 1 }, '"timestepsPerImage" expected none beside "timesteps"'],
    [{ seed: 0, timestepsPerImage: 1001 }, '"timestepsPerImage" expected an integer in 1..1000'],
    [{ seed: 0, timestep: 4 }, '"timestep" expected no such option: simpleLoss takes'],
    [{ seed: 0, batch: 0 }, '"batch" expected an integer'],
    [{ seed: 0, rng: 'torch', first: 2 }, '"first" expected 0 with torch'],
    [{ seed: 0, condition: { classLabels: [1] } }, '"classLabels" expected 2 labels, got 1'],
    [{ seed: 0, signal: aborted }, 'enough'],
  ])('%j', async (options, message) => {
    await expect(simpleLoss(schedule, timedDenoiser, few, options as { seed: number })).rejects.toThrow(message);
  });

  it('a network that fails is named with its timesteps', async () => {
    const broken: Denoiser = (x) => ({ data: x.data.map(() => Number.NaN), shape: x.shape });
    await expect(simpleLoss(schedule, broken, few, { seed: 0, timesteps: [5] })).rejects.toThrow(
      'the network gave NaN at timestep 5',
    );
  });
});

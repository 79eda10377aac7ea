import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readIdx } from '../../bench/quality/idx.ts';
import {
  alphaCumprodAt,
  createEngine,
  createPlan,
  createSchedule,
  type Denoiser,
  likelihood,
  runPlan,
  type Schedule,
  type Tensor,
} from '../../src/index.ts';
import { loadModel } from '../../src/model/load.ts';
import { Mixture, mixtureOracle, randomNumbers } from '../support/mixture.ts';

const engine = await createEngine();
const schedules: Record<string, object> = {
  linear: {},
  squaredcos: { beta_schedule: 'squaredcos_cap_v2' },
  'squaredcos of 100 steps': { beta_schedule: 'squaredcos_cap_v2', num_train_timesteps: 100 },
  scaled_linear: { beta_schedule: 'scaled_linear', beta_start: 0.00085, beta_end: 0.012 },
  'linear, v_prediction': { prediction_type: 'v_prediction' },
  'linear, sample': { prediction_type: 'sample' },
  'v_prediction, zero terminal SNR': { prediction_type: 'v_prediction', rescale_betas_zero_snr: true },
};
const scheduleOf = (name: string) => createSchedule(engine, schedules[name]);

const tensorOf = (points: readonly (readonly number[])[]): Tensor => ({
  data: Float32Array.from(points.flat()),
  shape: [points.length, points[0].length],
});
const mean = (values: ArrayLike<number>) => Array.from(values).reduce((sum, v) => sum + v, 0) / values.length;
const bits = (nats: number, dimensions: number) => nats / (dimensions * Math.LN2);

/** What a schedule makes of points of one normal distribution in n dimensions. */
async function normal(schedule: Schedule, { m, s, n }: { m: number; s: number; n: number }, options = {}) {
  const mixture = new Mixture([{ weight: 1, mean: new Array<number>(n).fill(m), deviation: s }]);
  const points = mixture.sample(6, randomNumbers(3)).map((point) => point.map(Math.fround));
  const result = await likelihood(schedule, mixtureOracle(schedule, mixture).denoiser, tensorOf(points), options);
  const errors = points.map((p, i) => Math.abs(result.bitsPerDimension[i] + bits(mixture.logDensity(p), n)));
  return { points, result, worst: Math.max(...errors) };
}

describe('for data N(m, s^2 I) and the best denoiser the density is the formula', () => {
  const cases = Object.keys(schedules).flatMap((name) =>
    [
      { m: 0, s: 1, n: 2 },
      { m: 0.3, s: 0.5, n: 2 },
      { m: -0.7, s: 0.2, n: 48 },
      { m: 1, s: 0.1, n: 12 },
    ].map((data) => [name, data.m, data.s, data.n, data] as const),
  );
  it.each(cases)('within 2e-3 bits/dim: %s, N(%d, %d^2), %i dimensions', async (name, _m, _s, _n, data) => {
    expect((await normal(scheduleOf(name), data)).worst).toBeLessThan(2e-3);
  });

  it('within 1e-4 bits/dim at tolerance 1e-8', async () => {
    expect((await normal(scheduleOf('linear'), { m: 0.3, s: 0.5, n: 2 }, { tolerance: 1e-8 })).worst).toBeLessThan(
      1e-4,
    );
  });

  it('with latents at the last timestep of sqrt(abar) m + sqrt(abar s^2 + 1 - abar) (x - m)/s within 1e-4', async () => {
    const [m, s] = [0.3, 0.5];
    const schedule = scheduleOf('linear');
    const { points, result } = await normal(schedule, { m, s, n: 2 });
    const abar = schedule.alphasCumprod[999];
    const expected = points.flat().map((x) => Math.sqrt(abar) * m + Math.sqrt(abar * s * s + 1 - abar) * ((x - m) / s));
    expected.forEach((z, i) => {
      expect(Math.abs(result.latents.data[i] - z)).toBeLessThan(1e-4);
    });
  });
});

const two = new Mixture([
  { weight: 0.4, mean: [-0.5, 0.2], deviation: 0.2 },
  { weight: 0.6, mean: [0.4, -0.3], deviation: 0.3 },
]);
const mixtures = {
  two,
  three: new Mixture([
    { weight: 0.2, mean: [-1, 0], deviation: 0.1 },
    { weight: 0.3, mean: [1, 0], deviation: 0.1 },
    { weight: 0.5, mean: [0, 1], deviation: 0.1 },
  ]),
  far: new Mixture([
    { weight: 0.3, mean: [-3, 1], deviation: 0.5 },
    { weight: 0.7, mean: [2, 2], deviation: 0.4 },
  ]),
  ring: new Mixture(
    Array.from({ length: 8 }, (_, i) => ({
      weight: 1 / 8,
      mean: [0.8 * Math.cos((i * Math.PI) / 4), 0.8 * Math.sin((i * Math.PI) / 4)],
      deviation: 0.08,
    })),
  ),
};

describe('for mixtures in two dimensions and the best denoiser at tolerance 1e-5 the density is the truth', () => {
  const count = 40;
  // the mean and the worst error, the mean and the most calls: points between two parts take the most
  const limits = {
    two: [0.002, 0.008, 110, 145],
    three: [0.003, 0.01, 140, 235],
    far: [0.003, 0.01, 135, 190],
    ring: [0.005, 0.015, 145, 190],
  } as const;
  const cases = Object.keys(schedules).flatMap((name) =>
    (Object.keys(limits) as (keyof typeof limits)[]).map((mixture) => [mixture, name, ...limits[mixture]] as const),
  );
  it.each(cases)(
    '%s, %s: within %d bits/dim on average and %d at worst, in %i calls on average and %i at most',
    async (which, name, meanError, worstError, meanCalls, mostCalls) => {
      const mixture = mixtures[which];
      const schedule = scheduleOf(name);
      const points = mixture.sample(count, randomNumbers(7)).map((point) => point.map(Math.fround));
      const { denoiser } = mixtureOracle(schedule, mixture);
      const { bitsPerDimension, evaluations } = await likelihood(schedule, denoiser, tensorOf(points));
      const errors = points.map((p, i) => Math.abs(bitsPerDimension[i] + bits(mixture.logDensity(p), 2)));
      expect(mean(errors)).toBeLessThan(meanError);
      expect(Math.max(...errors)).toBeLessThan(worstError);
      expect(mean(evaluations)).toBeLessThan(meanCalls);
      expect(Math.max(...evaluations)).toBeLessThan(mostCalls);
    },
  );
});

describe('the result for an image', () => {
  const schedule = scheduleOf('linear');
  const { denoiser, vjp } = mixtureOracle(schedule, two);
  const points = two.sample(7, randomNumbers(11)).map((point) => point.map(Math.fround));
  const options = { probes: 1, dequantize: true, seed: 5, tolerance: 1e-4 };

  it('is the same bit for bit in a batch of 1, 2 or 16, and in parts that say which images they are', async () => {
    const whole = await likelihood(schedule, denoiser, tensorOf(points), options);
    for (const batch of [1, 2])
      expect(await likelihood(schedule, denoiser, tensorOf(points), { ...options, batch })).toEqual(whole);
    const rest = await likelihood(schedule, denoiser, tensorOf(points.slice(3)), { ...options, first: 3 });
    expect(rest.logDensity).toEqual(whole.logDensity.slice(3));
    expect(rest.latents.data).toEqual(whole.latents.data.slice(6));
    expect(rest.evaluations).toEqual(whole.evaluations.slice(3));
  });

  it('adds up: prior and volume are the density, and evaluations what the network was given', async () => {
    let given = 0;
    const counting: Denoiser = (x, timesteps) => {
      given += timesteps.length;
      return denoiser(x, timesteps);
    };
    const result = await likelihood(schedule, counting, tensorOf(points), options);
    result.logDensity.forEach((density, i) => {
      expect(density).toBe(result.logPrior[i] + result.logVolume[i]);
      expect(result.bitsPerDimension[i]).toBeCloseTo(Math.log2(127.5) - bits(density, 2), 12);
    });
    expect(result.evaluations.reduce((sum, n) => sum + n)).toBe(given);
  });

  it('with a vector-Jacobian product is that of differences within 1e-3 bits/dim, in three quarters of the calls', async () => {
    const differences = await likelihood(schedule, denoiser, tensorOf(points));
    const products = await likelihood(schedule, denoiser, tensorOf(points), { vjp });
    products.bitsPerDimension.forEach((value, i) => {
      expect(Math.abs(value - differences.bitsPerDimension[i])).toBeLessThan(1e-3);
      expect(products.evaluations[i]).toBeLessThan(0.75 * differences.evaluations[i]);
    });
    expect(products.divergenceError).toEqual(new Float64Array(points.length));
    expect(Math.max(...differences.divergenceError)).toBeGreaterThan(0);
  });

  it('bears noise of 1e-6 in the network’s answers: within 1e-3 bits/dim of what it is without', async () => {
    const random = randomNumbers(2);
    const noisy: Denoiser = async (x, timesteps) => {
      const { data, shape } = await denoiser(x, timesteps);
      return { data: data.map((v) => v + 2e-6 * (random() - 0.5)), shape };
    };
    const clean = await likelihood(schedule, denoiser, tensorOf(points));
    const result = await likelihood(schedule, noisy, tensorOf(points));
    result.bitsPerDimension.forEach((value, i) => {
      expect(Math.abs(value - clean.bitsPerDimension[i])).toBeLessThan(1e-3);
    });
  });

  it('comes back from its latents within 2e-3 by a sampler of 200 steps', async () => {
    const { latents } = await likelihood(schedule, denoiser, tensorOf(points));
    const plan = createPlan(schedule, { sampler: 'dpm-solver++', solverOrder: 3, steps: 200, useKarrasSigmas: true });
    const back = await runPlan(plan, denoiser, { shape: latents.shape, start: latents, seed: 0 });
    back.data.forEach((value, i) => {
      expect(Math.abs(value - points.flat()[i])).toBeLessThan(2e-3);
    });
  });

  it('ignores a predicted variance, and clip_sample, bit for bit', async () => {
    const wider: Denoiser = async (x, timesteps) => {
      const { data, shape } = await denoiser(x, timesteps);
      const both = Array.from({ length: shape[0] }, (_, i) => [...data.subarray(2 * i, 2 * i + 2), 7, -7]);
      return { data: Float32Array.from(both.flat()), shape: [shape[0], 4] };
    };
    const plain = await likelihood(schedule, denoiser, tensorOf(points));
    expect(await likelihood(schedule, wider, tensorOf(points))).toEqual(plain);
    const unclipped = createSchedule(engine, { clip_sample: false });
    expect(await likelihood(unclipped, denoiser, tensorOf(points))).toEqual(plain);
  });
});

describe('for correlated images of 16 pixels', () => {
  // N(0, s^2 (I + c 11^T)): the noise is linear in x, with one rate along 1 and another across it
  const [s, c, n] = [0.3, 0.2, 16];
  const schedule = scheduleOf('linear');
  const denoiser: Denoiser = (x, timesteps) => ({
    shape: x.shape,
    data: x.data.map((value, i) => {
      const k = Math.floor(i / n);
      const abar = alphaCumprodAt(schedule, timesteps[k]);
      const along = mean(x.data.subarray(k * n, (k + 1) * n));
      const level = Math.sqrt(1 - abar);
      const rate = (variance: number) => level / (abar * variance + 1 - abar);
      return rate(s * s) * (value - along) + rate(s * s * (1 + c * n)) * along;
    }),
  });
  const random = randomNumbers(4);
  const normalNumber = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const images = Array.from({ length: 24 }, () => {
    const common = Math.sqrt(c) * normalNumber();
    return Array.from({ length: n }, () => Math.fround(s * (normalNumber() + common)));
  });
  const x0 = { data: Float32Array.from(images.flat()), shape: [images.length, 1, 4, 4] };
  const logDensity = (image: readonly number[]) => {
    const along = mean(image);
    const across = image.reduce((sum, v) => sum + (v - along) ** 2, 0);
    const squares = across / s ** 2 + (n * along ** 2) / (s * s * (1 + c * n));
    return -(squares + n * Math.log(2 * Math.PI * s * s) + Math.log(1 + c * n)) / 2;
  };
  const errorsOf = (density: Float64Array) => images.map((image, i) => bits(density[i] - logDensity(image), n));

  it('16 orthogonal probes give the density within 2e-3 bits/dim, and say that they are exact', async () => {
    const { logDensity, probeError } = await likelihood(schedule, denoiser, x0, { probes: 16 });
    expect(Math.max(...errorsOf(logDensity).map(Math.abs))).toBeLessThan(2e-3);
    expect(probeError).toEqual(new Float64Array(images.length));
  });

  it.each([1, 2, 4])('%i probes are off by what they say, and their mean is not: seeds agree', async (probes) => {
    const results = [];
    for (const seed of [1, 2])
      results.push(await likelihood(schedule, denoiser, x0, { probes, seed, tolerance: 1e-4 }));
    const [one, other] = results;
    const rms = (values: ArrayLike<number>) => Math.sqrt(mean(Array.from(values, (v) => v ** 2)));
    const said = rms(one.probeError);
    expect(rms(errorsOf(one.logDensity))).toBeGreaterThan(said / 3);
    expect(rms(errorsOf(one.logDensity))).toBeLessThan(1.5 * said);
    expect(Math.abs(mean(errorsOf(one.logDensity)))).toBeLessThan((3 * said) / Math.sqrt(images.length));
    const difference = mean(one.bitsPerDimension) - mean(other.bitsPerDimension);
    expect(Math.abs(difference)).toBeLessThan((3 * said) / Math.sqrt(images.length / 2));
  });

  it('dequantised bytes take the bits of their grey levels within 0.02 bits/dim, whatever the seed', async () => {
    // in every bin the density is nearly even, so that its bits are those of its middle
    const bytes = x0.data.map((v) => Math.fround(Math.round((v + 1) * 127.5) / 127.5 - 1));
    const exact = images.map((_, i) => Math.log2(127.5) - bits(logDensity([...bytes.subarray(i * n, (i + 1) * n)]), n));
    for (const seed of [1, 2]) {
      const options = { dequantize: true, probes: 16, seed, tolerance: 1e-4 };
      const { bitsPerDimension } = await likelihood(schedule, denoiser, { ...x0, data: bytes }, options);
      bitsPerDimension.forEach((value, i) => {
        expect(Math.abs(value - exact[i])).toBeLessThan(0.02);
      });
    }
  });
});

describe('likelihood', () => {
  const schedule = scheduleOf('linear');
  const { denoiser } = mixtureOracle(schedule, two);
  const x0 = tensorOf([[0.1, 0.2]]);

  it('stops between network calls when it is aborted', async () => {
    const controller = new AbortController();
    let calls = 0;
    const aborting: Denoiser = (x, timesteps) => {
      if (++calls === 3) controller.abort(new Error('enough'));
      return denoiser(x, timesteps);
    };
    await expect(likelihood(schedule, aborting, x0, { signal: controller.signal })).rejects.toThrow('enough');
    expect(calls).toBe(3);
  });

  it.each([
    ['NaN', (x: Tensor) => ({ ...x, data: x.data.map(() => NaN) }), 'the network gave NaN'],
    ['another shape', () => ({ data: new Float32Array(3), shape: [1, 3] }), 'expected float32'],
  ])('says so when the network gives %s', async (_, network, message) => {
    const failing = likelihood(schedule, network, x0);
    await expect(failing).rejects.toMatchObject({ code: 'network-failed', message: expect.stringContaining(message) });
  });

  it.each([
    ['probes', { probes: 3 }],
    ['tolerance', { tolerance: 0 }],
    ['batch', { batch: 0 }],
    ['condition.classLabels', { condition: { classLabels: [1, 2] } }],
    ['tolerence', { tolerence: 1 }],
  ])('names a bad argument: %s', async (argument, options) => {
    await expect(likelihood(schedule, denoiser, x0, options as object)).rejects.toMatchObject({ argument });
  });
});

const data = '../shared/data/fashion-mnist';
describe.skipIf(!existsSync(data))('for test images of the bundled model', () => {
  it('bits/dim are between 1.5 and 4.5, and 8 probes agree with one within its error', async () => {
    const model = await loadModel('fashion');
    const schedule = createSchedule(engine, JSON.parse(readFileSync('models/fashion/scheduler_config.json', 'utf8')));
    const images = readIdx(readFileSync(`${data}/t10k-images-idx3-ubyte.gz`)).data.subarray(0, 2 * 784);
    const labels = readIdx(readFileSync(`${data}/t10k-labels-idx1-ubyte.gz`)).data.subarray(0, 2);
    const x0 = { data: Float32Array.from(images, (byte) => byte / 127.5 - 1), shape: [2, 1, 28, 28] };
    const options = { dequantize: true, tolerance: 1e-3, condition: { classLabels: [...labels] } };
    const one = await likelihood(schedule, model.denoiser, x0, options);
    const eight = await likelihood(schedule, model.denoiser, x0, { ...options, probes: 8 });
    await model.denoiser.dispose();
    one.bitsPerDimension.forEach((value, i) => {
      expect(value).toBeGreaterThan(1.5);
      expect(value).toBeLessThan(4.5);
      expect(one.divergenceError[i]).toBeLessThan(0.01);
      expect(Math.abs(value - eight.bitsPerDimension[i])).toBeLessThan(2 * one.probeError[i]);
    });
  });
});

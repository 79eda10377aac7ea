import fc from 'fast-check';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { RATES, reduceGraph, type UpdateOptions, updateGraph } from '../../src/onnx/index.ts';
import { uniform } from './support.ts';

const options = { logSeverityLevel: 3, intraOpNumThreads: 1 } as const;
const floats = (values: Float32Array, dims = [values.length]) => new Tensor('float32', values, dims);
const random = (seed: number, size: number, scale = 1) => {
  const next = uniform(seed);
  return Float32Array.from({ length: size }, () => scale * next());
};

describe('reduceGraph', () => {
  test('adds up the workers’ gradients and their squares: float64 sums within 1e-6', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 3000 }), async (parts, size) => {
        const gradients = random(size, parts * size);
        const session = await InferenceSession.create(reduceGraph(parts, size), options);
        const results = await session.run({ gradients: floats(gradients, [parts, size]) });
        const sums = Array.from({ length: size }, (_, i) =>
          Array.from({ length: parts }, (_, part) => gradients[part * size + i]).reduce((a, b) => a + b),
        );
        const gradient = results.gradient.data as Float32Array;
        expect(gradient.length).toBe(size);
        for (const [i, sum] of sums.entries()) expect(Math.abs(gradient[i] - sum)).toBeLessThan(1e-6 * parts);
        const squares = gradient.reduce((sum, v) => sum + v * v, 0);
        expect(results.squares.dims).toEqual([]);
        expect(Math.abs(Number(results.squares.data[0]) / squares - 1)).toBeLessThan(1e-6);
        await session.release();
      }),
      { numRuns: 10, seed: 1 },
    );
  });

  test('names what cannot be added up', () => {
    expect(() => reduceGraph(0, 5)).toThrow('"parts" expected an integer in 1..65536, got 0');
    expect(() => reduceGraph(2, 0.5)).toThrow('"size" expected an integer');
  });
});

/** AdamW in float64, written as torch.optim.AdamW writes it, and the average of its parameters. */
function referenceStep(
  state: Record<string, Float64Array>,
  gradient: ArrayLike<number>,
  t: number,
  settings: Settings,
) {
  const { betas, epsilon, weightDecay, factor, learningRate, decay } = settings;
  const { p, m, v, ema } = state;
  for (let i = 0; i < p.length; i++) {
    const g = factor * gradient[i];
    p[i] *= 1 - learningRate * weightDecay;
    m[i] = betas[0] * m[i] + (1 - betas[0]) * g;
    v[i] = betas[1] * v[i] + (1 - betas[1]) * g * g;
    const denominator = Math.sqrt(v[i]) / Math.sqrt(1 - betas[1] ** t) + epsilon;
    p[i] -= ((learningRate / (1 - betas[0] ** t)) * m[i]) / denominator;
    ema[i] = decay * ema[i] + (1 - decay) * p[i];
  }
}

interface Settings extends UpdateOptions {
  readonly factor: number;
  readonly learningRate: number;
  readonly decay: number;
}

/** The largest errors of 60 steps, relative to how far the values went. */
async function errorsAfterSteps(settings: Settings, seed: number) {
  const { betas, epsilon, weightDecay, ema } = settings;
  const size = 301;
  const session = await InferenceSession.create(updateGraph(size, { betas, epsilon, weightDecay, ema }), options);
  const begin = random(seed, size);
  let state: Record<string, Float32Array> = {
    parameters: begin,
    first_moments: new Float32Array(size),
    second_moments: new Float32Array(size),
    ...(ema && { ema: begin }),
  };
  const zeros = () => new Float64Array(size);
  const expected = { p: Float64Array.from(begin), m: zeros(), v: zeros(), ema: Float64Array.from(begin) };
  for (let t = 1; t <= 60; t++) {
    // gradients of all sizes, zero among them
    const gradient = random(seed + t, size, 10 ** ((t % 7) - 4)).map((x, i) => (i % 50 ? x * (i / size) : 0));
    const learningRate = settings.learningRate * Math.min(1, t / 10);
    const corrections = betas.map((beta) => 1 / (1 - beta ** t));
    const rates = Float32Array.of(settings.factor, learningRate, ...corrections, settings.decay);
    const feeds = Object.fromEntries(Object.entries({ ...state, gradient }).map(([k, x]) => [k, floats(x)]));
    const results = await session.run({ ...feeds, rates: floats(rates) });
    state = Object.fromEntries(Object.keys(state).map((key) => [key, results[`new_${key}`].data as Float32Array]));
    referenceStep(expected, gradient, t, { ...settings, learningRate });
  }
  await session.release();
  const error = (found: Float32Array, wanted: Float64Array, scale: Float64Array) =>
    found.reduce((worst, x, i) => {
      const e = Math.abs(x - wanted[i]) / (scale[i] || 1);
      return e <= worst ? worst : e;
    }, 0);
  const gone = expected.p.map((x, i) => Math.abs(x - begin[i]) + Math.abs(begin[i]));
  return {
    moved: expected.p.reduce((sum, x, i) => sum + Math.abs(x - begin[i]), 0) / size,
    parameters: error(state.parameters, expected.p, gone),
    // gradients of both signs cancel in it
    first: error(state.first_moments, expected.m, expected.v.map(Math.sqrt)),
    second: error(state.second_moments, expected.v, expected.v),
    ema: ema ? error(state.ema, expected.ema, gone) : undefined,
  };
}

const plain = {
  betas: [0.9, 0.999],
  epsilon: 1e-8,
  weightDecay: 0,
  factor: 1,
  learningRate: 1e-3,
  decay: 0.99,
} as const;

describe('updateGraph: 60 steps equal AdamW in float64', () => {
  test.each<[string, Partial<Settings>]>([
    ['as it is by default', {}],
    ['with weight decay', { weightDecay: 0.1 }],
    ['with a clipped gradient', { factor: 0.013 }],
    ['with other betas and a large epsilon', { betas: [0.5, 0.95], epsilon: 1e-3 }],
    ['with no first moment to speak of', { betas: [0, 0.9], weightDecay: 0.01 }],
    ['with a large learning rate', { learningRate: 0.1, weightDecay: 0.5 }],
  ])('%s: parameters, their average and both moments within 2e-6', async (_, changes) => {
    const errors = await errorsAfterSteps({ ...plain, ema: true, ...changes }, 5);
    expect(errors.moved).toBeGreaterThan(0.004);
    expect(errors.parameters).toBeLessThan(2e-6);
    expect(errors.ema).toBeLessThan(2e-6);
    expect(errors.first).toBeLessThan(2e-6);
    expect(errors.second).toBeLessThan(2e-6);
  });

  test('without an average there is none to feed and none comes out', async () => {
    const errors = await errorsAfterSteps({ ...plain, ema: false }, 6);
    expect(errors.parameters).toBeLessThan(2e-6);
    const session = await InferenceSession.create(updateGraph(3, { ...adam, ema: false }), options);
    expect(session.inputNames).toEqual(['gradient', 'parameters', 'first_moments', 'second_moments', 'rates']);
    expect(session.outputNames).toEqual(['new_parameters', 'new_first_moments', 'new_second_moments']);
  });

  test('slices of the vectors, updated apart, are those of the whole, bit for bit', async () => {
    const vectors = ['gradient', 'parameters', 'first_moments', 'second_moments', 'ema'].map(
      (name, i) => [name, random(i, 90).map((x) => (name === 'second_moments' ? x * x : x))] as const,
    );
    const rates = floats(Float32Array.of(0.7, 1e-3, 2, 30, 0.99));
    const step = async (begin: number, end: number) => {
      const session = await InferenceSession.create(updateGraph(end - begin, { ...adam, ema: true }), options);
      const feeds = Object.fromEntries(vectors.map(([name, x]) => [name, floats(x.slice(begin, end))]));
      const results = await session.run({ ...feeds, rates });
      return session.outputNames.map((name) => [...(results[name].data as Float32Array)]);
    };
    const [whole, left, right] = [await step(0, 90), await step(0, 37), await step(37, 90)];
    expect(whole).toEqual(left.map((part, i) => [...part, ...right[i]]));
  });

  test('rates are named in the order in which they are taken', () => {
    expect(RATES).toEqual(['gradientFactor', 'learningRate', 'firstCorrection', 'secondCorrection', 'emaDecay']);
  });

  test('names what cannot be', () => {
    expect(() => updateGraph(0, { ...adam, ema: true })).toThrow('"size" expected an integer');
    expect(() => updateGraph(3, { ...adam, betas: [0.9, 2], ema: true })).toThrow(
      '"betas[]" expected a number in 0..1',
    );
    expect(() => updateGraph(3, { ...adam, ema: true, decay: 1 } as UpdateOptions)).toThrow('"decay" expected no such');
  });
});

const { factor: _, learningRate: __, decay: ___, ...adam } = plain;

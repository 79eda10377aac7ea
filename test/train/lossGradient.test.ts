import { beforeAll, describe, expect, test } from 'vitest';
import { createEngine, createSchedule, type Engine, type Schedule } from '../../src/index.ts';
import type { GraphBuilder, ParameterSource, VectorParameters } from '../../src/onnx/index.ts';
import { distance, randomWeights, uniform } from '../onnx/support.ts';
import { rms } from '../onnx/trainingStep.ts';
import { byteImages } from '../support/evaluation.ts';
import {
  evaluationNoise,
  type Loss,
  lossFeeds,
  openLoss,
  plainLoss,
  referenceLosses,
  type TinyNetwork,
  type Trial,
  tinyNetwork,
} from './lossSupport.ts';

let engine: Engine;
let schedule: Schedule;
let trial: Trial & { readonly labels: readonly number[] };
beforeAll(async () => {
  engine = await createEngine();
  schedule = createSchedule(engine, { variance_type: 'learned_range' }, { precision: 'float64' });
  const timesteps = [0, 3, 200, 700];
  const noise = evaluationNoise(engine, timesteps, 128, 5n);
  trial = { x0: byteImages([4, 2, 8, 8]), noise, timesteps, labels: [2, 0, 1, 1] };
});

const predictions = ['epsilon', 'sample', 'v_prediction'] as const;
const learned = { ...plainLoss, prediction: 'v_prediction', variance: 'learned' } as const;

/** Where each parameter is in the vector. */
function placesOf({ shapes }: TinyNetwork): Map<string, [begin: number, end: number]> {
  let end = 0;
  return new Map(
    [...shapes].map(([key, shape]) => {
      const begin = end;
      end += shape.reduce((a, b) => a * b, 1);
      return [key, [begin, end]];
    }),
  );
}

function open(network: TinyNetwork, loss: Loss, images = 4) {
  return openLoss({ network: network.config, loss, images, divisor: 4, trained: network.shapes });
}

/** Images begin..end-1 of the trial. */
function part(begin: number, end: number) {
  const pixels = (data: Float32Array) => data.slice(128 * begin, 128 * end);
  const x0 = { data: pixels(trial.x0.data), shape: [end - begin, 2, 8, 8] };
  const [timesteps, labels] = [trial.timesteps, trial.labels].map((list) => list.slice(begin, end));
  return { x0, noise: pixels(trial.noise), timesteps, labels };
}

describe('the gradient of the loss', () => {
  const losses: Loss[] = predictions.flatMap((prediction) => [
    { ...plainLoss, prediction, weighting: 'min-snr' },
    { ...plainLoss, prediction, variance: 'learned', varianceWeight: 0.01 },
  ]);

  test.each(losses)(
    'of $prediction with a $variance variance is that of float64 differences along random directions, within 2e-5',
    async (loss) => {
      const network = tinyNetwork({ learned: loss.variance === 'learned' });
      const { vector, shapes, weights, raw } = network;
      const { run } = await open(network, loss);
      const found = await run(vector, lossFeeds(schedule, loss, trial));

      const units = { epsilon: () => 1, sample: (snr: number) => snr, v_prediction: (snr: number) => snr / (1 + snr) };
      const weightAt = (t: number) => {
        const snr = schedule.alphasCumprod[t] / (1 - schedule.alphasCumprod[t]);
        return loss.weighting === 'none' ? 1 : Math.min(1, 5 / snr) * units[loss.prediction](snr);
      };
      const own = (key: string, shape: number[]) => weights.get(key, shape);
      const at = (get: typeof own | ((key: string, shape: number[]) => ArrayLike<number>), frozen?: Float64Array[]) =>
        referenceLosses(schedule, { ...loss, weightAt }, { raw, get }, trial, frozen);
      const base = at(own);
      const expected = base.reduce((sum, { loss }) => sum + loss, 0) / 4;
      expect(Math.abs(found.loss / expected - 1)).toBeLessThan(2e-6);

      // the bound does not teach the means, which stay as they are
      const frozen = base.map(({ prediction }) => prediction);
      for (let direction = 0; direction < 2; direction++) {
        const [moved, h] = [randomWeights(100 + direction), 1e-6];
        const along = (step: number) => {
          const get = (key: string, shape: number[]) => {
            const d = moved.get(key, shape);
            return Float64Array.from(own(key, shape), (w, i) => w + step * d[i]);
          };
          return at(get, frozen).reduce((sum, { loss }) => sum + loss, 0) / 4;
        };
        const slope = (along(h) - along(-h)) / (2 * h);
        const d = Float32Array.from([...shapes].flatMap(([key, shape]) => [...moved.get(key, [...shape])]));
        const analytic = found.gradient.reduce((sum, g, i) => sum + g * d[i], 0);
        const scale = rms(found.gradient) * Math.hypot(...d);
        expect(Math.abs(analytic - slope)).toBeLessThan(2e-5 * scale);
      }
    },
  );

  test('teaches the means by the squared error alone, the variances by the bound alone', async () => {
    const network = tinyNetwork({ learned: true });
    const [begin, end] = placesOf(network).get('conv_out.weight')!;
    const middle = (begin + end) / 2; // where the rows of the variances begin
    const feeds = lossFeeds(schedule, learned, trial);
    const gradientWith = async (varianceWeight: number) => {
      const { run } = await open(network, { ...learned, varianceWeight });
      return (await run(network.vector, feeds)).gradient;
    };
    const [both, squares] = [await gradientWith(0.05), await gradientWith(0)];
    expect(both.slice(begin, middle)).toEqual(squares.slice(begin, middle));
    expect(squares.slice(middle, end).every((v) => v === 0)).toBe(true);
    expect(both.slice(middle, end).every((v) => v !== 0)).toBe(true);
  });

  test('is added to that of before, exactly', async () => {
    const network = tinyNetwork({ learned: true });
    const { run } = await open(network, learned);
    const feeds = lossFeeds(schedule, learned, trial);
    const [random, { gradient }] = [uniform(3), await run(network.vector, feeds)];
    const before = gradient.map((v) => v + 0.1 * random());
    const after = await run(network.vector, feeds, before);
    expect(after.gradient).toEqual(gradient.map((v, i) => v + before[i]));
  });

  test('of slices with the same divisor adds up to that of the whole batch, within 1e-5', async () => {
    const network = tinyNetwork({ learned: true });
    const feedsOf = (begin: number, end: number) => lossFeeds(schedule, learned, part(begin, end));
    const whole = await (await open(network, learned)).run(network.vector, feedsOf(0, 4));
    const single = await open(network, learned, 1);
    let [loss, errors, gradient] = [0, [] as number[], new Float32Array(single.size)];
    for (let i = 0; i < 4; i++) {
      const one = await single.run(network.vector, feedsOf(i, i + 1), gradient);
      [loss, errors, gradient] = [loss + one.loss, [...errors, ...one.errors], one.gradient as typeof gradient];
    }
    expect(Math.abs(loss / whole.loss - 1)).toBeLessThan(1e-6);
    expect(distance(errors, whole.errors)).toBeLessThan(1e-5);
    expect(rms(gradient.map((v, i) => v - whole.gradient[i]))).toBeLessThan(1e-5 * rms(whole.gradient));
  });
});

describe('parameters that come about otherwise', () => {
  const kept = tinyNetwork();
  const name = 'mid_block.attentions.0.to_q.weight';

  /** The network's weights as constants, but for what `own` provides. */
  function constants(g: GraphBuilder, own: ParameterSource): ParameterSource {
    return {
      has: (key) => kept.shapes.has(key),
      get: (key, shape, as = shape) =>
        own.has(key) ? own.get(key, shape, as) : g.floats(key, as, kept.weights.get(key, [...shape])),
    };
  }

  test('frozen ones are constants: the gradient of the others is the same', async () => {
    const all = await (await open(kept, plainLoss)).run(kept.vector, lossFeeds(schedule, plainLoss, trial));
    const names = [name, 'conv_in.bias', 'class_embedding.weight'];
    const trained = new Map(names.map((key) => [key, kept.shapes.get(key)!]));
    const { run, inputs } = await openLoss({
      ...{ network: kept.config, loss: plainLoss, images: 4, divisor: 4, trained },
      parameters: (g, own) => constants(g, own),
    });
    expect(inputs).toContain('class_labels');
    const places = names.map((key) => placesOf(kept).get(key)!);
    const gather = (from: Float32Array) => Float32Array.from(places.flatMap(([a, b]) => [...from.subarray(a, b)]));
    const some = await run(gather(kept.vector), lossFeeds(schedule, plainLoss, trial));
    expect(Math.abs(some.loss / all.loss - 1)).toBeLessThan(1e-6);
    expect(distance(some.gradient, gather(all.gradient))).toBeLessThan(1e-6);
  });

  test('low-rank changes to a constant: dA = s B^T dW and dB = s dW A^T, within 1e-6', async () => {
    const [rank, width, scale] = [2, 16, 0.5];
    const trained = new Map([
      ['a', [rank, width]],
      ['b', [width, rank]],
    ]);
    const lora = (g: GraphBuilder, own: VectorParameters): ParameterSource => {
      const product = g.op('MatMul', [own.get('b', [width, rank]), own.get('a', [rank, width])]);
      const change = g.op('Mul', [product, g.scalar(scale)]);
      const changed: ParameterSource = {
        has: (key) => key === name,
        get: (key, shape, as = shape) => {
          const weight = g.floats(key, shape, kept.weights.get(key, [...shape]));
          return g.op('Reshape', [g.op('Add', [weight, change]), g.intVector(as)]);
        },
      };
      return constants(g, changed);
    };
    const random = uniform(9);
    const ab = Float32Array.from({ length: 2 * rank * width }, random);
    const options = { network: kept.config, loss: plainLoss, images: 4, divisor: 4, trained, parameters: lora };
    const found = await (await openLoss(options)).run(ab, lossFeeds(schedule, plainLoss, trial));

    const [a, b] = [ab.subarray(0, rank * width), ab.subarray(rank * width)];
    const entry = (x: Float32Array, columns: number, i: number, j: number) => x[i * columns + j];
    const sum = (n: number, term: (k: number) => number) =>
      Array.from({ length: n }, (_, k) => term(k)).reduce((x, y) => x + y);
    const [begin, end] = placesOf(kept).get(name)!;
    const changed = kept.vector.map((w, at) => {
      if (at < begin || at >= end) return w;
      const [i, j] = [Math.floor((at - begin) / width), (at - begin) % width];
      return w + scale * sum(rank, (k) => entry(b, rank, i, k) * entry(a, width, k, j));
    });
    const whole = await (await open(kept, plainLoss)).run(changed, lossFeeds(schedule, plainLoss, trial));
    expect(Math.abs(found.loss / whole.loss - 1)).toBeLessThan(1e-6);
    const dw = whole.gradient.subarray(begin, end);
    const expected = [
      ...Array.from({ length: rank * width }, (_, at) => {
        const [k, j] = [Math.floor(at / width), at % width];
        return scale * sum(width, (i) => entry(b, rank, i, k) * entry(dw, width, i, j));
      }),
      ...Array.from({ length: rank * width }, (_, at) => {
        const [i, k] = [Math.floor(at / rank), at % rank];
        return scale * sum(width, (j) => entry(dw, width, i, j) * entry(a, width, k, j));
      }),
    ];
    expect(Math.max(...expected.map(Math.abs))).toBeGreaterThan(1e-3);
    expect(distance(found.gradient, expected)).toBeLessThan(1e-6);
  });
});

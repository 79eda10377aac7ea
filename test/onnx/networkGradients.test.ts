import fc from 'fast-check';
import { Tensor } from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { sizeOf } from '../../src/core/tensor.ts';
import { parseUNetConfig } from '../../src/core/unetConfig.ts';
import { gradients } from '../../src/onnx/gradients.ts';
import { GraphBuilder, type Value } from '../../src/onnx/graph.ts';
import { Layers } from '../../src/onnx/layers.ts';
import { VectorParameters } from '../../src/onnx/parameters.ts';
import { unetForward, unetParameters } from '../../src/onnx/unet2d.ts';
import { configs, note, options } from './configs.ts';
import { run } from './finiteDifferences.ts';
import { type ReferenceConfig, referenceUNet } from './reference.ts';
import { distance, randomWeights, uniform } from './support.ts';

// a loss in float64, and as operators; `target` has the output's shape
interface Loss {
  value(output: ArrayLike<number>, target: ArrayLike<number>): number;
  build(g: GraphBuilder, output: Value, target: Value): Value;
}

// predictions of the noise, of the image or of the velocity differ in their target alone
const squared: Loss = {
  value: (y, target) => mean(y, (v, i) => (v - target[i]) ** 2),
  build: (g, y, target) => {
    const error = g.op('Sub', [y, target]);
    return g.op('ReduceMean', [g.op('Mul', [error, error])], { keepdims: 0 });
  },
};

// the divergence of two normal distributions, where the second half of the channels moves the log-variance from -3
// to -1 (Nichol and Dhariwal 2021, equation 15); the target is the mean, and has variance exp(-2)
const learnedVariance: Loss = {
  value: (y, target) =>
    mean(y, (v, i, half, variance) => {
      if (half) return 0;
      const log = -2 + variance;
      return log + 2 + Math.exp(-2 - log) - 1 + (v - target[i]) ** 2 * Math.exp(-log);
    }),
  build: (g, y, target) => {
    const [location, variance] = g.ops('Split', [y], 2, { axis: 1 });
    const [goal] = g.ops('Split', [target], 2, { axis: 1 });
    const log = g.op('Add', [variance, g.scalar(-2)]);
    const square = g.op('Pow', [g.op('Sub', [location, goal]), g.scalar(2)]);
    const ratio = g.op('Exp', [g.op('Sub', [g.scalar(-2), log])]);
    const scaled = g.op('Div', [square, g.op('Exp', [log])]);
    const terms = g.op('Add', [g.op('Add', [log, g.scalar(1)]), g.op('Add', [ratio, scaled])]);
    return g.op('Mul', [g.op('ReduceMean', [terms], { keepdims: 0 }), g.scalar(0.5)]);
  },
};

// of one image: `half` says whether an element is of the second half of the channels, `variance` what is there
function mean(y: ArrayLike<number>, term: (v: number, i: number, half: boolean, variance: number) => number): number {
  const half = y.length / 2;
  return Array.from(y).reduce((sum, v, i) => sum + term(v, i, i >= half, y[i + half]), 0) / y.length;
}

// norms over a few numbers may divide by next to nothing, and float32 then has fewer digits
function hasWideNorms({ sample_size: [h, w], block_out_channels: channels, norm_num_groups: groups }: ReferenceConfig) {
  return channels.every((c, level) => ((c / groups) * h * w) / 4 ** level >= 8);
}

const seen = new Set<string>();

test('random networks and losses: gradients equal float64 differences within 1e-5 of their rms', async () => {
  await fc.assert(
    fc.asyncProperty(configs.filter(hasWideNorms), fc.integer({ min: 0, max: 2 ** 31 - 1 }), async (config, seed) => {
      note(config, seen);
      const loss = config.out_channels % 2 ? squared : learnedVariance;
      expect(await networkError(config, loss, seed)).toBeLessThan(1e-5);
    }),
    { numRuns: 20, seed: 3, endOnFailure: true },
  );
});

test('the random networks above have every option', () => {
  for (const option of options) expect(seen).toContain(option);
});

const BATCH = 2;

async function networkError(raw: ReferenceConfig, loss: Loss, seed: number): Promise<number> {
  const random = uniform(seed);
  const numbers = (size: number) => Float32Array.from({ length: size }, () => 2 * random());
  const { config } = parseUNetConfig(JSON.parse(JSON.stringify(raw)));
  const shapes = unetParameters(config);
  const weights = randomWeights(seed);
  const [times, labels] = [
    [1, 39],
    [6, 2],
  ];
  const [h, w] = raw.sample_size;
  const x = numbers(BATCH * raw.in_channels * h * w);
  const target = numbers(BATCH * raw.out_channels * h * w);

  const g = new GraphBuilder('step');
  const size = [...shapes.values()].reduce((sum, shape) => sum + sizeOf(shape), 0);
  const parameters = new VectorParameters(g, g.input('parameters', 'float32', [size]), shapes);
  const shape = [BATCH, raw.in_channels, h, w];
  const outShape = [BATCH, raw.out_channels, h, w];
  const conditional = raw.class_embed_type !== null || raw.num_class_embeds !== null;
  const inputs = {
    sample: g.input('sample', 'float32', shape),
    timestep: g.input('timestep', 'float32', [BATCH]),
    classLabels: conditional ? g.input('labels', 'int64', [BATCH]) : undefined,
  };
  const output = unetForward(new Layers(g, parameters, config), inputs).value;
  const value = loss.build(g, output, g.input('target', 'float32', outShape));
  g.output('gradient', 'float32', [size], parameters.join(gradients(g, value, parameters.values)));
  g.output('loss', 'float32', [], value);
  const vector = Float32Array.from([...shapes].flatMap(([key, shape]) => [...weights.get(key, [...shape])]));
  const results = await run(g, {
    parameters: new Tensor('float32', vector, [size]),
    sample: new Tensor('float32', x, shape),
    target: new Tensor('float32', target, outShape),
    timestep: new Tensor('float32', Float32Array.from(times), [BATCH]),
    ...(conditional ? { labels: new Tensor('int64', BigInt64Array.from(labels, BigInt), [BATCH]) } : {}),
  });

  const part = (values: Float32Array, n: number) =>
    values.subarray((n * values.length) / BATCH, ((n + 1) * values.length) / BATCH);
  const reference = (changed: string, values: ArrayLike<number>) => {
    const get = (key: string, shape: number[]) => (key === changed ? values : weights.get(key, shape));
    const losses = times.map((t, n) => loss.value(referenceUNet(raw, get, part(x, n), t, labels[n]), part(target, n)));
    return losses.reduce((a, b) => a + b) / BATCH;
  };
  const expected = reference('', []);
  const gradient = results.gradient.data as Float32Array;
  const overall = rms(gradient);
  let worst = distance([Number(results.loss.data[0])], [expected]) / Math.abs(expected);
  let offset = 0;
  for (const [key, shape] of shapes) {
    const own = gradient.subarray(offset, offset + sizeOf(shape));
    offset += own.length;
    // Fourier frequencies are random and stay, and the reference rounds their angles
    if (key === 'time_proj.weight' && raw.time_embedding_type === 'fourier') continue;
    // the reference is slow: in every network some of the parameters
    if (Math.abs(random()) > 6 / shapes.size) continue;
    const values = weights.get(key, [...shape]);
    const direction = Float64Array.from(values, random);
    const at = (step: number) =>
      reference(
        key,
        direction.map((d, i) => values[i] + step * d),
      );
    // small, so that hardly a relu changes sides
    const slope = (at(2e-7) - at(-2e-7)) / 4e-7;
    const along = direction.reduce((sum, d, i) => sum + d * own[i], 0);
    // a gradient that is zero but for rounding, as that of the keys' bias, has no rms of its own
    const scale = Math.max(rms(own), 0.1 * overall) * Math.hypot(...direction);
    worst = Math.max(worst, Math.abs(along - slope) / scale);
  }
  return worst;
}

function rms(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length);
}

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Tensor } from '../../src/core/tensor.ts';
import { readFeatureSignature } from '../../src/model/featureSignature.ts';
import { openFeatures } from '../../src/model/features.ts';
import { resizeImages } from '../../src/model/resize.ts';
import type { FeatureOptions, FeatureSession } from '../../src/model/types.ts';
import { temporaryFolder } from '../support/cli.ts';
import { type ClassifierOptions, classifier, pooled, resizedByOnnx } from './featureGraphs.ts';

/** Images of noise in [-1, 1], by a number that decides them. */
function images(shape: readonly number[], seed = 0): Tensor {
  const length = shape.reduce((a, b) => a * b);
  return { data: Float32Array.from({ length }, (_, i) => Math.sin(i * 12.9898 + seed * 7.1) ** 3), shape };
}

const scaled = ({ data, shape }: Tensor, factor: number, offset: number) => ({
  data: data.map((value) => value * factor + offset),
  shape,
});

async function featuresOf(source: string | URL | Uint8Array, x: Tensor, options: FeatureOptions = {}) {
  const network = await openFeatures(source, { device: 'cpu', ...options });
  try {
    return { ...network, ...(await network.features(x)) };
  } finally {
    await network.dispose();
  }
}

function expectNear(got: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  expect(got.length).toBe(expected.length);
  const worst = Array.from(expected).reduce((most, value, i) => Math.max(most, Math.abs(value - got[i])), 0);
  expect(worst).toBeLessThan(tolerance);
}

const poolOutput: ClassifierOptions = { outputs: { avgpool: { value: 'pool', dims: ['N', 4, 1, 1] } } };

describe('the bundled network', () => {
  let network: FeatureSession;
  beforeAll(async () => {
    network = await openFeatures('fashion', { device: 'cpu' });
  });
  afterAll(() => network.dispose());

  it('takes grey images of 28x28 and gives 64 features, by its own name for them', () => {
    expect(network).toMatchObject({
      name: 'fashion',
      dims: 64,
      shape: [1, 28, 28],
      output: 'features',
      device: 'cpu',
      notes: [],
    });
  });

  it('gives an image the same features in any company, within 1e-5', async () => {
    const all = images([40, 1, 28, 28]);
    const { data, shape } = await network.features(all);
    expect(shape).toEqual([40, 64]);
    const [begin, end] = [37, 39];
    const some = await network.features({ data: all.data.slice(begin * 784, end * 784), shape: [2, 1, 28, 28] });
    expectNear(some.data, data.subarray(begin * 64, end * 64), 1e-5);
  });

  it('is not taken for a diffusion model, nor stands in the way of one', async () => {
    const { loadPipeline } = await import('../../src/pipeline.ts');
    const pipeline = await loadPipeline('fashion', { device: 'cpu' });
    expect(pipeline.model.outChannels).toBe(1);
    await pipeline.dispose();
    await expect(loadPipeline('models/fashion/features.onnx')).rejects.toThrow('features.onnx: expected inputs images');
    await expect(openFeatures('models/fashion/model.onnx')).rejects.toThrow('model.onnx: expected one input of images');
  });
});

describe('a network of colour images that others made', () => {
  const x = images([5, 3, 32, 32]);

  it('gives the pooled maps [N, 4, 1, 1] as features [N, 4], within 1e-5 of a plain convolution', async () => {
    const { data, shape, dims, notes } = await featuresOf(classifier(poolOutput), x);
    expect([shape, dims, notes]).toEqual([[5, 4], 4, []]);
    expectNear(data, pooled(x), 1e-5);
  });

  it('gives a value inside the graph by its name, averaged over positions where it is maps', async () => {
    for (const output of ['inner', 'relu']) {
      const { data, shape, ...network } = await featuresOf(classifier(), x, { output });
      expect([shape, network.output]).toEqual([[5, 4], output]);
      expectNear(data, pooled(x), 1e-5);
    }
  });

  it('chooses an output named after features or pooling, else the first of two axes, and says so', async () => {
    const logits = { value: 'logits', dims: ['N', 10] } as const;
    const maps = { value: 'maps', dims: ['N', 4, 16, 16] } as const;
    const best = { value: 'best', dims: ['N'], type: 'int64' } as const;
    const open = (outputs: ClassifierOptions['outputs']) => featuresOf(classifier({ outputs }), x);
    expect(
      await open({ best, features_map: maps, out: logits, pooling: { value: 'pool', dims: ['N', 4, 1, 1] } }),
    ).toMatchObject({
      output: 'pooling',
      notes: [],
    });
    expect(await open({ best, maps, out: logits })).toMatchObject({
      output: 'out',
      dims: 10,
      notes: ['output "out" is taken for the features, by its shape'],
    });
    await expect(open({ best, maps })).rejects.toThrow(
      'model: expected an output of features, float [N, D] or [N, D, h, w], got "best" int64 [?], "maps" float32 [?, 4, 16, 16]',
    );
  });

  it('sees grey images as equal red, green and blue, and another size as resized to its own', async () => {
    const grey = images([3, 1, 28, 28]);
    const { data } = await featuresOf(classifier(poolOutput), grey);
    const resized = resizeImages(grey, 32, 32);
    const planes = Array.from({ length: 9 }, (_, i) => Math.floor(i / 3));
    const colours = Float32Array.from(planes.flatMap((i) => [...resized.data.subarray(i * 1024, (i + 1) * 1024)]));
    expectNear(data, pooled({ data: colours, shape: [3, 3, 32, 32] }), 1e-5);
  });

  it.each<[FeatureOptions['range'], number, number]>([
    ['-1..1', 1, 0],
    ['0..1', 0.5, 0.5],
    ['0..255', 127.5, 127.5],
    [{ mean: 0.5, std: 0.5 }, 1, 0],
    [{ mean: 0.25, std: 2 }, 0.25, 0.125],
  ])('sees pixels in the range %j, within 1e-5 of the largest', async (range, factor, offset) => {
    const { data } = await featuresOf(classifier(poolOutput), x, { range });
    expectNear(data, pooled(scaled(x, factor, offset)), 1e-5 * Math.max(1, factor));
  });

  it('normalises each channel by its own mean and deviation, within 1e-5', async () => {
    const [mean, std] = [
      [0.485, 0.456, 0.406],
      [0.229, 0.224, 0.225],
    ];
    const { data } = await featuresOf(classifier(poolOutput), x, { range: { mean, std } });
    const seen = x.data.map((value, at) => {
      const c = Math.floor(at / 1024) % 3;
      return (value / 2 + 0.5 - mean[c]) / std[c];
    });
    expectNear(data, pooled({ data: seen, shape: x.shape }), 1e-5);
  });

  it('may take bytes, half-precision or fixed numbers of images', async () => {
    const input = (type: 'float32' | 'float16' | 'uint8', dims: readonly (number | string)[]) =>
      featuresOf(classifier({ ...poolOutput, input: { type, dims } }), x);
    const bytes = await input('uint8', ['N', 3, 32, 32]);
    const rounded = { data: scaled(x, 127.5, 127.5).data.map(Math.round), shape: x.shape };
    expectNear(bytes.data, pooled(rounded), 1e-3);
    expectNear((await input('float16', ['N', 3, 32, 32])).data, pooled(x), 1e-3);
    for (const count of [1, 2, 8]) expectNear((await input('float32', [count, 3, 32, 32])).data, pooled(x), 1e-5);
  });

  it('may have its channels last at either end, as TensorFlow and its converters make graphs', async () => {
    const outputs = {
      pool: ['N', 4, 1, 1],
      poolLast: ['N', 1, 1, 4],
      maps: ['N', 4, 16, 16],
      mapsLast: ['N', 16, 16, 4],
    } as const;
    for (const [value, dims] of Object.entries(outputs)) {
      const graph = { input: { dims: ['N', 32, 32, 3] }, outputs: { out: { value, dims } } } as ClassifierOptions;
      const { data, notes } = await featuresOf(classifier(graph), x, { output: 'out' });
      expectNear(data, pooled(x), 1e-5);
      expect(notes).toEqual(['"pixel_values" is taken for [N, H, W, C], by its shape']);
    }
    const chosen = {
      maps: { value: 'maps', dims: outputs.maps },
      x: { value: 'poolLast', dims: outputs.poolLast },
    } as const;
    const network = await featuresOf(classifier({ input: { dims: ['N', 32, 32, 3] }, outputs: chosen }), x);
    expect(network.output).toBe('x');
  });

  it('may give half-precision, or doubles', async () => {
    for (const type of ['float16', 'float64'] as const) {
      const outputs = { pool: { value: 'pool', dims: ['N', 4, 1, 1], type } } as const;
      expectNear((await featuresOf(classifier({ outputs }), x)).data, pooled(x), type === 'float16' ? 1e-3 : 1e-5);
    }
  });

  it('may leave its sizes open: those of the images, or the size given', async () => {
    const free = {
      outputs: { features: { value: 'logits', dims: ['N', 10] } },
      input: { dims: ['N', 3, 'h', 'w'] },
    } as const;
    const small = images([2, 3, 12, 20]);
    const { data, ...network } = await featuresOf(classifier(free), small);
    expect(network).toMatchObject({ shape: [2, 10], dims: 10 });
    const sized = await featuresOf(classifier(free), small, { size: [12, 20] });
    expectNear(sized.data, data, 1e-5);
    const other = await featuresOf(classifier(free), small, { size: [24, 40] });
    expectNear(other.data, (await featuresOf(classifier(free), resizeImages(small, 24, 40))).data, 1e-5);
    const unknown = { ...free, outputs: { features: { value: 'pool', dims: ['N', 'c', 1, 1] } } } as const;
    await expect(openFeatures(classifier(unknown), { device: 'cpu' })).rejects.toThrow(
      '"size" expected the height and width',
    );
    expect((await featuresOf(classifier(unknown), small, { size: [12, 20] })).dims).toBe(4);
  });
});

describe('where networks are found', () => {
  it('an .onnx file, a folder with features.onnx or model.onnx, a file: URL', async () => {
    const folder = temporaryFolder();
    const x = images([1, 3, 32, 32]);
    const file = path.join(folder, 'net.onnx');
    writeFileSync(file, classifier(poolOutput));
    expect((await featuresOf(file, x)).name).toBe('net');
    expect((await featuresOf(pathToFileURL(file), x)).name).toBe('net');
    await expect(openFeatures(folder)).rejects.toMatchObject({
      code: 'model-not-found',
      message: `${folder}: expected features.onnx or model.onnx, found none`,
    });
    writeFileSync(path.join(folder, 'model.onnx'), classifier());
    expect((await featuresOf(folder, x)).dims).toBe(10);
    writeFileSync(path.join(folder, 'features.onnx'), classifier(poolOutput));
    expect((await featuresOf(folder, x)).dims).toBe(4);
    // what lies beside it is not its business
    mkdirSync(path.join(folder, 'unet'));
    writeFileSync(path.join(folder, 'unet/config.json'), 'no JSON');
    expect((await featuresOf(folder, x)).dims).toBe(4);
  });
});

describe('what is refused', () => {
  const x = images([1, 3, 32, 32]);
  const open = (options: ClassifierOptions | Uint8Array, how: FeatureOptions = {}, seen = x) =>
    featuresOf(options instanceof Uint8Array ? options : classifier(options), seen, how);

  it.each<[string, () => Promise<unknown>, object]>([
    [
      'a name that leads nowhere',
      () => openFeatures('inception'),
      { code: 'model-not-found', message: expect.stringContaining('a bundled model (fashion, sprites)') },
    ],
    [
      'bytes that are no graph',
      () => open(Uint8Array.of(1, 2, 3)),
      { code: 'model-invalid', message: 'model: not an ONNX model, or damaged' },
    ],
    ['half a file', () => open(classifier().subarray(0, 300)), { code: 'model-invalid' }],
    [
      'two inputs',
      () => open({ extra: ['N', 3] }),
      {
        code: 'model-invalid',
        message:
          'model: expected one input of images, float or uint8 [N, C, H, W], got "pixel_values" float32 [?, 3, 32, 32], "more" float32 [?, 3]',
      },
    ],
    [
      'images beyond 2^24 values',
      () => open({ input: { dims: ['N', 3, 65536, 65536] } }),
      {
        code: 'model-invalid',
        message: 'model: expected images of at most 16777216 values, got "pixel_values" images [?, 3, 65536, 65536]',
      },
    ],
    [
      'an output that is not there',
      () => open({}, { output: 'Mixed_7c' }),
      {
        code: 'invalid-argument',
        message: '"output" expected a value of model, whose outputs are ["logits"], got "Mixed_7c"',
      },
    ],
    [
      'an output that is not float',
      () => open({ outputs: { best: { value: 'best', dims: ['N'], type: 'int64' } } }, { output: 'best' }),
      {
        code: 'model-invalid',
        message: 'model: expected an output of features, float [N, D] or [N, D, h, w], got "best" int64 [?]',
      },
    ],
    [
      'an unknown range',
      () => open({}, { range: '0..2' as never }),
      { message: '"range" expected one of -1..1, 0..1, 0..255, got "0..2"' },
    ],
    [
      'a deviation of 0',
      () => open({}, { range: { mean: 0, std: [1, 0, 1] } }),
      { message: '"range.std" expected numbers above 0, got 0' },
    ],
    [
      'two means for three channels',
      () => open({}, { range: { mean: [0, 0], std: 1 } }),
      { message: '"range.mean" expected one number or 3, got [0, 0]' },
    ],
    [
      'floats for a network of bytes',
      () => open({ input: { type: 'uint8' } }, { range: '0..1' }),
      { message: '"range" expected 0..255, as the network takes bytes, got "0..1"' },
    ],
    [
      'a size that the graph does not have',
      () => open({}, { size: [299, 299] }),
      { message: '"size" expected [32, 32], which the network is made for, got [299, 299]' },
    ],
    ['a misspelt option', () => open({}, { ouput: 'logits' } as FeatureOptions), { argument: 'ouput' }],
    [
      'images of two channels',
      () => open({}, {}, images([1, 2, 32, 32])),
      { message: '"images.shape" expected [n, 1 or 3, height, width], got [1, 2, 32, 32]' },
    ],
    ['rows', () => open({}, {}, images([4, 3])), { argument: 'images.shape' }],
    [
      'images that make the features infinite',
      () => open({}, {}, scaled(x, 1e38, 0)),
      { code: 'network-failed', message: expect.stringContaining('expected finite features') },
    ],
  ])('%s', async (_, attempt, error) => {
    const caught = await attempt().then(
      () => undefined,
      (thrown) => thrown,
    );
    expect(caught).toBeInstanceOf(Error);
    expect({ message: caught.message, code: caught.code, argument: caught.argument }).toMatchObject(error);
    expect(caught.message).not.toContain('\n');
  });

  it('signatures of any kind cause nothing but typed errors', () => {
    const port = fc.record({
      name: fc.string(),
      isTensor: fc.constant(true as const),
      type: fc.constantFrom('float32', 'float16', 'uint8', 'int64', 'string'),
      shape: fc.array(fc.oneof(fc.integer({ min: -5, max: 5 }), fc.integer(), fc.string()), { maxLength: 6 }),
    });
    const metadata = fc.array(port as fc.Arbitrary<never>, { maxLength: 3 });
    fc.assert(
      fc.property(
        metadata,
        metadata,
        fc.option(fc.string(), { nil: undefined }),
        (inputMetadata, outputMetadata, wanted) => {
          try {
            const { shape } = readFeatureSignature({ inputMetadata, outputMetadata }, wanted);
            expect(shape[0] * (shape[1] ?? 1) * (shape[2] ?? 1)).toBeLessThanOrEqual(2 ** 24);
          } catch (error) {
            expect(error).toMatchObject({ code: 'model-invalid' });
          }
        },
      ),
    );
  });
});

describe('resizing', () => {
  it('is what onnxruntime makes, enlarged or shrunk, within 1e-5', async () => {
    for (const [from, to] of [
      [
        [28, 28],
        [299, 299],
      ],
      [
        [32, 20],
        [13, 41],
      ],
      [
        [64, 64],
        [28, 28],
      ],
      [
        [7, 9],
        [7, 3],
      ],
      [
        [5, 5],
        [1, 1],
      ],
    ]) {
      const x = images([2, 3, ...from]);
      const expected = await resizedByOnnx(x, to[0], to[1]);
      const { data, shape } = resizeImages(x, to[0], to[1]);
      expect(shape).toEqual(expected.shape);
      expectNear(data, expected.data, 1e-5);
    }
  });

  it('keeps images of the right size as they are, and plain ones plain within 1e-6', () => {
    const x = images([1, 1, 6, 5]);
    expect(resizeImages(x, 6, 5)).toBe(x);
    fc.assert(
      fc.property(fc.tuple(...Array.from({ length: 4 }, () => fc.integer({ min: 1, max: 40 }))), ([h, w, toH, toW]) => {
        const plain = { data: new Float32Array(h * w).fill(0.3), shape: [1, 1, h, w] };
        expectNear(resizeImages(plain, toH, toW).data, new Float32Array(toH * toW).fill(0.3), 1e-6);
      }),
    );
  });
});

describe('the bundled file', () => {
  it('is the one that the recorded distances were measured with', async () => {
    const { digestOf } = await import('../../bench/quality/digest.ts');
    expect(digestOf(readFileSync('models/fashion/features.onnx'))).toBe('589a4e9a7aeb02e9eb082997');
  });
});

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ImageBatch } from '../../src/core/dataset.ts';
import { toPixels } from '../../src/image/tensor.ts';
import { createEngine, randn } from '../../src/index.ts';
import {
  compareImages,
  type FeatureNetwork,
  type FeatureSession,
  featureRows,
  frechetDistance,
  kernelDistance,
  memorization,
  openFeatures,
  pixelRows,
  precisionRecall,
} from '../../src/metrics/index.ts';
import { normalRows } from './points.ts';

/** Grey 28x28 images with a bar of a width and place that the number decides. */
function bars(first: number, count: number, side = 28): ImageBatch {
  const data = new Uint8Array(count * side * side);
  for (let i = 0; i < count; i++)
    for (let p = 0; p < side * side; p++) {
      const [x, begin, width] = [p % side, ((first + i) * 7) % 20, 3 + (((first + i) * 11) % 9)];
      data[i * side * side + p] = x >= begin && x < begin + width ? 100 + (((first + i) * 13) % 150) : 0;
    }
  return { data, shape: [count, 1, side, side] };
}

async function* reused(...sizes: number[]): AsyncGenerator<ImageBatch> {
  let first = 0;
  const room = new Uint8Array(Math.max(...sizes) * 784);
  for (const count of sizes) {
    const { data, shape } = bars(first, count);
    room.set(data);
    yield { data: room.subarray(0, data.length), shape };
    first += count;
  }
}

describe('images as rows', () => {
  let network: FeatureSession;
  beforeAll(async () => {
    network = await openFeatures('fashion', { device: 'cpu' });
  });
  afterAll(() => network.dispose());

  it('are the same from one batch, from many, and from a reader that fills one array again and again', async () => {
    const whole = bars(0, 230);
    const expected = await featureRows(network, whole);
    expect(expected.shape).toEqual([230, 64]);
    for (const sizes of [[230], [1, 200, 29]]) {
      const { data, shape } = await featureRows(network, reused(...sizes));
      expect(shape).toEqual([230, 64]);
      expect(Math.max(...data.map((value, i) => Math.abs(value - expected.data[i])))).toBeLessThan(1e-5);
      expect(await pixelRows(reused(...sizes))).toEqual({ data: whole.data, shape: [230, 784] });
    }
    expect(await pixelRows([bars(0, 100), bars(100, 130)])).toEqual({ data: whole.data, shape: [230, 784] });
  });

  it('end at the limit, and read no batch beyond it', async () => {
    const progress: number[] = [];
    const options = { limit: 25, onProgress: (done: number) => progress.push(done) };
    const { shape } = await featureRows(network, reused(10, 20, 30), options);
    expect(shape).toEqual([25, 64]);
    expect(progress).toEqual([10, 25]);
  });

  it('round floats to bytes as images are written, beyond black and white too', async () => {
    const engine = await createEngine();
    const values = fc.array(fc.double({ min: -1.5, max: 1.5, noNaN: true }), { minLength: 12, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(values, async (list) => {
        const images = { data: Float32Array.from(list), shape: [3, 1, 2, 2] };
        const written = toPixels(engine, images).flatMap(({ data }) => [...data]);
        expect([...(await pixelRows(images)).data]).toEqual(written);
      }),
    );
    const halves = { data: Float32Array.from({ length: 256 }, (_, i) => (i + 0.5) / 127.5 - 1), shape: [1, 1, 16, 16] };
    expect([...(await pixelRows(halves)).data]).toEqual([...toPixels(engine, halves)[0].data]);
  });

  it('have the features of the bytes, whether they came as bytes or as floats', async () => {
    const bytes = bars(3, 5);
    const floats = { data: Float32Array.from(bytes.data, (byte) => byte / 127.5 - 1), shape: bytes.shape };
    const expected = await network.features(floats);
    expect(await featureRows(network, bytes)).toEqual(expected);
    expect(await featureRows(network, floats)).toEqual(expected);
  });

  it.each<[string, () => Promise<unknown>, string]>([
    ['none', () => featureRows(network, []), '"images" expected at least one image, got "none"'],
    [
      'other sizes',
      () => pixelRows([bars(0, 1), bars(0, 1, 14)]),
      '"images" expected images of [1, 28, 28], as the first',
    ],
    ['NaN', () => pixelRows({ data: Float32Array.of(Number.NaN), shape: [1, 1, 1, 1] }), 'finite numbers, got NaN'],
    [
      'too few bytes',
      () => pixelRows({ data: new Uint8Array(3), shape: [1, 1, 2, 2] }),
      '"images.data" expected 4 bytes',
    ],
    ['a word', () => pixelRows('images' as never), '"images.data" expected a Float32Array or a Uint8Array'],
    ['nothing', () => pixelRows(undefined as never), '"images.data" expected a Float32Array or a Uint8Array'],
  ])('are refused: %s', async (_, make, message) => {
    await expect(make()).rejects.toThrow(message);
  });

  it('stop at a signal, and at a network that gives something else', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(featureRows(network, bars(0, 3), { signal })).rejects.toThrow('enough');
    const odd: FeatureNetwork = { dims: 3, features: async () => ({ data: new Float32Array(4), shape: [2, 2] }) };
    await expect(featureRows(odd, bars(0, 2))).rejects.toThrow('"network" expected features [2, 3], got [2, 2]');
  });
});

describe('compareImages', () => {
  const samples = normalRows(200, 6, { seed: 1, scale: 1.2 });
  const reference = normalRows(300, 6, { seed: 2 });
  const training = normalRows(400, 6, { seed: 3 });

  it('gives each figure as its own function does, and memorisation where there is a training set', () => {
    const options = { seed: 4, subsets: 10, k: 5 };
    const expected = {
      frechet: frechetDistance(samples, reference),
      kernel: kernelDistance(samples, reference, { seed: 4, subsets: 10 }),
      ...precisionRecall(samples, reference, { k: 5 }),
    };
    expect(compareImages({ samples, reference }, options)).toEqual(expected);
    expect(compareImages({ samples, reference, training }, options)).toEqual({
      ...expected,
      memorization: memorization({ samples, training, heldOut: reference }),
    });
  });

  it('gives what is asked for only', () => {
    expect(Object.keys(compareImages({ samples, reference }, { metrics: ['kernel'] }))).toEqual(['kernel']);
    const { precision, recall, ...rest } = compareImages({ samples, reference }, { metrics: ['precision-recall'] });
    expect([precision, recall].every((share) => share! > 0 && share! <= 1)).toBe(true);
    expect(Object.keys(rest)).toEqual(['density', 'coverage']);
  });

  it('refuses unknown figures, and memorisation without a training set', () => {
    expect(() => compareImages({ samples, reference }, { metrics: ['fid' as never] })).toThrow(
      '"metrics" expected one of frechet, kernel, precision-recall, memorization, got "fid"',
    );
    expect(() => compareImages({ samples, reference }, { metrics: ['memorization'] })).toThrow(
      '"training" expected rows',
    );
  });

  it('tells noise from clothes-like bars in the features of the bundled network', async () => {
    const network = await openFeatures('fashion', { device: 'cpu' });
    const real = await featureRows(network, bars(0, 300));
    const same = await featureRows(network, bars(300, 200));
    const noise = await featureRows(network, randn(await createEngine(), [200, 1, 28, 28], { seed: 1 }));
    const [good, bad] = [same, noise].map((rows) => compareImages({ samples: rows, reference: real }));
    expect(good.precision).toBeGreaterThan(0.9);
    expect(bad.precision).toBe(0);
    expect(good.frechet!.distance).toBeLessThan(0.1 * bad.frechet!.distance);
    expect(good.kernel!.distance).toBeLessThan(0.1 * bad.kernel!.distance);
    await network.dispose();
  });
});

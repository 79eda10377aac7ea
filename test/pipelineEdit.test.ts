import { existsSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadPipeline, type Pipeline, type SampleOptions, type Tensor } from '../src/index.ts';
import { maxDifference } from './support/goldens.ts';
import { greyLevels } from './support/oracle.ts';

const testImages = '../shared/data/fashion-mnist/t10k-images-idx3-ubyte.gz';

describe('editing with the bundled pipeline', () => {
  let pipeline: Pipeline;
  let shoe: Tensor;
  beforeAll(async () => {
    pipeline = await loadPipeline('fashion', { device: 'cpu' });
    shoe = await pipeline.sample({ count: 1, steps: 20, seed: 3, class: 'Sneaker' });
    for (const [i, value] of shoe.data.entries()) shoe.data[i] = Math.min(Math.max(value, -1), 1);
  });
  afterAll(() => pipeline.dispose());

  const quick = { sampler: 'ddim', eta: 1, steps: 10, seed: 3, class: 'Sneaker' } as const;
  const left: Tensor = {
    data: Float32Array.from({ length: 784 }, (_, i) => (i % 28 < 14 ? 1 : 0)),
    shape: [1, 1, 28, 28],
  };

  it('changes an image little with little strength, more with more', async () => {
    const distances: number[] = [];
    for (const strength of [0.1, 0.5, 1]) {
      const { data } = await pipeline.sample({ ...quick, init: shoe, strength });
      distances.push(greyLevels(data, shoe.data));
    }
    expect(distances[0]).toBeLessThan(12);
    expect(distances[1]).toBeGreaterThan(distances[0]);
    expect(distances[2]).toBeGreaterThan(distances[0]);
    expect(pipeline.plan({ ...quick, init: shoe }).calls).toBe(8);
  });

  it('keeps what the mask keeps exactly, with and without jumps, and paints the rest anew each time', async () => {
    for (const jumps of [{}, { jumpLength: 3, jumpCount: 2 }]) {
      const { data, shape } = await pipeline.sample({ ...quick, count: 2, init: shoe, mask: left, ...jumps });
      expect(shape).toEqual([2, 1, 28, 28]);
      data.forEach((v, i) => {
        if (i % 28 < 14) expect(v).toBe(shoe.data[i % 784]);
      });
      const right = (image: number) => data.filter((_, i) => Math.floor(i / 784) === image && i % 28 >= 14);
      expect(maxDifference(right(0), right(1))).toBeGreaterThan(0.1);
    }
    expect(pipeline.plan({ ...quick, init: shoe, mask: left, jumpLength: 3, jumpCount: 2 }).calls).toBe(19);
  });

  it('is guided in the library’s steps, as in the whole run', async () => {
    const dark: Tensor = { data: new Float32Array(784).fill(-1), shape: [1, 1, 28, 28] };
    const { data } = await pipeline.sample({ ...quick, guide: () => dark });
    expect(maxDifference(data, dark.data)).toBeLessThan(1e-4);
  });

  it('rescaled guidance is neither guidance nor none: each more than 0.01 away', async () => {
    const sample = async (options: SampleOptions) =>
      (await pipeline.sample({ ...quick, clipSample: false, ...options })).data;
    const [plain, guided, rescaled] = [
      await sample({}),
      await sample({ guidance: 8 }),
      await sample({ guidance: 8, guidanceRescale: 1 }),
    ];
    expect(maxDifference(rescaled, plain)).toBeGreaterThan(0.01);
    expect(maxDifference(rescaled, guided)).toBeGreaterThan(0.01);
  });

  it('interpolates from the image of one seed to that of another, both ends within 1e-4', async () => {
    const options = { sampler: 'ddim', steps: 10, class: 'Bag' } as const;
    const strip = await pipeline.interpolate({ ...options, from: 1, to: 2n, count: 4 });
    expect(strip.shape).toEqual([4, 1, 28, 28]);
    const ends = [await pipeline.sample({ ...options, seed: 1 }), await pipeline.sample({ ...options, seed: 2 })];
    expect(maxDifference(strip.data.slice(0, 784), ends[0].data)).toBeLessThan(1e-4);
    expect(maxDifference(strip.data.slice(3 * 784), ends[1].data)).toBeLessThan(1e-4);
  });

  it('inverts an image and reconstructs it, alone and as the end of an interpolation, within 2 grey levels', async () => {
    const latent = await pipeline.invert(shoe, { steps: 25, refine: 2 });
    const again = await pipeline.reconstruct(latent, { steps: 25 });
    expect(greyLevels(again.data, shoe.data)).toBeLessThan(2);
    const strip = await pipeline.interpolate({ from: latent, to: 5, count: 3, steps: 25 });
    expect(maxDifference(strip.data.slice(0, 784), again.data)).toBeLessThan(1e-3);
  });

  it.skipIf(!existsSync(testImages))('inverts 16 test images with 100 steps each way: under 1 grey level', async () => {
    const bytes = gunzipSync(readFileSync(testImages)).subarray(16, 16 + 16 * 784);
    const images: Tensor = { data: Float32Array.from(bytes, (v) => v / 127.5 - 1), shape: [16, 1, 28, 28] };
    const latents = await pipeline.invert(images);
    const again = await pipeline.reconstruct(latents);
    expect(greyLevels(again.data, images.data)).toBeLessThan(1);
  });

  it.each([
    [{ strength: 0.5 }, '"strength" expected "init" beside it'],
    [{ guidanceRescale: 2 }, '"guidanceRescale" expected a number in 0..1, got 2'],
    [{ init: { data: new Float32Array(4), shape: [1, 1, 2, 2] } }, '"init.images.shape" expected [1, 1, 28, 28]'],
    [{ refine: 2 }, '"refine" expected the sampler ddim-inverse beside it'],
  ])('refuses %j by name', async (options, message) => {
    await expect(pipeline.sample({ ...quick, ...(options as SampleOptions) })).rejects.toThrow(message);
  });
});

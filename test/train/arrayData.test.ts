import { beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type Engine } from '../../src/engine/engine.ts';
import { trainingDataOf } from '../../src/train/arrayData.ts';
import { train } from '../../src/train/trainer.ts';
import type { SourceOptions } from '../../src/train/trainingData.ts';
import { finish, squares, tinyConfig, vectorOf } from './trainSupport.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});

async function read(
  data: ReturnType<typeof trainingDataOf>,
  more: Pick<SourceOptions, 'shape'> & Partial<SourceOptions>,
  epoch?: number,
) {
  const source = data.source({ engine, seed: 1, crop: 'center', background: '#ffffff', ...more });
  const batches = [];
  for await (const batch of source.open(epoch)) batches.push(batch);
  expect(batches).toHaveLength(1);
  return batches[0];
}

describe('images in memory', () => {
  it('train the network that the same images of a hand-made source train', async () => {
    const own = squares(32);
    const [images] = own.source({} as SourceOptions).open() as {
      data: Uint8Array;
      shape: number[];
      labels: Int32Array;
    }[];
    const data = trainingDataOf(images, { labels: own.summary.labels });
    expect(data.summary).toEqual(own.summary);
    const [a, b] = [await finish(train(tinyConfig(4), { data })), await finish(train(tinyConfig(4), { data: own }))];
    expect(vectorOf(a.model)).toEqual(vectorOf(b.model));
    expect(a.model.labels).toEqual(b.model.labels);
  });

  it('with channels in the last axis are laid on the background, and scaled by the mean of each square', async () => {
    const opaque = [10, 20, 30, 255];
    const clear = [99, 99, 99, 0];
    const pixels = [opaque, clear, clear, opaque, opaque, opaque, opaque, opaque].flat();
    const data = trainingDataOf({ data: Uint8ClampedArray.from(pixels), shape: [2, 2, 2, 4] });
    expect(data.summary).toEqual({ channels: 3, height: 2, width: 2, count: 2 });
    const { data: bytes, shape } = await read(data, { shape: [3, 1, 1], background: '#ff0000' });
    expect(shape).toEqual([2, 3, 1, 1]);
    expect([...bytes]).toEqual([133, 10, 15, 10, 20, 30]); // (2 * 10 + 2 * 255)/4 is 132.5
  });

  it('of other proportions lose both ends, or with random crops another part each epoch', async () => {
    const row = trainingDataOf({ data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7), shape: [1, 1, 1, 7] });
    expect([...(await read(row, { shape: [1, 1, 1] })).data]).toEqual([4]);
    const seen = new Set<number>();
    for (let epoch = 0; epoch < 40; epoch++)
      seen.add((await read(row, { shape: [1, 1, 1], crop: 'random' }, epoch)).data[0]);
    expect(seen.size).toBe(7);
    expect([...(await read(row, { shape: [1, 1, 1], crop: 'random' })).data]).toEqual([4]);
  });

  it('have as many classes as their labels tell', () => {
    const labels = [0, 4, 2];
    const { summary } = trainingDataOf({ data: new Uint8Array(12), shape: [3, 1, 2, 2], labels });
    expect(summary).toEqual({ channels: 1, height: 2, width: 2, count: 3, classes: 5 });
  });

  it.each([
    [undefined, /"images" expected an object \{ data: Uint8Array, shape \}, got undefined/],
    [{ data: [1], shape: [1, 1, 1, 1] }, /"images" expected an object/],
    [{ data: new Uint8Array(5), shape: [1, 1, 2, 2] }, /"images\.data" expected 4 bytes, as "shape" has, got 5/],
    [{ data: new Uint8Array(4), shape: [1, 0, 2, 2] }, /"images\.shape" expected a list of positive integers/],
    [{ data: new Uint8Array(8), shape: [1, 2, 2, 2] }, /^images: expected images \[count, channels, height, width\]/],
    [
      { data: new Uint8Array(27), shape: [1, 3, 3, 3] },
      /^images: expected channels .* in the second axis or in the last/,
    ],
    [{ data: new Uint8Array(8), shape: [2, 1, 2, 2], labels: [1] }, /"images\.labels" expected 2 labels/],
  ])('that cannot be are refused: %#', (images, message) => {
    expect(() => trainingDataOf(images as never)).toThrow(message);
  });
});

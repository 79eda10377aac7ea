import { closeSync, existsSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { type DatasetOptions, type ImageBatch, openDataset } from '../../src/data/index.ts';
import { encodePng } from '../../src/image/png.ts';
import { temporaryFolder } from '../support/cli.ts';
import { bytesOf, failure, idx, png, readAll, write } from './support.ts';

const ten = () =>
  path.join(
    write(temporaryFolder(), {
      images: idx([10, 1, 1], Uint8Array.from(Array(10).keys())),
      labels: idx([10], Uint8Array.from(Array(10).keys())),
    }),
    'images',
  );

describe('batches', () => {
  it('have the asked length, the last what is left, each its own memory', async () => {
    const dataset = await openDataset(ten(), { batch: 4 });
    const batches: ImageBatch[] = [];
    for await (const batch of dataset) batches.push(batch);
    expect(batches.map(({ data }) => [...data])).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9],
    ]);
    expect(batches.map(({ labels }) => [...labels!])).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9],
    ]);
    expect(new Set(batches.map(({ data }) => data.buffer)).size).toBe(3);
  });

  it('are filled with usable images, past the bad ones', async () => {
    const { dataset, labels } = await readAll(ten(), { batch: 4, classes: 8 });
    expect([...labels]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(dataset.problems).toHaveLength(2);
  });

  it('can be read by two at a time, and left early', async () => {
    const dataset = await openDataset(ten(), { batch: 1 });
    const seen: number[] = [];
    for await (const { data } of dataset)
      for await (const other of dataset) {
        seen.push(data[0] * 10 + other.data[0]);
        if (other.data[0] === 1) break;
      }
    expect(seen).toEqual(Array.from({ length: 20 }, (_, i) => (i >> 1) * 10 + (i & 1)));
  });
});

describe('first and count', () => {
  it('choose among the images as stored: {count: n} and {first: n} share none and lack none, bad ones or not', async () => {
    for (const n of [1, 4, 8]) {
      const head = await readAll(ten(), { count: n, classes: 9 });
      const tail = await readAll(ten(), { first: n, classes: 9 });
      expect([...head.data, ...tail.data]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
      expect([head.dataset.count, tail.dataset.count]).toEqual([n, 10 - n]);
    }
    expect((await readAll(ten(), { first: 3, count: 2 })).data).toEqual(Uint8Array.of(3, 4));
    expect((await readAll(ten(), { first: 8, count: 5 })).dataset.count).toBe(2);
  });

  it('past the end leave nothing, which is an error', async () => {
    const file = ten();
    expect((await failure(file, { first: 10 })).message).toBe(
      `${file}: no usable image: there are 10, read from 10 on`,
    );
  });
});

describe('crop', () => {
  it('says by the stored index what is kept, of the dataset or of one reading; else it is the middle', async () => {
    const folder = write(temporaryFolder(), {
      ...Object.fromEntries(['1', '2', '4'].map((name) => [`${name}.png`, encodePng({ ...ramp, channels: 1 })])),
      '3.png': 'bad',
    });
    const seen: number[] = [];
    const crop = (image: number) => {
      seen.push(image);
      return [image / 3, 0] as const;
    };
    const options = { shape: [1, 1, 2], crop } as const;
    const { dataset, data } = await readAll(folder, options);
    expect([...data]).toEqual([0, 1, 2, 3, 6, 7]);
    expect(seen).toEqual([0, 1, 3]);
    const centre: number[] = [];
    for await (const batch of dataset.cropped('center')) centre.push(...batch.data);
    expect(centre).toEqual([3, 4, 3, 4, 3, 4]);
    expect([...(await readAll(folder, { shape: [1, 1, 2] })).data]).toEqual(centre);
  });

  it.each<[unknown, string]>([
    ['left', `"crop" expected 'center' or a function, got "left"`],
    [() => [0.5], '"crop" expected two fractions in 0..1 for an image, got [0.5]'],
    [() => [0, 1.5], '"crop" expected two fractions in 0..1 for an image, got [0, 1.5]'],
    [() => [NaN, 0], '"crop" expected two fractions in 0..1 for an image, got [NaN, 0]'],
  ])('is refused where it is none: %s', async (crop, message) => {
    await expect(readAll(ten(), { crop } as DatasetOptions)).rejects.toThrow(message);
  });

  const ramp = { data: Uint8Array.from(Array(8).keys()), width: 8, height: 1 };
});

describe('openDataset', () => {
  it.each<[string, unknown, unknown, RegExp]>([
    ['source', 5, {}, /^"source" expected a path or a URL, got 5$/],
    ['source', '', {}, /^"source" expected a path or a URL, got ""$/],
    ['batch', 'x', { batch: 0 }, /^"batch" expected an integer in 1\.\.1048576, got 0$/],
    ['count', 'x', { count: 0 }, /^"count" expected an integer of at least 1, got 0$/],
    ['first', 'x', { first: -1 }, /^"first" expected an integer of at least 0, got -1$/],
    ['shape', 'x', { shape: [2, 8, 8] }, /^"shape" expected 1, 3 or 4 channels, got \[2, 8, 8\]$/],
    ['shape', 'x', { shape: [1, 8] }, /^"shape" expected 3 positive integers, got \[1, 8\]$/],
    ['background', 'x', { background: 'red' }, /^"background" expected a colour '#rrggbb', got "red"$/],
    ['strict', 'x', { strict: 1 }, /^"strict" expected true or false, got 1$/],
    ['labels', 'x', { labels: 'a' }, /^"labels" expected a list of strings, got "a"$/],
    ['classes', 'x', { labels: ['a'], classes: 2 }, /^"classes" expected 1, one a label, got 2$/],
    ['size', 'x', { size: 3 }, /^"size" expected no such option: options takes shape, batch/],
  ])('names a bad %s', async (argument, source, options, message) => {
    const opening = openDataset(source as string, options as DatasetOptions);
    await expect(opening).rejects.toMatchObject({
      code: 'invalid-argument',
      argument,
      message: expect.stringMatching(message),
    });
  });

  it('refuses a batch that would not fit in memory', async () => {
    await expect(openDataset(ten(), { shape: [4, 4096, 4096] })).rejects.toThrow(
      /^"batch" expected a batch of at most 1073741824 bytes, got 4294967296$/,
    );
  });

  it.each([
    ['one image', png(1, 1, 1), /expected a dataset, got a single PNG image: name its folder$/],
    ['a pickle', Uint8Array.of(0x80, 2, 0x7d), /got a Python pickle, which is not read: CIFAR has a binary version$/],
    [
      'text',
      Buffer.from('hello'),
      /expected a folder or zip archive of images, an idx, .*, got bytes that begin 68 65 6c 6c$/,
    ],
  ])('refuses %s by its content', async (_, bytes, message) => {
    const error = await failure(path.join(write(temporaryFolder(), { x: bytes }), 'x'));
    expect(error).toMatchObject({ code: 'dataset-invalid', message: expect.stringMatching(message) });
  });

  it('stops when the signal is aborted, before and on the way', async () => {
    const reason = new Error('enough');
    await expect(openDataset(ten(), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const dataset = await openDataset(ten(), { signal: controller.signal, batch: 1 });
    const reading = async () => {
      for await (const { data } of dataset) if (data[0] === 3) controller.abort(reason);
    };
    await expect(reading()).rejects.toBe(reason);
  });
});

describe('memory', () => {
  // what is garbage already does not count
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  const held = () => {
    collect();
    return process.memoryUsage().arrayBuffers;
  };

  /** A file that claims `size` bytes and takes none on the disk. */
  function sparse(name: string, head: Uint8Array, size: number): string {
    const file = path.join(temporaryFolder(), name);
    const handle = openSync(file, 'w');
    writeSync(handle, head);
    ftruncateSync(handle, size);
    closeSync(handle);
    return file;
  }

  it.each([
    ['idx', () => sparse('x.idx', idx([2 ** 24, 64, 64], new Uint8Array()), 16 + 2 ** 36)],
    ['CIFAR', () => sparse('data_batch_1.bin', new Uint8Array(), 3073 * 2 ** 24)],
  ])('the first batch of 48 GB and more of %s takes 4 MB at most, and no time to speak of', async (_, make) => {
    const file = make();
    const before = held();
    const start = performance.now();
    const dataset = await openDataset(file);
    expect(dataset.count).toBe(2 ** 24);
    for await (const batch of dataset) {
      expect(batch.shape[0]).toBe(64);
      expect(held() - before).toBeLessThan(2 ** 22);
      break;
    }
    // far into the file at once, too
    const last = await openDataset(file, { first: 2 ** 24 - 1 });
    for await (const batch of last) expect(batch.shape[0]).toBe(1);
    expect(performance.now() - start).toBeLessThan(5000);
  });

  const train = '../shared/data/fashion-mnist/train-images-idx3-ubyte.gz';

  it.skipIf(!existsSync(train))('reading the 47 MB of Fashion-MNIST, 26 MB gzipped, holds 8 MB at most', async () => {
    const before = held();
    const dataset = await openDataset(train, { classes: 10, batch: 100 });
    let count = 0;
    let most = 0;
    for await (const batch of dataset) {
      count += batch.shape[0];
      if (count % 5000 === 0) most = Math.max(most, held() - before);
    }
    expect(count).toBe(60_000);
    expect(most).toBeLessThan(2 ** 23);
  });
});

it('bytesOf differs from its neighbours, so that a shift would be seen', () => {
  const bytes = bytesOf([100]);
  expect(bytes.subarray(1).every((byte, i) => byte !== bytes[i])).toBe(true);
});

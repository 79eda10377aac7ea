import { existsSync } from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { openDataset, summarizeDataset } from '../../src/data/index.ts';
import { encodePng } from '../../src/image/png.ts';
import { defaultsFor } from '../../src/train/index.ts';
import { temporaryFolder } from '../support/cli.ts';
import { idx, npy, plain, png, write, zip } from './support.ts';

const file = (name: string, data: Uint8Array | string, others = {}) =>
  path.join(write(temporaryFolder(), { [name]: data, ...others }), name);

describe('summarizeDataset', () => {
  it('tells arrays by their header, classes by the highest label or the format', async () => {
    const labels = idx([3], Uint8Array.of(4, 0, 2));
    expect(await summarizeDataset(file('images', idx([3, 5, 7]), { labels }))).toEqual({
      ...{ channels: 1, height: 5, width: 7, varied: false, count: 3, classes: 5, labels: undefined, notes: [] },
    });
    const signed = npy('<i8', [2], new Uint8Array(BigInt64Array.of(-1n, 6n).buffer));
    expect(
      await summarizeDataset(
        file('images.npy', npy('|u1', [2, 8, 6, 4], new Uint8Array(384)), { 'labels.npy': signed }),
      ),
    ).toMatchObject({ channels: 3, height: 8, width: 6, count: 2, classes: 7 });
    const cifar = await summarizeDataset(file('data_batch_1.bin', new Uint8Array(2 * 3073)));
    expect(cifar).toMatchObject({ channels: 3, height: 32, width: 32, count: 2, classes: 10 });
    const alone = await summarizeDataset(file('images', idx([3, 5, 7])));
    expect(alone.classes).toBeUndefined();
    expect(alone.notes).toEqual(['no labels: there is no labels or labels.gz beside images']);
  });

  it('tells images in folders and archives by the head of each, as openDataset gives them', async () => {
    const files = { 'cat/1.png': png(6, 4, 9), 'cat/2.png': png(6, 4, 1, 2, 3, 4), 'dog/1.png': png(6, 4, 1) };
    const expected = { channels: 3, height: 4, width: 6, varied: false, count: 3, classes: 2, labels: ['cat', 'dog'] };
    expect(await summarizeDataset(write(temporaryFolder(), files))).toEqual({ ...expected, notes: [] });
    expect(await summarizeDataset(file('a.zip', await zip(files)))).toEqual({ ...expected, notes: [] });
    const labels = ['wolf', 'dog', 'cat'];
    expect(await summarizeDataset(write(temporaryFolder(), files), { labels })).toMatchObject({ classes: 3, labels });
    const jpeg = await sharp({ create: { width: 6, height: 4, channels: 3, background: 'red' } })
      .jpeg()
      .withMetadata({ orientation: 6 })
      .toBuffer();
    const turned = write(temporaryFolder(), { 'a.jpg': jpeg });
    const { height, width } = await summarizeDataset(turned);
    expect([3, height, width]).toEqual((await openDataset(turned)).shape);
    // the pixels are not looked at
    const cut = encodePng(plain(3, 3, 1)).subarray(0, 40);
    expect(await summarizeDataset(write(temporaryFolder(), { '1.png': cut }))).toMatchObject({ channels: 1, width: 3 });
  });

  it('of sizes that vary takes that of half the images, else a square of the median shorter side', async () => {
    const folder = (...sizes: (readonly [number, number])[]) =>
      write(temporaryFolder(), {
        ...Object.fromEntries(sizes.map(([width, height], i) => [`${i}.png`, png(width, height, 1)])),
        'x.png': 'no image',
      });
    expect(await summarizeDataset(folder([9, 9], [6, 4], [6, 4], [1, 1]))).toMatchObject({
      ...{ height: 4, width: 6, varied: true, count: 5 },
    });
    expect(await summarizeDataset(folder([9, 8], [30, 4], [6, 40], [3, 2], [7, 7]))).toMatchObject({
      ...{ height: 6, width: 6, varied: true },
    });
  });

  it('of what has no usable image says why', async () => {
    const expected = (message: RegExp) => ({ code: 'dataset-invalid', message: expect.stringMatching(message) });
    const bad = write(temporaryFolder(), { 'a/1.png': 'x' });
    await expect(summarizeDataset(bad)).rejects.toMatchObject(
      expected(/: all 1 are bad, the first: a\/1\.png: expected a PNG/),
    );
    await expect(summarizeDataset(temporaryFolder())).rejects.toMatchObject(
      expected(/no usable image: there is none$/),
    );
    const none = file('images', idx([0, 5, 7], new Uint8Array()));
    await expect(summarizeDataset(none)).rejects.toMatchObject(expected(/no usable image: there is none$/));
    await expect(summarizeDataset(`${bad}/none`)).rejects.toMatchObject({ code: 'dataset-not-found' });
    await expect(summarizeDataset(bad, { size: 3 } as object)).rejects.toThrow('"size" expected no such option');
  });
});

const shared = '../shared/data';
describe.skipIf(!existsSync(shared))('the data at hand', () => {
  it('is told with its classes, from which the defaults of a training config follow', async () => {
    const fashion = await summarizeDataset(`${shared}/fashion-mnist/train-images-idx3-ubyte.gz`);
    expect(fashion).toMatchObject({ channels: 1, height: 28, width: 28, count: 60_000, classes: 10, varied: false });
    expect(defaultsFor(fashion).model).toMatchObject({ sample_size: 28, in_channels: 1, num_class_embeds: 11 });
    const sprites = await summarizeDataset(`${shared}/sprites`);
    expect(sprites).toMatchObject({ channels: 3, height: 32, width: 32, classes: 4, varied: false });
    expect(sprites.labels).toEqual(['dungeon', 'effect', 'item', 'monster']);
    expect(sprites.count).toBe((await openDataset(`${shared}/sprites`)).count);
    expect(defaultsFor(sprites).model).toMatchObject({ sample_size: 32, in_channels: 3, num_class_embeds: 5 });
  });
});

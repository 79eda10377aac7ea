import { existsSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ImageBatch } from '../../src/core/dataset.ts';
import { createEngine, type Engine } from '../../src/engine/engine.ts';
import { encodePng } from '../../src/image/png.ts';
import { type DatasetChoices, datasetSource } from '../../src/train/datasetSource.ts';
import { type Feed, openFeed } from '../../src/train/feed.ts';
import { heldOut } from '../../src/train/heldOut.ts';
import { png, write } from '../datasets/support.ts';
import { temporaryFolder } from '../support/cli.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});

const choices: DatasetChoices = { crop: 'center', background: '#ffffff' };

async function read(batches: AsyncIterable<ImageBatch>): Promise<number[][]> {
  const images: number[][] = [];
  for await (const { data, shape } of batches) {
    const size = data.length / shape[0];
    for (let i = 0; i < shape[0]; i++) images.push([...data.subarray(i * size, (i + 1) * size)]);
  }
  return images;
}

/** A folder of lines of 9 pixels, which say which image and which column they are. */
function lines(count: number): string {
  const line = (i: number) => ({ data: Uint8Array.from({ length: 9 }, (_, x) => 10 * i + x), width: 9, height: 1 });
  const files = Array.from({ length: count }, (_, i) => [`${i}.png`, encodePng({ ...line(i), channels: 1 })]);
  return write(temporaryFolder(), Object.fromEntries(files));
}

describe('a dataset as a source with random crops', () => {
  const random = (place: string, seed: number) =>
    datasetSource(place, { ...choices, crop: 'random' }, [1, 1, 5], engine, seed);

  it('cuts each image anew each epoch; a resumed feed has the same crops, another seed has others', async () => {
    const folder = lines(12);
    const open = (seed: number, position?: { epoch: number; position: number }) =>
      openFeed(engine, random(folder, seed), { batch: 4, seed, position });
    const feed = await open(5);
    const seen = new Map<number, Set<number>>();
    for (let i = 0; i < 120; i++) {
      const { images } = await feed.next();
      for (let at = 0; at < 20; at += 5) {
        const [image, x] = [Math.floor(images[at] / 10), images[at] % 10];
        expect([...images.subarray(at, at + 5)]).toEqual([0, 1, 2, 3, 4].map((column) => 10 * image + x + column));
        seen.set(image, (seen.get(image) ?? new Set()).add(x));
      }
    }
    // all five windows of each of 12 images come up in 40 epochs
    expect([...seen.values()].map(({ size }) => size)).toEqual(Array(12).fill(5));
    const resumed = await open(5, feed.position);
    for (let i = 0; i < 4; i++) expect(await resumed.next()).toEqual(await feed.next());
    expect(await (await open(6)).next()).not.toEqual(await (await open(5)).next());
  });

  it('is evaluated by the middle of its images, whatever is being read meanwhile', async () => {
    const source = random(lines(10), 1);
    const feed = await openFeed(engine, source, { batch: 2, seed: 1, holdOut: 0.2, memory: 0 });
    await feed.next();
    const middle = (image: number) => [2, 3, 4, 5, 6].map((x) => 10 * image + x);
    expect(await read(heldOut(source, { holdOut: 0.2 }))).toEqual([middle(2), middle(7)]);
    await feed.close();
  });
});

describe('a dataset as a source', () => {
  it('passes on what it left out and what it notes, once, and gives the rest', async () => {
    const folder = write(temporaryFolder(), {
      'a/1.png': png(2, 2, 1),
      'a/2.png': 'no image',
      'b/1.png': png(2, 2, 2),
      'b/2.png': png(4, 4, 3),
      'b/notes.txt': '',
    });
    const source = datasetSource(folder, { ...choices, crop: 'random' }, [1, 2, 2], engine, 0);
    const feed = await openFeed(engine, source, { batch: 3, seed: 0, classes: 2 });
    for (let i = 0; i < 5; i++) {
      const { images, labels } = await feed.next();
      expect([...images].filter((_, at) => at % 4 === 0).sort()).toEqual([1, 2, 3]);
      expect([...labels!].sort()).toEqual([0, 1, 1]);
    }
    expect(feed.problems).toEqual([
      { name: 'a/2.png', message: 'expected a PNG, JPEG, WebP or GIF image, got bytes that begin 6e 6f 20 69' },
    ]);
    expect(feed.notes).toEqual(['left out what is not named as an image: b/notes.txt']);
  });

  it('that is none or has no usable image fails at once, with what the reader says', async () => {
    const open = (place: string) =>
      openFeed(engine, datasetSource(place, choices, [1, 2, 2], engine, 0), { batch: 1, seed: 0 });
    const empty = temporaryFolder();
    await expect(open(empty)).rejects.toMatchObject({
      code: 'dataset-invalid',
      message: `${empty}: no usable image: there is none`,
    });
    await expect(open(`${empty}/none`)).rejects.toMatchObject({ code: 'dataset-not-found' });
  });

  it('takes the index of a class from labels', async () => {
    const folder = write(temporaryFolder(), { 'cat/1.png': png(1, 1, 1), 'dog/1.png': png(1, 1, 2) });
    const source = datasetSource(folder, { ...choices, labels: ['dog', 'cat'] }, [1, 1, 1], engine, 0);
    const feed = await openFeed(engine, source, { batch: 2, seed: 0 });
    const { images, labels } = await feed.next();
    const [cat, dog] = [images.indexOf(1), images.indexOf(2)];
    expect([labels![dog], labels![cat]]).toEqual([0, 1]);
  });
});

describe('memory', () => {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  const held = async () => {
    // what arrays held is given back a little after they are found to be garbage
    for (let i = 0; i < 3; i++) {
      collect();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };

  const growth = async (feed: Feed, batches: number) => {
    for (let i = 0; i < batches; i++) await feed.next();
    const before = await held();
    for (let i = 0; i < 5 * batches; i++) await feed.next();
    return (await held()) - before;
  };

  it('stays the same over 250 epochs in memory and 50 streamed: less than 2 MB more, of 4 MB of images', async () => {
    const size = 64 * 64;
    const source = {
      *open() {
        for (let i = 0; i < 16; i++) yield { data: new Uint8Array(64 * size), shape: [64, 1, 64, 64] };
      },
    };
    for (const memory of [2 ** 29, 100 * size]) {
      const feed = await openFeed(engine, source, { batch: 64, seed: 0, memory });
      expect(await growth(feed, 16 * (memory > 1e6 ? 50 : 10))).toBeLessThan(2 ** 21);
      await feed.close();
    }
  });
});

describe('the data at hand', () => {
  const fashion = '../shared/data/fashion-mnist/t10k-images-idx3-ubyte.gz';
  it.skipIf(!existsSync(fashion))(
    'Fashion-MNIST gives its 10,000 test images once an epoch, in memory or streamed',
    async () => {
      const source = datasetSource(fashion, choices, [1, 28, 28], engine, 0);
      const stored = await read(heldOut(source, { holdOut: 0.9 }));
      expect(stored).toHaveLength(9000);
      for (const memory of [2 ** 29, 2 ** 20]) {
        const feed = await openFeed(engine, source, { batch: 100, seed: 0, holdOut: 0.1, memory, classes: 10 });
        const given = new Map<string, number>();
        const counts = new Array(10).fill(0);
        for (let i = 0; i < 90; i++) {
          const { images, labels } = await feed.next();
          for (let at = 0; at < 100; at++) {
            const key = images.subarray(at * 784, (at + 1) * 784).join();
            given.set(key, (given.get(key) ?? 0) + 1);
            counts[labels![at]]++;
          }
        }
        expect(feed.position).toEqual({ epoch: 1, position: 0 });
        const held = (await read(heldOut(source, { holdOut: 0.1 }))).map(String);
        expect(held).toHaveLength(1000);
        expect(given.size).toBe(9000);
        expect(held.filter((image) => given.has(image))).toEqual([]);
        expect(Math.min(...counts)).toBeGreaterThan(850);
      }
    },
  );

  const sprites = '../shared/data/sprites';
  it.skipIf(!existsSync(sprites))('sprites are given with their four classes, on the background', async () => {
    for (const [background, value] of [
      ['#ffffff', 255],
      ['#204060', 0x20],
    ] as const) {
      const source = datasetSource(sprites, { crop: 'center', background }, [3, 32, 32], engine, 0);
      const feed = await openFeed(engine, source, { batch: 64, seed: 0, holdOut: 0.05, classes: 4 });
      const { images, labels } = await feed.next();
      expect(new Set(labels)).toEqual(new Set([0, 1, 2, 3]));
      const corners = Array.from({ length: 64 }, (_, i) => images[i * 3072]);
      expect(corners.filter((red) => red === value).length).toBeGreaterThan(16);
      expect(feed.problems).toEqual([]);
    }
  });
});

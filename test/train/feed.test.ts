import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type Engine } from '../../src/engine/engine.ts';
import { type Feed, type FeedOptions, openFeed } from '../../src/train/feed.ts';
import { heldOut } from '../../src/train/heldOut.ts';
import { isHeldOut } from '../../src/train/intake.ts';
import { bytes, imageOf, imagesIn, indexOf, mirrored, opener, shape, sourceOf, take } from './feedSupport.ts';

let engine: Engine;
let open: ReturnType<typeof opener>;
beforeAll(async () => {
  engine = await createEngine();
  open = opener(engine);
});

const range = (count: number) => Array.from({ length: count }, (_, i) => i);
const sorted = (values: readonly number[]) => [...values].sort((a, b) => a - b);

describe('a feed', () => {
  it.each([
    ['all in memory', { memory: 1e6 }],
    ['images read anew', { memory: 1e6, kept: false }],
    ['7 of 40 in memory', { memory: 7 * bytes }],
    ['a batch in memory', { memory: 0 }],
    ['just all in memory', { memory: 40 * bytes }],
  ])('gives each image once an epoch, in another order each: %s', async (_, options) => {
    const { feed } = await open(40, { ...options, batch: 4 });
    const epochs: number[][] = [];
    for (let epoch = 0; epoch < 5; epoch++) {
      epochs.push(await take(feed, 40));
      expect(feed.position).toEqual({ epoch: epoch + 1, position: 0 });
      expect(sorted(epochs[epoch])).toEqual(range(40));
    }
    expect(new Set(epochs.map(String)).size).toBe(5);
    expect(epochs.map(String)).not.toContain(String(range(40)));
    await feed.close();
  });

  it('gives batches of one size, across the boundary of epochs, each labelled by its first image', async () => {
    const { feed } = await open(10, { batch: 4 });
    const seen: number[] = [];
    const positions: unknown[] = [];
    for (let i = 0; i < 5; i++) {
      const batch = await feed.next();
      expect(batch.images).toHaveLength(4 * bytes);
      expect(batch.epoch).toBe(i < 3 ? 0 : 1);
      expect([...batch.labels!]).toEqual(imagesIn(batch).map((image) => indexOf(image) % 7));
      for (const image of imagesIn(batch)) expect(image).toEqual(imageOf(indexOf(image)));
      seen.push(...imagesIn(batch).map(indexOf));
      positions.push(feed.position);
    }
    expect(sorted(seen.slice(0, 10))).toEqual(range(10));
    expect(sorted(seen.slice(10))).toEqual(range(10));
    expect(positions).toEqual([4, 8, 12, 16, 20].map((n) => ({ epoch: Math.floor(n / 10), position: n % 10 })));
    expect(feed.shape).toEqual(shape);
  });

  it('has the order of a seed and an epoch, whatever the batch and the memory, where all images fit', async () => {
    const orders = [
      { batch: 1 },
      { batch: 12, memory: 12 * bytes },
      { batch: 3, kept: false },
      { batch: 4, seed: 1n, position: { epoch: 0, position: 0 } },
    ].map(async (options) => take((await open(12, options)).feed, 24));
    const [first, ...others] = await Promise.all(orders);
    for (const order of others) expect(order).toEqual(first);
    expect(await take((await open(12, { seed: 2 })).feed, 24)).not.toEqual(first);
  });

  it('reads a source once where all images fit, else once an epoch, and asks for each epoch by number', async () => {
    const whole = await open(20);
    await take(whole.feed, 100);
    expect(whole.source.opened).toEqual([0]);
    const exact = await open(20, { memory: 20 * bytes });
    await take(exact.feed, 100);
    expect(exact.source.opened).toEqual([0]);
    for (const options of [{ memory: 10 * bytes }, { kept: false, memory: undefined }]) {
      const { source, feed } = await open(20, { ...options, position: { epoch: 3, position: 0 } });
      await take(feed, 60);
      // a batch of epoch 6 is ready, and epoch 7 fills the places that came free
      expect(source.opened).toEqual([3, 4, 5, 6, 7].slice(0, options.memory ? 4 : 5));
      await feed.close();
      expect(source.reading()).toBe(0);
    }
  });

  it('reads one image for each that it gives, the boundary of epochs included, and holds as many as fit', async () => {
    let read = 0;
    const counted = (count: number) => ({
      *open() {
        for (let i = 0; i < count; i++) {
          read++;
          yield { data: imageOf(i), shape: [1, ...shape] };
        }
      },
    });
    const feed = await openFeed(engine, counted(30), { batch: 1, seed: 3, memory: 10 * bytes });
    for (let given = 1; given < 100; given++) {
      await feed.next();
      // one batch is made ready, and the end of an epoch is seen when nothing comes
      expect(Math.abs(read - (10 + given + 1))).toBeLessThanOrEqual(1);
    }
  });

  it('gives what is asked for side by side in order', async () => {
    const side: Feed = (await open(12)).feed;
    const together = await Promise.all(range(6).map(() => side.next()));
    const { feed } = await open(12);
    for (const batch of together) expect(await feed.next()).toEqual(batch);
  });
});

describe('the shuffle', () => {
  const chiSquare = (counts: Float64Array, expected: number) =>
    counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);

  it('puts every image in every place alike, all in memory: chi-square over 6000 epochs of 6 within 4 sigma', async () => {
    const { feed } = await open(6, { batch: 6 });
    const counts = new Float64Array(36);
    for (let epoch = 0; epoch < 6000; epoch++)
      for (const [place, image] of (await take(feed, 6)).entries()) counts[6 * image + place]++;
    const freedom = 25;
    expect(Math.abs(chiSquare(counts, 1000) - freedom)).toBeLessThan(4 * Math.sqrt(2 * freedom));
  });

  it('gives every order alike: chi-square of the 24 orders of 4 over 7200 epochs within 4 sigma', async () => {
    const { feed } = await open(4, { batch: 4, seed: 9 });
    const counts = new Map<string, number>();
    for (let epoch = 0; epoch < 7200; epoch++) {
      const order = String(await take(feed, 4));
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    expect(Math.abs(chiSquare(Float64Array.from(counts.values()), 300) - 23)).toBeLessThan(4 * Math.sqrt(46));
  });

  it('of a buffer takes any of its images alike: image i comes first by 1/8 if it is among the first 8', async () => {
    const counts = new Float64Array(8);
    const { feed } = await open(20, { batch: 4, memory: 8 * bytes });
    for (let epoch = 0; epoch < 2000; epoch++) counts[(await take(feed, 20))[0]]++;
    expect(Math.abs(chiSquare(counts, 250) - 7)).toBeLessThan(4 * Math.sqrt(14));
  });
});

const settings = fc.record({
  count: fc.integer({ min: 2, max: 23 }),
  batch: fc.integer({ min: 1, max: 8 }),
  memory: fc.integer({ min: 0, max: 26 }).map((images) => images * bytes),
  holdOut: fc.constantFrom(0, 0.1, 0.34, 0.5),
  flip: fc.boolean(),
  kept: fc.boolean(),
  probability: fc.constantFrom(0, 0.3, 1),
  seed: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
});

describe('a feed that goes on', () => {
  it('at any position of three epochs gives byte for byte what the uninterrupted one gives', async () => {
    await fc.assert(
      fc.asyncProperty(settings, async ({ count, probability, ...options }) => {
        const images = count - Math.round(count * options.holdOut);
        const batch = Math.min(options.batch, images);
        const asked = { ...options, batch, classDropout: { probability, label: 7 } };
        const batches = Math.ceil((3 * images) / batch) + 2;
        const { feed } = await open(count, asked);
        const positions = [feed.position];
        const whole = [];
        for (let i = 0; i < batches; i++) {
          whole.push(await feed.next());
          positions.push(feed.position);
        }
        for (const [from, position] of positions.slice(0, -2).entries()) {
          const { feed: resumed } = await open(count, { ...asked, position });
          expect(resumed.position).toEqual(position);
          for (const i of [from, from + 1]) expect(await resumed.next()).toEqual(whole[i]);
          expect(resumed.position).toEqual(positions[from + 2]);
          await resumed.close();
        }
        await feed.close();
      }),
      { numRuns: 60 },
    );
  });

  it('at the end of an epoch is at the beginning of the next; past it, is refused', async () => {
    const { feed } = await open(10, { position: { epoch: 2, position: 10 } });
    expect(feed.position).toEqual({ epoch: 3, position: 0 });
    await expect(open(10, { position: { epoch: 2, position: 11 } })).rejects.toThrow(
      '"position.position" expected at most the 10 images of an epoch, got 11',
    );
  });
});

describe('what chance makes of an image', () => {
  it('mirrors it exactly or leaves it, half and half, anew each epoch: within 4 sigma', async () => {
    const { feed } = await open(100, { batch: 100, flip: true });
    const flips = range(100).map(() => '');
    for (let epoch = 0; epoch < 40; epoch++)
      for (const image of imagesIn(await feed.next())) {
        const index = indexOf(image);
        const flipped = image[2] !== 200;
        expect(image).toEqual(flipped ? mirrored(imageOf(index)) : imageOf(index));
        flips[index] += Number(flipped);
      }
    const total = flips.join('').replaceAll('0', '').length;
    expect(Math.abs(total - 2000)).toBeLessThan(4 * Math.sqrt(1000));
    expect(new Set(flips).size).toBe(100);
  });

  it('does not depend on the order, the batch or the memory: an image of an epoch is the same in all', async () => {
    const inOrder = async (options: Partial<FeedOptions>) => {
      const { feed } = await open(30, { flip: true, classDropout: { probability: 0.4, label: 9 }, ...options });
      const seen: string[] = [];
      while (seen.length < 60) {
        const batch = await feed.next();
        for (const [i, image] of imagesIn(batch).entries())
          seen.push(`${Math.floor(seen.length / 30)} ${indexOf(image) + 100} ${image} ${batch.labels![i]}`);
      }
      return seen.sort();
    };
    const reference = await inOrder({ batch: 30 });
    expect(await inOrder({ batch: 1, memory: 0 })).toEqual(reference);
    expect(await inOrder({ batch: 5, memory: 9 * bytes })).toEqual(reference);
  });

  it('drops the class of a fraction p of the images, anew each epoch, independent of flips: within 4 sigma', async () => {
    const { feed } = await open(200, { batch: 200, flip: true, classDropout: { probability: 0.25, label: 7 } });
    let [dropped, both] = [0, 0];
    for (let epoch = 0; epoch < 40; epoch++) {
      const batch = await feed.next();
      for (const [i, image] of imagesIn(batch).entries()) {
        const isDropped = batch.labels![i] === 7;
        if (!isDropped) expect(batch.labels![i]).toBe(indexOf(image) % 7);
        dropped += Number(isDropped);
        both += Number(isDropped && image[2] !== 200);
      }
    }
    expect(Math.abs(dropped - 2000)).toBeLessThan(4 * Math.sqrt(1500));
    expect(Math.abs(both - 1000)).toBeLessThan(4 * Math.sqrt(875));
  });
});

describe('what is held out', () => {
  it('and what is given are disjoint and all there is, spread evenly; in order, and as it is', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 60 }),
        fc.double({ min: 0, max: 0.9, noNaN: true }),
        fc.integer({ min: 1, max: 9 }),
        async (count, holdOut, batch) => {
          const held: number[] = [];
          for await (const { data, shape: found, labels } of heldOut(sourceOf(count), { holdOut, batch })) {
            expect(found).toEqual([data.length / bytes, ...shape]);
            for (const [i, label] of labels!.entries()) {
              const image = data.subarray(i * bytes, (i + 1) * bytes);
              expect(image).toEqual(imageOf(indexOf(image)));
              expect(label).toBe(indexOf(image) % 7);
              held.push(indexOf(image));
            }
          }
          expect(held).toEqual(sorted(held));
          expect(held).toHaveLength(Math.round(count * holdOut));
          for (let n = 0; n <= count; n++)
            expect(held.filter((index) => index < n)).toHaveLength(Math.round(n * holdOut));
          if (held.length === count) return;
          const { feed } = await open(count, { holdOut, batch: 1, flip: true });
          const given = await take(feed, count - held.length);
          expect(sorted([...given, ...held])).toEqual(range(count));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('can be read again, opens the source without an epoch, and may be nothing', async () => {
    const source = sourceOf(20, { labelled: false });
    const part = heldOut(source, { holdOut: 0.25 });
    const read = async () => {
      const batches = [];
      for await (const batch of part) batches.push(batch);
      return batches;
    };
    const [first] = await read();
    expect(first.shape[0]).toBe(5);
    expect(first.labels).toBeUndefined();
    expect(await read()).toEqual([first]);
    expect(source.opened).toEqual([undefined, undefined]);
    for await (const _ of heldOut(source)) expect.unreachable();
    expect(range(10).map((index) => isHeldOut(index, 0.2))).toEqual(
      [0, 0, 1, 0, 0, 0, 0, 1, 0, 0].map((held) => held === 1),
    );
  });
});

import { beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type Engine } from '../../src/engine/engine.ts';
import { type FeedOptions, openFeed } from '../../src/train/feed.ts';
import { bytes, imageOf, opener, shape, take } from './feedSupport.ts';

let engine: Engine;
let open: ReturnType<typeof opener>;
beforeAll(async () => {
  engine = await createEngine();
  open = opener(engine);
});

describe('a feed that cannot be', () => {
  it.each<[string, Partial<FeedOptions> & { count?: number; labelled?: boolean }, string]>([
    ['no images', { count: 0 }, 'the data: expected images to train on, got none'],
    ['a batch of more than there are', { count: 5, batch: 6 }, '"batch" expected at most the 5 images that are not'],
    [
      'a batch of more than are left',
      { count: 10, batch: 6, holdOut: 0.5 },
      'at most the 5 images that are not held out',
    ],
    ['labels that are no class', { classes: 6 }, 'image 6 of the data: expected a label in 0..5, got 6'],
    [
      'classes to drop of none',
      { labelled: false, classDropout: { probability: 0.1, label: 0 } },
      '"classDropout" expected',
    ],
    ['half a batch', { batch: 0.5 }, '"batch" expected an integer in 1..65536, got 0.5'],
    ['a seed below 0', { seed: -1 }, '"seed" expected'],
    ['a fraction above 0.9', { holdOut: 1 }, '"holdOut" expected a number in 0..0.9, got 1'],
    ['memory below 0', { memory: -1 }, '"memory" expected a number of at least 0, got -1'],
    ['a probability above 1', { classDropout: { probability: 2, label: 0 } }, '"classDropout.probability" expected'],
    ['half an epoch', { position: { epoch: 0.5, position: 0 } }, '"position.epoch" expected an integer'],
    ['a misspelt option', { flips: true } as object, '"flips" expected no such option'],
  ])('is refused at once: %s', async (_, { count = 20, ...options }, message) => {
    await expect(open(count, options)).rejects.toThrow(message);
  });

  it('of a source that is none, or gives images of several kinds, says what came', async () => {
    const options = { batch: 1, seed: 0 };
    const of = (...batches: unknown[]) => ({ open: () => batches as never });
    const [data, labels] = [new Uint8Array(bytes), new Int32Array(1)];
    const one = { data, shape: [1, ...shape] };
    await expect(openFeed(engine, {} as never, options)).rejects.toThrow('"source" expected a source of images');
    const wrong: [unknown, string][] = [
      [{ ...one, data: [...data] }, '"source" expected batches of bytes, got an array of 12'],
      [{ ...one, shape: [1, 1, 4, 3] }, '"source" expected images [n, 2, 2, 3], got [1, 1, 4, 3]'],
      [{ ...one, shape: [2, ...shape] }, '"source" expected 24 bytes, got 12'],
      [{ ...one, labels }, '"source" expected no labels, as before, got 1'],
    ];
    for (const [batch, message] of wrong)
      await expect(openFeed(engine, of(one, batch), options)).rejects.toThrow(message);
    await expect(openFeed(engine, of({ ...one, labels }, one), options)).rejects.toThrow(
      '"source" expected 1 labels, got 0',
    );
    await expect(openFeed(engine, of({ ...one, shape: [1, 12] }), options)).rejects.toThrow('"source" expected images');
    const large = { data: new Uint8Array(2 ** 16), shape: [1, 1, 256, 256] };
    await expect(openFeed(engine, of(large), { ...options, batch: 2 ** 14 + 1 })).rejects.toThrow(
      '"batch" expected a batch of at most 1073741824 bytes, got 1073807360',
    );
  });
});

describe('a feed that ends', () => {
  const failing = (good: number) => ({
    *open() {
      for (let i = 0; i < good; i++) yield { data: imageOf(i), shape: [1, ...shape] };
      throw new Error('no disk');
    },
  });

  it('by an error of the source gives the batches before it, and the error from then on', async () => {
    const feed = await openFeed(engine, failing(9), { batch: 2, seed: 0, memory: 4 * bytes });
    // 4 are held, and each of the other 5 has taken the place of one that was given
    await take(feed, 4);
    const { position } = feed;
    await expect(feed.next()).rejects.toThrow('no disk');
    await expect(feed.next()).rejects.toThrow('no disk');
    expect(feed.position).toEqual(position);
    await feed.close();
    await expect(openFeed(engine, failing(3), { batch: 2, seed: 0 })).rejects.toThrow('no disk');
  });

  it('by its signal stops at once, before and on the way', async () => {
    const reason = new Error('enough');
    await expect(open(20, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const { feed, source } = await open(20, { signal: controller.signal, memory: 0 });
    await feed.next();
    controller.abort(reason);
    await expect(feed.next()).rejects.toBe(reason);
    await feed.close();
    expect(source.reading()).toBe(0);
  });

  it('by close leaves no reading open, whatever is on the way', async () => {
    const { feed, source } = await open(50, { memory: 5 * bytes });
    const asked = Promise.allSettled([feed.next(), feed.next()]);
    await Promise.all([feed.close(), feed.close()]);
    await asked;
    expect(source.reading()).toBe(0);
    await expect(feed.next()).rejects.toMatchObject({ code: 'invalid-argument', message: /closed/ });
  });
});

import type { ImageBatch } from '../../src/core/dataset.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { type Feed, type FeedBatch, type FeedOptions, openFeed } from '../../src/train/feed.ts';
import type { FeedSource } from '../../src/train/intake.ts';

/** Pixels that tell images apart, and left from right: 2 channels of 2x3, image i in the first two bytes. */
export const shape = [2, 2, 3] as const;
export const bytes = 12;

export function imageOf(index: number): Uint8Array {
  const data = Uint8Array.from({ length: bytes }, (_, i) => (index * 31 + i * 17) & 255);
  data.set([index & 255, index >> 8, 200]);
  return data;
}

/** An image mirrored left to right, by its definition. */
export function mirrored(image: Uint8Array): Uint8Array {
  return image.map((_, i) => image[i - (i % 3) + 2 - (i % 3)]);
}

export interface TestSource extends FeedSource {
  /** The epochs that were asked for. */
  readonly opened: (number | undefined)[];
  /** How many readings neither came to their end nor were given up. */
  reading(): number;
}

/** Images 0..count-1 in batches of 5, label i % 7. */
export function sourceOf(count: number, { kept = true, labelled = true } = {}): TestSource {
  const opened: (number | undefined)[] = [];
  let reading = 0;
  return {
    kept,
    opened,
    reading: () => reading,
    async *open(epoch) {
      opened.push(epoch);
      reading++;
      try {
        for (let first = 0; first < count; first += 5) yield batchOf(first, Math.min(5, count - first), labelled);
      } finally {
        reading--;
      }
    },
  };
}

function batchOf(first: number, n: number, labelled: boolean): ImageBatch {
  const data = new Uint8Array(n * bytes);
  for (let i = 0; i < n; i++) data.set(imageOf(first + i), i * bytes);
  const labels = Int32Array.from({ length: n }, (_, i) => (first + i) % 7);
  return { data, shape: [n, ...shape], ...(labelled && { labels }) };
}

/** Opens feeds of 4 images a batch and seed 1, unless told otherwise. */
export function opener(engine: Engine) {
  return async (count: number, options: Partial<FeedOptions> & { kept?: boolean; labelled?: boolean } = {}) => {
    const { kept, labelled, ...rest } = options;
    const source = sourceOf(count, { kept, labelled });
    return { source, feed: await openFeed(engine, source, { batch: 4, seed: 1, ...rest }) };
  };
}

/** The images of a batch, one by one. */
export function imagesIn({ images }: FeedBatch): Uint8Array[] {
  return Array.from({ length: images.length / bytes }, (_, i) => images.slice(i * bytes, (i + 1) * bytes));
}

/** The number of an image, mirrored or not. */
export function indexOf(image: Uint8Array): number {
  const [low, high] = image[2] === 200 ? image : mirrored(image);
  return low + 256 * high;
}

/** The numbers of the next `count` images of a feed, a batch at a time. */
export async function take(feed: Feed, count: number): Promise<number[]> {
  const indices: number[] = [];
  while (indices.length < count) indices.push(...imagesIn(await feed.next()).map(indexOf));
  return indices;
}

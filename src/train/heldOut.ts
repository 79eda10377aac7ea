import { assertInteger, assertKeys } from '../core/assert.ts';
import type { ImageBatch } from '../core/dataset.ts';
import { wrongKind } from '../core/errors.ts';
import { assertHoldOut, type FeedOptions } from './feed.ts';
import { type FeedSource, Intake, isHeldOut, type SourceImage } from './intake.ts';

/** How the images that are held out are read. */
export interface HeldOutOptions extends Pick<FeedOptions, 'holdOut' | 'classes' | 'signal'> {
  /** Images in a batch, the last apart. Default 64. */
  readonly batch?: number;
}

/**
 * The images that a feed with the same `holdOut` leaves out, in the order in which they are stored and as they are: image
 * i is held out where round((i + 1) holdOut) > round(i holdOut), so of the first n images round(n holdOut) are. They can
 * be read again and again; each reading passes through all images of the source.
 *
 * @throws TypeError or RangeError naming the option; while reading, as `openFeed`
 */
export function heldOut(source: FeedSource, options: HeldOutOptions = {}): AsyncIterable<ImageBatch> {
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  assertKeys(options, 'options', ['holdOut', 'batch', 'classes', 'signal']);
  const { holdOut = 0, batch = 64 } = options;
  assertHoldOut(holdOut);
  assertInteger(batch, 'batch', 1, 65536);
  const intake = new Intake(source, options);
  return {
    async *[Symbol.asyncIterator]() {
      let waiting: SourceImage[] = [];
      for await (const image of intake.images(undefined, (index) => isHeldOut(index, holdOut))) {
        waiting.push({ ...image, data: image.data.slice() });
        if (waiting.length < batch) continue;
        yield toBatch(waiting, intake);
        waiting = [];
      }
      if (waiting.length > 0) yield toBatch(waiting, intake);
    },
  };
}

function toBatch(images: readonly SourceImage[], { kind }: Intake): ImageBatch {
  const [{ data: first }] = images;
  const data = new Uint8Array(images.length * first.length);
  for (const [i, image] of images.entries()) data.set(image.data, i * first.length);
  const shape = [images.length, ...kind!.shape];
  return kind!.labelled ? { data, shape, labels: Int32Array.from(images, ({ label }) => label!) } : { data, shape };
}

import { assertKeys } from '../core/assert.ts';
import type { ImageBatch } from '../core/dataset.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import { assertShape, sizeOf } from '../core/tensor.ts';
import { type Layout, layoutOf, toPixels } from '../data/arrays.ts';
import { checkShape, parseColour } from '../data/options.ts';
import { coverPixels } from '../image/cover.ts';
import { writePlanes } from '../image/planes.ts';
import { chancesOf } from './augment.ts';
import type { FeedSource } from './intake.ts';
import type { SourceOptions, TrainingData } from './trainingData.ts';

/** Images in memory. */
export interface ImageArray {
  /** Values from 0 to 255; they are not copied. */
  readonly data: Uint8Array | Uint8ClampedArray;
  /** [n, channels, height, width], [n, height, width, channels] as a canvas has them, or [n, height, width]. */
  readonly shape: readonly number[];
  /** A class index for each image. */
  readonly labels?: ArrayLike<number>;
}

/**
 * Images in memory as training takes them. As `openTrainingData` does with files, they are scaled and cut to what the
 * network takes, and what is transparent is laid on the config's `data.background`.
 *
 * @param options.labels class names by index
 * @throws DdpmError `dataset-invalid` for a shape that could be of several kinds, or of none
 * @example
 * const { data } = context.getImageData(0, 0, 32, 32 * n); // n pictures of 32x32, one below another
 * for await (const event of train({}, { data: trainingDataOf({ data, shape: [n, 32, 32, 4] }) })) show(event);
 */
export function trainingDataOf(
  images: ImageArray,
  options: { readonly labels?: readonly string[] } = {},
): TrainingData {
  assertKeys(options, 'options', ['labels']);
  const layout = checkImages(images);
  const { count, channels, height, width } = layout;
  const { labels } = options;
  const classes =
    labels?.length ?? (images.labels && Array.from(images.labels).reduce((a, b) => Math.max(a, b), 0) + 1);
  return {
    // alpha does not count
    summary: { channels: channels === 1 ? 1 : 3, height, width, count, ...(images.labels && { classes, labels }) },
    notes: [],
    source: (asked) => sourceOf(images, layout, asked),
  };
}

function checkImages(images: ImageArray): Layout {
  const { data, shape, labels } = (images ?? {}) as Partial<ImageArray>;
  if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray))
    throw wrongKind('images', 'an object { data: Uint8Array, shape }', images);
  assertShape(shape, 'images.shape');
  if (data.length !== sizeOf(shape))
    throw wrongValue('images.data', `${sizeOf(shape)} bytes, as "shape" has`, data.length);
  const layout = layoutOf({ name: 'images', shape });
  if (labels && labels.length !== layout.count)
    throw wrongValue('images.labels', `${layout.count} labels, one an image`, labels.length);
  return layout;
}

/** All images at once, made to fit: they are in memory in any case. */
function sourceOf(
  images: ImageArray,
  layout: Layout,
  { shape, engine, seed, crop, background }: SourceOptions,
): FeedSource {
  const size = checkShape(shape)!;
  const bytes = sizeOf(shape);
  const stored = sizeOf([layout.channels, layout.height, layout.width]);
  const colour = parseColour(background);
  const labels = images.labels && Int32Array.from(images.labels);
  return {
    kept: crop === 'center',
    open(epoch): ImageBatch[] {
      const random = crop === 'random' && epoch !== undefined;
      const data = new Uint8Array(layout.count * bytes);
      for (let i = 0; i < layout.count; i++) {
        const image = toPixels(images.data.subarray(i * stored, (i + 1) * stored) as Uint8Array, layout);
        const window = random ? chancesOf(engine, BigInt(seed), epoch, i).window : undefined;
        writePlanes(coverPixels(image, size, colour, window), data, i * bytes);
      }
      return [{ data, shape: [layout.count, ...shape], ...(labels && { labels }) }];
    },
  };
}

/** Images as they are stored, with their labels where there are any: what dataset readers yield. */
export interface ImageBatch {
  /** Values from 0 to 255: every image's first channel, row by row, then its next. */
  readonly data: Uint8Array;
  /** [n, channels, height, width] */
  readonly shape: readonly number[];
  /** A class index for each image. */
  readonly labels?: Int32Array;
}

/** Batches of images of one size, in an order that is always the same. */
export type ImageBatches = AsyncIterable<ImageBatch> | Iterable<ImageBatch>;

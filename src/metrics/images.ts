import { assertInteger, assertKeys } from '../core/assert.ts';
import type { ImageBatch, ImageBatches } from '../core/dataset.ts';
import { show, wrongKind, wrongValue } from '../core/errors.ts';
import type { FeatureNetwork } from '../core/features.ts';
import { assertShape, assertTensor, sizeOf, type Tensor } from '../core/tensor.ts';
import { joinRows, type Rows } from './rows.ts';

/** Images to be measured: floats in [-1, 1] as samplers give them, or bytes as datasets hold them. */
export type Images = Tensor | ImageBatch | ImageBatches;

/** How to go through images. */
export interface ImagesOptions {
  /** The first so many images only. */
  readonly limit?: number;
  /** Looked at between batches. */
  readonly signal?: AbortSignal;
  /** Told after each batch how many images are done. */
  readonly onProgress?: (done: number) => void;
}

// how many images of a tensor are taken at a time
const batchSize = 100;

/**
 * The features [n, dims] of images, a batch at a time: no more than one batch is held as images. Floats are clipped to
 * [-1, 1] and rounded to 256 levels first, as a file would hold them, so that samples and dataset meet as equals.
 *
 * @throws RangeError where there are no images, or batches of different sizes
 */
export async function featureRows(
  network: FeatureNetwork,
  images: Images,
  options: ImagesOptions = {},
): Promise<Rows & Tensor> {
  const { dims } = network;
  const parts: Float32Array[] = [];
  for await (const batch of batchesOf(images, options)) {
    const { data, shape } = await network.features(toFloats(batch));
    if (shape[0] !== batch.shape[0] || sizeOf(shape) !== shape[0] * dims)
      throw wrongValue('network', `features [${batch.shape[0]}, ${dims}]`, shape);
    parts.push(data);
  }
  return joinRows(parts, dims);
}

/**
 * Images as rows of bytes [n, channels * height * width], for distances in pixels: all of them are held. Floats are
 * clipped to [-1, 1] and rounded to 256 levels.
 *
 * @throws RangeError where there are no images, or batches of different sizes
 */
export async function pixelRows(images: Images, options: ImagesOptions = {}): Promise<Rows & { data: Uint8Array }> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const { data, shape } of batchesOf(images, options)) {
    size = sizeOf(shape.slice(1));
    // a reader may fill the same array again
    parts.push(data.slice());
  }
  return joinRows(parts, size);
}

async function* batchesOf(images: Images, options: ImagesOptions): AsyncGenerator<ImageBatch, void, void> {
  assertKeys(options, 'options', ['limit', 'signal', 'onProgress']);
  const { limit = Number.MAX_SAFE_INTEGER, signal, onProgress } = options;
  assertInteger(limit, 'limit', 1, Number.MAX_SAFE_INTEGER);
  let done = 0;
  let size: string | undefined;
  for await (const batch of isBatches(images) ? images : split(images)) {
    signal?.throwIfAborted();
    assertBatch(batch);
    size ??= show(batch.shape.slice(1));
    if (show(batch.shape.slice(1)) !== size)
      throw wrongValue('images', `images of ${size}, as the first`, batch.shape.slice(1));
    const part = first(batch, limit - done);
    yield part;
    done += part.shape[0];
    onProgress?.(done);
    if (done >= limit) return;
  }
  if (done === 0) throw wrongValue('images', 'at least one image', 'none');
}

function isBatches(images: Images): images is ImageBatches {
  return typeof images === 'object' && images !== null && (Symbol.asyncIterator in images || Symbol.iterator in images);
}

/** A tensor or a large batch in parts, as bytes. */
function* split(images: Tensor | ImageBatch): Generator<ImageBatch, void, void> {
  if (images?.data instanceof Float32Array) assertTensor(images, 'images');
  else assertBatch(images);
  const { data, shape } = images;
  const size = sizeOf(shape.slice(1));
  for (let begin = 0; begin < shape[0]; begin += batchSize) {
    const end = Math.min(begin + batchSize, shape[0]);
    const part = data.subarray(begin * size, end * size);
    yield { data: part instanceof Float32Array ? toBytes(part) : part, shape: [end - begin, ...shape.slice(1)] };
  }
}

function assertBatch(value: unknown): asserts value is ImageBatch {
  const { data, shape } = (value ?? {}) as Partial<ImageBatch>;
  if (!(data instanceof Uint8Array)) throw wrongKind('images.data', 'a Float32Array or a Uint8Array', data);
  assertShape(shape, 'images.shape', 4);
  if (data.length !== sizeOf(shape)) throw wrongValue('images.data', `${sizeOf(shape)} bytes`, data.length);
}

function first({ data, shape }: ImageBatch, most: number): ImageBatch {
  const count = Math.min(shape[0], most);
  return { data: data.subarray(0, count * sizeOf(shape.slice(1))), shape: [count, ...shape.slice(1)] };
}

/** byte / 127.5 - 1 */
function toFloats({ data, shape }: ImageBatch): Tensor {
  return { data: Float32Array.from(data, (byte) => byte / 127.5 - 1), shape };
}

/** x/2 + 0.5 clamped to [0, 1], times 255, rounded half to even, as diffusers does. */
function toBytes(values: Float32Array): Uint8Array {
  const odd = values.findIndex((x) => !Number.isFinite(x));
  if (odd >= 0) throw wrongValue('images.data', 'finite numbers', values[odd]);
  // a clamped array rounds just so
  const bytes = Uint8ClampedArray.from(values, (x) => Math.fround(Math.fround(x / 2 + 0.5) * 255));
  return new Uint8Array(bytes.buffer);
}

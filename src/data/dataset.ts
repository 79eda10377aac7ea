import type { ImageBatch } from '../core/dataset.ts';
import { wrongValue } from '../core/errors.ts';
import { showPlace } from '../runtime/http.ts';
import { openSource } from './format.ts';
import { fileNameOf } from './labelFile.ts';
import { type Crop, checkCrop, checkOptions, checkSource, type DatasetOptions } from './options.ts';
import { type DatasetProblem, Reader } from './reader.ts';

/** Images of one size. Every iteration reads them anew, in the same order, and gives the same ones. */
export interface Dataset extends AsyncIterable<ImageBatch> {
  /** The name of the file or folder. */
  readonly name: string;
  /** [channels, height, width] */
  readonly shape: readonly [channels: number, height: number, width: number];
  /** Class names by index, where they are known. */
  readonly labels?: readonly string[];
  /** How many images there are, bad ones included, where that is known before reading. */
  readonly count?: number;
  /** What was left out so far, in the order in which it was found: all there is after one whole iteration. */
  readonly problems: readonly DatasetProblem[];
  /** What the user should know, such as files that are no images; each one line. */
  readonly notes: readonly string[];
  /** The same images with another crop than the one that the dataset was opened with. */
  cropped(crop: Crop): AsyncIterable<ImageBatch>;
}

/**
 * Opens a dataset: an idx file (labels are found beside it), a CIFAR-10 or CIFAR-100 binary file or the folder of them, a
 * folder of images (subfolder = class), a zip archive of such a folder, a safetensors or .npy file. A URL is downloaded
 * whole and held; all else is streamed.
 *
 * Images of other sizes are scaled until they just cover `shape` and cut to their middle, or as `crop` says; grey is
 * BT.601 luma; what is transparent lies on `background`, unless `shape` has 4 channels. See `coverPixels`.
 *
 * Reads up to the first usable image.
 *
 * @throws DdpmError `dataset-not-found`; `dataset-invalid` for a damaged file, or no usable image, which while iterating
 * may come late: a truncated gzip is noticed where it ends
 * @throws TypeError or RangeError for bad options
 */
export async function openDataset(source: string | URL, options: DatasetOptions = {}): Promise<Dataset> {
  const place = checkSource(source);
  const asked = checkOptions(options);
  const { labels, signal } = asked;
  const images = await openSource(place, { labels, signal });
  const reader = new Reader(showPlace(place), images, asked);
  const size = await reader.firstSize();
  const { channels, height, width } = size;
  const batchBytes = asked.batch * channels * height * width;
  if (batchBytes > mostBatchBytes) throw wrongValue('batch', `a batch of at most ${mostBatchBytes} bytes`, batchBytes);
  return {
    name: fileNameOf(place),
    shape: [channels, height, width],
    labels: labels ?? images.labels,
    count: reader.count,
    problems: reader.problems,
    notes: images.notes,
    cropped(crop) {
      const windowOf = checkCrop(crop);
      return { [Symbol.asyncIterator]: () => reader.batches(size, windowOf) };
    },
    [Symbol.asyncIterator]: () => reader.batches(size),
  };
}

const mostBatchBytes = 2 ** 30;

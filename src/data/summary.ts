import { assertKeys } from '../core/assert.ts';
import { wrongKind } from '../core/errors.ts';
import type { Size } from '../image/fit.ts';
import { showPlace } from '../runtime/http.ts';
import { openSource } from './format.ts';
import { checkOptions, checkSource, type DatasetOptions } from './options.ts';
import { Reader } from './reader.ts';

/** What the images of a dataset are like. */
export interface DatasetSummary {
  /** 1 if all images are grey, else 3. Alpha does not count. */
  readonly channels: 1 | 3;
  readonly height: number;
  readonly width: number;
  /** Whether there are images of other sizes. */
  readonly varied: boolean;
  /** Images stored, of which some may turn out to be bad. */
  readonly count?: number;
  /** As many as there are class names or, without names, as the highest label tells; none where there are no labels. */
  readonly classes?: number;
  /** Class names by index, where they are known. */
  readonly labels?: readonly string[];
  /** What the user should know; each one line. */
  readonly notes: readonly string[];
}

/**
 * What a dataset is like, without decoding it: of files that hold arrays the header is read, and labels; of PNG files in a
 * folder the head of each. Other images are decoded, which takes its time.
 *
 * Where sizes vary, it is that of half the images or more, if there is one; else a square of the median of their shorter
 * sides.
 *
 * @throws DdpmError `dataset-not-found`; `dataset-invalid` for a damaged file, or no usable image
 */
export async function summarizeDataset(
  source: string | URL,
  options: Pick<DatasetOptions, 'labels' | 'signal'> = {},
): Promise<DatasetSummary> {
  const place = checkSource(source);
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  assertKeys(options, 'options', ['labels', 'signal']);
  const { signal } = options;
  const images = await openSource(place, options);
  const sizes: Size[] = [];
  for await (const size of images.sizes(signal)) sizes.push(size);
  // which says why there is none
  if (sizes.length === 0 || images.count === 0)
    sizes.push(await new Reader(showPlace(place), images, checkOptions(options)).firstSize());

  const labels = options.labels ?? images.labels;
  const classes =
    labels?.length ?? images.classes ?? (images.readLabels && (await classesOf(images.readLabels(), signal)));
  const common = commonSize(sizes);
  return {
    channels: sizes.every(({ channels }) => channels === 1) ? 1 : 3,
    ...common,
    varied: sizes.some(({ width, height }) => width !== common.width || height !== common.height),
    count: images.count,
    classes,
    labels,
    notes: images.notes,
  };
}

async function classesOf(labels: AsyncIterable<number>, signal?: AbortSignal): Promise<number> {
  let classes = 0;
  for await (const label of labels) {
    signal?.throwIfAborted();
    if (Number.isInteger(label)) classes = Math.max(classes, label + 1);
  }
  return classes;
}

function commonSize(sizes: readonly Size[]): { height: number; width: number } {
  const counts = new Map<string, number>();
  for (const { width, height } of sizes) {
    const key = `${width}x${height}`;
    const count = (counts.get(key) ?? 0) + 1;
    if (2 * count >= sizes.length) return { height, width };
    counts.set(key, count);
  }
  const shorter = sizes.map(({ width, height }) => Math.min(width, height)).sort((a, b) => a - b);
  const median = shorter[Math.floor(shorter.length / 2)];
  return { height: median, width: median };
}

import { assertInteger, assertKeys } from '../core/assert.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import { assertShape, sizeOf } from '../core/tensor.ts';
import type { Colour } from '../image/channels.ts';
import type { CropWindow } from '../image/cover.ts';
import type { Size } from '../image/fit.ts';
import { isHttp } from '../runtime/http.ts';
import { maxPixels } from './source.ts';

/**
 * What is kept of an image that stands out beyond the shape: its middle, or a window by the index of the image as stored,
 * given as fractions in 0..1 of what stands out that go on the left and on top.
 */
export type Crop = 'center' | ((image: number) => CropWindow);

/** How a dataset is read. */
export interface DatasetOptions {
  /** What every image is made to be, with 1 (grey), 3 (RGB) or 4 (RGBA) channels. Default: as the first image, without alpha. */
  readonly shape?: readonly [channels: number, height: number, width: number];
  /** What is kept of images with other proportions. Default 'center'. */
  readonly crop?: Crop;
  /** Images in a batch. Default 64. */
  readonly batch?: number;
  /** How many of the stored images to leave out at the beginning, bad ones included. Default 0. */
  readonly first?: number;
  /** How many of the stored images to read after these, bad ones included. Default: all. */
  readonly count?: number;
  /** Whether the first bad image ends the reading. Default: it is left out, and listed in `problems`. */
  readonly strict?: boolean;
  /** The colour '#rrggbb' that is seen where images are transparent. Default '#ffffff', white. */
  readonly background?: string;
  /** How many classes there may be: an image of a class from this on is a bad one. Default: as many as there are names. */
  readonly classes?: number;
  /** Class names by index. For folders they choose the index of a subfolder; one that is not among them is bad. */
  readonly labels?: readonly string[];
  readonly signal?: AbortSignal;
}

/** The place that a user named. */
export function checkSource(source: unknown): string | URL {
  if (source instanceof URL) return source;
  if (typeof source !== 'string') throw wrongKind('source', 'a path or a URL', source);
  if (source === '') throw wrongValue('source', 'a path or a URL', source);
  return isHttp(source) ? new URL(source) : source;
}

export type Asked = ReturnType<typeof checkOptions>;

/** As many classes as an Int32Array of labels can tell apart. */
export const mostClasses = 2 ** 31;

const optionNames = ['shape', 'batch', 'first', 'count', 'strict', 'crop', 'background', 'classes', 'labels', 'signal'];

/** The options with their defaults. */
export function checkOptions(options: DatasetOptions) {
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  assertKeys(options, 'options', optionNames);
  const { batch = 64, first = 0, count = Number.MAX_SAFE_INTEGER, strict = false, labels, signal } = options;
  assertInteger(batch, 'batch', 1, 2 ** 20);
  assertInteger(first, 'first', 0, Number.MAX_SAFE_INTEGER);
  assertInteger(count, 'count', 1, Number.MAX_SAFE_INTEGER);
  if (typeof strict !== 'boolean') throw wrongKind('strict', 'true or false', strict);
  if (labels !== undefined && !(Array.isArray(labels) && labels.every((label) => typeof label === 'string')))
    throw wrongKind('labels', 'a list of strings', labels);
  const { classes = labels?.length } = options;
  if (classes !== undefined) assertInteger(classes, 'classes', 1, mostClasses);
  if (labels && classes !== labels.length) throw wrongValue('classes', `${labels.length}, one a label`, classes);
  const crop = checkCrop(options.crop ?? 'center');
  const background = parseColour(options.background ?? '#ffffff');
  return { batch, first, count, strict, labels, signal, classes, crop, background, size: checkShape(options.shape) };
}

/** A crop as the window of each image, undefined for the middle. */
export function checkCrop(crop: Crop): (image: number) => CropWindow | undefined {
  if (crop === 'center') return () => undefined;
  if (typeof crop !== 'function') throw wrongValue('crop', "'center' or a function", crop);
  return (image) => {
    const window = crop(image);
    const good = Array.isArray(window) && window.length === 2 && window.every((part) => part >= 0 && part <= 1);
    if (!good) throw wrongValue('crop', 'two fractions in 0..1 for an image', window);
    return window;
  };
}

/** A shape [channels, height, width] that images can be made to have. */
export function checkShape(shape: DatasetOptions['shape']): Size | undefined {
  if (shape === undefined) return undefined;
  assertShape(shape, 'shape', 3);
  const [channels, height, width] = shape;
  if (channels !== 1 && channels !== 3 && channels !== 4) throw wrongValue('shape', '1, 3 or 4 channels', shape);
  if (sizeOf([height, width]) > maxPixels) throw wrongValue('shape', `at most ${maxPixels} pixels`, shape);
  return { channels, height, width };
}

/** The parts of a colour '#rrggbb'. */
export function parseColour(colour: string): Colour {
  const digits = typeof colour === 'string' ? /^#([0-9a-f]{6})$/i.exec(colour)?.[1] : undefined;
  if (digits === undefined) throw wrongValue('background', "a colour '#rrggbb'", colour);
  const value = Number.parseInt(digits, 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

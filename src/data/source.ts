import { DdpmError } from '../core/errors.ts';
import type { Size } from '../image/fit.ts';
import type { Pixels } from '../image/pixels.ts';

/** The most pixels that an image may have. */
export const maxPixels = 2 ** 24;

/** What a reader of one format gives: stored images one at a time, always in the same order. */
export interface ImageSource {
  /** How many are stored, bad ones included, where that is known. */
  readonly count?: number;
  /** Class names by index. */
  readonly labels?: readonly string[];
  /** How many classes the format has. */
  readonly classes?: number;
  /** What the user should know; each one line. */
  readonly notes: readonly string[];
  /** The images from the one of index `first` on. */
  read(first: number, signal?: AbortSignal): AsyncGenerator<StoredImage>;
  /** The size of every image that can be read, by as little of it as tells; one size where all images share it. */
  sizes(signal?: AbortSignal): AsyncIterable<Size>;
  /** The labels, where they are stored apart from images. */
  readLabels?(): AsyncIterable<number>;
}

/** An image as it is stored, or why there is none. `name` tells which of the dataset it is. */
export type StoredImage =
  | { readonly name: string; readonly image: Pixels; readonly label?: number }
  | { readonly name: string; readonly problem: string };

/** The error for a dataset that cannot be used. */
export function invalid(what: string, expected: string, got: string | number): DdpmError {
  return new DdpmError('dataset-invalid', `${what}: expected ${expected}, got ${got}`);
}

/** Runs what reads files, for which errors speak of models, and says that it was a dataset. */
export async function ofDataset<T>(read: () => Promise<T> | T): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof DdpmError)) throw error;
    if (error.code === 'model-not-found') throw new DdpmError('dataset-not-found', error.message, { cause: error });
    if (error.code === 'model-invalid') throw new DdpmError('dataset-invalid', error.message, { cause: error });
    throw error;
  }
}

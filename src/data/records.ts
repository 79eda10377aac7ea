import type { Size } from '../image/fit.ts';
import type { Pixels } from '../image/pixels.ts';
import type { DataFile } from './dataFile.ts';
import { type ImageSource, invalid, type StoredImage } from './source.ts';

/** A part of a file that is `count` times `bytes` bytes. */
export interface Records {
  readonly file: DataFile;
  readonly begin: number;
  readonly bytes: number;
  readonly count: number;
}

/** What a record holds. */
export type Decoded = { readonly image: Pixels; readonly label?: number } | { readonly problem: string };

interface RecordFormat extends Pick<ImageSource, 'labels' | 'classes' | 'notes'> {
  /** One after the other. */
  readonly images: readonly Records[];
  readonly size: Size;
  /** As many, where they are not within the records of the images. */
  readonly labelRecords?: LabelRecords;
  decode(image: Uint8Array): Decoded;
}

/** Records of a label each. */
export interface LabelRecords extends Records {
  decode(label: Uint8Array): number;
}

/** The images of files in which all have the same length. */
export function recordSource({ images, size, labelRecords, decode, ...about }: RecordFormat): ImageSource {
  return {
    ...about,
    count: images.reduce((sum, { count }) => sum + count, 0),
    async *sizes() {
      yield size;
    },
    readLabels: labelRecords && (() => readLabels(labelRecords, 0)),
    async *read(first): AsyncGenerator<StoredImage> {
      const labels = labelRecords && readLabels(labelRecords, first);
      let before = 0;
      try {
        for (const part of images) {
          const prefix = images.length > 1 ? `${part.file.name.replace(/.*[\\/]/, '')}: ` : '';
          let index = Math.max(first - before, 0);
          before += part.count;
          for await (const record of readRecords(part, index)) {
            const label = await labels?.next();
            const decoded = decode(record);
            const name = `${prefix}image ${index++}`;
            yield { name, ...decoded, ...(label && 'image' in decoded && { label: label.value ?? undefined }) };
          }
        }
        // past the last: a damaged end is noticed there only
        await labels?.next();
      } finally {
        await labels?.return();
      }
    },
  };
}

/** Throws unless a file, where its length is known, ends with these records. */
export function assertLength({ file, begin, bytes, count }: Records, shape: readonly number[]): void {
  const expected = begin + bytes * count;
  if (file.size !== undefined && file.size !== expected)
    throw invalid(file.name, `${expected} bytes for shape [${shape.join(', ')}]`, file.size);
}

async function* readLabels(records: LabelRecords, first: number): AsyncGenerator<number, void> {
  for await (const record of readRecords(records, first)) yield records.decode(record);
}

async function* readRecords({ file, begin, bytes, count }: Records, first: number): AsyncGenerator<Uint8Array, void> {
  if (first >= count) return;
  const stream = await file.open(begin + first * bytes);
  try {
    for (let i = first; i < count; i++) yield await stream.exactly(bytes);
    // the lengths of other files are known beforehand
    if (file.gzipped) await stream.assertEnd();
  } finally {
    await stream.close();
  }
}

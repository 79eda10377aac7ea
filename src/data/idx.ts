import { maxSide } from '../image/pixels.ts';
import type { DataFile } from './dataFile.ts';
import { findLabels } from './labelFile.ts';
import { assertLength, type LabelRecords, recordSource } from './records.ts';
import { type ImageSource, invalid, maxPixels } from './source.ts';

/**
 * Images of the MNIST family: an idx file of bytes with axes [count, height, width], grey, or [count, height, width,
 * channels] with 1, 3 or 4 channels. Labels are those of the file beside it, see `findLabels`.
 */
export async function openIdx(file: DataFile, place: string | URL, signal?: AbortSignal): Promise<ImageSource> {
  const { shape, begin } = readIdxHeader(await file.head(mostHeader), file.name);
  const [count, height, width, channels = 1] = shape;
  if (shape.length === 1) throw invalid(file.name, 'images', 'labels alone: name the file of the images');
  const side = (n: number) => n >= 1 && n <= maxSide;
  const good = side(height) && side(width) && height * width <= maxPixels;
  if (shape.length === 2 || !good || !(channels === 1 || channels === 3 || channels === 4))
    throw invalid(file.name, 'images [count, height, width] or [count, height, width, 1, 3 or 4]', list(shape));
  const images = { file, begin, bytes: height * width * channels, count };
  assertLength(images, shape);

  const { file: labels, notes } = await findLabels(place, signal);
  return recordSource({
    images: [images],
    size: { width, height, channels },
    labelRecords: labels && (await openLabels(labels, count)),
    notes,
    decode: (data) => ({ image: { data, width, height, channels } }),
  });
}

const mostHeader = 4 + 4 * 4;
const unsignedBytes = 0x08;
const otherTypes = [0x09, 0x0b, 0x0c, 0x0d, 0x0e];

/** Whether a file begins as an idx file does, of whatever elements. */
export function isIdx([zero, alsoZero, type, rank]: Uint8Array): boolean {
  return zero === 0 && alsoZero === 0 && [unsignedBytes, ...otherTypes].includes(type) && rank >= 1 && rank <= 4;
}

/**
 * The axes of an idx file and where its data begins: two zeros, the type of the elements, the number of axes, and their
 * lengths as big-endian 32-bit numbers (http://yann.lecun.com/exdb/mnist).
 */
export function readIdxHeader(head: Uint8Array, name: string): { shape: number[]; begin: number } {
  if (!isIdx(head)) throw invalid(name, 'an idx file, which begins 00 00 08 and the number of axes', hex(head));
  if (head[2] !== unsignedBytes)
    throw invalid(name, 'an idx file of unsigned bytes, type 08', `type ${hex(head, 2, 3)}`);
  const begin = 4 + 4 * head[3];
  if (head.length < begin) throw invalid(name, `an idx header of ${begin} bytes`, head.length);
  const view = new DataView(head.buffer, head.byteOffset, begin);
  return { shape: Array.from({ length: head[3] }, (_, axis) => view.getUint32(4 + 4 * axis)), begin };
}

/** The first bytes of a file, as messages show them. */
export function hex(bytes: Uint8Array, begin = 0, end = 4): string {
  return Array.from(bytes.subarray(begin, end), (byte) => byte.toString(16).padStart(2, '0')).join(' ') || 'nothing';
}

async function openLabels(file: DataFile, images: number): Promise<LabelRecords> {
  const { shape, begin } = readIdxHeader(await file.head(mostHeader), file.name);
  const [count] = shape;
  if (shape.length !== 1 || count !== images) throw invalid(file.name, `${images} labels, one an image`, list(shape));
  const records = { file, begin, bytes: 1, count, decode: ([label]: Uint8Array) => label };
  assertLength(records, shape);
  return records;
}

function list(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

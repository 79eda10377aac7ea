import { gunzipSync } from 'node:zlib';
import { wrongKind, wrongValue } from '../../src/core/errors.ts';
import type { Pixels } from '../../src/image/pixels.ts';

/** An array of bytes in the format of the MNIST family: labels are [count], images [count, height, width]. */
export interface IdxArray {
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

const mostBytes = 2 ** 28;
const unsignedBytes = 8;

/**
 * Reads a gzipped idx file: two zeros, the element type, the number of axes, their lengths as big-endian 32-bit numbers,
 * then the elements (http://yann.lecun.com/exdb/mnist).
 *
 * @throws RangeError for anything else than an idx file of bytes, or one of more than 2^28 bytes.
 */
export function readIdx(file: Uint8Array): IdxArray {
  const bytes = unpack(file);
  const [zero, alsoZero, type, rank] = bytes;
  if (zero !== 0 || alsoZero !== 0 || type !== unsignedBytes || !(rank >= 1 && rank <= 4))
    throw wrongValue('file', 'an idx file of bytes with 1 to 4 axes', [...bytes.subarray(0, 4)]);
  const header = 4 + 4 * rank;
  if (bytes.length < header) throw wrongValue('file', `a header of ${header} bytes`, bytes.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const size = shape.reduce((product, n) => product * n, 1);
  if (bytes.length !== header + size)
    throw wrongValue('file', `${size} bytes for shape [${shape.join(', ')}]`, bytes.length - header);
  return { shape, data: bytes.subarray(header) };
}

/** Images begin..end-1 of an idx file as grey pixels; views of its bytes. */
export function idxImages({ shape, data }: IdxArray, begin: number, end: number): Pixels[] {
  const [count, height, width] = shape;
  if (shape.length !== 3) throw wrongValue('shape', '[count, height, width]', shape);
  if (end > count) throw wrongValue('end', `at most ${count} images`, end);
  const size = height * width;
  return Array.from({ length: end - begin }, (_, i) => {
    const at = (begin + i) * size;
    return { data: data.subarray(at, at + size), width, height, channels: 1 };
  });
}

function unpack(file: Uint8Array): Uint8Array {
  if (!(file instanceof Uint8Array)) throw wrongKind('file', 'a Uint8Array', file);
  try {
    const { buffer, byteOffset, length } = gunzipSync(file, { maxOutputLength: mostBytes });
    return new Uint8Array(buffer, byteOffset, length);
  } catch (error) {
    throw wrongValue('file', `gzip of at most ${mostBytes} bytes`, (error as Error).message);
  }
}

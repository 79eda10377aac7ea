import { assertInteger } from '../core/assert.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';

/** An image of bytes, channels interleaved: grey (1), RGB (3) or RGBA (4). */
export interface Pixels {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3 | 4;
}

/** The largest side that a PNG is written or read with here. */
export const maxSide = 65_536;

/** Throws unless `value` is an image whose bytes fit its sizes. */
export function assertPixels(value: unknown, argument: string): asserts value is Pixels {
  const { data, width, height, channels } = (value ?? {}) as Partial<Pixels>;
  if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray))
    throw wrongKind(argument, 'an image { data: Uint8Array, width, height, channels }', value);
  assertInteger(width, `${argument}.width`, 1, maxSide);
  assertInteger(height, `${argument}.height`, 1, maxSide);
  if (channels !== 1 && channels !== 3 && channels !== 4)
    throw wrongValue(`${argument}.channels`, '1 (grey), 3 (RGB) or 4 (RGBA)', channels);
  if (data.length !== width * height * channels)
    throw wrongValue(`${argument}.data`, `${width * height * channels} bytes`, data.length);
}

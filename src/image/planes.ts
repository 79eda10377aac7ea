import type { Size } from './fit.ts';
import type { Pixels } from './pixels.ts';

/** An image whose channels lie one behind another as one whose channels lie side by side. */
export function fromPlanes(planes: Uint8Array, { width, height, channels }: Size): Pixels {
  if (channels === 1) return { data: planes, width, height, channels };
  const plane = width * height;
  const data = new Uint8Array(planes.length);
  for (let i = 0, at = 0; i < plane; i++) for (let c = 0; c < channels; c++, at++) data[at] = planes[c * plane + i];
  return { data, width, height, channels };
}

/** Writes an image channel by channel, from byte `begin` on. */
export function writePlanes({ data: from, channels }: Pixels, data: Uint8Array, begin: number): void {
  const plane = from.length / channels;
  for (let c = 0; c < channels; c++)
    for (let i = 0, at = begin + c * plane; i < plane; i++, at++) data[at] = from[i * channels + c];
}

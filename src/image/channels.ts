import type { Pixels } from './pixels.ts';

/** Red, green and blue, 0 to 255. */
export type Colour = readonly [red: number, green: number, blue: number];

export const white: Colour = [255, 255, 255];

/**
 * An image in other channels: what is transparent is laid on the background, unless 4 channels are asked for; RGB becomes
 * grey as (299 R + 587 G + 114 B)/1000 (ITU-R BT.601), grey becomes equal R, G and B, and what had no alpha is opaque.
 * Rounded to nearest; the same image where nothing is to do.
 */
export function inChannels(image: Pixels, channels: Pixels['channels'], background: Colour = white): Pixels {
  if (image.channels === channels) return image;
  const { width, height } = image;
  if (image.channels === 4) return inChannels(onBackground(image, background), channels);
  const data = new Uint8Array(width * height * channels);
  const from = image.data;
  if (channels === 1) {
    for (let i = 0, at = 0; i < data.length; i++, at += 3)
      data[i] = Math.round((299 * from[at] + 587 * from[at + 1] + 114 * from[at + 2]) / 1000);
    return { data, width, height, channels };
  }
  const step = image.channels === 3 ? 1 : 0;
  for (let i = 0, at = 0; i < data.length; i += channels, at += image.channels) {
    for (let c = 0; c < 3; c++) data[i + c] = from[at + c * step];
    if (channels === 4) data[i + 3] = 255;
  }
  return { data, width, height, channels };
}

function onBackground({ data: from, width, height }: Pixels, background: Colour): Pixels {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0, at = 0; i < data.length; i += 3, at += 4) {
    const alpha = from[at + 3];
    for (let c = 0; c < 3; c++) data[i + c] = Math.round((alpha * from[at + c] + (255 - alpha) * background[c]) / 255);
  }
  return { data, width, height, channels: 3 };
}

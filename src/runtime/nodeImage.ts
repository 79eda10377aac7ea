import type { Sharp } from 'sharp';
import { DdpmError } from '../core/errors.ts';
import type { RawImage } from './types.ts';

/** @see Runtime.decodeImage */
export async function decodeImage(bytes: Uint8Array, { maxPixels }: { maxPixels: number }): Promise<RawImage> {
  const sharp = await loadSharp();
  const image = sharp(bytes, { limitInputPixels: maxPixels });
  try {
    // sharp gives colours unless told otherwise
    const isGrey = (await image.metadata()).channels === 1;
    return await rawPixels(isGrey ? image.toColourspace('b-w') : image);
  } catch (error) {
    // libvips writes a line for each thing that it tried
    throw new Error((error as Error).message.split('\n')[0], { cause: error });
  }
}

/** @see Runtime.encodeWebp */
export async function encodeWebp({ data, width, height, channels }: RawImage): Promise<Uint8Array> {
  const sharp = await loadSharp();
  return sharp(data, { raw: { width, height, channels } }).webp({ lossless: true }).toBuffer();
}

async function loadSharp() {
  try {
    return (await import('sharp')).default;
  } catch (cause) {
    throw new DdpmError('device-unavailable', 'the package sharp: npm install sharp', { cause });
  }
}

async function rawPixels(image: Sharp): Promise<RawImage> {
  // without an angle: upright, as EXIF says
  const { data, info } = await image.rotate().raw().toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  if (channels !== 1 && channels !== 3 && channels !== 4) throw new Error(`${channels} channels`);
  return { data, width, height, channels };
}

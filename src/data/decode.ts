import { decodeImage } from '#runtime';
import { DdpmError } from '../core/errors.ts';
import type { Size } from '../image/fit.ts';
import type { Pixels } from '../image/pixels.ts';
import { decodePng, pngHeadBytes, pngSize } from '../image/png.ts';
import { hex } from './idx.ts';
import { maxPixels } from './source.ts';

/** The most bytes that the file of an image may have: more than 2^24 uncompressed pixels of any kind take. */
export const maxImageBytes = 2 ** 28;

/** Whether a file says by its name that it is an image. */
export function isImageName(name: string): boolean {
  return /\.(png|apng|jpe?g|webp|gif|bmp|tiff?|avif|heic|jxl)$/i.test(name);
}

/** What kind of image begins so. */
export function imageKind(bytes: Uint8Array): 'PNG' | 'JPEG' | 'WebP' | 'GIF' | undefined {
  const text = String.fromCharCode(...bytes.subarray(0, 12));
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return 'PNG';
  if (text.startsWith('\xff\xd8\xff')) return 'JPEG';
  if (/^RIFF.{4}WEBP/s.test(text)) return 'WebP';
  return /^GIF8[79]a/.test(text) ? 'GIF' : undefined;
}

/** The size of an image in a file: of a PNG by its head alone. @throws Error as `decodePixels`. */
export async function measureImage(file: {
  head(length: number): Promise<Uint8Array>;
  read(): Promise<Uint8Array>;
}): Promise<Size> {
  const head = await file.head(pngHeadBytes);
  return imageKind(head) === 'PNG' ? pngSize(head, { maxPixels }) : decodePixels(await file.read());
}

/**
 * The image in a PNG, JPEG, WebP or GIF file, told by its content; of an animation the first frame. JPEG is turned
 * upright as its EXIF says. All but PNG are decoded by sharp, which must be installed.
 *
 * @throws Error with a message of one line, without the file's name.
 */
export async function decodePixels(bytes: Uint8Array): Promise<Pixels> {
  const kind = imageKind(bytes);
  if (!kind) throw new Error(`expected a PNG, JPEG, WebP or GIF image, got bytes that begin ${hex(bytes)}`);
  try {
    return await (kind === 'PNG' ? decodePng : decodeImage)(bytes, { maxPixels });
  } catch (error) {
    const { message } = error as Error;
    if (error instanceof DdpmError && error.code === 'device-unavailable')
      throw new Error(`a ${kind} image needs ${message}`, { cause: error });
    // there an argument has the name, here a file
    const reason =
      kind === 'PNG' ? message.replace(/^"bytes" /, '') : `expected a readable ${kind} image, got: ${message}`;
    throw new Error(reason, { cause: error });
  }
}

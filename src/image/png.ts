import { convertIndexedToRgb, type DecodedPng, decode, encode } from 'fast-png';
import { assertInteger } from '../core/assert.ts';
import { wrongKind } from '../core/errors.ts';
import { type Chunk, damaged, readChunks, readFirstChunk, writeChunks } from './chunks.ts';
import type { Size } from './fit.ts';
import { assertPixels, maxSide, type Pixels } from './pixels.ts';

/** A PNG file of an image, 8 bits a channel; the same image gives the same bytes. */
export function encodePng(image: Pixels): Uint8Array {
  assertPixels(image, 'image');
  const { data, width, height, channels } = image;
  return encode({ data, width, height, channels, depth: 8 });
}

/**
 * The image in a PNG file: grey, RGB or RGBA of 8 bits a channel. Palettes become RGB(A), grey with alpha becomes RGBA,
 * 16 bits lose the lower 8.
 *
 * Sizes are checked before anything of that size is allocated. Asynchronous because a file that could unpack to much
 * more than its image is unpacked once in pieces to see.
 *
 * @throws RangeError for bytes that are no PNG, a damaged one, or one of more than `maxPixels` (default 2^24).
 */
export async function decodePng(bytes: Uint8Array, options: { readonly maxPixels?: number } = {}): Promise<Pixels> {
  if (!(bytes instanceof Uint8Array)) throw wrongKind('bytes', 'a Uint8Array', bytes);
  const { maxPixels = mostPixels } = options;
  assertInteger(maxPixels, 'maxPixels', 1, maxSide ** 2);
  const chunks = readChunks(bytes);
  const header = readHeader(chunks[0], maxPixels);

  // other chunks hold text and colour profiles, which may unpack to any size
  const needed = ['IHDR', 'IDAT', 'IEND', ...(header.colour === indexed ? ['PLTE', 'tRNS'] : [])];
  const kept = chunks.filter(({ type }) => needed.includes(type));
  const packed = kept.filter(({ type }) => type === 'IDAT').map(({ data }) => data);
  await assertUnpacksWithin(packed, header.bytes);
  try {
    return toPixels(decode(writeChunks(kept)), header.colour === indexed);
  } catch (error) {
    throw damaged('readable image data', (error as Error).message);
  }
}

/** The bytes at the beginning of a PNG file that `pngSize` needs. */
export const pngHeadBytes = 33;

/**
 * The size of the image in a PNG file by its first bytes, and the channels that it decodes to; a palette counts as RGB,
 * for whether it has transparent colours is written further on.
 *
 * @throws RangeError as `decodePng`
 */
export function pngSize(head: Uint8Array, options: { readonly maxPixels?: number } = {}): Size {
  const { width, height, colour } = readHeader(readFirstChunk(head), options.maxPixels ?? mostPixels);
  return { width, height, channels: colour === 0 ? 1 : colour === 4 || colour === 6 ? 4 : 3 };
}

const mostPixels = 2 ** 24;
const indexed = 3;
// colour type -> depths and channels: table 11.1 of the PNG standard
const colours: Readonly<Record<number, { readonly depths: readonly number[]; readonly channels: number }>> = {
  0: { depths: [1, 2, 4, 8, 16], channels: 1 },
  2: { depths: [8, 16], channels: 3 },
  [indexed]: { depths: [1, 2, 4, 8], channels: 1 },
  4: { depths: [8, 16], channels: 2 },
  6: { depths: [8, 16], channels: 4 },
};

/** Size, colour type, and the most bytes that the unpacked lines of such an image take. */
function readHeader({ type, data }: Chunk, maxPixels: number) {
  if (type !== 'IHDR' || data.length !== 13) throw damaged('a header of 13 bytes first', type);
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth, colour] = [data[8], data[9]];
  const kind = colours[colour];
  if (!kind?.depths.includes(depth)) throw damaged('a known colour type and depth', [colour, depth]);
  if (width < 1 || height < 1 || width > maxSide || height > maxSide || width * height > maxPixels)
    throw damaged(`at most ${maxPixels} pixels, ${maxSide} a side`, `${width}x${height}`);
  // interlaced images have up to twice the lines, each with a filter byte
  return { width, height, colour, bytes: 2 * height * (Math.ceil((width * kind.channels * depth) / 8) + 1) };
}

// deflate packs at most 1032 to 1: https://zlib.net/zlib_tech.html
const mostPacked = 1032;
const harmlessBytes = 2 ** 26;

async function assertUnpacksWithin(packed: readonly Uint8Array[], limit: number): Promise<void> {
  const size = packed.reduce((sum, { length }) => sum + length, 0);
  if (size * mostPacked <= Math.max(limit, harmlessBytes)) return;
  const blob = new Blob(packed as Uint8Array<ArrayBuffer>[]);
  const reader = blob.stream().pipeThrough(new DecompressionStream('deflate')).getReader();
  let unpacked = 0;
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      unpacked += next.value.length;
      if (unpacked > limit) break;
    }
  } catch (error) {
    throw damaged('readable image data', (error as Error).message);
  } finally {
    await reader.cancel().catch(() => undefined);
  }
  if (unpacked > limit) throw damaged(`at most ${limit} bytes of image data`, unpacked);
}

function toPixels(png: DecodedPng, hasPalette: boolean): Pixels {
  const { width, height } = png;
  if (hasPalette) {
    const data = convertIndexedToRgb(png);
    return { data, width, height, channels: png.palette![0].length === 4 ? 4 : 3 };
  }
  const data = toBytes(png);
  const image = png.channels === 2 ? { data: spreadGrey(data), width, height, channels: 4 } : { ...png, data };
  assertPixels(image, 'image');
  return { data: image.data, width, height, channels: image.channels };
}

function toBytes({ data, depth, width, channels }: DecodedPng): Uint8Array {
  if (depth === 16) return Uint8Array.from(data, (value) => value >>> 8);
  if (depth === 8) return data as Uint8Array;
  // several pixels a byte, the first in the highest bits; each line starts a new byte
  const perByte = 8 / depth;
  const top = 2 ** depth - 1;
  const lineBytes = Math.ceil((width * channels) / perByte);
  return Uint8Array.from({ length: (data.length / lineBytes) * width }, (_, i) => {
    const column = i % width;
    const byte = data[Math.floor(i / width) * lineBytes + Math.floor(column / perByte)];
    return (((byte >>> (8 - depth * ((column % perByte) + 1))) & top) * 255) / top;
  });
}

function spreadGrey(data: Uint8Array): Uint8Array {
  return Uint8Array.from({ length: data.length * 2 }, (_, i) => data[(i >> 2) * 2 + (i % 4 === 3 ? 1 : 0)]);
}

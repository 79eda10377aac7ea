import { encodeBase64 } from 'hono/utils/encode';
import { encodeWebp } from '#runtime';
import { wrongValue } from '../core/errors.ts';
import { encodeMsgpack } from '../core/msgpack.ts';
import type { Tensor } from '../core/tensor.ts';
import type { Engine } from '../engine/engine.ts';
import { type GridOptions, imageGrid, pleasantScale } from '../image/grid.ts';
import { encodePng } from '../image/png.ts';
import { toPixels } from '../image/tensor.ts';
import { writeSafetensors } from '../onnx/safetensors.ts';
import type { formats } from './request.ts';

/** How images come back. */
export type Format = (typeof formats)[number];

/** The media type of each. */
export const mediaTypes: Readonly<Record<Format, string>> = {
  png: 'image/png',
  webp: 'image/webp',
  json: 'application/json',
  msgpack: 'application/vnd.msgpack',
  raw: 'application/octet-stream',
};

/** What is said with the images in `json` and `msgpack`. */
export type About = Readonly<Record<string, unknown>>;

interface EncodeOptions {
  readonly format: Format;
  readonly grid: GridOptions;
  readonly about: About;
}

/**
 * Images as a body. `png` and `webp` are the grid that the command line writes, `raw` its safetensors file; `json` and
 * `msgpack` have one PNG an image: as data URLs, or as binary.
 */
export async function encodeImages(
  engine: Engine,
  images: Tensor,
  options: EncodeOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const { format, grid, about } = options;
  if (format === 'raw') return plain(rawFile(images));
  const pixels = toPixels(engine, images);
  if (format === 'png') return plain(encodePng(imageGrid(pixels, grid)));
  if (format === 'webp') {
    const { data, ...size } = imageGrid(pixels, grid);
    return plain(await encodeWebp({ data: new Uint8Array(data), ...size }));
  }
  const files = pixels.map(encodePng);
  if (format === 'msgpack') return encodeMsgpack({ ...about, images: files });
  return new TextEncoder().encode(JSON.stringify({ ...about, images: files.map(dataUrl) }));
}

/** One picture of all images. */
export function picture(engine: Engine, images: Tensor, grid: GridOptions): Uint8Array {
  return encodePng(imageGrid(toPixels(engine, images), grid));
}

/** A PNG file in text. */
export function dataUrl(png: Uint8Array): string {
  return `data:image/png;base64,${encodeBase64(plain(png).slice().buffer)}`;
}

/** Throws unless the picture of a request stays within so many pixels: large ones take long to pack. */
export function assertPicture(
  [, height, width]: readonly number[],
  { count, columns = Math.ceil(Math.sqrt(count)), scale }: { count: number; columns?: number; scale?: number },
  maxPixels: number,
): void {
  const side = scale ?? pleasantScale({ width, height });
  const rows = Math.ceil(count / columns);
  const pixels = rows * Math.min(columns, count) * (width * side + 2) * (height * side + 2);
  if (pixels > maxPixels)
    throw wrongValue(scale === undefined ? 'count' : 'scale', `a picture of at most ${maxPixels} pixels`, pixels);
}

function rawFile({ data, shape }: Tensor): Uint8Array {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return writeSafetensors({ samples: { dtype: 'F32', shape: [...shape], data: bytes } });
}

function plain(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>;
}

import { assertInteger, assertKeys } from '../core/assert.ts';
import { DdpmError, wrongKind, wrongValue } from '../core/errors.ts';
import { assertPixels, maxSide, type Pixels } from './pixels.ts';

/** How a grid is laid out. */
export interface GridOptions {
  /** Images in a row. Default: the square root of their number, rounded up. */
  readonly columns?: number;
  /** Pixels between images and around them; a single image has none around it. Default 2. */
  readonly padding?: number;
  /** Each pixel becomes a square of so many. Default: the least that makes the longer side at least 64. */
  readonly scale?: number;
  /** Grey level between the images, 0 to 255. Default 255, white. */
  readonly background?: number;
}

const pleasantSide = 64;
const maxBytes = 2 ** 30;

/**
 * Lays images of equal size in a grid, row by row, enlarged by whole pixels so that small ones can be seen.
 *
 * @throws RangeError for images that differ in size or channels, or a grid of more than 65536 pixels a side.
 */
export function imageGrid(images: readonly Pixels[], options: GridOptions = {}): Pixels {
  if (!Array.isArray(images)) throw wrongKind('images', 'a list of images', images);
  if (images.length === 0) throw wrongValue('images', 'at least one image', images);
  for (const [i, image] of images.entries()) assertPixels(image, `images[${i}]`);
  const [{ width, height, channels }] = images;
  const odd = images.findIndex(
    (image) => image.width !== width || image.height !== height || image.channels !== channels,
  );
  if (odd > 0) throw wrongValue(`images[${odd}]`, `the size of the first, ${sizeOf(images[0])}`, sizeOf(images[odd]));
  const { columns, padding, scale, background } = layoutOf(images, options);

  const step = { x: width * scale + padding, y: height * scale + padding };
  const border = images.length > 1 ? padding : 0;
  const rows = Math.ceil(images.length / columns);
  const grid = blank(columns * step.x - padding + 2 * border, rows * step.y - padding + 2 * border, channels);
  if (background !== 0) grid.data.fill(background);
  if (channels === 4) for (let i = 3; i < grid.data.length; i += 4) grid.data[i] = 255;
  for (const [i, image] of images.entries()) {
    const x = border + (i % columns) * step.x;
    const y = border + Math.floor(i / columns) * step.y;
    drawScaled(grid, image, { x, y, scale });
  }
  return grid;
}

/** The least whole factor that makes the longer side of an image at least 64 pixels. */
export function pleasantScale({ width, height }: Pick<Pixels, 'width' | 'height'>): number {
  return Math.ceil(pleasantSide / Math.max(width, height));
}

function layoutOf(images: readonly Pixels[], options: GridOptions): Required<GridOptions> {
  assertKeys(options, 'options', ['columns', 'padding', 'scale', 'background']);
  const { padding = 2, background = 255, scale = pleasantScale(images[0]) } = options;
  const { columns = Math.ceil(Math.sqrt(images.length)) } = options;
  assertInteger(columns, 'columns', 1, maxSide);
  assertInteger(padding, 'padding', 0, 1024);
  assertInteger(scale, 'scale', 1, 1024);
  assertInteger(background, 'background', 0, 255);
  return { columns: Math.min(columns, images.length), padding, scale, background };
}

function blank(width: number, height: number, channels: Pixels['channels']): Pixels {
  if (width > maxSide || height > maxSide)
    throw wrongValue('images', `a grid of at most ${maxSide} pixels a side`, `${width}x${height}`);
  const bytes = width * height * channels;
  if (bytes > maxBytes)
    throw new DdpmError(
      'out-of-memory',
      `a grid of ${width}x${height} pixels takes ${bytes} bytes, more than ${maxBytes}`,
    );
  return { data: new Uint8Array(bytes), width, height, channels };
}

function drawScaled(grid: Pixels, image: Pixels, { x, y, scale }: { x: number; y: number; scale: number }): void {
  const { width, height, channels } = image;
  const stride = grid.width * channels;
  for (let row = 0; row < height; row++) {
    const start = (y + row * scale) * stride + x * channels;
    for (let column = 0; column < width * scale; column++) {
      const source = (row * width + Math.floor(column / scale)) * channels;
      for (let c = 0; c < channels; c++) grid.data[start + column * channels + c] = image.data[source + c];
    }
    // the other lines of the square are copies of the first
    for (let line = 1; line < scale; line++)
      grid.data.copyWithin(start + line * stride, start, start + width * scale * channels);
  }
}

function sizeOf({ width, height, channels }: Pixels): string {
  return `${width}x${height}x${channels}`;
}

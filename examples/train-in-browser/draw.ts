// What is seen: thumbnails, the loss curve and the sheet of samples.
import { type Bytes, pictureBytes, side } from './project.ts';

/** Images of bytes, RGBA, one behind another, as a square sheet. */
export function drawSheet(canvas: HTMLCanvasElement, images: Bytes, size: number): void {
  const bytes = size * size * 4;
  const columns = Math.ceil(Math.sqrt(images.length / bytes));
  canvas.width = canvas.height = columns * (size + 1) - 1;
  const context = canvas.getContext('2d')!;
  for (let i = 0; i * bytes < images.length; i++) {
    const image = new ImageData(new Uint8ClampedArray(images.buffer, images.byteOffset + i * bytes, bytes), size);
    context.putImageData(image, (i % columns) * (size + 1), Math.floor(i / columns) * (size + 1));
  }
}

/** Samples [n, 3, size, size] in [-1, 1] as such images. */
export function toRgba({ data, shape }: { data: Float32Array; shape: readonly number[] }): Bytes {
  const [count, , height, width] = shape;
  const plane = height * width;
  const rgba = new Uint8ClampedArray(count * plane * 4).fill(255);
  for (let i = 0; i < count * plane; i++)
    for (let c = 0; c < 3; c++)
      rgba[4 * i + c] = (data[(Math.floor(i / plane) * 3 + c) * plane + (i % plane)] + 1) * 127.5;
  return new Uint8Array(rgba.buffer);
}

/** Thumbnails on the background that they are trained on. */
export function drawThumbnails(list: HTMLElement, pictures: Bytes, background: string): void {
  list.replaceChildren();
  for (let at = 0; at < pictures.length; at += pictureBytes) {
    const canvas = document.createElement('canvas');
    drawSheet(canvas, pictures.subarray(at, at + pictureBytes), side);
    canvas.style.background = background;
    const item = document.createElement('li');
    item.append(canvas);
    list.append(item);
  }
}

/** A loss and the step that it was measured at. */
export interface Point {
  readonly step: number;
  readonly loss: number;
}

const [width, height, left, bottom] = [360, 170, 34, 18];

/** The losses by step, and their moving average. */
export function drawCurve(svg: SVGElement, points: readonly Point[], steps: number): void {
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  const logs = points.map(({ loss }) => Math.log10(loss));
  // whole decades, so that the curve does not jump about as it grows
  const [low, high] = [Math.floor(Math.min(...logs, -1)), Math.ceil(Math.max(...logs, 0))];
  const x = (step: number) => left + ((width - left - 4) * step) / steps;
  const y = (log: number) => 8 + ((height - bottom - 8) * (high - log)) / (high - low);
  let mean = logs[0];
  const smooth = logs.map((log) => (mean += (log - mean) / 8));
  const line = (values: readonly number[]) =>
    values.map((log, i) => `${i === 0 ? 'M' : 'L'}${x(points[i].step).toFixed(1)},${y(log).toFixed(1)}`).join('');

  const decades = Array.from({ length: high - low + 1 }, (_, i) => low + i);
  const grid = decades.map(
    (log) =>
      `<path d="M${left},${y(log)}H${width - 4}"/><text x="${left - 5}" y="${y(log) + 4}" text-anchor="end">${10 ** log}</text>`,
  );
  const ends = [0, steps].map(
    (step, i) => `<text x="${x(step)}" y="${height - 3}" text-anchor="${i === 0 ? 'start' : 'end'}">${step}</text>`,
  );
  svg.innerHTML = [
    ...grid,
    ...ends,
    `<path class="raw" d="${line(logs)}"/><path class="mean" d="${line(smooth)}"/>`,
  ].join('');
  const last = points.at(-1);
  svg.setAttribute(
    'aria-label',
    last ? `Loss by step: ${last.loss.toPrecision(3)} at step ${last.step}` : 'Loss by step: nothing yet',
  );
}

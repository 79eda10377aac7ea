// What is seen: thumbnails, the loss curve and the sheet of samples.
import { type Bytes, pictureBytes, side } from './project.ts';

/** Square images as RGBA, one behind another, as a square sheet. */
export function drawSheet(canvas: HTMLCanvasElement, images: Bytes, size: number): void {
  const bytes = size * size * 4;
  const columns = Math.ceil(Math.sqrt(images.length / bytes));
  canvas.width = canvas.height = columns * (size + 1) - 1;
  const context = canvas.getContext('2d')!;
  for (let i = 0; i * bytes < images.length; i++) {
    const rgba = new Uint8ClampedArray(images.buffer, images.byteOffset + i * bytes, bytes);
    const [x, y] = [i % columns, Math.floor(i / columns)];
    context.putImageData(new ImageData(rgba, size), x * (size + 1), y * (size + 1));
  }
}

/** Samples [n, 3, size, size] in [-1, 1] as such images. */
export function toRgba({ data, shape }: { data: Float32Array; shape: readonly number[] }): Bytes {
  const [count, , height, width] = shape;
  const plane = height * width;
  const rgba = new Uint8ClampedArray(count * plane * 4).fill(255);
  for (let i = 0; i < count * plane; i++) {
    const at = 3 * (i - (i % plane)) + (i % plane);
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = (data[at + c * plane] + 1) * 127.5;
  }
  return new Uint8Array(rgba.buffer);
}

/** Thumbnails on the background that the pictures are trained on. */
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

/** A loss and the step at which it was measured. */
export interface Point {
  readonly step: number;
  readonly loss: number;
}

// as the viewBox in index.html, with room for the labels
const [left, right, top, bottom] = [34, 356, 8, 152];

/** The losses by step, and their moving average. */
export function drawCurve(svg: SVGElement, points: readonly Point[], steps: number): void {
  const logs = points.map(({ loss }) => Math.log10(loss));
  // whole decades, so that the curve does not jump about as it grows
  const [low, high] = [Math.floor(Math.min(...logs, -1)), Math.ceil(Math.max(...logs, 0))];
  const x = (step: number) => left + ((right - left) * step) / steps;
  const y = (log: number) => top + ((bottom - top) * (high - log)) / (high - low);
  const line = (values: readonly number[]) =>
    values.map((log, i) => `${i === 0 ? 'M' : 'L'}${x(points[i].step).toFixed(1)},${y(log).toFixed(1)}`).join('');
  let mean = logs[0];
  const means = logs.map((log) => {
    mean += (log - mean) / 4;
    return mean;
  });

  const text = (x: number, y: number, anchor: string, content: number) =>
    `<text x="${x}" y="${y}" text-anchor="${anchor}">${content}</text>`;
  const grid = Array.from({ length: high - low + 1 }, (_, i) => {
    const at = y(low + i);
    return `<path d="M${left},${at}H${right}"/>${text(left - 5, at + 4, 'end', 10 ** (low + i))}`;
  });
  const ends = text(left, bottom + 16, 'start', 0) + text(right, bottom + 16, 'end', steps);
  svg.innerHTML = `${grid.join('')}${ends}<path class="raw" d="${line(logs)}"/><path class="mean" d="${line(means)}"/>`;
  const last = points.at(-1);
  const label = last ? `${last.loss.toPrecision(3)} at step ${last.step}` : 'nothing yet';
  svg.setAttribute('aria-label', `Loss by step: ${label}`);
}

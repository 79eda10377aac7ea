import { describe, expect, it } from 'vitest';
import { type GridOptions, imageGrid, pleasantScale } from '../../src/image/grid.ts';
import type { Pixels } from '../../src/image/pixels.ts';

function filled(value: number, [width, height, channels]: readonly number[] = [2, 1, 1]): Pixels {
  return { data: new Uint8Array(width * height * channels).fill(value), width, height, channels: channels as 1 };
}

function lines({ data, width, height, channels }: Pixels): string[] {
  return Array.from({ length: height }, (_, y) =>
    data.subarray(y * width * channels, (y + 1) * width * channels).join(' '),
  );
}

describe('imageGrid', () => {
  it('lays images row by row with padding between and around them', () => {
    const grid = imageGrid(
      [1, 2, 3].map((value) => filled(value)),
      { padding: 1, scale: 1, background: 9 },
    );
    expect(lines(grid)).toEqual(['9 9 9 9 9 9 9', '9 1 1 9 2 2 9', '9 9 9 9 9 9 9', '9 3 3 9 9 9 9', '9 9 9 9 9 9 9']);
  });

  it('enlarges every pixel to a square of "scale" pixels', () => {
    const image: Pixels = { data: Uint8Array.of(1, 2, 3, 4, 5, 6), width: 2, height: 1, channels: 3 };
    expect(lines(imageGrid([image], { scale: 2 }))).toEqual(Array(2).fill('1 2 3 1 2 3 4 5 6 4 5 6'));
  });

  it('puts no padding around a single image, and none where it is 0', () => {
    expect(imageGrid([filled(1)], { scale: 1 })).toMatchObject({ width: 2, height: 1 });
    expect(imageGrid([filled(1), filled(2)], { scale: 1, padding: 0 })).toMatchObject({ width: 4, height: 1 });
  });

  it.each([
    [1, 1],
    [4, 2],
    [5, 3],
    [16, 4],
    [17, 5],
  ])('of %i images has %i columns by default, and as many as asked for', (count, columns) => {
    const images = Array.from({ length: count }, () => filled(0, [1, 1, 1]));
    expect(imageGrid(images, { padding: 0, scale: 1 }).width).toBe(columns);
    expect(imageGrid(images, { padding: 0, scale: 1, columns: count }).width).toBe(count);
    expect(imageGrid(images, { padding: 0, scale: 1, columns: count + 5 }).width).toBe(count);
  });

  it.each([
    [8, 8],
    [16, 4],
    [28, 3],
    [32, 2],
    [63, 2],
    [64, 1],
    [256, 1],
  ])('enlarges images of %i pixels by %i, to at least 64', (side, scale) => {
    expect(pleasantScale({ width: side, height: 1 })).toBe(scale);
    expect(imageGrid([filled(0, [side, side, 1])])).toMatchObject({ width: side * scale, height: side * scale });
  });

  it('is white and opaque between images', () => {
    const grid = imageGrid([filled(0, [1, 1, 4]), filled(0, [1, 1, 4])], { padding: 1, scale: 1 });
    expect(Array.from(grid.data.subarray(0, 4))).toEqual([255, 255, 255, 255]);
    const black = imageGrid([filled(0, [1, 1, 4]), filled(7, [1, 1, 4])], { padding: 1, scale: 1, background: 0 });
    expect(Array.from(black.data.subarray(0, 4))).toEqual([0, 0, 0, 255]);
  });

  it.each([
    [[], {}, /"images" expected at least one image/],
    [[filled(1), filled(1, [3, 1, 1])], {}, /"images\[1\]" expected the size of the first, 2x1x1, got "3x1x1"/],
    [[filled(1, [1, 1, 2])], {}, /"images\[0\].channels" expected 1 \(grey\), 3 \(RGB\) or 4 \(RGBA\), got 2/],
    [[filled(1)], { columns: 0 }, /"columns" expected/],
    [[filled(1)], { padding: -1 }, /"padding" expected/],
    [[filled(1)], { scale: 1.5 }, /"scale" expected/],
    [[filled(1)], { colums: 3 }, /"colums" expected no such option/],
    [[filled(1, [100, 1, 1])], { scale: 1000 }, /expected a grid of at most 65536 pixels a side, got "100000x1000"/],
    [[filled(1, [60, 60, 3])], { scale: 1000 }, /takes 10800000000 bytes, more than 1073741824/],
  ])('refuses %# by name', (images, options, message) => {
    expect(() => imageGrid(images, options as GridOptions)).toThrow(message);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fitPixels } from '../../src/image/fit.ts';
import type { Pixels } from '../../src/image/pixels.ts';

const side = fc.integer({ min: 1, max: 6 });
const channels = fc.constantFrom<Pixels['channels']>(1, 3, 4);

describe('fitPixels', () => {
  it('gives back an image that fits as it is', () => {
    const image: Pixels = { data: Uint8Array.of(1, 2, 3, 4, 5, 6), width: 2, height: 1, channels: 3 };
    expect(fitPixels(image, { width: 2, height: 1, channels: 3 })).toBe(image);
  });

  it('undoes an enlargement by any whole factor, for any channels', () => {
    const cases = fc.tuple(side, side, fc.integer({ min: 1, max: 4 }), channels).chain(([width, height, factor, c]) =>
      fc.record({
        image: fc
          .uint8Array({ minLength: width * height * c, maxLength: width * height * c })
          .map((data): Pixels => ({ data, width, height, channels: c })),
        factor: fc.constant(factor),
      }),
    );
    fc.assert(
      fc.property(cases, ({ image, factor }) => {
        const { width, height, channels: c } = image;
        const large = { ...image, width: width * factor, height: height * factor };
        const data = Uint8Array.from({ length: large.width * large.height * c }, (_, i) => {
          const [x, y] = [Math.floor(i / c) % large.width, Math.floor(i / c / large.width)];
          return image.data[(Math.floor(y / factor) * width + Math.floor(x / factor)) * c + (i % c)];
        });
        expect(fitPixels({ ...large, data }, image).data).toEqual(image.data);
      }),
    );
  });

  it('averages squares, rounded', () => {
    const image: Pixels = { data: Uint8Array.of(0, 1, 10, 20, 2, 4, 30, 41), width: 4, height: 2, channels: 1 };
    expect(Array.from(fitPixels(image, { width: 2, height: 1, channels: 1 }).data)).toEqual([2, 25]);
  });

  it('weighs colours as BT.601 does, lays what is transparent on white, and spreads grey', () => {
    const dot = (channels: Pixels['channels'], ...data: number[]): Pixels => ({
      data: Uint8Array.from(data),
      width: 1,
      height: 1,
      channels,
    });
    const fitted = (image: Pixels, to: Pixels['channels']) =>
      Array.from(fitPixels(image, { width: 1, height: 1, channels: to }).data);
    expect(fitted(dot(3, 255, 0, 0), 1)).toEqual([76]);
    expect(fitted(dot(3, 0, 255, 0), 1)).toEqual([150]);
    expect(fitted(dot(3, 0, 0, 255), 1)).toEqual([29]);
    expect(fitted(dot(4, 10, 20, 30, 0), 3)).toEqual([255, 255, 255]);
    expect(fitted(dot(4, 0, 0, 0, 102), 1)).toEqual([153]);
    expect(fitted(dot(1, 7), 3)).toEqual([7, 7, 7]);
    expect(fitted(dot(1, 7), 4)).toEqual([7, 7, 7, 255]);
    expect(fitted(dot(4, 1, 2, 3, 4), 4)).toEqual([1, 2, 3, 4]);
  });

  it.each([
    [3, 2],
    [4, 6],
    [1, 1],
    [4, 2],
  ])('refuses %ix%i where 2x2 is asked for, with both sizes', (width, height) => {
    const image: Pixels = { data: new Uint8Array(width * height), width, height, channels: 1 };
    expect(() => fitPixels(image, { width: 2, height: 2, channels: 1 }, 'init')).toThrow(
      `"init" expected an image of 2x2 or a whole multiple of it, got "${width}x${height}"`,
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { coverPixels } from '../../src/image/cover.ts';
import { fitPixels } from '../../src/image/fit.ts';
import type { Pixels } from '../../src/image/pixels.ts';

const side = fc.integer({ min: 1, max: 12 });
const channels = fc.constantFrom<Pixels['channels']>(1, 3, 4);

const images = (width: number, height: number, channels: Pixels['channels']) =>
  fc
    .uint8Array({ minLength: width * height * channels, maxLength: width * height * channels })
    .map((data): Pixels => ({ data, width, height, channels }));
const anyImage = fc.tuple(side, side, channels).chain(([width, height, c]) => images(width, height, c));

function grey(width: number, height: number, data: ArrayLike<number>): Pixels {
  return { data: Uint8Array.from(data), width, height, channels: 1 };
}

describe('coverPixels', () => {
  it('gives an image of the asked size from any other, and one of a single colour stays so', () => {
    fc.assert(
      fc.property(side, side, side, side, fc.nat(255), (width, height, w, h, value) => {
        const cover = coverPixels(grey(width, height, new Uint8Array(width * height).fill(value)), {
          width: w,
          height: h,
          channels: 1,
        });
        expect(cover).toEqual(grey(w, h, new Uint8Array(w * h).fill(value)));
      }),
    );
  });

  it('equals fitPixels where that takes the image: whole multiples, any channels without alpha', () => {
    const cases = fc
      .tuple(side, side, fc.integer({ min: 1, max: 6 }), fc.constantFrom<1 | 3>(1, 3))
      .chain(([width, height, factor, c]) =>
        fc.record({ image: images(width * factor, height * factor, c), factor: fc.constant(factor), to: channels }),
      );
    fc.assert(
      fc.property(cases, ({ image, factor, to }) => {
        const size = { width: image.width / factor, height: image.height / factor, channels: to };
        expect(coverPixels(image, size)).toEqual(fitPixels(image, size));
      }),
    );
  });

  it('stays between the least and the greatest of what it is made of', () => {
    fc.assert(
      fc.property(anyImage, side, side, (image, width, height) => {
        const { data } = coverPixels(image, { width, height, channels: 1 });
        const values = fitPixels(image, { ...image, channels: 1 }).data;
        expect(Math.min(...data)).toBeGreaterThanOrEqual(Math.min(...values));
        expect(Math.max(...data)).toBeLessThanOrEqual(Math.max(...values));
      }),
    );
  });

  it('cuts evenly on both sides what stands out, and copies pixels that need no scaling', () => {
    const wide = grey(6, 2, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect([...coverPixels(wide, { width: 2, height: 2, channels: 1 }).data]).toEqual([2, 3, 8, 9]);
    expect([...coverPixels(wide, { width: 3, height: 2, channels: 1 }).data]).toEqual([1, 2, 3, 7, 8, 9]);
    const high = grey(2, 4, [0, 1, 2, 3, 4, 5, 6, 7]);
    expect([...coverPixels(high, { width: 2, height: 2, channels: 1 }).data]).toEqual([2, 3, 4, 5]);
  });

  it('cuts where the window says: every place of n + 1 for an equal part of 0..1, the ends at 0 and 1', () => {
    const wide = grey(6, 1, [0, 1, 2, 3, 4, 5]);
    const at = (x: number, width = 3) =>
      coverPixels(wide, { width, height: 1, channels: 1 }, undefined, [x, 0.5]).data[0];
    expect([0, 0.24, 0.26, 0.49, 0.51, 0.74, 0.76, 1].map((x) => at(x))).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
    const high = grey(1, 6, [0, 1, 2, 3, 4, 5]);
    const down = (y: number) => coverPixels(high, { width: 1, height: 3, channels: 1 }, undefined, [1, y]).data[0];
    expect([0, 0.5, 1].map(down)).toEqual([0, 1, 3]);
    for (let width = 1; width <= 6; width++) {
      const evenly = coverPixels(wide, { width, height: 1, channels: 1 }).data[0];
      expect(at(0.5, width)).toBe(evenly);
      expect(evenly).toBe(Math.floor((6 - width) / 2));
    }
  });

  it('cuts to any part of a pixel where it scales: the window slides over what stands out', () => {
    const ramp = grey(
      80,
      8,
      Uint8Array.from({ length: 640 }, (_, i) => 3 * (i % 80)),
    );
    // 20x2 after scaling, of which 2 are kept: the first of the new pixels covers 4 of the old ones
    for (const x of [0, 0.25, 0.5, 0.77, 1]) {
      const [first] = coverPixels(ramp, { width: 2, height: 2, channels: 1 }, undefined, [x, 0]).data;
      expect(Math.abs(first - 3 * (72 * x + 1.5))).toBeLessThanOrEqual(0.5 + 1e-9);
    }
  });

  it('shrinks to means over areas: 3 pixels to 2 are 2/3 of one and 1/3 of the next', () => {
    const image = grey(3, 3, [0, 90, 30, 0, 90, 30, 0, 90, 30]);
    expect([...coverPixels(image, { width: 2, height: 2, channels: 1 }).data]).toEqual([30, 50, 30, 50]);
    // 4x2 to 1x1: the middle two columns
    expect([
      ...coverPixels(grey(4, 2, [9, 10, 20, 9, 9, 30, 40, 9]), { width: 1, height: 1, channels: 1 }).data,
    ]).toEqual([25]);
  });

  it('enlarges between the centres of pixels: 0, 100 doubled is 0, 25, 75, 100', () => {
    const { data } = coverPixels(grey(2, 1, [0, 100]), { width: 4, height: 2, channels: 1 });
    expect([...data]).toEqual([0, 25, 75, 100, 0, 25, 75, 100]);
  });

  it('lays what is transparent on the background first, and with alpha weighs colours by it', () => {
    const image: Pixels = { data: Uint8Array.of(200, 0, 0, 255, 0, 0, 90, 0), width: 2, height: 1, channels: 4 };
    const dot = { width: 1, height: 1 } as const;
    const square: Pixels = { ...image, data: Uint8Array.of(...image.data, ...image.data), height: 2 };
    expect([...coverPixels(square, { ...dot, channels: 3 }).data]).toEqual([228, 128, 128]);
    expect([...coverPixels(square, { ...dot, channels: 3 }, [0, 0, 10]).data]).toEqual([100, 0, 5]);
    expect([...coverPixels(square, { ...dot, channels: 4 }).data]).toEqual([200, 0, 0, 128]);
    const clear = { ...square, data: new Uint8Array(16) };
    expect([...coverPixels(clear, { ...dot, channels: 4 }).data]).toEqual([0, 0, 0, 0]);
  });

  it('refuses what is no image by naming it', () => {
    const short = { data: new Uint8Array(3), width: 2, height: 2, channels: 1 } as const;
    expect(() => coverPixels(short, { width: 1, height: 1, channels: 1 })).toThrow(
      '"image.data" expected 4 bytes, got 3',
    );
  });
});

import { existsSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { idxImages, readIdx } from '../../bench/quality/idx.ts';

function idx(shape: readonly number[], data: Uint8Array): Uint8Array {
  const header = new DataView(new ArrayBuffer(4 + 4 * shape.length));
  header.setUint32(0, 0x800 + shape.length);
  for (const [axis, n] of shape.entries()) header.setUint32(4 + 4 * axis, n);
  return Buffer.concat([new Uint8Array(header.buffer), data]);
}

describe('readIdx', () => {
  it('reads back what was written, of any shape', () => {
    const arrays = fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 4 }).chain((shape) => {
      const length = shape.reduce((a, b) => a * b, 1);
      return fc.tuple(fc.constant(shape), fc.uint8Array({ minLength: length, maxLength: length }));
    });
    fc.assert(
      fc.property(arrays, ([shape, data]) => {
        const read = readIdx(gzipSync(idx(shape, data)));
        expect(read.shape).toEqual(shape);
        expect([...read.data]).toEqual([...data]);
      }),
    );
  });

  it('refuses any other bytes with a RangeError', () => {
    const whole = idx([2, 3], new Uint8Array(6));
    const cut = fc.integer({ min: 0, max: whole.length - 1 }).map((length) => gzipSync(whole.subarray(0, length)));
    const noise = fc.uint8Array({ maxLength: 40 });
    const packedNoise = noise.filter((bytes) => bytes[2] !== 8).map((bytes) => gzipSync(bytes));
    fc.assert(
      fc.property(fc.oneof(cut, noise, packedNoise), (bytes) => {
        expect(() => readIdx(bytes)).toThrow(RangeError);
      }),
    );
  });

  it.each([
    ['another type of elements', Uint8Array.of(0, 0, 0x0d, 1, 0, 0, 0, 0), 'an idx file of bytes'],
    ['a length that would not fit', idx([2 ** 31, 2 ** 31], new Uint8Array(6)), 'bytes for shape'],
    ['bytes too many', idx([2], new Uint8Array(3)), 'expected 2 bytes for shape [2], got 3'],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => readIdx(gzipSync(bytes))).toThrow(message);
  });

  it('gives images by number, and refuses those that are not there', () => {
    const array = readIdx(gzipSync(idx([3, 1, 2], Uint8Array.of(1, 2, 3, 4, 5, 6))));
    expect(idxImages(array, 1, 3)).toEqual([
      { data: Uint8Array.of(3, 4), width: 2, height: 1, channels: 1 },
      { data: Uint8Array.of(5, 6), width: 2, height: 1, channels: 1 },
    ]);
    expect(() => idxImages(array, 1, 4)).toThrow('"end" expected at most 3 images, got 4');
  });
});

const testImages = '../shared/data/fashion-mnist/t10k-images-idx3-ubyte.gz';

describe.skipIf(!existsSync(testImages))('the test images', () => {
  it('are 10,000 of 28x28, 0.287 bright on average within 0.001', () => {
    const { shape, data } = readIdx(readFileSync(testImages));
    expect(shape).toEqual([10_000, 28, 28]);
    expect(data.reduce((sum, value) => sum + value, 0) / data.length / 255).toBeCloseTo(0.287, 3);
  });
});

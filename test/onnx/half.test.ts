import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeHalf, encodeHalf, floatToHalf, halfToFloat } from '../../src/onnx/half.ts';

const isNaNBits = (bits: number) => (bits & 0x7fff) > 0x7c00;
const finite = Array.from({ length: 0x7c00 }, (_, bits) => bits);

test('halfToFloat gives the values that IEEE 754 lists', () => {
  expect([0x0000, 0x0001, 0x03ff, 0x0400, 0x3555, 0x3c00, 0x7bff, 0x7c00, 0xc000].map(halfToFloat)).toEqual([
    0,
    2 ** -24,
    1023 * 2 ** -24,
    2 ** -14,
    0.333251953125,
    1,
    65504,
    Infinity,
    -2,
  ]);
  expect(halfToFloat(0x8000)).toBe(-0);
  expect(halfToFloat(0x7c01)).toBeNaN();
});

test('floatToHalf(halfToFloat(h)) = h for all 65536 halfs, NaNs becoming 0x7e00', () => {
  for (let bits = 0; bits < 65536; bits++) {
    const back = floatToHalf(halfToFloat(bits));
    if (back !== (isNaNBits(bits) ? 0x7e00 : bits)) expect.fail(`${bits} came back as ${back}`);
  }
});

test('the midpoint of every two neighbouring halfs rounds to the even one, and what lies beside it to the nearer', () => {
  for (const bits of finite) {
    const upper = bits + 1 === 0x7c00 ? 65536 : halfToFloat(bits + 1);
    const midpoint = (halfToFloat(bits) + upper) / 2;
    const even = bits % 2 ? bits + 1 : bits;
    const beside = midpoint * 2 ** -52;
    const rounded = [midpoint - beside, midpoint, midpoint + beside].flatMap((x) => [floatToHalf(x), floatToHalf(-x)]);
    const expected = [bits, even, bits + 1].flatMap((half) => [half, 0x8000 | half]);
    if (rounded.join() !== expected.join()) expect.fail(`around ${midpoint}: ${rounded}, not ${expected}`);
  }
});

test('a float64 rounds once: no other half is nearer to it than the one it gets', () => {
  fc.assert(
    fc.property(fc.double({ min: -70000, max: 70000, noNaN: true }), (value) => {
      const bits = floatToHalf(value);
      if (halfToFloat(bits) === Math.sign(value) * Infinity) return Math.abs(value) >= 65520;
      const error = Math.abs(halfToFloat(bits) - value);
      const neighbours = [bits - 1, bits + 1].filter((n) => n >= 0 && (n & 0x7fff) < 0x7c00);
      return neighbours.every((n) => Math.abs(halfToFloat(n) - value) >= error);
    }),
    { numRuns: 2000 },
  );
});

test('encodeHalf and decodeHalf do to arrays what floatToHalf and halfToFloat do to numbers', () => {
  fc.assert(
    fc.property(fc.float32Array({ maxLength: 50 }), (values) => {
      const halfs = encodeHalf(values);
      expect([...halfs]).toEqual(Array.from(values, floatToHalf));
      expect([...decodeHalf(halfs)]).toEqual(Array.from(halfs, halfToFloat));
    }),
  );
  expect([...encodeHalf(Float32Array.of(65519.99, 65520, -1e30, NaN, 1e-30))]).toEqual([
    0x7bff, 0x7c00, 0xfc00, 0x7e00, 0,
  ]);
});

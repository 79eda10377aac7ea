import { encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeMsgpack, encodeMsgpack } from '../../src/core/msgpack.ts';

const scalar = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.integer(),
  fc.maxSafeInteger().filter((n) => !Object.is(n, -0)),
  fc.double().filter((n) => !Object.is(n, -0)),
  fc.string({ unit: 'grapheme' }),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
);
const { value } = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 6 }, scalar, tie('list'), tie('map')),
  list: fc.array(tie('value'), { maxLength: 20 }),
  map: fc.dictionary(
    fc.string({ unit: 'grapheme' }).filter((key) => key !== '__proto__'),
    tie('value'),
    { noNullPrototype: true },
  ),
}));

describe('MessagePack', () => {
  it('reads what it wrote, and writes that to the same bytes', () => {
    fc.assert(
      fc.property(value, (written) => {
        const bytes = encodeMsgpack(written);
        const read = decodeMsgpack(bytes);
        expect(read).toEqual(written);
        expect(encodeMsgpack(read)).toEqual(bytes);
      }),
    );
  });

  it('reads what others wrote: every length of text, binary, lists and maps', () => {
    for (const n of [0, 1, 15, 16, 31, 32, 255, 256, 65_535, 65_536]) {
      const map = Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, i]));
      const all = [new Uint8Array(n).fill(7), 'x'.repeat(n), Array(n).fill(1), map];
      expect(decodeMsgpack(encode(all))).toEqual(all);
    }
  });

  it('gives equal bytes for maps in another order, and leaves out what is undefined', () => {
    expect(encodeMsgpack({ b: 1, a: 2, c: undefined })).toEqual(encodeMsgpack({ a: 2, b: 1 }));
  });

  it('of any bytes gives a value or an error of one line', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodeMsgpack(bytes);
        } catch (error) {
          expect((error as Error).message).toMatch(/^[^\n]+$/);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['nothing', []],
    ['a list of 2^32 - 1 items', [0xdd, 255, 255, 255, 255, 0]],
    ['a map of 2^32 - 1 items', [0xdf, 255, 255, 255, 255, 0]],
    ['lists of 30 million in each other', Array(30).fill([0xdd, 1, 0xc9, 0xc3, 0x80]).flat()],
    ['lists that together hold more than there is', [0x9f, 0x9f, ...Array(20).fill(1)]],
    ['text longer than the file', [0xdb, 0, 0, 1, 0, 65]],
    ['binary longer than the file', [0xc6, 255, 255, 255, 255, 1]],
    ['a length that is cut', [0xdd, 0, 0]],
    ['a number that is cut', [0xcb, 1, 2]],
  ])('refuses %s before anything is made of it', (_, bytes) => {
    expect(() => decodeMsgpack(Uint8Array.from(bytes))).toThrow(
      /^expected at least \d+ bytes, got \d+$|^expected \d+ bytes/,
    );
  });

  it('refuses nesting without end, extension types, and bytes that are left over', () => {
    expect(() => decodeMsgpack(new Uint8Array(1e6).fill(0x91))).toThrow('lists and maps at most 32 deep');
    expect(() => decodeMsgpack(encode(new Date(0)))).toThrow('expected no extension types, got type byte 214');
    expect(() => decodeMsgpack(Uint8Array.of(1, 2))).toThrow('expected 1 bytes, got 2');
    expect(() => decodeMsgpack(Uint8Array.of(0xc1))).toThrow('no extension types');
  });
});

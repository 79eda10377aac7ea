import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { naturalOrder } from '../../src/data/naturalOrder.ts';

describe('naturalOrder', () => {
  it('counts numbers, and goes folder by folder', () => {
    const sorted = [
      '2.png',
      '10.png',
      'A/b',
      'a',
      'a/1',
      'a/02',
      'a/2',
      'a/10',
      'a-b/1',
      'img2b',
      'img10a',
      'ä',
      '日本',
    ];
    expect([...sorted].reverse().sort(naturalOrder)).toEqual(sorted);
  });

  it('is a total order of any names, equal only where they are', () => {
    const name = fc.string({ unit: fc.constantFrom('a', 'B', '0', '1', '9', '/', '-', 'é'), maxLength: 8 });
    fc.assert(
      fc.property(name, name, name, (a, b, c) => {
        expect(Math.sign(naturalOrder(a, b))).toBe(-Math.sign(naturalOrder(b, a)) + 0);
        expect(naturalOrder(a, b) === 0).toBe(a === b);
        if (naturalOrder(a, b) < 0 && naturalOrder(b, c) < 0) expect(naturalOrder(a, c)).toBeLessThan(0);
      }),
      { numRuns: 2000 },
    );
  });
});

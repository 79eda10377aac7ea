import { describe, expect, it } from 'vitest';
import { createEngine, randn } from '../../src/index.ts';
import { maxDifference } from '../support/goldens.ts';

const engine = await createEngine();

describe('randn with torch’s stream', () => {
  it.each([
    [0, [-1.1258398, -1.1523602, -0.25057858, -0.4338788, 0.8487104, 0.69200915, -0.31601277, -2.1152194]],
    [42, [1.9269153, 1.4872841, 0.9007172, -2.105521]],
  ])('seed %i starts as torch.randn does, within 1e-6', (seed, expected) => {
    const { data } = randn(engine, [4, 16], { seed, rng: 'torch' });
    expect(maxDifference(data.subarray(0, expected.length), expected)).toBeLessThan(1e-6);
  });

  it('takes the seed modulo 2^32, as torch does', () => {
    const [a, b] = [5, 2n ** 32n + 5n].map((seed) => randn(engine, [100], { seed, rng: 'torch' }).data);
    expect(a).toEqual(b);
  });
});

describe('randn with philox', () => {
  it('gives image k the same numbers in a batch of any size', () => {
    const all = randn(engine, [9, 3, 5], { seed: 4 }).data;
    for (const count of [1, 2, 8])
      expect(randn(engine, [count, 3, 5], { seed: 4 }).data).toEqual(all.slice(0, count * 15));
  });

  it('has no state: the same again, and other numbers for other seeds, high words included', () => {
    const draw = (seed: number | bigint) => randn(engine, [1000], { seed }).data;
    expect(draw(9)).toEqual(draw(9n));
    expect(maxDifference(draw(9), draw(2n ** 32n + 9n))).toBeGreaterThan(0.1);
  });
});

describe('arguments are checked by name', () => {
  it.each([
    [[-1], { seed: 0 }, '"shape"'],
    [[2 ** 31], { seed: 0 }, '"shape"'],
    [[4], { seed: 0.5 }, '"seed" expected an integer'],
    [[4], { seed: 2n ** 64n }, '"seed" expected an integer in 0..2^64-1, got 18446744073709551616n'],
    [[4], { seed: 1, rng: 'mersenne' }, '"rng" expected one of philox, torch, got "mersenne"'],
    [[4], undefined, '"seed"'],
  ])('%j %o', (shape, options, message) => {
    expect(() => randn(engine, shape, options as { seed: number })).toThrow(message);
  });
});

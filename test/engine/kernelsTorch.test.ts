import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { allocate, floats, kernels } from './raw.ts';
import { differences } from './stepReference.ts';

const engine = kernels();
const state = allocate(engine, engine.torchStateBytes());
const out = allocate(engine, 4 * 100_000);

function words(seed: number, count: number): Uint32Array {
  engine.torchSeed(state, seed);
  engine.torchWords(state, out, count);
  return new Uint32Array(engine.memory.buffer, out, count).slice();
}

function randn(count: number): Float32Array {
  engine.torchNormals(state, out, count);
  return floats(engine, out, count);
}

function seeded(seed: number, count: number): Float32Array {
  engine.torchSeed(state, seed);
  return randn(count);
}

function largestDifference(actual: Float32Array, expected: ArrayLike<number>): number {
  return Array.from(expected).reduce((most, value, i) => Math.max(most, Math.abs(value - actual[i])), 0);
}

describe('MT19937', () => {
  it('gives the published words for seed 5489: the first and the 10000th', () => {
    const stream = words(5489, 10_000);
    expect(stream[0]).toBe(3499211612);
    expect(stream[9999]).toBe(4123659995);
  });

  it.each([
    [0, [2357136044, 2546248239, 3071714933, 3626093760, 2588848963]],
    [42, [1608637542, 3421126067, 4083286876, 787846414, 3143890026]],
    [4294967295, [419326371, 479346978, 3918654476, 2416749639, 3388880820]],
  ])('gives the words of numpy.random.RandomState(%i)', (seed, expected) => {
    expect([...words(seed, 5)]).toEqual(expected);
  });
});

describe('torchNormals equals torch.randn within 1e-6', () => {
  it.each([
    [0, [-1.1258398, -1.1523602, -0.25057858, -0.4338788, 0.8487104, 0.69200915, -0.31601277, -2.1152194]],
    [42, [1.9269153, 1.4872841, 0.9007172, -2.105521]],
  ])('seed %i, sixteen values', (seed, expected) => {
    expect(largestDifference(seeded(seed, 16), expected)).toBeLessThan(1e-6);
  });

  it.each([
    [0, [1.541, -0.2934, -2.1788]],
    [42, [0.3367, 0.1288, 0.2345]],
  ])('seed %i, three values, as printed to four places', (seed, expected) => {
    expect(largestDifference(seeded(seed, 3), expected)).toBeLessThan(5.1e-5);
  });

  it.each([2, 15, 16, 20_000])('%i values equal the formulas in float64 after one rounding, within 1 ulp', (count) => {
    const actual = seeded(5, count);
    const expected = count < 16 ? few(words(5, 2 * count + 2), count) : many(words(5, count));
    for (let i = 0; i < count; i++) {
      expect(Math.abs(actual[i] - expected[i])).toBeLessThanOrEqual(2 ** -23 * Math.abs(expected[i]));
    }
  });

  it('a second value waits for the next short call, past a long one and not past a new seed', () => {
    const pair = seeded(3, 2);
    expect(differences(seeded(3, 1), pair.slice(0, 1))).toEqual([]);
    randn(32);
    expect(randn(1)[0]).toBe(pair[1]);
    seeded(3, 1);
    expect(seeded(3, 1)[0]).toBe(pair[0]);
  });

  it('a rest of n mod 16 draws the last sixteen values again', () => {
    const whole = seeded(9, 32);
    const rest = seeded(9, 21);
    expect(differences(rest.slice(0, 5), whole.slice(0, 5))).toEqual([]);
    engine.torchSeed(state, 9);
    engine.torchWords(state, out, 21);
    expect(differences(rest.slice(5), randn(16))).toEqual([]);
  });

  const checkpoints = new URL('../../../shared/checkpoints/', import.meta.url);
  describe.skipIf(!existsSync(checkpoints))('tensor x of the checkpoints, seed 7', () => {
    const folders = existsSync(checkpoints) ? readdirSync(checkpoints) : [];
    it.each(folders.filter((name) => existsSync(new URL(`${name}/expected.safetensors`, checkpoints))))(
      '%s',
      (name) => {
        const expected = tensor(new URL(`${name}/expected.safetensors`, checkpoints), 'x');
        expect(expected.length).toBeGreaterThan(0);
        expect(largestDifference(seeded(7, expected.length), expected)).toBeLessThan(1e-6);
      },
    );
  });
});

// pairs from uniforms of 53 bits
function few(stream: Uint32Array, count: number): Float64Array {
  const uniform = (i: number) =>
    Number(((BigInt(stream[i]) << 32n) | BigInt(stream[i + 1])) & 0x1fffffffffffffn) * 2 ** -53;
  return Float64Array.from({ length: count }, (_, i) => {
    const [angle, radius] = [
      2 * Math.PI * uniform(4 * (i >> 1)),
      Math.sqrt(-2 * Math.log1p(-uniform(4 * (i >> 1) + 2))),
    ];
    return radius * (i % 2 === 0 ? Math.cos(angle) : Math.sin(angle));
  });
}

// blocks of sixteen from uniforms of 24 bits, the angle rounded to float32
function many(stream: Uint32Array): Float64Array {
  const f = Math.fround;
  const uniform = (i: number) => (stream[i] & 0xffffff) * 2 ** -24;
  return Float64Array.from({ length: stream.length }, (_, i) => {
    const at = i - (i % 16) + (i % 8);
    const [radius, angle] = [Math.sqrt(-2 * Math.log(1 - uniform(at))), f(f(2 * Math.PI) * uniform(at + 8))];
    return radius * (i % 16 < 8 ? Math.cos(angle) : Math.sin(angle));
  });
}

function tensor(file: URL, name: string): Float32Array {
  const bytes = readFileSync(file);
  const data = 8 + Number(bytes.readBigUInt64LE(0));
  const [begin, end] = JSON.parse(bytes.toString('utf8', 8, data))[name].data_offsets;
  return new Float32Array(new Uint8Array(bytes.subarray(data + begin, data + end)).buffer);
}

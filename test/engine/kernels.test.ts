import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allocate, floats, kernels, place } from './raw.ts';
import { differences } from './stepReference.ts';

const engine = kernels();

describe('alloc', () => {
  it('gives 16-byte boundaries, one after another, and grows the memory', () => {
    const fresh = kernels();
    const sizes = [1, 16, 17, 0, 65536, 5_000_000];
    const pointers = sizes.map((bytes) => allocate(fresh, bytes));
    for (let i = 0; i < sizes.length; i++) {
      expect(pointers[i] % 16).toBe(0);
      if (i > 0) expect(pointers[i]).toBeGreaterThanOrEqual(pointers[i - 1] + sizes[i - 1]);
    }
    expect(fresh.memory.buffer.byteLength).toBeGreaterThanOrEqual(pointers[5] + sizes[5]);
  });

  it.each([-1, NaN, Infinity, 2 ** 32, 2 ** 32 + 16, 2 ** 53, 2 ** 32 - 1])(
    'refuses %d bytes and stays usable',
    (bytes) => {
      const fresh = kernels();
      const before = fresh.mark();
      expect(fresh.alloc(bytes)).toBe(0);
      expect(fresh.mark()).toBe(before);
      expect(allocate(fresh, 16)).toBe(before);
    },
  );

  it('gives back what was allocated since a mark', () => {
    const fresh = kernels();
    const mark = fresh.mark();
    const first = allocate(fresh, 100);
    fresh.reset(mark);
    expect(allocate(fresh, 100)).toBe(first);
  });
});

describe('mix', () => {
  it('out = cx*x + cy*y an image, coefficients cast once, bit for bit', () => {
    const f = Math.fround;
    for (const pixels of [1, 3, 4, 7, 64, 785]) {
      const x = Float32Array.from({ length: 3 * pixels }, (_, i) => Math.sin(i));
      const y = Float32Array.from({ length: 3 * pixels }, (_, i) => Math.cos(3 * i));
      const coefficients = new Float64Array([0.1, 0.9, 1 / 3, -0.7, 0, 1]);
      const expected = x.map((value, i) => {
        const [cx, cy] = coefficients.subarray(2 * Math.floor(i / pixels)).map(f);
        return f(f(cx * value) + f(cy * y[i]));
      });
      const [xAt, yAt, coefficientsAt] = [place(engine, x), place(engine, y), place(engine, coefficients)];
      const out = allocate(engine, x.byteLength);
      engine.mix(out, xAt, yAt, coefficientsAt, 3, pixels);
      expect(differences(floats(engine, out, x.length), expected)).toEqual([]);
      engine.mix(xAt, xAt, yAt, coefficientsAt, 3, pixels);
      expect(differences(floats(engine, xAt, x.length), expected)).toEqual([]);
    }
  });
});

describe('finite', () => {
  it('finds a NaN or an infinity at any place of any length, and nothing else', () => {
    for (let count = 0; count < 23; count++) {
      const at = allocate(engine, 4 * 32);
      const values = new Float32Array(engine.memory.buffer, at, 32);
      values.fill(NaN).fill(-3.4e38, 0, count);
      expect(engine.finite(at, count)).toBe(1);
      for (let i = 0; i < count; i++) {
        for (const bad of [NaN, Infinity, -Infinity]) {
          values[i] = bad;
          expect(engine.finite(at, count)).toBe(0);
        }
        values[i] = 1e-45;
      }
    }
  });
});

describe('pixels', () => {
  it('toBytes rounds clamp(x/2 + 0.5, 0, 1) * 255 half to even in float32, interleaved', () => {
    const float = fc.oneof(
      fc.float({ min: -2, max: 2, noNaN: true }),
      fc.integer({ min: -260, max: 260 }).map((k) => k / 127.5),
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.array(float, { minLength: 1, maxLength: 40 }),
        (channels, values) => {
          const plane = Math.ceil(values.length / channels);
          const x = Float32Array.from({ length: channels * plane }, (_, i) => values[i % values.length]);
          const expected = Array.from(x, (_, i) => toByte(x[(i % channels) * plane + Math.floor(i / channels)]));
          expect(Array.from(bytesOf(x, channels, plane))).toEqual(expected);
        },
      ),
    );
  });

  it('NaN gives 0, infinities the ends', () => {
    expect([...bytesOf(new Float32Array([NaN, Infinity, -Infinity]), 1, 3)]).toEqual([0, 255, 0]);
  });

  it('fromBytes gives byte/127.5 - 1 in float32, and toBytes brings every byte back', () => {
    const bytes = Uint8Array.from({ length: 256 * 3 }, (_, i) => (i * 37) % 256);
    const mark = engine.mark();
    const out = allocate(engine, 4 * bytes.length);
    engine.fromBytes(out, place(engine, bytes), 3, 256);
    const x = floats(engine, out, bytes.length);
    engine.reset(mark);
    const expected = x.map((_, i) => Math.fround(Math.fround(bytes[3 * (i % 256) + Math.floor(i / 256)] / 127.5) - 1));
    expect(differences(x, expected)).toEqual([]);
    expect(bytesOf(x, 3, 256)).toEqual(bytes);
  });
});

function bytesOf(x: Float32Array, channels: number, plane: number): Uint8Array {
  const mark = engine.mark();
  const out = allocate(engine, x.length);
  engine.toBytes(out, place(engine, x), channels, plane);
  engine.reset(mark);
  return new Uint8Array(engine.memory.buffer, out, x.length).slice();
}

function toByte(x: number): number {
  const f = Math.fround;
  const scaled = f(Math.min(Math.max(f(f(x / 2) + 0.5), 0), 1) * 255);
  const floor = Math.floor(scaled);
  const fraction = scaled - floor;
  return fraction > 0.5 || (fraction === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

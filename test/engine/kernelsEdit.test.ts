import { describe, expect, it } from 'vitest';
import { floats, type Kernels, kernels, place } from './raw.ts';
import { differences } from './stepReference.ts';

interface EditKernels extends Kernels {
  blend(x: number, known: number, mask: number, count: number): void;
  redirect(model: number, x: number, start: number, a: number, b: number, count: number): void;
  dot(x: number, y: number, count: number, shift: number): number;
  variance(values: number, count: number): number;
}

const engine = kernels() as EditKernels;
const f = Math.fround;
const counts = [1, 2, 3, 4, 5, 7, 8, 63, 784, 1001];
const wave = (count: number, speed: number) => Float32Array.from({ length: count }, (_, i) => 3 * Math.sin(speed * i));

describe('blend', () => {
  it.each(counts)('is mask*known + (1 - mask)*x bit for bit, just one of both at 1 and 0: %i values', (count) => {
    const [x, known] = [wave(count, 1.7), wave(count, 0.3)];
    const mask = Float32Array.from({ length: count }, (_, i) => [0, 1, 0.25][i % 3]);
    const at = place(engine, x);
    engine.blend(at, place(engine, known), place(engine, mask), count);
    const expected = x.map((v, i) => f(f(mask[i] * known[i]) + f(f(1 - mask[i]) * v)));
    const result = floats(engine, at, count);
    expect(differences(result, expected)).toEqual([]);
    for (let i = 0; i < count; i++) if (mask[i] !== 0.25) expect(result[i]).toBe((mask[i] ? known : x)[i] + 0);
  });
});

describe('redirect', () => {
  const [a, b] = [12.5, -12.46];
  it.each(counts)('makes a*x + b*model the start within 3e-5, and touches nothing else: %i values', (count) => {
    const [model, x, start] = [wave(count + 4, 0.9), wave(count, 0.2), wave(count, 2.2)];
    const at = place(engine, model);
    engine.redirect(at, place(engine, x), place(engine, start), a, b, count);
    const changed = floats(engine, at, count + 4);
    for (let i = 0; i < count; i++) expect(Math.abs(a * x[i] + b * changed[i] - start[i])).toBeLessThan(3e-5);
    expect(changed.slice(count)).toEqual(model.slice(count));
  });

  it('leaves the model as it is, bit for bit, where the start is what it says already', () => {
    const [model, x] = [wave(1001, 0.9), wave(1001, 0.2)];
    const start = x.map((v, i) => f(f(f(a) * v) + f(f(b) * model[i])));
    const at = place(engine, model);
    engine.redirect(at, place(engine, x), place(engine, start), a, b, 1001);
    expect(floats(engine, at, 1001)).toEqual(model);
  });
});

describe('dot and variance', () => {
  it.each(counts)('are the float64 sums within 1e-12: %i values', (count) => {
    const [x, y] = [wave(count, 1.7), wave(count, 0.3)];
    const [xAt, yAt] = [place(engine, x), place(engine, y)];
    const shifted = x.reduce((sum, v, i) => sum + (v - 0.7) * (y[i] - 0.7), 0);
    expect(Math.abs(engine.dot(xAt, yAt, count, 0.7) - shifted)).toBeLessThan(1e-12 * count);
    const mean = x.reduce((sum, v) => sum + v, 0) / count;
    const variance = x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / count;
    expect(Math.abs(engine.variance(xAt, count) - variance)).toBeLessThan(1e-12);
  });

  it('keep a variance of 1 at a mean of 1000, which float32 sums would lose, within 1e-9', () => {
    const values = Float32Array.from({ length: 100_000 }, (_, i) => 1000 + (i % 2 ? 1 : -1));
    expect(Math.abs(engine.variance(place(engine, values), values.length) - 1)).toBeLessThan(1e-9);
  });
});

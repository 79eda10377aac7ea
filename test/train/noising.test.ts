import { describe, expect, it } from 'vitest';
import { createEngine } from '../../src/index.ts';
import { noised } from '../../src/train/noising.ts';

const engine = await createEngine();
const T = 1000;
const how = {
  ...{ seed: 7n, shape: [1, 4, 4] as [number, number, number], stepImages: 8, trainTimesteps: T },
  // the row of timestep t is [t, -t]
  ...{ coefficients: Float32Array.from({ length: 2 * T }, (_, i) => (i % 2 ? -(i >> 1) : i >> 1)), columns: 2 },
};
const bytes = (count: number) => Uint8Array.from({ length: 16 * count }, (_, i) => (i * 37) % 256);
const partOf = (step: number, slot: number, count: number) => ({ images: bytes(count), step, slot });

describe('the inputs of a training step', () => {
  it('hold the images in [-1, 1]: byte/127.5 - 1, within 1e-6', () => {
    const { images } = noised(engine, how, partOf(0, 0, 3));
    expect(images.shape).toEqual([3, 1, 4, 4]);
    for (const [i, byte] of bytes(3).entries()) expect(images.data[i]).toBeCloseTo(byte / 127.5 - 1, 6);
  });

  it('depend on the seed, the step and the image alone, however a step is cut', () => {
    const whole = noised(engine, how, partOf(5, 0, 8));
    for (const [slot, count] of [
      [0, 3],
      [3, 4],
      [7, 1],
    ]) {
      const part = noised(engine, how, partOf(5, slot, count));
      expect(part.noise.data).toEqual(whole.noise.data.slice(16 * slot, 16 * (slot + count)));
      expect(part.timestep.data).toEqual(whole.timestep.data.slice(slot, slot + count));
    }
    expect(noised(engine, how, partOf(6, 0, 8)).noise.data).not.toEqual(whole.noise.data);
    expect(noised(engine, { ...how, seed: 8n }, partOf(5, 0, 8)).noise.data).not.toEqual(whole.noise.data);
  });

  it('have one timestep in each stratum, evenly within it: mean 62 and deviation 36.1, within 3 standard errors', () => {
    const within: number[] = [];
    for (let step = 0; step < 200; step++)
      for (const [i, t] of noised(engine, how, partOf(step, 0, 8)).timestep.data.entries()) {
        expect(Math.floor(t / 125)).toBe(i);
        within.push(t % 125);
      }
    const n = within.length;
    const mean = within.reduce((sum, t) => sum + t, 0) / n;
    const deviation = Math.sqrt(within.reduce((sum, t) => sum + (t - mean) ** 2, 0) / n);
    const expected = Math.sqrt((125 ** 2 - 1) / 12);
    expect(Math.abs(mean - 62)).toBeLessThan((3 * expected) / Math.sqrt(n));
    // the fourth moment of an even distribution gives the deviation's own error
    expect(Math.abs(deviation - expected)).toBeLessThan((3 * expected * Math.sqrt(0.8 / 4)) / Math.sqrt(n));
  });

  it('have standard normal noise: mean 0 and variance 1, within 3 standard errors', () => {
    const values = Array.from({ length: 50 }, (_, step) => [
      ...noised(engine, how, partOf(step, 0, 8)).noise.data,
    ]).flat();
    const n = values.length;
    const mean = values.reduce((sum, z) => sum + z, 0) / n;
    expect(Math.abs(mean)).toBeLessThan(3 / Math.sqrt(n));
    const variance = values.reduce((sum, z) => sum + z * z, 0) / n;
    expect(Math.abs(variance - 1)).toBeLessThan(3 * Math.sqrt(2 / n));
  });

  it('have the coefficients of their timesteps and the labels as integers', () => {
    const labels = Int32Array.of(3, 0, 9);
    const { timestep, coefficients, classLabels } = noised(engine, how, { ...partOf(2, 5, 3), labels });
    expect([...coefficients.data]).toEqual([...timestep.data].flatMap((t) => [t, -t]));
    expect(classLabels!.data).toEqual(BigInt64Array.of(3n, 0n, 9n));
    expect(noised(engine, how, partOf(2, 5, 3)).classLabels).toBeUndefined();
  });
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ReferenceConfig } from './reference.ts';
import { learnedVariance, rms, squared, trainingStep } from './trainingStep.ts';

/** What torch's autograd gave in float64 for a network with `randomWeights(seed)`. */
interface Stored {
  readonly name: string;
  readonly config: ReferenceConfig;
  readonly loss: 'squared' | 'learnedVariance';
  readonly seed: number;
  readonly value: number;
  /** Of each parameter's gradient the root of the mean square, and up to five entries evenly apart. */
  readonly gradients: Record<string, number[]>;
}

const path = join(import.meta.dirname, '../data/torchGradients.json');
const networks: Stored[] = JSON.parse(readFileSync(path, 'utf8'));

describe.each(networks)('$name', ({ config, loss, seed, value, gradients }) => {
  test('loss and gradients equal torch’s within 1e-5 of their rms', async () => {
    const step = await trainingStep(config, loss === 'squared' ? squared : learnedVariance, seed);
    expect(Math.abs(step.loss / value - 1)).toBeLessThan(1e-5);
    expect([...step.gradients.keys()].sort()).toEqual(Object.keys(gradients).sort());
    const overall = rms(step.gradient);
    for (const [key, [size, ...entries]] of Object.entries(gradients)) {
      const own = step.gradients.get(key)!;
      // one that is zero but for rounding, as that of the keys' bias, has no rms of its own
      const scale = Math.max(size, 0.05 * overall);
      expect(Math.abs(rms(own) - size), key).toBeLessThan(1e-5 * scale);
      const stride = Math.ceil(own.length / 5);
      const picked = own.filter((_, i) => i % stride === 0);
      const errors = entries.map((v, i) => Math.abs(picked[i] - v) / scale);
      expect(errors, key).toHaveLength(picked.length);
      expect(Math.max(...errors), key).toBeLessThan(1e-5);
    }
  });
});

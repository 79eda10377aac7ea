import fc from 'fast-check';
import { expect, test } from 'vitest';
import { configs, note, options } from './configs.ts';
import { type ReferenceConfig, referenceUNet } from './reference.ts';
import { BATCH, type Loss, learnedVariance, rms, squared, trainingStep } from './trainingStep.ts';

// norms over a few numbers may divide by next to nothing, and float32 then has fewer digits
function hasWideNorms({ sample_size: [h, w], block_out_channels: channels, norm_num_groups: groups }: ReferenceConfig) {
  return channels.every((c, level) => ((c / groups) * h * w) / 4 ** level >= 8);
}

const seen = new Set<string>();

test('random networks and losses: gradients equal float64 differences within 1e-5 of their rms', async () => {
  await fc.assert(
    fc.asyncProperty(configs.filter(hasWideNorms), fc.integer({ min: 0, max: 2 ** 31 - 1 }), async (config, seed) => {
      note(config, seen);
      const loss = config.out_channels % 2 ? squared : learnedVariance;
      expect(await networkError(config, loss, seed)).toBeLessThan(1e-5);
    }),
    { numRuns: 20, seed: 3, endOnFailure: true },
  );
});

test('the random networks above have every option', () => {
  for (const option of options) expect(seen).toContain(option);
});

async function networkError(raw: ReferenceConfig, loss: Loss, seed: number): Promise<number> {
  const step = await trainingStep(raw, loss, seed);
  const { x, target, times, labels, shapes, weights, random } = step;
  const part = (values: Float32Array, n: number) =>
    values.subarray((n * values.length) / BATCH, ((n + 1) * values.length) / BATCH);
  const reference = (changed: string, values: ArrayLike<number>) => {
    const get = (key: string, shape: number[]) => (key === changed ? values : weights.get(key, shape));
    const losses = times.map((t, n) => loss.value(referenceUNet(raw, get, part(x, n), t, labels[n]), part(target, n)));
    return losses.reduce((a, b) => a + b) / BATCH;
  };
  const expected = reference('', []);
  const overall = rms(step.gradient);
  let worst = Math.abs(step.loss - expected) / Math.abs(expected);
  for (const [key, own] of step.gradients) {
    // Fourier frequencies are random and stay, and the reference rounds their angles
    if (key === 'time_proj.weight' && raw.time_embedding_type === 'fourier') continue;
    // the reference is slow: in every network some of the parameters
    if (Math.abs(random()) > 6 / shapes.size) continue;
    const values = weights.get(key, [...shapes.get(key)!]);
    const direction = Float64Array.from(values, random);
    const at = (step: number) =>
      reference(
        key,
        direction.map((d, i) => values[i] + step * d),
      );
    // small, so that hardly a relu changes sides
    const slope = (at(2e-7) - at(-2e-7)) / 4e-7;
    const along = direction.reduce((sum, d, i) => sum + d * own[i], 0);
    // a gradient that is zero but for rounding, as that of the keys' bias, has no rms of its own
    const scale = Math.max(rms(own), 0.1 * overall) * Math.hypot(...direction);
    worst = Math.max(worst, Math.abs(along - slope) / scale);
  }
  return worst;
}

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseUNetConfig } from '../../src/core/unetConfig.ts';
import { buildUNet } from '../../src/onnx/unet2d.ts';
import { configs, note, options } from './configs.ts';
import { referenceUNet } from './reference.ts';
import { distance, largest, predict, randomWeights, uniform } from './support.ts';

const seen = new Set<string>();

test('random configs: the graph equals a float64 restatement of UNet2DModel within 5e-6 of the largest output', async () => {
  await fc.assert(
    fc.asyncProperty(configs, fc.integer({ min: 0, max: 2 ** 31 - 1 }), async (config, seed) => {
      note(config, seen);
      const [h, w] = config.sample_size;
      const random = uniform(seed);
      const size = config.in_channels * h * w;
      const x = Float32Array.from({ length: 2 * size }, () => 2 * random());
      const [times, labels] = [
        [1, 39],
        [6, 2],
      ];
      const conditional = config.class_embed_type !== null || config.num_class_embeds !== null;

      const weights = randomWeights(seed);
      const expected = times.flatMap((t, i) => [
        ...referenceUNet(config, weights.get, x.subarray(i * size, (i + 1) * size), t, labels[i]),
      ]);
      const parsed = parseUNetConfig(JSON.parse(JSON.stringify(config)));
      const model = buildUNet(parsed.config, weights.tensors);
      expect(model.notes).toEqual([]);
      expect(model.conditional).toBe(conditional);
      const shape = [2, config.in_channels, h, w];
      const got = await predict(model.bytes, { data: x, shape }, times, conditional ? labels : null);
      expect(distance(got, expected)).toBeLessThan(5e-6 * largest(expected));
    }),
    { numRuns: 80, seed: 20240 },
  );
});

test('the random configs above reach every option', () => {
  for (const option of options) expect(seen).toContain(option);
});

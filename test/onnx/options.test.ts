import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DOWN_BLOCKS, parseUNetConfig, UP_BLOCKS } from '../../src/core/unetConfig.ts';
import { buildUNet } from '../../src/onnx/unet2d.ts';
import { type ReferenceConfig, referenceUNet } from './reference.ts';
import { distance, largest, predict, randomWeights, uniform } from './support.ts';

// tiny networks over everything that a config can say
const configs: fc.Arbitrary<ReferenceConfig> = fc
  .record({ levels: fc.integer({ min: 1, max: 3 }), groups: fc.constantFrom(1, 2, 3, 4, 5) })
  .chain(({ levels, groups }) => {
    const perLevel = <T>(item: fc.Arbitrary<T>) => fc.array(item, { minLength: levels, maxLength: levels });
    const side = fc.integer({ min: 1, max: 3 }).map((n) => n * 2 ** (levels - 1));
    const widths = fc.integer({ min: Math.ceil(5 / groups), max: Math.max(2, Math.ceil(9 / groups)) });
    return fc.record({
      sample_size: fc.tuple(side, side),
      in_channels: fc.integer({ min: 1, max: 4 }),
      out_channels: fc.integer({ min: 1, max: 6 }),
      center_input_sample: fc.boolean(),
      time_embedding_type: fc.constantFrom('positional', 'positional', 'fourier', 'learned'),
      time_embedding_dim: fc.constantFrom(null, 6, 17),
      freq_shift: fc.constantFrom(0, 1, 0.5),
      flip_sin_to_cos: fc.boolean(),
      down_block_types: perLevel(fc.constantFrom<string>(...DOWN_BLOCKS)),
      mid_block_type: fc.constantFrom('UNetMidBlock2D', 'UNetMidBlock2D', null),
      up_block_types: perLevel(fc.constantFrom<string>(...UP_BLOCKS)),
      block_out_channels: perLevel(widths.map((n) => n * groups)),
      layers_per_block: fc.constantFrom(1, 2),
      mid_block_scale_factor: fc.constantFrom(1, Math.SQRT2, 0.7),
      downsample_padding: fc.constantFrom(0, 1),
      downsample_type: fc.constantFrom('conv', 'resnet'),
      upsample_type: fc.constantFrom('conv', 'resnet'),
      act_fn: fc.constantFrom('silu', 'swish', 'mish', 'gelu', 'relu'),
      attention_head_dim: fc.constantFrom(null, 1, 2, 3, 5),
      norm_num_groups: fc.constant(groups),
      attn_norm_num_groups: fc.constantFrom(null, 1, groups),
      norm_eps: fc.constantFrom(1e-5, 1e-6, 1e-3),
      resnet_time_scale_shift: fc.constantFrom('default', 'scale_shift'),
      add_attention: fc.boolean(),
      class_embed_type: fc.constantFrom(null, null, 'timestep'),
      num_class_embeds: fc.constantFrom(null, 7),
      num_train_timesteps: fc.constant(40),
    });
  });

const seen = new Set<string>();

test('random configs: the graph equals a float64 restatement of UNet2DModel within 5e-6 of the largest output', async () => {
  await fc.assert(
    fc.asyncProperty(configs, fc.integer({ min: 0, max: 2 ** 31 - 1 }), async (config, seed) => {
      for (const [key, value] of Object.entries(config)) {
        for (const item of Array.isArray(value) ? value : [value]) seen.add(`${key}=${item}`);
      }
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
  const options = {
    down_block_types: DOWN_BLOCKS,
    up_block_types: UP_BLOCKS,
    time_embedding_type: ['positional', 'fourier', 'learned'],
    act_fn: ['silu', 'swish', 'mish', 'gelu', 'relu'],
    attention_head_dim: ['null', '1', '2', '3', '5'],
    class_embed_type: ['null', 'timestep'],
    mid_block_type: ['null', 'UNetMidBlock2D'],
    resnet_time_scale_shift: ['default', 'scale_shift'],
  };
  for (const [key, values] of Object.entries(options)) {
    for (const value of values) expect(seen).toContain(`${key}=${value}`);
  }
});

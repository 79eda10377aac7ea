import fc from 'fast-check';
import { DOWN_BLOCKS, UP_BLOCKS } from '../../src/core/unetConfig.ts';
import type { ReferenceConfig } from './reference.ts';

/** Tiny networks over everything that a config can say. */
export const configs: fc.Arbitrary<ReferenceConfig> = fc
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

/** Adds what a config says to a set of `key=value`. */
export function note(config: ReferenceConfig, seen: Set<string>): void {
  for (const [key, value] of Object.entries(config)) {
    for (const item of Array.isArray(value) ? value : [value]) seen.add(`${key}=${item}`);
  }
}

/** What random configs ought to have said, as `note` writes it. */
export const options = Object.entries({
  down_block_types: DOWN_BLOCKS,
  up_block_types: UP_BLOCKS,
  time_embedding_type: ['positional', 'fourier', 'learned'],
  act_fn: ['silu', 'swish', 'mish', 'gelu', 'relu'],
  attention_head_dim: ['null', '1', '2', '3', '5'],
  class_embed_type: ['null', 'timestep'],
  mid_block_type: ['null', 'UNetMidBlock2D'],
  resnet_time_scale_shift: ['default', 'scale_shift'],
}).flatMap(([key, values]) => values.map((value) => `${key}=${value}`));

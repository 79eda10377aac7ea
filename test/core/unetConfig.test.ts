import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DdpmError } from '../../src/core/errors.ts';
import { parseUNetConfig } from '../../src/core/unetConfig.ts';

const parse = (keys: object) => parseUNetConfig({ _class_name: 'UNet2DModel', ...keys });

test('an empty config is the UNet2DModel of diffusers 0.40 without arguments', () => {
  expect(parse({})).toEqual({
    notes: [],
    config: {
      sampleSize: null,
      inChannels: 3,
      outChannels: 3,
      centerInputSample: false,
      timeEmbeddingType: 'positional',
      timeEmbeddingDim: 896,
      freqShift: 0,
      flipSinToCos: true,
      downBlockTypes: ['DownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D'],
      midBlockType: 'UNetMidBlock2D',
      upBlockTypes: ['AttnUpBlock2D', 'AttnUpBlock2D', 'AttnUpBlock2D', 'UpBlock2D'],
      blockOutChannels: [224, 448, 672, 896],
      layersPerBlock: 2,
      midBlockScaleFactor: 1,
      downsamplePadding: 1,
      downsampleType: 'conv',
      upsampleType: 'conv',
      actFn: 'silu',
      attentionHeadDim: 8,
      normNumGroups: 32,
      attnNormNumGroups: null,
      normEps: 1e-5,
      resnetTimeScaleShift: 'default',
      addAttention: true,
      classEmbedType: null,
      numClassEmbeds: null,
      numTrainTimesteps: null,
    },
  });
});

test('null means none where diffusers allows it, and a size is one number or two', () => {
  expect(parse({ attention_head_dim: null, mid_block_type: null }).config).toMatchObject({
    attentionHeadDim: null,
    midBlockType: null,
  });
  expect(parse({ sample_size: 64 }).config.sampleSize).toEqual([64, 64]);
  expect(parse({ sample_size: [64, 32] }).config.sampleSize).toEqual([64, 32]);
  expect(parse({ time_embedding_dim: 0 }).config.timeEmbeddingDim).toBe(896);
});

test('the spellings of early versions are read', () => {
  const types = {
    down_block_types: ['UNetResDownBlock2D'],
    up_block_types: ['UNetResUpBlock2D'],
    block_out_channels: [32],
  };
  expect(parse({ ...types, act_fn: 'SiLU' }).config).toMatchObject({
    downBlockTypes: ['DownBlock2D'],
    upBlockTypes: ['UpBlock2D'],
    actFn: 'silu',
  });
});

test('unknown keys are ignored with a note, those of diffusers itself without', () => {
  const { notes } = parseUNetConfig(
    { _diffusers_version: '0.1', _use_default_values: [], colour: 1 },
    'unet/config.json',
  );
  expect(notes).toEqual([
    'unet/config.json: unknown key "colour" ignored',
    'unet/config.json: no "_class_name", taken for a UNet2DModel',
  ]);
});

describe('refused', () => {
  const skip = { down_block_types: ['SkipDownBlock2D'], up_block_types: ['UpBlock2D'], block_out_channels: [32] };
  const one = { ...skip, down_block_types: ['DownBlock2D'] };
  const cases: [object, string][] = [
    [{ _class_name: 'UNet2DConditionModel' }, '"_class_name" expected "UNet2DModel", got "UNet2DConditionModel"'],
    [
      skip,
      '"down_block_types.0" expected one of DownBlock2D, AttnDownBlock2D, ResnetDownsampleBlock2D, got "SkipDownBlock2D"',
    ],
    [
      { up_block_types: ['KUpBlock2D'] },
      '"up_block_types.0" expected one of UpBlock2D, AttnUpBlock2D, ResnetUpsampleBlock2D',
    ],
    [{ mid_block_type: 'UnCLIPUNetMidBlock2D' }, '"mid_block_type" expected "UNetMidBlock2D" or null'],
    [{ class_embed_type: 'identity' }, '"class_embed_type" expected "timestep" or null, got "identity"'],
    [{ time_embedding_type: 'adm' }, '"time_embedding_type" expected one of positional, fourier, learned, got "adm"'],
    [
      { resnet_time_scale_shift: 'spatial' },
      '"resnet_time_scale_shift" expected one of default, scale_shift, got "spatial"',
    ],
    [{ act_fn: 'tanh' }, '"act_fn" expected one of silu, swish, mish, gelu, relu, got "tanh"'],
    [{ downsample_type: 'fir' }, '"downsample_type" expected one of conv, resnet, got "fir"'],
    [{ downsample_padding: 2 }, '"downsample_padding" expected 0 or 1, got 2'],
    [{ in_channels: '3' }, '"in_channels" expected an integer in 1..16384, got "3"'],
    [{ in_channels: 1e9 }, '"in_channels" expected an integer in 1..16384, got 1000000000'],
    [{ layers_per_block: 0 }, '"layers_per_block" expected an integer in 1..64, got 0'],
    [{ block_out_channels: [] }, '"block_out_channels" expected a list of 1 to 12, got []'],
    [{ block_out_channels: Array(13).fill(32) }, '"block_out_channels" expected a list of 1 to 12, got an array of 13'],
    [{ block_out_channels: [32, 64.5] }, '"block_out_channels.1" expected an integer in 1..16384, got 64.5'],
    [{ block_out_channels: [32] }, '"down_block_types" expected 1 entry, as "block_out_channels" has, got 4'],
    [{ up_block_types: ['UpBlock2D'] }, '"up_block_types" expected 4 entries, as "block_out_channels" has, got 1'],
    [{ norm_num_groups: 64 }, '"block_out_channels.0" expected a multiple of "norm_num_groups" 64, got 224'],
    [{ norm_num_groups: null }, '"norm_num_groups" expected an integer in 1..16384, got null'],
    [{ attn_norm_num_groups: 5 }, `"attn_norm_num_groups" expected a divisor of the last block's 896 channels, got 5`],
    [
      { attention_head_dim: 449 },
      '"attention_head_dim" expected at most 448, the channels of an attending block, got 449',
    ],
    [{ mid_block_scale_factor: 0 }, '"mid_block_scale_factor" expected a number other than 0, got 0'],
    [{ norm_eps: -1 }, '"norm_eps" expected a number in 0..1, got -1'],
    [{ norm_eps: null }, '"norm_eps" expected a number, got null'],
    [{ sample_size: 28 }, '"sample_size" expected multiples of 8, for 4 levels, got [28, 28]'],
    [{ sample_size: [32, 32, 32] }, '"sample_size" expected an integer in 1..16384 or two, height and width'],
    [{ sample_size: 0 }, '"sample_size" expected an integer in 1..16384, got 0'],
    [
      { time_embedding_type: 'learned' },
      '"num_train_timesteps" expected a number, for learned time embeddings, got null',
    ],
    [{ freq_shift: 112 }, `"freq_shift" expected a number under 112, half the first block's channels, got 112`],
    [{ ...one, num_class_embeds: 0 }, '"num_class_embeds" expected an integer in 1..16777216, got 0'],
  ];

  test.each(cases)('%j by name', (keys, message) => {
    const attempt = () => parse(keys);
    expect(attempt).toThrow(DdpmError);
    expect(attempt).toThrow(expect.objectContaining({ code: 'config-invalid' }));
    expect(attempt).toThrow(`config.json: ${message}`);
  });

  test.each([[null], [3], ['text'], [[]], [true]])('%j, which is no object', (json) => {
    expect(() => parseUNetConfig(json)).toThrow('config.json: the config expected a JSON object, got');
  });
});

test('lists nested a hundred thousand deep are refused like any other value', () => {
  const deep = JSON.parse('['.repeat(1e5) + ']'.repeat(1e5));
  expect(() => parse({ block_out_channels: deep })).toThrow('"block_out_channels.0" expected an integer');
  expect(() => parse({ sample_size: deep })).toThrow(DdpmError);
  expect(() => parseUNetConfig(deep)).toThrow(DdpmError);
});

test('any JSON is a config or a DdpmError of one line', () => {
  const keys = [
    'sample_size',
    'block_out_channels',
    'down_block_types',
    'norm_num_groups',
    'freq_shift',
    '__proto__',
    'x',
  ];
  const almost = fc.dictionary(fc.constantFrom(...keys), fc.jsonValue());
  fc.assert(
    fc.property(fc.oneof(almost, fc.jsonValue()), (json) => {
      try {
        const { config } = parseUNetConfig(json);
        expect(config.blockOutChannels.every((n) => n % config.normNumGroups === 0)).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(DdpmError);
        expect((error as Error).message).toMatch(/^config\.json: [^\n]+$/);
      }
    }),
    { numRuns: 1000 },
  );
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DdpmError } from '../../src/core/errors.ts';
import { unetParameters } from '../../src/onnx/unet2d.ts';
import { defaultsFor, parseTrainingConfig } from '../../src/train/config.ts';
import { matches } from '../../src/train/patterns.ts';

const clothes = { channels: 1, height: 28, width: 28, classes: 10, count: 60_000 };
const parse = (json: unknown, data: Parameters<typeof defaultsFor>[0] | undefined = clothes) =>
  parseTrainingConfig(json, { data, file: 'train.json' });

describe('defaults', () => {
  it('for 28x28 grey images in ten classes are a network of 1.8 million parameters with eleven labels', () => {
    const { network, config, notes } = parse({});
    expect(network).toMatchObject({ blockOutChannels: [32, 64, 96], layersPerBlock: 1, sampleSize: [28, 28] });
    expect(network).toMatchObject({ numClassEmbeds: 11, normNumGroups: 8, attentionHeadDim: 32 });
    expect(network.downBlockTypes).toEqual(['DownBlock2D', 'DownBlock2D', 'AttnDownBlock2D']);
    const sizes = [...unetParameters(network).values()].map((shape) => shape.reduce((a, b) => a * b, 1));
    expect(sizes.reduce((a, b) => a + b)).toBe(1_806_529);
    expect(config).toMatchObject({ batch: 64, steps: 10_000, minutes: null, classDropout: 0.1, seed: 0 });
    expect(config.optimizer).toEqual({
      ...{ learningRate: 1.5e-3, warmupSteps: 150, finalFraction: 0.02, clip: 1 },
      ...{ betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0 },
    });
    expect(config.ema).toEqual({ decay: 0.999, ramp: true });
    expect(notes).toEqual([]);
  });

  it.each([
    [[32, 32], 32, 3],
    [[16, 16], 16, 2],
    [[8, 8], 8, 2],
    [[7, 7], 7, 1],
    [[16, 24], [16, 24], 2],
    [[64, 64], 64, 4],
    [[27, 27], 28, 3],
    [[100, 80], [80, 64], 4],
    [[512, 512], 64, 4],
  ])(
    'for images of %j are a sample size of %j with %i levels, the last of 7 to 16 pixels',
    ([height, width], size, levels) => {
      const { network, config, notes } = parse({}, { channels: 3, height, width });
      expect(config.model.sample_size).toEqual(size);
      expect(network.blockOutChannels.length).toBe(levels);
      const last = Math.min(...network.sampleSize!) / 2 ** (levels - 1);
      expect([Number.isInteger(last), last >= 4 && last <= 16]).toEqual([true, true]);
      expect(network.downBlockTypes[levels - 1]).toBe('AttnDownBlock2D');
      const scaled = network.sampleSize![0] !== height;
      expect(notes.some((note) => /^images of \d+x\d+ are scaled to \d+x\d+$/.test(note))).toBe(scaled);
    },
  );

  it('are a config of their own: complete, plain JSON, and the same when read again, with the data or without', () => {
    const configs = [
      defaultsFor(clothes),
      defaultsFor({ channels: 4, height: 20, width: 40, count: 50 }),
      parse({ loss: { variance: 'learned', weighting: 'p2' }, ema: null, minutes: 5, from: 'x', lora: { rank: 2 } })
        .config,
      parse({ model: { num_class_embeds: null }, schedule: { _class_name: 'DDIMScheduler' }, samples: null }).config,
    ];
    for (const config of configs) {
      const stored = JSON.parse(JSON.stringify(config));
      expect(stored).toEqual(config);
      expect(parseTrainingConfig(stored).config).toEqual(config);
      expect(JSON.stringify(config)).not.toContain('undefined');
    }
    expect(parse(defaultsFor(clothes)).config).toEqual(defaultsFor(clothes));
  });

  it('follow what is given', () => {
    expect(parse({ minutes: 3 }).config).toMatchObject({ steps: null, minutes: 3 });
    expect(parse({ steps: 40 }).config.optimizer.warmupSteps).toBe(4);
    expect(parse({ model: { block_out_channels: [48, 96, 96] } }).network).toMatchObject({
      normNumGroups: 8,
      attentionHeadDim: null,
    });
    expect(parse({ model: { block_out_channels: [256, 256] } }).config.optimizer.learningRate).toBe(2e-4);
    expect(parse({}, { ...clothes, count: 30 }).config).toMatchObject({ batch: 28, steps: 2000 });
    expect(parse({ loss: { weighting: 'p2' } }).config.loss.gamma).toBe(1);
    const alone = { model: { sample_size: 8, channels: 3, classes: 3 } };
    expect(parseTrainingConfig(alone).network).toMatchObject({ numClassEmbeds: 4, inChannels: 3, sampleSize: [8, 8] });
    expect(parse({ from: 'fashion', lora: { rank: 8 } }).config).toMatchObject({
      lora: { alpha: 8 },
      optimizer: { learningRate: 1e-3 },
    });
  });

  it('spell out short forms in the keys of diffusers', () => {
    const { model } = parse({ model: { channels: 3, attention: [1, 2], classes: 14 }, classDropout: 0 }).config;
    expect(model).toMatchObject({ in_channels: 3, out_channels: 3, num_class_embeds: 14 });
    expect(model.down_block_types).toEqual(['DownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D']);
    expect(model.up_block_types).toEqual(['AttnUpBlock2D', 'AttnUpBlock2D', 'UpBlock2D']);
    const resnet = { model: { down_block_types: ['ResnetDownsampleBlock2D', 'AttnDownBlock2D'] } };
    expect(parse(resnet).network.upBlockTypes).toEqual(['AttnUpBlock2D', 'ResnetUpsampleBlock2D']);
  });

  it('give a learned variance its channels and its schedule', () => {
    const { network, scheduler, config } = parse({ loss: { variance: 'learned' } });
    expect([network.inChannels, network.outChannels, scheduler.varianceType]).toEqual([1, 2, 'learned_range']);
    expect(config.schedule.variance_type).toBe('learned_range');
    expect(parse({ schedule: { variance_type: 'learned_range' } }).config).toMatchObject({
      loss: { variance: 'learned' },
      model: { out_channels: 2 },
    });
  });
});

describe('a config that cannot work', () => {
  const zeroSnr = { schedule: { rescale_betas_zero_snr: true } };
  it.each<[string, unknown, string]>([
    ['a misspelt key', { bacth: 3 }, '"bacth" expected no such key: the config takes from, model, schedule, loss,'],
    [
      'one inside',
      { optimizer: { lr: 1 } },
      '"optimizer.lr" expected no such key: "optimizer" takes learningRate, warmupSteps,',
    ],
    ['one in what may be null', { lora: { r: 1 } }, '"lora.r" expected no such key: "lora" takes rank, alpha, targets'],
    ['a list', [], 'the config expected a JSON object, got []'],
    ['nothing', null, 'the config expected a JSON object, got null'],
    [
      'odd sizes',
      { model: { sample_size: 28, block_out_channels: [32, 64, 96, 96] } },
      '"model.sample_size" expected a multiple of 8 for 4 levels (level 2 has 7 pixels, which do not halve; 24 or 32, or 3 levels, would work), got 28',
    ],
    [
      'odd sizes of the data',
      { model: { block_out_channels: [32, 64, 96, 96] } },
      '"model.sample_size" expected a multiple of 8',
    ],
    [
      'one odd side',
      { model: { sample_size: [28, 27], block_out_channels: [8, 8] } },
      '(level 0 has 27 pixels, which do not halve; 26 or 28, or 1 level, would work), got [28, 27]',
    ],
    [
      'groups that do not divide',
      { model: { block_out_channels: [32, 48, 96], norm_num_groups: 32 } },
      '"model.block_out_channels.1" expected a multiple of "model.norm_num_groups" 32 (1, 2, 4, 8, 16 groups would work), got 48',
    ],
    [
      'heads wider than the channels',
      { model: { attention_head_dim: 128 } },
      'model: "attention_head_dim" expected at most 96',
    ],
    [
      'attention beyond the levels',
      { model: { attention: [3] } },
      '"model.attention" expected levels in 0..2, as "model.block_out_channels" has, got 3',
    ],
    [
      'a short form and its long one',
      { model: { channels: 1, in_channels: 1 } },
      '"model.channels" expected nothing, for "model.in_channels" is given',
    ],
    [
      'an unknown block',
      { model: { down_block_types: ['SkipDownBlock2D'] } },
      '"model.down_block_types.0" expected one of DownBlock2D, AttnDownBlock2D',
    ],
    [
      'outputs for another variance',
      { model: { out_channels: 1 }, loss: { variance: 'learned' } },
      '"model.out_channels" expected 2, for a learned variance, got 1',
    ],
    [
      'a variance that the schedule learns',
      { schedule: { variance_type: 'learned_range' }, loss: { variance: 'fixed' } },
      '"loss.variance" expected learned',
    ],
    [
      'a variance that is no range',
      { schedule: { variance_type: 'learned' } },
      '"schedule.variance_type" expected learned_range, the learned variance that can be trained, got "learned"',
    ],
    [
      'two predictions',
      { schedule: { prediction_type: 'sample' }, loss: { prediction: 'epsilon' } },
      '"loss.prediction" expected sample, as "schedule.prediction_type" says, got "epsilon"',
    ],
    ['noise from no image', zeroSnr, '"loss.prediction" expected sample or v_prediction'],
    [
      'an unknown schedule',
      { schedule: { beta_schedule: 'lineal' } },
      '"schedule.beta_schedule" expected one of linear, scaled_linear',
    ],
    [
      'betas that shrink',
      { schedule: { beta_start: 0.5 } },
      'schedule: "beta_start" and "beta_end" expected 0 < beta_start',
    ],
    [
      'an unknown scheduler',
      { schedule: { _class_name: 'X' } },
      '"schedule._class_name" expected one of DDPMScheduler',
    ],
    ['two ends', { steps: 5, minutes: 5 }, '"minutes" expected nothing, for "steps" is given, got 5'],
    [
      'a warm-up past the end',
      { steps: 100, optimizer: { warmupSteps: 100 } },
      '"optimizer.warmupSteps" expected fewer than the 100 of "steps", got 100',
    ],
    [
      'a batch past the data',
      { batch: 60_000 },
      '"batch" expected at most the 57000 images that are not held out, got 60000',
    ],
    [
      'too few labels',
      { model: { num_class_embeds: 10 } },
      '"model.num_class_embeds" expected 11, for 10 classes and the label that means none, got 10',
    ],
    [
      'dropping classes that are none',
      { model: { num_class_embeds: null }, classDropout: 0.1 },
      '"classDropout" expected 0 for a network without classes, got 0.1',
    ],
    ['lora of nothing', { lora: {} }, '"from" expected a model for "lora" to change, got null'],
    [
      'lora of a full rank',
      { from: 'x', lora: { rank: 97 } },
      '"lora.rank" expected at most 96, the rank of down_blocks.2.attentions.0.to_q.weight, got 97',
    ],
    [
      'lora of unknown layers',
      { from: 'x', lora: { targets: ['*.to_x'] } },
      '"lora.targets.0" expected a pattern that some layer',
    ],
    [
      'lora of vectors',
      { from: 'x', lora: { targets: ['*.norm1'] } },
      '"lora.targets.0" expected a pattern that some layer',
    ],
    [
      'freezing nothing',
      { freeze: ['conv_in.*', 'down.*'] },
      '"freeze.1" expected a pattern that some parameter of the network has, got "down.*"',
    ],
    ['freezing all', { freeze: ['*'] }, '"freeze" expected patterns that leave a parameter to train'],
    ['another colour', { data: { background: 'red' } }, '"data.background" expected a colour \'#rrggbb\', got "red"'],
    ['half a step', { steps: 0.5 }, '"steps" expected an integer in 1..2147483647, got 0.5'],
    ['no workers', { workers: 0 }, '"workers" expected an integer in 1..1024 or "auto", got 0'],
    ['null for what cannot be left out', { checkpoints: null }, '"checkpoints" expected an object, got null'],
  ])('is refused by name: %s', (_, json, message) => {
    expect(() => parse(json)).toThrow(message);
    expect(() => parse(json)).toThrow(/^train\.json: [^\n]+$/);
    expect(() => parse(json)).toThrow(expect.objectContaining({ code: 'config-invalid' }));
  });

  it('is refused without data for what only the data could say', () => {
    expect(() => parseTrainingConfig({})).toThrow(
      'training config: "model.sample_size" expected the size of the images',
    );
    expect(() => parseTrainingConfig({ model: { sample_size: 8 } })).toThrow('"model.channels" expected the channels');
  });

  it('of any JSON is a config or a DdpmError of one line', () => {
    const keys = [
      'model',
      'schedule',
      'loss',
      'optimizer',
      'ema',
      'data',
      'steps',
      'freeze',
      'lora',
      'evaluation',
      'batch',
    ];
    const inner = [
      'sample_size',
      'block_out_channels',
      'norm_num_groups',
      'attention',
      'every',
      'rank',
      'betas',
      'gamma',
      'trained_betas',
    ];
    const value = fc.oneof(
      fc.jsonValue(),
      fc.integer({ min: -1, max: 100 }),
      fc.array(fc.integer({ min: 0, max: 64 }), { maxLength: 5 }),
    );
    const json = fc.oneof(
      fc.jsonValue(),
      fc.dictionary(fc.constantFrom(...keys), fc.oneof(value, fc.dictionary(fc.constantFrom(...inner), value))),
    );
    fc.assert(
      fc.property(json, (json) => {
        try {
          const { config } = parse(json);
          expect(parseTrainingConfig(config).config).toEqual(config);
        } catch (error) {
          expect(error).toBeInstanceOf(DdpmError);
          expect((error as Error).message).toMatch(/^train\.json: [^\n]+$/);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('a pattern', () => {
  it.each([
    ['a.b', 'a.b', true],
    ['a.b', 'a.c', false],
    ['down_blocks.0.conv1.weight', 'down_blocks.*', true],
    ['down_blocks.0.conv1.weight', '*.weight', true],
    ['down_blocks.0.conv1.weight', 'down*conv*weight', true],
    ['down_blocks.0.conv1.weight', 'down*conv2*', false],
    ['aba', 'ab*ba', false],
    ['abba', 'ab*ba', true],
    ['anything', '**', true],
    ['', '*', true],
  ])('%j against %j is %s', (name, pattern, expected) => {
    expect(matches(name, pattern)).toBe(expected);
  });

  it('means what the regular expression with .* for * means', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 12 });
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*'), maxLength: 8 });
    fc.assert(
      fc.property(text, pattern, (name, pattern) => {
        const expression = new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*')}$`);
        expect(matches(name, pattern)).toBe(expression.test(name));
      }),
      { numRuns: 2000 },
    );
  });
});

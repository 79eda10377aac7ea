import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseUNetConfig } from '../../src/core/unetConfig.ts';
import { createEngine, type Engine } from '../../src/engine/engine.ts';
import { convertFolder } from '../../src/onnx/convert.ts';
import { toFloat32, writeSafetensors } from '../../src/onnx/safetensors.ts';
import { type BaseModel, loadBase } from '../../src/train/base.ts';
import { parseTrainingConfig } from '../../src/train/config.ts';
import { writeDiffusersFolder } from '../../src/train/diffusers.ts';
import { initializeParameters } from '../../src/train/initialize.ts';
import { trainableOf } from '../../src/train/trainable.ts';
import { temporaryFolder } from '../support/cli.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});

const clothes = { channels: 1, height: 28, width: 28, classes: 10, count: 1000 };
const small = {
  ...{ sample_size: 8, in_channels: 1, out_channels: 1, block_out_channels: [8, 16], layers_per_block: 1 },
  ...{ norm_num_groups: 4, attention_head_dim: null, num_class_embeds: 3 },
  ...{ down_block_types: ['DownBlock2D', 'AttnDownBlock2D'], up_block_types: ['AttnUpBlock2D', 'UpBlock2D'] },
};

function folderOf(model: object = {}, scheduler: object = {}, labels?: BaseModel['labels']) {
  const { config } = parseUNetConfig({ ...small, ...model });
  const parameters = initializeParameters(engine, config, { seed: 1, zero: false });
  const files = writeDiffusersFolder({ config, scheduler, parameters, labels });
  const folder = temporaryFolder();
  for (const [name, bytes] of files) writeFileSync(path.join(folder, name), bytes);
  return { folder, files, parameters, config };
}

describe('the model that training starts from', () => {
  it('is the bundled one by name, with its schedule and labels, ready to train', async () => {
    const base = await loadBase('fashion');
    expect(base).toMatchObject({ from: 'fashion', notes: [], labels: { unconditional: 10 } });
    expect(base.config).toMatchObject({ blockOutChannels: [32, 64, 96], numClassEmbeds: 11 });
    const parsed = parseTrainingConfig({ from: 'fashion' }, { data: clothes, base });
    expect(parsed).toMatchObject({ network: base.config, scheduler: { betaSchedule: 'linear' }, notes: [] });
    expect(parsed.config).toMatchObject({ classDropout: 0.1, optimizer: { learningRate: 1e-4 } });
    expect(parsed.config.schedule).toEqual({ ...base.scheduler, _diffusers_version: undefined });
    const { initial } = trainableOf(engine, parsed, base.parameters);
    expect(initial.length).toBe(1_806_529);
  });

  it('is a diffusers folder or what was converted from it: the same parameters, those of float16 rounded', async () => {
    const { folder, files, parameters, config } = folderOf({}, { beta_schedule: 'squaredcos_cap_v2' });
    const found = [await loadBase(folder)];
    for (const dtype of ['fp32', 'fp16'] as const) {
      const { bytes } = await convertFolder(async (name) => files.get(name), { dtype });
      const converted = path.join(folder, dtype);
      mkdirSync(converted);
      for (const name of ['config.json', 'scheduler_config.json'])
        writeFileSync(path.join(converted, name), files.get(name)!);
      writeFileSync(path.join(converted, 'model.onnx'), bytes);
      found.push(await loadBase(converted));
    }
    for (const [i, base] of found.entries()) {
      expect(base.config).toEqual(config);
      expect(base.scheduler).toMatchObject({ beta_schedule: 'squaredcos_cap_v2' });
      expect([...base.parameters.keys()]).toEqual([...parameters.keys()]);
      for (const [name, { data }] of parameters) {
        const read = toFloat32(base.parameters.get(name)!);
        const error = Math.max(...data.map((x, j) => Math.abs(read[j] - x) / Math.max(Math.abs(x), 1e-4)));
        expect(error, name).toBeLessThanOrEqual(i < 2 ? 0 : 2 ** -11);
      }
    }
  });

  it('says which tensors it leaves out, and is refused where its parameters have no names', async () => {
    const { folder, parameters } = folderOf();
    const more = new Map([...parameters, ['spare.weight', { data: new Float32Array(2), shape: [2] }]]);
    writeFileSync(path.join(folder, 'diffusion_pytorch_model.safetensors'), writeSafetensors(more));
    const base = await loadBase(folder);
    expect(base.notes).toEqual([`${path.basename(folder)}: tensor "spare.weight" is not part of the network`]);
    expect(base.parameters.has('spare.weight')).toBe(false);
    const graph = readFileSync('models/fashion/features.onnx');
    writeFileSync(path.join(folder, 'model.onnx'), graph);
    await expect(loadBase(folder)).rejects.toThrow('model.onnx: expected a UNet2DModel that ddpm-wasm converted');
    await expect(loadBase('/nowhere')).rejects.toThrow('/nowhere: expected a file, a folder');
  });
});

describe('a config that starts from a model', () => {
  const labels = { labels: ['a', 'b', 'c'] };
  const { config: network } = parseUNetConfig(small);
  const base = { from: 'shoes', config: network, labels, scheduler: { beta_end: 0.01, prediction_type: 'sample' } };
  const data = { channels: 1, height: 8, width: 8, classes: 3, count: 100 };
  const parse = (json: object, more: object = {}, images: object | undefined = {}) =>
    parseTrainingConfig(json, { base: { ...base, ...more }, data: images && { ...data, ...images }, file: 't.json' });

  it('takes network, schedule and prediction from it, and reads as itself again, with it or without', () => {
    const parsed = parse({});
    expect(parsed.network).toEqual(network);
    expect(parsed.scheduler).toMatchObject({ betaEnd: 0.01, predictionType: 'sample' });
    expect(parsed.config).toMatchObject({ from: 'shoes', loss: { prediction: 'sample', variance: 'fixed' } });
    expect(parse(JSON.parse(JSON.stringify(parsed.config))).config).toEqual(parsed.config);
    expect(parseTrainingConfig(JSON.parse(JSON.stringify(parsed.config))).config).toEqual(parsed.config);
  });

  it('may repeat what the model has in any spelling, and choose what only sampling sees', () => {
    const model = { sample_size: [8, 8], time_embedding_dim: 32, attention: [1], channels: 1, act_fn: 'silu' } as const;
    const schedule = { beta_end: 0.01, beta_start: 0.0001, clip_sample: false };
    expect(parse({ from: 'shoes', model, schedule, loss: { prediction: 'sample' } })).toMatchObject({
      network,
      scheduler: { clipSample: false },
    });
  });

  it('says the size of the images where the model leaves it open', () => {
    const open = { config: { ...network, sampleSize: null } };
    expect(parse({ model: { sample_size: 16 } }, open).network.sampleSize).toEqual([16, 16]);
    const { config } = parse({}, open);
    expect(config.model.sample_size).toBe(8);
    expect(parse(config, open).config).toEqual(config);
  });

  it('drops classes only where the model has a label for none', () => {
    expect(parse({}).config.classDropout).toBe(0);
    expect(parse({}, {}, { classes: 2 }).config.classDropout).toBe(0.1);
    expect(parse({}, { labels: { labels: ['a', 'b'], unconditional: 2 } }, { classes: 2 }).config.classDropout).toBe(
      0.1,
    );
    const free = parse({}, { config: { ...network, numClassEmbeds: null } });
    expect(free.config.classDropout).toBe(0);
    expect(free.notes).toEqual(['the network has no classes: the 3 of the data are ignored']);
  });

  it('learns a variance where the model predicts one', () => {
    const { config } = parse(
      {},
      { config: { ...network, outChannels: 2 }, scheduler: { variance_type: 'learned_range' } },
    );
    expect([config.loss.variance, config.schedule.variance_type]).toEqual(['learned', 'learned_range']);
  });

  it.each([
    ['another model', { from: 'boots' }, {}, {}, '"from" expected shoes, the model that is given, got "boots"'],
    [
      'other widths',
      { model: { block_out_channels: [8, 8] } },
      {},
      {},
      '"model.block_out_channels" expected [8,16], as the model of "from" has, got [8, 8]',
    ],
    ['another number of levels', { model: { block_out_channels: [8] } }, {}, {}, '"model.block_out_channels" expected'],
    ['another activation', { model: { act_fn: 'gelu' } }, {}, {}, '"model.act_fn" expected "silu"'],
    ['other channels', { model: { channels: 3 } }, {}, {}, '"model.channels" expected 1, as the model'],
    ['other attention', { model: { attention: [0] } }, {}, {}, '"model.attention" expected [1], as the model'],
    ['more classes', { model: { classes: 4 } }, {}, {}, '"model.classes" expected 3, as the model'],
    [
      'another end',
      { schedule: { beta_end: 0.02 } },
      {},
      {},
      '"schedule.beta_end" expected 0.01, as the model of "from"',
    ],
    [
      'another prediction in the schedule',
      { schedule: { prediction_type: 'epsilon' } },
      {},
      {},
      '"schedule.prediction_type" expected "sample", as the model of "from" was trained with, got "epsilon"',
    ],
    [
      'another prediction in the loss',
      { loss: { prediction: 'epsilon' } },
      { scheduler: { prediction_type: 'v_prediction' } },
      {},
      '"loss.prediction" expected v_prediction, as "schedule.prediction_type" says, got "epsilon"',
    ],
    [
      'a prediction that the model leaves to the default',
      { loss: { prediction: 'sample' } },
      { scheduler: {} },
      {},
      '"loss.prediction" expected epsilon',
    ],
    ['a learned variance', { loss: { variance: 'learned' } }, {}, {}, '"model.out_channels" expected 2, for a learned'],
    [
      'more classes in the data',
      {},
      {},
      { classes: 4 },
      '"from" expected a model of 4 labels, for 4 classes, got "shoes of 3"',
    ],
    [
      'a class dropout without a label for it',
      { classDropout: 0.2 },
      {},
      {},
      '"from" expected a model of 4 labels, for 3 classes and the label that means none, got "shoes of 3"',
    ],
    ['no labels', {}, {}, { classes: undefined }, '"from" expected a model without classes, for images without'],
    ['freezing beside lora', { lora: {}, freeze: ['conv_in.*'] }, {}, {}, '"freeze" expected nothing, for "lora"'],
  ])('is refused for %s', (_, json, more, images, message) => {
    expect(() => parse(json, more, images)).toThrow(`t.json: ${message}`);
  });
});

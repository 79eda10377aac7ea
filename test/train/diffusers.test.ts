import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseSchedulerConfig } from '../../src/core/schedulerConfig.ts';
import type { Tensor } from '../../src/core/tensor.ts';
import { parseUNetConfig } from '../../src/core/unetConfig.ts';
import { createEngine } from '../../src/engine/engine.ts';
import { convertFolder } from '../../src/onnx/convert.ts';
import { readSafetensors, type StoredTensor } from '../../src/onnx/safetensors.ts';
import { writeDiffusersFolder } from '../../src/train/diffusers.ts';
import { initializeParameters } from '../../src/train/initialize.ts';
import { CHECKPOINTS, readJson } from '../onnx/support.ts';

const weights = 'diffusion_pytorch_model.safetensors';
const small = {
  ...{ _class_name: 'UNet2DModel', sample_size: [8, 16], in_channels: 1, out_channels: 1, block_out_channels: [8, 16] },
  ...{ layers_per_block: 1, norm_num_groups: 4, attention_head_dim: null },
  ...{ down_block_types: ['DownBlock2D', 'AttnDownBlock2D'], up_block_types: ['AttnUpBlock2D', 'UpBlock2D'] },
};
const { config } = parseUNetConfig(small);
let parameters: Map<string, Tensor>;
beforeAll(async () => {
  parameters = initializeParameters(await createEngine(), config, { seed: 1, zero: false });
});

const json = (files: Map<string, Uint8Array>, name: string) => JSON.parse(new TextDecoder().decode(files.get(name)));

// what older versions of diffusers called it
const today = (name: string) =>
  name
    .replace(/(attentions\.\d+)\.query\./, '$1.to_q.')
    .replace(/(attentions\.\d+)\.key\./, '$1.to_k.')
    .replace(/(attentions\.\d+)\.value\./, '$1.to_v.')
    .replace(/(attentions\.\d+)\.proj_attn\./, '$1.to_out.0.');

describe.skipIf(!existsSync(CHECKPOINTS))('a checkpoint of diffusers, read and written', () => {
  const names = ['cifar-like', 'class-scale-shift', 'fashion', 'learned-range', 'legacy-keys', 'modern-defaults'];
  it.each(names)('%s has the same tensors bit for bit, and the same configs key for key', (name) => {
    const raw = (file: string) => readJson(CHECKPOINTS, name, file);
    const tensors = readSafetensors(readFileSync(join(CHECKPOINTS, name, weights)));
    const labels = name === 'fashion' ? raw('labels.json') : undefined;
    const { config } = parseUNetConfig(raw('config.json'));
    const files = writeDiffusersFolder({
      config,
      scheduler: raw('scheduler_config.json'),
      parameters: tensors,
      labels,
    });

    const written = readSafetensors(files.get(weights)!);
    expect([...written.keys()].sort()).toEqual([...tensors.keys()].map(today).sort());
    for (const [key, { dtype, shape, data }] of tensors) {
      const same = written.get(today(key))!;
      expect([same.dtype, ...same.shape], key).toEqual([dtype, ...shape]);
      expect(Buffer.compare(same.data, data), key).toBe(0);
    }
    for (const file of ['config.json', 'scheduler_config.json', 'model_index.json']) {
      const version = { _diffusers_version: expect.stringMatching(/^\d+\.\d+\.\d+$/) };
      expect(json(files, file)).toEqual({ ...raw(file), ...version });
    }
    expect(parseUNetConfig(json(files, 'config.json')).config).toEqual(config);
    expect([files.has('labels.json'), labels && json(files, 'labels.json')]).toEqual([labels !== undefined, labels]);
  });
});

describe('a diffusers folder', () => {
  const scheduler = { _class_name: 'DDPMScheduler', variance_type: 'fixed_large', colour: 1 };

  it('converts to ONNX as the parameters themselves, and marks its weights as those of torch', async () => {
    const files = writeDiffusersFolder({ config, scheduler, parameters });
    expect((await convertFolder(async (name) => files.get(name))).shape).toEqual([1, 8, 16]);
    const header = new TextDecoder().decode(files.get(weights)!.subarray(8, 200));
    expect(header).toMatch(/^\{"__metadata__":\{"format":"pt"\},/);
    expect(json(files, 'config.json').sample_size).toEqual([8, 16]);
  });

  it('has every key of a DDPMScheduler, and of another class those that were given', () => {
    const ddpm = json(writeDiffusersFolder({ config, scheduler, parameters }), 'scheduler_config.json');
    expect(Object.keys(ddpm).length).toBe(17);
    expect(ddpm).toMatchObject({ variance_type: 'fixed_large', clip_sample: true, trained_betas: null });
    const ddim = { _class_name: 'DDIMScheduler', set_alpha_to_one: false, beta_schedule: 'squaredcos_cap_v2' };
    const files = writeDiffusersFolder({ config, scheduler: ddim, parameters });
    expect(json(files, 'scheduler_config.json')).toMatchObject(ddim);
    expect(parseSchedulerConfig(json(files, 'scheduler_config.json')).config).toEqual(
      parseSchedulerConfig(ddim).config,
    );
    expect(json(files, 'model_index.json').scheduler).toEqual(['diffusers', 'DDIMScheduler']);
  });

  it('takes attention that was stored as 1x1 convolutions for the matrices that it is', () => {
    const name = 'mid_block.attentions.0.to_q.weight';
    const { data } = parameters.get(name)!;
    const old = new Map(parameters).set(name, { data, shape: [16, 16, 1, 1] });
    const files = writeDiffusersFolder({ config, scheduler, parameters: old });
    expect(files).toEqual(writeDiffusersFolder({ config, scheduler, parameters }));
  });

  it('is refused for parameters that are missing, too many or of another shape, each by name', () => {
    const write = (change: (tensors: Map<string, Tensor | StoredTensor>) => void) => () => {
      const tensors = new Map<string, Tensor | StoredTensor>(parameters);
      change(tensors);
      return writeDiffusersFolder({ config, scheduler, parameters: tensors });
    };
    const bias = { data: new Float32Array(9), shape: [9] };
    expect(write((t) => t.delete('conv_in.bias'))).toThrow('parameter "conv_in.bias" expected shape [8], got no such');
    expect(write((t) => t.set('conv_in.bias', bias))).toThrow('parameter "conv_in.bias" expected shape [8], got [9]');
    expect(write((t) => t.set('spare', bias))).toThrow('those of the network only, got "spare" too');
    const { data } = parameters.get('conv_in.weight')!;
    const turned = { data, shape: [1, 8, 3, 3] };
    expect(write((t) => t.set('conv_in.weight', turned))).toThrow('expected shape [8, 1, 3, 3], got [1, 8, 3, 3]');
    const short = { data: data.subarray(1), shape: [8, 1, 3, 3] };
    expect(write((t) => t.set('conv_in.weight', short))).toThrow('"conv_in.weight" expected 288 bytes');
  });

  it('is refused for a scheduler or labels that cannot be', () => {
    expect(() => writeDiffusersFolder({ config, scheduler: { _class_name: 'X' }, parameters })).toThrow(
      '"_class_name"',
    );
    const labels = { labels: [1] } as never;
    expect(() => writeDiffusersFolder({ config, scheduler, parameters, labels })).toThrow(
      'labels: "labels.0" expected a name',
    );
  });
});

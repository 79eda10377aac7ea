import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { sizeOf } from '../../src/core/tensor.ts';
import { parseUNetConfig } from '../../src/core/unetConfig.ts';
import { convertCheckpoint } from '../../src/onnx/convert.ts';
import { GraphBuilder } from '../../src/onnx/graph.ts';
import { decodeHalf, encodeHalf } from '../../src/onnx/half.ts';
import { Layers } from '../../src/onnx/layers.ts';
import { ModelProtoSchema } from '../../src/onnx/onnx_pb.ts';
import { readSafetensors, type StoredTensor, toFloat32 } from '../../src/onnx/safetensors.ts';
import { buildUNet, unetForward } from '../../src/onnx/unet2d.ts';
import { referenceUNet } from './reference.ts';
import { CHECKPOINTS, distance, largest, predict, randomWeights, readJson } from './support.ts';

const folders = ['cifar-like', 'modern-defaults', 'class-scale-shift', 'learned-range', 'legacy-keys', 'fashion'];

describe.skipIf(!existsSync(CHECKPOINTS))('checkpoints that diffusers saved', () => {
  test.each(folders)('%s: the graph equals diffusers within 2e-6 of the largest output, plus 2e-6', async (folder) => {
    const weights = readFileSync(join(CHECKPOINTS, folder, 'diffusion_pytorch_model.safetensors'));
    const model = convertCheckpoint({ config: readJson(CHECKPOINTS, folder, 'config.json'), weights });
    const run = readJson(CHECKPOINTS, folder, 'expected.json');
    const stored = readSafetensors(readFileSync(join(CHECKPOINTS, folder, 'expected.safetensors')));
    const { shape, ...x } = stored.get('x') as StoredTensor;
    const expected = toFloat32(stored.get('model_output') as StoredTensor);

    const got = await predict(model.bytes, { data: toFloat32({ shape, ...x }), shape }, run.t, run.class_labels);
    expect(distance(got, expected)).toBeLessThan(2e-6 * largest(expected) + 2e-6);
    expect(model.notes).toEqual([]);
    expect(model.shape).toEqual(shape.slice(1));
    expect(model.outChannels).toBe(stored.get('model_output')?.shape[1]);
    expect(model.conditional).toBe(run.class_labels !== null);
  });
});

test('the config of google/ddpm-cifar10-32 asks for 328 parameters of 35,746,307 numbers', () => {
  const { config } = parseUNetConfig({
    ...{ block_out_channels: [128, 256, 256, 256], sample_size: 32, downsample_padding: 0, attention_head_dim: null },
    down_block_types: ['DownBlock2D', 'AttnDownBlock2D', 'DownBlock2D', 'DownBlock2D'],
    up_block_types: ['UpBlock2D', 'UpBlock2D', 'AttnUpBlock2D', 'UpBlock2D'],
  });
  const g = new GraphBuilder('parameters as inputs');
  const sizes: number[] = [];
  const get = (key: string, shape: readonly number[], as = shape) => {
    sizes.push(sizeOf(shape));
    return g.input(key, 'float32', as);
  };
  const inputs = { sample: g.input('sample', 'float32', ['N', 3, 32, 32]), timestep: g.input('t', 'float32', ['N']) };
  const output = unetForward(new Layers(g, { has: () => true, get }, config), inputs);
  expect([sizes.length, sizes.reduce((a, b) => a + b)]).toEqual([328, 35746307]);
  expect(output).toMatchObject({ channels: 3, height: 32, width: 32 });
});

// a small network with every kind of parameter, and an input for it
const raw = {
  ...{ _class_name: 'UNet2DModel', sample_size: [4, 6] as [number, number], in_channels: 2, out_channels: 4 },
  ...{ center_input_sample: false, time_embedding_type: 'positional', time_embedding_dim: null, freq_shift: 0 },
  ...{ flip_sin_to_cos: true, down_block_types: ['DownBlock2D', 'AttnDownBlock2D'], mid_block_type: 'UNetMidBlock2D' },
  ...{ up_block_types: ['AttnUpBlock2D', 'UpBlock2D'], block_out_channels: [8, 12], layers_per_block: 1 },
  ...{ mid_block_scale_factor: 1, downsample_padding: 0, downsample_type: 'conv', upsample_type: 'conv' },
  ...{ act_fn: 'silu', attention_head_dim: 4, norm_num_groups: 4, attn_norm_num_groups: null, norm_eps: 1e-5 },
  ...{ resnet_time_scale_shift: 'default', add_attention: true, class_embed_type: null, num_class_embeds: 5 },
  num_train_timesteps: null,
};
const { config } = parseUNetConfig(raw);
const x = { data: Float32Array.from({ length: 48 }, (_, i) => Math.sin(i * i)), shape: [1, 2, 4, 6] };
const weights = randomWeights(1);
const reference = referenceUNet(raw, weights.get, x.data, 30, 4);
const tensors: ReadonlyMap<string, StoredTensor> = weights.tensors;

// the same weights with some replaced, renamed or (undefined) removed
function changed(changes: Record<string, StoredTensor | undefined>): Map<string, StoredTensor> {
  const map = new Map<string, StoredTensor | undefined>([...tensors, ...Object.entries(changes)]);
  return new Map([...map].filter((entry): entry is [string, StoredTensor] => entry[1] !== undefined));
}

const run = (model: { bytes: Uint8Array }) => predict(model.bytes, x, [30], [4]);

test('a small network equals its float64 restatement within 5e-6, whatever order its tensors come in', async () => {
  const model = buildUNet(config, tensors);
  expect(distance(await run(model), reference)).toBeLessThan(5e-6 * largest(reference));
  expect(model).toMatchObject({ shape: [2, 4, 6], outChannels: 4, conditional: true, classes: 5, notes: [] });
  expect(buildUNet(config, new Map([...tensors].reverse())).bytes).toEqual(model.bytes);
});

test('the graph has the inputs, output and operators of opset 17 that every backend runs', () => {
  const model = fromBinary(ModelProtoSchema, buildUNet(config, tensors).bytes);
  const signature = (list: { name: string; type?: unknown }[] = []) => list.map(({ name }) => name);
  expect(signature(model.graph?.input)).toEqual(['sample', 'timestep', 'class_labels']);
  expect(signature(model.graph?.output)).toEqual(['out_sample']);
  expect(model.graph?.input[0].type?.value.value).toMatchObject({
    elemType: 1,
    shape: { dim: [{ value: { value: 'N' } }, ...[2n, 4n, 6n].map((value) => ({ value: { value } }))] },
  });
  const operators = new Set(model.graph?.node.map(({ opType }) => opType));
  const expected = 'Add Concat Conv Cos Gather Gemm InstanceNormalization MatMul Mul Reshape Resize Sigmoid Sin';
  expect([...operators].sort().join(' ')).toBe(`${expected} Softmax Transpose Unsqueeze`);
});

describe('float16 weights', () => {
  // every matrix and kernel rounded to float16; vectors stay
  const rounded = new Map(
    [...tensors].map(([key, tensor]): [string, StoredTensor] => {
      if (tensor.shape.length < 2) return [key, tensor];
      const values = decodeHalf(encodeHalf(toFloat32(tensor)));
      return [key, { ...tensor, data: new Uint8Array(values.buffer) }];
    }),
  );

  test('give bit for bit the output of float32 weights rounded to float16', async () => {
    expect(await run(buildUNet(config, tensors, { dtype: 'fp16' }))).toEqual(await run(buildUNet(config, rounded)));
  });

  test('halve the weights and change the output by less than 1%', async () => {
    const half = buildUNet(config, tensors, { dtype: 'fp16' });
    const weightBytes = ({ bytes }: { bytes: Uint8Array }) =>
      fromBinary(ModelProtoSchema, bytes).graph?.initializer.reduce((sum, { rawData }) => sum + rawData.length, 0) ?? 0;
    expect(weightBytes(half) / weightBytes(buildUNet(config, tensors))).toBeLessThan(0.55);
    const error = distance(await run(half), reference);
    expect(error).toBeGreaterThan(0);
    expect(error).toBeLessThan(0.01 * largest(reference));
  });

  test('are stored as they are where the checkpoint has them, and read as float32 where asked', async () => {
    const halfs = new Map(
      [...tensors].map(([key, tensor]): [string, StoredTensor] => {
        const data = new Uint8Array(encodeHalf(toFloat32(tensor)).buffer);
        return [key, tensor.shape.length < 2 ? tensor : { ...tensor, dtype: 'F16', data }];
      }),
    );
    expect(buildUNet(config, halfs, { dtype: 'fp16' }).bytes).toEqual(
      buildUNet(config, tensors, { dtype: 'fp16' }).bytes,
    );
    expect(buildUNet(config, halfs).bytes).toEqual(buildUNet(config, rounded).bytes);
  });

  test('leave a tensor that exceeds them in float32, with a note', () => {
    const data = Float32Array.from(toFloat32(tensors.get('conv_out.weight') as StoredTensor));
    data[3] = -70000;
    const large = { dtype: 'F32', shape: [4, 8, 3, 3], data: new Uint8Array(data.buffer) } as const;
    const { notes, bytes } = buildUNet(config, changed({ 'conv_out.weight': large }), { dtype: 'fp16', file: 'a.st' });
    expect(notes).toEqual(['a.st: tensor "conv_out.weight" exceeds float16 and is kept as float32']);
    const kept = fromBinary(ModelProtoSchema, bytes).graph?.initializer.find(({ name }) => name === 'conv_out.weight');
    expect(kept?.dataType).toBe(1);
  });
});

describe('keys', () => {
  test('of older checkpoints, squeezed or not, give the same file', () => {
    const old = [...tensors].map(([key, tensor]): [string, StoredTensor] => [
      key
        .replace('to_q', 'query')
        .replace('to_k', 'key')
        .replace('to_v', 'value')
        .replace('to_out.0', 'proj_attn')
        .replace('samplers.0.conv', 'samplers.0.Conv2d_0'),
      /attentions.*to_.*weight/.test(key) ? { ...tensor, shape: [...tensor.shape, 1, 1] } : tensor,
    ]);
    expect(old.some(([key]) => !tensors.has(key))).toBe(true);
    const model = buildUNet(config, new Map(old));
    expect(model.bytes).toEqual(buildUNet(config, tensors).bytes);
    expect(model.notes).toEqual([]);
  });

  test('that are missing are refused by name and shape', () => {
    expect(() => buildUNet(config, changed({ 'mid_block.resnets.1.conv2.bias': undefined }), { file: 'a.st' })).toThrow(
      'a.st: tensor "mid_block.resnets.1.conv2.bias" expected shape [12], got no such tensor',
    );
  });

  test('of another shape are refused by name and both shapes', () => {
    const flat = { dtype: 'F32', shape: [16, 9], data: new Uint8Array(576) } as const;
    expect(() => buildUNet(config, changed({ 'conv_in.weight': flat }), { file: 'a.st' })).toThrow(
      'a.st: tensor "conv_in.weight" expected shape [8, 2, 3, 3], got [16, 9]',
    );
  });

  test('that nothing uses are noted, and change no byte', () => {
    const extra = { dtype: 'F32', shape: [1], data: new Uint8Array(4) } as const;
    const model = buildUNet(config, changed({ d: extra, b: extra, a: extra, c: extra }), { file: 'a.st' });
    expect(model.notes).toEqual(['a.st: 4 tensors are not part of the network: "a", "b", "c", ...']);
    expect(model.bytes).toEqual(buildUNet(config, tensors).bytes);
  });
});

test('a middle norm that the config leaves out is used where the weights have it', async () => {
  const shifted = { ...raw, resnet_time_scale_shift: 'scale_shift' };
  const random = randomWeights(2);
  const withNorm = referenceUNet({ ...shifted, attn_norm_num_groups: 4 }, random.get, x.data, 30, 4);
  const model = buildUNet(parseUNetConfig(shifted).config, random.tensors);
  expect(distance(await run(model), withNorm)).toBeLessThan(5e-6 * largest(withNorm));
});

test('a config without an image size is refused', () => {
  expect(() => buildUNet({ ...config, sampleSize: null }, tensors)).toThrow(
    '"sample_size" expected an image size, got null',
  );
});

import { beforeAll, describe, expect, it } from 'vitest';
import type { Tensor } from '../../src/core/tensor.ts';
import { parseUNetConfig } from '../../src/core/unetConfig.ts';
import { randn } from '../../src/diffusion/noise.ts';
import { createEngine, type Engine } from '../../src/engine/engine.ts';
import { buildUNet } from '../../src/onnx/unet2d.ts';
import { initializeParameters } from '../../src/train/initialize.ts';
import { predict } from '../onnx/support.ts';

const { config } = parseUNetConfig({
  ...{ _class_name: 'UNet2DModel', sample_size: 8, in_channels: 1, out_channels: 1, block_out_channels: [16, 32] },
  ...{ layers_per_block: 1, norm_num_groups: 8, num_class_embeds: 11 },
  down_block_types: ['ResnetDownsampleBlock2D', 'AttnDownBlock2D'],
  up_block_types: ['AttnUpBlock2D', 'ResnetUpsampleBlock2D'],
});

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});

const mean = (values: Float32Array) => values.reduce((sum, x) => sum + x, 0) / values.length;
const deviation = (values: Float32Array) => Math.sqrt(mean(values.map((x) => x * x)) - mean(values) ** 2);

/** The values of every parameter whose name matches, each times `scale` of its inputs. */
function gather(tensors: Map<string, Tensor>, names: RegExp, scale: (inputs: number) => number): Float32Array {
  const chosen = [...tensors].filter(([name]) => names.test(name));
  return Float32Array.from(
    chosen.flatMap(([name, { data }]) => {
      const [, ...inputs] = tensors.get(name.replace(/bias$/, 'weight'))!.shape;
      return [...data].map((x) => x * scale(inputs.reduce((a, b) => a * b, 1)));
    }),
  );
}

describe('the parameters that a network begins with', () => {
  it('of convolutions and linear layers are even in +-1/sqrt(inputs), biases too: moments within 4 sigma', () => {
    const tensors = initializeParameters(engine, config, { seed: 1, zero: false });
    const layers = /(conv\w*|conv|linear_\d|to_[qkv]|to_out\.0|time_emb_proj)\.(weight|bias)$/;
    for (const names of [layers, /(conv1|conv_shortcut|linear_1|to_q|time_emb_proj)\.bias$/]) {
      const unit = gather(tensors, names, Math.sqrt);
      const sigma = 1 / Math.sqrt(3 * unit.length);
      expect(Math.abs(mean(unit))).toBeLessThan(4 * sigma);
      expect(Math.abs(deviation(unit) - Math.sqrt(1 / 3))).toBeLessThan(4 * sigma);
      expect(Math.max(...unit.map(Math.abs).subarray(0, 100_000))).toBeLessThanOrEqual(1 + 1e-6);
      expect(Math.max(...unit.subarray(0, 100_000))).toBeGreaterThan(0.98);
    }
    // 3x3 convolutions count 9 inputs a channel: torch's kaiming_uniform with a = sqrt(5)
    const { data, shape } = tensors.get('down_blocks.1.resnets.0.conv1.weight')!;
    expect(shape).toEqual([32, 16, 3, 3]);
    const bound = Math.sqrt(6 / ((1 + 5) * 16 * 9));
    expect(Math.max(...data)).toBeLessThanOrEqual(bound * (1 + 1e-6));
    expect(Math.max(...data)).toBeGreaterThan(0.995 * bound);
  });

  it('of norms are 1 and 0, of embeddings standard normal', () => {
    const tensors = initializeParameters(engine, config, { seed: 2 });
    const norms = [...tensors].filter(([name]) => /norm/.test(name));
    expect(norms.length).toBeGreaterThan(20);
    for (const [name, { data }] of norms)
      expect(new Set(data), name).toEqual(new Set([name.endsWith('weight') ? 1 : 0]));
    const { data } = tensors.get('class_embedding.weight')!;
    expect(data.length).toBe(11 * 64);
    expect(Math.abs(mean(data))).toBeLessThan(4 / Math.sqrt(data.length));
    expect(Math.abs(deviation(data) - 1)).toBeLessThan(4 / Math.sqrt(2 * data.length));
  });

  it('of learned and Fourier time embeddings are normal, with deviation 1 and 16', () => {
    const wide = { ...config, blockOutChannels: [512, 32], numTrainTimesteps: 20 };
    const learned = initializeParameters(engine, { ...wide, timeEmbeddingType: 'learned' }, { seed: 1 });
    expect(Math.abs(deviation(learned.get('time_proj.weight')!.data) - 1)).toBeLessThan(0.03);
    const fourier = initializeParameters(engine, { ...wide, timeEmbeddingType: 'fourier' }, { seed: 1 });
    expect(Math.abs(deviation(fourier.get('time_proj.weight')!.data) - 16)).toBeLessThan(2);
  });

  it('are zero in the last layer of each block and of the network, and only there, unless told otherwise', () => {
    const zeroed = initializeParameters(engine, config, { seed: 3 });
    const plain = initializeParameters(engine, config, { seed: 3, zero: false });
    const zeros = (tensors: Map<string, Tensor>) =>
      [...tensors].filter(([, { data }]) => data.every((x) => x === 0)).map(([name]) => name);
    const expected = [...plain.keys()].filter((name) => /\.conv2\.|to_out|^conv_out|norm.*bias/.test(name));
    expect(expected).toContain('down_blocks.0.downsamplers.0.conv2.weight');
    expect(zeros(zeroed)).toEqual(expected);
    expect(zeros(plain)).toEqual(expected.filter((name) => /norm.*bias/.test(name)));
    for (const [name, { data }] of zeroed) if (!expected.includes(name)) expect(data).toEqual(plain.get(name)!.data);
  });

  it('make a network of the graph; zeroed it predicts exactly 0, else numbers of order one', async () => {
    const x = { data: Float32Array.from({ length: 64 }, (_, i) => Math.sin(i)), shape: [1, 1, 8, 8] };
    const run = (zero: boolean) => {
      const tensors = initializeParameters(engine, config, { seed: 4, zero });
      const stored = [...tensors].map(
        ([name, { data, shape }]) =>
          [name, { dtype: 'F32' as const, shape, data: new Uint8Array(data.buffer) }] as const,
      );
      return predict(buildUNet(config, new Map(stored)).bytes, x, [500], [3]);
    };
    expect(new Set(await run(true))).toEqual(new Set([0]));
    const prediction = await run(false);
    expect(deviation(prediction)).toBeGreaterThan(0.05);
    expect(deviation(prediction)).toBeLessThan(2);
  });
});

describe('random parameters', () => {
  it('are decided by the seed: the same again and in another engine, others for another', async () => {
    const first = initializeParameters(engine, config, { seed: 5 });
    expect(initializeParameters(await createEngine(), config, { seed: 5n })).toEqual(first);
    const other = initializeParameters(engine, config, { seed: 6 });
    expect(other.get('conv_in.weight')).not.toEqual(first.get('conv_in.weight'));
  });

  it('differ between parameters of one shape, and from the noise that a run starts from', () => {
    const tensors = initializeParameters(engine, config, { seed: 7, zero: false });
    const random = [...tensors].filter(([name, { data }]) => !/norm/.test(name) && data.length > 1);
    const firsts = random.map(([, { data }]) => data[0] / data[1]);
    expect(new Set(firsts).size).toBe(firsts.length);
    const noise = new Set(randn(engine, [tensors.size, 16], { seed: 7 }).data);
    const embedding = tensors.get('class_embedding.weight')!.data.subarray(0, 16);
    expect(embedding.some((x) => noise.has(x))).toBe(false);
  });

  it('are decided by arguments that are checked', () => {
    expect(() => initializeParameters(engine, config, { seed: -1 })).toThrow('"seed" expected');
    expect(() => initializeParameters(engine, config, { seed: 1, zero: 1 } as never)).toThrow(
      '"zero" expected true or false',
    );
    expect(() => initializeParameters(engine, config, { seed: 1, zeros: true } as never)).toThrow(
      '"zeros" expected no such option',
    );
  });
});

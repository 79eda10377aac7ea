import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { DdpmError } from '../../src/core/errors.ts';
import { parseUNetConfig } from '../../src/core/unetConfig.ts';
import { GraphBuilder } from '../../src/onnx/graph.ts';
import { encodeHalf } from '../../src/onnx/half.ts';
import { readParameters, todaysParameters } from '../../src/onnx/namedParameters.ts';
import { readSafetensors, type StoredTensor, toFloat32 } from '../../src/onnx/safetensors.ts';
import { buildUNet, unetParameters } from '../../src/onnx/unet2d.ts';
import { configs, note, options } from './configs.ts';
import type { ReferenceConfig } from './reference.ts';
import { CHECKPOINTS, randomWeights, readJson } from './support.ts';

function networkOf(raw: ReferenceConfig, seed: number) {
  const { config } = parseUNetConfig(JSON.parse(JSON.stringify(raw)));
  const { get, tensors } = randomWeights(seed);
  for (const [name, shape] of unetParameters(config)) get(name, [...shape]);
  return { config, tensors };
}

function assertSame(read: ReadonlyMap<string, StoredTensor>, expected: ReadonlyMap<string, StoredTensor>) {
  expect([...read.keys()]).toEqual([...expected.keys()]);
  for (const [name, { dtype, shape, data }] of expected) {
    expect([name, read.get(name)!.dtype, ...read.get(name)!.shape]).toEqual([name, dtype, ...shape]);
    expect(Buffer.compare(read.get(name)!.data, data), name).toBe(0);
  }
}

/** What a float16 file keeps of parameters: vectors as they are, the rest rounded. */
function halved(tensors: ReadonlyMap<string, StoredTensor>): Map<string, StoredTensor> {
  return new Map(
    [...tensors].map(([name, tensor]) => {
      if (tensor.shape.length === 1) return [name, tensor];
      const halfs = encodeHalf(toFloat32(tensor));
      return [name, { dtype: 'F16', shape: tensor.shape, data: new Uint8Array(halfs.buffer) }];
    }),
  );
}

const seen = new Set<string>();

test('random configs: parameters read back from the ONNX file equal those put in, float16 ones rounded', () => {
  fc.assert(
    fc.property(configs, fc.integer({ min: 0, max: 2 ** 31 - 1 }), (raw, seed) => {
      note(raw, seen);
      const { config, tensors } = networkOf(raw, seed);
      assertSame(readParameters(buildUNet(config, tensors).bytes, config), tensors);
      assertSame(readParameters(buildUNet(config, tensors, { dtype: 'fp16' }).bytes, config), halved(tensors));
    }),
    { numRuns: 60, seed: 11 },
  );
});

test('the random configs above have every option', () => {
  for (const option of options) expect(seen).toContain(option);
});

describe.skipIf(!existsSync(CHECKPOINTS))('a checkpoint of diffusers', () => {
  const names = ['cifar-like', 'class-scale-shift', 'fashion', 'learned-range', 'legacy-keys', 'modern-defaults'];
  it.each(names)('%s comes back from its ONNX file bit for bit, under today’s names', (name) => {
    const { config } = parseUNetConfig(readJson(CHECKPOINTS, name, 'config.json'));
    const tensors = readSafetensors(readFileSync(join(CHECKPOINTS, name, 'diffusion_pytorch_model.safetensors')));
    const { parameters, unused } = todaysParameters(config, tensors);
    expect([parameters.size, unused]).toEqual([tensors.size, []]);
    assertSame(readParameters(buildUNet(config, tensors).bytes, config), parameters);
  });

  it.each(['foreign-dynamo', 'foreign-legacy'])('as %s is refused, as its parameters have no names', (name) => {
    const { config } = parseUNetConfig(readJson(CHECKPOINTS, 'modern-defaults', 'config.json'));
    const bytes = readFileSync(join(CHECKPOINTS, name, 'model.onnx'));
    expect(() => readParameters(bytes, config, 'their.onnx')).toThrow(
      'their.onnx: expected a UNet2DModel that ddpm-wasm converted, whose parameters have names, got a graph of "pytorch"',
    );
  });
});

const small = {
  ...{ _class_name: 'UNet2DModel', sample_size: 8, in_channels: 1, out_channels: 1, block_out_channels: [8] },
  ...{ layers_per_block: 1, norm_num_groups: 4, attention_head_dim: null, add_attention: false },
  ...{ down_block_types: ['DownBlock2D'], up_block_types: ['UpBlock2D'] },
};

describe('an ONNX file', () => {
  const { config } = parseUNetConfig(small);
  const { get, tensors } = randomWeights(3);
  for (const [name, shape] of unetParameters(config)) get(name, [...shape]);
  const { bytes } = buildUNet(config, tensors);

  it('of the bundled model is built again from its parameters, byte for byte', () => {
    const { config } = parseUNetConfig(JSON.parse(readFileSync('models/fashion/config.json', 'utf8')));
    const bundled = readFileSync('models/fashion/model.onnx');
    const parameters = readParameters(bundled, config);
    expect(Buffer.compare(buildUNet(config, parameters, { dtype: 'fp16' }).bytes, bundled)).toBe(0);
  });

  it('of another network than the config’s is refused, naming the first parameter that shows it', () => {
    const other = (keys: object) => parseUNetConfig({ ...small, ...keys }).config;
    expect(() => readParameters(bytes, other({ in_channels: 3 }), 'a.onnx')).toThrow(
      'a.onnx: parameter "conv_in.weight" expected shape [8, 3, 3, 3], got [8, 1, 3, 3]',
    );
    expect(() => readParameters(bytes, other({ layers_per_block: 2 }))).toThrow('.weight" expected shape');
    const attending = parseUNetConfig({ ...small, add_attention: true }).config;
    const more = randomWeights(4);
    for (const [name, shape] of unetParameters(attending)) more.get(name, [...shape]);
    expect(() => readParameters(buildUNet(attending, more.tensors).bytes, config)).toThrow(
      'expected the parameters of the network that config.json describes, got "mid_block.attentions.0.',
    );
  });

  it('of another kind of graph is refused', () => {
    const g = new GraphBuilder('step');
    g.output('y', 'float32', [1], g.op('Relu', [g.input('x', 'float32', [1])]));
    expect(() => readParameters(g.toBytes(), config)).toThrow('a UNet2DModel that ddpm-wasm converted');
  });

  it('that is damaged gives parameters or one named error, never another', () => {
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), fc.boolean(), (at, byte, cut) => {
        const damaged = cut ? bytes.slice(0, at) : bytes.slice();
        if (!cut) damaged[at] = byte;
        try {
          expect(readParameters(damaged, config).size).toBe(tensors.size);
        } catch (error) {
          expect(error).toBeInstanceOf(DdpmError);
        }
      }),
      { numRuns: 300 },
    );
  });
});

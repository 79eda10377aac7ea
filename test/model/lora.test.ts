import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseUNetConfig } from '../../src/core/unetConfig.ts';
import { encodeBundle } from '../../src/model/bundle.ts';
import { loadModel } from '../../src/model/load.ts';
import type { LoadOptions } from '../../src/model/types.ts';
import { mergeLora, readLora } from '../../src/onnx/lora.ts';
import { writeSafetensors } from '../../src/onnx/safetensors.ts';
import { buildUNet, unetParameters } from '../../src/onnx/unet2d.ts';
import { distance, largest, predict, randomWeights, uniform } from '../onnx/support.ts';
import { temporaryFolder } from '../support/cli.ts';

const config = {
  ...{ _class_name: 'UNet2DModel', sample_size: 8, in_channels: 1, out_channels: 1, block_out_channels: [8] },
  ...{ layers_per_block: 1, norm_num_groups: 4, attention_head_dim: null },
  ...{ down_block_types: ['DownBlock2D'], up_block_types: ['UpBlock2D'] },
};
const { config: network } = parseUNetConfig(config);
const { get, tensors } = randomWeights(1);
for (const [name, shape] of unetParameters(network)) get(name, [...shape]);
const x = { data: Float32Array.from({ length: 64 }, uniform(5)), shape: [1, 1, 8, 8] };

/** The bytes of a LoRA of an attention layer and a convolution. */
function loraFile(seed: number, layer = 'mid_block.attentions.0.to_v'): Uint8Array {
  const random = uniform(seed);
  const matrix = (...shape: number[]) => ({
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, random),
    shape,
  });
  return writeSafetensors({
    [`base_model.model.${layer}.lora_A.weight`]: matrix(2, 8),
    [`base_model.model.${layer}.lora_B.weight`]: matrix(8, 2),
    'base_model.model.conv_in.lora_A.weight': matrix(1, 1, 3, 3),
    'base_model.model.conv_in.lora_B.weight': matrix(8, 1, 1, 1),
  });
}

/** A folder with the network as a checkpoint, as float32 and float16 ONNX, and as ONNX without its config. */
function models(): Record<'checkpoint' | 'converted' | 'half' | 'bare', string> {
  const folder = temporaryFolder();
  const write = (name: string, files: Record<string, Uint8Array | object>) => {
    mkdirSync(path.join(folder, name));
    for (const [file, content] of Object.entries(files))
      writeFileSync(path.join(folder, name, file), content instanceof Uint8Array ? content : JSON.stringify(content));
    return path.join(folder, name);
  };
  const onnx = (dtype: 'fp32' | 'fp16') => ({ 'model.onnx': buildUNet(network, tensors, { dtype }).bytes });
  return {
    checkpoint: write('checkpoint', {
      'config.json': config,
      'diffusion_pytorch_model.safetensors': writeSafetensors(tensors),
    }),
    converted: write('converted', { 'config.json': config, ...onnx('fp32') }),
    half: write('half', { 'config.json': config, ...onnx('fp16') }),
    bare: write('bare', onnx('fp32')),
  };
}

async function output(source: string | Uint8Array, lora?: LoadOptions['lora']) {
  const { denoiser, notes } = await loadModel(source, { device: 'cpu', threads: 1, lora });
  const { data } = await denoiser(x, Float32Array.of(10));
  const result = { data: data.slice(), notes };
  await denoiser.dispose();
  return result;
}

describe('a LoRA merged while loading', () => {
  it('gives the network of the merged weights, the same from a checkpoint and from its ONNX file', async () => {
    const { checkpoint, converted, half } = models();
    const file = loraFile(1);
    const merged = mergeLora(tensors, readLora(file), 0.5);
    const expected = await predict(buildUNet(network, merged).bytes, x, [10]);
    const plain = await output(converted);
    expect(distance(plain.data, expected)).toBeGreaterThan(0.01 * largest(expected));
    for (const source of [checkpoint, converted, path.join(converted, 'model.onnx')]) {
      const { data, notes } = await output(source, { source: file, scale: 0.5 });
      expect(distance(data, expected)).toBe(0);
      expect(notes.filter((note) => note.includes('alpha'))).toEqual([
        'lora: says no alpha, which is taken for the rank',
      ]);
    }
    const bundle = await encodeBundle({ name: 'small', network: buildUNet(network, tensors).bytes, config });
    expect(distance((await output(bundle, { source: file, scale: 0.5 })).data, expected)).toBe(0);
    const rounded = await output(half, { source: file, scale: 0.5 });
    expect(distance(rounded.data, expected)).toBeLessThan(0.02 * largest(expected));
  });

  it('is another model than its bundle: nothing that the bundle says of itself is told', async () => {
    const bytes = await encodeBundle({ name: 'small', network: buildUNet(network, tensors).bytes, config });
    for (const [lora, sha256] of [
      [undefined, expect.stringMatching(/^[0-9a-f]{64}$/)],
      [loraFile(1), undefined],
    ] as const) {
      const model = await loadModel(bytes, { device: 'cpu', threads: 1, lora });
      expect(model.bundle?.sha256).toEqual(sha256);
      await model.dispose();
    }
  });

  it('of scale 0 changes nothing, bit for bit; two are summed', async () => {
    const { converted, half } = models();
    const [one, two] = [loraFile(1), loraFile(2)];
    for (const source of [converted, half])
      expect(distance((await output(source, { source: one, scale: 0 })).data, (await output(source)).data)).toBe(0);
    const both = await output(converted, [one, { source: two, scale: -0.3 }]);
    const merged = mergeLora(mergeLora(tensors, readLora(one)), readLora(two), -0.3);
    expect(distance(both.data, await predict(buildUNet(network, merged).bytes, x, [10]))).toBe(0);
    const undone = await output(converted, [one, { source: one, scale: -1 }]);
    const plain = await output(converted);
    expect(distance(undone.data, plain.data)).toBeLessThan(1e-5 * largest(plain.data));
  });

  it('is read from a file, a file URL, or a folder as peft writes it, whose adapter_config.json counts', async () => {
    const { converted } = models();
    const folder = temporaryFolder();
    const [file, named] = ['adapter_model.safetensors', 'other.safetensors'].map((name) => path.join(folder, name));
    for (const place of [file, named]) writeFileSync(place, loraFile(1));
    writeFileSync(path.join(folder, 'adapter_config.json'), JSON.stringify({ peft_type: 'LORA', r: 2, lora_alpha: 4 }));
    // alpha 4 of ranks 2 and 1, where a file that says nothing has 1
    const expected = await output(converted, folder);
    expect(distance((await output(converted, file)).data, expected.data)).toBe(0);
    expect(distance((await output(converted, new URL(`file://${folder}`))).data, expected.data)).toBe(0);
    const plain = await output(converted, named);
    expect(distance(plain.data, expected.data)).toBeGreaterThan(0.01);
    expect(plain.notes).toContain('other.safetensors: says no alpha, which is taken for the rank');
  });
});

describe('a LoRA is refused', () => {
  it.each([
    ['that is not there', '/nowhere/a.safetensors', '/nowhere/a.safetensors: expected a .safetensors file or a folder'],
    ['of another network', loraFile(1, 'mid_block.attentions.7.to_q'), 'got "mid_block.attentions.7.to_q"'],
    ['that is no file', new Uint8Array(4), 'lora expected at least 8 bytes, got 4'],
    ['of the wrong kind', 7 as never, '"lora" expected a path, a URL, bytes'],
    ['with a wrong key', { source: 'a', scales: 1 } as never, '"scales" expected no such option'],
    ['with no number', { source: 'a', scale: '1' } as never, '"lora.scale" expected a finite number'],
  ])('%s', async (_, lora, message) => {
    await expect(output(models().converted, lora)).rejects.toThrow(message);
  });

  it('for a model that has no config.json, or whose weights have no names', async () => {
    const { bare, converted } = models();
    await expect(output(bare, loraFile(1))).rejects.toThrow('bare: expected a config.json');
    await expect(output(buildUNet(network, tensors).bytes, loraFile(1))).rejects.toThrow('expected a config.json');
    await expect(output('fashion', loraFile(1))).rejects.toThrow('expected a change of shape [32, 1, 3, 3]');
    writeFileSync(path.join(converted, 'config.json'), JSON.stringify({ ...config, block_out_channels: [12] }));
    await expect(output(converted, loraFile(1))).rejects.toThrow(
      'model.onnx: parameter "time_embedding.linear_1.weight" expected shape [48, 12], got [32, 8]',
    );
  });
});

import fc from 'fast-check';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it, test } from 'vitest';
import { DdpmError } from '../../src/core/errors.ts';
import { sizeOf, type Tensor } from '../../src/core/tensor.ts';
import { GraphBuilder } from '../../src/onnx/graph.ts';
import { addProduct, mergeLora, readLora } from '../../src/onnx/lora.ts';
import { asStored, type StoredTensor, toFloat32, writeSafetensors } from '../../src/onnx/safetensors.ts';
import { distance, uniform } from './support.ts';

function randomTensor(shape: readonly number[], seed = sizeOf(shape)): Tensor {
  return { data: Float32Array.from({ length: sizeOf(shape) }, uniform(seed)), shape };
}

/** A LoRA file of one layer. */
function fileOf(
  a: readonly number[],
  b: readonly number[],
  { layer = 'base_model.model.conv_in', metadata = {} } = {},
) {
  const tensors = { [`${layer}.lora_A.weight`]: randomTensor(a), [`${layer}.lora_B.weight`]: randomTensor(b) };
  return writeSafetensors(tensors, metadata);
}

const adapter = (config: object) => ({ metadata: { lora_adapter_metadata: JSON.stringify(config) } });

describe('a merged convolution', () => {
  it.each([
    [1, 1, 0],
    [3, 1, 1],
    [3, 2, 1],
    [5, 2, 2],
  ])(
    'of kernel %i and stride %i is conv(x, W) + scale * conv(conv(x, A), B) within 1e-5',
    async (kernel, stride, pad) => {
      const [inChannels, outChannels, rank, scale] = [3, 5, 2, 0.6];
      const g = new GraphBuilder('conv');
      const x = g.input('x', 'float32', [1, inChannels, 8, 8]);
      const weight = randomTensor([outChannels, inChannels, kernel, kernel]);
      const a = randomTensor([rank, inChannels, kernel, kernel], 1);
      const b = randomTensor([outChannels, rank, 1, 1], 2);
      const merged = { data: addProduct(weight.data, { a, b, scale }), shape: weight.shape };
      const constant = (name: string, { data, shape }: Tensor) => g.floats(name, shape, data);
      const strided = { kernel_shape: [kernel, kernel], strides: [stride, stride], pads: [pad, pad, pad, pad] };
      const own = g.op('Conv', [x, constant('w', weight)], strided);
      const low = g.op('Conv', [g.op('Conv', [x, constant('a', a)], strided), constant('b', b)], {
        kernel_shape: [1, 1],
      });
      const side = (8 + 2 * pad - kernel + stride) / stride;
      const dims = [1, outChannels, Math.floor(side), Math.floor(side)];
      g.output('apart', 'float32', dims, g.op('Add', [own, g.op('Mul', [low, g.scalar(scale)])]));
      g.output('merged', 'float32', dims, g.op('Conv', [x, constant('m', merged)], strided));
      const session = await InferenceSession.create(g.toBytes(), { logSeverityLevel: 3 });
      const images = randomTensor([1, inChannels, 8, 8]);
      const results = await session.run({ x: new OrtTensor('float32', images.data, [...images.shape]) });
      await session.release();
      expect(distance(results.apart.data as Float32Array, results.merged.data as Float32Array)).toBeLessThan(1e-5);
    },
  );
});

describe('the scale', () => {
  const scale = (metadata: object, options = {}) =>
    readLora(fileOf([4, 3], [5, 4], metadata), options).layers.get('conv_in')!.scale;

  it('is alpha / rank, alpha from the file’s metadata or adapter_config.json, which wins', () => {
    expect(scale(adapter({ lora_alpha: 6, r: 4 }))).toBe(1.5);
    expect(scale(adapter({ 'unet.lora_alpha': 2 }))).toBe(0.5);
    expect(scale(adapter({ lora_alpha: 6 }), { config: { lora_alpha: 8, r: 4, peft_type: 'LORA' } })).toBe(2);
  });

  it('is alpha / sqrt(rank) with use_rslora', () => {
    expect(scale(adapter({ lora_alpha: 6, use_rslora: true }))).toBe(3);
  });

  it('is 1 with a note where nothing says alpha', () => {
    const { layers, notes } = readLora(fileOf([4, 3], [5, 4]), { file: 'a.safetensors' });
    expect(layers.get('conv_in')!.scale).toBe(1);
    expect(notes).toEqual(['a.safetensors: says no alpha, which is taken for the rank']);
    expect(readLora(fileOf([4, 3], [5, 4], adapter({ lora_alpha: 1 }))).notes).toEqual([]);
  });

  it.each([
    ['DoRA', { use_dora: true }, '"use_dora" expected false, got true'],
    ['another method', { peft_type: 'LOHA' }, '"peft_type" expected "LORA", got "LOHA"'],
    ['biases', { bias: 'all' }, '"bias" expected "none", got "all"'],
    ['whole layers', { modules_to_save: ['conv_in'] }, '"modules_to_save" expected null'],
    ['patterns', { alpha_pattern: { '(a+)+$': 1 } }, 'alpha_pattern'],
    ['an infinite alpha', { lora_alpha: '1e999' }, '"lora_alpha" expected a number'],
    ['a list', [], 'expected a JSON object'],
  ])('of %s is refused by name', (_, config, message) => {
    expect(() => scale({}, { config })).toThrow(message);
    expect(() => scale({}, { config })).toThrow(/^adapter_config\.json: [^\n]+$/);
  });

  it('of metadata that are no JSON is refused', () => {
    expect(() => scale({ metadata: { lora_adapter_metadata: '{' } })).toThrow('"lora_adapter_metadata" expected JSON');
  });
});

describe('a file', () => {
  it('may say the layer as peft does, as diffusers does, or plainly', () => {
    for (const prefix of ['base_model.model.', 'unet.', ''])
      expect([...readLora(fileOf([1, 3], [5, 1], { layer: `${prefix}mid.to_out.0` })).layers.keys()]).toEqual([
        'mid.to_out.0',
      ]);
  });

  const pair = { 'x.lora_A.weight': randomTensor([2, 3]), 'x.lora_B.weight': randomTensor([4, 2]) };
  const { 'x.lora_B.weight': _, ...half } = pair;
  const ints: StoredTensor = { dtype: 'I32', shape: [2, 3], data: new Uint8Array(24) };
  it.each([
    ['nothing', {}, 'expected tensors .lora_A.weight and .lora_B.weight, got none'],
    ['other tensors', { ...pair, 'x.alpha': randomTensor([1]) }, '.lora_B.weight, got "x.alpha"'],
    ['DoRA', { ...pair, 'x.lora_magnitude_vector': randomTensor([4]) }, 'got "x.lora_magnitude_vector"'],
    ['half a pair', half, 'layer "x" expected both lora_A and lora_B, got only lora_A'],
    ['a layer twice', { ...pair, 'unet.x.lora_A.weight': randomTensor([2, 3]) }, 'each layer once, got "x" twice'],
    ['integers', { ...pair, 'x.lora_A.weight': ints }, 'tensor "x.lora_A.weight" expected floats, got I32'],
    ['two ranks', { ...pair, 'x.lora_A.weight': randomTensor([3, 3]) }, 'got [3, 3] and [4, 2]'],
    ['vectors', { ...pair, 'x.lora_B.weight': randomTensor([2]) }, 'got [2, 3] and [2]'],
    ['no rank', { 'x.lora_A.weight': randomTensor([0, 3]), 'x.lora_B.weight': randomTensor([4, 0]) }, 'got [0, 3]'],
    [
      'a wide B',
      { 'x.lora_A.weight': randomTensor([2, 3, 3, 3]), 'x.lora_B.weight': randomTensor([4, 2, 3, 3]) },
      'that of B 1x1',
    ],
  ])('of %s is refused by name', (_, tensors, message) => {
    const read = () => readLora(writeSafetensors(tensors as Record<string, Tensor>), { file: 'a.safetensors' });
    expect(read).toThrow(message);
    expect(read).toThrow(/^a\.safetensors: [^\n]+$/);
  });

  test('that is damaged gives a LoRA or one DdpmError, never another error', () => {
    const whole = fileOf([2, 3], [4, 2], adapter({ lora_alpha: 4, bias: 'none' }));
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), (at, byte, length) => {
        const damaged = whole.slice();
        damaged[at] = byte;
        for (const bytes of [damaged, whole.slice(0, length)]) {
          try {
            mergeLora(new Map([['conv_in.weight', asStored(randomTensor([4, 3]))]]), readLora(bytes));
          } catch (error) {
            expect(error).toBeInstanceOf(DdpmError);
          }
        }
      }),
      { numRuns: 1000 },
    );
  });

  test('of any names, shapes and config gives a LoRA or one DdpmError', () => {
    const shape = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 5 });
    const name = fc
      .tuple(fc.constantFrom('', 'unet.', 'base_model.model.'), fc.constantFrom('x', '__proto__', 'a.b'), fc.boolean())
      .map(([prefix, layer, first]) => `${prefix}${layer}.lora_${first ? 'A' : 'B'}.weight`);
    const file = fc.uniqueArray(fc.tuple(name, shape), { selector: ([key]) => key, maxLength: 6 });
    fc.assert(
      fc.property(file, fc.option(fc.jsonValue(), { nil: undefined }), (entries, config) => {
        const tensors = new Map(entries.map(([key, shape]) => [key, randomTensor(shape)]));
        try {
          for (const { a, b, scale } of readLora(writeSafetensors(tensors), { config }).layers.values())
            expect([b.shape[1], Number.isFinite(scale)]).toEqual([a.shape[0], true]);
        } catch (error) {
          expect(error).toBeInstanceOf(DdpmError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('merging', () => {
  const lora = readLora(fileOf([2, 3], [4, 2], { layer: 'a.attentions.0.to_q', metadata: {} }), { file: 'q' });

  it('finds layers under the names of older checkpoints, and 1x1 convolutions that were matrices', () => {
    const weight = randomTensor([4, 3, 1, 1]);
    const merged = mergeLora(new Map([['a.attentions.0.query.weight', asStored(weight)]]), lora);
    const { a, b } = lora.layers.get('a.attentions.0.to_q')!;
    const expected = Array.from(weight.data, (w, i) => {
      const [row, column] = [Math.floor(i / 3), i % 3];
      return w + b.data[2 * row] * a.data[column] + b.data[2 * row + 1] * a.data[3 + column];
    });
    const { shape, data } = merged.get('a.attentions.0.query.weight')!;
    expect(shape).toEqual([4, 3, 1, 1]);
    expect(distance(toFloat32({ dtype: 'F32', shape, data }), expected)).toBeLessThan(1e-6);
  });

  it('leaves the tensors that are given and the layers that it does not name untouched', () => {
    const tensors = new Map(
      ['a.attentions.0.to_q.weight', 'a.other.weight'].map((name) => [name, asStored(randomTensor([4, 3]))]),
    );
    const before = [...tensors.values()].map(({ data }) => data.slice());
    const merged = mergeLora(tensors, lora, -0.5);
    expect([...tensors.values()].map(({ data }) => data)).toEqual(before);
    expect(merged.get('a.other.weight')).toBe(tensors.get('a.other.weight'));
    const twice = mergeLora(merged, lora, 0.5).get('a.attentions.0.to_q.weight')!;
    expect(distance(toFloat32(twice), randomTensor([4, 3]).data)).toBeLessThan(1e-6);
  });

  it.each([
    ['no such layer', 'b.weight', [4, 3], 'q: expected layers of the network, got "a.attentions.0.to_q"'],
    ['another shape', 'a.attentions.0.to_q.weight', [4, 5], 'expected a change of shape [4, 5], got [4, 3]'],
    ['a turned shape', 'a.attentions.0.to_q.weight', [3, 4], 'expected a change of shape [3, 4], got [4, 3]'],
    ['a vector', 'a.attentions.0.to_q.weight', [4], 'expected a change of shape [4], got [4, 3]'],
  ])('refuses a network with %s', (_, name, shape, message) => {
    expect(() => mergeLora(new Map([[name, asStored(randomTensor(shape))]]), lora)).toThrow(message);
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DdpmError } from '../../src/core/errors.ts';
import { parseUNetConfig } from '../../src/core/unetConfig.ts';
import { convertCheckpoint, convertFolder, readWeights } from '../../src/onnx/convert.ts';
import { type StoredTensor, writeSafetensors } from '../../src/onnx/safetensors.ts';
import { buildUNet } from '../../src/onnx/unet2d.ts';
import { type ReferenceConfig, referenceUNet } from './reference.ts';
import { randomWeights } from './support.ts';

const WEIGHTS = 'diffusion_pytorch_model.safetensors';
const INDEX = `${WEIGHTS}.index.json`;

const raw: ReferenceConfig = {
  ...{ sample_size: [2, 2], in_channels: 1, out_channels: 1, center_input_sample: false, freq_shift: 0 },
  ...{ time_embedding_type: 'positional', time_embedding_dim: null, flip_sin_to_cos: true, layers_per_block: 1 },
  ...{ down_block_types: ['DownBlock2D'], mid_block_type: 'UNetMidBlock2D', up_block_types: ['UpBlock2D'] },
  ...{ block_out_channels: [4], mid_block_scale_factor: 1, downsample_padding: 1, downsample_type: 'conv' },
  ...{ upsample_type: 'conv', act_fn: 'silu', attention_head_dim: null, norm_num_groups: 2, norm_eps: 1e-5 },
  ...{ attn_norm_num_groups: null, resnet_time_scale_shift: 'default', add_attention: true, class_embed_type: null },
  ...{ num_class_embeds: null, num_train_timesteps: null },
};
const weights = randomWeights(3);
referenceUNet(raw, weights.get, [0, 1, 2, 3], 5);
const tensors: ReadonlyMap<string, StoredTensor> = weights.tensors;
const expected = buildUNet(parseUNetConfig(raw).config, tensors).bytes;

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

// a folder in memory that knows what was asked of it
function folder(files: Record<string, Uint8Array>) {
  const asked: string[] = [];
  const read = async (name: string) => {
    asked.push(name);
    return files[name];
  };
  return { read, asked };
}

// the tensors dealt to two files, and the index that says which is where
function sharded() {
  const names = [
    'diffusion_pytorch_model-00001-of-00002.safetensors',
    'diffusion_pytorch_model-00002-of-00002.safetensors',
  ];
  const hands = names.map((_, hand) => [...tensors].filter((_, i) => i % 2 === hand));
  const weight_map = Object.fromEntries(hands.flatMap((hand, i) => hand.map(([key]) => [key, names[i]])));
  const files = Object.fromEntries(hands.map((hand, i) => [names[i], writeSafetensors(new Map(hand))]));
  return { names, weight_map, files: { ...files, [INDEX]: json({ metadata: {}, weight_map }) } };
}

describe('a checkpoint folder', () => {
  const whole = { 'config.json': json(raw), [WEIGHTS]: writeSafetensors(tensors) };

  test('becomes the same file whole, in shards, and in memory', async () => {
    expect((await convertFolder(folder(whole).read)).bytes).toEqual(expected);
    const shards = folder({ 'config.json': json(raw), ...sharded().files });
    expect((await convertFolder(shards.read)).bytes).toEqual(expected);
    expect(convertCheckpoint({ config: raw, weights: whole[WEIGHTS] }).bytes).toEqual(expected);
    expect(convertCheckpoint({ config: raw, weights: tensors }).bytes).toEqual(expected);
  });

  test('is searched for the whole file, then shards, then the fp16 variant', async () => {
    const fp16 = folder({ 'diffusion_pytorch_model.fp16.safetensors': whole[WEIGHTS] });
    expect((await readWeights(fp16.read)).size).toBe(tensors.size);
    expect(fp16.asked).toEqual([WEIGHTS, INDEX, 'diffusion_pytorch_model.fp16.safetensors']);
  });

  test('tells notes of the config and of the weights', async () => {
    const config = json({ ...raw, _class_name: 'UNet2DModel', colour: 1 });
    const spare = new Map([...tensors, ['spare', { dtype: 'F32', shape: [1], data: new Uint8Array(4) } as const]]);
    const { notes } = await convertFolder(folder({ 'config.json': config, [WEIGHTS]: writeSafetensors(spare) }).read);
    expect(notes).toEqual([
      'config.json: unknown key "colour" ignored',
      `${WEIGHTS}: 1 tensor is not part of the network: "spare"`,
    ]);
  });

  const bad: [string, Record<string, Uint8Array>, string, string][] = [
    ['without a config', {}, 'model-not-found', 'config.json: expected the config of a UNet2DModel, got no such file'],
    ['with a damaged config', { 'config.json': Uint8Array.of(0x7b) }, 'config-invalid', 'config.json: expected JSON'],
    ['without weights', { 'config.json': json(raw) }, 'model-not-found', `${WEIGHTS}: expected the weights`],
    [
      'with a pickle only',
      { 'config.json': json(raw), 'diffusion_pytorch_model.bin': Uint8Array.of(0x50) },
      'model-not-found',
      'got only diffusion_pytorch_model.bin; a Python pickle is not read: save it anew with safe_serialization=True',
    ],
    [
      'with damaged weights',
      { 'config.json': json(raw), [WEIGHTS]: new Uint8Array(3) },
      'model-invalid',
      `${WEIGHTS} expected`,
    ],
  ];
  test.each(bad)('%s is refused', async (_, files, code, message) => {
    await expect(convertFolder(folder(files).read)).rejects.toMatchObject({
      name: 'DdpmError',
      code,
      message: expect.stringContaining(message),
    });
  });
});

describe('an index of shards', () => {
  const names = [
    '../other.safetensors',
    '..\\other.safetensors',
    '/etc/x.safetensors',
    'a/b.safetensors',
    'C:x.safetensors',
  ];
  test.each([
    ...names,
    'a..safetensors',
    '.safetensors',
    'model.bin',
    'x.safetensors\n',
    'http://a/b.safetensors',
    7,
    null,
  ])('that names %j is refused before anything is read', async (shard) => {
    const { read, asked } = folder({ [INDEX]: json({ weight_map: { w: shard } }) });
    await expect(readWeights(read)).rejects.toMatchObject({
      code: 'model-invalid',
      message: expect.stringContaining('tensor "w" expected a file name ending in .safetensors, got'),
    });
    expect(asked).toEqual([WEIGHTS, INDEX]);
  });

  test('that names a missing shard or tensor is refused with both names', async () => {
    const { names, files, weight_map } = sharded();
    const cut: Record<string, Uint8Array> = { ...files };
    delete cut[names[1]];
    await expect(readWeights(folder(cut).read)).rejects.toThrow(`${names[1]}: expected a shard that ${INDEX} lists`);
    const more = { ...files, [INDEX]: json({ weight_map: { ...weight_map, extra: names[0] } }) };
    await expect(readWeights(folder(more).read)).rejects.toThrow(`${names[0]}: expected tensor "extra"`);
  });

  test('of any JSON gives tensors or a DdpmError, and reads nothing outside the folder', async () => {
    const shard = fc.oneof(
      fc.string(),
      fc.string().map((s) => `${s}.safetensors`),
      fc.constant(WEIGHTS),
      fc.jsonValue(),
    );
    const index = fc.oneof(
      fc.jsonValue(),
      fc.record({ weight_map: fc.oneof(fc.dictionary(fc.string(), shard), fc.jsonValue()) }),
    );
    await fc.assert(
      fc.asyncProperty(index, async (value) => {
        const { read, asked } = folder({ [INDEX]: json(value) });
        const outcome = await readWeights(read).catch((error: unknown) => error);
        if (!(outcome instanceof Map)) expect(outcome).toBeInstanceOf(DdpmError);
        expect(asked.every((name) => /^[\w.-]+$/.test(name) && !name.includes('..'))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

test('arguments of another kind are refused by name', () => {
  const wrong = { config: raw, weights: 'model.safetensors' } as unknown as Parameters<typeof convertCheckpoint>[0];
  expect(() => convertCheckpoint(wrong)).toThrow(TypeError);
  expect(() => convertCheckpoint(wrong)).toThrow(
    '"weights" expected the bytes of a safetensors file, or a Map of tensors',
  );
  const int8 = { config: raw, weights: tensors, dtype: 'int8' } as unknown as Parameters<typeof convertCheckpoint>[0];
  expect(() => convertCheckpoint(int8)).toThrow('"dtype" expected one of fp32, fp16, got "int8"');
});

test('random JSON values in a config give a network or a DdpmError, in bounded time', () => {
  const mutation = fc.tuple(
    fc.constantFrom(...Object.keys(raw)),
    fc.oneof(fc.jsonValue(), fc.integer(), fc.constant(-0)),
  );
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 3 }), (mutations) => {
      try {
        convertCheckpoint({ config: { ...raw, ...Object.fromEntries(mutations) }, weights: tensors });
      } catch (error) {
        expect(error).toBeInstanceOf(DdpmError);
        expect((error as Error).message).toMatch(/^[^\n]+$/);
      }
    }),
    { numRuns: 500 },
  );
});

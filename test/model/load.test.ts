import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { DdpmError } from '../../src/core/errors.ts';
import { loadModel } from '../../src/model/load.ts';
import type { LoadOptions } from '../../src/model/types.ts';
import { ModelProtoSchema, TensorProto_DataLocation } from '../../src/onnx/onnx_pb.ts';
import { type GraphOptions, smallGraph } from './graphs.ts';

const root = mkdtempSync(path.join(tmpdir(), 'ddpm-load-'));
let folder = '';
let counter = 0;

beforeEach(() => {
  folder = path.join(root, `model-${counter++}`);
  mkdirSync(folder);
});
afterAll(() => rmSync(root, { recursive: true }));

const scheduler = { _class_name: 'DDPMScheduler', num_train_timesteps: 10 };

function write(name: string, content: Uint8Array | string | object): string {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content));
  return file;
}

async function load(source: string | URL | Uint8Array, options: LoadOptions = {}) {
  const model = await loadModel(source, { device: 'cpu', ...options });
  await model.dispose();
  return model;
}

async function failureOf(source: unknown, options: LoadOptions = {}): Promise<DdpmError> {
  const error = await load(source as string, options).catch((error) => error);
  expect(error).toBeInstanceOf(Error);
  expect(error.message).not.toContain('\n');
  return error;
}

describe('loadModel: what it finds', () => {
  it('takes the bytes of an .onnx file, without a scheduler', async () => {
    const model = await load(smallGraph());
    expect(model).toMatchObject({
      name: 'model',
      shape: [1, 2, 3],
      outChannels: 1,
      classes: 0,
      device: 'cpu',
      notes: [],
    });
    expect(model.schedulerConfig).toBeUndefined();
  });

  it('takes a folder with model.onnx and its JSON files, by path, relative path or file: URL', async () => {
    write('model.onnx', smallGraph());
    write('scheduler_config.json', scheduler);
    for (const source of [folder, path.relative('.', folder), `${folder}/`, pathToFileURL(folder)]) {
      const model = await load(source);
      expect(model.name).toBe(path.basename(folder));
      expect(model.schedulerConfig).toEqual(scheduler);
    }
  });

  it('takes an .onnx file, with the JSON files beside it', async () => {
    const file = write('my net.onnx', smallGraph());
    write('scheduler_config.json', scheduler);
    expect(await load(file)).toMatchObject({ name: 'my net', schedulerConfig: scheduler });
  });

  it('takes components from folders of their own, with or without model_index.json', async () => {
    write('unet/model.onnx', smallGraph());
    write('unet/config.json', { in_channels: 1 });
    write('scheduler/scheduler_config.json', scheduler);
    expect(await load(folder)).toMatchObject({ config: { in_channels: 1 }, schedulerConfig: scheduler });
    write('model_index.json', { _class_name: 'DDPMPipeline', unet: ['diffusers', 'UNet2DModel'], vae: [null, null] });
    expect(await load(folder)).toMatchObject({ schedulerConfig: scheduler });
  });

  it('takes weights from a file beside the graph', async () => {
    const model = fromBinary(ModelProtoSchema, smallGraph({ label: {}, embedding: 4 }));
    const table = model.graph!.initializer.find(({ name }) => name === 'embedding.weight')!;
    const data = table.rawData;
    table.rawData = new Uint8Array();
    table.dataLocation = TensorProto_DataLocation.EXTERNAL;
    const refer = (location: string) => {
      table.externalData = [
        { key: 'location', value: location },
        { key: 'length', value: String(data.length) },
      ].map((entry) => ({ $typeName: 'onnx.StringStringEntryProto', ...entry }));
      return toBinary(ModelProtoSchema, model);
    };

    const file = write('net.onnx', refer('net.onnx.data'));
    expect((await failureOf(file)).code).toBe('model-not-found');
    write('net.onnx.data', data);
    const loaded = await loadModel(file, { device: 'cpu' });
    const x = { data: new Float32Array(12), shape: [2, 1, 2, 3] };
    const result = await loaded.denoiser(x, Float32Array.of(1, 1), { classLabels: [0, 3] });
    expect([result.data[0], result.data[6]]).toEqual([1, 3001]);
    expect(loaded.classes).toBe(4);
    await loaded.dispose();

    expect((await failureOf(refer('net.onnx.data'))).message).toContain("give the file's path or URL");
    for (const outside of ['../secret', '/etc/passwd', 'a/../../b', 'C:\\x', '..%2fx'])
      expect((await failureOf(write('net.onnx', refer(outside)))).message).toContain('weight files in its own folder');
  });

  it('takes sizes that the graph leaves open from "size" or config.json', async () => {
    const file = write('net.onnx', smallGraph({ image: { dims: ['N', 1, 'H', 'W'] } }));
    expect((await failureOf(file)).message).toMatch(
      /^"size" expected the height and width of an image, which net leaves/,
    );
    expect((await load(file, { size: [4, 5] })).shape).toEqual([1, 4, 5]);
    write('config.json', { sample_size: 6 });
    expect((await load(file)).shape).toEqual([1, 6, 6]);
    write('config.json', { sample_size: [6, 8] });
    expect((await load(file)).shape).toEqual([1, 6, 8]);
  });

  it('takes the sizes of the graph before those of config.json, and refuses another "size"', async () => {
    const file = write('net.onnx', smallGraph());
    write('config.json', { in_channels: 3, sample_size: 64 });
    expect((await load(file)).shape).toEqual([1, 2, 3]);
    const { message } = await failureOf(file, { size: [64, 64] });
    expect(message).toBe('"size" expected [2, 3], which the network is made for, got [64, 64]');
  });
});

describe('loadModel: class labels', () => {
  const labels = ['cat', 'dog', 'owl'];
  const cases: [string, { graph: GraphOptions; config?: object; labels?: object }, object][] = [
    ['counts the rows of the embedding', { graph: { embedding: 5 } }, { classes: 5, labels: undefined }],
    [
      'believes num_class_embeds',
      { graph: {}, config: { num_class_embeds: 7 } },
      { classes: 7, unconditional: undefined },
    ],
    [
      'counts the names where nothing else is known',
      { graph: {}, labels: { labels } },
      { classes: 3, labels, unconditional: undefined },
    ],
    [
      'counts up to the unconditional label',
      { graph: {}, labels: { labels, unconditional: 9 } },
      { classes: 10, unconditional: 9 },
    ],
    [
      'takes one label beyond the names for the unconditional',
      { graph: { embedding: 4 }, labels: { labels } },
      { unconditional: 3 },
    ],
    [
      'takes none of several beyond the names for that',
      { graph: { embedding: 5 }, labels: { labels } },
      { unconditional: undefined },
    ],
  ];

  it.each(cases)('%s', async (_, { graph, config, labels }, expected) => {
    write('model.onnx', smallGraph({ label: {}, ...graph }));
    if (config) write('config.json', config);
    if (labels) write('labels.json', labels);
    expect(await load(folder)).toMatchObject(expected);
  });

  it('asks for labels.json where the number of classes is not to be found', async () => {
    expect((await failureOf(smallGraph({ label: {} }))).message).toBe(
      'model: takes class labels; expected a labels.json beside it, found none',
    );
  });

  it('notes a labels.json that the network has no use for', async () => {
    write('model.onnx', smallGraph());
    write('labels.json', { labels });
    expect(await load(folder)).toMatchObject({
      classes: 0,
      labels: undefined,
      notes: ['labels.json is ignored: the network takes no class labels'],
    });
  });

  it.each([
    [{}, 'labels.json: "labels" expected a list of names, got undefined'],
    [{ labels: ['a', 3] }, 'labels.json: "labels.1" expected a name, got 3'],
    [{ labels, unconditional: -1 }, 'labels.json: "unconditional" expected an integer in 0..1000000, got -1'],
    [{ labels, unconditional: 4 }, 'small: labels.json expected at most 4 labels, got 5'],
  ])('refuses labels.json %j by name', async (content, message) => {
    const file = write('small.onnx', smallGraph({ label: {}, embedding: 4 }));
    write('labels.json', content);
    const error = await failureOf(file);
    expect(error.code).toBe('config-invalid');
    expect(error.message).toBe(message);
  });
});

describe('loadModel: what it refuses, in one line with a code', () => {
  it('a name or path that does not exist', async () => {
    const error = await failureOf('no-such-model');
    expect(error.code).toBe('model-not-found');
    expect(error.message).toMatch(/^no-such-model: expected a file, a folder.*, found none$/);
  });

  it('an empty folder', async () => {
    const error = await failureOf(folder);
    expect(error.code).toBe('model-not-found');
    expect(error.message).toMatch(/no model.onnx, and diffusion_pytorch_model.safetensors/);
    expect((await failureOf(pathToFileURL(folder))).message).toBe(error.message);
  });

  it('a pickle, with advice', async () => {
    write('diffusion_pytorch_model.bin', 'pickle');
    write('config.json', { _class_name: 'UNet2DModel' });
    const error = await failureOf(folder);
    expect(error.message).toMatch(/only diffusion_pytorch_model.bin; .*pickle is not read: .*safe_serialization/);
  });

  it.each([
    [
      'a pipeline with a VAE',
      { _class_name: 'StableDiffusionPipeline', vae: ['diffusers', 'AutoencoderKL'] },
      /"vae" \(AutoencoderKL\)/,
    ],
    ['another network', { unet: ['diffusers', 'UNet2DConditionModel'] }, /got UNet2DConditionModel/],
    ['no network', { scheduler: ['diffusers', 'DDPMScheduler'] }, /got no "unet"/],
  ])('%s', async (_, index, message) => {
    write('model_index.json', index);
    const error = await failureOf(folder);
    expect(error.code).toBe('model-invalid');
    expect(error.message).toMatch(/^model_index.json: expected a UNet2DModel and a scheduler/);
    expect(error.message).toMatch(message);
  });

  it.each([
    ['not JSON', '<html>', /^scheduler_config.json: not JSON: /],
    ['not UTF-8', Uint8Array.of(0xff, 0xfe), /^scheduler_config.json: not JSON: /],
    ['not an object', '[1]', /^scheduler_config.json: expected a JSON object, got \[1\]/],
    [
      'larger than 1 MiB',
      ' '.repeat(2 ** 20 + 1),
      /scheduler_config.json: expected at most 1048576 bytes, got 1048577/,
    ],
  ])('a scheduler_config.json that is %s', async (_, content, message) => {
    write('model.onnx', smallGraph());
    write('scheduler_config.json', content);
    expect((await failureOf(folder)).message).toMatch(message);
  });

  it.each([
    ['an empty file', new Uint8Array(), /^a.onnx: not an ONNX model, or damaged$/],
    ['a cut file', smallGraph().subarray(0, 60), /^a.onnx: not an ONNX model, or damaged$/],
    ['a pointer of Git LFS', 'version https://git-lfs.github.com/spec/v1\noid', /^a.onnx: a Git LFS pointer/],
    [
      'a graph without images',
      smallGraph({ image: { dims: ['N', 3] }, outDims: ['N', 3] }),
      /^a.onnx: expected inputs/,
    ],
  ])('%s', async (_, content, message) => {
    const error = await failureOf(write('a.onnx', content));
    expect(error.code).toBe('model-invalid');
    expect(error.message).toMatch(message);
  });

  it('another kind of file, with advice for weights without their config', async () => {
    expect((await failureOf(write('a.safetensors', ''))).message).toMatch(/give the folder that it is in/);
    expect((await failureOf(write('a.pt', ''))).message).toBe('a.pt: expected an .onnx or .ddpm file or a folder');
  });

  it.each([
    [
      undefined,
      '"source" expected a path, a URL, a bundled name or the bytes of an .onnx or .ddpm file, got undefined',
    ],
    ['', '"source" expected a path, a URL or a bundled name, got ""'],
    ['http://', '"source" expected a URL, got "http://"'],
    [new URL('ftp://host/a.onnx'), '"source" expected a file:, http: or https: URL, got "ftp://host/a.onnx"'],
  ])('a source of %j', async (source, message) => {
    expect((await failureOf(source)).message).toBe(message);
  });

  it('a "size" that is none', async () => {
    expect((await failureOf(smallGraph(), { size: 28 as never })).message).toMatch(/^"size" expected two numbers/);
    expect((await failureOf(smallGraph(), { size: [28, 0] })).message).toMatch(/^"size" expected an integer/);
  });
});

const shared = new URL('../../../shared/checkpoints/', import.meta.url);

describe.skipIf(!existsSync(shared))('loadModel: a diffusers checkpoint', () => {
  const source = new URL('modern-defaults/', shared);

  it('may keep its parts in folders', async () => {
    for (const name of ['config.json', 'diffusion_pytorch_model.safetensors'])
      write(`unet/${name}`, new Uint8Array(readFileSync(new URL(name, source))));
    write('scheduler/scheduler_config.json', scheduler);
    expect(await load(folder)).toMatchObject({ shape: [1, 16, 16], outChannels: 1, schedulerConfig: scheduler });
  });

  it('takes another image size, as a convolutional network can', async () => {
    expect(await load(source, { size: [24, 32] })).toMatchObject({ shape: [1, 24, 32] });
  });

  it('is refused with the name of the folder and the file that is cut or missing', async () => {
    cpSync(source, folder, { recursive: true });
    const weights = readFileSync(new URL('diffusion_pytorch_model.safetensors', source));
    rmSync(path.join(folder, 'diffusion_pytorch_model.safetensors'));
    expect((await failureOf(folder)).code).toBe('model-not-found');
    write('diffusion_pytorch_model.safetensors', new Uint8Array(weights.subarray(0, 5000)));
    const error = await failureOf(folder);
    expect(error.code).toBe('model-invalid');
    expect(error.message).toMatch(/model-\d+: diffusion_pytorch_model.safetensors/);
    rmSync(path.join(folder, 'config.json'));
    write('diffusion_pytorch_model.safetensors', new Uint8Array(weights));
    expect((await failureOf(folder)).message).toMatch(/expected a config.json beside the weights/);
  });
});

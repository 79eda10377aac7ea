import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeBundle } from '../../src/model/bundle.ts';
import { readSafetensors, toFloat32, writeSafetensors } from '../../src/onnx/index.ts';
import { ddpmWasm, temporaryFolder } from '../support/cli.ts';
import { maxDifference } from '../support/goldens.ts';

const checkpoints = path.resolve('../shared/checkpoints');
const source = path.join(checkpoints, 'class-scale-shift');

describe.skipIf(!existsSync(source))('ddpm-wasm convert', () => {
  const samples = async (cwd: string, model: string) => {
    const args = ['sample', model, '--sampler', 'ddim', '--steps', 4, '--count', 2, '--raw', 'raw.safetensors'];
    const outcome = await ddpmWasm(args, { cwd });
    expect(outcome).toMatchObject({ code: 0, stderr: '' });
    return toFloat32(readSafetensors(readFileSync(path.join(cwd, 'raw.safetensors'))).get('samples')!);
  };

  it('makes a folder that samples to the same bytes as the checkpoint', async () => {
    const cwd = temporaryFolder();
    const outcome = await ddpmWasm(['convert', source, '--out', 'model'], { cwd });
    expect(outcome).toMatchObject({ code: 0, stderr: '' });
    expect(outcome.stdout).toMatch(/^model\/model\.onnx: 0\.8\d MB of fp32, images of 3x8x8\n$/);
    const files = ['config.json', 'files.json', 'model.onnx', 'scheduler_config.json'];
    expect(readdirSync(path.join(cwd, 'model')).sort()).toEqual(files);
    expect(maxDifference(await samples(cwd, 'model'), await samples(cwd, source))).toBe(0);
  });

  it('lists the files of a folder with their digests, for who loads it from a URL', async () => {
    const cwd = temporaryFolder();
    await ddpmWasm(['convert', source, '--out', 'model'], { cwd });
    const read = (name: string) => readFileSync(path.join(cwd, 'model', name));
    const digest = (name: string) => ({ sha256: createHash('sha256').update(read(name)).digest('hex') });
    const names = ['config.json', 'scheduler_config.json', 'model.onnx'];
    expect(JSON.parse(read('files.json').toString())).toEqual(
      Object.fromEntries(names.map((name) => [name, digest(name)])),
    );
  });

  it('makes an .onnx file with its configs beside it, leaving other configs there alone', async () => {
    const cwd = temporaryFolder();
    writeFileSync(path.join(cwd, 'config.json'), '{ "mine": true }');
    const { code, stderr } = await ddpmWasm(['convert', source, '--out', 'net.onnx'], { cwd });
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: 'note: config.json is another one already and was left as it is\n',
    });
    expect(readFileSync(path.join(cwd, 'config.json'), 'utf8')).toBe('{ "mine": true }');
    expect(maxDifference(await samples(cwd, 'net.onnx'), await samples(cwd, source))).toBe(0);
  });

  it('--dtype fp16 halves the file and moves samples by less than 0.02', async () => {
    const cwd = temporaryFolder();
    await ddpmWasm(['convert', source, '--out', 'full'], { cwd });
    const { code, stdout } = await ddpmWasm(['convert', source, '--out', 'half', '--dtype', 'fp16', '--json'], { cwd });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ dtype: 'fp16', shape: [3, 8, 8], classes: 10 });
    const size = (folder: string) => statSync(path.join(cwd, folder, 'model.onnx')).size;
    expect(size('half') / size('full')).toBeLessThan(0.55);
    expect(maxDifference(await samples(cwd, 'half'), await samples(cwd, 'full'))).toBeLessThan(0.02);
  });

  it('gives the same bytes twice', async () => {
    const cwd = temporaryFolder();
    for (const out of ['a.onnx', 'b.onnx']) await ddpmWasm(['convert', source, '--out', out], { cwd });
    expect(readFileSync(path.join(cwd, 'a.onnx')).equals(readFileSync(path.join(cwd, 'b.onnx')))).toBe(true);
  });
});

describe('ddpm-wasm convert to a .ddpm bundle', () => {
  it('puts a bundled model, its card and its picture into one file that samples to the same bytes', async () => {
    const cwd = temporaryFolder();
    const { code, stdout, stderr } = await ddpmWasm(['convert', 'fashion', '--out', 'f.ddpm'], { cwd });
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'f.ddpm: 3.72 MB of fp16\n', stderr: '' });
    for (const model of ['fashion', 'f.ddpm']) {
      const out = `${path.parse(model).ext}.png`;
      await ddpmWasm(['sample', model, '--steps', 2, '--count', 2, '--out', out], { cwd });
    }
    const [a, b] = ['.png', '.ddpm.png'].map((file) => readFileSync(path.join(cwd, file)));
    expect(a.equals(b)).toBe(true);
  });

  it('is shown by inspect, and taken apart again into equal files', async () => {
    const cwd = temporaryFolder();
    await ddpmWasm(['convert', 'fashion', '--out', 'f.ddpm'], { cwd });
    const { stdout } = await ddpmWasm(['inspect', 'f.ddpm', '--steps', 2], { cwd });
    expect(stdout).toMatch(/^bundle {4}version 1, 3\.72 MB of fp16, with a preview, sha256 [0-9a-f]{64}$/m);
    expect(stdout).toMatch(/^card {6}fashion$/m);
    await ddpmWasm(['convert', 'f.ddpm', '--out', 'folder'], { cwd });
    for (const file of ['model.onnx', 'README.md', 'samples.png'])
      expect(readFileSync(path.join(cwd, 'folder', file)).equals(readFileSync(`models/fashion/${file}`))).toBe(true);
    // and back: the same parts are the same file
    await ddpmWasm(['convert', 'folder', '--out', 'g.ddpm'], { cwd });
    const [f, g] = await Promise.all(
      ['f.ddpm', 'g.ddpm'].map((file) => decodeBundle(new Uint8Array(readFileSync(path.join(cwd, file))))),
    );
    expect(Buffer.compare(g.network, f.network)).toBe(0);
    const { network, ...parts } = f;
    expect(g).toMatchObject({ ...parts, name: 'folder', sha256: g.sha256 });
  });

  it.skipIf(!existsSync(source))('converts a checkpoint on the way', async () => {
    const cwd = temporaryFolder();
    const args = ['convert', source, '--out', 'c.ddpm', '--dtype', 'fp16', '--json'];
    const { code, stdout } = await ddpmWasm(args, { cwd });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ out: 'c.ddpm', dtype: 'fp16', shape: [3, 8, 8], classes: 10 });
    const { name, config } = await decodeBundle(new Uint8Array(readFileSync(path.join(cwd, 'c.ddpm'))));
    expect([name, config?.sample_size]).toEqual(['class-scale-shift', 8]);
  });

  it.each([
    ['a graph anew in fp16', ['fashion', '--out', 'x.ddpm', '--dtype', 'fp16'], 2, '"--dtype" expected none'],
    ['a graph into a graph', ['fashion', '--out', 'x.onnx'], 1, 'fashion: it is an ONNX model already'],
    ['a card for a folder', ['fashion', '--out', 'x', '--card', 'a.md'], 2, '"--card" expected an --out that ends'],
    ['a card that is not there', ['fashion', '--out', 'x.ddpm', '--card', 'a.md'], 1, 'nothing at a.md'],
    ['into no folder', ['fashion', '--out', 'no/x.ddpm'], 1, 'cannot write no/x.ddpm: the folder no does not exist'],
  ])('refuses %s in one line', async (_, args, code, message) => {
    const cwd = temporaryFolder();
    const outcome = await ddpmWasm(['convert', ...args], { cwd });
    expect(outcome.stderr).toMatch(/^ddpm-wasm: [^\n]+\n$/);
    expect(outcome.stderr).toContain(message);
    expect({ code: outcome.code, files: readdirSync(cwd) }).toEqual({ code, files: [] });
  });

  it('refuses a damaged file before anything else', async () => {
    const cwd = temporaryFolder();
    await ddpmWasm(['convert', 'fashion', '--out', 'f.ddpm'], { cwd });
    const bytes = readFileSync(path.join(cwd, 'f.ddpm'));
    bytes[2_000_000] ^= 1;
    writeFileSync(path.join(cwd, 'f.ddpm'), bytes);
    expect(await ddpmWasm(['inspect', 'f.ddpm'], { cwd })).toEqual({
      code: 1,
      stdout: '',
      stderr: 'ddpm-wasm: f.ddpm: expected a network that its SHA-256 confirms, got damaged content\n',
    });
  });
});

describe('bad checkpoints give one line and exit 1 or 2, and leave nothing behind', () => {
  const config = {
    _class_name: 'UNet2DModel',
    sample_size: 8,
    in_channels: 1,
    out_channels: 1,
    block_out_channels: [8],
    down_block_types: ['DownBlock2D'],
    up_block_types: ['UpBlock2D'],
    layers_per_block: 1,
    norm_num_groups: 4,
    attention_head_dim: 8,
  };
  const weights = writeSafetensors({ 'conv_in.bias': { data: new Float32Array(8), shape: [8] } });
  const lying = new Uint8Array(weights);
  new DataView(lying.buffer).setBigUint64(0, 2n ** 60n, true);

  it.each([
    [
      'no folder',
      {},
      'nowhere',
      1,
      'nowhere: expected a file, a folder or a bundled model (fashion, sprites), found none',
    ],
    ['no config', { 'diffusion_pytorch_model.safetensors': weights }, 'in', 1, 'config.json'],
    ['no weights', { 'config.json': config }, 'in', 1, 'diffusion_pytorch_model.safetensors: expected the weights'],
    [
      'only a pickle',
      { 'config.json': config, 'diffusion_pytorch_model.bin': 'x' },
      'in',
      1,
      'safe_serialization=True',
    ],
    [
      'a config that is no JSON',
      { 'config.json': '{', 'diffusion_pytorch_model.safetensors': weights },
      'in',
      1,
      'config.json: not JSON',
    ],
    [
      'an unknown block',
      {
        'config.json': { ...config, down_block_types: ['SkipDownBlock2D'] },
        'diffusion_pytorch_model.safetensors': weights,
      },
      'in',
      1,
      '"SkipDownBlock2D"',
    ],
    [
      'missing tensors',
      { 'config.json': config, 'diffusion_pytorch_model.safetensors': weights },
      'in',
      1,
      'got no such tensor',
    ],
    ['a header that lies', { 'config.json': config, 'diffusion_pytorch_model.safetensors': lying }, 'in', 1, 'header'],
    [
      'a truncated file',
      { 'config.json': config, 'diffusion_pytorch_model.safetensors': weights.subarray(0, 40) },
      'in',
      1,
      'diffusion_pytorch_model.safetensors',
    ],
  ])('%s', async (_, files, from, code, message) => {
    const cwd = temporaryFolder();
    mkdirSync(path.join(cwd, 'in'));
    for (const [name, content] of Object.entries(files)) {
      const plain = typeof content === 'string' || content instanceof Uint8Array;
      writeFileSync(path.join(cwd, 'in', name), plain ? content : JSON.stringify(content));
    }
    const outcome = await ddpmWasm(['convert', from, '--out', 'out'], { cwd });
    expect(outcome.stderr).toContain(message);
    expect(outcome.stderr).toMatch(/^ddpm-wasm: [^\n]+\n$/);
    expect(outcome).toMatchObject({ code, stdout: '' });
    expect(existsSync(path.join(cwd, 'out'))).toBe(false);
  });

  it('no --out', async () => {
    const { code, stderr } = await ddpmWasm(['convert', 'in']);
    expect({ code, stderr }).toEqual({ code: 2, stderr: "ddpm-wasm: required option '--out <path>' not specified\n" });
  });

  it('a parent folder that does not exist', async () => {
    const outcome = await ddpmWasm(['convert', existsSync(source) ? source : 'in', '--out', '/nowhere/deep/out']);
    expect(outcome).toMatchObject({ code: 1, stdout: '' });
  });
});

describe('ddpm-wasm inspect', () => {
  it('prints the model, its schedule and the plan’s rows', async () => {
    const { code, stdout, stderr } = await ddpmWasm(['inspect', '--sampler', 'ddim', '--steps', 10]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('model     fashion, 1 x 28 x 28, predicts epsilon, on cpu');
    expect(stdout).toContain('T-shirt/top, Trouser');
    expect(stdout).toContain('plan      ddim, 10 rows, 10 network calls an image');
    expect(stdout).toMatch(/timestep +a +b +clip +model +start +sigma\n +900 +60\.8305 +-60\.8223 +1 /);
  });

  it('prints every digit with --json', async () => {
    const { stdout } = await ddpmWasm(['inspect', '--sampler', 'ddim', '--steps', 4, '--json']);
    const { model, schedule, plan } = JSON.parse(stdout);
    expect(model).toMatchObject({ name: 'fashion', classes: 11, unconditional: 10 });
    expect(schedule).toMatchObject({ className: 'DDPMScheduler', betaSchedule: 'linear' });
    expect(plan).toMatchObject({ sampler: 'ddim', calls: 4, timesteps: [750, 500, 250, 0] });
    expect(plan.rows[0]).toMatchObject({ timestep: 750, clip: 1, sigma: 0 });
  });
});

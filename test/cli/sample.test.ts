import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { decode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { readSafetensors, toFloat32 } from '../../src/onnx/index.ts';
import { cli, ddpmWasm, temporaryFolder } from '../support/cli.ts';
import { maxDifference } from '../support/goldens.ts';

const checkpoints = path.resolve('../shared/checkpoints');
const quick = ['--steps', 2, '--count', 2];

describe('ddpm-wasm sample', () => {
  it('writes a grid of 16 images of the bundled model to samples.png', async () => {
    const cwd = temporaryFolder();
    const { code, stdout, stderr } = await ddpmWasm(['sample', '--steps', 2], { cwd });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^samples\.png: 16 images of 28x28 from fashion, .* in 2 steps, seed 0, [\d.]+ s on cpu\n$/);
    const image = decode(readFileSync(path.join(cwd, 'samples.png')));
    expect(image).toMatchObject({ width: 4 * 84 + 10, height: 4 * 84 + 10, channels: 1, depth: 8 });
  });

  it('gives byte-identical files for the same seed, others for another', async () => {
    const cwd = temporaryFolder();
    for (const [out, seed] of [
      ['a.png', 7],
      ['b.png', 7],
      ['c.png', 8],
    ])
      await ddpmWasm(['sample', ...quick, '--seed', seed, '--out', out], { cwd });
    const [a, b, c] = ['a', 'b', 'c'].map((name) => readFileSync(path.join(cwd, `${name}.png`)));
    expect(a.equals(b)).toBe(true);
    expect(a.equals(c)).toBe(false);
  });

  it('differs by at most 1 grey level between batches of 1 and of 8', async () => {
    const cwd = temporaryFolder();
    const images = [];
    for (const batch of [1, 8]) {
      const args = [
        'sample',
        '--sampler',
        'ddim',
        '--eta',
        1,
        '--steps',
        10,
        '--count',
        8,
        '--scale',
        1,
        '--batch',
        batch,
      ];
      await ddpmWasm([...args, '--out', 'out.png'], { cwd });
      images.push(decode(readFileSync(path.join(cwd, 'out.png'))).data);
    }
    expect(maxDifference(images[0], images[1])).toBeLessThanOrEqual(1);
  });

  it('prints one JSON object with --json, and writes float32 samples with --raw', async () => {
    const cwd = temporaryFolder();
    const args = [
      'sample',
      '--sampler',
      'ddim',
      ...quick,
      '--class',
      'Bag,Sneaker',
      '--raw',
      'raw.safetensors',
      '--json',
    ];
    const { code, stdout } = await ddpmWasm(args, { cwd });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      model: 'fashion',
      sampler: 'ddim',
      steps: 2,
      timesteps: [500, 0],
      count: 2,
      seed: '0',
      files: { raw: 'raw.safetensors' },
    });
    const samples = readSafetensors(readFileSync(path.join(cwd, 'raw.safetensors'))).get('samples')!;
    expect(samples.shape).toEqual([2, 1, 28, 28]);
    expect(toFloat32(samples).every((v) => Math.abs(v) <= 1.5)).toBe(true);
    expect(readdirSync(cwd)).toEqual(['raw.safetensors']);
  });

  it('animates the denoising', async () => {
    const cwd = temporaryFolder();
    const { code } = await ddpmWasm(['sample', '--steps', 4, '--count', 2, '--animate', 'film.png'], { cwd });
    expect(code).toBe(0);
    const film = readFileSync(path.join(cwd, 'film.png'));
    expect(film.includes('acTL')).toBe(true);
    expect(film.readUInt32BE(film.indexOf('acTL') + 4)).toBe(4);
    // the last frame is shown with what the network made of it; both are the finished images
    expect(decode(film)).toMatchObject({ channels: 1 });
  });

  it('takes classes by name and index, and another class gives another image', async () => {
    const cwd = temporaryFolder();
    const image = async (label: string) => {
      await ddpmWasm(['sample', '--steps', 10, '--count', 1, '--class', label, '--out', 'one.png'], { cwd });
      return readFileSync(path.join(cwd, 'one.png'));
    };
    const [byName, byIndex, other] = [await image('sneaker'), await image('7'), await image('Bag')];
    expect(byName.equals(byIndex)).toBe(true);
    expect(byName.equals(other)).toBe(false);
  });

  it('is interrupted by Ctrl-C with exit 130, leaving no file', async () => {
    const cwd = temporaryFolder();
    const { code, stderr } = await ddpmWasm(['sample', '--steps', 1000, '--sampler', 'ddpm'], {
      cwd,
      signalAfter: 1500,
    });
    expect({ code, stderr }).toEqual({ code: 130, stderr: 'ddpm-wasm: interrupted\n' });
    expect(readdirSync(cwd)).toEqual([]);
  });
});

describe('whole runs of diffusers checkpoints are within 1e-3 of diffusers’ with torch’s random numbers', () => {
  const cases = existsSync(checkpoints)
    ? readdirSync(checkpoints).flatMap((name) => {
        const file = path.join(checkpoints, name, 'expected.json');
        const { runs = {}, class_labels } = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
        return Object.entries(runs).map(([run, options]) => ({ name, run, options, labels: class_labels }) as const);
      })
    : [];
  it.each(cases)('$name $run', async ({ name, run, options, labels }) => {
    const cwd = temporaryFolder();
    const { sampler, steps, eta, seed } = options as Record<string, number>;
    const args = ['sample', path.join(checkpoints, name), '--rng', 'torch', '--seed', seed, '--sampler', sampler];
    args.push('--steps', steps, '--count', 2, '--raw', 'raw.safetensors');
    if (eta !== null) args.push('--eta', eta);
    if (labels) args.push('--class', labels.join(','));
    const { code, stderr } = await ddpmWasm(args, { cwd });
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const samples = toFloat32(readSafetensors(readFileSync(path.join(cwd, 'raw.safetensors'))).get('samples')!);
    const expected = readSafetensors(readFileSync(path.join(checkpoints, name, 'expected.safetensors'))).get(run)!;
    expect(maxDifference(samples, toFloat32(expected))).toBeLessThan(1e-3);
  });
});

describe('output that nobody reads', () => {
  it('ends a command quietly', async () => {
    const child = spawn(process.execPath, [cli, 'sample', '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    let stderr = '';
    child.stderr.on('data', (data) => {
      stderr += data;
    });
    const [code] = await once(child, 'close');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });
});

describe('bad input gives one line and an exit code', () => {
  it.each([
    ['--steps 0', 2, 'ddpm-wasm: "--steps" expected an integer in 1..1000, got 0'],
    ['--steps 5000', 2, 'ddpm-wasm: "--steps" expected an integer in 1..1000, got 5000'],
    ['--steps ten', 2, 'ddpm-wasm: "--steps" expected a number, got "ten"'],
    ['--seed banana', 2, 'ddpm-wasm: "--seed" expected an integer in 0..2^64-1, got "banana"'],
    ['--seed 18446744073709551616', 2, 'ddpm-wasm: "--seed" expected an integer in 0..2^64-1'],
    [
      '--sampler magic',
      2,
      "ddpm-wasm: option '--sampler <name>' argument 'magic' is invalid. Allowed choices are ddpm, ddim",
    ],
    ['--class Spaceship', 2, 'ddpm-wasm: "--class" expected one of T-shirt/top, '],
    ['--class 99', 2, 'ddpm-wasm: "--class" expected an integer in 0..10, got 99'],
    ['--count 0', 2, 'ddpm-wasm: "--count" expected an integer in 1..1000000, got 0'],
    ['--sampler dpm-solver++ --order 9', 2, 'ddpm-wasm: "--order" expected'],
    ['--eta 2', 2, 'ddpm-wasm: "--eta" expected a number in 0..1, got 2'],
    ['--bogus', 2, "ddpm-wasm: unknown option '--bogus'"],
    ['--out samples.jpg', 2, "ddpm-wasm: option '--out <file.png>' argument 'samples.jpg' is invalid."],
    ['--out nowhere/samples.png', 1, 'ddpm-wasm: cannot write nowhere/samples.png: the folder nowhere does not exist'],
    ['--out folder.png', 1, 'ddpm-wasm: cannot write folder.png: it is a folder'],
    [
      'no-such-model',
      1,
      'ddpm-wasm: no-such-model: expected a file, a folder or a bundled model (fashion, sprites), found none',
    ],
    ['text.onnx', 1, 'ddpm-wasm: text.onnx: '],
    ['empty', 1, 'ddpm-wasm: empty: '],
    ['--device cuda', 1, 'ddpm-wasm: cuda: '],
  ])('%s', async (args, code, message) => {
    const cwd = temporaryFolder();
    mkdirSync(path.join(cwd, 'folder.png'));
    mkdirSync(path.join(cwd, 'empty'));
    writeFileSync(path.join(cwd, 'text.onnx'), 'this is not a network');
    const before = readdirSync(cwd);
    const outcome = await ddpmWasm(['sample', ...args.split(' ')], { cwd });
    expect(outcome.stderr).toContain(message);
    expect(outcome.stderr.trim().split('\n')).toHaveLength(1);
    expect(outcome).toMatchObject({ code, stdout: '' });
    expect(readdirSync(cwd)).toEqual(before);
  });

  it('--debug shows where', async () => {
    const { code, stderr } = await ddpmWasm(['sample', 'no-such-model', '--debug']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/\n +at /);
  });
});

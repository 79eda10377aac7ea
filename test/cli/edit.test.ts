import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { decode, encode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { readSafetensors, toFloat32, writeSafetensors } from '../../src/onnx/index.ts';
import { ddpmWasm, temporaryFolder } from '../support/cli.ts';
import { greyLevels } from '../support/oracle.ts';

const size = { width: 28, height: 28, channels: 1 } as const;

/** A folder with a picture, a mask of its right half, and things that do not fit. */
function studio(): string {
  const cwd = temporaryFolder();
  const at = (i: number) => [i % 28, Math.floor(i / 28)];
  const bag = Uint8Array.from({ length: 784 }, (_, i) => {
    const [x, y] = at(i);
    return x > 4 && x < 23 && y > 9 && y < 24 ? 180 : 0;
  });
  const right = Uint8Array.from({ length: 784 }, (_, i) => (at(i)[0] >= 14 ? 255 : 0));
  writeFileSync(path.join(cwd, 'bag.png'), encode({ ...size, data: bag }));
  writeFileSync(path.join(cwd, 'right.png'), encode({ ...size, data: right }));
  writeFileSync(path.join(cwd, 'wide.png'), encode({ ...size, width: 30, data: new Uint8Array(840) }));
  writeFileSync(path.join(cwd, 'text.png'), 'this is no picture');
  const samples = { data: new Float32Array(4), shape: [1, 1, 2, 2] };
  writeFileSync(path.join(cwd, 'small.safetensors'), writeSafetensors({ samples }));
  return cwd;
}

const pixels = (cwd: string, name: string) => decode(readFileSync(path.join(cwd, name))).data;
const quick = ['--sampler', 'ddim', '--eta', 1, '--steps', 10, '--class', 'Bag', '--scale', 1];

describe('ddpm-wasm sample from images', () => {
  it('--init and --strength change an image by so much', async () => {
    const cwd = studio();
    for (const strength of [0.1, 0.9]) {
      const args = ['sample', ...quick, '--init', 'bag.png', '--strength', strength, '--count', 1];
      const { code, stdout } = await ddpmWasm([...args, '--out', `${strength}.png`], { cwd });
      expect(code).toBe(0);
      expect(stdout).toContain(`ddim in ${10 * strength} steps`);
    }
    const distance = (name: string) => greyLevels(pixels(cwd, name), pixels(cwd, 'bag.png')) / 127.5;
    expect(distance('0.1.png')).toBeLessThan(15);
    expect(distance('0.9.png')).toBeGreaterThan(distance('0.1.png'));
  });

  it('--mask repaints what is white and keeps what is black to the byte, with jumps too', async () => {
    const cwd = studio();
    const bag = pixels(cwd, 'bag.png');
    for (const jumps of [[], ['--jump-length', 4, '--jump-count', 2]]) {
      const args = ['sample', ...quick, '--init', 'bag.png', '--mask', 'right.png', '--count', 1, '--out', 'out.png'];
      expect(await ddpmWasm([...args, ...jumps], { cwd })).toMatchObject({ code: 0, stderr: '' });
      const out = pixels(cwd, 'out.png');
      const changed = Array.from(out, (v, i) => (v !== bag[i] ? i % 28 : -1)).filter((x) => x >= 0);
      expect(changed.length).toBeGreaterThan(20);
      expect(Math.min(...changed)).toBeGreaterThanOrEqual(14);
    }
  });

  it('--interpolate makes a strip from one seed to another, the same as the library’s noise of those seeds', async () => {
    const cwd = studio();
    const args = ['--sampler', 'ddim', '--steps', 5, '--class', 'Bag'];
    await ddpmWasm(['sample', ...args, '--interpolate', '1,2', '--count', 3, '--raw', 'strip.safetensors'], { cwd });
    await ddpmWasm(['sample', ...args, '--seed', 1, '--count', 1, '--raw', 'one.safetensors'], { cwd });
    const [strip, one] = ['strip', 'one'].map(
      (name) => readSafetensors(readFileSync(path.join(cwd, `${name}.safetensors`))).get('samples')!,
    );
    expect(strip.shape).toEqual([3, 1, 28, 28]);
    expect(greyLevels(toFloat32(strip).slice(0, 784), toFloat32(one))).toBeLessThan(0.01);
  });
});

describe('ddpm-wasm invert', () => {
  it('finds noise that sample --start makes the image from again, within 4 grey levels', async () => {
    const cwd = studio();
    const args = ['invert', 'bag.png', '--steps', 30, '--out', 'bag.safetensors', '--reconstruct', 'again.png'];
    const { code, stdout, stderr } = await ddpmWasm(args, { cwd });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /^bag\.safetensors: the noise of 1 image for fashion, ddim-inverse in 30 steps\nagain\.png: /,
    );
    const again = ['sample', '--start', 'bag.safetensors', '--steps', 30, '--scale', 1, '--out', 'back.png'];
    expect((await ddpmWasm(again, { cwd })).code).toBe(0);
    expect(greyLevels(pixels(cwd, 'back.png'), pixels(cwd, 'bag.png')) / 127.5).toBeLessThan(4);
    const strip = ['sample', '--interpolate', 'bag.safetensors,7', '--steps', 5, '--count', 2, '--out', 'strip.png'];
    expect((await ddpmWasm(strip, { cwd })).code).toBe(0);
  });

  it('prints one JSON object with --json', async () => {
    const cwd = studio();
    const args = ['invert', 'bag.png', 'bag.png', '--steps', 3, '--refine', 0, '--out', 'l.safetensors', '--json'];
    const { stdout } = await ddpmWasm(args, { cwd });
    expect(JSON.parse(stdout)).toMatchObject({ model: 'fashion', count: 2, steps: 3, files: { out: 'l.safetensors' } });
    const { shape } = readSafetensors(readFileSync(path.join(cwd, 'l.safetensors'))).get('samples')!;
    expect(shape).toEqual([2, 1, 28, 28]);
  });
});

describe('bad input gives one line that names the flag, and leaves no file', () => {
  it.each([
    ['sample --init wide.png', 2, '"--init" expected an image of 28x28 or a whole multiple of it, got "30x28"'],
    ['sample --init text.png', 2, '"--init" expected a PNG'],
    ['sample --init none.png', 1, '--init: cannot read none.png: it does not exist'],
    ['sample --strength 0.5', 2, '"--strength" expected "init" beside it'],
    ['sample --init bag.png --strength 2', 2, '"--strength" expected a number in 0..1, got 2'],
    ['sample --mask right.png', 2, '"--mask" expected "init" beside it'],
    ['sample --init bag.png --jump-count 3', 2, '"--jump-count" expected "mask" beside it'],
    [
      'sample --init bag.png --mask right.png --steps 5 --jump-count 3',
      2,
      '"--jump-length" expected an integer in 1..4',
    ],
    ['sample --init bag.png --start small.safetensors', 2, '"--start" expected none beside "--init"'],
    ['sample --start small.safetensors', 2, '"--start" expected samples of shape [n, 1, 28, 28] in small.safetensors'],
    ['sample --interpolate 1', 2, "option '--interpolate <a,b>' argument '1' is invalid."],
    ['sample --interpolate 1,2 --seed 3', 2, '"--seed" expected none beside "--interpolate"'],
    ['sample --guidance 3 --guidance-rescale 7', 2, '"--guidance-rescale" expected a number in 0..1, got 7'],
    ['invert wide.png --out x.safetensors', 2, '"<images>" expected an image of 28x28'],
    ['invert bag.png', 2, "required option '--out <file.safetensors>' not specified"],
    ['invert bag.png --out x.safetensors --refine -1', 2, '"--refine" expected an integer in 0..100, got -1'],
  ])('%s', async (args, code, message) => {
    const cwd = studio();
    const before = readdirSync(cwd);
    const outcome = await ddpmWasm(args.split(' '), { cwd });
    expect(outcome.stderr).toContain(message);
    expect(outcome.stderr.trim().split('\n')).toHaveLength(1);
    expect(outcome).toMatchObject({ code, stdout: '' });
    expect(readdirSync(cwd)).toEqual(before);
  });
});

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { bytesOf, idx, png, write } from '../datasets/support.ts';
import { ddpmWasm, temporaryFolder } from '../support/cli.ts';

const labelled = (count: number, label = (i: number) => i % 10) => ({
  'images-idx3-ubyte': idx([count, 28, 28]),
  'labels-idx1-ubyte': idx(
    [count],
    Uint8Array.from({ length: count }, (_, i) => label(i)),
  ),
});

describe('ddpm-wasm evaluate', () => {
  it('prints the error of the noise and the bound of an idx file, and writes a report that needs nothing else', async () => {
    const cwd = write(temporaryFolder(), labelled(6));
    const flags = ['--data', 'images-idx3-ubyte', '--bound-timesteps', 3, '--seed', 5, '--report', 'report.html'];
    const { code, stdout, stderr } = await ddpmWasm(['evaluate', ...flags], { cwd });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const lines = stdout.split('\n');
    expect(lines[0]).toMatch(
      /^variational bound {2}[\d.]+ ± [\d.]+ bits\/dim {2}3 of 1000 steps an image, stratified$/,
    );
    expect(lines[1]).toMatch(/^noise error {8}[\d.]+ ± [\d.]+/);
    expect(lines[3]).toMatch(/^6 images, [\d.]+ s, report\.html$/);

    const report = readFileSync(path.join(cwd, 'report.html'), 'utf8');
    expect(report.match(/<svg /g)).toHaveLength(2);
    expect(report.match(/<img src="data:image\/png;base64,/g)).toHaveLength(2);
    expect(report.replaceAll('http://www.w3.org/', '')).not.toMatch(/https?:|<script|url\(/);
    expect(report).toContain('--data images-idx3-ubyte --metrics simple,vlb --bound-timesteps 3 --seed 5');
    expect(report).not.toContain('Partial');
    expect(readdirSync(cwd).sort()).toEqual(['images-idx3-ubyte', 'labels-idx1-ubyte', 'report.html']);
  });

  it('prints one JSON object with --json, the same every time but for the seconds', async () => {
    const cwd = write(temporaryFolder(), labelled(3));
    const run = async () => {
      const { stdout } = await ddpmWasm(['evaluate', '--data', 'images-idx3-ubyte', '--metrics', 'simple', '--json'], {
        cwd,
      });
      const { seconds, ...rest } = JSON.parse(stdout);
      expect(seconds).toBeGreaterThan(0);
      return rest;
    };
    const found = await run();
    expect(found).toMatchObject({
      model: 'fashion',
      images: 3,
      complete: true,
      problems: [],
      simple: { noise: { count: 3 } },
    });
    expect(await run()).toEqual(found);
  });

  it('names the images that it skips, and stops at the first with --strict', async () => {
    const broken = png(28, 28, 90).slice(0, 60);
    const cwd = write(temporaryFolder(), {
      'a/1.png': png(28, 28, 30),
      'a/2.png': broken,
      'b/3.png': png(40, 30, 200),
    });
    const flags = ['--data', cwd, '--metrics', 'simple'];
    const lenient = await ddpmWasm(['evaluate', ...flags, '--report', 'r.html'], { cwd: temporaryFolder() });
    expect(lenient).toMatchObject({ code: 0, stdout: expect.stringContaining('2 of 3 images') });
    expect(lenient.stderr).toMatch(/^skipped a\/2\.png: .+\n$/);
    const strict = await ddpmWasm(['evaluate', ...flags, '--strict']);
    expect(strict.code).toBe(1);
    expect(strict.stderr).toMatch(/^ddpm-wasm: .*2\.png.*\n$/);
  });

  it.each([
    ['a wrong magic', { 'x-idx3-ubyte': Uint8Array.of(0, 0, 9, 9, 1, 2, 3, 4) }, 'x-idx3-ubyte'],
    ['no images', { 'notes.txt': 'nothing to see' }, '.'],
    ['a truncated gzip', { 'x.gz': gzipSync(idx([9, 28, 28], bytesOf([9, 28, 28]))).subarray(0, 400) }, 'x.gz'],
  ])('fails in one line on %s', async (_, files, place) => {
    const cwd = write(temporaryFolder(), files);
    const { code, stdout, stderr } = await ddpmWasm(['evaluate', '--data', place, '--metrics', 'simple'], { cwd });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^(note: [^\n]+\n)?ddpm-wasm: [^\n]+\n$/);
    expect(stderr).not.toContain('(unexpected');
  });

  it('names a label that the model has no class for, and goes on with the others', async () => {
    const cwd = write(
      temporaryFolder(),
      labelled(4, (i) => (i === 2 ? 77 : i)),
    );
    const { code, stdout, stderr } = await ddpmWasm(
      ['evaluate', '--data', 'images-idx3-ubyte', '--metrics', 'simple'],
      { cwd },
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(/^skipped .*77/) });
    expect(stdout).toContain('3 of 4 images');
  });

  it.each([
    [['--metrics', 'beauty'], '--metrics'],
    [['--metrics', 'simple', '--timesteps', 0], '--timesteps'],
    [['--bound-timesteps', 1], '--bound-timesteps'],
    [['--metrics', 'likelihood', '--tolerance', -1], '--tolerance'],
    [['--class', 99], '--class'],
  ])('exits with 2 on %j', async (flags, flag) => {
    const cwd = write(temporaryFolder(), labelled(1));
    const { code, stderr } = await ddpmWasm(['evaluate', '--data', 'images-idx3-ubyte', ...flags], { cwd });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^ddpm-wasm: [^\n]+\n$/);
    expect(stderr).toContain(flag);
  });

  it('reports what it has when interrupted, marked partial, and exits with 130', async () => {
    const cwd = write(temporaryFolder(), labelled(40_000));
    const flags = ['--data', 'images-idx3-ubyte', '--metrics', 'simple', '--batch', 8, '--report', 'r.html'];
    const { code, stdout, stderr } = await ddpmWasm(['evaluate', ...flags], { cwd, signalAfter: 8000 });
    expect({ code, stderr }).toEqual({ code: 130, stderr: '' });
    expect(stdout).toMatch(/^partial: \d+ of 40000 images, /m);
    expect(readFileSync(path.join(cwd, 'r.html'), 'utf8')).toContain('Partial: the evaluation was stopped');
  });
});

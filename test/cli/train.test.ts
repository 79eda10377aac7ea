import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodePng } from '../../src/image/png.ts';
import { readSafetensors, toFloat32 } from '../../src/onnx/safetensors.ts';
import { listCheckpoints, loadCheckpoint } from '../../src/train/checkpoint.ts';
import { write } from '../datasets/support.ts';
import { cli, ddpmWasm, temporaryFolder } from '../support/cli.ts';
import { killed, trainingFolder, trainUntil } from '../support/training.ts';

const train = (cwd: string, ...args: (string | number)[]) =>
  ddpmWasm(['train', '--config', 'config.json', '--out', 'run', ...args], { cwd });
const weights = (cwd: string) => readFileSync(path.join(cwd, 'run/diffusion_pytorch_model.safetensors'));
const metrics = (cwd: string) =>
  readFileSync(path.join(cwd, 'run/metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('ddpm-wasm train', () => {
  it('leaves a model that sample reads, metrics, sheets, its config and a report', async () => {
    const looks = { evaluation: { every: 10, images: 8 }, samples: { every: 15, count: 4 } };
    const cwd = trainingFolder(temporaryFolder(), looks);
    const { code, stdout, stderr } = await train(cwd);
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(/^[\d.]+ k parameters\n/) });
    expect(stderr).toMatch(/^step 20\/30, \d+ s left, loss [\d.]+, held out [\d.]+ ± [\d.]+, [\d.]+ images\/s$/m);
    expect(stdout).toMatch(/^run: [\d.]+ k parameters, 30 steps, loss [\d.]+, held out .+ images\/s\n$/);

    expect(metrics(cwd).map(({ type, step }) => `${type} ${step}`)).toEqual(
      [10, 20, 30].flatMap((step) => [`record ${step}`, `evaluation ${step}`]),
    );
    expect(metrics(cwd)[1].simple.noise).toEqual(metrics(cwd)[1].heldOut);
    expect(readdirSync(path.join(cwd, 'run/samples')).sort()).toEqual(['step-000015.png', 'step-000030.png']);
    const sheet = await decodePng(readFileSync(path.join(cwd, 'run/samples/step-000030.png')));
    expect(sheet).toMatchObject({ width: 2 * 66 + 2, height: 2 * 66 + 2, channels: 1 });
    const report = readFileSync(path.join(cwd, 'run/report.html'), 'utf8');
    expect(report).toContain('Step 30 of 30, complete.');
    expect(report).toContain('ddpm-wasm train --out run --resume --steps 60');
    expect(report).not.toContain('http-equiv="refresh"');

    const config = JSON.parse(readFileSync(path.join(cwd, 'run/training.json'), 'utf8'));
    expect(config).toMatchObject({ steps: 30, batch: 4, seed: 3, optimizer: { betas: [0.9, 0.999] } });
    const labels = JSON.parse(readFileSync(path.join(cwd, 'run/labels.json'), 'utf8'));
    expect(labels).toEqual({ labels: ['bright', 'dark'], unconditional: 2 });
    const sampled = await ddpmWasm(
      ['sample', 'run', '--class', 'dark', '--sampler', 'ddim', '--steps', 2, '--count', 2, '--raw', 'raw.safetensors'],
      { cwd },
    );
    expect(sampled).toMatchObject({ code: 0, stderr: '' });
    const samples = readSafetensors(readFileSync(path.join(cwd, 'raw.safetensors'))).get('samples')!;
    expect(samples.shape).toEqual([2, 1, 8, 8]);
    expect(toFloat32(samples).every(Number.isFinite)).toBe(true);
  });

  it('prints one JSON object with --json and nothing else; flags override the config', async () => {
    const cwd = trainingFolder(temporaryFolder(), { minutes: 60, steps: undefined });
    const { code, stdout, stderr } = await train(cwd, '--steps', 10, '--batch', 2, '--seed', 9, '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const checkpoint = path.join('run', 'checkpoints', 'checkpoint-000002.msgpack');
    const facts = { step: 10, complete: true, folder: 'run', heldOut: null, checkpoint };
    const found = JSON.parse(stdout);
    expect(found).toMatchObject(facts);
    for (const key of ['seconds', 'imagesPerSecond', 'loss', 'parameters']) expect(found[key], key).toBeGreaterThan(0);
    const { state } = await loadCheckpoint(path.join(cwd, checkpoint));
    expect(state.config).toMatchObject({ steps: 10, minutes: null, batch: 2, seed: 9, data: { path: 'images' } });
  });
});

describe('a run of 60 steps', () => {
  let reference: Promise<Buffer> | undefined;
  /** The weights that it ends with when nothing happens. */
  const whole = () => {
    const cwd = trainingFolder(temporaryFolder(), { steps: 60 });
    reference ??= train(cwd, '--json').then(() => weights(cwd));
    return reference;
  };

  it('that Ctrl-C ends has a model and a checkpoint, and goes on to the same weights byte for byte', async () => {
    const cwd = trainingFolder(temporaryFolder(), { steps: 60 });
    const flags = ['--config', 'config.json', '--out', 'run'];
    const { code, stdout, stderr } = await trainUntil(flags, {
      cwd,
      signal: 'SIGINT',
      when: (said) => said.includes('\nstep 10/'),
    });
    expect(code).toBe(130);
    const [, step] = /ddpm-wasm: interrupted after step (\d+); ddpm-wasm train --out run --resume goes on\n$/.exec(
      stderr,
    )!;
    expect(Number(step)).toBeGreaterThanOrEqual(10);
    expect(Number(step)).toBeLessThan(60);
    expect(stdout).toContain(`${step} steps`);
    expect(weights(cwd).equals(await whole())).toBe(false);
    expect((await loadCheckpoint(path.join(cwd, 'run/checkpoints'))).state.step).toBe(Number(step));
    expect(readFileSync(path.join(cwd, 'run/report.html'), 'utf8')).toContain(`Step ${step} of 60, interrupted.`);

    // what a process that was killed later might have left
    const late = '{"type":"record","step":999,"loss":1}\n{"type":"record","st';
    appendFileSync(path.join(cwd, 'run/metrics.jsonl'), late);
    const again = await ddpmWasm(['train', '--out', 'run', '--resume'], { cwd });
    expect(again).toMatchObject({ code: 0, stderr: expect.stringContaining(`going on after step ${step}\n`) });
    expect(weights(cwd).equals(await whole())).toBe(true);
    expect(metrics(cwd).map(({ type, step }) => `${type} ${step}`)).toEqual(
      [1, 2, 3, 4, 5, 6].map((n) => `record ${n}0`),
    );
    // nothing is left to do
    expect(await ddpmWasm(['train', '--out', 'run', '--resume'], { cwd })).toMatchObject({ code: 0 });
    expect(weights(cwd).equals(await whole())).toBe(true);
  });

  it('that is killed at three moments and resumed ends with the same weights; every checkpoint can be read', async () => {
    const cwd = trainingFolder(temporaryFolder(), { steps: 60 });
    const place = path.join(cwd, 'run/checkpoints');
    const each = async () => {
      for (const name of await listCheckpoints(place)) await loadCheckpoint(path.join(place, name));
    };
    expect(await killed(['--config', 'config.json', '--out', 'run'], { cwd, kills: 3, seed: 5, each })).toBe(3);
    expect(await train(cwd, '--resume', '--json')).toMatchObject({ code: 0, stderr: '' });
    expect(weights(cwd).equals(await whole())).toBe(true);
    expect(metrics(cwd).map(({ step }) => step)).toEqual([10, 20, 30, 40, 50, 60]);
  });

  it.skipIf(process.platform === 'win32')(
    'that finds no room keeps the last good checkpoint and names it',
    async () => {
      const cwd = trainingFolder(temporaryFolder(), { steps: 60 });
      expect(await train(cwd, '--steps', 10, '--json')).toMatchObject({ code: 0 });
      // blocks of a kilobyte, less than a checkpoint; the signal would end the process before it could say anything
      const limited = `trap '' XFSZ; ulimit -f 100; exec "$0" "$@"`;
      const args = [process.execPath, cli, 'train', '--out', 'run', '--resume', '--steps', '15', '--json'];
      const { status, stderr } = spawnSync('bash', ['-c', limited, ...args], { cwd, encoding: 'utf8' });
      expect(status).toBe(1);
      expect(stderr).toMatch(
        /^ddpm-wasm: cannot write .+ larger than the system allows; the last good checkpoint is .+\n$/,
      );
      expect(stderr).toContain('checkpoint-000002.msgpack\n');
      expect(await train(cwd, '--resume', '--steps', 15, '--json')).toMatchObject({ code: 0 });
    },
  );
});

describe('what cannot be is said in one line, and leaves what is there', () => {
  it.each([
    ['no images named', { data: {} }, [], 2, '"--data" expected the images to train on'],
    ['no such images', {}, ['--data', 'nowhere'], 1, 'nowhere'],
    ['no image at all', {}, ['--data', 'empty'], 1, 'empty: no usable image'],
    ['an unknown key', { optimiser: {} }, [], 1, '"optimiser" expected no such key'],
    [
      'a wrong value',
      { optimizer: { learningRate: -1 } },
      [],
      1,
      '"optimizer.learningRate" expected a number in 0..10',
    ],
    ['sizes that the levels do not divide', { model: { sample_size: 9, block_out_channels: [8, 8] } }, [], 1, '9'],
    ['groups that do not divide', { model: { norm_num_groups: 3, block_out_channels: [8] } }, [], 1, 'norm_num_groups'],
    ['no steps', {}, ['--steps', 0], 2, '"--steps" expected an integer of at least 1'],
    ['steps and minutes', {}, ['--steps', 9, '--minutes', 1], 2, '--minutes'],
    ['no config', {}, ['--config', 'other.json'], 2, '"--config" expected a JSON file'],
    ['a config that is no JSON', {}, ['--config', 'images/notes.json'], 1, 'images/notes.json: not JSON'],
  ])('%s', async (_, config, flags, code, message) => {
    const cwd = trainingFolder(temporaryFolder(), config);
    write(cwd, { 'images/notes.json': '{', 'empty/notes.txt': 'nothing to see' });
    const outcome = await train(cwd, ...flags);
    expect(outcome).toMatchObject({ code, stdout: '' });
    expect(outcome.stderr).toMatch(/^ddpm-wasm: [^\n]+\n$/);
    expect(outcome.stderr).toContain(message);
    expect(outcome.stderr).not.toContain('(unexpected');
    expect(existsSync(path.join(cwd, 'run'))).toBe(false);
  });

  it('a folder with checkpoints without --resume, or with a model that is none of a run', async () => {
    const cwd = trainingFolder(temporaryFolder());
    await train(cwd, '--steps', 5, '--json');
    const before = weights(cwd);
    const refused = await train(cwd, '--steps', 5);
    expect(refused).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/^[^\n]+--resume[^\n]+\n$/) });
    const other = ['--config', 'config.json', '--out', 'images', '--resume'];
    writeFileSync(path.join(cwd, 'images/config.json'), '{}');
    expect(await ddpmWasm(['train', ...other], { cwd })).toMatchObject({ code: 2, stdout: '' });
    expect(readFileSync(path.join(cwd, 'images/config.json'), 'utf8')).toBe('{}');
    expect(weights(cwd).equals(before)).toBe(true);
  });

  it('a loss that is no number: the step and the last good checkpoint', async () => {
    // each step makes every parameter 99 times as large
    const optimizer = { learningRate: 10, weightDecay: 10, warmupSteps: 0, clip: null };
    const cwd = trainingFolder(temporaryFolder(), { optimizer, checkpoints: { every: 1 } });
    const { code, stdout, stderr } = await train(cwd, '--json');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    const [, step, name] = /^ddpm-wasm: step (\d+): the loss is .+; the last good checkpoint is (\S+)\n$/.exec(stderr)!;
    expect((await loadCheckpoint(path.join(cwd, name))).state.step).toBe(Number(step) - 1);
    expect(readFileSync(path.join(cwd, 'run/report.html'), 'utf8')).toMatch(
      /failed\..*class="warning">step \d+: the loss/s,
    );
  });
});

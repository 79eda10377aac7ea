import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { listCheckpoints, loadCheckpoint } from '../../src/train/checkpoint.ts';
import { ddpmWasm, temporaryFolder } from '../support/cli.ts';
import { killed, trainingFolder } from '../support/training.ts';

it('a run that is killed at 20 moments ends with the weights of one that is not; every checkpoint can be read', async () => {
  const flags = ['--config', 'config.json', '--out', 'run'];
  const looks = { evaluation: { every: 20, images: 4 }, samples: { every: 20, count: 2 } };
  const [still, struck] = [0, 1].map(() => trainingFolder(temporaryFolder(), { steps: 800, workers: 2, ...looks }));
  const weights = (cwd: string) => readFileSync(path.join(cwd, 'run/diffusion_pytorch_model.safetensors'));
  const metrics = (cwd: string) => readFileSync(path.join(cwd, 'run/metrics.jsonl'), 'utf8').trimEnd().split('\n');
  const place = path.join(struck, 'run/checkpoints');
  const each = async () => {
    for (const name of await listCheckpoints(place)) await loadCheckpoint(path.join(place, name));
  };

  expect(await killed(flags, { cwd: struck, kills: 20, seed: 1, each })).toBe(20);
  for (const cwd of [still, struck])
    expect(await ddpmWasm(['train', ...flags, '--resume', '--json'], { cwd })).toMatchObject({ code: 0, stderr: '' });
  expect(weights(struck).equals(weights(still))).toBe(true);
  const named = (lines: string[]) => lines.map((line) => JSON.parse(line)).map(({ type, step }) => `${type} ${step}`);
  expect(named(metrics(struck))).toEqual(named(metrics(still)));
}, 1_800_000);

import { spawn } from 'node:child_process';
import path from 'node:path';
import { png, write } from '../datasets/support.ts';
import { cli, type Outcome } from './cli.ts';
import { randomNumbers } from './mixture.ts';

/** A folder with a config of a network that trains in no time, and images of two classes, dark and bright. */
export function trainingFolder(folder: string, config: object = {}): string {
  const images = (shade: number) =>
    Array.from({ length: 12 }, (_, i) => [`${shade < 128 ? 'dark' : 'bright'}/${i}.png`, png(8, 8, shade + 2 * i)]);
  const model = { sample_size: 8, channels: 1, block_out_channels: [8, 8], norm_num_groups: 4, attention: [] };
  const json = {
    ...{ model, batch: 4, steps: 30, workers: 1, seed: 3, data: { path: 'images', holdOut: 0.25 } },
    ...{ evaluation: null, samples: null, checkpoints: { every: 5 } },
    ...config,
  };
  write(path.join(folder, 'images'), Object.fromEntries([...images(20), ...images(200)]));
  return write(folder, { 'config.json': JSON.stringify(json) });
}

/** Runs `train` and sends it a signal some milliseconds after what it has said on stderr is enough. */
export function trainUntil(
  args: readonly (string | number)[],
  {
    cwd,
    signal,
    when,
    delay = 0,
  }: { cwd: string; signal: NodeJS.Signals; when: (said: string) => boolean; delay?: number },
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cli, 'train', ...args.map(String)], {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const said = { stdout: '', stderr: '' };
    let waiting = true;
    const look = () => {
      if (!waiting || !when(said.stderr)) return;
      waiting = false;
      setTimeout(() => child.kill(signal), delay);
    };
    child.stdout.on('data', (data) => {
      said.stdout += data;
    });
    child.stderr.on('data', (data) => {
      said.stderr += data;
      look();
    });
    child.on('spawn', look);
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, ...said }));
  });
}

/**
 * Runs `train --resume` and kills it without warning, so many times, at moments that the seed chooses: some while it
 * starts, most in its first twenty steps and what comes with them. When a process is gone, `each` is called. Gives how
 * many were killed before they were done.
 */
export async function killed(
  args: readonly (string | number)[],
  { cwd, kills, seed, each }: { cwd: string; kills: number; seed: number; each: () => Promise<void> },
): Promise<number> {
  const random = randomNumbers(seed);
  let count = 0;
  for (let i = 0; i < kills; i++) {
    // a line is the record of ten steps
    const lines = Math.floor(3 * random());
    const { code } = await trainUntil([...args, '--resume'], {
      ...{ cwd, signal: 'SIGKILL', delay: (lines === 0 ? 1500 : 150) * random() },
      when: (said) => said.split('\nstep ').length > lines,
    });
    if (code === null) count++;
    await each();
  }
  return count;
}

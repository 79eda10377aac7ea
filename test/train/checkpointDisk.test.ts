import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { build } from 'esbuild';
import { afterAll, describe, expect, it } from 'vitest';
import { loadCheckpoint, saveCheckpoint } from '../../src/train/checkpoint.ts';
import { encodeCheckpoint } from '../../src/train/checkpointFormat.ts';
import { temporaryFolder } from '../support/cli.ts';
import { stateAt } from './support.ts';

const size = 40_000; // as saver.ts has it: 640 kB a checkpoint

describe('a process that saves checkpoints', () => {
  it('and is killed at any moment leaves one that can be read, not older than the last it called safe', async () => {
    const folder = temporaryFolder();
    const program = await bundle(path.join(temporaryFolder(), 'saver.mjs'));
    let safe = 0;
    for (let round = 0; round < 15; round++) {
      const child = spawn(process.execPath, [program, path.join(folder, 'run')], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      safe = await killedAt(child, 40 * Math.random());
      const { state, notes } = await loadCheckpoint(path.join(folder, 'run'));
      expect(notes).toEqual([]);
      expect(state.step).toBeGreaterThanOrEqual(safe);
      const expected = await encodeCheckpoint(stateAt(state.step, { size }));
      expect(Buffer.compare(await encodeCheckpoint(state), expected)).toBe(0);
    }
    // two checkpoints, one that was not removed yet, and what the last kill may have cut
    expect(readdirSync(path.join(folder, 'run')).length).toBeLessThanOrEqual(4);
    expect(safe).toBeGreaterThanOrEqual(15);
  });
});

describe('a disk', () => {
  const disk = temporaryMount();
  it.skipIf(!disk)(
    'that is full is output-failed; the checkpoints before stay, and the next is written when there is room',
    async () => {
      const place = path.join(disk!, 'run');
      await saveCheckpoint(place, stateAt(1, { size }));
      await saveCheckpoint(place, stateAt(2, { size }));
      await expect(saveCheckpoint(place, stateAt(3, { size }))).rejects.toMatchObject({
        code: 'output-failed',
        message: `cannot write ${path.join(place, 'checkpoint-000003.msgpack')}: the disk is full`,
      });
      expect(readdirSync(place)).toEqual(['checkpoint-000001.msgpack', 'checkpoint-000002.msgpack']);
      expect((await loadCheckpoint(place)).state).toEqual(stateAt(2, { size }));
      await saveCheckpoint(place, stateAt(3, { size: 1200 }));
      expect((await loadCheckpoint(place)).state.step).toBe(3);
    },
  );

  it.skipIf(process.platform === 'win32')('that takes no file so large leaves no half of one', async () => {
    const folder = temporaryFolder();
    await saveCheckpoint(folder, stateAt(1, { size }));
    const program = await bundle(path.join(temporaryFolder(), 'saver.mjs'));
    // blocks of a kilobyte; the signal would end the process before it could say anything
    const limited = `trap '' XFSZ; ulimit -f 100; exec "$0" "$1" "$2"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', limited, process.execPath, program, folder], {
      encoding: 'utf8',
    });
    expect(stdout).toBe('');
    expect(stderr).toContain('checkpoint-000002.msgpack: the file is larger than the system allows');
    expect(readdirSync(folder)).toEqual(['checkpoint-000001.msgpack']);
    expect((await loadCheckpoint(folder)).state.step).toBe(1);
  });
});

async function bundle(outfile: string): Promise<string> {
  await build({
    entryPoints: ['test/train/saver.ts'],
    ...{ bundle: true, platform: 'node', format: 'esm', outfile, logLevel: 'silent' },
    alias: { '#runtime': path.resolve('src/runtime/node.ts') },
    external: ['onnxruntime-*', 'sharp'],
  });
  return outfile;
}

/** Kills a process some time after its first line; the number in its last line. */
function killedAt(child: ChildProcess, milliseconds: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.stdout!.on('data', (data) => {
      if (said === '') setTimeout(() => child.kill('SIGKILL'), milliseconds);
      said += data;
    });
    child.on('error', reject);
    child.on('close', () => resolve(Number(said.split('\n').at(-2))));
  });
}

/** A file system of 1.5 MB, where the system lets us mount one. */
function temporaryMount(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return undefined;
  const folder = mkdtempSync(path.join(os.tmpdir(), 'ddpm-wasm-disk-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1500k', 'tmpfs', folder]).status === 0;
  afterAll(() => {
    if (mounted) spawnSync('umount', [folder]);
    rmSync(folder, { recursive: true });
  });
  return mounted ? folder : undefined;
}

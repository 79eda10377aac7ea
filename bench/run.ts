import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { loadPipeline } from 'ddpm-wasm';
import type { Figure } from './figure.ts';
import { withSessionTime } from './sessionTime.ts';

/** What the loop costs beside the network: all time of a run outside `session.run`, over the time inside it. */
export async function loopOverhead(): Promise<Figure[]> {
  return withSessionTime(async (inside) => {
    const pipeline = await loadPipeline('fashion', { device: 'cpu' });
    const options = { count: 16, sampler: 'ddim', eta: 1, steps: 20, seed: 1, guidance: 0 } as const;
    const check = await pipeline.sample(options); // also warms up
    if (!check.data.every(Number.isFinite) || inside() === 0) throw new Error('the run did not go through the session');
    const [before, started] = [inside(), performance.now()];
    const again = await pipeline.sample(options);
    const network = inside() - before;
    const outside = performance.now() - started - network;
    if (Buffer.compare(Buffer.from(check.data.buffer), Buffer.from(again.data.buffer)) !== 0)
      throw new Error('the same seed gave two results');
    await pipeline.dispose();
    return [
      {
        name: 'loop overhead, fashion at count 16',
        value: (100 * outside) / network,
        unit: '% of session.run',
        target: '<= 1',
      },
    ];
  });
}

/** From the command line to a PNG on disk, for one step of the bundled model. */
export function coldStart(): Figure[] {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'ddpm-wasm-'));
  const out = path.join(folder, 'first.png');
  const cli = path.resolve('dist/cli/main.js');
  try {
    const times = Array.from({ length: 5 }, () => {
      const started = performance.now();
      const { status, stderr } = spawnSync(process.execPath, [
        cli,
        'sample',
        '--steps',
        '1',
        '--count',
        '1',
        '--out',
        out,
      ]);
      if (status !== 0) throw new Error(String(stderr));
      return performance.now() - started;
    });
    if (readFileSync(out).subarray(1, 4).toString() !== 'PNG') throw new Error('no PNG came out');
    const bare = Array.from({ length: 5 }, () => {
      const started = performance.now();
      spawnSync(process.execPath, ['-e', '0']);
      return performance.now() - started;
    });
    return [
      { name: 'cold start: CLI to first PNG, --steps 1', value: Math.min(...times), unit: 'ms' },
      { name: 'the same over an empty node process', value: Math.min(...times) / Math.min(...bare), unit: 'x' },
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

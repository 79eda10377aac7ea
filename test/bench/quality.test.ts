import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { decode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { cellWithin, type Entrant, entrants } from '../../bench/quality/entrants.ts';
import { sampleSet } from '../../bench/quality/featureSets.ts';
import { missingFile, openLab } from '../../bench/quality/lab.ts';
import { readResults, recordResult } from '../../bench/quality/results.ts';
import { type Measurement, type Subject, settle, subjectsOf } from '../../bench/quality/survey.ts';
import { recommend, tableOf } from '../../bench/quality/table.ts';
import type { Tensor } from '../../src/index.ts';
import { temporaryFolder } from '../support/cli.ts';

/** A subject of the given key that takes no time, and counts how often it is measured. */
function subject(name: string, budget: number, distance: number) {
  const made = { name, budget, calls: budget, steps: budget, samples: 5000, key: `${name} ${budget}`, measured: 0 };
  return Object.assign(made, {
    async measure(signal?: AbortSignal) {
      signal?.throwIfAborted();
      made.measured++;
      return { distance, standardError: 0.125 };
    },
  });
}

const measured = (one: Subject, distance: number): Measurement => {
  const { measure, ...rest } = one;
  return { ...rest, distance, standardError: 0.125 };
};

describe('settling a survey', () => {
  it('measures only what is not recorded under its key', async () => {
    const [a, b] = [subject('a', 5, 1), subject('b', 5, 2)];
    const stale = { ...measured(b, 99), key: 'of another engine' };
    const found = await settle([a, b], { recorded: [measured(a, 7), stale] });
    expect(found.map(({ distance }) => distance)).toEqual([7, 2]);
    expect([a.measured, b.measured]).toEqual([0, 1]);
  });

  it('leaves out what the signal does not leave time for, and throws what else goes wrong', async () => {
    const [a, b] = [subject('a', 5, 1), subject('b', 5, 2)];
    const stop = new AbortController();
    const found = await settle([a, b], { recorded: [], signal: stop.signal, onMeasured: () => stop.abort() });
    expect(found.map(({ name }) => name)).toEqual(['a']);
    const broken = { ...a, measure: async () => Promise.reject(new Error('out of order')) };
    await expect(settle([broken], { recorded: [] })).rejects.toThrow('out of order');
    await expect(settle([broken], { recorded: [], signal: stop.signal })).rejects.toThrow('out of order');
  });
});

describe('results on disk', () => {
  it('come back rounded to 4 digits; a new one takes the place of the old', () => {
    const file = path.join(temporaryFolder(), 'results.json');
    expect(readResults(file)).toEqual([]);
    const one = measured(subject('a', 5, 0), 1.234567);
    recordResult(measured(subject('b', 10, 0), 2), file);
    recordResult({ ...one, distance: 9, key: 'older' }, file);
    recordResult({ ...one, samples: 1000 }, file);
    recordResult(one, file);
    expect(readResults(file).map(({ name, samples, distance }) => [name, samples, distance])).toEqual([
      ['a', 1000, 1.2346],
      ['a', 5000, 1.2346],
      ['b', 5000, 2],
    ]);
    expect(readResults(file)[1]).toEqual({ ...one, distance: 1.2346 });
  });
});

describe('the table', () => {
  const cells = [subject('a', 5, 0), subject('b', 5, 0), subject('a', 10, 0)];
  const [a5, b5, a10] = cells;

  it('shows what is measured, what is not and what cannot be', () => {
    const text = tableOf(cells, [measured(a5, 12.345), { ...measured(a10, 1.5), calls: 9 }]);
    expect(text.split('\n')).toEqual([
      '| sampler |      5 calls |         10 calls |',
      '| ------- | -----------: | ---------------: |',
      '| a       | 12.35 ± 0.13 | 1.50 ± 0.13 in 9 |',
      '| b       |            ? |                - |',
      '',
      'Frechet distance of 5,000 samples to 10,000 test images, ± one standard error.',
    ]);
  });

  it('recommends the cheapest within 5% of the best once everything is measured', () => {
    const near = [measured(a5, 1.05), measured(b5, 1.06), measured(a10, 1)];
    expect(recommend(near)).toMatchObject({ best: { name: 'a', calls: 10 }, cheapest: { name: 'a', calls: 5 } });
    const far = [measured(a5, 1.0501), measured(b5, 1.06), measured(a10, 1)];
    expect(recommend(far)).toMatchObject({ cheapest: { name: 'a', calls: 10 } });
    const alike = [measured(a5, 1.04), measured(b5, 1.01), measured(a10, 1)];
    expect(recommend(alike)).toMatchObject({ cheapest: { name: 'b', calls: 5 } });
    expect(recommend([])).toBeUndefined();
    const sentence = 'The best is a at 10 calls (1.00 ± 0.13); the cheapest within 5% of it is a at 5 calls (1.05';
    expect(tableOf(cells, near)).toContain(sentence);
    expect(tableOf(cells, near.slice(1))).not.toContain('The best');
  });
});

describe.skipIf(missingFile() !== undefined)('with the networks and the test images', () => {
  const only: Entrant[] = entrants.filter(({ name }) => name === 'ddim eta 1 trailing');

  it('an interrupted run goes on to the same features', async () => {
    const [whole, parts] = [await openLab({ cache: temporaryFolder() }), await openLab({ cache: temporaryFolder() })];
    const set = (lab: typeof whole) => sampleSet(lab, cellWithin(lab.pipeline, only[0], 1)!);
    const expected = await (await set(whole)).rows(150);

    const stop = new AbortController();
    const network = {
      ...parts.network,
      features(images: Tensor) {
        stop.abort();
        return parts.network.features(images);
      },
    };
    await expect((await set({ ...parts, network })).rows(150, stop.signal)).rejects.toThrow('aborted');
    // what was finished is there even for a run that may compute nothing
    const kept = await (await set(parts)).rows(100, AbortSignal.abort());
    expect(kept).toEqual(expected.subarray(0, kept.length));
    expect(await (await set(parts)).rows(150)).toEqual(expected);
    await Promise.all([whole.dispose(), parts.dispose()]);
  });

  it('real images are near: 5,000 test images to the others below 0.1, 40 samples in 2 calls above 10', async () => {
    const lab = await openLab({ cache: temporaryFolder() });
    const subjects = await subjectsOf(lab, { entrants: only, budgets: [2], samples: 40 });
    const [halves, training, samples] = await settle(subjects, { recorded: [] });
    expect(halves.distance).toBeGreaterThan(0);
    expect(halves.distance).toBeLessThan(0.1);
    expect(training.distance).toBeLessThan(samples.distance);
    expect(samples.distance).toBeGreaterThan(10);
    expect(samples).toMatchObject({ name: 'ddim eta 1 trailing', budget: 2, calls: 2, steps: 2, samples: 40 });
    await lab.dispose();
  });

  it('the command measures once, prints the table, says what is missing, and draws', () => {
    const folder = temporaryFolder();
    const run = (...args: string[]) => {
      const places = ['--cache', path.join(folder, 'cache'), '--results', path.join(folder, 'quality.json')];
      const command = ['node_modules/tsx/dist/cli.mjs', 'bench/quality.ts', ...args, ...places];
      return spawnSync(process.execPath, command, { encoding: 'utf8' });
    };
    const cell = ['--only', 'ddpm trailing', '--samples', '40', '--calls', '2'];
    const before = run(...cell, '--table');
    expect(before.stdout).toMatch(/\| ddpm trailing \| +\? \|/);
    expect(before.stdout).toContain(
      '3 of 3 distances are not measured (about 1 minutes on two cores, less what the cache has): npx tsx bench/quality.ts --samples 40 --calls 2 --only "ddpm trailing"',
    );
    const first = run(...cell);
    expect(first.stderr).toContain('ddpm trailing at 2 calls: ');
    expect(first.stdout).toMatch(/\| ddpm trailing \| \d+\.\d\d ± \d+\.\d\d \|/);
    const again = run(...cell, '--table');
    expect(again).toMatchObject({ status: 0, stdout: first.stdout, stderr: '' });
    expect(readResults(path.join(folder, 'quality.json'))).toHaveLength(3);

    const picture = path.join(folder, 'picture.png');
    expect(run('--picture', picture, '--only', 'trailing', '--calls', '1').stdout).toMatch(
      /at 1 calls, from the top: ddim eta 0 trailing, ddim eta 1 trailing, ddpm trailing\n$/,
    );
    expect(existsSync(picture)).toBe(true);
    expect(decode(readFileSync(picture))).toMatchObject({ width: 10 * 58 + 2, height: 3 * 58 + 2, channels: 1 });
    expect(run('--only', 'sprinter')).toMatchObject({ status: 1, stdout: '' });
  });
});

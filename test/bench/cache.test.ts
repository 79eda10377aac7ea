import { readdirSync, truncateSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../../bench/quality/digest.ts';
import { behaviourOf, cellWithin, entrants } from '../../bench/quality/entrants.ts';
import { cachedRows, chunkRows } from '../../bench/quality/featureCache.ts';
import { createEngine, createPlan, createSchedule, type PlanOptions, type Schedule } from '../../src/index.ts';
import { temporaryFolder } from '../support/cli.ts';

const dims = 3;

/** A source of rows that notes what it is asked for: number k of row i is i + k/8. */
function source() {
  const asked: [number, number][] = [];
  const compute = async (first: number, count: number) => {
    asked.push([first, count]);
    return Float32Array.from({ length: count * dims }, (_, i) => first + Math.floor(i / dims) + (i % dims) / 8);
  };
  return { asked, compute };
}

const expected = async (count: number) => source().compute(0, count);

describe('cachedRows', () => {
  it('computes rows once, in chunks of 100', async () => {
    const [folder, { asked, compute }] = [temporaryFolder(), source()];
    const rows = () => cachedRows({ folder, count: 250, dims, compute });
    expect(await rows()).toEqual(await expected(250));
    expect(asked).toEqual([
      [0, 100],
      [100, 100],
      [200, 50],
    ]);
    expect(await rows()).toEqual(await expected(250));
    expect(asked).toHaveLength(3);
  });

  it('goes on after an interrupted run with the chunk that it was in', async () => {
    const [folder, { asked, compute }] = [temporaryFolder(), source()];
    const interrupted = async (first: number, count: number) => {
      if (first === 200) throw new Error('interrupted');
      return compute(first, count);
    };
    await expect(cachedRows({ folder, count: 300, dims, compute: interrupted })).rejects.toThrow('interrupted');
    expect(await cachedRows({ folder, count: 300, dims, compute })).toEqual(await expected(300));
    expect(asked.map(([first]) => first)).toEqual([0, 100, 200]);
  });

  it('starts a longer run with the rows of a shorter one, and takes a shorter one from a longer', async () => {
    const [folder, { asked, compute }] = [temporaryFolder(), source()];
    for (const count of [130, 250, 130])
      expect(await cachedRows({ folder, count, dims, compute })).toEqual(await expected(count));
    expect(asked).toEqual([
      [0, 100],
      [100, 30],
      [100, 100],
      [200, 50],
    ]);
  });

  it('computes a chunk anew whose file is cut short, and leaves no other files', async () => {
    const [folder, { asked, compute }] = [temporaryFolder(), source()];
    await cachedRows({ folder, count: 150, dims, compute });
    truncateSync(path.join(folder, '0.f32'), chunkRows * dims * 4 - 1);
    expect(await cachedRows({ folder, count: 150, dims, compute })).toEqual(await expected(150));
    expect(asked.at(-1)).toEqual([0, 100]);
    expect(readdirSync(folder).sort()).toEqual(['0.f32', '100.f32']);
  });

  it.each([
    ['too few', async () => new Float32Array(2)],
    ['NaN', async (_: number, count: number) => new Float32Array(count * dims).fill(Number.NaN)],
  ])('refuses and does not store numbers that are %s', async (_, compute) => {
    const folder = temporaryFolder();
    await expect(cachedRows({ folder, count: 1, dims, compute })).rejects.toThrow(
      'expected 1 rows of 3 finite numbers',
    );
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('digestOf', () => {
  it('tells apart parts that are divided otherwise, and knows bytes by their content', () => {
    expect(digestOf('ab', 'c')).not.toBe(digestOf('a', 'bc'));
    expect(digestOf(Uint8Array.of(97))).toBe(digestOf('a'));
    expect(digestOf(Float32Array.of(1))).not.toBe(digestOf(Float32Array.of(2)));
  });
});

describe('the behaviour of a plan', () => {
  let schedule: Schedule;
  beforeAll(async () => {
    schedule = createSchedule(await createEngine(), { _class_name: 'DDPMScheduler' });
  });
  const behaviour = (options: PlanOptions, seed = 0) => behaviourOf(createPlan(schedule, options), [1, 4, 4], seed);

  it('is the same every time, whatever else the engine has done', async () => {
    const first = await behaviour({ sampler: 'ddim', eta: 1, steps: 5 });
    await behaviour({ sampler: 'ddpm', steps: 3 });
    expect(await behaviour({ sampler: 'ddim', eta: 1, steps: 5 })).toBe(first);
  });

  it('differs with the sampler, its options, the steps, their spacing and the seed', async () => {
    const all = [
      behaviour({ sampler: 'ddim', steps: 5 }),
      behaviour({ sampler: 'ddim', steps: 5 }, 1),
      behaviour({ sampler: 'ddim', steps: 6 }),
      behaviour({ sampler: 'ddim', steps: 5, eta: 1 }),
      behaviour({ sampler: 'ddim', steps: 5, timestepSpacing: 'trailing' }),
      behaviour({ sampler: 'ddim', steps: 5, clipSampleRange: 0.9 }),
      behaviour({ sampler: 'ddpm', steps: 5 }),
      behaviour({ sampler: 'ddpm', steps: 5, varianceType: 'fixed_large' }),
    ];
    expect(new Set(await Promise.all(all)).size).toBe(all.length);
  });

  it('is known of all who take part: each in its own way at 5, 10, 20 and 50 calls', async () => {
    const pipeline = { plan: (options = {}) => createPlan(schedule, options) };
    for (const budget of [5, 10, 20, 50]) {
      const cells = entrants.flatMap((entrant) => cellWithin(pipeline, entrant, budget) ?? []);
      expect(cells.length).toBeGreaterThan(0);
      for (const { plan } of cells) expect(plan.calls).toBeLessThanOrEqual(budget);
      const all = await Promise.all(cells.map(({ plan }) => behaviourOf(plan, [1, 4, 4], 0)));
      expect(new Set(all).size).toBe(cells.length);
    }
  });

  it('belongs to the plan with most steps that keeps to the calls', () => {
    const entrant = { name: 'two calls a step', options: { sampler: 'ddim' } } as const;
    const doubled = (options: PlanOptions = {}) => {
      const plan = createPlan(schedule, options);
      return { ...plan, calls: 2 * plan.calls };
    };
    expect(cellWithin({ plan: doubled }, entrant, 7)).toMatchObject({ steps: 3, budget: 7, plan: { calls: 6 } });
    expect(cellWithin({ plan: doubled }, entrant, 1)).toBeUndefined();
  });
});

import { describe, expect, it } from 'vitest';
import { planFromRows } from '../../src/diffusion/plan.ts';
import { createEngine, createPlan, createSchedule, type Denoiser, randn, runPlan } from '../../src/index.ts';
import { maxDifference } from '../support/goldens.ts';
import { moments, normalOracle } from '../support/oracle.ts';

const engine = await createEngine();
const schedule = createSchedule(engine, { clip_sample: false });
const arithmetic: Denoiser = (x, t) => ({ data: x.data.map((v) => (v * t[0]) / (t[0] + 1)), shape: x.shape });
const norm = (values: number[]) => Math.hypot(...values);

describe('the Langevin corrector of euler-maruyama', () => {
  const steps = 4;
  const options = { sampler: 'euler-maruyama', steps, correctorSteps: 2, correctorSnr: 0.2 } as const;

  it('takes x + e*score + sqrt(2e)*z, e = (r |z|/|score|)^2 2 alpha, before each step: algorithm 5, within 5e-5', async () => {
    const shape = [3, 1, 4, 4];
    const [images, pixels] = [3, 16];
    const plan = createPlan(schedule, options);
    expect(plan.calls).toBe(steps * 3);
    // torch draws a tensor a row in one stream; the last row draws none
    const stream = randn(engine, [plan.rows.length, ...shape], { seed: 5, rng: 'torch' }).data;
    const draw = (i: number) => Array.from(stream.subarray(i * images * pixels, (i + 1) * images * pixels));

    const { alphasCumprod, betas, trainTimesteps: T } = schedule;
    let x = draw(0);
    for (const [i, { timestep: t }] of plan.rows.entries()) {
      const low = Math.min(Math.floor(t), T - 2);
      const between = (f: (t: number) => number) => f(low) + (t - low) * (f(low + 1) - f(low));
      const beta = between((t) => betas[t]);
      const noise = Math.sqrt(1 - Math.exp(between((t) => Math.log(alphasCumprod[t]))));
      const score = x.map((v) => -(v * t) / (t + 1) / noise);
      const z = i + 1 < plan.rows.length ? draw(i + 1) : x.map(() => 0);
      x = Array.from({ length: images }, (_, k) => [k * pixels, (k + 1) * pixels]).flatMap(([from, to]) => {
        const [own, s, n] = [x, score, z].map((values) => values.slice(from, to));
        const e = (0.2 * (norm(n) / norm(s))) ** 2 * 2 * (1 - beta);
        const b = (beta * T) / steps;
        return i % 3 < 2
          ? own.map((v, j) => v + e * s[j] + Math.sqrt(2 * e) * n[j])
          : own.map((v, j) => v + (b / 2) * v + b * s[j] + Math.sqrt(b) * n[j]);
      });
    }
    const result = await runPlan(plan, arithmetic, { shape, seed: 5, rng: 'torch' });
    expect(maxDifference(result.data, x) / Math.max(...x.map(Math.abs))).toBeLessThan(5e-5);
  });

  it('brings the deviation of N(0.2, 0.5^2) at 20 steps closer: four corrections to less than half of the predictor’s error', async () => {
    const run = async (correctorSteps: number) => {
      const plan = createPlan(schedule, { sampler: 'euler-maruyama', steps: 20, correctorSteps });
      const x = await runPlan(plan, normalOracle(schedule, 0.2, 0.5), { shape: [64, 1, 16, 16], seed: 1 });
      return Math.abs(Math.sqrt(moments(x.data).variance) - 0.5);
    };
    expect(await run(4)).toBeLessThan(0.5 * (await run(0)));
  });

  it('gives image k of a seed whatever its company, bit for bit, and is read back from its rows', async () => {
    const plan = createPlan(schedule, options);
    const alone = await runPlan(plan, arithmetic, { shape: [1, 1, 5, 5], seed: 9, first: 2 });
    const read = planFromRows(engine, { rows: JSON.parse(JSON.stringify(plan.rows)) });
    const together = await runPlan(read, arithmetic, { shape: [4, 1, 5, 5], seed: 9 });
    expect(together.data.slice(50, 75)).toEqual(alone.data);
  });
});

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createEngine, createPlan, createSchedule, type Denoiser, runPlan } from '../../src/index.ts';
import { goldenDenoiser, goldenError, goldenStart, goldens, maxDifference } from '../support/goldens.ts';

interface Loop {
  readonly name: string;
  readonly scheduler: string;
  readonly config: object;
  readonly steps: number;
  readonly seed: number;
  readonly timesteps: number[];
  readonly sigmas: number[];
  readonly abssum: number;
  readonly first8: number[];
  readonly last4: number[];
}
const { loops }: { loops: Loop[] } = JSON.parse(readFileSync(new URL('../data/loops.json', import.meta.url), 'utf8'));

const engine = await createEngine();

/** 0.3*x + 0.5*tanh(x)*cos(t/100): unlike a linear model it tells a wrong timestep or order apart. */
const mix: Denoiser = (x, timesteps) => {
  const c = Math.cos(timesteps[0] / 100);
  return { data: x.data.map((v) => 0.3 * v + 0.5 * Math.tanh(v) * c), shape: x.shape };
};

describe('whole loops of diffusers’ classes come out within 1e-5 of its largest value', () => {
  it.each(loops.map((loop) => [loop.name, JSON.stringify(loop.config), loop.steps, loop] as const))(
    '%s %s in %i steps',
    async (_name, _config, steps, loop) => {
      const schedule = createSchedule(engine, { _class_name: loop.scheduler, ...loop.config });
      const plan = createPlan(schedule, { steps });
      expect(plan.calls).toBe(loop.timesteps.length);
      // a float32 logarithm decides the last digits of timesteps that stand for sigmas
      expect(maxDifference(plan.timesteps, loop.timesteps)).toBeLessThan(1e-4);

      // classes of two stages list a sigma for each, Euler's log_linear one more than it uses
      const once = loop.sigmas.filter((sigma, i) => sigma !== loop.sigmas[i - 1]).slice(0, plan.sigmas.length);
      expect(
        maxDifference(
          plan.sigmas.map((sigma, i) => sigma / (once[i] || 1)),
          once.map((s) => (s ? 1 : 0)),
        ),
      ).toBeLessThan(3e-7);

      const images = await runPlan(plan, mix, {
        shape: goldenStart.shape,
        seed: loop.seed,
        rng: 'torch',
        start: goldenStart,
      });
      const largest = Math.max(1, ...loop.first8.map(Math.abs), ...loop.last4.map(Math.abs));
      expect(goldenError(images, loop) / largest).toBeLessThan(1e-5);
    },
  );
});

describe('solvers of the probability flow equal diffusers’ within 1e-5', () => {
  const dpm = 'DPMSolverMultistepScheduler';
  const cases: [name: string, config: object][] = [
    ...['dpmsolver++', 'sde-dpmsolver++'].flatMap((algorithm_type) =>
      [1, 2, 3].map((solver_order): [string, object] => [
        `dpm10/${algorithm_type}/o${solver_order}`,
        { _class_name: dpm, algorithm_type, solver_order },
      ]),
    ),
    ['dpm10/heun', { _class_name: dpm, solver_type: 'heun' }],
    ['dpm10/karras', { _class_name: dpm, use_karras_sigmas: true }],
    ['dpm20/o3', { _class_name: dpm, solver_order: 3 }],
    ['unipc10', { _class_name: 'UniPCMultistepScheduler' }],
  ];
  const run = { shape: goldenStart.shape, seed: 0, rng: 'torch', start: goldenStart } as const;

  it.each(cases)('%s', async (name, config) => {
    const plan = createPlan(createSchedule(engine, config), { steps: Number(name.match(/\d+/)![0]) });
    expect(goldenError(await runPlan(plan, goldenDenoiser, run), goldens.loops[name])).toBeLessThan(1e-5);
  });

  it.each(['dpm10', 'dpm10/karras'])('%s has diffusers’ sigmas within 2 units in the last place of float32', (name) => {
    const config = { _class_name: dpm, use_karras_sigmas: name.endsWith('karras') };
    const { sigmas } = createPlan(createSchedule(engine, config), { steps: 10 });
    const expected = goldens.sigmas[name];
    expect(sigmas.map((s, i) => Math.abs(s - expected[i]) <= 2 ** -22 * s)).toEqual(expected.map(() => true));
  });

  it('unipc10/o3/bh1 is finite, where diffusers gives NaN, and ends at the network’s image', async () => {
    const schedule = createSchedule(engine, {
      _class_name: 'UniPCMultistepScheduler',
      solver_order: 3,
      solver_type: 'bh1',
    });
    const plan = createPlan(schedule, { steps: 10 });
    const images = await runPlan(plan, goldenDenoiser, run);
    expect(images.data.every(Number.isFinite)).toBe(true);
    const bh2 = createPlan(schedule, { steps: 10, solverType: 'bh2' });
    // both are third-order predictors of the same flow
    expect(maxDifference(images.data, (await runPlan(bh2, goldenDenoiser, run)).data)).toBeLessThan(0.05);
  });
});

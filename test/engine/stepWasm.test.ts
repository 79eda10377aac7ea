import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { samplers } from '../../src/core/samplers.ts';
import { toPixels } from '../../src/image/index.ts';
import { createEngine, createPlan, createSchedule, type Denoiser, randn } from '../../src/index.ts';
import { type Engine, instantiateEngine, planFromRows, planSteps, runPlan } from '../../src/step.ts';

let whole: Engine;
let step: Engine;
beforeAll(async () => {
  whole = await createEngine();
  step = await instantiateEngine(await WebAssembly.compile(readFileSync('dist/step.wasm')));
});

// some function of all that a network is told
const denoiser: Denoiser = (x, timesteps) => ({
  data: x.data.map((value, i) => Math.fround(value * 0.3 + timesteps[0] / 2000 - (i % 5) / 10)),
  shape: x.shape,
});
const shape = [3, 1, 7, 9];

describe('step.wasm', () => {
  it.each(samplers)('runs a plan of %s that was sent as JSON, to the bit as engine.wasm', async (sampler) => {
    const schedule = createSchedule(whole, { _class_name: 'DDPMScheduler' });
    const plan = createPlan(schedule, { sampler, steps: 6 });
    const sent = JSON.parse(JSON.stringify(plan, (key, value) => (key === 'engine' ? undefined : value)));
    const there = planFromRows(step, sent);
    const start = sampler === 'ddim-inverse' ? randn(whole, shape, { seed: 1 }) : undefined;
    const run = { shape, seed: 2n ** 64n - 1n, first: 5, start };
    const images = await runPlan(there, denoiser, run);
    expect(images).toEqual(await runPlan(plan, denoiser, run));
    expect(toPixels(step, images)).toEqual(toPixels(whole, images));
    for await (const { index, x } of planSteps(there, denoiser, run))
      if (index === plan.calls - 1) expect(x.data.slice()).toEqual(images.data);
  });

  it('thresholds, learns variances and follows a guide as engine.wasm does', async () => {
    const config = { _class_name: 'DDPMScheduler', variance_type: 'learned_range', thresholding: true };
    const plan = createPlan(createSchedule(whole, config), { steps: 5 });
    const there = planFromRows(step, { rows: plan.rows });
    const both: Denoiser = async (x, timesteps) => {
      const { data } = await denoiser(x, timesteps);
      const stride = data.length / x.shape[0];
      const twice = Array.from({ length: x.shape[0] }, (_, i) => data.subarray(i * stride, (i + 1) * stride));
      return { data: Float32Array.from(twice.flatMap((half) => [...half, ...half])), shape: [3, 2, 7, 9] };
    };
    const guide = ({ data, shape }: { data: Float32Array; shape: readonly number[] }) => ({
      data: data.map((value) => value / 2),
      shape,
    });
    const run = { shape, seed: 3, guide };
    expect(await runPlan(there, both, run)).toEqual(await runPlan(plan, both, run));
  });

  it("says that it has no stream of torch's", async () => {
    const { rows } = createPlan(createSchedule(whole, { _class_name: 'DDIMScheduler' }), { steps: 2 });
    const run = runPlan(planFromRows(step, { rows }), denoiser, { shape, seed: 1, rng: 'torch' });
    await expect(run).rejects.toThrow('"rng" expected philox, as step.wasm has no other, got "torch"');
  });

  it('has no imports', () => {
    expect(WebAssembly.Module.imports(step.module)).toEqual([]);
  });
});

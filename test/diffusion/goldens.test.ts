import { describe, expect, it } from 'vitest';
import { addNoise, createEngine, createPlan, createSchedule, randn, runPlan, velocity } from '../../src/index.ts';
import { goldenDenoiser, goldenError, goldenStart, goldens, maxDifference } from '../support/goldens.ts';

const engine = await createEngine();
const run = { shape: goldenStart.shape, seed: 0, rng: 'torch', start: goldenStart } as const;

// where diffusers is known to be wrong, and what it does instead (the doc comment of createPlan)
const offTheTable = 'DDPMScheduler/leading/1000/off1';

describe('timesteps equal diffusers’', () => {
  for (const [name, expected] of Object.entries(goldens.timesteps)) {
    if (name === offTheTable) continue;
    it(name, () => {
      const [_class_name, timestep_spacing, steps, offset] = name.split('/');
      const schedule = createSchedule(engine, { _class_name, timestep_spacing, steps_offset: Number(offset.slice(3)) });
      expect(createPlan(schedule, { steps: Number(steps) }).timesteps).toEqual(expected);
    });
  }

  it('for all 1000 trailing lists, save that a trailing -1 is left out', () => {
    const schedule = createSchedule(engine, { timestep_spacing: 'trailing' });
    for (let n = 1; n <= 1000; n++) {
      const { timesteps } = createPlan(schedule, { steps: n });
      expect(timesteps).toHaveLength(n);
      expect(timesteps[0]).toBe(999);
      expect(timesteps.every((t, i) => t >= 0 && (i === 0 || t < timesteps[i - 1]))).toBe(true);
    }
  });

  it.each(Object.entries(goldens.respacing))('respaced as OpenAI’s are: %s', (name, expected) => {
    const [num_train_timesteps, timestepRespacing] = name.split('/');
    const schedule = createSchedule(engine, { num_train_timesteps: Number(num_train_timesteps) });
    expect(createPlan(schedule, { timestepRespacing }).timesteps.toReversed()).toEqual(expected);
  });

  it('save that an offset past the table leaves its timestep out', () => {
    const schedule = createSchedule(engine, { steps_offset: 1 });
    expect(createPlan(schedule, { steps: 1000 }).timesteps).toEqual(Array.from({ length: 999 }, (_, i) => 999 - i));
  });
});

describe('whole loops equal diffusers’ within 1e-5', () => {
  const loops: [name: string, config: object, options?: object][] = [
    ...['fixed_small', 'fixed_small_log', 'fixed_large'].map((variance_type): [string, object] => [
      `ddpm50/${variance_type}`,
      { variance_type },
    ]),
    ['ddpm50/fixed_large/linspace', { variance_type: 'fixed_large', timestep_spacing: 'linspace' }],
    ...['epsilon', 'sample', 'v_prediction'].flatMap((prediction_type): [string, object, object][] => [
      [`ddim10/${prediction_type}`, { _class_name: 'DDIMScheduler', prediction_type }, {}],
      [`ddim10/eta1/${prediction_type}`, { _class_name: 'DDIMScheduler', prediction_type }, { eta: 1 }],
    ]),
    ['ddim10/clipmo', { _class_name: 'DDIMScheduler' }, { useClippedModelOutput: true }],
    ['ddim10/noclip', { _class_name: 'DDIMScheduler', clip_sample: false }],
    ['ddim10/thresh', { _class_name: 'DDIMScheduler', thresholding: true }],
    [
      'ddim10/trailing/zsnr/v',
      {
        _class_name: 'DDIMScheduler',
        timestep_spacing: 'trailing',
        rescale_betas_zero_snr: true,
        prediction_type: 'v_prediction',
      },
    ],
  ];
  for (const [name, config, options] of loops) {
    it(name, async () => {
      const steps = Number(name.match(/\d+/)![0]);
      const plan = createPlan(createSchedule(engine, config), { steps, ...options });
      const images = await runPlan(plan, goldenDenoiser, run);
      expect(goldenError(images, goldens.loops[name])).toBeLessThan(1e-5);
    });
  }
});

describe('where diffusers is wrong', () => {
  it.each([
    ['ddpm50/fixed_large/trailing', { timestep_spacing: 'trailing' }],
    ['ddpm50/leading/off1/fixed_large', { steps_offset: 1 }],
  ])(
    '%s: its image is this one plus noise of variance 1 - abar at the last step, within 1e-5',
    async (name, config) => {
      const schedule = createSchedule(engine, { ...config, variance_type: 'fixed_large' });
      const plan = createPlan(schedule, { steps: 50 });
      const images = await runPlan(plan, goldenDenoiser, run);
      const last = plan.timesteps[49];
      const sigma = Math.sqrt(1 - schedule.alphasCumprod[last]);
      // torch's stream: 49 draws went into the steps before, the next one is diffusers' stray noise
      const stream = randn(engine, [50, 2, 3, 8, 8], { seed: 0, rng: 'torch' }).data.subarray(49 * 384);
      const withNoise = { data: images.data.map((v, i) => v + sigma * stream[i]), shape: images.shape };
      expect(goldenError(withNoise, goldens.loops[name])).toBeLessThan(1e-5);
    },
  );

  it('ddim7/trailing: each step ends where the next begins, at abar 1 after the last', () => {
    const schedule = createSchedule(engine, { _class_name: 'DDIMScheduler', timestep_spacing: 'trailing' });
    const { rows, timesteps } = createPlan(schedule, { steps: 7 });
    const levels = rows.map((row) => row.start ** 2);
    const expected = [...timesteps.slice(1).map((t) => schedule.alphasCumprod[t]), 1];
    expect(maxDifference(levels, expected)).toBeLessThan(1e-15);
  });

  it('fixed_large_log is fixed_large, not NaN', () => {
    const rows = ['fixed_large', 'fixed_large_log'].map(
      (variance_type) => createPlan(createSchedule(engine, { variance_type }), { steps: 50 }).rows,
    );
    expect(rows[0]).toEqual(rows[1]);
  });
});

describe('the forward process equals diffusers’ within 1e-5', () => {
  const schedule = createSchedule(engine, {});
  const noise = { data: Float32Array.from({ length: 384 }, (_, i) => (383 - i) / 384), shape: goldenStart.shape };
  it('add_noise at t = 10 and 900', () => {
    expect(
      goldenError(addNoise(schedule, goldenStart, [10, 900], noise), goldens.loops['add_noise[10,900]']),
    ).toBeLessThan(1e-5);
  });
  it('velocity at t = 10 and 900', () => {
    expect(
      goldenError(velocity(schedule, goldenStart, [10, 900], noise), goldens.loops['velocity[10,900]']),
    ).toBeLessThan(1e-5);
  });
});

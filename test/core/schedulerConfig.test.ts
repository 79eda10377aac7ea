import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DdpmError } from '../../src/core/errors.ts';
import { parseSchedulerConfig } from '../../src/core/schedulerConfig.ts';

describe('scheduler_config.json', () => {
  it('fills in the defaults of diffusers’ classes and renames keys', () => {
    const { config, notes } = parseSchedulerConfig({ _class_name: 'DDPMScheduler', _diffusers_version: '0.1.1' });
    expect(config).toMatchObject({
      sampler: 'ddpm',
      numTrainTimesteps: 1000,
      clipSample: true,
      varianceType: 'fixed_small',
    });
    expect(notes).toEqual([]);
  });

  it('ignores unknown keys with a note', () => {
    expect(parseSchedulerConfig({ solver_order: 2, clip: 1, ordre: 2 }).notes).toEqual([
      'scheduler_config.json: ignored "clip", "ordre"',
    ]);
  });

  it('takes each class’s own defaults', () => {
    const parsed = (name: string) => parseSchedulerConfig({ _class_name: `${name}Scheduler` }).config;
    expect(parsed('HeunDiscrete')).toMatchObject({ sampler: 'heun', betaStart: 0.00085, timestepSpacing: 'linspace' });
    expect(parsed('LCM')).toMatchObject({ sampler: 'lcm', betaSchedule: 'scaled_linear', betaEnd: 0.012 });
    expect(parsed('PNDM')).toMatchObject({ sampler: 'pndm', setAlphaToOne: false, timestepSpacing: 'leading' });
    expect(parsed('UniPCMultistep')).toMatchObject({ sampler: 'unipc', solverType: 'bh2', clipSample: false });
    expect(parsed('DPMSolverSinglestep')).toMatchObject({ lowerOrderFinal: false, finalSigmasType: 'zero' });
    expect(parsed('DEISMultistep')).toMatchObject({ sampler: 'deis', finalSigmasType: 'sigma_min' });
  });

  it('counts null and `_use_default_values` as not said', () => {
    const { config } = parseSchedulerConfig({
      _class_name: 'DPMSolverMultistepScheduler',
      _use_default_values: ['solver_order', 'timestep_spacing'],
      solver_order: 2,
      timestep_spacing: 'linspace',
      variance_type: null,
      euler_at_final: true,
    });
    expect(config.given).toEqual({ eulerAtFinal: true });
    expect(config).toMatchObject({ solverOrder: 2, varianceType: 'fixed_small', eulerAtFinal: true });
  });

  it.each([
    [
      { _class_name: 'FlowMatchEulerDiscreteScheduler' },
      /"_class_name" expected one of DDPMScheduler, .*, got "FlowMatch/,
    ],
    [{ _class_name: 7 }, /"_class_name" expected .*, got 7/],
    [{ beta_schedule: 'exotic' }, /"beta_schedule" expected one of linear, .*, got "exotic"/],
    [
      { beta_start: 0.5, beta_end: 0.1 },
      /"beta_start" and "beta_end" expected 0 < beta_start < beta_end < 1, got 0.5 and 0.1/,
    ],
    [{ beta_end: 1.5 }, /"beta_start" and "beta_end"/],
    [{ num_train_timesteps: 1e9 }, /"num_train_timesteps" expected <=100000, got 1000000000/],
    [{ trained_betas: [0.1, 2] }, /"trained_betas.1" expected <1, got 2/],
    [{ trained_betas: [0.1, 0.2], num_train_timesteps: 3 }, /"trained_betas" expected 3 values, .* got 2/],
    [{ use_flow_sigmas: true }, /"use_flow_sigmas" expected false, got true/],
    [{ solver_type: 'bh3' }, /"solver_type" expected one of midpoint, heun, .*, got "bh3"/],
    [{ solver_order: 0 }, /"solver_order" expected >=1, got 0/],
    [{ clip_sample: 'true' }, /"clip_sample" expected boolean, got "true"/],
    [[], /expected a JSON object, got \[\]/],
    [null, /expected a JSON object, got null/],
  ])('%j is refused by name', (json, message) => {
    expect(() => parseSchedulerConfig(json)).toThrow(DdpmError);
    expect(() => parseSchedulerConfig(json)).toThrow(message);
  });

  it('any JSON gives a config or a DdpmError of one line', () => {
    const keys = fc.constantFrom(
      'beta_start',
      'beta_schedule',
      'trained_betas',
      '_class_name',
      'num_train_timesteps',
      'x',
    );
    fc.assert(
      fc.property(fc.dictionary(keys, fc.jsonValue()), (json) => {
        try {
          parseSchedulerConfig(json);
        } catch (error) {
          expect(error).toBeInstanceOf(DdpmError);
          expect((error as Error).message).not.toMatch('\n');
        }
      }),
    );
  });
});

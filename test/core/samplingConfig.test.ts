import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DdpmError } from '../../src/core/errors.ts';
import { parseSamplingConfig } from '../../src/core/samplingConfig.ts';

describe('sampling.json', () => {
  it('says how to sample: sampler, steps and the options that matter most', () => {
    const json = { sampler: 'dpm-solver++', steps: 10, solverOrder: 2, useKarrasSigmas: true, guidance: 0 };
    expect(parseSamplingConfig(json)).toEqual(json);
    expect(parseSamplingConfig({ sampler: 'ddpm', timestepSpacing: 'trailing', other: 1 })).toEqual({
      sampler: 'ddpm',
      timestepSpacing: 'trailing',
    });
  });

  it.each([
    [{}, 'sampler'],
    [{ sampler: 'magic' }, 'sampler'],
    [{ sampler: 'ddim', steps: 0 }, 'steps'],
    [{ sampler: 'ddim', eta: 2 }, 'eta'],
    [{ sampler: 'unipc', useKarrasSigmas: 'yes' }, 'useKarrasSigmas'],
    [{ sampler: 'ddim', timestepSpacing: 'random' }, 'timestepSpacing'],
  ])('refuses %j, naming %s', (json, key) => {
    expect(() => parseSamplingConfig(json)).toThrow(DdpmError);
    expect(() => parseSamplingConfig(json)).toThrow(`"${key}"`);
  });

  it('is read or refused with a DdpmError, whatever JSON it is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        try {
          expect(parseSamplingConfig(json).sampler).toBeTypeOf('string');
        } catch (error) {
          expect(error).toBeInstanceOf(DdpmError);
        }
      }),
    );
  });
});

import * as v from 'valibot';
import { DdpmError } from './errors.ts';
import {
  type AlgorithmType,
  algorithmTypes,
  firstIssue,
  type Sampler,
  samplers,
  type TimestepSpacing,
  timestepSpacings,
} from './schedulerConfig.ts';

const samplingSchema = v.object({
  sampler: v.picklist(samplers),
  steps: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
  eta: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1))),
  guidance: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1000))),
  timestepSpacing: v.optional(v.picklist(timestepSpacings)),
  solverOrder: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(4))),
  algorithmType: v.optional(v.picklist(algorithmTypes)),
  useKarrasSigmas: v.optional(v.boolean()),
});

/** How a model's author recommends to sample it. */
export interface SamplingConfig {
  readonly sampler: Sampler;
  readonly steps?: number;
  readonly eta?: number;
  readonly guidance?: number;
  readonly timestepSpacing?: TimestepSpacing;
  readonly solverOrder?: number;
  readonly algorithmType?: AlgorithmType;
  readonly useKarrasSigmas?: boolean;
}

/** Reads a sampling.json object. @throws DdpmError `config-invalid` naming the key. */
export function parseSamplingConfig(json: unknown, file = 'sampling.json'): SamplingConfig {
  const parsed = v.safeParse(samplingSchema, json);
  if (!parsed.success) throw new DdpmError('config-invalid', `${file}: ${firstIssue(parsed.issues)}`);
  return parsed.output;
}

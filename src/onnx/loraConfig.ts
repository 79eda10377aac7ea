import * as v from 'valibot';
import { DdpmError, show } from '../core/errors.ts';
import { configObject } from '../core/schedulerConfig.ts';

/** The keys of peft's LoraConfig that change what is computed, those of other methods only as far as to refuse them. */
const adapterSchema = v.object({
  peft_type: v.nullish(v.literal('LORA', '"LORA"')),
  lora_alpha: v.nullish(v.pipe(v.number('a number'), v.finite('a finite number'))),
  use_rslora: v.nullish(v.boolean('true or false')),
  use_dora: v.nullish(v.literal(false, 'false')),
  fan_in_fan_out: v.nullish(v.literal(false, 'false')),
  bias: v.nullish(v.literal('none', '"none"')),
  modules_to_save: v.nullish(v.pipe(v.array(v.string('a name'), 'null'), v.maxLength(0, 'null'))),
  // it holds regular expressions
  alpha_pattern: v.nullish(v.strictObject({}, 'no pattern')),
});

/** What an adapter_config.json says of the scale. */
export interface AdapterConfig {
  /** Undefined where it is not said. */
  readonly lora_alpha: number | undefined;
  /** Whether the scale is alpha / sqrt(rank) (Kalajdzievski 2023). */
  readonly use_rslora: boolean;
}

/** Reads the object in peft's adapter_config.json. @throws DdpmError `config-invalid`, naming the key. */
export function parseAdapterConfig(json: unknown, file: string): AdapterConfig {
  const result = v.safeParse(adapterSchema, configObject(json, file));
  if (!result.success) {
    const [issue] = result.issues;
    const { message, input } = issue;
    throw new DdpmError('config-invalid', `${file}: "${v.getDotPath(issue)}" expected ${message}, got ${show(input)}`);
  }
  const { lora_alpha: alpha, use_rslora: stabilised } = result.output;
  return { lora_alpha: alpha ?? undefined, use_rslora: stabilised ?? false };
}

/** What the product of a layer's two matrices is multiplied by. */
export function scaleOf({ lora_alpha: alpha, use_rslora: stabilised }: AdapterConfig, rank: number): number {
  return (alpha ?? rank) / (stabilised ? Math.sqrt(rank) : rank);
}

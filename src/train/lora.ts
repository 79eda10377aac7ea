import { wrongValue } from '../core/errors.ts';
import { sizeOf, type Tensor } from '../core/tensor.ts';
import { ADAPTER_METADATA, type Lora, PEFT_PREFIX } from '../onnx/lora.ts';
import { writeSafetensors } from '../onnx/safetensors.ts';
import type { TrainingConfig } from './configSchema.ts';
import { matches } from './patterns.ts';

/** How a LoRA is made: its rank, alpha, and the layers that it changes. */
export type LoraConfig = NonNullable<TrainingConfig['lora']>;

/** The names of the two matrices of a layer, as peft has them. */
export function loraNames(layer: string): [a: string, b: string] {
  return [`${layer}.lora_A.weight`, `${layer}.lora_B.weight`];
}

/**
 * The layers of a network that a change of low rank can be made to, by diffusers' names, with the shapes of their
 * weights: matrices and convolutions, not tables that are looked up in.
 */
export function lowRankLayers(shapes: ReadonlyMap<string, readonly number[]>): Map<string, readonly number[]> {
  const weights = [...shapes].filter(
    ([name, shape]) =>
      name.endsWith('.weight') && shape.length > 1 && !/^(class_embedding|time_proj)\.weight$/.test(name),
  );
  return new Map(weights.map(([name, shape]) => [name.slice(0, -'.weight'.length), shape]));
}

/** Those of them that a config's targets name. */
export function targetLayers(
  { targets }: LoraConfig,
  shapes: ReadonlyMap<string, readonly number[]>,
): Map<string, readonly number[]> {
  return new Map([...lowRankLayers(shapes)].filter(([name]) => targets.some((pattern) => matches(name, pattern))));
}

/**
 * The names and shapes of a LoRA's matrices: A [rank, in, ...kernel] and B [out, rank, 1...], for linear layers without
 * a kernel.
 */
export function loraShapes(
  { rank }: LoraConfig,
  layers: ReadonlyMap<string, readonly number[]>,
): Map<string, readonly number[]> {
  return new Map(
    [...layers].flatMap(([layer, [out, ...inputs]]) => {
      const [a, b] = loraNames(layer);
      return [[a, [rank, ...inputs]] as const, [b, [out, rank, ...inputs.slice(1).map(() => 1)]] as const];
    }),
  );
}

/** The parts of a flat vector, by their names: views, nothing is copied. */
export function partsOf(vector: Float32Array, shapes: ReadonlyMap<string, readonly number[]>): Map<string, Tensor> {
  const size = [...shapes.values()].reduce((sum, shape) => sum + sizeOf(shape), 0);
  if (vector.length !== size)
    throw wrongValue('vector', `${size} numbers, one for each that is trained`, vector.length);
  let end = 0;
  return new Map(
    [...shapes].map(([name, shape]) => {
      const start = end;
      end += sizeOf(shape);
      return [name, { data: vector.subarray(start, end), shape }];
    }),
  );
}

/** The LoRA in a vector of its matrices. */
export function loraIn(
  { rank, alpha }: LoraConfig,
  { trained, vector }: { trained: ReadonlyMap<string, readonly number[]>; vector: Float32Array },
): Lora {
  const parts = partsOf(vector, trained);
  const layers = [...trained.keys()].flatMap((name) => /^(.*)\.lora_A\.weight$/.exec(name)?.[1] ?? []);
  const scale = alpha / rank;
  const entries = layers.map((layer) => {
    const [a, b] = loraNames(layer).map((name) => parts.get(name)!);
    return [layer, { a, b, scale }] as const;
  });
  return { name: 'lora', layers: new Map(entries), notes: [] };
}

/** A trained LoRA, to be written. */
export interface TrainedLora {
  /** The section of the training config, complete. */
  readonly lora: LoraConfig;
  /** The names and shapes of its matrices, in the order of the vector, as a `Trainable` has them. */
  readonly trained: ReadonlyMap<string, readonly number[]>;
  readonly vector: Float32Array;
  /** The model that it changes, as adapter_config.json names it. */
  readonly base?: string | null;
}

/**
 * The files of a folder as peft's `save_pretrained` leaves it: adapter_model.safetensors, which `--lora` and
 * `loadPipeline` take alone too, and adapter_config.json. In Python it is read on top of its base by
 *
 *     unet = PeftModel.from_pretrained(UNet2DModel.from_pretrained(BASE), FOLDER)
 *
 * (diffusers' own `load_lora_adapter` is not there for a UNet2DModel.)
 */
export function writeLora({ lora, trained, vector, base = null }: TrainedLora): Map<string, Uint8Array> {
  const layers = [...loraIn(lora, { trained, vector }).layers.keys()];
  const config = {
    ...{ alpha_pattern: {}, base_model_name_or_path: base, bias: 'none', fan_in_fan_out: false, inference_mode: true },
    ...{ init_lora_weights: true, lora_alpha: lora.alpha, lora_dropout: 0, modules_to_save: null, peft_type: 'LORA' },
    ...{ r: lora.rank, rank_pattern: {}, target_modules: layers, task_type: null, use_dora: false, use_rslora: false },
  };
  const tensors = new Map([...partsOf(vector, trained)].map(([name, tensor]) => [PEFT_PREFIX + name, tensor]));
  const metadata = { format: 'pt', [ADAPTER_METADATA]: JSON.stringify(config) };
  return new Map([
    ['adapter_model.safetensors', writeSafetensors(tensors, metadata)],
    ['adapter_config.json', new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`)],
  ]);
}

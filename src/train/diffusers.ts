import { DdpmError, show, wrongKind } from '../core/errors.ts';
import { configObject, parseSchedulerConfig, type SchedulerConfig } from '../core/schedulerConfig.ts';
import type { Tensor } from '../core/tensor.ts';
import type { UNetConfig } from '../core/unetConfig.ts';
import { type Labels, parseLabels } from '../model/labels.ts';
import { todaysParameters } from '../onnx/namedParameters.ts';
import { type StoredTensor, writeSafetensors } from '../onnx/safetensors.ts';

/** A model, in the parts that a diffusers folder has. */
export interface DiffusersModel {
  readonly config: UNetConfig;
  /** A scheduler_config.json object, `_class_name` included; DDPMScheduler without. */
  readonly scheduler: unknown;
  /** The parameters by diffusers' names, today's or those of older checkpoints. */
  readonly parameters: ReadonlyMap<string, Tensor | StoredTensor>;
  /** The names of the classes. */
  readonly labels?: Labels;
}

/**
 * The files of a folder that diffusers' `DDPMPipeline.from_pretrained` opens, and `UNet2DModel` and the scheduler each on
 * its own: config.json, diffusion_pytorch_model.safetensors, scheduler_config.json, model_index.json, and labels.json
 * where there are labels. Parameters have today's names and shapes; their numbers are untouched.
 *
 * @throws DdpmError `model-invalid` for parameters that are missing, of another shape, or not the network's;
 * `config-invalid` for a scheduler or labels that cannot be
 */
export function writeDiffusersFolder(model: DiffusersModel): Map<string, Uint8Array> {
  const { config, parameters, labels } = model;
  if (!(parameters instanceof Map)) throw wrongKind('parameters', 'a Map of tensors', parameters);
  const scheduler = schedulerJson(model.scheduler);
  const files = new Map<string, Uint8Array>([
    ['config.json', json({ _class_name: 'UNet2DModel', _diffusers_version: diffusersVersion, ...unetJson(config) })],
    ['diffusion_pytorch_model.safetensors', writeSafetensors(networkParameters(config, parameters), { format: 'pt' })],
    ['scheduler_config.json', json(scheduler)],
    ['model_index.json', json(pipelineJson(String(scheduler._class_name)))],
  ]);
  if (labels) files.set('labels.json', json(parseLabels(labels, 'labels')));
  return files;
}

/** A network's config under diffusers' keys: every key of a config.json but those with an underscore. */
export function unetJson(config: UNetConfig): Record<string, unknown> {
  const { sampleSize, timeEmbeddingDim, blockOutChannels, ...rest } = config;
  const square = sampleSize?.[0] === sampleSize?.[1];
  const keys = {
    ...rest,
    blockOutChannels,
    dropout: 0,
    sampleSize: square ? (sampleSize?.[0] ?? null) : sampleSize,
    timeEmbeddingDim: timeEmbeddingDim === 4 * blockOutChannels[0] ? null : timeEmbeddingDim,
  };
  const sorted = Object.entries(keys).map(([key, value]) => [snakeCase(key), value] as const);
  return Object.fromEntries(sorted.sort(([a], [b]) => (a < b ? -1 : 1)));
}

// whose files these are like
const diffusersVersion = '0.35.0';

// what diffusers writes of a DDPMScheduler
const ddpmKeys = [
  'betaEnd',
  'betaSchedule',
  'betaStart',
  'clipSample',
  'clipSampleRange',
  'dynamicThresholdingRatio',
  'numTrainTimesteps',
  'predictionType',
  'rescaleBetasZeroSnr',
  'sampleMaxValue',
  'stepsOffset',
  'thresholding',
  'timestepSpacing',
  'trainedBetas',
  'varianceType',
] as const satisfies readonly (keyof SchedulerConfig)[];

/** A scheduler's config as diffusers would save it: of a DDPMScheduler every key, of another class those given. */
export function schedulerJson(scheduler: unknown, file = 'scheduler_config.json'): Record<string, unknown> {
  const { config } = parseSchedulerConfig(scheduler, file);
  const given = configObject(scheduler, file);
  const about = { _class_name: config.className, _diffusers_version: diffusersVersion };
  if (config.className !== 'DDPMScheduler') return { ...given, ...about };
  return { ...about, ...Object.fromEntries(ddpmKeys.map((key) => [snakeCase(key), config[key]])) };
}

function pipelineJson(scheduler: string) {
  return {
    _class_name: 'DDPMPipeline',
    _diffusers_version: diffusersVersion,
    scheduler: ['diffusers', scheduler],
    unet: ['diffusers', 'UNet2DModel'],
  };
}

/** The parameters of the network, all of them and no others. */
function networkParameters(config: UNetConfig, tensors: ReadonlyMap<string, Tensor | StoredTensor>) {
  const { parameters, unused } = todaysParameters(config, tensors);
  if (unused.length > 0)
    throw new DdpmError('model-invalid', `parameters expected those of the network only, got ${show(unused[0])} too`);
  return parameters;
}

/** `clipSample` becomes `clip_sample`. */
export function snakeCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
}

import { show } from '../core/errors.ts';
import { parseUNetConfig, type UNetConfig } from '../core/unetConfig.ts';
import { findModel } from '../model/find.ts';
import type { Labels } from '../model/labels.ts';
import { namedWeights } from '../model/lora.ts';
import { todaysParameters } from '../onnx/namedParameters.ts';
import type { StoredTensor } from '../onnx/safetensors.ts';

/** A model that training starts from. */
export interface BaseModel {
  /** The bundled name, path or URL that it was asked for by. */
  readonly from: string;
  readonly config: UNetConfig;
  /** The object in its scheduler_config.json; undefined where there is none. */
  readonly scheduler?: Readonly<Record<string, unknown>>;
  /** The names of its classes, where labels.json says them. */
  readonly labels?: Labels;
  /** Its parameters by today's names of diffusers, as they are stored: float32 or less. */
  readonly parameters: ReadonlyMap<string, StoredTensor>;
  /** What was assumed or left out; each one line. */
  readonly notes: readonly string[];
}

/**
 * Reads the model of a training config's `from`: a bundled name, a diffusers folder, or a model that ddpm-wasm converted
 * from one, beside its config.json.
 *
 * @throws DdpmError `model-not-found`, `model-invalid` or `config-invalid`
 */
export async function loadBase(from: string, options: { readonly signal?: AbortSignal } = {}): Promise<BaseModel> {
  const { name, files } = await findModel(from, options);
  const weights = namedWeights(files, name);
  const { config, notes } = parseUNetConfig(files.config);
  const { parameters, unused } = todaysParameters(config, weights, name);
  const spare = unused.map((tensor) => `${name}: tensor ${show(tensor)} is not part of the network`);
  const { schedulerConfig: scheduler, labels } = files;
  return { from, config, scheduler, labels, parameters, notes: [...notes, ...spare] };
}

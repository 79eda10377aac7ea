import type { Tensor } from '../core/tensor.ts';
import type { Engine } from '../engine/engine.ts';
import type { Labels } from '../model/labels.ts';
import type { Device } from '../runtime/types.ts';
import type { TrainingConfig } from './configSchema.ts';
import type { CheckpointStore } from './store.ts';
import type { TrainingData } from './trainingData.ts';

/** What a training run works with, besides its config. */
export interface TrainOptions {
  /** The images. Default: those at the config's `data.path`. */
  readonly data?: TrainingData;
  /** Where checkpoints are kept; without it there are none, and the run can only be done in one go. */
  readonly checkpoints?: string | URL | CheckpointStore;
  /** Whether to go on from the newest checkpoint, if there is one. */
  readonly resume?: boolean;
  /** Where to train. Default: the CPU in Node; in a browser WebGPU if there is an adapter, else wasm. */
  readonly device?: Device;
  readonly engine?: Engine;
  /** What messages call the config. */
  readonly file?: string;
  /** Ends the run after the step in progress, with a checkpoint. */
  readonly signal?: AbortSignal;
}

/** A model as training leaves it. */
export interface TrainedModel {
  readonly config: TrainingConfig;
  /** Optimizer steps done. */
  readonly step: number;
  /** Whether that is all of them. */
  readonly complete: boolean;
  /** The network's parameters by diffusers' names: their moving average where one is kept. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly labels?: Labels;
  /** The files of the LoRA alone, where one is trained: as peft keeps it; `parameters` have it merged in. */
  readonly lora?: ReadonlyMap<string, Uint8Array>;
}

import type { PlainError } from '../core/plainError.ts';
import type { Step } from '../diffusion/sample.ts';
import type { Evaluation } from '../evaluate/types.ts';
import type { Model } from '../model/types.ts';
import type { PipelineOptions } from '../pipeline.ts';
import type { DownloadProgress } from '../runtime/types.ts';

/** What a worker is asked; every request has a number of its own, and gets one `done` or `failed` with it. */
export type Request =
  | { readonly kind: 'load'; readonly id: number; readonly source: string | Uint8Array; readonly options: PlainOptions }
  | { readonly kind: 'run'; readonly id: number; readonly method: Method; readonly args: readonly unknown[] }
  /** The client has taken a step and has room for another. */
  | { readonly kind: 'more'; readonly id: number }
  | { readonly kind: 'cancel'; readonly id: number };

/** What a worker answers. */
export type Answer =
  /** It holds the lock of this name for as long as it lives. */
  | { readonly kind: 'alive'; readonly lock: string }
  | { readonly kind: 'progress'; readonly id: number; readonly progress: DownloadProgress }
  | { readonly kind: 'step'; readonly id: number; readonly step: Progress }
  | { readonly kind: 'done'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly error: PlainError };

/** What can be asked of the pipeline in the worker. */
export type Method = 'sample' | 'steps' | 'invert' | 'reconstruct' | 'interpolate' | 'plan' | 'evaluations';

/** What comes before the end of `steps`, and of `evaluations`. */
export type Progress = Step | Evaluation;

/** Loading options that can be sent. */
export type PlainOptions = Omit<PipelineOptions, 'engine' | 'signal' | 'onProgress' | 'wasmPaths'> & {
  readonly wasmPaths?: string;
};

/** What the worker says of a model that it has loaded. */
export interface Loaded {
  readonly model: Omit<Model, 'denoiser' | 'dispose'>;
  readonly notes: readonly string[];
}

/** How many steps a worker may be ahead of who draws them. */
export const stepsAhead = 2;

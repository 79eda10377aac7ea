import { type ArgumentError, DdpmError, type ErrorCode, isArgumentError } from '../core/errors.ts';
import type { Step } from '../diffusion/sample.ts';
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
  | { readonly kind: 'step'; readonly id: number; readonly step: Step }
  | { readonly kind: 'done'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly error: PlainError };

/** What can be asked of the pipeline in the worker. */
export type Method = 'sample' | 'steps' | 'invert' | 'reconstruct' | 'interpolate' | 'plan';

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

/** An error as it is sent: structured clones lose the class and the code. */
export interface PlainError {
  readonly name: string;
  readonly message: string;
  readonly code?: ErrorCode;
  readonly argument?: string;
}

/** Packs an error. */
export function packError(error: unknown): PlainError {
  if (!(error instanceof Error || error instanceof DOMException)) return { name: 'Error', message: String(error) };
  const { name, message } = error;
  if (error instanceof DdpmError) return { name, message, code: error.code };
  if (isArgumentError(error)) return { name, message, code: error.code, argument: error.argument };
  return { name, message };
}

/** The error that was packed, of the same class. */
export function unpackError({ name, message, code, argument }: PlainError): Error {
  if (argument !== undefined) {
    const error = name === 'TypeError' ? new TypeError(message) : new RangeError(message);
    return Object.assign(error, { code, argument }) as ArgumentError;
  }
  if (code !== undefined) return new DdpmError(code, message);
  return Object.assign(new Error(message), { name });
}

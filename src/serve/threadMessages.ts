import type { Condition } from '../core/denoiser.ts';
import { DdpmError, type ErrorCode, wrongKind, wrongValue } from '../core/errors.ts';
import type { Tensor } from '../core/tensor.ts';
import type { LoadOptions, Model, NetworkShape } from '../model/types.ts';

/** What a thread begins with. */
export interface Start {
  readonly source: string;
  readonly options: ThreadOptions;
}

/** How to load a model in a thread: a signal stays where it is. */
export type ThreadOptions = Omit<LoadOptions, 'signal'>;

/** All of a model that can be sent. */
export interface Facts extends Omit<Model, 'denoiser' | 'dispose'> {
  readonly network: { readonly shape: NetworkShape; readonly labelInput?: string };
}

/** The first message of a thread. */
export type Started = { readonly facts: Facts; readonly failure?: undefined } | { readonly failure: Failure };

/** A network call. */
export interface Question {
  readonly id: number;
  readonly x: Tensor;
  readonly timesteps: Float32Array;
  readonly condition?: Condition;
}

/** What came of it. */
export interface Answer {
  readonly id: number;
  readonly answer?: Tensor;
  readonly failure?: Failure;
}

/** An error as it is sent: a clone would lose its code. */
export interface Failure {
  readonly message: string;
  readonly code?: string;
  readonly argument?: string;
  readonly isKind?: boolean;
}

export function failureOf(error: unknown): Failure {
  const { message, code, argument } = error as Failure;
  return { message: message ?? String(error), code, argument, isKind: error instanceof TypeError };
}

/** The error again. */
export function errorOf({ message, code, argument, isKind }: Failure): Error {
  if (code === 'invalid-argument' && argument !== undefined)
    return Object.assign((isKind ? wrongKind : wrongValue)(argument, '', ''), { message });
  return code === undefined ? new Error(message) : new DdpmError(code as ErrorCode, message);
}

/** What went wrong, for programs: every error that this package throws on purpose carries one of these as `code`. */
export type ErrorCode =
  | 'invalid-argument' // a bad option or argument; `argument` names it
  | 'config-invalid' // a scheduler or network config that cannot be used
  | 'model-not-found' // nothing usable at the given path, name or URL
  | 'model-invalid' // a model file that is damaged, or does not fit its config
  | 'checkpoint-invalid' // no training checkpoint that is whole at the given place
  | 'dataset-not-found' // nothing usable at the given path or URL
  | 'dataset-invalid' // a dataset that is damaged, holds no usable image, or is not what it is taken for
  | 'device-unavailable' // the asked-for device cannot run here
  | 'webgpu-unavailable' // the same of WebGPU, which pages ask for and do without
  | 'network-failed' // the denoiser gave NaN, infinity or the wrong shape
  | 'training-diverged' // the loss or the gradient of a training step is NaN or infinite
  | 'out-of-memory' // the request does not fit in memory
  | 'output-failed' // a result could not be written
  | 'cancelled' // given up for a newer request, by `cancel`, or by `dispose`
  | 'busy' // too many requests are waiting already
  | 'worker-crashed'; // a worker or thread ended by itself; where one serves a pipeline, the next call starts another

/** An error with a code. The message is one line that names the thing, what was expected and what came. */
export class DdpmError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'DdpmError';
    this.code = code;
  }
}

/** What an argument error carries besides its message. */
export interface ArgumentError extends Error {
  readonly code: 'invalid-argument';
  readonly argument: string;
}

/** A TypeError for an argument of the wrong kind. */
export function wrongKind(argument: string, expected: string, got: unknown): ArgumentError {
  return labelled(new TypeError(sentence(argument, expected, got)), argument);
}

/** A RangeError for an argument of the right kind and a wrong value. */
export function wrongValue(argument: string, expected: string, got: unknown): ArgumentError {
  return labelled(new RangeError(sentence(argument, expected, got)), argument);
}

/** Whether an error came from a bad argument, by `wrongKind` or `wrongValue`. */
export function isArgumentError(error: unknown): error is ArgumentError {
  return error instanceof Error && (error as { code?: unknown }).code === 'invalid-argument' && 'argument' in error;
}

function labelled(error: Error, argument: string): ArgumentError {
  return Object.assign(error, { code: 'invalid-argument' as const, argument });
}

function sentence(argument: string, expected: string, got: unknown): string {
  return `"${argument}" expected ${expected}, got ${show(got)}`;
}

/** A value in few words, safe to put in a message. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
  if (typeof value === 'bigint') return `${value}n`;
  if (value === null || typeof value !== 'object') return String(value).slice(0, 60);
  // lists within lists are not followed: a hostile file may nest them without end
  if (Array.isArray(value))
    return value.length > 8 || value.some(Array.isArray)
      ? `an array of ${value.length}`
      : `[${value.map(show).join(', ')}]`;
  return value.constructor?.name && value.constructor.name !== 'Object' ? `a ${value.constructor.name}` : 'an object';
}

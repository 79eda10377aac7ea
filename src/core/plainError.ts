import { type ArgumentError, DdpmError, type ErrorCode, isArgumentError } from './errors.ts';

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

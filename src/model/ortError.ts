import { DdpmError, type ErrorCode } from '../core/errors.ts';

/** An onnxruntime error as one of ours: its first line, without C++ positions and status codes. */
export function ortError(code: ErrorCode, prefix: string, error: unknown): DdpmError {
  if (error instanceof DdpmError) return error;
  const raw = error instanceof Error ? error.message : String(error);
  if (/allocat\w* (memory|failed)|failed to allocate|bad_alloc|out of memory|OOM/i.test(raw))
    return new DdpmError('out-of-memory', `${prefix}: not enough memory`, { cause: error });
  if (/protobuf parsing failed|data pointer is null|No graph was found/.test(raw))
    return new DdpmError('model-invalid', `${prefix}: not an ONNX model, or damaged`, { cause: error });
  return new DdpmError(code, `${prefix}: ${reasonIn(raw)}`, { cause: error });
}

function reasonIn(message: string): string {
  return message
    .split('\n')[0]
    .replace(/^.*ERROR_MESSAGE: /, '')
    .replace(/\S*\/onnxruntime\/\S+ .*?(\[ONNXRuntimeError\] : \d+ : \w+ : |was false\. )/, '')
    .slice(0, 300);
}

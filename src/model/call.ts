import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-web';
import { decodeHalf } from '../onnx/half.ts';
import type { LoadedOrt } from '../runtime/types.ts';
import { ortError } from './ortError.ts';

/** What goes into one call, and which output is wanted. */
export interface Call {
  readonly feeds: Record<string, OrtTensor>;
  readonly output: string;
  /** Where the output is to be written, with onnxruntime-node only. */
  readonly into?: OrtTensor;
}

/** One network call. @throws DdpmError `network-failed` or `out-of-memory`. */
export async function callSession(
  { session, zeroCopy }: Pick<LoadedOrt, 'zeroCopy'> & { readonly session: InferenceSession },
  { feeds, output, into }: Call,
): Promise<OrtTensor> {
  const run = () => session.run(feeds, into ? { [output]: into } : [output], { logSeverityLevel: 4 });
  return (await inTurn({ zeroCopy }, run))[output] as OrtTensor;
}

/** Runs a session of a network's package when it can be entered. @throws DdpmError as `callSession` does. */
export async function inTurn<T>({ zeroCopy }: Pick<LoadedOrt, 'zeroCopy'>, run: () => Promise<T>): Promise<T> {
  try {
    return await (zeroCopy ? run() : oneAtATime(run));
  } catch (error) {
    throw ortError('network-failed', 'the network failed', error);
  }
}

/** The numbers of a float tensor as float32: its own where they are. */
export function floatsOf(tensor: OrtTensor): Float32Array {
  if (tensor.type === 'float64') return Float32Array.from(tensor.data as Float64Array);
  if (tensor.type !== 'float16') return tensor.data as Float32Array;
  // a Float16Array where the platform has one
  const { buffer, byteOffset, length } = tensor.data as Uint16Array<ArrayBuffer>;
  return decodeHalf(new Uint16Array(buffer, byteOffset, length));
}

// the asynchronous builds of onnxruntime-web must not be entered twice, by whatever session
let last: Promise<unknown> = Promise.resolve();

function oneAtATime<T>(run: () => Promise<T>): Promise<T> {
  const next = last.then(run);
  last = next.catch(() => undefined);
  return next;
}

import type { InferenceSession } from 'onnxruntime-web';
import { autoDevices, loadOrt } from '#runtime';
import { assertInteger, assertOneOf } from '../core/assert.ts';
import { DdpmError, wrongKind } from '../core/errors.ts';
import { type ConcreteDevice, devices, type LoadedOrt, type ReadOptions, unavailable } from '../runtime/types.ts';
import { denoiserOf, trialChannels } from './denoiser.ts';
import { ortError } from './ortError.ts';
import { readSignature, type Signature } from './signature.ts';
import type { NetworkShape, SessionDenoiser, SessionOptions } from './types.ts';

/** How to open a session. */
export interface OpenOptions extends SessionOptions {
  /** Channels, height and width of an image, for what the graph leaves open. */
  readonly shape?: readonly (number | undefined)[];
  /** How onnxruntime's own files are read. */
  readonly reading?: ReadOptions;
  /** What messages call the model. */
  readonly name?: string;
  /** The files that hold the graph's weights, where they lie outside it. */
  readonly externalData?: readonly { readonly path: string; readonly data: Uint8Array }[];
}

// a 28x28 network takes 3.4 ms an image on two CPU cores at batch 1, 2.5 at 8, 2.4 at 16, 2.5 at 32
const defaultBatch = 16;

/**
 * Opens an ONNX graph as a Denoiser, on the asked-for device or the first of `auto`'s that works.
 *
 * @throws DdpmError `model-invalid` for bytes that are no such graph, `device-unavailable`, `webgpu-unavailable`,
 * `out-of-memory`.
 */
export async function openSession(bytes: Uint8Array, options: OpenOptions = {}): Promise<SessionDenoiser> {
  const { batch = defaultBatch } = options;
  assertInteger(batch, 'batch', 1, 4096);
  return onDevice(options, (device, passedOver) => openOn(device, bytes, { ...options, batch }, passedOver));
}

/** Opens something on the asked-for device or the first of `auto`'s that works, and says which were passed over. */
export async function onDevice<T>(
  { device = 'auto', threads, wasmPaths, wasmModule }: SessionOptions,
  open: (device: ConcreteDevice, passedOver: readonly string[]) => Promise<T>,
): Promise<T> {
  assertOneOf(device, 'device', devices);
  if (threads !== undefined) assertInteger(threads, 'threads', 1, 1024);
  if (wasmPaths !== undefined && typeof wasmPaths !== 'string' && !(wasmPaths instanceof URL))
    throw wrongKind('wasmPaths', 'the URL of a folder', wasmPaths);
  if (wasmModule !== undefined && !(wasmModule instanceof WebAssembly.Module))
    throw wrongKind('wasmModule', 'a WebAssembly.Module', wasmModule);

  // one at a time: onnxruntime-node has no fallback between execution providers
  const candidates = device === 'auto' ? await autoDevices() : { devices: [device], passedOver: [] };
  const passedOver = candidates.passedOver.map((reason) => `passed over ${reason}`);
  for (const candidate of candidates.devices.slice(0, -1)) {
    try {
      return await open(candidate, passedOver);
    } catch (error) {
      passedOver.push(`passed over ${(error as Error).message}`);
    }
  }
  return open(candidates.devices.at(-1)!, passedOver);
}

async function openOn(
  wanted: ConcreteDevice,
  bytes: Uint8Array,
  options: OpenOptions & { batch: number },
  passedOver: readonly string[],
): Promise<SessionDenoiser> {
  const loaded = await loadOrt(wanted, options);
  const session = await createSession(loaded, bytes, options);
  try {
    const signature = readSignature(session);
    const shape = shapeOf(signature, options.shape);
    const notes = [...passedOver, ...loaded.notes, ...signature.notes];
    const network = { ...loaded, session, signature, shape, notes, batch: options.batch };
    const outChannels = shape.outChannels ?? (await trialChannels(network));
    return denoiserOf({ ...network, shape: { ...shape, outChannels } });
  } catch (error) {
    await session.release();
    throw named(error, options.name);
  }
}

/** An onnxruntime session on a device that is loaded. */
export async function createSession(
  loaded: LoadedOrt,
  bytes: Uint8Array,
  options: OpenOptions,
): Promise<InferenceSession> {
  const { ort, device } = loaded;
  const prefix = options.name ?? 'model';
  try {
    return await ort.InferenceSession.create(bytes, {
      executionProviders: [device],
      logSeverityLevel: 4,
      ...(options.threads !== undefined && device !== 'wasm' && { intraOpNumThreads: options.threads }),
      ...(options.externalData && { externalData: [...options.externalData] }),
    });
  } catch (error) {
    const { message } = error as Error;
    if (message.startsWith('no available backend')) throw unavailable(device, message, error);
    if (device === 'webgpu') throw ortError('webgpu-unavailable', `webgpu: cannot run ${prefix}`, error);
    if (device === 'cuda') throw ortError('device-unavailable', `cuda: cannot run ${prefix}`, error);
    throw ortError('model-invalid', prefix, error);
  }
}

/** What the graph says about sizes, filled up with what the caller says. */
function shapeOf({ image, output }: Signature, given: readonly (number | undefined)[] = []): NetworkShape {
  const [channels, height, width] = [1, 2, 3].map(
    (axis) => image.dims[axis] ?? (axis > 1 ? output.dims[axis] : undefined) ?? given[axis - 1],
  );
  return { channels, height, width, outChannels: output.dims[1] };
}

/** An error of ours that says which model it is about. */
export function named(error: unknown, name = 'model'): unknown {
  return error instanceof DdpmError ? new DdpmError(error.code, `${name}: ${error.message}`, { cause: error }) : error;
}

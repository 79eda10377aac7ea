import {
  type Candidates,
  type ConcreteDevice,
  type LoadedOrt,
  type OrtOptions,
  type ReadOptions,
  unavailable,
} from './types.ts';
import { fetchKept } from './webCache.ts';

// each is a worker with its own start-up
const maxThreads = 8;

const binaries = {
  wasm: 'ort-wasm-simd-threaded.wasm',
  webgpu: 'ort-wasm-simd-threaded.asyncify.wasm',
} as const;

/** @see Runtime.loadOrt */
export async function loadOrt(device: ConcreteDevice, options: OrtOptions = {}): Promise<LoadedOrt> {
  if (device === 'cpu' || device === 'cuda')
    throw unavailable(device, 'needs Node.js: in a browser take webgpu or wasm');
  if (device === 'webgpu' && !(await findAdapter()))
    throw unavailable(device, 'this browser offers no WebGPU adapter; take wasm');
  const ort = await (device === 'webgpu' ? import('onnxruntime-web/webgpu') : import('onnxruntime-web/wasm'));
  const { count, reason } = threadsFor(options.threads);
  // these are read at the first session only
  ort.env.wasm.numThreads = count;
  if (options.wasmPaths !== undefined) {
    const folder = folderUrl(options.wasmPaths);
    ort.env.wasm.wasmPaths = folder;
    ort.env.wasm.wasmBinary ??= await keptBinary(new URL(binaries[device], folder), options.reading);
  }
  const note = device === 'webgpu' ? 'runs on webgpu' : `runs on wasm, ${reason}`;
  return { ort, device, zeroCopy: false, notes: [note] };
}

/** @see Runtime.autoDevices */
export async function autoDevices(): Promise<Candidates> {
  const adapter = await findAdapter();
  const reason = adapter
    ? isSoftware(adapter) && 'the adapter draws in software, which is slower than wasm'
    : 'this browser offers no WebGPU adapter';
  return reason
    ? { devices: ['wasm'], passedOver: [`webgpu: ${reason}`] }
    : { devices: ['webgpu', 'wasm'], passedOver: [] };
}

/** The .wasm file of each build, from where downloads are kept; undefined lets onnxruntime fetch it. */
async function keptBinary(url: URL, reading: ReadOptions = {}): Promise<ArrayBuffer | undefined> {
  const bytes = reading.cacheBytes ? await fetchKept(url, reading) : undefined;
  return bytes?.buffer;
}

/** How many threads to run with, and why. */
function threadsFor(wanted: number | undefined): { count: number; reason: string } {
  if (!globalThis.crossOriginIsolated)
    return { count: 1, reason: '1 thread: the page is not cross-origin isolated (COOP and COEP headers)' };
  const count = wanted ?? Math.min(navigator.hardwareConcurrency, maxThreads);
  return { count, reason: count === 1 ? '1 thread' : `${count} threads` };
}

/** A folder as onnxruntime-web takes it: it joins names by plain concatenation. */
function folderUrl(folder: string | URL): string {
  const { href } = new URL(folder, globalThis.location?.href);
  return href.endsWith('/') ? href : `${href}/`;
}

interface Adapter {
  readonly isFallbackAdapter?: boolean;
  readonly info?: { readonly isFallbackAdapter?: boolean };
}

async function findAdapter(): Promise<Adapter | null> {
  const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<Adapter | null> } };
  return gpu ? gpu.requestAdapter().catch(() => null) : null;
}

// browsers moved the flag into `info`
function isSoftware({ info, isFallbackAdapter }: Adapter): boolean {
  return info?.isFallbackAdapter ?? isFallbackAdapter ?? false;
}

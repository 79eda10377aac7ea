import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { probeProvider } from './probe.ts';
import {
  type Candidates,
  type ConcreteDevice,
  type LoadedOrt,
  type Ort,
  type OrtOptions,
  unavailable,
} from './types.ts';

// devices that a driver for CUDA makes: NVIDIA's own, and that of Windows' Linux subsystem
const driverFiles = ['/dev/nvidiactl', '/dev/dxg'];

// each is a worker with its own start-up
const maxWasmThreads = 8;

/** @see Runtime.loadOrt */
export async function loadOrt(device: ConcreteDevice, options: OrtOptions = {}): Promise<LoadedOrt> {
  if (device === 'wasm') return loadWasm(options.threads);
  const native = await loadNative();
  if (native.ort) {
    if (device !== 'cpu') await assertUsable(device);
    return { ort: native.ort, device, zeroCopy: true, notes: [] };
  }
  if (device !== 'cpu') throw unavailable(device, native.reason);
  const note = `${native.reason}: running on onnxruntime-web, which is slower`;
  return { ...(await loadWasm(options.threads)), notes: [note] };
}

/** @see Runtime.autoDevices */
export async function autoDevices(): Promise<Candidates> {
  // onnxruntime-node's installation leaves the CUDA library on machines without such a card too
  const hasDriver = driverFiles.some((file) => existsSync(file));
  const usable = hasDriver && (await loadNative()).ort !== undefined && missingCuda() === undefined;
  return { devices: usable ? ['cuda', 'cpu'] : ['cpu'], passedOver: [] };
}

/** Throws unless a GPU provider exists and makes a session in another process: in this one it might crash. */
async function assertUsable(device: 'cuda' | 'webgpu'): Promise<void> {
  const reason = (device === 'cuda' && missingCuda()) || (await probeProvider(nativeEntry(), device));
  if (reason) throw unavailable(device, reason);
}

/** What the CUDA provider lacks, or undefined. */
function missingCuda(): string | undefined {
  const library = process.platform === 'win32' ? 'onnxruntime_providers_cuda.dll' : 'libonnxruntime_providers_cuda.so';
  const root = path.join(path.dirname(nativeEntry()), '..');
  const bin = path.join(root, 'bin');
  const folders = readdirSync(bin).map((napi) => path.join(bin, napi, process.platform, process.arch));
  if (folders.some((folder) => existsSync(path.join(folder, library)))) return undefined;
  const remedy = `to download it run "node script/install --onnxruntime-node-install=cuda12" in ${root}`;
  return `${library} is not in ${folders.at(-1)}; ${remedy}`;
}

function nativeEntry(): string {
  return createRequire(import.meta.url).resolve('onnxruntime-node');
}

async function loadNative(): Promise<{ ort: Ort; reason?: undefined } | { ort?: undefined; reason: string }> {
  try {
    return { ort: await import('onnxruntime-node') };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === 'ERR_MODULE_NOT_FOUND' ? 'is not installed' : `cannot be loaded (${message.split('\n')[0]})`;
    return { reason: `the package onnxruntime-node ${why}` };
  }
}

async function loadWasm(threads: number | undefined): Promise<LoadedOrt> {
  // onnxruntime-web/wasm is for browsers: in Node it fetches its parts from a file: URL, which fetch refuses
  const ort = await import('onnxruntime-web');
  // read at the first session only; its own choice, half the cores, is 1.4x slower on two cores
  ort.env.wasm.numThreads = threads ?? Math.min(availableParallelism(), maxWasmThreads);
  return { ort, device: 'wasm', zeroCopy: false, notes: [] };
}

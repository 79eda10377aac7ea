import { type Candidates, type ConcreteDevice, type LoadedOrt, type OrtOptions, unavailable } from './types.ts';

/** @see Runtime.loadOrt */
export async function loadOrt(device: ConcreteDevice, { wasmModule }: OrtOptions = {}): Promise<LoadedOrt> {
  if (device !== 'wasm') throw unavailable(device, 'a Worker has wasm only');
  if (!wasmModule)
    throw unavailable(
      device,
      'a Worker compiles no WebAssembly: import onnxruntime-web/ort-wasm-simd-threaded.wasm and pass it as wasmModule',
    );
  const ort = await import('onnxruntime-web/wasm');
  ort.env.wasm.numThreads = 1;
  // read at the first session only
  ort.env.wasm.wasmBinary ??= bytesFor(wasmModule);
  return { ort, device, zeroCopy: false, notes: [] };
}

/** @see Runtime.autoDevices */
export async function autoDevices(): Promise<Candidates> {
  return { devices: ['wasm'], passedOver: [] };
}

/**
 * Bytes that stand for a module. onnxruntime-web takes bytes only, and once, when its first session is made, asks
 * `WebAssembly.instantiate` to compile them: until then that knows these, and gives an instance of the module.
 */
function bytesFor(module: WebAssembly.Module): ArrayBuffer {
  const bytes = new ArrayBuffer(8);
  const { instantiate } = WebAssembly;
  const answer = async (source: BufferSource | WebAssembly.Module, imports?: WebAssembly.Imports) => {
    if (!(source instanceof Uint8Array && source.buffer === bytes)) return instantiate(source as BufferSource, imports);
    WebAssembly.instantiate = instantiate;
    return { module, instance: await instantiate(module, imports) };
  };
  WebAssembly.instantiate = answer as typeof instantiate;
  return bytes;
}

import { describe, expect, it } from 'vitest';
import { openSession } from '../../src/model/session.ts';
import * as workerd from '../../src/runtime/workerd.ts';

// what works is in test/serve/runtimes.test.ts, in workerd itself
describe('in a Worker', () => {
  it('says which module to import for the engine, and which for the network', async () => {
    await expect(workerd.compileEngine()).rejects.toThrow(
      'import ddpm-wasm/engine.wasm and pass createEngine({ module })',
    );
    await expect(workerd.loadOrt('wasm')).rejects.toMatchObject({
      code: 'device-unavailable',
      message: expect.stringContaining('import onnxruntime-web/ort-wasm-simd-threaded.wasm and pass it as wasmModule'),
    });
  });

  it('takes nothing else for that module', async () => {
    const opened = openSession(new Uint8Array(), { wasmModule: new Uint8Array() as never });
    await expect(opened).rejects.toThrow('"wasmModule" expected a WebAssembly.Module, got a Uint8Array');
  });

  it('has wasm only, and no bundled models', async () => {
    await expect(workerd.loadOrt('cpu')).rejects.toThrow('cpu: a Worker has wasm only');
    expect(await workerd.autoDevices()).toEqual({ devices: ['wasm'], passedOver: [] });
    expect([await workerd.bundledModel(), await workerd.bundledNames()]).toEqual([undefined, []]);
  });
});

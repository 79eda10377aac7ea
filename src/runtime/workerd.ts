import { DdpmError } from '../core/errors.ts';

// a Worker reads URLs as a page does
export * from './web.ts';
export { autoDevices, loadOrt } from './workerdOrt.ts';

/** @see Runtime.compileEngine */
export async function compileEngine(): Promise<WebAssembly.Module> {
  throw new DdpmError(
    'device-unavailable',
    'a Worker compiles no WebAssembly: import ddpm-wasm/engine.wasm and pass createEngine({ module })',
  );
}

/** @see Runtime.bundledModel */
export async function bundledModel(): Promise<undefined> {
  return undefined;
}

/** @see Runtime.bundledNames */
export async function bundledNames(): Promise<readonly string[]> {
  return [];
}

import { DdpmError } from '../core/errors.ts';
import type { Runtime } from './types.ts';
import {
  cores,
  decodeImage,
  encodeWebp,
  exists,
  folderOf,
  joinPlace,
  kindOf,
  listFiles,
  nextTurn,
  openFile,
  readBytes,
  removeFile,
  serveThread,
  startThread,
  tryRead,
  writeFile,
} from './web.ts';
import { autoDevices, loadOrt } from './workerdOrt.ts';

// a Worker reads URLs as a page does
export {
  autoDevices,
  cores,
  decodeImage,
  encodeWebp,
  exists,
  folderOf,
  joinPlace,
  kindOf,
  listFiles,
  loadOrt,
  nextTurn,
  openFile,
  readBytes,
  removeFile,
  serveThread,
  startThread,
  tryRead,
  writeFile,
};

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

void ({
  compileEngine,
  readBytes,
  tryRead,
  exists,
  kindOf,
  listFiles,
  openFile,
  writeFile,
  removeFile,
  joinPlace,
  folderOf,
  decodeImage,
  encodeWebp,
  loadOrt,
  autoDevices,
  bundledModel,
  bundledNames,
  nextTurn,
  cores,
  startThread,
  serveThread,
} satisfies Runtime);

import type { Env, InferenceSession, TensorConstructor } from 'onnxruntime-web';
import { DdpmError } from '../core/errors.ts';

/** Where a network can run. */
export const devices = ['auto', 'cpu', 'cuda', 'webgpu', 'wasm'] as const;
/** What can be asked for: `auto` is the best that works here. */
export type Device = (typeof devices)[number];
/** What a session runs on. */
export type ConcreteDevice = Exclude<Device, 'auto'>;

/** That a device cannot run here, and why. */
export function unavailable(device: ConcreteDevice, reason: string, cause?: unknown): DdpmError {
  const code = device === 'webgpu' ? 'webgpu-unavailable' : 'device-unavailable';
  return new DdpmError(code, `${device}: ${reason}`, { cause });
}

/** The part of an onnxruntime package that sessions need: the same in onnxruntime-node and onnxruntime-web. */
export interface Ort {
  readonly InferenceSession: typeof InferenceSession;
  readonly Tensor: TensorConstructor;
  readonly env: Env;
}

/** An onnxruntime package ready for one device. */
export interface LoadedOrt {
  readonly ort: Ort;
  /** The device that it runs on: another than asked for only where the native package is missing. */
  readonly device: ConcreteDevice;
  /** Whether tensors may be views of the caller's memory, outputs too (onnxruntime-node), or are copied (web). */
  readonly zeroCopy: boolean;
  /** What the user should know, such as why another package took over; each one line. */
  readonly notes: readonly string[];
}

/** How far the download of a file is. */
export interface DownloadProgress {
  /** The file's URL, without its query. */
  readonly file: string;
  /** Bytes that have come. */
  readonly loaded: number;
  /** Bytes that will have come; undefined where the server does not say, or says how many they are compressed. */
  readonly total: number | undefined;
}

/** How to read. */
export interface ReadOptions {
  readonly signal?: AbortSignal;
  /** The most bytes to accept; default 2 GiB less one. */
  readonly maxBytes?: number;
  /** Of a URL: called as bytes arrive. */
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** Of a URL: the SHA-256 that the bytes must have, in lower-case hexadecimal digits. */
  readonly sha256?: string;
  /** In a browser: keep what a URL names in Cache Storage, as many bytes in all as this. By default nothing is kept. */
  readonly cacheBytes?: number;
}

/** How to load onnxruntime. */
export interface OrtOptions {
  readonly threads?: number;
  /** In a browser: the folder of onnxruntime-web's own .mjs and .wasm files. */
  readonly wasmPaths?: string | URL;
  /** In a Worker: onnxruntime-web's ort-wasm-simd-threaded.wasm, compiled. */
  readonly wasmModule?: WebAssembly.Module;
  /** How to read the .wasm file of that folder. */
  readonly reading?: ReadOptions;
}

/** What `auto` tries, best first, and why not more; each one line. */
export interface Candidates {
  readonly devices: readonly ConcreteDevice[];
  readonly passedOver: readonly string[];
}

/** The bytes of a file; never a view of shared memory. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** A file that is read in parts. */
export interface OpenFile {
  readonly size: number;

  /** Its bytes from `begin` to before `end`; fewer where it ends earlier. */
  read(begin: number, end: number): Promise<Bytes>;
}

/** An image of bytes, the channels of a pixel side by side. */
export interface RawImage {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3 | 4;
}

/** A thread that runs a module of this package, as its starter sees it. */
export interface Thread {
  /** Whether it has ended, by `close` or by itself. */
  readonly ended: boolean;

  /**
   * Calls a method there; arguments and results are copied, SharedArrayBuffers apart. @throws DdpmError `worker-crashed`
   * where the thread has ended by itself, `cancelled` after `close`.
   */
  call<T>(method: string, argument?: unknown): Promise<T>;

  /** Ends the thread at once. */
  close(): Promise<void>;
}

/** What a thread can be called for. */
export type ThreadMethods = Readonly<Record<string, (argument: never) => unknown>>;

/**
 * What a platform provides: the exports of node.ts, web.ts and workerd.ts, of which package.json chooses one as `#runtime`.
 *
 * A place is a URL, or a string: a URL if it starts with http:// or https://, a path in the file system otherwise.
 */
export interface Runtime {
  /** The engine, compiled once from the bytes embedded in this package. */
  compileEngine(): Promise<WebAssembly.Module>;

  /** The bytes at a place. @throws DdpmError `model-not-found` if there are none, or they cannot be read. */
  readBytes(place: string | URL, options?: ReadOptions): Promise<Bytes>;

  /** The bytes at a place, or undefined if there is nothing. @throws DdpmError if there is, but cannot be read. */
  tryRead(place: string | URL, options?: ReadOptions): Promise<Bytes | undefined>;

  /** Whether there is a file at a place. */
  exists(place: string | URL, options?: ReadOptions): Promise<boolean>;

  /** What is at a place. Of a URL only the extension is looked at: one of a model file, or it is a folder. */
  kindOf(place: string | URL): Promise<'file' | 'folder' | 'missing'>;

  /**
   * The files in a folder and the folders below it, hidden ones apart, as paths with slashes, in any order; undefined if
   * the place is no folder. Links are followed, except to a folder that they are in. @throws DdpmError for a URL that
   * ends in a slash: HTTP lists no folders.
   */
  listFiles(place: string | URL, options?: ReadOptions): Promise<readonly string[] | undefined>;

  /** A file to read in parts, or undefined if there is nothing. What a URL names is downloaded once, whole. */
  openFile(place: string | URL, options?: ReadOptions): Promise<OpenFile | undefined>;

  /**
   * Writes a file that appears whole or not at all, and is safe on the disk when this is done; missing folders are made.
   *
   * @throws DdpmError `output-failed` where that cannot be: what was there before stays.
   */
  writeFile(place: string | URL, bytes: Uint8Array): Promise<void>;

  /** Removes a file, if there is one. @throws DdpmError `output-failed`. */
  removeFile(place: string | URL): Promise<void>;

  /** The place `name` (which may hold slashes) in a folder. */
  joinPlace(folder: string | URL, name: string): string | URL;

  /** The folder that a file is in. */
  folderOf(file: string | URL): string | URL;

  /**
   * The image in a JPEG, WebP or GIF file, of an animation the first frame. @throws DdpmError `device-unavailable`, its
   * message what is missing; Error, its message what is wrong with the bytes.
   */
  decodeImage(bytes: Uint8Array, options: { readonly maxPixels: number }): Promise<RawImage>;

  /** The image as a WebP file without loss. @throws DdpmError `device-unavailable`, its message what is missing. */
  encodeWebp(image: RawImage): Promise<Uint8Array>;

  /**
   * The onnxruntime package for a device. @throws DdpmError `device-unavailable`, or `webgpu-unavailable`, if that cannot
   * run here.
   */
  loadOrt(device: ConcreteDevice, options?: OrtOptions): Promise<LoadedOrt>;

  /** The devices that `auto` tries here. */
  autoDevices(): Promise<Candidates>;

  /** Lets events, messages and timers have their turn, which a network that runs in this thread keeps waiting. */
  nextTurn(): Promise<void>;

  /** How many threads of `startThread` can run at once; 1 where there are none. */
  cores(): number;

  /** Starts a thread of its own memory that runs a module of this package, which calls `serveThread`. */
  startThread(module: URL, data: unknown): Thread;

  /** In such a module: answers calls by the methods that `start` makes of what the thread was started with. */
  serveThread(start: (data: unknown) => Promise<ThreadMethods>): void;

  /** The folder of a model that comes with this package, or undefined if there is none of that name. */
  bundledModel(name: string): Promise<string | URL | undefined>;

  /** The names of the models that come with this package; empty where they cannot be listed. */
  bundledNames(): Promise<readonly string[]>;
}

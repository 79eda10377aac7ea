import type { ByteSource } from '../core/collect.ts';
import type { Denoiser } from '../core/denoiser.ts';
import type { FeatureNetwork } from '../core/features.ts';
import type { SamplingConfig } from '../core/samplingConfig.ts';
import type { Tensor } from '../core/tensor.ts';
import type { ConcreteDevice, Device, DownloadProgress } from '../runtime/types.ts';
import type { BundleDtype } from './bundle.ts';
import type { Network, NetworkShape } from './network.ts';

export type { NetworkShape } from './network.ts';

/** How to run a network. */
export interface SessionOptions {
  /** Where to run; `auto` (default): CUDA if usable, else the CPU; in a browser WebGPU on a graphics card, else wasm. */
  readonly device?: Device;
  /** CPU threads inside one call; by default onnxruntime's own choice. In a page that is not cross-origin isolated 1. */
  readonly threads?: number;
  /**
   * In a browser: the folder, as a URL, that onnxruntime-web's own .mjs and .wasm files are served from. Default: where the
   * bundler put them, or beside the script. A page's first session decides this and `threads` for all.
   */
  readonly wasmPaths?: string | URL;
  /**
   * In a Cloudflare Worker, where it is needed, as nothing there compiles WebAssembly from bytes: the module that an import of
   * `onnxruntime-web/ort-wasm-simd-threaded.wasm` gives.
   */
  readonly wasmModule?: WebAssembly.Module;
  /** How many images go into one network call at most. Default 16. */
  readonly batch?: number;
}

/**
 * An onnxruntime session as a Denoiser. Given an `out` tensor it fills and returns that.
 *
 * With onnxruntime-node neither `x` nor `out` is copied: they must stay attached until the call is done.
 */
export interface SessionDenoiser {
  (...args: Parameters<Denoiser>): Promise<Tensor>;
  readonly shape: NetworkShape;
  /** The name of the graph's input for class labels, if it has one. */
  readonly labelInput?: string;
  /** The session itself, for who keeps images where it runs. @internal */
  readonly network?: Network;
  readonly device: ConcreteDevice;
  /** What was assumed and why; each one line. */
  readonly notes: readonly string[];
  /** Frees the session; the denoiser must not be called after. */
  dispose(): Promise<void>;
}

/** A LoRA: a .safetensors file by path or URL, a folder as peft's save_pretrained leaves it, or the file's bytes. */
export type LoraSource = string | URL | Uint8Array;

/** A LoRA, and how much of it: `scale` 1 (default) is what was trained, 0 nothing, less than 0 the opposite. */
export interface ScaledLora {
  readonly source: LoraSource;
  readonly scale?: number;
}

/**
 * Where a model is: a bundled name, a path, a URL; the bytes of an .onnx or .ddpm file; or a stream of such bytes, such as
 * a Response's body.
 */
export type ModelSource = string | URL | Uint8Array | ByteSource;

/** What a .ddpm file says of itself. */
export interface BundleInfo {
  /** Of the format. */
  readonly version: number;
  readonly name: string;
  /** The hexadecimal SHA-256 that stands for the whole file. */
  readonly sha256: string;
  /** The size of the file. */
  readonly bytes: number;
  /** How weights are stored, where the file says so. */
  readonly dtype?: BundleDtype;
  /** The model card, Markdown. */
  readonly card?: string;
  /** A PNG file of samples. */
  readonly preview?: Uint8Array;
}

/** How to load a model. */
export interface LoadOptions extends SessionOptions {
  /**
   * Low-rank changes to merge into the weights, one or several, whose sum is taken: of a diffusers folder, or of a model
   * that ddpm-wasm converted from one, beside its config.json.
   */
  readonly lora?: LoraSource | ScaledLora | readonly (LoraSource | ScaledLora)[];
  /** Cancels reading and downloads. */
  readonly signal?: AbortSignal;
  /** Called as files are downloaded from a URL. */
  readonly onProgress?: (progress: DownloadProgress) => void;
  /**
   * In a browser: whether to keep downloads in Cache Storage, where they are found offline. Default true; the oldest go
   * when they are more than 512 MiB, or `cache.maxBytes`. Files with a digest (see `loadModel`) are downloaded once, others
   * whenever there is a network.
   */
  readonly cache?: boolean | { readonly maxBytes: number };
  /** Height and width of an image, for a graph that leaves them open. */
  readonly size?: readonly [height: number, width: number];
  /** The most bytes that any file, or a stream, may have. Default 2 GiB less one. */
  readonly maxBytes?: number;
}

/** A network ready to run, with what its folder says about it. */
export interface Model {
  /** A short name to show: the bundled name, or the last part of the path. */
  readonly name: string;
  readonly denoiser: SessionDenoiser;
  /** Channels, height and width of one image. */
  readonly shape: readonly [channels: number, height: number, width: number];
  /** Channels of the prediction: twice the image's where the network predicts the variance too. */
  readonly outChannels: number;
  /** How many class labels the network knows, an unconditional one included; 0 without class conditioning. */
  readonly classes: number;
  /** The names of the classes, from labels.json. */
  readonly labels?: readonly string[];
  /** The label that means no class at all, which classifier-free guidance needs. */
  readonly unconditional?: number;
  /** How the model's author recommends to sample it, from sampling.json. */
  readonly sampling?: SamplingConfig;
  /** The object in scheduler_config.json, or undefined where there is none. */
  readonly schedulerConfig?: Readonly<Record<string, unknown>>;
  /** The object in the network's config.json, or undefined where there is none. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** What the bundle says of itself, for a model that came from one. */
  readonly bundle?: BundleInfo;
  readonly device: ConcreteDevice;
  /** What was assumed and why; each one line. */
  readonly notes: readonly string[];
  /** Frees the session. */
  dispose(): Promise<void>;
}

/**
 * What a network takes black and white to be; or the mean and standard deviation that pixels of 0..1 are normalised
 * with, one number or one a channel.
 */
export type PixelRange =
  | '-1..1'
  | '0..1'
  | '0..255'
  | { readonly mean: number | readonly number[]; readonly std: number | readonly number[] };

/** How to open a network for its features. */
export interface FeatureOptions extends SessionOptions {
  /** The output to take, or a value inside the graph; by default one named after features, else the first that fits. */
  readonly output?: string;
  /** What the network takes pixels to be. Default: `0..255` for one that takes bytes, `-1..1` for any other. */
  readonly range?: PixelRange;
  /** Height and width to bring images to, for a graph that leaves them open. Default: the images' own. */
  readonly size?: readonly [height: number, width: number];
  /** Cancels reading and downloads. */
  readonly signal?: AbortSignal;
}

/** An ONNX network opened for its features. */
export interface FeatureSession extends FeatureNetwork {
  /** The bundled name, or the last part of the path. */
  readonly name: string;
  /** Channels, height and width that the network sees; undefined where it takes any. */
  readonly shape: readonly [channels: number, height: number | undefined, width: number | undefined];
  /** The output or inner value that the features are. */
  readonly output: string;
  readonly device: ConcreteDevice;
  /** What was assumed and why; each one line. */
  readonly notes: readonly string[];
  /**
   * The features [n, dims] of images [n, channels, height, width] in [-1, 1]. Grey images are repeated for a network of
   * colours; another size is made bilinearly (see `resizeImages`). Maps [n, dims, h, w] are averaged over h and w.
   */
  features(images: Tensor): Promise<Tensor>;
  /** Frees the session. */
  dispose(): Promise<void>;
}

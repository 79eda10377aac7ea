import type { ImageBatches } from '../core/dataset.ts';

/** What can be measured of a model on data. */
export const metrics = ['simple', 'vlb', 'likelihood', 'quality'] as const;

/**
 * `simple`: the error of the prediction (Ho et al. 2020, eq. 14). `vlb`: the variational bound (eq. 5). `likelihood`: by
 * the probability-flow ODE (Song et al. 2021, section 4.3). `quality`: samples beside data, by their features.
 */
export type Metric = (typeof metrics)[number];

/** What to measure, and how closely. */
export interface EvaluateOptions {
  /** Default: simple and vlb. */
  readonly metrics?: readonly Metric[];
  /** How many images of the data to take. Default all. */
  readonly count?: number;
  /** Decides every random number: an integer from 0 to 2^64 - 1. Default 0. */
  readonly seed?: number | bigint;
  /** Number of the first image within the seed's images, so that data can be done in parts. Default 0. */
  readonly first?: number;
  /** Images worked on at a time: it bounds the memory and changes no result. Default 64. */
  readonly batch?: number;
  /** A class for all images, by index; by default their own labels, or the unconditional label where they have none. */
  readonly class?: number;
  /** `simple`: timesteps an image. Default 1. */
  readonly timestepsPerImage?: number;
  /** `vlb`: timesteps an image, stratified, or `all` of them. Default 20. */
  readonly boundTimesteps?: number | 'all';
  /** `vlb`: OpenAI's respacing of the chain, such as `ddim50` or `10,15,20`. */
  readonly timestepRespacing?: string;
  /** `likelihood`: the solver's relative and absolute tolerance. Default 1e-4; more is too low on images. */
  readonly tolerance?: number;
  /** `likelihood`: directions an image in which the divergence is taken. Default 1. */
  readonly probes?: number;
  /** `quality`: how to compare. */
  readonly quality?: QualityOptions;
  readonly signal?: AbortSignal;
}

/** How samples are compared with data. */
export interface QualityOptions {
  /** How many samples to make. Default: as many as there are images. */
  readonly samples?: number;
  /** The network whose outputs stand for what is seen: a bundled name, an .onnx file, or its bytes. Default `fashion`. */
  readonly features?: string | URL | Uint8Array;
  /** Which of its outputs. */
  readonly output?: string;
  /** The training images, among which the samples' nearest neighbours are looked for. */
  readonly training?: ImageBatches;
}

/** A mean over images, and how far it may be from that over all that there could be. */
export interface Estimate {
  readonly mean: number;
  /** Of the mean; NaN where there is but one image. */
  readonly standardError: number;
  readonly count: number;
}

/** An estimate for the timesteps from `from` to `to`, both included. */
export interface TimestepEstimate extends Estimate {
  readonly from: number;
  readonly to: number;
}

/** The error of the prediction, squared and averaged over pixels, for timesteps evenly drawn. */
export interface SimpleEvaluation {
  /** In units of the noise, of the image and of the velocity. */
  readonly noise: Estimate;
  readonly start: Estimate;
  readonly velocity: Estimate;
  /** Of the noise, weighted by min(snr, 5)/snr (Hang et al. 2023). */
  readonly minSnr: Estimate;
  /** Of the noise, in twenty ranges of timesteps. */
  readonly byTimestep: readonly TimestepEstimate[];
}

/** The bound in bits per dimension, and its parts. */
export interface BoundEvaluation {
  readonly total: Estimate;
  readonly prior: Estimate;
  readonly reconstruction: Estimate;
  /** The terms between, those of a range of timesteps added up: so many `steps`. */
  readonly terms: readonly (TimestepEstimate & { readonly steps: number })[];
  /** How many timesteps the chain has, and how many of them an image was asked about. */
  readonly chain: number;
  readonly timesteps: number;
}

/** The likelihood of 8-bit images made continuous by uniform noise. */
export interface LikelihoodEvaluation {
  readonly bitsPerDimension: Estimate;
  /** Network calls an image. */
  readonly calls: Estimate;
  /** What the finite difference in the divergence may have cost, in bits per dimension. */
  readonly divergenceError: Estimate;
}

/** How near samples are to data. */
export interface QualityEvaluation {
  readonly samples: number;
  readonly images: number;
  /** Frechet distance in the features. */
  readonly frechet: { readonly distance: number; readonly standardError: number };
  /** Kernel distance: MMD^2 with a cubic kernel. */
  readonly kernel: { readonly distance: number; readonly standardError: number };
  readonly precision: number;
  readonly recall: number;
  /** How near samples are to training images, in pixels: see `memorization` in ddpm-wasm/metrics. */
  readonly memorization?: { readonly nearer: number; readonly copies: number };
}

/** What was found so far. */
export interface Evaluation {
  /** Images done. */
  readonly images: number;
  /** Images to do, where that is known. */
  readonly of?: number;
  /** Whether all that was asked for is done. */
  readonly complete: boolean;
  /** How much of the work is done, 0 to 1, as far as it can be foreseen. */
  readonly progress: number;
  readonly seed: string;
  /** Network calls, an image each. */
  readonly calls: number;
  readonly seconds: number;
  readonly simple?: SimpleEvaluation;
  readonly vlb?: BoundEvaluation;
  readonly likelihood?: LikelihoodEvaluation;
  readonly quality?: QualityEvaluation;
}

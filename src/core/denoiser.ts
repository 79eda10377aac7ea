import type { Tensor } from './tensor.ts';

/** What a network is told besides the noisy image and the timestep; one entry an image. */
export interface Condition {
  /** A class index for each image of the batch. */
  readonly classLabels?: ArrayLike<number>;
}

/**
 * The network, or any function that stands where it does: noisy images [N,C,H,W] and their N timesteps in, a prediction
 * (noise, image or velocity, as the schedule says) of the same shape out, or of 2C channels where it predicts the
 * variance too.
 *
 * `x` may be a view of WebAssembly memory that the next step overwrites: copy what you keep. `options.out`, when
 * given, is a tensor of the expected shape that the prediction may be written into and returned, which saves a copy.
 */
export type Denoiser = (
  x: Tensor,
  timesteps: Float32Array,
  condition?: Condition,
  options?: { readonly out?: Tensor },
) => Tensor | Promise<Tensor>;

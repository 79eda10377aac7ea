import type { Tensor } from './tensor.ts';

/** A network whose inner features say how alike two sets of images are, or anything that stands where it does. */
export interface FeatureNetwork {
  /** Numbers in a row of features. */
  readonly dims: number;
  /** The features [n, dims] of images [n, channels, height, width] in [-1, 1]. */
  features(images: Tensor): Promise<Tensor>;
}

export type { FeatureNetwork } from '../core/features.ts';
export { openFeatures } from '../model/features.ts';
export type { FeatureOptions, FeatureSession, PixelRange } from '../model/types.ts';
export {
  type CompareOptions,
  type Comparison,
  compareImages,
  type ImageMetric,
  type ImageSets,
  imageMetrics,
} from './compare.ts';
export {
  type Distance,
  type FrechetOptions,
  fitGaussian,
  frechet,
  frechetDistance,
  type Gaussian,
} from './frechet.ts';
export { featureRows, type Images, type ImagesOptions, pixelRows } from './images.ts';
export { type KernelOptions, kernelDistance } from './kernel.ts';
export { type ManifoldFigures, type ManifoldOptions, precisionRecall } from './manifold.ts';
export { type Memorization, type MemorizationSets, memorization } from './memorization.ts';
export { type Neighbors, nearestNeighbors } from './neighbors.ts';
export type { Rows } from './rows.ts';

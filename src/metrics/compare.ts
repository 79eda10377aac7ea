import { assertKeys, assertOneOf } from '../core/assert.ts';
import { wrongKind } from '../core/errors.ts';
import { type Distance, frechetDistance } from './frechet.ts';
import { type KernelOptions, kernelDistance } from './kernel.ts';
import { type ManifoldFigures, type ManifoldOptions, precisionRecall } from './manifold.ts';
import { type Memorization, memorization } from './memorization.ts';
import type { Rows } from './rows.ts';

/** The figures that `compareImages` knows. */
export const imageMetrics = ['frechet', 'kernel', 'precision-recall', 'memorization'] as const;
/** The name of a figure that tells how good samples are. */
export type ImageMetric = (typeof imageMetrics)[number];

/** Sets of images, as rows of features or pixels: made by `featureRows` or `pixelRows`, or by anything else. */
export interface ImageSets {
  readonly samples: Rows;
  /** Real images that the model was not trained on; for the memorisation check they are the yardstick too. */
  readonly reference: Rows;
  /** What the model was trained on, for the memorisation check. */
  readonly training?: Rows;
}

/** How to compare. */
export interface CompareOptions extends KernelOptions, ManifoldOptions {
  /** Default: all, the memorisation check where there is a training set. */
  readonly metrics?: readonly ImageMetric[];
}

/** What was asked for of the figures of two sets of images. */
export interface Comparison extends Partial<ManifoldFigures> {
  readonly frechet?: Pick<Distance, 'distance'> & Partial<Distance>;
  readonly kernel?: Distance;
  readonly memorization?: Memorization;
}

/**
 * How like a reference samples are: Frechet and kernel distance, precision, recall, density and coverage, and whether
 * samples repeat the training set; each as its own function gives it with these options.
 *
 * @throws TypeError for a memorisation check without `training`
 * @example
 * const network = await openFeatures('fashion');
 * const samples = await featureRows(network, await pipeline.sample({ count: 1000 }));
 * const reference = await featureRows(network, testImages);
 * const { frechet, kernel, precision, recall } = compareImages({ samples, reference });
 */
export function compareImages({ samples, reference, training }: ImageSets, options: CompareOptions = {}): Comparison {
  assertKeys(options, 'options', ['metrics', 'subsets', 'size', 'seed', 'k']);
  const { metrics = imageMetrics.filter((metric) => metric !== 'memorization' || training), k, ...kernel } = options;
  for (const metric of metrics) assertOneOf(metric, 'metrics', imageMetrics);
  const wants = (metric: ImageMetric) => metrics.includes(metric);
  if (wants('memorization') && !training) throw wrongKind('training', 'rows for the memorisation check', training);
  const { subsets, size, seed } = kernel;
  return {
    ...(wants('frechet') && { frechet: frechetDistance(samples, reference) }),
    ...(wants('kernel') && { kernel: kernelDistance(samples, reference, { subsets, size, seed }) }),
    ...(wants('precision-recall') && precisionRecall(samples, reference, { k })),
    ...(wants('memorization') && { memorization: memorization({ samples, training: training!, heldOut: reference }) }),
  };
}

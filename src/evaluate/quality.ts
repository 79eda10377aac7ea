import type { ImageBatch } from '../core/dataset.ts';
import { wrongValue } from '../core/errors.ts';
import type { FeatureNetwork } from '../core/features.ts';
import type { Tensor } from '../core/tensor.ts';
import { compareImages } from '../metrics/compare.ts';
import { leastRows } from '../metrics/frechet.ts';
import { featureRows, pixelRows } from '../metrics/images.ts';
import { leastHeldOut } from '../metrics/memorization.ts';
import { joinRows } from '../metrics/rows.ts';
import type { Chunk } from './batches.ts';
import type { Evaluation, QualityOptions } from './types.ts';

/** Samples of some classes, image `first` of the seed's and those after it. */
export type Sampler = (run: {
  readonly count: number;
  readonly first: number;
  readonly class: readonly number[] | undefined;
}) => Promise<Tensor>;

/** What the comparison of samples with data works with. */
export interface QualityGaugeOptions extends Pick<QualityOptions, 'samples' | 'training'> {
  readonly network: FeatureNetwork;
  readonly sample: Sampler;
  readonly batch: number;
  readonly signal?: AbortSignal;
}

/** Gathers images, then makes as many samples of the same classes and compares them. */
export function qualityGauge({ network, sample, batch, signal, ...options }: QualityGaugeOptions) {
  const features: Float32Array[] = [];
  const pixels: ImageBatch[] = [];
  const labels: number[] = [];
  let images = 0;
  let classes = false;

  return {
    /** Takes in some images of the data. */
    async add({ images: bytes, condition }: Chunk): Promise<void> {
      features.push((await featureRows(network, bytes)).data);
      if (options.training) pixels.push({ ...bytes, data: bytes.data.slice() });
      classes = condition?.classLabels !== undefined;
      labels.push(...Array.from(condition?.classLabels ?? []));
      images += bytes.shape[0];
    },

    /** Makes the samples, telling how many there are, and compares. */
    async *finish(): AsyncGenerator<number, Pick<Evaluation, 'quality'>, void> {
      checkCounts(images, options);
      const made: Float32Array[] = [];
      const samplePixels: ImageBatch[] = [];
      const count = options.samples ?? images;
      for (let first = 0; first < count; first += batch) {
        signal?.throwIfAborted();
        const part = Math.min(batch, count - first);
        const wanted = Array.from({ length: part }, (_, i) => labels[(first + i) % images]);
        const x = await sample({ count: part, first, class: classes ? wanted : undefined });
        made.push((await featureRows(network, x)).data);
        if (options.training) {
          const { data, shape } = await pixelRows(x);
          samplePixels.push({ data, shape: [shape[0], ...x.shape.slice(1)] });
        }
        yield first + part;
      }
      const { frechet, kernel, precision, recall } = compareImages(
        { samples: joinRows(made, network.dims), reference: joinRows(features, network.dims) },
        { metrics: ['frechet', 'kernel', 'precision-recall'] },
      );
      const memorization =
        options.training &&
        compareImages(
          {
            samples: await pixelRows(samplePixels),
            reference: await pixelRows(pixels),
            training: await pixelRows(options.training),
          },
          { metrics: ['memorization'] },
        ).memorization;
      return {
        quality: {
          samples: count,
          images,
          frechet: { distance: frechet!.distance, standardError: frechet!.standardError ?? Number.NaN },
          kernel: { distance: kernel!.distance, standardError: kernel!.standardError },
          precision: precision!,
          recall: recall!,
          ...(memorization && { memorization: { nearer: memorization.nearer, copies: memorization.copies } }),
        },
      };
    },
  };
}

/** What the comparison needs, said before the samples are made. */
function checkCounts(
  images: number,
  { samples = images, training }: Pick<QualityOptions, 'samples' | 'training'>,
): void {
  const least = training ? leastHeldOut : leastRows;
  if (images < least) throw wrongValue('count', `at least ${least} images to compare samples with`, images);
  if (samples < leastRows) throw wrongValue('samples', `at least ${leastRows}`, samples);
}

import type { ImageBatch } from '../core/dataset.ts';
import { type Dataset, type DatasetOptions, openDataset } from '../data/index.ts';
import type { Engine } from '../engine/engine.ts';
import { chancesOf } from './augment.ts';
import type { TrainingConfig } from './configSchema.ts';
import type { FeedSource } from './intake.ts';

/** The part of a training config that says what images are made to be, and what else a dataset may be told. */
export type DatasetChoices = Pick<TrainingConfig['data'], 'crop' | 'background'> &
  Pick<DatasetOptions, 'labels' | 'classes' | 'signal'>;

/**
 * The images of a dataset, by path or URL, as the `data` section of a training config asks for them. The dataset is
 * opened by the first reading. With `crop: 'random'` every epoch cuts an image by another window, which depends on (seed,
 * epoch, index of the image as stored); for evaluation by the middle.
 *
 * @param shape [channels, height, width] of the network
 */
export function datasetSource(
  place: string | URL,
  { crop, background, labels, classes, signal }: DatasetChoices,
  shape: NonNullable<DatasetOptions['shape']>,
  engine: Engine,
  seed: number | bigint,
): FeedSource {
  let opening: Promise<Dataset> | undefined;
  let dataset: Dataset | undefined;
  return {
    kept: crop === 'center',
    get problems() {
      return dataset?.problems ?? [];
    },
    get notes() {
      return dataset?.notes ?? [];
    },
    async *open(epoch): AsyncGenerator<ImageBatch> {
      opening ??= openDataset(place, { shape, background, labels, classes, signal });
      dataset = await opening;
      const random = crop === 'random' && epoch !== undefined;
      const windowOf = (index: number) => chancesOf(engine, BigInt(seed), epoch!, index).window;
      yield* dataset.cropped(random ? windowOf : 'center');
    },
  };
}

import { summarizeDataset } from '../data/index.ts';
import type { Engine } from '../engine/engine.ts';
import type { DataSummary } from './configDefaults.ts';
import type { TrainingConfig } from './configSchema.ts';
import { datasetSource } from './datasetSource.ts';
import type { FeedSource } from './intake.ts';

/** Images to train on. */
export interface TrainingData {
  readonly summary: DataSummary & {
    /** Class names by index, where they are known. */
    readonly labels?: readonly string[];
  };
  /** What the user should know; each one line. */
  readonly notes: readonly string[];
  /** The images as a network of this shape takes them, cut and laid on a background as the config says. */
  source(options: SourceOptions): FeedSource;
}

/** What training asks of its images. */
export interface SourceOptions extends Pick<TrainingConfig['data'], 'crop' | 'background'> {
  /** [channels, height, width] of the network. */
  readonly shape: readonly [number, number, number];
  readonly engine: Engine;
  /** Decides where random crops lie. */
  readonly seed: number;
}

/** The images of a dataset, by path or URL; of the dataset only headers are read at once. */
export async function openTrainingData(
  place: string | URL,
  options: { readonly signal?: AbortSignal } = {},
): Promise<TrainingData> {
  const { signal } = options;
  const { varied, notes, ...summary } = await summarizeDataset(place, { signal });
  const { labels, classes } = summary;
  const scaled = varied ? [`images of several sizes are made ${summary.width}x${summary.height}`] : [];
  return {
    summary,
    notes: [...notes, ...scaled],
    source: ({ shape, engine, seed, crop, background }) =>
      datasetSource(place, { crop, background, labels, classes, signal }, shape, engine, seed),
  };
}

export type { ImageBatch } from '../core/dataset.ts';
export { coverPixels } from '../image/cover.ts';
export type { Pixels } from '../image/pixels.ts';
export { type Dataset, openDataset } from './dataset.ts';
export type { Crop, DatasetOptions } from './options.ts';
export type { DatasetProblem } from './reader.ts';
export { type DatasetSummary, summarizeDataset } from './summary.ts';

export type { UNetConfig } from '../core/unetConfig.ts';
export { readLora } from '../onnx/lora.ts';
export { type ImageArray, trainingDataOf } from './arrayData.ts';
export { type BaseModel, loadBase } from './base.ts';
export {
  type LoadedCheckpoint,
  listCheckpoints,
  loadCheckpoint,
  type SavedCheckpoint,
  saveCheckpoint,
} from './checkpoint.ts';
export {
  decodeCheckpoint,
  encodeCheckpoint,
  type Json,
  type ParameterPlace,
  type TrainingState,
} from './checkpointFormat.ts';
export { COEFFICIENTS, type Coefficient, coefficientsOf } from './coefficients.ts';
export { defaultsFor, type ParsedTraining, parseTrainingConfig } from './config.ts';
export type { DataSummary } from './configDefaults.ts';
export { type TrainingConfig, type TrainingInput, trainingSchema } from './configSchema.ts';
export { type DiffusersModel, writeDiffusersFolder } from './diffusers.ts';
export type * from './events.ts';
export { type Feed, type FeedBatch, type FeedOptions, type FeedPosition, openFeed } from './feed.ts';
export { type HeldOutOptions, heldOut } from './heldOut.ts';
export { indexedDbStore } from './indexedDbStore.ts';
export { type InitializeOptions, initializeParameters } from './initialize.ts';
export type { FeedSource } from './intake.ts';
export { type TrainedLora, writeLora } from './lora.ts';
export { type LossGraph, type LossGraphOptions, type LossKind, lossGraph } from './lossGraph.ts';
export { type CheckpointStore, folderStore } from './store.ts';
export { type Trainable, trainableOf } from './trainable.ts';
export { train } from './trainer.ts';
export { openTrainingData, type SourceOptions, type TrainingData } from './trainingData.ts';
export type { TrainedModel, TrainOptions } from './types.ts';

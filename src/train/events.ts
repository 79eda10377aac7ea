import type { Tensor } from '../core/tensor.ts';
import type { SimpleEvaluation } from '../evaluate/types.ts';
import type { TrainingConfig } from './configSchema.ts';
import type { TrainedModel } from './types.ts';

/** What happens in a training run, in order; each with the optimizer steps that are done. */
export type TrainingEvent = BegunEvent | StepEvent | RecordEvent | EvaluationEvent | SamplesEvent | CheckpointEvent;

/** A run begins, or goes on: the first of all events. */
export interface BegunEvent {
  readonly type: 'begun';
  readonly step: number;
  /** The config with nothing left open. */
  readonly config: TrainingConfig;
  /** How many numbers are trained. */
  readonly parameters: number;
  /** Threads that share a step. */
  readonly members: number;
  /** What was measured before, where the run goes on from a checkpoint. */
  readonly history: readonly HistoryEntry[];
  /** What was assumed, ignored or passed over; each one line. */
  readonly notes: readonly string[];
}

/** A step is done. */
export interface StepEvent {
  readonly type: 'step';
  readonly step: number;
  /** What is minimised, averaged over the images of the step. */
  readonly loss: number;
  /** The norm of the gradient before clipping. */
  readonly gradientNorm: number;
  readonly learningRate: number;
  /** Images of the step over the time since the step before. */
  readonly imagesPerSecond: number;
  /** How much of the run is done, 0 to 1. */
  readonly progress: number;
  /** How long the run has taken, its parts before checkpoints included. */
  readonly seconds: number;
}

/** The means over some steps. */
export interface RecordEvent extends Averages {
  readonly type: 'record';
}

/** What the model is worth on images that it does not train on: with the moving average of its parameters. */
export interface EvaluationEvent extends Evaluated {
  readonly type: 'evaluation';
  /** The errors by timestep, in units of the noise, of the image and of the velocity. */
  readonly simple: SimpleEvaluation;
}

/** A sheet of samples, always of the same seed: [n, channels, height, width] in about [-1, 1]. */
export interface SamplesEvent {
  readonly type: 'samples';
  readonly step: number;
  readonly images: Tensor;
  readonly classes?: readonly number[];
}

/** A checkpoint is safe. */
export interface CheckpointEvent {
  readonly type: 'checkpoint';
  readonly step: number;
  readonly name: string;
  readonly bytes: number;
  /** The model as it is now; to be asked for before the next event. */
  model(): TrainedModel;
}

/** Means over the steps since the entry before. */
export interface Averages {
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  /** The squared error of the prediction, all timesteps alike. */
  readonly error: number;
  readonly gradientNorm: number;
  readonly learningRate: number;
  readonly imagesPerSecond: number;
  readonly seconds: number;
}

/** The error of the predicted noise on images held out, with its standard error. */
export interface Evaluated {
  readonly step: number;
  readonly heldOut: { readonly mean: number; readonly standardError: number; readonly count: number };
}

/** What a checkpoint keeps of the past, so that curves begin at the beginning. */
export type HistoryEntry = Averages | Evaluated;

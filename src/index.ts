export type { ImageBatch, ImageBatches } from './core/dataset.ts';
export type { Condition, Denoiser } from './core/denoiser.ts';
export { type ArgumentError, DdpmError, type ErrorCode, isArgumentError } from './core/errors.ts';
export type {
  BetaSchedule,
  PredictionType,
  Sampler,
  SchedulerConfig,
  TimestepSpacing,
  VarianceType,
} from './core/schedulerConfig.ts';
export type { Tensor } from './core/tensor.ts';
export { alphaCumprodAt } from './diffusion/alphaCumprodAt.ts';
export { type Bound, type BoundOptions, variationalBound } from './diffusion/bound.ts';
export { type EditOptions, planEdit } from './diffusion/edit.ts';
export type { EvaluationOptions } from './diffusion/evaluation.ts';
export {
  addNoise,
  forwardStep,
  type Posterior,
  posterior,
  posteriorMeanFromNoise,
  predictNoise,
  predictStart,
  type Timesteps,
  velocity,
} from './diffusion/forward.ts';
export { discretizedLogLikelihood, normalKl } from './diffusion/gaussian.ts';
export { type Guidance, guided } from './diffusion/guidance.ts';
export { type Guide, type GuideInfo, gradientGuide } from './diffusion/guide.ts';
export { slerp } from './diffusion/interpolate.ts';
export { createInversionPlan } from './diffusion/inversion.ts';
export type { Init, Inpainting } from './diffusion/known.ts';
export { type Likelihood, type LikelihoodOptions, likelihood } from './diffusion/likelihood.ts';
export { type Rng, randn } from './diffusion/noise.ts';
export { createPartialPlan } from './diffusion/partial.ts';
export { createPlan, type Plan, type PlanOptions, type PlanRow, planFromRows } from './diffusion/plan.ts';
export type { VectorJacobian } from './diffusion/questions.ts';
export { resamplePlan } from './diffusion/resample.ts';
export { type ReverseMoments, type ReverseOptions, reverseMoments } from './diffusion/reverse.ts';
export { type ReverseDensity, type ReverseDensityOptions, reverseLogDensity } from './diffusion/reverseDensity.ts';
export { planSteps, type RunOptions, runPlan, type Step } from './diffusion/sample.ts';
export { createSchedule, type Schedule, type Terminal } from './diffusion/schedule.ts';
export { type SimpleLoss, type SimpleLossOptions, simpleLoss } from './diffusion/simple.ts';
export { type TrainingLosses, type TrainingLossOptions, trainingLosses } from './diffusion/training.ts';
export { forwardTrajectory, type TrajectoryOptions, type TrajectoryStep } from './diffusion/trajectory.ts';
export { createEngine, type Engine } from './engine/engine.ts';
export type {
  BoundEvaluation,
  Estimate,
  EvaluateOptions,
  Evaluation,
  LikelihoodEvaluation,
  Metric,
  QualityEvaluation,
  QualityOptions,
  SimpleEvaluation,
  TimestepEstimate,
} from './evaluate/types.ts';
export type {
  BundleInfo,
  LoadOptions,
  LoraSource,
  Model,
  ModelSource,
  ScaledLora,
  SessionDenoiser,
} from './model/types.ts';
export {
  type InterpolateOptions,
  loadPipeline,
  type Pipeline,
  type PipelineOptions,
  type SampleOptions,
} from './pipeline.ts';
export type { DownloadProgress } from './runtime/types.ts';

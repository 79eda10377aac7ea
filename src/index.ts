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
export { guided } from './diffusion/guidance.ts';
export { type Rng, randn } from './diffusion/noise.ts';
export { createPlan, type Plan, type PlanOptions, type PlanRow } from './diffusion/plan.ts';
export { planSteps, type RunOptions, runPlan, type Step } from './diffusion/sample.ts';
export { createSchedule, type Schedule } from './diffusion/schedule.ts';
export { createEngine, type Engine } from './engine/engine.ts';
export type { LoadOptions, Model, SessionDenoiser } from './model/types.ts';
export { loadPipeline, type Pipeline, type PipelineOptions, type SampleOptions } from './pipeline.ts';

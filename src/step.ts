export type { Condition, Denoiser } from './core/denoiser.ts';
export type { Tensor } from './core/tensor.ts';
export { type Plan, type PlanRow, planFromRows } from './diffusion/plan.ts';
export { planSteps, type RunOptions, runPlan, type Step } from './diffusion/sample.ts';
export { type Engine, instantiateEngine } from './engine/engine.ts';

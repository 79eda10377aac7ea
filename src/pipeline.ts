import type { ImageBatches } from './core/dataset.ts';
import type { Denoiser } from './core/denoiser.ts';
import { DdpmError, wrongKind, wrongValue } from './core/errors.ts';
import type { Tensor } from './core/tensor.ts';
import { planEdit } from './diffusion/edit.ts';
import type { Guidance } from './diffusion/guidance.ts';
import type { Plan } from './diffusion/plan.ts';
import { planSteps, runPlan, type Step } from './diffusion/sample.ts';
import { createSchedule, type Schedule } from './diffusion/schedule.ts';
import { createEngine, type Engine } from './engine/engine.ts';
import type { EvaluateOptions, Evaluation } from './evaluate/types.ts';
import { loadModel } from './model/load.ts';
import type { LoadOptions, Model, ModelSource } from './model/types.ts';
import type { Residence } from './resident/resident.ts';
import type { ConcreteDevice } from './runtime/types.ts';
import { type InterpolateOptions, type SampleOptions, splitOptions } from './sampling/options.ts';

export type { InterpolateOptions, SampleOptions } from './sampling/options.ts';

/** Where a pipeline runs and what it is made with. */
export interface PipelineOptions extends LoadOptions {
  /** An engine to share; made when absent. */
  readonly engine?: Engine;
  /** A diffusers scheduler_config.json object instead of the model's own. */
  readonly scheduler?: object;
  /**
   * On WebGPU in a page: whether images stay on the GPU between steps. By default where that is faster, which a few steps
   * of one image tell while loading; `pipeline.notes` has the times. What needs the engine (learned variances,
   * thresholding, a Langevin corrector, guides, masks, `guidanceRescale`) comes from the GPU at each step anyway.
   */
  readonly resident?: boolean;
}

/** A model, its schedule and an engine: everything that sampling needs. Made by `loadPipeline`. */
export interface Pipeline {
  readonly model: Model;
  readonly engine: Engine;
  readonly schedule: Schedule;
  /** What the network runs on; `notes` say why. */
  readonly device: ConcreteDevice;
  /** What was assumed, ignored or replaced while loading; each one line. */
  readonly notes: readonly string[];
  /** The plan that `sample` would run. */
  plan(options?: SampleOptions): Plan;
  /** The images [count, channels, height, width], float32 in about [-1, 1]. */
  sample(options?: SampleOptions): Promise<Tensor>;
  /** The same, step by step: x and start are views that the next step overwrites, to be drawn or copied at once. */
  steps(options?: SampleOptions): AsyncGenerator<Step, void, void>;
  /**
   * The noise of images [n, channels, height, width] in [-1, 1], by DDIM run backwards: what `reconstruct` with the same
   * `steps` (default 100) and `class` makes them from again. `refine` is 1 by default, which takes two network calls a
   * step and an error of a few grey levels to a tenth.
   */
  invert(images: Tensor, options?: SampleOptions): Promise<Tensor>;
  /** The images of noise that `invert` found, by DDIM without clipping. With another `class`, edited ones. */
  reconstruct(latents: Tensor, options?: SampleOptions): Promise<Tensor>;
  /**
   * `count` images (default 8) from noise between two noises by `slerp`, both ends included, by `ddim` without noise of
   * its own unless a sampler is given. All of one class, by default the first; between inverted images whatever is
   * default for `reconstruct`.
   */
  interpolate(options: InterpolateOptions): Promise<Tensor>;
  /**
   * Measures the model on images: the error of its prediction, the bound, the likelihood, its samples beside them. Images
   * come in batches of bytes, as `openDataset` of ddpm-wasm/data reads them.
   */
  evaluate(images: ImageBatches, options?: EvaluateOptions): Promise<Evaluation>;
  /** The same, batch by batch: what was found so far, and at last all of it. */
  evaluations(images: ImageBatches, options?: EvaluateOptions): AsyncGenerator<Evaluation, void, void>;
  /** Frees the network. */
  dispose(): Promise<void>;
}

/**
 * Loads a model: a bundled name, a diffusers folder, an .onnx file beside its scheduler_config.json, a .ddpm bundle, a URL
 * of any of these, or the bytes of an .onnx or .ddpm file, or a stream of them.
 *
 * @throws DdpmError `model-not-found`, `model-invalid`, `config-invalid`, `device-unavailable` or `webgpu-unavailable`.
 * @example
 * const pipeline = await loadPipeline('fashion');
 * const images = await pipeline.sample({ count: 16, sampler: 'ddim', steps: 50, seed: 7, class: 'Sneaker' });
 */
export async function loadPipeline(source: ModelSource, options: PipelineOptions = {}): Promise<Pipeline> {
  const { engine: given, scheduler, resident, ...load } = options;
  if (resident !== undefined && typeof resident !== 'boolean') throw wrongKind('resident', 'true or false', resident);
  const engine = given ?? (await createEngine());
  const model = await loadModel(source, load);
  try {
    const config = scheduler ?? model.schedulerConfig;
    if (config === undefined)
      throw new DdpmError(
        'model-not-found',
        `${model.name}: expected a scheduler_config.json beside the network, found none`,
      );
    const schedule = createSchedule(engine, config as object);
    if (model.device !== 'webgpu' || resident === false) return createPipeline(engine, model, schedule);
    const { openResident } = await import('./resident/resident.ts');
    return createPipeline(engine, model, schedule, await openResident(engine, model, resident));
  } catch (error) {
    await model.dispose();
    throw error;
  }
}

/** A pipeline of parts that are ready: who has a network elsewhere begins here. */
export function createPipeline(engine: Engine, model: Model, schedule: Schedule, residence?: Residence): Pipeline {
  const { resident } = residence ?? {};
  const prepare = (options: SampleOptions) => {
    const { run, plan: planOptions, edit, guidance } = splitOptions(model, options);
    const { plan, run: more } = planEdit(schedule, planOptions, edit);
    if (plan.learnedVariance && model.outChannels !== 2 * model.shape[0])
      throw wrongValue(
        'varianceType',
        `a fixed one, as the network predicts ${model.outChannels} channels and no variance`,
        schedule.config.varianceType,
      );
    const denoiser = guidance ? guidedLater(engine, model, guidance) : model.denoiser;
    return { plan, denoiser, run: { ...run, ...more }, guidance };
  };
  const sample = async (options: SampleOptions) => {
    const { plan, denoiser, run, guidance } = prepare(options);
    return resident?.covers(plan, run, guidance) ? resident.run(plan, run, guidance) : runPlan(plan, denoiser, run);
  };
  async function* measure(images: ImageBatches, options: EvaluateOptions): AsyncGenerator<Evaluation, void, void> {
    // who samples never loads what measures
    const { evaluations } = await import('./evaluate/evaluate.ts');
    const seeded = (run: object) => sample({ seed: options.seed, signal: options.signal, ...run });
    const sampleCalls = () => prepare({}).plan.calls;
    yield* evaluations({ model, engine, schedule, sample: seeded, sampleCalls }, images, options);
  }
  const latents = () => import('./sampling/latents.ts');

  return {
    model,
    engine,
    schedule,
    device: model.device,
    notes: [...model.notes, ...(residence ? [residence.note] : []), ...schedule.notes],
    plan: (options = {}) => prepare(options).plan,
    sample: async (options = {}) => sample(options),
    steps(options = {}) {
      const { plan, denoiser, run, guidance } = prepare(options);
      if (resident?.covers(plan, run, guidance)) return resident.steps(plan, run, guidance);
      return planSteps(plan, denoiser, run);
    },
    invert: async (images, options = {}) => sample((await latents()).inversionOptions(model, images, options)),
    reconstruct: async (noise, options = {}) => sample((await latents()).reconstructionOptions(model, noise, options)),
    interpolate: async (options) => sample((await latents()).interpolationOptions(engine, model, options)),
    async evaluate(images, options = {}) {
      let found: Evaluation | undefined;
      for await (const evaluation of measure(images, options)) found = evaluation;
      return found!;
    },
    evaluations: (images, options = {}) => measure(images, options),
    async dispose() {
      await resident?.dispose();
      await model.dispose();
    },
  };
}

/** The network guided towards its classes, by what only such a run loads. */
function guidedLater(engine: Engine, model: Model, guidance: Guidance): Denoiser {
  return async (...call) => {
    const { guided } = await import('./diffusion/guidance.ts');
    return guided(engine, model.denoiser, guidance)(...call);
  };
}

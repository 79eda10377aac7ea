import { assertInteger, assertNumber } from './core/assert.ts';
import type { ImageBatches } from './core/dataset.ts';
import type { Condition, Denoiser } from './core/denoiser.ts';
import { DdpmError, wrongKind, wrongValue } from './core/errors.ts';
import { assertTensor, type Tensor } from './core/tensor.ts';
import { type EditOptions, planEdit } from './diffusion/edit.ts';
import { guided } from './diffusion/guidance.ts';
import type { Guide } from './diffusion/guide.ts';
import { slerp } from './diffusion/interpolate.ts';
import { faithful } from './diffusion/inversion.ts';
import { type Rng, randn } from './diffusion/noise.ts';
import type { Plan, PlanOptions } from './diffusion/plan.ts';
import { planSteps, type RunOptions, runPlan, type Step } from './diffusion/sample.ts';
import { createSchedule, type Schedule } from './diffusion/schedule.ts';
import { createEngine, type Engine } from './engine/engine.ts';
import type { EvaluateOptions, Evaluation } from './evaluate/types.ts';
import { loadModel } from './model/load.ts';
import type { LoadOptions, Model, ModelSource } from './model/types.ts';
import type { ConcreteDevice } from './runtime/types.ts';

/** Where a pipeline runs and what it is made with. */
export interface PipelineOptions extends LoadOptions {
  /** An engine to share; made when absent. */
  readonly engine?: Engine;
  /** A diffusers scheduler_config.json object instead of the model's own. */
  readonly scheduler?: object;
}

/**
 * What to sample; whatever a plan can be asked for may be given too. Without a `sampler` the model's sampling.json
 * applies where there is one, and else its scheduler config.
 */
export interface SampleOptions extends PlanOptions, EditOptions {
  /** How many images. Default: as many as `init` or `start` has, else 1. */
  readonly count?: number;
  /** Decides every random number: an integer from 0 to 2^64 - 1. Default 0. */
  readonly seed?: number | bigint;
  readonly rng?: Rng;
  /**
   * One class for all images or one for each, by index or by name. By default a model with classes shows them in turn.
   */
  readonly class?: number | string | readonly (number | string)[];
  /**
   * Classifier-free guidance: none + guidance * (conditional - none). 0 and 1 are the plain network with one call;
   * anything else needs a model with an unconditional label. Default: what the model's sampling.json says, else 0.
   */
  readonly guidance?: number;
  /** The share of Lin et al.'s rescaling in guidance, 0 (default) to 1: large scales then keep their contrast. */
  readonly guidanceRescale?: number;
  /** Corrects what the network takes the finished images to be, at each call. */
  readonly guide?: Guide;
  /** Number of the first image within the seed's images, so that a run can be done in parts. Default 0. */
  readonly first?: number;
  /** Where to start instead of at fresh noise: unit-variance noise, or the images for `ddim-inverse`. */
  readonly start?: Tensor;
  /** Of `steps`: yield after every so many network calls, and at the end. Default 1. */
  readonly every?: number;
  readonly signal?: AbortSignal;
}

/** Between what to interpolate: seeds, or noise [1, channels, height, width] such as an image inverted. */
export interface InterpolateOptions extends Omit<SampleOptions, 'start' | 'init' | 'strength' | 'mask'> {
  readonly from: number | bigint | Tensor;
  readonly to: number | bigint | Tensor;
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
  const { engine: given, scheduler, ...load } = options;
  const engine = given ?? (await createEngine());
  const model = await loadModel(source, load);
  try {
    const config = scheduler ?? model.schedulerConfig;
    if (config === undefined)
      throw new DdpmError(
        'model-not-found',
        `${model.name}: expected a scheduler_config.json beside the network, found none`,
      );
    return createPipeline(engine, model, createSchedule(engine, config as object));
  } catch (error) {
    await model.dispose();
    throw error;
  }
}

/** A pipeline of parts that are ready: who has a network elsewhere begins here. */
export function createPipeline(engine: Engine, model: Model, schedule: Schedule): Pipeline {
  const prepare = (options: SampleOptions) => {
    const { run, plan: planOptions, edit, guidance } = splitOptions(model, options);
    const { plan, run: more } = planEdit(schedule, planOptions, edit);
    if (plan.learnedVariance && model.outChannels !== 2 * model.shape[0])
      throw wrongValue(
        'varianceType',
        `a fixed one, as the network predicts ${model.outChannels} channels and no variance`,
        schedule.config.varianceType,
      );
    return { plan, denoiser: guidedDenoiser(engine, model, guidance), run: { ...run, ...more } };
  };
  const sample = async (options: SampleOptions) => {
    const { plan, denoiser, run } = prepare(options);
    return runPlan(plan, denoiser, run);
  };
  async function* measure(images: ImageBatches, options: EvaluateOptions): AsyncGenerator<Evaluation, void, void> {
    // who samples never loads what measures
    const { evaluations } = await import('./evaluate/evaluate.ts');
    const seeded = (run: object) => sample({ seed: options.seed, signal: options.signal, ...run });
    const sampleCalls = () => prepare({}).plan.calls;
    yield* evaluations({ model, engine, schedule, sample: seeded, sampleCalls }, images, options);
  }

  return {
    model,
    engine,
    schedule,
    device: model.device,
    notes: [...model.notes, ...schedule.notes],
    plan: (options = {}) => prepare(options).plan,
    sample: async (options = {}) => sample(options),
    steps(options = {}) {
      const { plan, denoiser, run } = prepare(options);
      return planSteps(plan, denoiser, run);
    },
    invert: async (images, options = {}) => sample(inversionOptions(model, images, options)),
    reconstruct: async (latents, options = {}) => sample(reconstructionOptions(model, latents, options)),
    interpolate: async (options) => sample(interpolationOptions(engine, model, options)),
    async evaluate(images, options = {}) {
      let found: Evaluation | undefined;
      for await (const evaluation of measure(images, options)) found = evaluation;
      return found!;
    },
    evaluations: (images, options = {}) => measure(images, options),
    dispose: () => model.dispose(),
  };
}

/** What `sample` is asked for to find the noise of images. */
export function inversionOptions(model: Model, images: Tensor, options: SampleOptions): SampleOptions {
  const { refine = 1, ...rest } = options;
  return { ...reconstructionOptions(model, images, rest), sampler: 'ddim-inverse', refine };
}

/** What `sample` is asked for to come back from such noise. */
export function reconstructionOptions(model: Model, start: Tensor, options: SampleOptions): SampleOptions {
  assertTensor(start, 'start');
  const { steps, timesteps, class: classes = model.unconditional } = options;
  const chosen = steps === undefined && timesteps === undefined ? { steps: 100 } : {};
  return { ...faithful, guidance: 0, ...chosen, ...defined(options), class: classes, count: start.shape[0], start };
}

/** What `sample` is asked for to fill the way between two noises. */
export function interpolationOptions(engine: Engine, model: Model, options: InterpolateOptions): SampleOptions {
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  const { from, to, count = 8, ...rest } = options;
  assertInteger(count, 'count', 2, 1_000_000);
  const shape = [1, ...model.shape];
  const noiseOf = (end: InterpolateOptions['from'], argument: string) => {
    if (typeof end === 'number' || typeof end === 'bigint')
      return randn(engine, shape, { seed: end, rng: options.rng });
    assertTensor(end, argument, shape);
    return end;
  };
  const weights = Array.from({ length: count }, (_, i) => i / (count - 1));
  const start = slerp(engine, noiseOf(from, 'from'), noiseOf(to, 'to'), weights);
  // the noise of an image is followed the way that it was found
  if (typeof from === 'object' || typeof to === 'object') return reconstructionOptions(model, start, rest);
  const { class: classes = model.classes > 0 ? 0 : undefined } = rest;
  const { sampler, eta } = faithful;
  return { ...(rest.sampler ? {} : { sampler, eta }), ...defined(rest), class: classes, count, start };
}

/** What goes to the run, to the plan and to the edit that makes it. */
function splitOptions(model: Model, options: SampleOptions) {
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  const { init, strength, mask, jumpLength, jumpCount, refine, guidance, guidanceRescale, ...others } = options;
  const { start, count = (init ?? start)?.shape?.[0] ?? 1, seed = 0, class: classes, ...unedited } = others;
  const { rng, first, guide, every, signal, ...asked } = unedited;
  assertInteger(count, 'count', 1, 1_000_000);
  const labels = classLabels(model, classes, { count, first: first ?? 0 });
  const condition: Condition | undefined = labels && { classLabels: labels };
  const run: RunOptions = { shape: [count, ...model.shape], seed, rng, start, first, guide, every, condition, signal };
  const { guidance: recommended = 0, ...sampling } = model.sampling ?? {};
  return {
    run,
    plan: asked.sampler === undefined ? withDefaults(asked, sampling) : asked,
    edit: { init, strength, mask, jumpLength, jumpCount, refine },
    guidance: { scale: guidance ?? recommended, rescale: guidanceRescale },
  };
}

/** The model's recommendation where nothing else is asked; a list of timesteps says how many there are, and where. */
function withDefaults(asked: PlanOptions, { steps, useKarrasSigmas, ...sampling }: PlanOptions): PlanOptions {
  const given = defined(asked);
  const placed = given.timesteps ?? given.timestepRespacing;
  return { ...sampling, ...(placed === undefined && { steps, useKarrasSigmas }), ...given };
}

/** The options that are given, so that others can stand in for those that are not. */
function defined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function guidedDenoiser(
  engine: Engine,
  model: Model,
  { scale, rescale = 0 }: { scale: number; rescale?: number },
): Denoiser {
  assertNumber(scale, 'guidance', 0, 1000);
  assertNumber(rescale, 'guidanceRescale', 0, 1);
  if (scale === 0 || scale === 1) return model.denoiser;
  if (model.unconditional === undefined)
    throw wrongValue('guidance', `0, as ${model.name} has no label that means "no class"`, scale);
  return guided(engine, model.denoiser, { scale, rescale, unconditional: model.unconditional });
}

/** A class index for each image, or undefined for a model without classes. */
function classLabels(
  model: Model,
  classes: SampleOptions['class'],
  { count, first }: { count: number; first: number },
): number[] | undefined {
  if (model.classes === 0) {
    if (classes !== undefined) throw wrongValue('class', `none, as ${model.name} is not class-conditional`, classes);
    return undefined;
  }
  // every label but the one that means no class
  const named = Array.from({ length: model.classes }, (_, i) => i).filter((label) => label !== model.unconditional);
  if (classes === undefined) return Array.from({ length: count }, (_, k) => named[(first + k) % named.length]);
  const list = (Array.isArray(classes) ? classes : [classes]).map((label) => classIndex(model, label));
  if (list.length !== 1 && list.length !== count) throw wrongValue('class', `one class or ${count}`, list);
  return Array.from({ length: count }, (_, k) => list[list.length === 1 ? 0 : k]);
}

function classIndex(model: Model, label: unknown): number {
  const { labels, classes } = model;
  if (typeof label === 'string') {
    const index = labels?.findIndex((name) => name.toLowerCase() === label.toLowerCase()) ?? -1;
    if (index >= 0) return index;
    throw wrongValue(
      'class',
      labels ? `one of ${labels.join(', ')} or an index` : `an index in 0..${classes - 1}`,
      label,
    );
  }
  assertInteger(label, 'class', 0, classes - 1);
  return label;
}

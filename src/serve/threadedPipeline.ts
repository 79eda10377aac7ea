import { startThread } from '#runtime';
import type { Condition } from '../core/denoiser.ts';
import { DdpmError, wrongKind } from '../core/errors.ts';
import type { Tensor } from '../core/tensor.ts';
import { createSchedule } from '../diffusion/schedule.ts';
import { createEngine } from '../engine/engine.ts';
import type { LoadOptions, Model, NetworkShape } from '../model/types.ts';
import { createPipeline, type Pipeline } from '../pipeline.ts';
import type { Thread } from '../runtime/types.ts';

/** How to load a model in a thread, to which neither signals nor functions can be sent. */
export type ThreadOptions = Omit<LoadOptions, 'signal' | 'onProgress'>;

/** What a thread begins with. */
export interface Start {
  readonly source: string;
  readonly options: ThreadOptions;
}

/** All of a model that can be sent. */
export interface Facts extends Omit<Model, 'denoiser' | 'dispose'> {
  readonly network: { readonly shape: NetworkShape; readonly labelInput?: string };
}

/** A network call. */
export interface Question {
  readonly x: Tensor;
  readonly timesteps: Float32Array;
  readonly condition?: Condition;
}

/** A pipeline whose network is in a thread. */
export interface ThreadedPipeline extends Pipeline {
  /** Whether the thread lives. Where it has ended by itself, the next network call starts another. */
  alive(): boolean;
}

/**
 * A pipeline whose network answers from a thread of its own, where a call of onnxruntime-node does not hold up this one.
 * The weights are there and nowhere else. Takes bundled names, paths and URLs, as `loadPipeline` does.
 *
 * A thread that ends by itself fails its calls with `worker-crashed`; the next one loads the model again.
 *
 * @throws whatever `loadPipeline` does
 */
export async function loadThreadedPipeline(source: string, options: ThreadOptions = {}): Promise<ThreadedPipeline> {
  if (typeof source !== 'string') throw wrongKind('source', 'a path, a URL or a bundled name', source);
  const { model, alive } = await threadedModel({ source, options });
  try {
    if (model.schedulerConfig === undefined)
      throw new DdpmError(
        'model-not-found',
        `${model.name}: expected a scheduler_config.json beside the network, found none`,
      );
    const engine = await createEngine();
    return { ...createPipeline(engine, model, createSchedule(engine, model.schedulerConfig)), alive };
  } catch (error) {
    await model.dispose();
    throw error;
  }
}

async function threadedModel(start: Start): Promise<{ model: Model; alive(): boolean }> {
  const { thread: first, facts } = await open(start);
  const { network, ...described } = facts;
  const { device, notes } = described;
  let thread = first;
  let reopened: Promise<void> | undefined;
  let disposed = false;

  const reopen = async () => {
    try {
      thread = (await open(start, facts)).thread;
    } catch (cause) {
      throw new DdpmError('worker-crashed', 'the network ended and cannot be started again', { cause });
    } finally {
      reopened = undefined;
    }
  };
  const denoiser = async ({ data, shape }: Tensor, timesteps: Float32Array, condition?: Condition) => {
    if (thread.ended && !disposed) {
      reopened ??= reopen();
      await reopened;
    }
    // what is sent is copied with all of the memory that it is a view of
    const x = { data: data.slice(), shape: [...shape] };
    const labels = condition?.classLabels && { classLabels: Array.from(condition.classLabels) };
    return thread.call<Tensor>('denoise', { x, timesteps: timesteps.slice(), condition: labels } satisfies Question);
  };
  const dispose = async () => {
    disposed = true;
    await reopened?.catch(() => undefined);
    // a thread that has ended has nothing to free
    await thread.call('dispose').catch(() => undefined);
    await thread.close();
  };
  const model = { ...described, denoiser: Object.assign(denoiser, { ...network, device, notes, dispose }), dispose };
  return { model, alive: () => !thread.ended };
}

/** A thread that has loaded its model: the same one as before, if there was one. */
async function open(start: Start, before?: Facts): Promise<{ thread: Thread; facts: Facts }> {
  // a file of dist, which is where there is something to run
  const thread = startThread(new URL('./networkThread.js', import.meta.url), start);
  try {
    const facts = await thread.call<Facts>('facts');
    if (before && identityOf(facts) !== identityOf(before))
      throw new DdpmError('model-invalid', `${facts.name}: expected the model that was loaded at first, got another`);
    return { thread, facts };
  } catch (error) {
    await thread.close();
    throw error;
  }
}

/** What tells a model from another that was put in its place. */
function identityOf({ device: _, notes: __, bundle, ...facts }: Facts): string {
  return JSON.stringify({ ...facts, sha256: bundle?.sha256 });
}

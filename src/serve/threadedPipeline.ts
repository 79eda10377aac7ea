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

/**
 * A pipeline whose network answers from a thread of its own, where a call of onnxruntime-node does not hold up this one.
 * The weights are there and nowhere else. Takes bundled names, paths and URLs, as `loadPipeline` does.
 *
 * @throws whatever `loadPipeline` does
 */
export async function loadThreadedPipeline(source: string, options: ThreadOptions = {}): Promise<Pipeline> {
  if (typeof source !== 'string') throw wrongKind('source', 'a path, a URL or a bundled name', source);
  // a file of dist, which is where there is something to run
  const thread = startThread(new URL('./networkThread.js', import.meta.url), { source, options } satisfies Start);
  try {
    const model = modelOf(await thread.call<Facts>('facts', undefined), thread);
    if (model.schedulerConfig === undefined)
      throw new DdpmError(
        'model-not-found',
        `${model.name}: expected a scheduler_config.json beside the network, found none`,
      );
    const engine = await createEngine();
    return createPipeline(engine, model, createSchedule(engine, model.schedulerConfig));
  } catch (error) {
    await thread.close();
    throw error;
  }
}

function modelOf({ network, ...facts }: Facts, thread: Thread): Model {
  const { device, notes } = facts;
  const denoiser = ({ data, shape }: Tensor, timesteps: Float32Array, condition?: Condition) => {
    // what is sent is copied with all of the memory that it is a view of
    const x = { data: data.slice(), shape: [...shape] };
    const labels = condition?.classLabels && { classLabels: Array.from(condition.classLabels) };
    return thread.call<Tensor>('denoise', { x, timesteps: timesteps.slice(), condition: labels } satisfies Question);
  };
  const dispose = async () => {
    // a thread that has ended has nothing to free
    await thread.call('dispose', undefined).catch(() => undefined);
    await thread.close();
  };
  return { ...facts, denoiser: Object.assign(denoiser, { ...network, device, notes, dispose }), dispose };
}

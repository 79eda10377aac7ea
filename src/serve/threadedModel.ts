import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Condition } from '../core/denoiser.ts';
import { DdpmError } from '../core/errors.ts';
import type { Tensor } from '../core/tensor.ts';
import { createSchedule } from '../diffusion/schedule.ts';
import { createEngine } from '../engine/engine.ts';
import type { Model } from '../model/types.ts';
import { createPipeline, type Pipeline } from '../pipeline.ts';
import { type Answer, errorOf, type Facts, type Started, type ThreadOptions } from './threadMessages.ts';

/**
 * A pipeline whose network answers from a worker thread, where a call of onnxruntime-node does not hold up this one. The
 * weights are there and nowhere else. Bundled names, paths and URLs, as `loadPipeline` takes them.
 *
 * @throws whatever `loadPipeline` does
 */
export async function loadThreadedPipeline(source: string, options: ThreadOptions = {}): Promise<Pipeline> {
  const model = await loadThreadedModel(source, options);
  try {
    if (model.schedulerConfig === undefined)
      throw new DdpmError(
        'model-not-found',
        `${model.name}: expected a scheduler_config.json beside the network, found none`,
      );
    const engine = await createEngine();
    return createPipeline(engine, model, createSchedule(engine, model.schedulerConfig));
  } catch (error) {
    await model.dispose();
    throw error;
  }
}

async function loadThreadedModel(source: string, options: ThreadOptions): Promise<Model> {
  // a path of dist, which is where there is something to run
  const worker = new Worker(new URL('./networkWorker.js', import.meta.url), { workerData: { source, options } });
  const [first] = (await once(worker, 'message')) as [Started];
  if (first.failure) {
    await worker.terminate();
    throw errorOf(first.failure);
  }
  return modelOf(first.facts, worker);
}

function modelOf({ network, ...facts }: Facts, worker: Worker): Model {
  const { ask, dispose } = connect(worker);
  const { device, notes } = facts;
  const denoiser = async (x: Tensor, timesteps: Float32Array, condition?: Condition) => ask(x, timesteps, condition);
  return { ...facts, denoiser: Object.assign(denoiser, { ...network, device, notes, dispose }), dispose };
}

interface Pending {
  resolve(answer: Tensor): void;
  reject(error: Error): void;
}

/** Questions to a thread and its answers, each to whoever asked. */
function connect(worker: Worker) {
  const pending = new Map<number, Pending>();
  let next = 0;
  let ended: Error | undefined;
  const exit = once(worker, 'exit');
  worker.on('message', ({ id, answer, failure }: Answer) => {
    const { resolve, reject } = pending.get(id)!;
    pending.delete(id);
    if (answer) resolve(answer);
    else reject(errorOf(failure!));
  });
  const fail = (reason: string) => {
    ended ??= new DdpmError('network-failed', `the network's thread ended: ${reason}`);
    for (const { reject } of pending.values()) reject(ended);
    pending.clear();
  };
  worker.on('error', (error) => fail(error.message));
  worker.on('exit', (code) => fail(`exit code ${code}`));

  const ask = (x: Tensor, timesteps: Float32Array, condition?: Condition) =>
    new Promise<Tensor>((resolve, reject) => {
      if (ended) return reject(ended);
      const id = next++;
      pending.set(id, { resolve, reject });
      const labels = condition?.classLabels && { classLabels: Array.from(condition.classLabels) };
      // a copy: x may be a view of memory that is not to be cloned whole, or moved away
      const data = x.data.slice();
      const question = { id, x: { data, shape: [...x.shape] }, timesteps: timesteps.slice(), condition: labels };
      worker.postMessage(question, [data.buffer]);
    });
  const dispose = async () => {
    if (!ended) worker.postMessage(null);
    await exit;
  };
  return { ask, dispose };
}

import { onTestFinished } from 'vitest';
import { encodeBundle } from '../../src/model/bundle.ts';
import { loadPipeline, type Pipeline } from '../../src/pipeline.ts';
import { createHandler, type Handler, type HandlerOptions } from '../../src/serve/index.ts';
import { smallGraph } from '../model/graphs.ts';

/** A model of 8x8 grey images with four classes that answers at once; what it shows is nothing. */
export async function smallPipeline(): Promise<Pipeline> {
  const network = smallGraph({ image: { dims: ['N', 1, 8, 8] }, label: {}, embedding: 4 });
  const scheduler = { _class_name: 'DDPMScheduler', num_train_timesteps: 50, clip_sample: true };
  const labels = { labels: ['cat', 'dog', 'owl'], unconditional: 3 };
  const bundle = await encodeBundle({
    name: 'small',
    network,
    scheduler,
    labels,
    sampling: { sampler: 'ddim', steps: 4 },
  });
  const pipeline = await loadPipeline(bundle, { device: 'cpu' });
  onTestFinished(() => pipeline.dispose());
  return pipeline;
}

/** Asks a handler as a client would. */
export type Ask = (path: string, init?: RequestInit, client?: string) => Promise<Response>;

/** A handler of the small model, or of another, that is ready. */
export async function smallHandler(options: Partial<HandlerOptions> = {}): Promise<{ handler: Handler; ask: Ask }> {
  const handler = createHandler({ pipeline: options.pipeline ?? (await smallPipeline()), ...options });
  await handler.ready();
  const ask: Ask = (path, init, client) => handler(new Request(`http://localhost${path}`, init), { client });
  return { handler, ask };
}

/** A pipeline whose network waits until it is let go on, call by call. */
export function gated(pipeline: Pipeline): { pipeline: Pipeline; calls: number[]; open(): void; close(): void } {
  const { denoiser } = pipeline.model;
  const calls: number[] = [];
  let gate = Promise.resolve();
  let open = () => {};
  const close = () => {
    gate = new Promise((resolve) => {
      open = resolve;
    });
  };
  const held: typeof denoiser = Object.assign(
    async (...args: Parameters<typeof denoiser>) => {
      calls.push(args[0].shape[0]);
      await gate;
      return denoiser(...args);
    },
    {
      shape: denoiser.shape,
      labelInput: denoiser.labelInput,
      device: denoiser.device,
      notes: [],
      dispose: denoiser.dispose,
    },
  );
  return { pipeline: { ...pipeline, model: { ...pipeline.model, denoiser: held } }, calls, open: () => open(), close };
}

import { encodeMsgpack } from '../core/msgpack.ts';
import type { Step } from '../diffusion/sample.ts';
import type { Engine } from '../engine/engine.ts';
import type { GridOptions } from '../image/grid.ts';
import { type About, dataUrl, picture } from './formats.ts';
import { problemOf } from './problem.ts';
import type { streamFormats } from './request.ts';

/** How steps come back. */
export type StreamFormat = (typeof streamFormats)[number];

/** What a stream of steps shows. */
export interface StreamOptions {
  readonly format: StreamFormat;
  /** A preview after so many steps. */
  readonly every: number;
  /** How many steps there are. */
  readonly calls: number;
  readonly grid: GridOptions;
  readonly about: About;
}

/** The media type of each. */
export const streamTypes: Readonly<Record<StreamFormat, string>> = {
  sse: 'text/event-stream',
  msgpack: 'application/vnd.msgpack',
};

/**
 * Steps as events: `step` with what the network takes the images to be, `done` with the images, or `error` in the place of
 * what was to come. MessagePack has one map an event, one after the other. A step is taken when the client reads.
 */
export function eventStream(
  engine: Engine,
  steps: AsyncGenerator<Step, void, void>,
  options: StreamOptions & { cancel(): void },
): ReadableStream<Uint8Array> {
  const frames = events(engine, steps, options);
  return new ReadableStream({
    async pull(controller) {
      const { value, done } = await frames.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: options.cancel,
  });
}

async function* events(engine: Engine, steps: AsyncGenerator<Step, void, void>, options: StreamOptions) {
  const { format, every, calls, grid, about } = options;
  const encode = encoders[format];
  try {
    for await (const { index, timestep, x, start } of steps) {
      const at = { index, calls, timestep };
      if (index + 1 === calls) yield encode('done', { ...at, ...about, image: picture(engine, x, grid) });
      else if ((index + 1) % every === 0) yield encode('step', { ...at, image: picture(engine, start, grid) });
    }
  } catch (error) {
    const { code, message } = problemOf(error);
    yield encode('error', { code, detail: message });
  }
}

const encoders: Readonly<Record<StreamFormat, (event: string, content: object) => Uint8Array>> = {
  sse: (event, content) => {
    const data = JSON.stringify(content, (_, value) => (value instanceof Uint8Array ? dataUrl(value) : value));
    return new TextEncoder().encode(`event: ${event}\ndata: ${data}\n\n`);
  },
  msgpack: (event, content) => encodeMsgpack({ event, ...content }),
};

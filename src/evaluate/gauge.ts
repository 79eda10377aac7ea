import type { Schedule } from '../diffusion/schedule.ts';
import type { Engine } from '../engine/engine.ts';
import type { Model } from '../model/types.ts';
import type { Chunk } from './batches.ts';
import type { Evaluation } from './types.ts';

/** What is evaluated: the part of a pipeline that knows no sampling. */
export interface Subject {
  readonly model: Model;
  readonly engine: Engine;
  readonly schedule: Schedule;
}

/** Measures one thing of images, chunk by chunk. */
export interface Gauge {
  /** About how many network calls an image takes. */
  readonly callsPerImage: number;
  /** Takes in some images; how many network calls that took. */
  add(chunk: Chunk, how: { readonly batch: number; readonly signal?: AbortSignal }): Promise<number>;
  /** What was found so far. */
  result(): Partial<Evaluation>;
}

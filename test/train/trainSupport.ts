import type { TrainingInput } from '../../src/train/configSchema.ts';
import type { TrainingEvent } from '../../src/train/events.ts';
import type { CheckpointStore } from '../../src/train/store.ts';
import type { train } from '../../src/train/trainer.ts';
import type { TrainingData } from '../../src/train/trainingData.ts';
import type { TrainedModel } from '../../src/train/types.ts';

/** Squares of two classes: bright on dark left above, and dark on bright right below, by 0 to 3 pixels of 8. */
export function squares(count: number): TrainingData {
  const pixels = 64;
  const data = Uint8Array.from({ length: count * pixels }, (_, i) => {
    const [image, y, x] = [Math.floor(i / pixels), Math.floor((i % pixels) / 8), i % 8];
    const shift = (image >> 1) % 4;
    const [near, bright] = image % 2 ? [y > shift && x > shift, 40] : [y < 7 - shift && x < 7 - shift, 220];
    return near ? bright : 255 - bright;
  });
  const labels = Int32Array.from({ length: count }, (_, i) => i % 2);
  return {
    summary: { channels: 1, height: 8, width: 8, classes: 2, count, labels: ['high', 'low'] },
    notes: [],
    source: () => ({ open: () => [{ data, shape: [count, 1, 8, 8], labels }] }),
  };
}

/** A network of a few thousand parameters, for as many steps. */
export function tinyConfig(steps: number, more: TrainingInput = {}): TrainingInput {
  return {
    model: { block_out_channels: [8, 16], norm_num_groups: 4, attention_head_dim: 8 },
    ...{ steps, batch: 8, workers: 1, seed: 3, evaluation: null, samples: null },
    optimizer: { learningRate: 3e-3, warmupSteps: Math.min(5, steps - 1) },
    ...more,
  };
}

/** Runs to the end: all events, and the model. */
export async function finish(run: ReturnType<typeof train>): Promise<{ events: TrainingEvent[]; model: TrainedModel }> {
  const events: TrainingEvent[] = [];
  let next = await run.next();
  while (!next.done) {
    events.push(next.value);
    next = await run.next();
  }
  return { events, model: next.value };
}

/** The events of one kind. */
export function ofType<T extends TrainingEvent['type']>(events: readonly TrainingEvent[], type: T) {
  return events.filter((event) => event.type === type) as Extract<TrainingEvent, { type: T }>[];
}

/** All parameters of a model, one behind another. */
export function vectorOf({ parameters }: TrainedModel): Float32Array {
  return Float32Array.from([...parameters.values()].flatMap(({ data }) => [...data]));
}

/** A store of checkpoints that forgets nothing but what it is told to. */
export function memoryStore(): CheckpointStore & { readonly files: Map<string, Uint8Array<ArrayBuffer>> } {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  return {
    name: 'memory',
    files,
    write: async (name, bytes) => void files.set(name, bytes.slice()),
    read: async (name) => files.get(name),
    list: async () => [...files.keys()],
    remove: async (name) => void files.delete(name),
  };
}

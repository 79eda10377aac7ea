import { loadOrt } from '#runtime';
import { sizeOf } from '../core/tensor.ts';
import { createEngine, type Engine } from '../engine/engine.ts';
import { createSession } from '../model/session.ts';
import type { ConcreteDevice, Ort } from '../runtime/types.ts';
import { type Noising, noised, type Part } from './noising.ts';

/** What all members of a training run work on, in memory that they share: flat vectors in the order of the layout. */
export interface Vectors {
  readonly parameters: Float32Array;
  readonly firstMoments: Float32Array;
  readonly secondMoments: Float32Array;
  readonly ema: Float32Array | null;
  /** The gradients that members found, one behind another. */
  readonly gradients: Float32Array;
}

/** What a member is to do, as plain data that can be sent to a thread. */
export interface MemberTask {
  readonly index: number;
  readonly members: number;
  readonly vectors: Vectors;
  readonly noising: Noising;
  /** ONNX graphs: the loss of so many images as this member takes at once, and what follows from all gradients. */
  readonly graphs: { readonly loss: Uint8Array; readonly reduce: Uint8Array; readonly update: Uint8Array };
  readonly device: ConcreteDevice;
  /** onnxruntime's threads inside one call. */
  readonly threads: number | undefined;
}

/** What a member found for its part of a step. */
export interface Found {
  /** Its part of the loss: the sum over members is the mean over images. */
  readonly loss: number;
  /** The sum of the mean squared errors of its images. */
  readonly error: number;
}

/** Numbers that a step has of its own; see `updateGraph`. */
export type Rates = readonly [factor: number, learningRate: number, first: number, second: number, emaDecay: number];

/** One of those that share the work of a training step: a part of the images, then a part of the vectors. */
export interface Member {
  /** The loss of some images, and its gradient into this member's row of the gradients. */
  compute(parts: readonly Part[]): Promise<Found>;
  /** Adds up all gradients over this member's part of the vectors; gives the sum of their squares. */
  reduce(): Promise<number>;
  /** AdamW and the moving average over this member's part. */
  update(rates: Rates): Promise<void>;
  close(): Promise<void>;
}

/** A member that works in this thread. */
export async function openMember(task: MemberTask, engine?: Engine): Promise<Member> {
  const { vectors, noising } = task;
  const own = engine ?? (await createEngine());
  const { parameters } = vectors;
  const size = parameters.length;
  const row = vectors.gradients.subarray(task.index * size, (task.index + 1) * size);
  const [begin, end] = shareOf(size, task);
  const sessions = await openSessions(task);
  const float = (data: Float32Array, shape: readonly number[] = [data.length]) => ({ data, shape });
  let gradient = new Float32Array(0);

  return {
    async compute(parts) {
      const found = { loss: 0, error: 0 };
      let before: Float32Array = new Float32Array(size);
      // sessions take no shared memory
      const values = parameters.slice();
      for (const part of parts) {
        const { classLabels, images, noise, timestep, coefficients } = noised(own, noising, part);
        const result = await sessions.loss({
          ...{ parameters: float(values), gradient_before: float(before), images, noise, timestep, coefficients },
          ...(classLabels && { class_labels: classLabels }),
        });
        before = result.gradient;
        found.loss += result.loss[0];
        found.error += result.errors.reduce((sum, error) => sum + error, 0);
      }
      row.set(before);
      return found;
    },
    async reduce() {
      const rows = new Float32Array(task.members * (end - begin));
      for (let i = 0; i < task.members; i++)
        rows.set(vectors.gradients.subarray(i * size + begin, i * size + end), i * (end - begin));
      const result = await sessions.reduce({ gradients: float(rows, [task.members, end - begin]) });
      gradient = result.gradient as Float32Array<ArrayBuffer>;
      return result.squares[0];
    },
    async update(rates) {
      const { firstMoments, secondMoments, ema } = vectors;
      const mine = (vector: Float32Array) => float(vector.slice(begin, end));
      const result = await sessions.update({
        gradient: float(gradient),
        parameters: mine(parameters),
        first_moments: mine(firstMoments),
        second_moments: mine(secondMoments),
        ...(ema && { ema: mine(ema) }),
        rates: float(Float32Array.from(rates)),
      });
      parameters.set(result.new_parameters, begin);
      firstMoments.set(result.new_first_moments, begin);
      secondMoments.set(result.new_second_moments, begin);
      ema?.set(result.new_ema, begin);
    },
    close: () => sessions.close(),
  };
}

/** The part of the vectors that a member sums up and updates. */
export function shareOf(size: number, { index, members }: Pick<MemberTask, 'index' | 'members'>): [number, number] {
  return [Math.floor((index * size) / members), Math.floor(((index + 1) * size) / members)];
}

/** An input of a graph. */
interface Input {
  readonly data: Float32Array | BigInt64Array;
  readonly shape: readonly number[];
}

type Run = (inputs: Readonly<Record<string, Input>>) => Promise<Record<string, Float32Array>>;

async function openSessions({ graphs, device, threads }: MemberTask) {
  const loaded = await loadOrt(device, { threads });
  const open = async (bytes: Uint8Array, name: string) => createSession(loaded, bytes, { threads, name });
  const loss = await open(graphs.loss, 'training graph');
  const reduce = await open(graphs.reduce, 'gradient graph');
  const update = await open(graphs.update, 'optimizer graph');
  const runOf = (session: typeof loss): Run => {
    return async (inputs) => {
      const feeds = Object.entries(inputs).map(([name, input]) => [name, tensorOf(loaded.ort, input)] as const);
      const results = await session.run(Object.fromEntries(feeds));
      return Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, data as Float32Array]));
    };
  };
  return {
    ...{ loss: runOf(loss), reduce: runOf(reduce), update: runOf(update) },
    close: async () => void (await Promise.all([loss, reduce, update].map((session) => session.release()))),
  };
}

function tensorOf({ Tensor }: Ort, { data, shape }: Input) {
  if (data instanceof BigInt64Array) return new Tensor('int64', data, shape);
  return new Tensor('float32', data.subarray(0, sizeOf(shape)), shape);
}

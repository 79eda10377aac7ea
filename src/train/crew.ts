import { startThread } from '#runtime';
import { DdpmError } from '../core/errors.ts';
import type { Engine } from '../engine/engine.ts';
import { type Found, type Member, type MemberTask, openMember, type Rates, type Vectors } from './member.ts';
import type { Part } from './noising.ts';

/** How many numbers the vectors of a run have, and who works on them. */
export interface CrewOptions {
  readonly size: number;
  readonly members: number;
  readonly ema: boolean;
}

/** All that a training step needs: members and what they share. */
export interface Crew {
  readonly vectors: Vectors;
  /** One optimizer step on the parts of each member. @throws DdpmError `training-diverged`: nothing has changed then. */
  step(parts: readonly (readonly Part[])[], ratesOf: (norm: number) => Rates): Promise<StepFound>;
  close(): Promise<void>;
}

/** What a step found before it changed the parameters. */
export interface StepFound extends Found {
  /** The norm of the gradient before clipping. */
  readonly gradientNorm: number;
}

/** Memory for the vectors of a run: shared by threads where there are several members. */
export function createVectors({ size, members, ema }: CrewOptions): Vectors {
  const make = (length: number) =>
    new Float32Array(members > 1 ? new SharedArrayBuffer(4 * length) : new ArrayBuffer(4 * length));
  return {
    parameters: make(size),
    firstMoments: make(size),
    secondMoments: make(size),
    ema: ema ? make(size) : null,
    gradients: make(size * members),
  };
}

/** The members of a run: one in this thread, or several in threads of their own. */
export async function openCrew(tasks: readonly MemberTask[], engine: Engine): Promise<Crew> {
  const members = tasks.length === 1 ? [await openMember(tasks[0], engine)] : await startMembers(tasks);
  const all = <T>(work: (member: Member, i: number) => Promise<T>) => Promise.all(members.map(work));
  return {
    vectors: tasks[0].vectors,
    async step(parts, ratesOf) {
      const found = await all((member, i) => member.compute(parts[i]));
      const [loss, error] = [sum(found.map((one) => one.loss)), sum(found.map((one) => one.error))];
      // every member adds up its share of the vectors, in an order that is always the same
      const gradientNorm = Math.sqrt(sum(await all((member) => member.reduce())));
      if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm))
        throw new DdpmError('training-diverged', `the loss is ${loss}, the norm of its gradient ${gradientNorm}`);
      const rates = ratesOf(gradientNorm);
      await all((member) => member.update(rates));
      return { loss, error, gradientNorm };
    },
    close: async () => void (await all((member) => member.close())),
  };
}

async function startMembers(tasks: readonly MemberTask[]): Promise<Member[]> {
  // there is no such file beside the source: several members need the built package
  const threads = tasks.map((task) => startThread(new URL('./memberThread.js', import.meta.url), task));
  try {
    await Promise.all(threads.map((thread) => thread.call('ready')));
  } catch (error) {
    await Promise.all(threads.map((thread) => thread.close()));
    throw error;
  }
  return threads.map((thread) => ({
    compute: (parts) => thread.call<Found>('compute', parts),
    reduce: () => thread.call<number>('reduce'),
    update: (rates) => thread.call<void>('update', rates),
    close: () => thread.close(),
  }));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

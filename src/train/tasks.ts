import type { Schedule } from '../diffusion/schedule.ts';
import { reduceGraph, updateGraph } from '../onnx/optimizer.ts';
import type { ConcreteDevice } from '../runtime/types.ts';
import { imagesOf } from './batches.ts';
import { COEFFICIENTS, coefficientsOf } from './coefficients.ts';
import type { ParsedTraining } from './config.ts';
import { createVectors } from './crew.ts';
import { lossGraph } from './lossGraph.ts';
import { type MemberTask, shareOf } from './member.ts';
import type { Noising } from './noising.ts';
import type { Trainable } from './trainable.ts';

/** What the members of a run are made from. */
export interface TaskOptions {
  readonly parsed: ParsedTraining;
  readonly schedule: Schedule;
  readonly trainable: Trainable;
  readonly members: number;
  readonly device: ConcreteDevice;
}

/** What each member is to do: graphs for its part of the images and of the vectors, which are not yet filled. */
export function tasksOf({ parsed, schedule, trainable, members, device }: TaskOptions): MemberTask[] {
  const { config, network } = parsed;
  const { batch, accumulation, loss, optimizer } = config;
  const size = trainable.initial.length;
  const vectors = createVectors({ size, members, ema: config.ema !== null });
  const noising = noisingOf({ parsed, schedule });

  const lossFor = once((images) => {
    const { trained, source: parameters } = trainable;
    return lossGraph({ network, loss: kindOf(loss), images, divisor: batch * accumulation, trained, parameters }).bytes;
  });
  const reduceFor = once((length) => reduceGraph(members, length));
  const { betas, epsilon, weightDecay } = optimizer;
  const updateFor = once((length) => updateGraph(length, { betas, epsilon, weightDecay, ema: config.ema !== null }));

  return Array.from({ length: members }, (_, index) => {
    const [first, last] = imagesOf(batch, index, members);
    const [begin, end] = shareOf(size, { index, members });
    const graphs = { loss: lossFor(last - first), reduce: reduceFor(end - begin), update: updateFor(end - begin) };
    // one thread a member: members are threads already
    return { index, members, vectors, noising, graphs, device, threads: members > 1 ? 1 : undefined };
  });
}

function noisingOf({ parsed, schedule }: Pick<TaskOptions, 'parsed' | 'schedule'>): Noising {
  const { config, network } = parsed;
  const [height, width] = network.sampleSize!;
  return {
    seed: BigInt(config.seed),
    shape: [network.inChannels, height, width],
    stepImages: config.batch * config.accumulation,
    trainTimesteps: schedule.trainTimesteps,
    coefficients: coefficientsOf(schedule, config.loss),
    columns: COEFFICIENTS.length,
  };
}

function kindOf({ prediction, variance, varianceWeight }: ParsedTraining['config']['loss']) {
  return { prediction, variance, varianceWeight };
}

/** A function of a number that is computed once for each. */
function once<T>(make: (n: number) => T): (n: number) => T {
  const made = new Map<number, T>();
  return (n) => {
    const found = made.get(n) ?? make(n);
    made.set(n, found);
    return found;
  };
}

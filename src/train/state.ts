import { DdpmError, show } from '../core/errors.ts';
import { sizeOf } from '../core/tensor.ts';
import { type LoadedCheckpoint, listCheckpoints, loadCheckpoint } from './checkpoint.ts';
import type { Json, TrainingState } from './checkpointFormat.ts';
import type { TrainingConfig, TrainingInput } from './configSchema.ts';
import type { HistoryEntry } from './events.ts';
import type { Vectors } from './member.ts';
import type { Progress, ProgressStart } from './progress.ts';
import type { CheckpointStore } from './store.ts';
import type { Trainable } from './trainable.ts';

/** The newest checkpoint, or undefined where there is none yet. */
export async function newestCheckpoint(place: string | URL | CheckpointStore): Promise<LoadedCheckpoint | undefined> {
  return (await listCheckpoints(place)).length === 0 ? undefined : loadCheckpoint(place);
}

/** What a run goes on with: the checkpoint's config, with what the given one may change of it. */
export function continuedConfig({ name, state }: LoadedCheckpoint, given: TrainingInput): TrainingInput {
  const saved = state.config as unknown as TrainingConfig & Record<string, unknown>;
  const changes: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(given)) {
    if (key === '$schema' || value === undefined || show(value) === show(saved[key])) continue;
    if (changeable.includes(key)) changes[key] = value;
    else if (!agrees(saved[key], value))
      throw new DdpmError('config-invalid', `"${key}" expected what ${name} was trained with, got ${show(value)}`);
  }
  // the one that is given replaces the other
  if (changes.steps != null) changes.minutes = null;
  if (changes.minutes != null) changes.steps = null;
  return { ...(saved as unknown as TrainingInput), ...changes };
}

// what neither changes the vectors nor the order of the images
const changeable = ['steps', 'minutes', 'checkpoints', 'evaluation', 'samples', 'data'];

/** Whether a section says nothing else than another, which is complete. */
function agrees(complete: unknown, given: unknown): boolean {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    return JSON.stringify(complete) === JSON.stringify(given);
  if (typeof complete !== 'object' || complete === null) return false;
  return Object.entries(given).every(([key, value]) => agrees((complete as Record<string, unknown>)[key], value));
}

/** Where a run begins: at nothing, or where a checkpoint was made. */
export function startOf(state: TrainingState | undefined): ProgressStart['start'] {
  if (!state) return { step: 0, epoch: 0, position: 0, seconds: 0, history: [] };
  const { step, epoch, position } = state;
  const { seconds, history } = state.metrics as unknown as { seconds: number; history: HistoryEntry[] };
  return { step, epoch, position, seconds, history };
}

/** Puts a checkpoint's vectors, or those of a beginning, where the members find them. */
export function fillVectors(vectors: Vectors, trainable: Trainable, saved: LoadedCheckpoint | undefined): void {
  if (!saved) {
    vectors.parameters.set(trainable.initial);
    vectors.ema?.set(trainable.initial);
    return;
  }
  const { name, state } = saved;
  const known = state.layout.map(({ name, shape }) => `${name} [${shape}]`).join();
  const expected = [...trainable.trained].map(([name, shape]) => `${name} [${shape}]`).join();
  if (known !== expected || (state.ema === null) !== (vectors.ema === null))
    throw new DdpmError('checkpoint-invalid', `${name}: expected the parameters that its config trains, got others`);
  for (const key of ['parameters', 'firstMoments', 'secondMoments', 'ema'] as const)
    if (state[key]) vectors[key]?.set(state[key]);
}

/** All that a run needs to go on. */
export function stateOf(
  { config, trainable, vectors }: { config: TrainingConfig; trainable: Trainable; vectors: Vectors },
  progress: Progress,
): TrainingState {
  let end = 0;
  const layout = [...trainable.trained].map(([name, shape]) => {
    const offset = end;
    end += sizeOf(shape);
    return { name, shape, offset };
  });
  const { parameters, firstMoments, secondMoments, ema } = vectors;
  return {
    ...{ layout, parameters, firstMoments, secondMoments, ema },
    ...{ step: progress.step, ...progress.position, seed: config.seed },
    // all random numbers follow from the seed, the step and the image
    random: null,
    config: config as unknown as Json,
    metrics: { seconds: progress.seconds, history: progress.history } as unknown as Json,
  };
}

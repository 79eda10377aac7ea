import { DdpmError, show } from '../core/errors.ts';
import { sizeOf } from '../core/tensor.ts';
import { type LoadedCheckpoint, listCheckpoints, loadCheckpoint } from './checkpoint.ts';
import type { Json, TrainingState } from './checkpointFormat.ts';
import type { ParsedTraining } from './config.ts';
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

/**
 * What a run goes on with: the checkpoint's config, with what the given one may change of it. Its network is left to
 * `assertSameNetwork`, as there are several ways to say the same one.
 *
 * @throws DdpmError `config-invalid` for what would make another run
 */
export function continuedConfig({ name, state }: LoadedCheckpoint, given: TrainingInput): TrainingInput {
  const saved = state.config as unknown as Record<string, unknown>;
  const changed: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(given)) {
    if (key === '$schema' || value === undefined) continue;
    if (changeable.includes(key)) changed[key] = joined(saved[key], value);
    else if (key === 'data') changed.data = movedData(name, saved.data as TrainingConfig['data'], value as object);
    else if (key !== 'model' && !agrees(saved[key], value)) throw otherThan(name, key, value);
  }
  // the one that is given replaces the other
  if (changed.steps != null) changed.minutes = null;
  if (changed.minutes != null) changed.steps = null;
  return { ...saved, ...changed };
}

/** Throws unless a config that is given describes the network of the checkpoint. */
export function assertSameNetwork({ name }: LoadedCheckpoint, given: ParsedTraining, saved: ParsedTraining): void {
  if (JSON.stringify(given.network) !== JSON.stringify(saved.network))
    throw otherThan(name, 'model', given.config.model);
}

// what changes neither the vectors nor the images
const changeable = ['steps', 'minutes', 'checkpoints', 'evaluation', 'samples'];

function joined(saved: unknown, given: unknown): unknown {
  return isSection(saved) && isSection(given) ? { ...saved, ...given } : given;
}

/** The images may have been moved, but are shown as they were. */
function movedData(name: string, saved: TrainingConfig['data'], given: Partial<TrainingConfig['data']>) {
  const { path = saved.path, ...rest } = given;
  for (const [key, value] of Object.entries(rest))
    if (!agrees(saved[key as 'flip'], value)) throw otherThan(name, `data.${key}`, value);
  return { ...saved, path };
}

function otherThan(name: string, key: string, value: unknown): DdpmError {
  return new DdpmError('config-invalid', `"${key}" expected what ${name} was trained with, got ${show(value)}`);
}

/** Whether a section says nothing else than another, which is complete. */
function agrees(complete: unknown, given: unknown): boolean {
  // of threads, of which a checkpoint knows how many there were
  if (given === 'auto') return typeof complete === 'number';
  if (!isSection(given)) return JSON.stringify(complete) === JSON.stringify(given);
  return isSection(complete) && Object.entries(given).every(([key, value]) => agrees(complete[key], value));
}

function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
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

import { autoDevices, cores } from '#runtime';
import { wrongKind } from '../core/errors.ts';
import { createSchedule, type Schedule } from '../diffusion/schedule.ts';
import { createEngine, type Engine } from '../engine/engine.ts';
import type { Labels } from '../model/labels.ts';
import type { ConcreteDevice } from '../runtime/types.ts';
import { type BaseModel, loadBase } from './base.ts';
import { nextParts } from './batches.ts';
import type { TrainingState } from './checkpointFormat.ts';
import { type ParsedTraining, parseTrainingConfig } from './config.ts';
import type { TrainingConfig, TrainingInput } from './configSchema.ts';
import { type Crew, openCrew } from './crew.ts';
import type { BegunEvent } from './events.ts';
import { type FeedPosition, openFeed } from './feed.ts';
import type { FeedSource } from './intake.ts';
import { writeLora } from './lora.ts';
import type { Part } from './noising.ts';
import type { Progress, ProgressStart } from './progress.ts';
import { assertSameNetwork, continuedConfig, fillVectors, newestCheckpoint, startOf, stateOf } from './state.ts';
import { tasksOf } from './tasks.ts';
import { type Trainable, trainableOf } from './trainable.ts';
import { openTrainingData, type TrainingData } from './trainingData.ts';
import type { TrainedModel, TrainOptions } from './types.ts';

/** A training run with everything open that its steps need. */
export interface Run extends ProgressStart {
  readonly engine: Engine;
  readonly schedule: Schedule;
  readonly parsed: ParsedTraining;
  /** That of `parsed`, with the number of workers. */
  readonly config: TrainingConfig;
  readonly device: ConcreteDevice;
  readonly data: TrainingData;
  /** Its images as the network takes them. */
  readonly source: FeedSource;
  /** The class of images that have none, for a network that takes classes: the one that means none. */
  readonly plainLabel: number | undefined;
  readonly crew: Crew;
  /** The images of a step, dealt out to the members; each step is asked for once, in order. */
  next(step: number): Promise<Part[][]>;
  /** Where the data is after them. */
  readonly position: FeedPosition;
  readonly begun: BegunEvent;
  /** Whether it goes on from a checkpoint. */
  readonly resumed: boolean;
  /** The network's parameters by diffusers' names: their moving average where one is kept. */
  parameters(): ReturnType<Trainable['parameters']>;
  state(progress: Progress): TrainingState;
  model(progress: Progress): TrainedModel;
  close(): Promise<void>;
}

/** Opens a run: at its beginning, or where its newest checkpoint is. */
export async function openRun(input: TrainingInput, options: TrainOptions): Promise<Run> {
  const { checkpoints } = options;
  const saved = options.resume && checkpoints !== undefined ? await newestCheckpoint(checkpoints) : undefined;
  const subject = await openSubject(saved ? continuedConfig(saved, input) : input, options);
  const { engine, schedule, parsed, base, data, device, labels, plainLabel } = subject;
  const { config } = parsed;
  if (saved && input.model) {
    const json = { ...config, from: null, model: input.model };
    assertSameNetwork(saved, parseTrainingConfig(json, { data: data.summary }), parsed);
  }
  const members = config.workers as number;

  const trainable = trainableOf(engine, parsed, base?.parameters);
  const tasks = tasksOf({ parsed, schedule, trainable, members, device });
  const { vectors, noising } = tasks[0];
  fillVectors(vectors, trainable, saved);
  const start = startOf(saved?.state);

  const { batch, accumulation, seed, classDropout } = config;
  const { crop, background, flip, holdOut } = config.data;
  const source = data.source({ crop, background, shape: noising.shape, engine, seed });
  const feed = await openFeed(engine, source, {
    ...{ batch, seed, flip, holdOut, classes: data.summary.classes },
    ...(classDropout > 0 && {
      classDropout: { probability: classDropout, label: unconditionalOf(parsed, data, base) },
    }),
    position: { epoch: start.epoch, position: start.position },
  });
  const crew = await openCrew(tasks, engine).catch(async (error) => {
    await feed.close();
    throw error;
  });

  const shown = () => vectors.ema ?? vectors.parameters;
  const parameters = () => trainable.parameters(shown());
  const lora = () => loraFiles(config, trainable, shown());
  return {
    ...{ engine, schedule, parsed, config, device, data, source, plainLabel, crew, start, parameters },
    resumed: saved !== undefined,
    next: (step) => nextParts(feed, step, { shape: noising.shape, batch, accumulation, members, label: plainLabel }),
    get position() {
      return feed.position;
    },
    begun: {
      type: 'begun',
      ...{ step: start.step, config, members, history: start.history },
      parameters: trainable.initial.length,
      notes: [...(saved?.notes ?? []), ...(base?.notes ?? []), ...data.notes, ...parsed.notes],
    },
    state: (progress) => stateOf({ config, trainable, vectors }, progress),
    model: ({ step, done: complete }) => ({ config, step, complete, parameters: parameters(), labels, lora: lora() }),
    close: async () => void (await Promise.all([crew.close(), feed.close()])),
  };
}

/** What a config is about: the data, the model to start from, the schedule, and where to train. */
async function openSubject(
  json: TrainingInput,
  { data: given, device: asked, engine: own, signal, file }: TrainOptions,
) {
  const base = json.from ? await loadBase(json.from, { signal }) : undefined;
  const data = given ?? (await openTrainingData(placeIn(json), { signal }));
  const completed = parseTrainingConfig(json, { data: data.summary, base, file });
  const device = asked === undefined || asked === 'auto' ? (await autoDevices()).devices[0] : asked;
  const parsed = { ...completed, config: { ...completed.config, workers: membersOf(completed.config, device) } };

  const engine = own ?? (await createEngine());
  const schedule = createSchedule(engine, parsed.config.schedule);
  const plain = parsed.network.numClassEmbeds !== null && data.summary.classes === undefined;
  const plainLabel = plain ? unconditionalOf(parsed, data, base) : undefined;
  return { engine, schedule, parsed, base, data, device, plainLabel, labels: labelsOf(parsed, data, base) };
}

/** Threads are for CPUs: one a core, and each with an image at least. */
function membersOf({ workers, batch }: TrainingConfig, device: ConcreteDevice): number {
  if (device !== 'cpu') return 1;
  return Math.min(workers === 'auto' ? cores() : workers, batch);
}

/** The label that means no class: that of the base, or the one after those of the data. */
function unconditionalOf({ network }: ParsedTraining, { summary }: TrainingData, base: BaseModel | undefined): number {
  return base?.labels?.unconditional ?? summary.classes ?? network.numClassEmbeds! - 1;
}

function labelsOf(parsed: ParsedTraining, data: TrainingData, base: BaseModel | undefined): Labels | undefined {
  const [own, before] = [data.summary.labels ?? [], base?.labels?.labels ?? []];
  // classes of the base that the data has not stay what they were
  const labels = [...own, ...before.slice(own.length)];
  if (labels.length === 0 || parsed.network.numClassEmbeds === null) return undefined;
  const { classDropout } = parsed.config;
  return { labels, ...(classDropout > 0 && { unconditional: unconditionalOf(parsed, data, base) }) };
}

function placeIn({ data }: TrainingInput): string {
  const place = data?.path;
  if (place == null) throw wrongKind('data', 'images to train on, in "data.path" or as an option', place);
  return place;
}

function loraFiles({ lora, from }: TrainingConfig, { trained }: Trainable, vector: Float32Array) {
  return lora ? writeLora({ lora, trained, vector, base: from ?? undefined }) : undefined;
}

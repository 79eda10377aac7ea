import { nextTurn } from '#runtime';
import { assertKeys } from '../core/assert.ts';
import { wrongKind } from '../core/errors.ts';
import { saveCheckpoint } from './checkpoint.ts';
import type { TrainingInput } from './configSchema.ts';
import type { TrainingEvent } from './events.ts';
import { Progress } from './progress.ts';
import { ratesOf } from './rates.ts';
import { openRun, type Run } from './run.ts';
import type { TrainedModel, TrainOptions } from './types.ts';
import { Watch } from './watch.ts';

const optionNames = ['data', 'checkpoints', 'resume', 'device', 'engine', 'file', 'signal'];

/**
 * Trains a network on images: yields what happens, and returns the model.
 *
 * Everything but the rounding of the network follows from the config: a run repeated with as many workers gives the same
 * bytes, and so does one that is stopped at any step and goes on from its checkpoint, unless `minutes` ends it.
 *
 * @throws DdpmError `config-invalid`, `dataset-invalid`, `checkpoint-invalid`; `training-diverged` where loss or gradient
 * is no number, with the checkpoints before it as they were
 * @example
 * for await (const event of train({ data: { path: 'clothes' }, minutes: 10 }, { checkpoints: 'run' }))
 *   if (event.type === 'record') console.log(event.step, event.loss);
 */
export async function* train(
  config: TrainingInput,
  options: TrainOptions = {},
): AsyncGenerator<TrainingEvent, TrainedModel, void> {
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  assertKeys(options, 'options', optionNames);
  const run = await openRun(config, options);
  const watch = new Watch(run, options.signal);
  try {
    yield run.begun;
    const progress = new Progress(run);
    let saved = run.resumed ? progress.step : -1;
    while (!progress.done && !options.signal?.aborted) {
      yield* oneStep(run, progress);
      const { step } = progress;
      yield* watch.look(progress);
      if (due(run.config.checkpoints.every, step)) {
        yield* checkpoint(run, progress, options.checkpoints);
        saved = step;
      }
      // so that the signal can come
      await nextTurn();
    }
    if (saved !== progress.step) yield* checkpoint(run, progress, options.checkpoints);
    return run.model(progress);
  } finally {
    await run.close();
  }
}

async function* oneStep(run: Run, progress: Progress): AsyncGenerator<TrainingEvent, void, void> {
  const { config, crew } = run;
  const moment = progress.moment();
  const parts = await run.next(progress.step);
  const { position } = run;
  const rates = (norm: number) => ratesOf(config, moment, norm);
  const found = await crew.step(parts, rates);
  const images = config.batch * config.accumulation;
  const learningRate = rates(found.gradientNorm)[1];
  yield* progress.add({ ...found, error: found.error / images, learningRate, images, position });
}

async function* checkpoint(
  run: Run,
  progress: Progress,
  place: TrainOptions['checkpoints'],
): AsyncGenerator<TrainingEvent, void, void> {
  if (place === undefined) return;
  const { name, bytes } = await saveCheckpoint(place, run.state(progress), { keep: run.config.checkpoints.keep });
  yield { type: 'checkpoint', step: progress.step, name, bytes, model: () => run.model(progress) };
}

/** Whether something that is done every so many steps is due. */
export function due(every: number, step: number): boolean {
  return step % every === 0;
}

import { DdpmError, wrongValue } from '../core/errors.ts';
import { createEngine, type Engine } from '../engine/engine.ts';
import { withError } from '../report/evaluation.ts';
import { duration, round, shortCount } from '../report/words.ts';
import type { TrainingEvent } from '../train/events.ts';
import { train } from '../train/trainer.ts';
import type { TrainedModel } from '../train/types.ts';
import { quoted } from './flags.ts';
import { interruptSignal } from './progress.ts';
import { type TrainFlags, trainingInput } from './trainFlags.ts';
import { openRunFolder, type RunFolder } from './trainFolder.ts';
import { TrainLog } from './trainLog.ts';
import { type Metrics, openMetrics } from './trainMetrics.ts';
import { showProgress } from './trainProgress.ts';
import { LiveReport } from './trainReport.ts';

/** Trains, and keeps everything that comes of it in a folder. */
export async function trainRun(flags: TrainFlags): Promise<void> {
  const signal = interruptSignal();
  const folder = await openRunFolder(flags.out, { resume: flags.resume ?? false });
  const input = await trainingInput(flags);
  if (folder.newest === undefined && input.data?.path == null)
    throw wrongValue('data', 'the images to train on', flags.data);

  const engine = await createEngine();
  const log = new TrainLog(folder.newest);
  const outputs = new Outputs(folder, log, engine);
  const progress = await showProgress(log, { quiet: flags.json ?? false, signal });
  const ended: { model?: TrainedModel } = {};
  const { resume, device } = flags;
  const events = (async function* () {
    ended.model = yield* train(input, {
      checkpoints: folder.checkpoints,
      resume,
      device,
      signal,
      engine,
      file: flags.config,
    });
  })();
  try {
    for await (const event of events) {
      log.take(event);
      await outputs.take(event);
      await progress.take(event);
    }
    await outputs.finish(ended.model!);
  } catch (error) {
    throw await outputs.failed(error);
  } finally {
    progress.stop();
  }
  tell(log, { folder, model: ended.model!, json: flags.json });
}

/** What is written beside the checkpoints. */
class Outputs {
  private metrics?: Metrics;
  private readonly report: LiveReport;
  /** The step of the model that was written last. */
  private written = -1;

  constructor(
    private readonly folder: RunFolder,
    private readonly log: TrainLog,
    private readonly engine: Engine,
  ) {
    this.report = new LiveReport(folder, log);
  }

  async take(event: TrainingEvent): Promise<void> {
    const { folder } = this;
    if (event.type === 'step') return;
    if (event.type === 'begun') {
      await folder.write('training.json', `${JSON.stringify(event.config, null, 2)}\n`);
      this.metrics = await openMetrics(folder.file('metrics.jsonl'), event);
    }
    if (event.type === 'record' || event.type === 'evaluation') await this.metrics!.add(event);
    if (event.type === 'samples') await folder.writeSheet(event, this.engine);
    if (event.type === 'checkpoint') {
      await this.metrics!.flush();
      await this.writeModel(event.model());
    }
    await this.report.update();
  }

  async finish(model: TrainedModel): Promise<void> {
    if (this.written !== model.step) await this.writeModel(model);
    await this.metrics!.close();
    await this.report.write({ state: model.complete ? 'complete' : 'interrupted' });
  }

  /** The error that a run ends with: where it was, and what is left of it. */
  async failed(error: unknown): Promise<unknown> {
    const { begun, checkpoint, step } = this.log;
    await this.metrics?.close().catch(() => {});
    if (!begun || !(error instanceof DdpmError)) return error;
    const kept = checkpoint === undefined ? undefined : this.folder.file(`checkpoints/${checkpoint}`);
    const rest = kept === undefined ? 'there is no checkpoint yet' : `the last good checkpoint is ${kept}`;
    const where = error.code === 'training-diverged' ? `step ${step + 1}: ` : '';
    const message = `${where}${error.message}; ${rest}`;
    // it may be the disk that failed
    await this.report.write({ state: 'failed', message }).catch(() => {});
    return new DdpmError(error.code, message, { cause: error });
  }

  private async writeModel(model: TrainedModel): Promise<void> {
    await this.folder.writeModel(model);
    this.written = model.step;
  }
}

/** Says what came of a run, and how to go on with one that was interrupted. */
function tell(
  log: TrainLog,
  { folder, model, json }: { folder: RunFolder; model: TrainedModel; json: boolean | undefined },
): void {
  const { step, seconds, imagesPerSecond, records, evaluations, checkpoint } = log;
  const loss = records.at(-1)?.loss;
  const heldOut = evaluations.at(-1)?.heldOut;
  const { parameters } = log.begun!;
  if (json)
    console.log(
      JSON.stringify({
        ...{ step, complete: model.complete, seconds, imagesPerSecond: imagesPerSecond ?? null, loss: loss ?? null },
        ...{ heldOut: heldOut ?? null, parameters, folder: folder.place },
        checkpoint: checkpoint === undefined ? null : folder.file(`checkpoints/${checkpoint}`),
      }),
    );
  else {
    const facts = [
      `${shortCount(parameters)} parameters`,
      `${step} steps`,
      ...(loss === undefined ? [] : [`loss ${round(loss, 3)}`]),
      ...(heldOut ? [`held out ${withError(heldOut)}`] : []),
      duration(seconds),
      ...(imagesPerSecond === undefined ? [] : [`${round(imagesPerSecond, 3)} images/s`]),
    ];
    console.log(`${folder.place}: ${facts.join(', ')}`);
  }
  if (model.complete) return;
  process.exitCode = 130;
  const again = `ddpm-wasm train --out ${quoted(folder.place)} --resume`;
  console.error(`ddpm-wasm: interrupted after step ${step}; ${again} goes on`);
}

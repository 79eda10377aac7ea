import path from 'node:path';
import { type TrainingReport, trainingReport } from '../report/training.ts';
import type { TrainingConfig } from '../train/configSchema.ts';
import { quoted } from './flags.ts';
import type { RunFolder } from './trainFolder.ts';
import type { TrainLog } from './trainLog.ts';

type State = Pick<TrainingReport, 'state' | 'message'>;

/** The page of a run, written again as the run goes on. */
export class LiveReport {
  private next = 0;

  constructor(
    private readonly folder: RunFolder,
    private readonly log: TrainLog,
  ) {}

  /** Writes the page, unless it was written a moment ago. */
  async update(): Promise<void> {
    if (performance.now() >= this.next) await this.write({ state: 'running' });
  }

  async write(state: State): Promise<void> {
    const begun = performance.now();
    await this.folder.write('report.html', await trainingReport(await contentOf(this.folder, this.log, state)));
    const took = performance.now() - begun;
    // a long page must not keep the run from its work
    this.next = performance.now() + Math.max(5000, 30 * took);
  }
}

/** How many sheets of samples a page shows. */
const shownSheets = 13;

async function contentOf(folder: RunFolder, log: TrainLog, state: State): Promise<TrainingReport> {
  const { config, parameters, members, notes } = log.begun!;
  const { step, seconds, secondsLeft, records, evaluations } = log;
  // those of a run that went further before it was killed come again
  const steps = spread(
    (await folder.sheets()).filter((one) => one <= step),
    shownSheets,
  );
  const sheets = await Promise.all(steps.map(async (step) => ({ step, png: await folder.readSheet(step) })));
  const out = quoted(folder.place);
  const complete = state.state === 'complete';
  const longer = config.steps ? ` --steps ${2 * config.steps}` : ` --minutes ${2 * config.minutes!}`;
  return {
    name: path.basename(path.resolve(folder.place)),
    ...{ ...state, step, seconds, secondsLeft, parameters, records, evaluations, notes, config },
    progress: complete ? 1 : log.progress,
    steps: config.steps ?? undefined,
    sheets: sheets.flatMap(({ step, png }) => (png ? [{ step, png }] : [])),
    settings: settingsOf(config, members),
    commands: [
      `ddpm-wasm train --out ${out} --resume${complete ? longer : ''}`,
      `ddpm-wasm sample ${out} --out samples.png`,
    ],
    written: new Date(),
  };
}

/** So many of a list, as evenly as can be, the first and the last among them. */
function spread(list: readonly number[], most: number): number[] {
  if (list.length <= most) return [...list];
  return Array.from({ length: most }, (_, i) => list[Math.round((i * (list.length - 1)) / (most - 1))]);
}

function settingsOf(config: TrainingConfig, members: number): TrainingReport['settings'] {
  const { model, data, batch, accumulation, optimizer, loss, ema, seed, minutes, from } = config;
  const [height, width] = [model.sample_size].flat();
  return {
    ...(data.path !== null && { data: data.path }),
    images: `${width ?? height}x${height}, channels: ${model.in_channels}`,
    ...(from !== null && { from }),
    network: `levels of ${[model.block_out_channels].flat().join(', ')} channels, layers each: ${model.layers_per_block}`,
    ...(model.num_class_embeds !== null && { 'class labels': String(model.num_class_embeds) }),
    loss: `${loss.prediction}, weighting ${loss.weighting}, ${loss.variance} variance`,
    batch: accumulation === 1 ? batch : `${batch}, ${accumulation} a step`,
    'learning rate': `${optimizer.learningRate}, warm-up ${optimizer.warmupSteps} steps`,
    'moving average': ema === null ? 'none' : ema.decay,
    seed,
    threads: members,
    ...(minutes !== null && { minutes }),
  };
}

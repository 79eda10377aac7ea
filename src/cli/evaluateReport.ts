import type { Dataset } from '../data/index.ts';
import type { Evaluation } from '../evaluate/types.ts';
import type { Pixels } from '../image/pixels.ts';
import type { Pipeline } from '../pipeline.ts';
import { evaluationReport } from '../report/evaluation.ts';
import type { EvaluateFlags } from './evaluateFlags.ts';
import { quoted } from './flags.ts';

/** What a report is made of. */
export interface Evaluated {
  readonly source: string;
  readonly flags: Readonly<EvaluateFlags>;
  readonly data: Dataset;
  readonly evaluation: Evaluation;
  readonly problems: readonly string[];
}

/** How many images a report shows of the data, and of the samples. */
const shown = 64;

/** The page of an evaluation, with pictures of the data and of samples of the same classes. */
export async function writeReport(pipeline: Pipeline, evaluated: Evaluated): Promise<string> {
  const { source, flags, data, evaluation, problems } = evaluated;
  const { model, schedule } = pipeline;
  const [{ imageGrid }, { encodePng }, { toPixels }] = await Promise.all([
    import('../image/grid.ts'),
    import('../image/png.ts'),
    import('../image/tensor.ts'),
  ]);
  const { pixels, classes } = await firstImages(pipeline, evaluated);
  // who has stopped an evaluation does not want to wait for more, and not every scheduler has a sampler here
  const sampled = evaluation.complete && (model.sampling ?? schedule.config.sampler) !== undefined;
  const plan = sampled ? pipeline.plan() : undefined;
  const samples = sampled && (await pipeline.sample({ count: pixels.length, class: classes, seed: flags.seed }));
  const png = (pixels: Pixels[]) => encodePng(imageGrid(pixels, { columns: 8, background: 128 }));
  return evaluationReport(evaluation, {
    model: model.name,
    data: data.name,
    settings: {
      model: source,
      device: model.device,
      schedule: schedule.config.className,
      data: flags.data,
      images: evaluation.images,
      metrics: flags.metrics.join(', '),
      seed: evaluation.seed,
      ...(plan && { samples: `${plan.sampler} in ${plan.calls} network calls` }),
    },
    command: commandOf(source, flags),
    problems,
    images: png(pixels),
    ...(samples && { samples: png(toPixels(pipeline.engine, samples)) }),
  });
}

/** What to type for the same figures. */
function commandOf(source: string, { data, ...flags }: Evaluated['flags']): string {
  // where and how it runs changes no figure
  const left = ['report', 'json', 'batch', 'device', 'debug'];
  const words = Object.entries({ data, ...flags }).flatMap(([name, value]) => {
    if (value === undefined || value === false || left.includes(name)) return [];
    const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    return value === true ? [flag] : [flag, quoted(String(value))];
  });
  return ['ddpm-wasm evaluate', quoted(source), ...words].join(' ');
}

/** The first images of the data, each with the class that the network is told. */
async function firstImages(pipeline: Pipeline, { flags, data }: Evaluated) {
  const { toPixels } = await import('../image/tensor.ts');
  const { chunksOf } = await import('../evaluate/batches.ts');
  const pixels: Pixels[] = [];
  const classes: number[] = [];
  const options = { first: 0, count: shown, batch: shown, class: flags.class };
  for await (const { x0, condition } of chunksOf(pipeline, data, options)) {
    pixels.push(...toPixels(pipeline.engine, x0));
    classes.push(...Array.from(condition?.classLabels ?? []));
  }
  return { pixels, classes: classes.length > 0 ? classes : undefined };
}

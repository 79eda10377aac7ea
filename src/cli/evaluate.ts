import { Command } from 'commander';
import type { Dataset } from '../data/index.ts';
import type { EvaluateOptions, Evaluation } from '../evaluate/types.ts';
import type { Pipeline } from '../pipeline.ts';
import { addEvaluateFlags, type EvaluateFlags } from './evaluateFlags.ts';
import type { Evaluated } from './evaluateReport.ts';
import { defaultModel, file } from './flags.ts';
import { withOutputs } from './output.ts';
import { interruptSignal, progressBar } from './progress.ts';

const examples = `
Examples:
  $ ddpm-wasm evaluate --data t10k-images-idx3-ubyte.gz --count 2000
  $ ddpm-wasm evaluate ./my-model --data ./photos --metrics simple,vlb --report report.html
  $ ddpm-wasm evaluate --data t10k-images-idx3-ubyte.gz --metrics likelihood --count 100 --tolerance 1e-4 --json
  $ ddpm-wasm evaluate --data t10k-images-idx3-ubyte.gz --metrics quality --training train-images-idx3-ubyte.gz
`;

export function evaluateCommand(): Command {
  const command = new Command('evaluate')
    .description('Measure a model on images: its losses, the variational bound, the likelihood, its samples.')
    .argument('[model]', 'bundled name, diffusers folder, .onnx file, .ddpm bundle, or URL', defaultModel);
  return addEvaluateFlags(command)
    .option('--report <file.html>', 'one page with the figures, plots and samples', file('.html'))
    .option('--json', 'print one JSON object')
    .addHelpText('after', examples)
    .action((model: string, flags: EvaluateFlags) => evaluate(model, flags));
}

async function evaluate(source: string, flags: EvaluateFlags): Promise<void> {
  const signal = interruptSignal();
  await withOutputs([flags.report], async ([report]) => {
    const { loadPipeline } = await import('../pipeline.ts');
    const { device, batch, lora } = flags;
    const pipeline = await loadPipeline(source, { device, batch, lora, signal });
    try {
      for (const note of pipeline.notes) if (!flags.json) console.error(`note: ${note}`);
      const data = await openData(pipeline, flags.data, flags, flags.first);
      for (const note of data.notes) if (!flags.json) console.error(`note: ${note}`);
      const training = flags.training === undefined ? undefined : await openData(pipeline, flags.training, flags);
      const evaluation = await measure(pipeline, { flags, data, training, signal });
      const problems = [data, training]
        .flatMap((set) => set?.problems ?? [])
        .map(({ name, message }) => `${name}: ${message}`);
      const context = { source, flags, data, evaluation, problems };
      if (report) {
        const { writeReport } = await import('./evaluateReport.ts');
        await report.finish(await writeReport(pipeline, context));
      }
      if (flags.json)
        console.log(JSON.stringify({ model: pipeline.model.name, data: data.name, ...evaluation, problems }));
      else await print(context);
    } finally {
      await pipeline.dispose();
    }
  });
}

async function openData({ model }: Pipeline, place: string, flags: EvaluateFlags, first?: number): Promise<Dataset> {
  const { openDataset } = await import('../data/index.ts');
  const { batch, strict, background } = flags;
  const named = model.classes - (model.unconditional === undefined ? 0 : 1);
  const classes = named > 0 ? named : undefined;
  return openDataset(place, { shape: model.shape, first, batch, strict, background, classes });
}

interface Measuring {
  readonly flags: EvaluateFlags;
  readonly data: Dataset;
  readonly training?: Dataset;
  readonly signal: AbortSignal;
}

/** Everything that was asked for or, once interrupted, what is there. */
async function measure(pipeline: Pipeline, { flags, data, training, signal }: Measuring): Promise<Evaluation> {
  const { samples, features } = flags;
  const options: EvaluateOptions = {
    metrics: flags.metrics,
    first: flags.first,
    count: flags.count,
    seed: flags.seed,
    batch: flags.batch,
    class: flags.class,
    timestepsPerImage: flags.timesteps,
    boundTimesteps: flags.boundTimesteps,
    timestepRespacing: flags.respacing,
    tolerance: flags.tolerance,
    probes: flags.probes,
    quality: { samples, features, training },
    signal,
  };
  let found: Evaluation | undefined;
  let bar: Awaited<ReturnType<typeof progressBar>> | undefined;
  try {
    for await (const evaluation of pipeline.evaluations(data, options)) {
      found = evaluation;
      bar ??= await progressBar(1000, flags.json ?? false, '{bar} {percentage}%, {eta_formatted} left');
      bar.step(Math.floor(1000 * evaluation.progress));
    }
  } catch (error) {
    if (!signal.aborted || !found) throw error;
    process.exitCode = 130;
  } finally {
    bar?.stop();
  }
  if (!found) throw new Error('an evaluation yields at least once');
  return found;
}

async function print({ evaluation, problems, flags }: Evaluated): Promise<void> {
  const { headlines } = await import('../report/evaluation.ts');
  const lines = headlines(evaluation).map(({ name, value, unit, note }) => [
    name,
    unit ? `${value} ${unit}` : value,
    note,
  ]);
  const widths = [0, 1].map((i) => Math.max(...lines.map((line) => line[i].length)));
  for (const [name, value, note] of lines)
    console.log(`${name.padEnd(widths[0])}  ${value.padEnd(widths[1])}  ${note}`);
  const { images, of, complete, seconds } = evaluation;
  const count = of === undefined || of === images ? `${images} images` : `${images} of ${of} images`;
  console.log(
    `${complete ? '' : 'partial: '}${count}, ${seconds.toFixed(1)} s${flags.report ? `, ${flags.report}` : ''}`,
  );
  for (const problem of problems) console.error(`skipped ${problem}`);
}

import type { ImageBatch } from '../core/dataset.ts';
import type { Dataset } from '../data/index.ts';
import type { Evaluation } from '../evaluate/types.ts';
import type { Pixels } from '../image/pixels.ts';
import type { Pipeline } from '../pipeline.ts';
import { evaluationReport } from '../report/evaluation.ts';
import type { EvaluateFlags } from './evaluateFlags.ts';

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
export async function writeReport(
  pipeline: Pipeline,
  { source, flags, data, evaluation, problems }: Evaluated,
): Promise<string> {
  const [{ imageGrid }, { encodePng }, { toPixels }, { labelsOf }] = await Promise.all([
    import('../image/grid.ts'),
    import('../image/png.ts'),
    import('../image/tensor.ts'),
    import('../evaluate/batches.ts'),
  ]);
  const some = await firstImages(data, shown);
  const labels = labelsOf(pipeline.model, some, flags.class);
  const { seed } = flags;
  // who has stopped an evaluation does not want to wait for more
  const samples = evaluation.complete && (await pipeline.sample({ count: some.shape[0], class: labels, seed }));
  const { sampler, calls } = pipeline.plan();
  const png = (pixels: Pixels[]) => encodePng(imageGrid(pixels, { columns: 8, background: 128 }));
  return evaluationReport(evaluation, {
    model: pipeline.model.name,
    data: data.name,
    settings: {
      model: source,
      device: pipeline.model.device,
      schedule: pipeline.schedule.config.className,
      data: flags.data,
      images: evaluation.images,
      metrics: flags.metrics.join(', '),
      seed: evaluation.seed,
      samples: `${sampler} in ${calls} network calls`,
    },
    command: commandOf(source, flags),
    problems,
    images: png(pixelsOf(some)),
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

function quoted(word: string): string {
  return /^[\w./:,=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

async function firstImages(data: Evaluated['data'], count: number): Promise<ImageBatch> {
  const parts: ImageBatch[] = [];
  let have = 0;
  for await (const { data: bytes, shape, labels } of data) {
    const take = Math.min(shape[0], count - have);
    const size = bytes.length / shape[0];
    parts.push({ data: bytes.slice(0, take * size), shape: [take, ...shape.slice(1)], labels: labels?.slice(0, take) });
    have += take;
    if (have >= count) break;
  }
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.data.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part.data, at);
    at += part.data.length;
  }
  const labels = parts.every((part) => part.labels) && Int32Array.from(parts.flatMap((part) => [...part.labels!]));
  return { data: bytes, shape: [have, ...parts[0].shape.slice(1)], ...(labels && { labels }) };
}

/** Planes one behind another to pixels whose channels lie side by side. */
function pixelsOf({ data, shape: [count, channels, height, width] }: ImageBatch): Pixels[] {
  const plane = height * width;
  return Array.from({ length: count }, (_, i) => {
    const image = data.subarray(i * channels * plane, (i + 1) * channels * plane);
    const pixels = Uint8Array.from(image, (_, j) => image[(j % channels) * plane + Math.floor(j / channels)]);
    return { width, height, channels: channels as Pixels['channels'], data: pixels };
  });
}

import type { ImageBatch } from '../core/dataset.ts';
import { todaysParameters } from '../onnx/namedParameters.ts';
import { buildUNet } from '../onnx/unet2d.ts';
import { loadPipeline, type Pipeline } from '../pipeline.ts';
import type { EvaluationEvent, SamplesEvent } from './events.ts';
import { heldOut } from './heldOut.ts';
import type { Progress } from './progress.ts';
import type { Run } from './run.ts';

/** Looks at the model from time to time: what it is worth on images held out, and what it makes. */
export class Watch {
  /** The images held out, read once. */
  private heldOut: Promise<ImageBatch[]> | undefined;

  constructor(
    private readonly run: Run,
    private readonly signal?: AbortSignal,
  ) {}

  /** What is due after a step. */
  async *look(progress: Progress): AsyncGenerator<EvaluationEvent | SamplesEvent, void, void> {
    const { evaluation, samples, data } = this.run.config;
    const { step, done } = progress;
    const isDue = (what: { every: number } | null | undefined) => what && (done || step % what.every === 0);
    const evaluates = isDue(evaluation) && data.holdOut > 0;
    if (!evaluates && !isDue(samples)) return;

    const pipeline = await this.open();
    try {
      if (evaluates) yield await this.evaluate(pipeline, progress);
      if (isDue(samples)) yield await this.sample(pipeline, progress);
    } catch (error) {
      // who stops a run does not want to wait for a look at it
      if (!this.signal?.aborted) throw error;
    } finally {
      await pipeline.dispose();
      progress.pause();
    }
  }

  /** The model as it is now. */
  private async open(): Promise<Pipeline> {
    const { engine, parsed, config, device } = this.run;
    const { parameters } = todaysParameters(parsed.network, this.run.parameters());
    const { bytes } = buildUNet(parsed.network, parameters);
    return loadPipeline(bytes, { engine, device, scheduler: config.schedule });
  }

  private async evaluate(pipeline: Pipeline, progress: Progress): Promise<EvaluationEvent> {
    this.heldOut ??= this.read();
    const { config, plainLabel } = this.run;
    const options = { metrics: ['simple'] as const, seed: config.seed, class: plainLabel, signal: this.signal };
    const { simple } = await pipeline.evaluate(await this.heldOut, options);
    const { step } = progress;
    const found = { step, heldOut: simple!.noise };
    progress.evaluated(found);
    return { type: 'evaluation', ...found, simple: simple! };
  }

  private async read(): Promise<ImageBatch[]> {
    const { config, source } = this.run;
    const images: ImageBatch[] = [];
    let left = config.evaluation!.images;
    for await (const { data, shape, labels } of heldOut(source, { holdOut: config.data.holdOut })) {
      const count = Math.min(shape[0], left);
      const size = data.length / shape[0];
      const kept = { data: data.subarray(0, count * size), shape: [count, ...shape.slice(1)] };
      images.push(labels ? { ...kept, labels: labels.subarray(0, count) } : kept);
      left -= count;
      if (left === 0) break;
    }
    return images;
  }

  private async sample(pipeline: Pipeline, { step }: Progress): Promise<SamplesEvent> {
    const { signal } = this;
    const { config, data, plainLabel } = this.run;
    const { count } = config.samples!;
    const classOf = (i: number) => plainLabel ?? i % data.summary.classes!;
    const classes = pipeline.model.classes > 0 ? Array.from({ length: count }, (_, i) => classOf(i)) : undefined;
    const images = await pipeline.sample({ ...sheet, count, class: classes, seed: config.seed, signal });
    return { type: 'samples', step, images, ...(classes && { classes }) };
  }
}

// noise in every step makes up for what a network of a few thousand steps gets wrong
const sheet = { sampler: 'ddim', steps: 50, eta: 1 } as const;

import { assertInteger, assertKeys, assertOneOf } from '../core/assert.ts';
import type { ImageBatches } from '../core/dataset.ts';
import { show, wrongKind, wrongValue } from '../core/errors.ts';
import { assertSeed } from '../diffusion/noise.ts';
import { openFeatures } from '../model/features.ts';
import { chunksOf } from './batches.ts';
import { boundGauge } from './bound.ts';
import type { Gauge, Subject } from './gauge.ts';
import { likelihoodGauge } from './likelihood.ts';
import { qualityGauge, type Sampler } from './quality.ts';
import { simpleGauge } from './simple.ts';
import { type EvaluateOptions, type Evaluation, metrics as known, type Metric } from './types.ts';

/** A subject that can be sampled. */
export interface Sampled extends Subject {
  readonly sample: Sampler;
  /** Network calls that a sample takes. */
  sampleCalls(): number;
}

const optionNames =
  'metrics count seed first batch class timestepsPerImage boundTimesteps timestepRespacing tolerance probes quality signal';

/**
 * Measures a model on data, a chunk of images after another: yields what was found after each, and at the end all of it.
 * An image's figures depend on the seed and its number alone, not on the batch that it is in.
 */
export async function* evaluations(
  subject: Sampled,
  batches: ImageBatches,
  options: EvaluateOptions,
): AsyncGenerator<Evaluation, void, void> {
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  assertKeys(options, 'evaluate', optionNames.split(' '));
  const { count, seed = 0, first = 0, batch = 64, boundTimesteps, signal } = options;
  const metrics = chosen(options.metrics);
  assertSeed(seed);
  assertInteger(first, 'first', 0, Number.MAX_SAFE_INTEGER);
  assertInteger(batch, 'batch', 1, 100_000);
  if (count !== undefined) assertInteger(count, 'count', 1, Number.MAX_SAFE_INTEGER);
  if (typeof boundTimesteps === 'number')
    assertInteger(boundTimesteps, 'boundTimesteps', 2, subject.schedule.trainTimesteps);
  if (options.class !== undefined) {
    const { name, classes } = subject.model;
    if (classes === 0) throw wrongValue('class', `none, as ${name} is not class-conditional`, options.class);
    assertInteger(options.class, 'class', 0, classes - 1);
  }

  const gauges = gaugesOf(subject, metrics, options);
  const quality = metrics.includes('quality') ? await openQuality(subject, options, batch) : undefined;
  try {
    const of = smaller(count, 'count' in batches ? (batches.count as number | undefined) : undefined);
    const begun = performance.now();
    let [images, calls] = [0, 0];
    const state = (progress: number, complete: boolean, last?: Partial<Evaluation>): Evaluation => ({
      ...{ images, of, complete, progress: Math.min(progress, 1), seed: String(seed), calls },
      seconds: (performance.now() - begun) / 1000,
      ...Object.assign({}, ...gauges.map((gauge) => gauge.result())),
      ...last,
    });
    // what remains is reckoned in network calls
    const perImage = gauges.reduce((sum, { callsPerImage }) => sum + callsPerImage, 0);
    const perSample = quality ? subject.sampleCalls() : 0;
    const samples = options.quality?.samples ?? of ?? 0;
    const progress = (made: number) => {
      const total = (of ?? images) * perImage + samples * perSample;
      return total > 0 ? (images * perImage + made * perSample) / total : 0;
    };

    for await (const chunk of chunksOf(subject, batches, {
      first,
      count: count ?? Infinity,
      batch,
      class: options.class,
    })) {
      signal?.throwIfAborted();
      for (const gauge of gauges) calls += await gauge.add(chunk, { batch, signal });
      await quality?.gauge.add(chunk);
      images += chunk.x0.shape[0];
      yield state(progress(0), false);
    }
    if (!quality) return yield state(1, true);

    const making = quality.gauge.finish();
    const before = calls;
    for (;;) {
      const { done, value } = await making.next();
      if (done) return yield state(1, true, value);
      calls = before + value * perSample;
      yield state(progress(value), false);
    }
  } finally {
    await quality?.network.dispose();
  }
}

function chosen(asked: readonly Metric[] = ['simple', 'vlb']): readonly Metric[] {
  if (!Array.isArray(asked)) throw wrongKind('metrics', `a list of ${known.join(', ')}`, asked);
  if (asked.length === 0) throw wrongValue('metrics', `at least one of ${known.join(', ')}`, asked);
  for (const metric of asked) assertOneOf(metric, 'metrics', known);
  return asked;
}

function gaugesOf(subject: Subject, metrics: readonly Metric[], options: EvaluateOptions): Gauge[] {
  const { seed = 0, timestepsPerImage = 1, boundTimesteps = 20, timestepRespacing, tolerance = 1e-4, probes } = options;
  const make: Partial<Record<Metric, () => Gauge>> = {
    simple: () => simpleGauge(subject, { perImage: timestepsPerImage, seed }),
    vlb: () => boundGauge(subject, { seed, timesteps: boundTimesteps, timestepRespacing }),
    likelihood: () => likelihoodGauge(subject, { seed, tolerance, probes }),
  };
  return [...new Set(metrics)].flatMap((metric) => make[metric]?.() ?? []);
}

async function openQuality({ model, sample }: Sampled, options: EvaluateOptions, batch: number) {
  const { samples, training, features = 'fashion', output } = options.quality ?? {};
  if (samples !== undefined) assertInteger(samples, 'samples', 1, 10_000_000);
  // what the bundled network sees in other images says nothing
  if (features === 'fashion' && show(model.shape) !== show([1, 28, 28]))
    throw wrongValue('features', 'an .onnx network, as the bundled one is for grey images of 28x28', features);
  const network = await openFeatures(features, { output, device: model.device, batch });
  return { network, gauge: qualityGauge({ network, sample, batch, samples, training, signal: options.signal }) };
}

function smaller(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}

import type { ImageBatch, ImageBatches } from '../core/dataset.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import type { EvaluateOptions } from '../evaluate/types.ts';
import type { PipelineOptions, SampleOptions } from '../pipeline.ts';
import { isModelName } from '../runtime/http.ts';
import type { PlainOptions } from './messages.ts';

/** A source as the worker, which is elsewhere, finds it. */
export function portable(source: string | URL | Uint8Array): string | Uint8Array {
  if (source instanceof URL) return source.href;
  if (typeof source !== 'string' || isModelName(source)) return source;
  if (!URL.canParse(source, document.baseURI)) throw wrongValue('source', 'a URL or a bundled name', source);
  return new URL(source, document.baseURI).href;
}

/** Loading options that can be sent. */
export function plainOptions(options: PipelineOptions): PlainOptions {
  const { device, threads, batch, size, maxBytes, scheduler, resident, cache, wasmPaths, lora = [] } = options;
  return {
    ...{ device, threads, batch, size, maxBytes, scheduler, resident, cache },
    wasmPaths: wasmPaths && new URL(wasmPaths, document.baseURI).href,
    lora: [lora].flat().map((one) => {
      return typeof one === 'object' && 'source' in one ? { ...one, source: portable(one.source) } : portable(one);
    }),
  };
}

/** Options without what cannot be sent. */
export function plain(options: object): object {
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  const { signal: _, guide, ...others } = options as SampleOptions;
  if (guide !== undefined) throw wrongValue('guide', 'none, as functions cannot be sent to a worker', guide);
  return others;
}

/** What to measure and how, with what can be sent: images in memory, so that their number is known. */
export async function plainEvaluation(batches: ImageBatches, options: EvaluateOptions): Promise<unknown[]> {
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  const { signal: _, quality, ...others } = options;
  const images = await gathered(batches, options.count);
  const count = images.reduce((sum, { shape }) => sum + shape[0], 0) || undefined;
  if (!quality) return [images, { count, ...others }];
  const { training, features, ...rest } = quality;
  const known = {
    ...(features && { features: portable(features) }),
    ...(training && { training: await gathered(training) }),
  };
  return [images, { count, ...others, quality: { ...rest, ...known } }];
}

/** The batches that hold the first `count` images, in memory. */
async function gathered(batches: ImageBatches, count = Number.POSITIVE_INFINITY): Promise<ImageBatch[]> {
  if (
    typeof batches !== 'object' ||
    batches === null ||
    !(Symbol.asyncIterator in batches || Symbol.iterator in batches)
  )
    throw wrongKind('batches', 'an iterable of image batches', batches);
  const all: ImageBatch[] = [];
  let images = 0;
  for await (const { data, shape, labels } of batches) {
    if (!(data instanceof Uint8Array)) throw wrongKind('batches', 'batches of bytes', data);
    // copies: a view would be sent with all that it is a view of
    all.push({ data: data.slice(), shape, ...(labels && { labels: labels.slice() }) });
    images += shape[0];
    if (images >= count) break;
  }
  return all;
}

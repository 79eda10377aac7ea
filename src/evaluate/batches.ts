import type { ImageBatch, ImageBatches } from '../core/dataset.ts';
import type { Condition } from '../core/denoiser.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import { sizeOf, type Tensor } from '../core/tensor.ts';
import type { Engine } from '../engine/engine.ts';
import type { Model } from '../model/types.ts';

/** Some images of the data, ready for a network. */
export interface Chunk {
  /** The number of the first image. */
  readonly first: number;
  readonly images: ImageBatch;
  /** The same in [-1, 1]. */
  readonly x0: Tensor;
  readonly condition: Condition | undefined;
}

/** The data in pieces of at most `batch` images, the first `count` of them. */
export async function* chunksOf(
  { engine, model }: { readonly engine: Engine; readonly model: Model },
  batches: ImageBatches,
  options: { readonly first: number; readonly count: number; readonly batch: number; readonly class?: number },
): AsyncGenerator<Chunk, void, void> {
  if (
    typeof batches !== 'object' ||
    batches === null ||
    !(Symbol.asyncIterator in batches || Symbol.iterator in batches)
  )
    throw wrongKind('batches', 'an iterable of image batches', batches);
  let done = 0;
  for await (const given of batches) {
    assertImages(given, model);
    const pixels = sizeOf(model.shape);
    for (let begin = 0; begin < given.shape[0] && done < options.count; begin += options.batch) {
      const end = Math.min(begin + options.batch, given.shape[0], begin + options.count - done);
      const images = {
        data: given.data.subarray(begin * pixels, end * pixels),
        shape: [end - begin, ...model.shape],
        ...(given.labels && { labels: given.labels.subarray(begin, end) }),
      };
      const classLabels = labelsOf(model, images, options.class);
      yield {
        first: options.first + done,
        images,
        x0: toFloats(engine, images),
        condition: classLabels && { classLabels },
      };
      done += end - begin;
    }
    if (done >= options.count) return;
  }
  if (done === 0) throw wrongValue('batches', 'at least one image', 'none');
}

/** The classes that a network is told: those of the images, one for all, or the one that means none. */
export function labelsOf(model: Model, { labels, shape }: ImageBatch, given?: number): number[] | undefined {
  if (model.classes === 0) return undefined;
  const label = given ?? (labels ? undefined : model.unconditional);
  if (label !== undefined) return Array.from({ length: shape[0] }, () => label);
  if (!labels) throw wrongValue('class', `0 to ${model.classes - 1}, as the images have no labels`, given);
  const bad = labels.find((one) => one < 0 || one >= model.classes);
  if (bad !== undefined) throw wrongValue('labels', `0 to ${model.classes - 1}`, bad);
  return Array.from(labels);
}

function assertImages(batch: ImageBatch, model: Model): void {
  const { data, shape, labels } = batch ?? {};
  if (!(data instanceof Uint8Array)) throw wrongKind('batches', 'batches of bytes', data);
  const [count, ...size] = Array.from(shape ?? []);
  if (size.length !== 3 || size.some((n, i) => n !== model.shape[i]))
    throw wrongValue('batches', `images [n, ${model.shape.join(', ')}], as ${model.name} has`, shape);
  if (data.length !== sizeOf(shape)) throw wrongValue('batches', `${sizeOf(shape)} bytes`, data.length);
  if (labels && labels.length !== count) throw wrongValue('labels', `${count} labels`, labels.length);
}

/** byte/127.5 - 1; planes that lie one behind the other are one plane to the engine. */
function toFloats(engine: Engine, { data, shape }: ImageBatch): Tensor {
  return engine.scratch((arena) => {
    const bytes = arena.alloc(data.length);
    arena.u8(bytes, data.length).set(data);
    const out = arena.alloc(4 * data.length);
    arena.wasm.fromBytes(out, bytes, 1, data.length);
    return { data: arena.f32(out, data.length).slice(), shape };
  });
}

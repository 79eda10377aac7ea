import path from 'node:path';
import { fromPixels, toPixels } from '../../src/image/tensor.ts';
import { digestOf } from './digest.ts';
import { behaviourOf, type Cell } from './entrants.ts';
import { cachedRows } from './featureCache.ts';
import { idxImages, readIdx } from './idx.ts';
import { type Lab, readShared, type SharedFile } from './lab.ts';

/** The features of a row of images: image k is always the same. */
export interface FeatureSet {
  /** Changes whenever an image, or its features, could. */
  readonly key: string;
  /**
   * The features [count, 64] of images 0..count-1, computed once.
   *
   * @throws The signal's reason when it is aborted; what was computed until then is kept.
   */
  rows(count: number, signal?: AbortSignal): Promise<Float32Array>;
}

/** Decides all the noise of all samples. */
export const seed = 0;
const classes = 10;
// names what the code below does; to be changed with it, so that nothing stored is mistaken for the new
const recipe = 'samples: class k % 10, guidance 0, 256 greys';

/** Samples: image k of a fixed seed is of class k % 10, without guidance. */
export async function sampleSet(lab: Lab, { entrant, steps, plan }: Cell): Promise<FeatureSet> {
  const { pipeline, network, networkDigest, modelDigest } = lab;
  const behaviour = await behaviourOf(plan, pipeline.model.shape, seed);
  return cachedSet(lab, digestOf(recipe, networkDigest, modelDigest, behaviour), async (first, count, signal) => {
    const labels = Array.from({ length: count }, (_, k) => (first + k) % classes);
    const run = { ...entrant.options, steps, seed, first, count, class: labels, guidance: 0, signal };
    const samples = await pipeline.sample(run);
    // as a viewer gets them: clipped and in 256 greys, like the real ones
    const seen = fromPixels(pipeline.engine, toPixels(pipeline.engine, samples));
    return (await network.features(seen)).data;
  });
}

/** The images of Fashion-MNIST in their order. */
export function realSet(lab: Lab, name: SharedFile): FeatureSet {
  const { pipeline, network, networkDigest } = lab;
  const file = readShared(name);
  let images: ReturnType<typeof readIdx> | undefined;
  return cachedSet(lab, digestOf('real', networkDigest, file), async (first, count) => {
    images ??= readIdx(file);
    return (await network.features(fromPixels(pipeline.engine, idxImages(images, first, first + count)))).data;
  });
}

type Compute = (first: number, count: number, signal?: AbortSignal) => Promise<Float32Array>;

function cachedSet({ cache, network: { dims } }: Lab, key: string, compute: Compute): FeatureSet {
  return {
    key,
    rows: (count, signal) =>
      cachedRows({
        folder: path.join(cache, key),
        count,
        dims,
        async compute(first, rows) {
          signal?.throwIfAborted();
          return compute(first, rows, signal);
        },
      }),
  };
}

import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { DdpmError } from '../../src/core/errors.ts';
import type { FeatureNetwork } from '../../src/core/features.ts';
import { loadPipeline, type Pipeline } from '../../src/index.ts';
import { openFeatures } from '../../src/model/features.ts';
import { digestOf } from './digest.ts';
import { chunkRows } from './featureCache.ts';

/** What every measurement uses. */
export interface Lab {
  readonly pipeline: Pipeline;
  /** Of the model's file. */
  readonly modelDigest: string;
  readonly network: FeatureNetwork;
  /** Of the file of that network. */
  readonly networkDigest: string;
  /** The folder that features are kept in; removing it costs nothing but time. */
  readonly cache: string;
  dispose(): Promise<void>;
}

/** The files that are not part of this repository. */
export type SharedFile = keyof typeof files;

const shared = fileURLToPath(new URL('../../../shared', import.meta.url));
const files = {
  test: path.join(shared, 'data/fashion-mnist/t10k-images-idx3-ubyte.gz'),
  train: path.join(shared, 'data/fashion-mnist/train-images-idx3-ubyte.gz'),
};

/** The first of the files outside this repository that is not there, or undefined where all are. */
export function missingFile(): string | undefined {
  return Object.values(files).find((file) => !existsSync(file));
}

export function readShared(name: SharedFile): Uint8Array {
  return readFileSync(files[name]);
}

function readModel(name: string): Uint8Array {
  return readFileSync(new URL(`../../models/fashion/${name}`, import.meta.url));
}

/** Loads the two networks. @throws DdpmError `model-not-found` where a file outside this repository is missing. */
export async function openLab(options: { readonly cache?: string } = {}): Promise<Lab> {
  const { cache = fileURLToPath(new URL('../.cache/quality', import.meta.url)) } = options;
  const missing = missingFile();
  if (missing) throw new DdpmError('model-not-found', `${missing}: expected a file, found none`);
  // a chunk of the cache in one network call, so that an image is always computed in the same company
  const network = await openFeatures('fashion', { device: 'cpu', batch: chunkRows });
  // four calls a chunk, for the same reason
  const pipeline = await loadPipeline('fashion', { device: 'cpu', batch: 25 });
  return {
    pipeline,
    modelDigest: digestOf(readModel('model.onnx')),
    network,
    networkDigest: digestOf(readModel('features.onnx')),
    cache,
    async dispose() {
      await Promise.all([pipeline.dispose(), network.dispose()]);
    },
  };
}

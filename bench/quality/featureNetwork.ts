import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import type { Tensor } from '../../src/core/tensor.ts';
import { digestOf } from './digest.ts';

/** A network whose inner features say how alike two sets of images are. */
export interface FeatureNetwork {
  /** Of the file. */
  readonly digest: string;
  /** Numbers in a row of features. */
  readonly dims: number;
  /** The features [count, dims] of images [count, 1, 28, 28] in [-1, 1]. */
  features(images: Tensor): Promise<Float32Array>;
  dispose(): Promise<void>;
}

/** Opens the bytes of fashion-features.onnx: input `image` [N, 1, 28, 28], output `features` [N, 64]. */
export async function openFeatureNetwork(bytes: Uint8Array): Promise<FeatureNetwork> {
  const session = await InferenceSession.create(bytes, { executionProviders: ['cpu'], logSeverityLevel: 3 });
  const dims = 64;
  return {
    digest: digestOf(bytes),
    dims,
    async features({ data, shape }) {
      const image = new OrtTensor('float32', data, shape);
      const { features } = await session.run({ image }, ['features']);
      if (features.dims.length !== 2 || features.dims[0] !== shape[0] || features.dims[1] !== dims)
        throw new Error(
          `the feature network expected to give [${shape[0]}, ${dims}], got [${features.dims.join(', ')}]`,
        );
      return features.data as Float32Array;
    },
    dispose: () => session.release(),
  };
}

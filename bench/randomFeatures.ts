import { createEngine, randn } from '../src/index.ts';
import { GraphBuilder, type Value } from '../src/onnx/index.ts';

/**
 * A network for measuring images that no published one fits: two convolutions with random weights of fixed seed, rectified
 * and averaged over the picture, 64 features in all. Such features see colours, edges and textures but no meaning. Figures
 * in them compare models of the same images with each other; they are not FID.
 */
export async function randomFeatures(channels: number): Promise<Uint8Array> {
  const g = new GraphBuilder('random features');
  const engine = await createEngine();
  let x = g.input('image', 'float32', ['N', channels, 'H', 'W']);
  let width = channels;
  for (const [layer, { out, kernel }] of [
    { out: 32, kernel: 5 },
    { out: 64, kernel: 3 },
  ].entries()) {
    x = convolve(g, x, {
      out,
      in: width,
      kernel,
      draws: randn(engine, [out, width, kernel, kernel], { seed: layer }).data,
    });
    width = out;
  }
  g.output('features', 'float32', ['N', width], g.op('ReduceMean', [x], { axes: [2, 3], keepdims: 0 }));
  return g.toBytes();
}

interface Convolution {
  readonly out: number;
  readonly in: number;
  readonly kernel: number;
  readonly draws: Float32Array;
}

/** A convolution of stride 2 without bias that keeps the images' scale (He et al. 2015), and its positive part. */
function convolve(g: GraphBuilder, x: Value, { out, in: width, kernel, draws }: Convolution): Value {
  const scale = Math.sqrt(2 / (width * kernel ** 2));
  const weight = g.floats(
    `weight${out}`,
    [out, width, kernel, kernel],
    draws.map((value) => value * scale),
  );
  const pad = (kernel - 1) / 2;
  const attributes = { kernel_shape: [kernel, kernel], strides: [2, 2], pads: [pad, pad, pad, pad] };
  return g.op('Relu', [g.op('Conv', [x, weight], attributes)]);
}

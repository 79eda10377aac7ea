import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import type { Tensor } from '../../src/core/tensor.ts';
import { ELEMENT_TYPES, type ElementType, GraphBuilder, type Value } from '../../src/onnx/graph.ts';

type Dims = readonly (number | string)[];

/** What a small classifier looks like from outside; inside it is conv 3x3, relu, pooling, linear. */
export interface ClassifierOptions {
  readonly input?: { readonly type?: ElementType; readonly dims?: Dims };
  /** Its outputs, of the values below, by name. */
  readonly outputs?: Readonly<
    Record<string, { readonly value: keyof Values; readonly dims: Dims; type?: ElementType }>
  >;
  /** A second input that nothing uses. */
  readonly extra?: Dims;
}

interface Values {
  /** [N, 4, h, w] */
  readonly maps: Value;
  /** [N, h, w, 4] */
  readonly mapsLast: Value;
  /** [N, 1, 1, 4] */
  readonly poolLast: Value;
  /** [N, 4, 1, 1] */
  readonly pool: Value;
  /** [N, 10] */
  readonly logits: Value;
  /** [N], whole numbers */
  readonly best: Value;
}

const [features, classes] = [4, 10];
/** Numbers that look like weights. */
const weights = (count: number, from: number) =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(i * 1.7 + from) / 3);
const kernel = (channels: number) => weights(features * channels * 9, 1);
const bias = weights(features, 2);

/** A classifier of colour images of 32x32, as other people train them; with features of a name that says nothing. */
export function classifier(options: ClassifierOptions = {}): Uint8Array {
  const { type = 'float32', dims = ['N', 3, 32, 32] } = options.input ?? {};
  const last = dims[3] === 3 && dims[1] !== 3;
  const channels = Number(last ? dims[3] : dims[1]) || 3;
  const g = new GraphBuilder('classifier');
  const cast = (value: Value, to: ElementType) =>
    to === 'float32' ? value : g.op('Cast', [value], { to: ELEMENT_TYPES[to] });
  const input = g.input('pixel_values', type, dims);
  if (options.extra) g.input('more', 'float32', options.extra);
  const floats = type === 'float32' ? input : g.op('Cast', [input], { to: ELEMENT_TYPES.float32 });
  const x = last ? g.op('Transpose', [floats], { perm: [0, 3, 1, 2] }) : floats;
  const conv = g.op(
    'Conv',
    [x, g.floats('w', [features, channels, 3, 3], kernel(channels)), g.floats('b', [features], bias)],
    {
      strides: [2, 2],
      pads: [1, 1, 1, 1],
    },
  );
  const maps = g.op('Relu', [conv], {}, 'relu');
  const pool = g.op('GlobalAveragePool', [maps], {}, 'inner');
  const flat = g.op('Flatten', [pool]);
  const logits = g.op('MatMul', [flat, g.floats('head', [features, classes], weights(features * classes, 3))]);
  const turn = (value: Value) => g.op('Transpose', [value], { perm: [0, 2, 3, 1] });
  const values = {
    maps,
    pool,
    logits,
    mapsLast: turn(maps),
    poolLast: turn(pool),
    best: g.op('ArgMax', [logits], { axis: 1, keepdims: 0 }),
  };
  const outputs = options.outputs ?? { logits: { value: 'logits', dims: ['N', classes] } };
  for (const [name, { value, dims: shape, type: to = 'float32' }] of Object.entries(outputs)) {
    const own = g.op('Identity', [values[value]]);
    g.output(name, to, shape, value === 'best' ? own : cast(own, to));
  }
  return g.toBytes();
}

/** The mean over positions of relu(conv(x)) of images [n, 3, h, w], as the classifier pools them. */
export function pooled({ data, shape: [n, channels, height, width] }: Tensor): number[] {
  const w = kernel(channels);
  const [outHeight, outWidth] = [Math.ceil(height / 2), Math.ceil(width / 2)];
  const at = (i: number, c: number, y: number, x: number) =>
    y < 0 || x < 0 || y >= height || x >= width ? 0 : data[((i * channels + c) * height + y) * width + x];
  const convolved = (i: number, f: number, y: number, x: number) => {
    let sum = bias[f];
    for (let c = 0; c < channels; c++)
      for (let k = 0; k < 9; k++)
        sum += w[(f * channels + c) * 9 + k] * at(i, c, 2 * y + Math.floor(k / 3) - 1, 2 * x + (k % 3) - 1);
    return Math.max(0, sum);
  };
  return Array.from({ length: n * features }, (_, index) => {
    let sum = 0;
    for (let y = 0; y < outHeight; y++)
      for (let x = 0; x < outWidth; x++) sum += convolved(Math.floor(index / features), index % features, y, x);
    return sum / outHeight / outWidth;
  });
}

/** onnxruntime's own resizing: linear, half-pixel centres, with antialiasing where an image shrinks. */
export async function resizedByOnnx(images: Tensor, height: number, width: number): Promise<Tensor> {
  const shape = [...images.shape.slice(0, 2), height, width];
  const g = new GraphBuilder('resize');
  const x = g.input('x', 'float32', images.shape);
  const attributes = { mode: 'linear', coordinate_transformation_mode: 'half_pixel', antialias: 1, exclude_outside: 1 };
  g.output('y', 'float32', shape, g.op('Resize', [x, '', '', g.intVector(shape)], attributes));
  const session = await InferenceSession.create(g.toBytes({ opset: 18 }));
  const { y } = await session.run({ x: new OrtTensor('float32', images.data, images.shape) });
  await session.release();
  return { data: y.data as Float32Array, shape };
}

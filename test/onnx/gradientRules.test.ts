import { describe, expect, test } from 'vitest';
import { RULES } from '../../src/onnx/gradientRules.ts';
import { float, type GraphBuilder, type Value } from '../../src/onnx/graph.ts';
import { type Case, gradientError } from './finiteDifferences.ts';

const op =
  (type: string, attributes = {}) =>
  (g: GraphBuilder, x: readonly Value[]) =>
    g.op(type, x, attributes);
const positive = (random: () => number) => 2.5 + random();
// two thirds of a step and more away from 0, where the slope jumps
const offKink = (random: () => number) => random() + (random() < 0 ? -1.3 : 1.3);
const unary = (type: string, rest: Partial<Case> = {}): Case => ({ shapes: [[3, 4]], build: op(type), ...rest });
const binary = (type: string, rest: Partial<Case> = {}): Case => ({
  shapes: [
    [2, 3],
    [2, 3],
  ],
  build: op(type),
  ...rest,
});

const elementwise: Record<string, Case> = {
  ...Object.fromEntries(
    ['Neg', 'Exp', 'Sin', 'Cos', 'Tanh', 'Erf', 'Sigmoid', 'Softplus', 'Identity'].map((type) => [type, unary(type)]),
  ),
  ...Object.fromEntries(['Log', 'Sqrt', 'Reciprocal'].map((type) => [type, unary(type, { value: positive })])),
  ...Object.fromEntries(['Abs', 'Relu'].map((type) => [type, unary(type, { value: offKink })])),
  ...Object.fromEntries(['Add', 'Sub', 'Mul'].map((type) => [type, binary(type)])),
  Div: binary('Div', { value: positive }),
  Pow: binary('Pow', { value: positive }),
  'Pow, squared': unary('', { build: (g, [x]) => g.op('Pow', [x, g.scalar(2)]) }),
  'Pow, cubed': unary('', { build: (g, [x]) => g.op('Pow', [x, g.scalar(3)]) }),
  'Mul, of itself': unary('', { build: (g, [x]) => g.op('Mul', [x, x]) }),
  'Mul, silu': unary('', { build: (g, [x]) => g.op('Mul', [x, g.op('Sigmoid', [x])]) }),
  'Mul, silu turned round': unary('', { build: (g, [x]) => g.op('Mul', [g.op('Sigmoid', [x]), x]) }),
  Clip: unary('', {
    build: (g, [x]) => g.op('Clip', [x, g.scalar(-1), g.scalar(1)]),
    // odd quarters, on both sides of both bounds
    value: (random) => (Math.floor(4 * random()) + 0.5) / 2,
  }),
  Where: binary('', { build: (g, [a, b]) => g.op('Where', [g.op('Greater', [a, g.scalar(0)]), a, b]), value: offKink }),
  Cast: unary('', {
    build: (g, [x]) => g.op('Cast', [g.op('Sin', [g.op('Cast', [x], { to: 11 })])], { to: 1 }),
  }),
  // steps have no slope, and leave that of what they are added to
  ...Object.fromEntries(
    ['Ceil', 'Floor', 'Round', 'Sign'].map((type) => [
      type,
      unary(type, { build: (g, [x]) => g.op('Add', [x, g.op(type, [x])]), value: (random) => 0.75 + 0.1 * random() }),
    ]),
  ),
  // truth values have none either, and choose between others
  ...Object.fromEntries(
    ['Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual', 'Equal'].map((type) => [
      type,
      binary(type, {
        build: (g, [a, b]) => g.op('Where', [g.op('Not', [g.op(type, [a, b])]), a, b]),
        value: (random, input) => 3 * input + random(),
      }),
    ]),
  ),
  Softmax: unary('Softmax'),
  'Softmax, axis 0': unary('Softmax', { build: op('Softmax', { axis: 0 }) }),
};

const matrices: Record<string, Case> = {
  MatMul: {
    shapes: [
      [3, 4],
      [4, 2],
    ],
    build: op('MatMul'),
  },
  'MatMul, batched': {
    shapes: [
      [2, 3, 4],
      [2, 4, 2],
    ],
    build: op('MatMul'),
  },
  'MatMul, one right matrix for a batch': {
    shapes: [
      [2, 3, 4],
      [4, 2],
    ],
    build: op('MatMul'),
  },
  'MatMul, one left matrix for a batch': {
    shapes: [
      [3, 4],
      [2, 2, 4, 2],
    ],
    build: op('MatMul'),
  },
  'MatMul, batches broadcast': {
    shapes: [
      [2, 1, 3, 4],
      [3, 4, 2],
    ],
    build: op('MatMul'),
  },
  'MatMul, row': { shapes: [[4], [2, 4, 3]], build: op('MatMul') },
  'MatMul, column': { shapes: [[2, 3, 4], [4]], build: op('MatMul') },
  'MatMul, of a softmax': {
    shapes: [
      [2, 3, 4],
      [2, 4, 2],
    ],
    build: (g, [scores, v]) => g.op('MatMul', [g.op('Softmax', [scores], { axis: -1 }), v]),
  },
  'MatMul, of a softmax over the rows': {
    shapes: [
      [2, 3, 4],
      [2, 4, 2],
    ],
    build: (g, [scores, v]) => g.op('MatMul', [g.op('Softmax', [scores], { axis: 1 }), v]),
  },
  'MatMul, dot': { shapes: [[4], [4]], build: (g, x) => g.op('Reshape', [g.op('MatMul', x), g.intVector([1])]) },
  ...Object.fromEntries(
    [0, 1, 2, 3].map((i): [string, Case] => {
      const [transA, transB] = [i & 1, i >> 1];
      const shapes = [transA ? [4, 3] : [3, 4], transB ? [2, 4] : [4, 2], [2]];
      return [
        `Gemm ${transA}${transB}`,
        { shapes, build: op('Gemm', { transA, transB, alpha: float(0.5), beta: float(3) }) },
      ];
    }),
  ),
  'Gemm without bias': {
    shapes: [
      [3, 4],
      [4, 2],
    ],
    build: op('Gemm'),
  },
};

const conv = (x: number[], w: number[], attributes: Record<string, number | number[]> = {}, type = 'Conv'): Case => ({
  shapes: [x, w, [type === 'Conv' ? w[0] : w[1] * ((attributes.group as number) ?? 1)]],
  build: op(type, attributes),
});

const images: Record<string, Case> = {
  Conv: conv([2, 2, 4, 5], [3, 2, 3, 3], { pads: [1, 1, 1, 1] }),
  'Conv, fewer channels out': conv([2, 4, 4, 3], [2, 4, 3, 3], { pads: [1, 1, 1, 1] }),
  'Conv, 1x1': conv([2, 3, 2, 3], [4, 3, 1, 1]),
  'Conv, unpadded': conv([1, 2, 4, 5], [3, 2, 3, 2]),
  'Conv, uneven pads': conv([2, 3, 3, 4], [2, 3, 3, 3], { pads: [0, 1, 2, 1] }),
  'Conv, pads past the kernel': conv([1, 2, 3, 3], [2, 2, 2, 2], { pads: [2, 2, 1, 0] }),
  'Conv, stride 2': conv([2, 2, 4, 6], [3, 2, 3, 3], { pads: [1, 1, 1, 1], strides: [2, 2] }),
  'Conv, stride 2 and pads after': conv([2, 2, 4, 6], [3, 2, 3, 3], { pads: [0, 0, 1, 1], strides: [2, 2] }),
  'Conv, stride 2 that leaves a row': conv([1, 2, 6, 5], [3, 2, 3, 3], { strides: [2, 2] }),
  'Conv, 1x1 with stride 2': conv([2, 2, 5, 4], [3, 2, 1, 1], { strides: [2, 2] }),
  'Conv, dilated': conv([2, 2, 5, 6], [3, 2, 3, 2], { dilations: [2, 3], pads: [1, 1, 1, 1] }),
  'Conv, groups': conv([2, 4, 4, 4], [6, 2, 3, 3], { group: 2, pads: [1, 1, 1, 1] }),
  'Conv, a group for each channel': conv([2, 3, 4, 4], [3, 1, 3, 3], { group: 3, strides: [2, 1], pads: [1, 1, 1, 1] }),
  'Conv, one dimension': conv([2, 2, 6], [3, 2, 3], { pads: [1, 1] }),
  ConvTranspose: conv(
    [2, 2, 3, 3],
    [2, 3, 3, 3],
    { strides: [2, 2], pads: [1, 1, 1, 1], output_padding: [1, 0] },
    'ConvTranspose',
  ),
  'ConvTranspose, groups': conv([2, 4, 3, 2], [4, 1, 2, 2], { strides: [2, 1], group: 2 }, 'ConvTranspose'),
  AveragePool: { shapes: [[2, 2, 4, 6]], build: op('AveragePool', { kernel_shape: [2, 2], strides: [2, 2] }) },
  'AveragePool, overlapping': {
    shapes: [[2, 2, 5, 4]],
    build: op('AveragePool', { kernel_shape: [3, 2], strides: [1, 2] }),
  },
  'AveragePool, padded': {
    shapes: [[1, 2, 4, 4]],
    build: op('AveragePool', { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] }),
  },
  'AveragePool, pads counted': {
    shapes: [[1, 2, 4, 4]],
    build: op('AveragePool', { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1], count_include_pad: 1 }),
  },
  Resize: { shapes: [[2, 2, 3, 2]], build: (g, [x]) => g.op('Resize', [x, '', g.floatVector([1, 1, 2, 2])], nearest) },
  'Resize, by sizes': {
    shapes: [[1, 2, 3, 2]],
    build: (g, [x]) => g.op('Resize', [x, '', '', g.intVector([1, 2, 9, 2])], { mode: 'nearest' }),
  },
  InstanceNormalization: {
    shapes: [[2, 3, 2, 3], [3], [3]],
    build: op('InstanceNormalization', { epsilon: float(1e-3) }),
    value: (random) => 4 * random() + 1,
  },
  'InstanceNormalization, unit': {
    shapes: [[2, 3, 5]],
    build: (g, [x]) => g.op('InstanceNormalization', [x, g.floatVector([1, 1, 1]), g.floatVector([0, 0, 0])]),
    value: (random) => 4 * random() - 3,
  },
  'Add, a group norm': groupNorm([4, 1, 1], [4, 1, 1]),
  'Add, a group norm modulated for each image': groupNorm([2, 4, 1, 1], [2, 4, 1, 1]),
  'Add, a group norm with one weight, and a bias for each pixel': groupNorm([1], [4, 3, 2]),
};
const nearest = { coordinate_transformation_mode: 'asymmetric', mode: 'nearest', nearest_mode: 'floor' };

// as Layers writes it, with other weights too
function groupNorm(weight: number[], bias: number[]): Case {
  const build = (g: GraphBuilder, [x, w, b]: readonly Value[]) => {
    const grouped = g.op('Reshape', [x, g.intVector([0, 2, -1])]);
    const normal = g.op('InstanceNormalization', [grouped, g.floatVector([1, 1]), g.floatVector([0, 0])]);
    return g.op('Add', [g.op('Mul', [g.op('Reshape', [normal, g.intVector([0, 4, 3, 2])]), w]), b]);
  };
  return { shapes: [[2, 4, 3, 2], weight, bias], build, value: (random, i) => (i === 0 ? 4 * random() : random()) };
}

// what only moves values goes through a sine, so that a gradient at the wrong place shows
const moved = (shape: number[], move: (g: GraphBuilder, x: Value) => Value): Case => ({
  shapes: [shape],
  build: (g, [x]) => move(g, g.op('Sin', [x])),
});
const slice = (starts: number[], ends: number[], axes: number[], steps: number[]) =>
  moved([5, 6], (g, x) => g.op('Slice', [x, ...[starts, ends, axes, steps].map((list) => g.intVector(list))]));
const reduce = (type: string, keepdims: number, axes?: number[]) =>
  moved([2, 3, 4], (g, x) =>
    type === 'ReduceSum'
      ? g.op(type, axes ? [x, g.intVector(axes)] : [x], { keepdims })
      : g.op(type, [x], axes ? { keepdims, axes } : { keepdims }),
  );

const movements: Record<string, Case> = {
  Reshape: moved([2, 3, 4], (g, x) => g.op('Reshape', [x, g.intVector([0, -1])])),
  Flatten: moved([2, 3, 4], (g, x) => g.op('Flatten', [x], { axis: 2 })),
  Squeeze: moved([2, 1, 4, 1], (g, x) => g.op('Squeeze', [x, g.intVector([-3])])),
  Unsqueeze: moved([2, 4], (g, x) => g.op('Unsqueeze', [x, g.intVector([-1, 1])])),
  Expand: moved([3, 1], (g, x) => g.op('Expand', [x, g.intVector([2, 1, 4])])),
  Transpose: moved([2, 3, 4], (g, x) => g.op('Transpose', [x], { perm: [1, 2, 0] })),
  'Transpose, without a permutation': moved([2, 3, 4], (g, x) => g.op('Transpose', [x])),
  Concat: {
    shapes: [
      [2, 1, 3],
      [2, 4, 3],
    ],
    build: (g, [a, b]) =>
      g.op('Concat', [a, g.op('Sin', [b]), g.floats('c', [2, 1, 3], new Float32Array(6)), a], { axis: -2 }),
  },
  Split: moved([2, 6], (g, x) => {
    const [a, b] = g.ops('Split', [x], 2, { axis: 1 });
    return g.op('Mul', [a, b]);
  }),
  'Split, in given sizes, one of them unused': moved([2, 6], (g, x) => {
    const [a, , c] = g.ops('Split', [x, g.intVector([2, 3, 1])], 3, { axis: -1 });
    return g.op('Mul', [a, c]);
  }),
  Slice: slice([1, -4], [4, 2147483647], [0, 1], [1, 1]),
  'Slice, every other entry': slice([1], [6], [1], [2]),
  'Slice, every third, not to the end': slice([1, 0], [4, 3], [1, 0], [3, 2]),
  'Slice, backwards': slice([-1, 4], [-100, 0], [1, 0], [-1, -2]),
  Pad: moved([2, 3], (g, x) => g.op('Pad', [x, g.intVector([0, 1, 2, 0])])),
  'Pad, cropping': moved([3, 4], (g, x) => g.op('Pad', [x, g.intVector([1, -1, 0, -2])])),
  Gather: moved([5, 3], (g, x) => g.op('Gather', [x, indices(g, [4], [1, 4, 1, -5])])),
  'Gather, along the middle, in two dimensions': moved([2, 3, 2], (g, x) =>
    g.op('Gather', [x, indices(g, [2, 2], [0, 2, -1, 2])], { axis: 1 }),
  ),
  'Gather, one entry': moved([3, 2], (g, x) => g.op('Gather', [x, indices(g, [], [2])])),
  ReduceSum: reduce('ReduceSum', 1, [1]),
  'ReduceSum, of all': moved([2, 3], (g, x) =>
    g.op('Reshape', [g.op('ReduceSum', [x], { keepdims: 0 }), g.intVector([1])]),
  ),
  'ReduceSum, axes dropped': reduce('ReduceSum', 0, [-1, 0]),
  ReduceMean: reduce('ReduceMean', 1, [2, 1]),
  'ReduceMean, axes dropped': reduce('ReduceMean', 0, [0]),
  ReduceSumSquare: reduce('ReduceSumSquare', 0, [1]),
};

function indices(g: GraphBuilder, dims: number[], values: number[]): Value {
  return g.initializer('indices', 'int64', dims, new Uint8Array(BigInt64Array.from(values, BigInt).buffer));
}

describe.each(Object.entries({ elementwise, matrices, images, movements }))('%s operators', (_, cases) => {
  test.each(Object.entries(cases))(
    '%s: gradients equal finite differences within 5e-5 of their rms',
    async (_, example) => {
      const error = await gradientError(example);
      expect(error).toBeLessThan(5e-5);
    },
  );
});

test('every operator with a rule has a case', () => {
  const cases = Object.keys({ ...elementwise, ...matrices, ...images, ...movements, Not: null });
  const missing = Object.keys(RULES).filter((type) => !cases.some((name) => name.split(/[ ,]/)[0] === type));
  expect(missing).toEqual([]);
});

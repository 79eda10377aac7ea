import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { parseUNetConfig } from '../../src/core/unetConfig.ts';
import { gradients } from '../../src/onnx/gradients.ts';
import { ELEMENT_TYPES, GraphBuilder, type Value } from '../../src/onnx/graph.ts';
import { Layers } from '../../src/onnx/layers.ts';
import { VectorParameters } from '../../src/onnx/parameters.ts';
import { unetForward, unetParameters } from '../../src/onnx/unet2d.ts';
import { gradientError, relativeError, run } from './finiteDifferences.ts';

const floats = (...values: number[]) => new Tensor('float32', Float32Array.from(values), [values.length]);

function sum(g: GraphBuilder, x: Value): Value {
  return g.op('ReduceSum', [x], { keepdims: 0 });
}

test('the gradient of a straight line’s squared error is that of the textbook', async () => {
  const g = new GraphBuilder('line');
  const [x, y] = ['x', 'y'].map((name) => g.input(name, 'float32', [3]));
  const [w, b] = ['w', 'b'].map((name) => g.input(name, 'float32', [1]));
  const error = g.op('Sub', [g.op('Add', [g.op('Mul', [w, x]), b]), y]);
  const [dw, db] = gradients(g, sum(g, g.op('Pow', [error, g.scalar(2)])), [w, b]);
  g.output('dw', 'float32', [1], dw);
  g.output('db', 'float32', [1], db);
  const results = await run(g, { x: floats(1, 2, 3), y: floats(2, 3, 5), w: floats(1), b: floats(0) });
  // errors -1, -1, -2
  expect([...(results.dw.data as Float32Array)]).toEqual([-18]);
  expect([...(results.db.data as Float32Array)]).toEqual([-8]);
});

// a shape, and one that broadcasts to it: some axes of length 1, some in front left out
const broadcastShapes = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.boolean(), fc.boolean()), { minLength: 1, maxLength: 4 })
  .chain((axes) =>
    fc
      .tuple(fc.nat(axes.length), fc.nat(axes.length))
      .map(([left, right]) => [
        axes.slice(left).map(([n, one]) => (one ? 1 : n)),
        axes.slice(right).map(([n, , one]) => (one ? 1 : n)),
      ]),
  );

test.each(['Add', 'Sub', 'Mul', 'Div', 'Where'])(
  '%s of random shapes: broadcasting is undone, within 5e-5',
  async (type) => {
    await fc.assert(
      fc.asyncProperty(broadcastShapes, fc.nat(1000), async (shapes, seed) => {
        const build = (g: GraphBuilder, x: readonly Value[]) =>
          g.op(type, type === 'Where' ? [g.op('Less', [x[0], g.scalar(2)]), ...x] : x);
        const value = (random: () => number) => 2.5 + (random() < 0 ? -1 : 1) * (1 + 0.3 * random());
        expect(await gradientError({ shapes, build, value, seed })).toBeLessThan(5e-5);
      }),
      { numRuns: 12, seed: 7 },
    );
  },
);

describe('the walk', () => {
  test('adds up what comes back from every use of a value, and passes constants by', async () => {
    const g = new GraphBuilder('uses');
    const x = g.input('x', 'float32', [2]);
    const y = g.op('Mul', [x, g.scalar(3)]);
    const loss = sum(g, g.op('Add', [g.op('Mul', [y, y]), g.op('Sub', [y, x])]));
    const before = g.operators.length;
    const [dx, dy] = gradients(g, loss, [x, y]);
    // nothing is computed for the constant 3
    expect(g.operators.slice(before).filter(({ type }) => type === 'ReduceSum')).toEqual([]);
    g.output('dx', 'float32', [2], dx);
    g.output('dy', 'float32', [2], dy);
    const results = await run(g, { x: floats(1, -2) });
    expect([...(results.dy.data as Float32Array)]).toEqual([7, -11]);
    expect([...(results.dx.data as Float32Array)]).toEqual([20, -34]);
  });

  test('gives zeros where the loss does not depend on a parameter, and each gradient a name of its own', async () => {
    const g = new GraphBuilder('zeros');
    const [a, b, c] = ['a', 'b', 'c'].map((name) => g.input(name, 'float32', [2]));
    const count = g.op('Cast', [c], { to: ELEMENT_TYPES.int64 });
    const loss = sum(g, g.op('Mul', [g.op('Add', [a, b]), g.op('Cast', [count], { to: ELEMENT_TYPES.float32 })]));
    const results = gradients(g, loss, [a, b, c, loss]);
    expect(new Set(results).size).toBe(4);
    for (const [i, result] of results.entries()) g.output(`d${i}`, 'float32', i < 3 ? [2] : [], result);
    const values = await run(g, { a: floats(1, 2), b: floats(3, 4), c: floats(5, 6) });
    const numbers = results.map((_, i) => [...(values[`d${i}`].data as Float32Array)]);
    expect(numbers).toEqual([[5, 6], [5, 6], [0, 0], [1]]);
  });

  test('takes a value where it stops for a constant, also inside what has a cheaper way back together', async () => {
    const g = new GraphBuilder('stops');
    const x = g.input('x', 'float32', [2]);
    const gate = g.op('Sigmoid', [x]);
    const silu = g.op('Mul', [x, gate]);
    const double = g.op('Mul', [x, g.scalar(2)]);
    const loss = sum(g, g.op('Add', [silu, g.op('Mul', [double, x])]));
    // of x s + 2 x x, where s and the first x of the square stay; the gradient of a stop itself may be asked for
    const results = gradients(g, loss, [x, double], { stop: [gate, double] });
    for (const [i, result] of results.entries()) g.output(`d${i}`, 'float32', [2], result);
    const { d0, d1 } = await run(g, { x: floats(0, 3) });
    expect([...(d1.data as Float32Array)]).toEqual([0, 3]);
    const [first, second] = d0.data as Float32Array;
    expect(first).toBe(0.5);
    expect(second).toBeCloseTo(6 + 1 / (1 + Math.exp(-3)), 6);
  });

  test('stops at one result of an operator, and lets the others through', async () => {
    const g = new GraphBuilder('halves');
    const x = g.input('x', 'float32', [4]);
    const [a, b] = g.ops('Split', [x], 2, { axis: 0 });
    const [dx] = gradients(g, sum(g, g.op('Mul', [a, b])), [x], { stop: [b] });
    g.output('dx', 'float32', [4], dx);
    const { dx: result } = await run(g, { x: floats(1, 2, 3, 4) });
    expect([...(result.data as Float32Array)]).toEqual([3, 4, 0, 0]);
  });

  test('walks over its own work: second derivatives equal finite differences of the first, within 2e-4', async () => {
    const build = (g: GraphBuilder, [x, w]: readonly Value[]) => {
      const h = g.op('Conv', [x, w], { pads: [1, 1, 1, 1], strides: [2, 2] });
      const [flat, unit] = [
        g.op('Reshape', [h, g.intVector([1, 2, -1])]),
        [g.floatVector([1, 1]), g.floatVector([0, 0])],
      ];
      const normal = g.op('InstanceNormalization', [flat, ...unit]);
      const active = g.op('Mul', [normal, g.op('Sigmoid', [normal])]);
      const weights = g.op('Softmax', [g.op('MatMul', [g.op('Transpose', [active], { perm: [0, 2, 1] }), active])]);
      const [dx, dw] = gradients(g, sum(g, g.op('Mul', [weights, weights])), [x, w]);
      const flatten = (value: Value) => g.op('Reshape', [value, g.intVector([-1])]);
      return g.op('Concat', [dx, dw].map(flatten), { axis: 0 });
    };
    const value = (random: () => number) => 2 * random();
    expect(
      await gradientError({
        shapes: [
          [1, 2, 4, 4],
          [2, 2, 3, 3],
        ],
        build,
        value,
        h: 0.03,
      }),
    ).toBeLessThan(2e-4);
  });
});

describe('mistakes are named', () => {
  const g = new GraphBuilder('mistakes');
  const x = g.input('x', 'float32', [2]);
  const free = g.input('free', 'float32', ['N']);

  test('a loss of several numbers', () => {
    expect(() => gradients(g, x, [x])).toThrow('"loss" expected a float32 value of one element, got "float32 [2]"');
  });

  test('a parameter that is no float', () => {
    const labels = g.input('labels', 'int64', [2]);
    expect(() => gradients(g, sum(g, x), [labels])).toThrow(
      '"parameters" expected float values, got "labels of int64"',
    );
  });

  test('an operator without a rule, but only where the gradient would come through it', () => {
    const other = g.op('CumSum', [x, g.intVector([0])]);
    const loss = g.op('Reshape', [g.op('ReduceSum', [other], { keepdims: 0 }), g.intVector([1])]);
    const error = expect.objectContaining({
      code: 'model-invalid',
      message: 'CumSum: operator CumSum has no gradient here',
    });
    expect(() => gradients(g, loss, [x])).toThrow(error);
    expect(() => gradients(g, sum(g, x), [x])).not.toThrow();
  });

  test('a free dimension', () => {
    expect(() => gradients(g, sum(g, free), [free])).toThrow('free: expected fixed dimensions, got N');
  });

  test('a form of an operator that its rule does not know', () => {
    const padded = g.op('Pad', [x, g.intVector([1, 1])], { mode: 'reflect' });
    expect(() => gradients(g, sum(g, padded), [x])).toThrow('Pad: Pad expected mode constant, got reflect');
  });

  test('a parameter that a vector has not, or has in another shape', () => {
    const parameters = new VectorParameters(g, g.input('vector', 'float32', [6]), new Map([['w', [2, 3]]]));
    expect([parameters.has('w'), parameters.has('b')]).toEqual([true, false]);
    expect(() => parameters.get('w', [3, 2])).toThrow('parameter "w" expected shape [3, 2], got [2, 3]');
    expect(() => parameters.get('b', [3])).toThrow('parameter "b" expected shape [3], got no such parameter');
  });

  test('a name that is no value', () => {
    expect(() => gradients(g, 'y', [x])).toThrow('no value of the graph has the name y');
    expect(() => gradients(g, sum(g, x), [x], { stop: ['y'] })).toThrow('no value of the graph has the name y');
  });
});

test('a step of a UNet has only operators that onnxruntime-web lists for WebGPU', () => {
  const { config } = parseUNetConfig({
    ...{ sample_size: 8, block_out_channels: [8, 8], norm_num_groups: 4, num_class_embeds: 3, act_fn: 'gelu' },
    ...{ down_block_types: ['AttnDownBlock2D', 'ResnetDownsampleBlock2D'], resnet_time_scale_shift: 'scale_shift' },
    ...{ up_block_types: ['ResnetUpsampleBlock2D', 'AttnUpBlock2D'], downsample_padding: 0 },
  });
  const g = new GraphBuilder('step');
  const shapes = unetParameters(config);
  const size = [...shapes.values()].reduce((total, shape) => total + shape.reduce((a, b) => a * b, 1), 0);
  const parameters = new VectorParameters(g, g.input('parameters', 'float32', [size]), shapes);
  const prediction = unetForward(new Layers(g, parameters, config), {
    sample: g.input('sample', 'float32', [2, 3, 8, 8]),
    timestep: g.input('timestep', 'float32', [2]),
    classLabels: g.input('class_labels', 'int64', [2]),
  }).value;
  gradients(g, sum(g, g.op('Mul', [prediction, prediction])), parameters.values);
  const table = readFileSync(join('node_modules', 'onnxruntime-web', 'docs', 'webgpu-operators.md'), 'utf8');
  const listed = new Set([...table.matchAll(/^\| (\w+) \| .*ai\.onnx\(/gm)].map(([, type]) => type));
  const missing = new Set(g.operators.map(({ type }) => type).filter((type) => !listed.has(type)));
  expect(listed.size).toBeGreaterThan(80);
  expect([...missing]).toEqual([]);
});

test('relativeError sees a wrong element, a wrong length and a NaN', () => {
  expect(relativeError([1, 2], [1, 2])).toBe(0);
  expect(relativeError([1, 2.5], [1, 2])).toBeGreaterThan(0.1);
  expect(relativeError([1], [1, 2])).toBeNaN();
  expect(relativeError([1, NaN], [1, 2])).toBeNaN();
});

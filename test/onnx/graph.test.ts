import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { float, GraphBuilder } from '../../src/onnx/graph.ts';
import { encodeHalf } from '../../src/onnx/half.ts';
import { AttributeProto_AttributeType as AttributeType, ModelProtoSchema } from '../../src/onnx/onnx_pb.ts';

// y = mean over the last axis of (x w + b), with the weight stored as float16
function sampleGraph(): GraphBuilder {
  const g = new GraphBuilder('sample');
  const x = g.input('x', 'float32', ['N', 2]);
  const w = g.halfs('w', [3, 2], encodeHalf(Float32Array.of(1, 2, 3, 4, 5, 6)));
  const product = g.op('Gemm', [x, w], { transB: 1, beta: float(0), alpha: float(0.5) });
  const sum = g.op('Add', [product, g.floats('b', [3], Float32Array.of(10, 20, 30))]);
  const shape = g.intVector([0, -1]);
  expect(g.intVector([0, -1])).toBe(shape);
  g.output('y', 'float32', ['N', 3], g.op('Reshape', [sum, shape]));
  return g;
}

test('a graph computes what its operators say', async () => {
  const session = await InferenceSession.create(sampleGraph().toBytes());
  const { y } = await session.run({ x: new Tensor('float32', Float32Array.of(1, 1, 2, 0), [2, 2]) });
  expect([...(y.data as Float32Array)]).toEqual([11.5, 23.5, 35.5, 11, 23, 35]);
});

test('the same calls give the same bytes, with attributes and metadata in order of their names', () => {
  const bytes = sampleGraph().toBytes({ metadata: { b: '2', a: '1' } });
  expect(sampleGraph().toBytes({ metadata: { a: '1', b: '2' } })).toEqual(bytes);
  const model = fromBinary(ModelProtoSchema, bytes);
  expect(model).toMatchObject({
    irVersion: 8n,
    producerName: 'ddpm-wasm',
    opsetImport: [{ domain: '', version: 17n }],
  });
  expect(model.metadataProps.map(({ key, value }) => key + value)).toEqual(['a1', 'b2']);
  const gemm = model.graph?.node.find(({ opType }) => opType === 'Gemm');
  expect(gemm?.attribute.map(({ name, type }) => [name, type])).toEqual([
    ['alpha', AttributeType.FLOAT],
    ['beta', AttributeType.FLOAT],
    ['transB', AttributeType.INT],
  ]);
});

test('a graph lists each shared constant once, and names its results after its outputs', () => {
  const graph = fromBinary(ModelProtoSchema, sampleGraph().toBytes()).graph;
  expect(graph?.initializer.map(({ name, dims }) => [name, dims])).toEqual([
    ['w.float16', [3n, 2n]],
    ['b', [3n]],
    ['ints(0,-1)', [2n]],
  ]);
  expect(graph?.node.map(({ input, output }) => [...input, ...output])).toEqual([
    ['w.float16', 'w'],
    ['x', 'w', 'Gemm'],
    ['Gemm', 'b', 'Add'],
    ['Add', 'ints(0,-1)', 'y'],
  ]);
});

test('reading and writing keeps every byte, fields of later ONNX versions included', () => {
  const known = sampleGraph().toBytes();
  // field 26, "configuration", which the schema leaves out
  const bytes = Uint8Array.of(...known, 0xd2, 0x01, 3, 1, 2, 3);
  const again = fromBinary(ModelProtoSchema, toBinary(ModelProtoSchema, fromBinary(ModelProtoSchema, bytes)));
  expect(again).toEqual(fromBinary(ModelProtoSchema, bytes));
  expect(again.$unknown?.[0]).toMatchObject({ no: 26, data: Uint8Array.of(3, 1, 2, 3) });
});

describe('mistakes are named', () => {
  test('two values of one name', () => {
    const g = new GraphBuilder('g');
    g.input('x', 'float32', [1]);
    expect(() => g.input('x', 'float32', [1])).toThrow('"name" expected a name that no other value has, got "x"');
  });

  test('a float where an integer is meant', () => {
    const g = new GraphBuilder('g');
    expect(() => g.op('Softmax', ['x'], { axis: 0.5 })).toThrow('"axis" expected an integer');
  });

  test('data that does not fit its shape', () => {
    const g = new GraphBuilder('g');
    expect(() => g.floats('w', [2, 2], new Float32Array(3))).toThrow(
      '"w" expected 16 bytes for float32 [2, 2], got 12',
    );
  });

  test('an output that no operator gives', () => {
    const g = new GraphBuilder('g');
    expect(() => g.output('y', 'float32', [1], 'x')).toThrow('"value" expected the result of an operator, got "x"');
  });

  test('a graph past the 2 GiB of a protobuf message, before it is laid out', () => {
    const g = new GraphBuilder('huge');
    const gibibyte = new Uint8Array(2 ** 30);
    g.initializer('a', 'uint8', [2 ** 30], gibibyte);
    g.initializer('b', 'uint8', [2 ** 30], gibibyte);
    expect(() => g.toBytes()).toThrow(
      expect.objectContaining({ code: 'out-of-memory', message: expect.stringContaining('at most 2147418112 bytes') }),
    );
  });
});

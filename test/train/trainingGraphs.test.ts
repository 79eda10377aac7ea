import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import * as native from 'onnxruntime-node';
import * as web from 'onnxruntime-web';
import { describe, expect, test } from 'vitest';
import { ModelProtoSchema } from '../../src/onnx/onnx_pb.ts';
import { apart, smallProblem } from './problem.ts';
import { train } from './workers.ts';

describe('loss, reduction and update together', () => {
  test('thirty steps on one batch, by two workers, lower its loss to below half', async () => {
    const { losses, parameters, ema } = await train(native, await smallProblem({ workers: 2, steps: 30 }), ['cpu']);
    expect(losses.at(-1)).toBeLessThan(0.5 * losses[0]);
    // the average lags behind
    expect(apart(ema, parameters)).toBeGreaterThan(1e-3);
  });

  test('two workers do what one does with the whole batch: losses of three steps within 1e-5', async () => {
    const [one, two] = [await smallProblem({ workers: 1, steps: 3 }), await smallProblem({ workers: 2, steps: 3 })];
    const [alone, together] = [await train(native, one, ['cpu']), await train(native, two, ['cpu'])];
    for (const [t, loss] of alone.losses.entries()) expect(Math.abs(together.losses[t] / loss - 1)).toBeLessThan(1e-5);
    expect(apart(together.gradient, alone.gradient)).toBeLessThan(1e-4);
  });

  test('the same bytes in onnxruntime-web’s wasm: the losses of two steps within 1e-5, gradients within 2e-5', async () => {
    web.env.wasm.numThreads = 1;
    const problem = await smallProblem({ workers: 1, steps: 2 });
    const [here, there] = [await train(native, problem, ['cpu']), await train(web, problem, ['wasm'])];
    for (const [t, loss] of here.losses.entries()) expect(Math.abs(there.losses[t] / loss - 1)).toBeLessThan(1e-5);
    expect(apart(there.errors, here.errors)).toBeLessThan(1e-5);
    expect(apart(there.gradient, here.gradient)).toBeLessThan(2e-5);
    expect(apart(there.parameters, here.parameters)).toBeLessThan(2e-4);
  });

  test('have only operators that onnxruntime-web lists for WebGPU', async () => {
    const table = readFileSync(path.join('node_modules', 'onnxruntime-web', 'docs', 'webgpu-operators.md'), 'utf8');
    const listed = new Set([...table.matchAll(/^\| (\w+) \| .*ai\.onnx\(/gm)].map(([, type]) => type));
    const { lossGraph, slices } = await smallProblem({ workers: 1, steps: 1 });
    const graphs = [lossGraph, slices[0].reduceGraph, slices[0].updateGraph];
    const types = graphs.flatMap((bytes) => {
      const { graph } = fromBinary(ModelProtoSchema, Uint8Array.from(bytes));
      return graph!.node.map(({ opType }) => opType);
    });
    expect(listed.size).toBeGreaterThan(80);
    expect(types.length).toBeGreaterThan(500);
    expect(types.filter((type) => !listed.has(type))).toEqual([]);
  });
});

import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { readRows } from '../../src/diffusion/planRow.ts';
import { rowGraph, rowTerms, rowWeights } from '../../src/resident/rowGraph.ts';
import { kernels } from '../engine/raw.ts';
import { type Row, rowValues, runStep } from '../engine/stepReference.ts';
import { uniform } from '../onnx/support.ts';

const engine = kernels();
const [images, pixels] = [3, 70];
const dims = [images, 2, 5, 7];

const rows: readonly (readonly [string, Row])[] = [
  ['of ddim', { a: 1.3, b: -0.8, clip: 1, weights: [0, 0.4, 0.7] }],
  ['of ddpm', { a: 2.1, b: -1.9, clip: 1, weights: [0.3, 0, 0.6], sigma: 0.25 }],
  ['without clipping', { a: 1.3, b: -0.8, weights: [0.9, -0.2, 0.1] }],
  ['that stores', { a: 1.1, b: -0.6, clip: 1, weights: [0.5, 0, 0.4, -0.3], store: 1, stored: [0.2, -0.7, 1] }],
  ['of all there is', { a: 1, b: 0.1, clip: 2, weights: [1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => n / 9), sigma: 0.5 }],
];

describe('the graph of a row', () => {
  it.each(rows)('gives the engine’s numbers to the bit on the CPU: a row %s', async (_, row) => {
    const random = uniform(7);
    const numbers = () => Float32Array.from({ length: images * pixels }, () => 3 * random());
    const [x, model, noise] = [numbers(), numbers(), numbers()];
    const others = Array.from({ length: 6 }, numbers);
    const expected = runStep(engine, row, { images, pixels, x, model, noise, others });

    const [fields] = readRows(rowValues(row));
    const terms = rowTerms([fields], false);
    const session = await InferenceSession.create(rowGraph(terms), { logSeverityLevel: 3 });
    const clip = Math.min(fields.clip, 3.4e38);
    const values = { x, model, noise, ...Object.fromEntries(others.map((h, i) => [`h${i + 1}`, h])) };
    const feeds: Record<string, Tensor> = {
      low: new Tensor('float32', Float32Array.of(-clip), []),
      high: new Tensor('float32', Float32Array.of(clip), []),
    };
    for (const name of rowWeights(terms))
      feeds[`row.${name}`] = new Tensor('float32', Float32Array.of(fields[name as keyof typeof fields]), [1]);
    for (const [name, data] of Object.entries(values))
      if (session.inputNames.includes(name)) feeds[name] = new Tensor('float32', data, dims);

    const { next, start, stored } = await session.run(feeds);
    expect(start.data).toEqual(expected.start);
    expect(next.data).toEqual(expected.out);
    expect(stored?.data).toEqual(expected.stored);
    await session.release();
  });

  it('with guidance adds scale times the first answer to the rest times the second', async () => {
    const fields = { ...readRows(rowValues({ a: 0, b: 1, clip: 9, weights: [0, 0, 1] }))[0] };
    const terms = rowTerms([fields], true);
    const session = await InferenceSession.create(rowGraph(terms), { logSeverityLevel: 3 });
    const number = (value: number, shape: number[] = [1]) => new Tensor('float32', Float32Array.of(value), shape);
    const result = await session.run({
      x: number(0.5, [1, 1, 1, 1]),
      model: new Tensor('float32', Float32Array.of(2, 3), [2, 1, 1, 1]),
      ...{ low: number(-9, []), high: number(9, []), 'row.a': number(0), 'row.b': number(1) },
      ...{ 'row.model': number(0), 'row.start': number(1), 'row.scale': number(4), 'row.rest': number(-3) },
    });
    expect(result.next.data).toEqual(Float32Array.of(4 * 2 - 3 * 3));
    expect(result.pair.data).toEqual(Float32Array.of(-1, -1));
    await session.release();
  });
});

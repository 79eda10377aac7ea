import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Denoiser, guided, loadPipeline, type Pipeline, type SampleOptions } from '../src/index.ts';
import { maxDifference } from './support/goldens.ts';

describe('the bundled pipeline', () => {
  let pipeline: Pipeline;
  beforeAll(async () => {
    pipeline = await loadPipeline('fashion', { device: 'cpu' });
  });
  afterAll(() => pipeline.dispose());

  const quick = { sampler: 'ddim', eta: 1, steps: 4, seed: 3 } as const;

  it('knows its model, labels and recommended sampling', () => {
    const { model } = pipeline;
    expect(model).toMatchObject({ name: 'fashion', shape: [1, 28, 28], classes: 11, unconditional: 10, device: 'cpu' });
    expect(model.labels).toHaveLength(10);
    expect(pipeline.plan()).toMatchObject({ sampler: 'ddim', calls: 50 });
    expect(pipeline.plan({ steps: 20 })).toMatchObject({ sampler: 'ddim', calls: 20 });
    expect(pipeline.plan({ timesteps: [900, 100] })).toMatchObject({ sampler: 'ddim', calls: 2 });
    expect(pipeline.plan({ timestepRespacing: 'ddim10' })).toMatchObject({ sampler: 'ddim', calls: 10 });
    // a sampler that is asked for comes with its own defaults
    expect(pipeline.plan({ sampler: 'ddpm' }).calls).toBe(1000);
    expect(pipeline.plan({ sampler: 'ddim' }).rows.every((row) => row.sigma === 0)).toBe(true);
  });

  it('shows the classes in turn, the same image for the same number and class', async () => {
    const both = await pipeline.sample({ ...quick, count: 2 });
    expect(both.shape).toEqual([2, 1, 28, 28]);
    const second = await pipeline.sample({ ...quick, count: 1, first: 1 });
    const named = await pipeline.sample({ ...quick, count: 1, first: 1, class: 'trouser' });
    expect(maxDifference(second.data, both.data.slice(784))).toBeLessThan(1e-4);
    expect(named.data).toEqual(second.data);
  });

  it('yields steps that end in what sample returns', async () => {
    let last: Float32Array | undefined;
    for await (const { x } of pipeline.steps({ ...quick, count: 2 })) last = x.data.slice();
    expect(last).toEqual((await pipeline.sample({ ...quick, count: 2 })).data);
  });

  it('guidance 0 and 1 are the plain network, more is something else', async () => {
    const run = async (guidance?: number) => (await pipeline.sample({ ...quick, count: 2, guidance })).data;
    const plain = await run();
    expect(await run(0)).toEqual(plain);
    expect(await run(1)).toEqual(plain);
    expect(maxDifference(await run(3), plain)).toBeGreaterThan(0.01);
  });

  it.each([
    [{ class: 'hat' }, '"class" expected one of T-shirt/top, Trouser, '],
    [{ class: [1, 2, 3] }, '"class" expected one class or 2, got [1, 2, 3]'],
    [{ class: 11 }, '"class" expected an integer in 0..10, got 11'],
    [{ guidance: -1 }, '"guidance" expected a number in 0..1000, got -1'],
    [{ count: 0 }, '"count"'],
    [{ seed: 'banana' }, '"seed"'],
    [{ varianceType: 'learned_range', sampler: 'ddpm' }, '"varianceType" expected a fixed one'],
    [{ cuont: 3 }, '"cuont" expected no such option'],
  ])('refuses %j by name', async (options, message) => {
    await expect(pipeline.sample({ ...quick, count: 2, ...(options as SampleOptions) })).rejects.toThrow(message);
  });
});

describe('classifier-free guidance', () => {
  it('is none + scale * (conditional - none) in one network call on twice the images, within 1e-6', async () => {
    const { engine } = await loadPipeline('fashion', { device: 'cpu' });
    const calls: number[][] = [];
    // predicts its label, and its label's square as the variance
    const denoiser: Denoiser = (x, timesteps, condition) => {
      const labels = Array.from(condition!.classLabels!);
      calls.push(labels);
      expect(timesteps).toHaveLength(labels.length);
      const data = Float32Array.from({ length: labels.length * 8 }, (_, i) => labels[i >> 3] ** (i % 8 < 4 ? 1 : 2));
      return { data, shape: [x.shape[0], 2, 2, 2] };
    };
    const x = { data: new Float32Array(8), shape: [2, 1, 2, 2] };
    const answer = await guided(engine, denoiser, { scale: 2.5, unconditional: 10 })(x, Float32Array.of(5, 5), {
      classLabels: [1, 4],
    });
    expect(calls).toEqual([[1, 4, 10, 10]]);
    expect(answer.shape).toEqual([2, 2, 2, 2]);
    const expected = [1, 4].flatMap((label) => [
      ...Array(4).fill(10 + 2.5 * (label - 10)),
      ...Array(4).fill(label ** 2),
    ]);
    expect(maxDifference(answer.data, expected)).toBeLessThan(1e-5);
  });
});

describe('loading', () => {
  it('refuses what is not there, naming what is', async () => {
    await expect(loadPipeline('fashoin')).rejects.toMatchObject({
      code: 'model-not-found',
      message: 'fashoin: expected a file, a folder or a bundled model (fashion, sprites), found none',
    });
  });
});

import { describe, expect, it, onTestFinished } from 'vitest';
import type { Denoiser } from '../../src/core/denoiser.ts';
import type { Tensor } from '../../src/core/tensor.ts';
import { openSession } from '../../src/model/session.ts';
import { createBatcher } from '../../src/serve/batcher.ts';
import { smallGraph } from '../model/graphs.ts';
import { smallPipeline } from './support.ts';

async function session(options = {}) {
  const denoiser = await openSession(smallGraph(options), { device: 'cpu' });
  onTestFinished(() => denoiser.dispose());
  return denoiser;
}

function images(count: number, value: number): Tensor {
  return { data: new Float32Array(count * 6).fill(value), shape: [count, 1, 2, 3] };
}

describe('createBatcher', () => {
  it('makes calls of different sizes, timesteps and labels one, and gives each its own answer', async () => {
    const sizes: number[] = [];
    const { denoiser, enter } = createBatcher(await session({ label: {} }), { onCall: (n) => sizes.push(n) });
    for (let i = 0; i < 3; i++) enter();
    const answers = await Promise.all([
      denoiser(images(1, 0.25), Float32Array.of(1), { classLabels: [1] }),
      denoiser(images(3, 0.5), Float32Array.of(2, 3, 4), { classLabels: [0, 1, 2] }),
      denoiser(images(2, 0), Float32Array.of(5, 5), { classLabels: [3, 0] }),
    ]);
    expect(sizes).toEqual([6]);
    const firsts = answers.map(({ data, shape }) => Array.from({ length: shape[0] }, (_, i) => data[i * 6]));
    expect(firsts).toEqual([[1001.25], [2.5, 1003.5, 2004.5], [3005, 5]]);
  });

  it('runs of any sampler and length side by side give the bits that they give alone', async () => {
    const pipeline = await smallPipeline();
    const { createPipeline } = await import('../../src/pipeline.ts');
    const sizes: number[] = [];
    const batcher = createBatcher(pipeline.model.denoiser, { onCall: (n) => sizes.push(n) });
    const shared = createPipeline(
      pipeline.engine,
      { ...pipeline.model, denoiser: Object.assign(batcher.denoiser, pipeline.model.denoiser) as never },
      pipeline.schedule,
    );
    const options = [
      { seed: 1, count: 2, sampler: 'ddpm', steps: 10 },
      { seed: 2, sampler: 'dpm-solver++', steps: 5 },
      { seed: 3, count: 3, sampler: 'heun', steps: 4, guidance: 3 },
      { seed: 4, steps: 7, eta: 1, class: 'owl' },
    ] as const;
    const together = await Promise.all(
      options.map(async (one) => {
        const leave = batcher.enter();
        return shared.sample(one).finally(leave);
      }),
    );
    for (const [i, one] of options.entries()) expect(together[i]).toEqual(await pipeline.sample(one));
    // 2 + 1 + 2 * 3 + 1 images in the calls that all take part in
    expect(Math.max(...sizes)).toBe(10);
    expect(sizes.length).toBe(10);
  });

  it('sends a lone run on at once; one of several waits for maxWait, or until the others are over', async () => {
    const sizes: number[] = [];
    const batcher = createBatcher(await session(), { maxWait: 10_000, onCall: (n) => sizes.push(n) });
    const call = () => batcher.denoiser(images(1, 0), Float32Array.of(1));
    batcher.enter();
    const alone = call();
    expect(sizes).toEqual([1]);
    await alone;
    const leave = batcher.enter();
    const waits = call();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(sizes).toEqual([1]);
    leave();
    await waits;
    expect(sizes).toEqual([1, 1]);

    const impatient = createBatcher(await session(), { maxWait: 1 });
    impatient.enter();
    impatient.enter();
    expect((await impatient.denoiser(images(1, 2), Float32Array.of(1))).data[0]).toBe(3);
  });

  it('takes at most maxImages, in order, and never splits a call', async () => {
    const sizes: number[] = [];
    const batcher = createBatcher(await session(), { maxImages: 4, onCall: (n) => sizes.push(n) });
    for (let i = 0; i < 5; i++) batcher.enter();
    await Promise.all([3, 1, 2, 9, 1].map((n) => batcher.denoiser(images(n, 0), new Float32Array(n))));
    expect(sizes).toEqual([4, 2, 9, 1]);
  });

  it('keeps images of other sizes, and with and without labels, apart', async () => {
    const seen: (readonly number[])[] = [];
    const echo: Denoiser = (x) => {
      seen.push(x.shape);
      return { data: x.data.slice(), shape: x.shape };
    };
    const { denoiser, enter } = createBatcher(echo);
    for (let i = 0; i < 3; i++) enter();
    const wide = { data: new Float32Array(12), shape: [1, 1, 2, 6] };
    const time = Float32Array.of(1);
    await Promise.all([
      denoiser(images(1, 0), time),
      denoiser(wide, time),
      denoiser(images(1, 0), time, { classLabels: [1] }),
    ]);
    expect(seen).toEqual([images(1, 0).shape, wide.shape, images(1, 0).shape]);
  });

  it('tells everyone of a call that failed, and goes on', async () => {
    let fails = true;
    const network = await session();
    const { denoiser, enter } = createBatcher((...args) => {
      if (fails) throw new Error('no');
      return network(...args);
    });
    enter();
    enter();
    const call = () => denoiser(images(1, 1), Float32Array.of(1));
    const outcomes = await Promise.allSettled([call(), call()]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    fails = false;
    expect((await Promise.all([call(), call()]))[1].data[0]).toBe(2);
  });

  it('refuses options by name', () => {
    const denoiser: Denoiser = (x) => x;
    expect(() => createBatcher(denoiser, { maxImages: 0 })).toThrow(
      '"maxImages" expected an integer in 1..4096, got 0',
    );
    expect(() => createBatcher(denoiser, { maxWait: -1 })).toThrow('"maxWait" expected a number in 0..10000, got -1');
  });
});

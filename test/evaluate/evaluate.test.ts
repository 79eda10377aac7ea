import { afterAll, describe, expect, it } from 'vitest';
import { evenEdges, growingEdges, RangeMeans, RunningMean } from '../../src/evaluate/estimates.ts';
import { type Evaluation, type ImageBatch, loadPipeline, simpleLoss, variationalBound } from '../../src/index.ts';
import { compareImages, featureRows, memorization, openFeatures, pixelRows } from '../../src/metrics/index.ts';

const pipeline = await loadPipeline('fashion', { device: 'cpu', threads: 1 });
afterAll(() => pipeline.dispose());

// dark images with a bright square, which is enough of a picture for the figures to be finite and unlike each other
const pixels = 784;
function images(count: number, size = count): ImageBatch[] {
  const whole = Uint8Array.from({ length: count * pixels }, (_, i) => {
    const [image, y, x] = [Math.floor(i / pixels), Math.floor((i % pixels) / 28), i % 28];
    return y > 4 + image && y < 20 && x > 6 && x < 22 ? 120 + ((37 * i) % 97) : 0;
  });
  return Array.from({ length: Math.ceil(count / size) }, (_, k) => {
    const [begin, end] = [k * size, Math.min((k + 1) * size, count)];
    const labels = Int32Array.from({ length: end - begin }, (_, i) => (begin + i) % 10);
    return { data: whole.slice(begin * pixels, end * pixels), shape: [end - begin, 1, 28, 28], labels };
  });
}

const tensorOf = ({ data, shape }: ImageBatch) => ({
  data: Float32Array.from(data, (byte) => byte / 127.5 - 1),
  shape,
});
const mean = (values: ArrayLike<number>) => Array.from(values).reduce((sum, v) => sum + v, 0) / values.length;

describe('estimates', () => {
  it('are the mean and s/sqrt(n), within 1e-12', () => {
    const running = new RunningMean();
    for (const value of [2, 4, 4, 5, 10]) running.add(value);
    expect(running.estimate.mean).toBeCloseTo(5, 12);
    expect(running.estimate.standardError).toBeCloseTo(Math.sqrt(36 / 4 / 5), 12);
    expect(new RunningMean().estimate).toEqual({ mean: Number.NaN, standardError: Number.NaN, count: 0 });
  });

  it('put every timestep into the one range that holds it', () => {
    for (const [edges, first, T] of [
      [evenEdges(1000, 20), 0, 1000],
      [evenEdges(7, 20), 0, 7],
      [growingEdges(1, 1000, 40), 1, 1000],
      [growingEdges(1, 12, 40), 1, 12],
    ] as const) {
      expect([edges[0], edges.at(-1)]).toEqual([first, T]);
      const means = new RangeMeans(edges);
      for (let t = first; t < T; t++) means.add(means.rangeOf(t), t);
      for (const { from, to, count, mean } of means.estimates) {
        expect(count).toBe(to - from + 1);
        expect(mean).toBeCloseTo((from + to) / 2, 9);
      }
    }
  });
});

describe('pipeline.evaluate', () => {
  const [all] = images(6);
  const options = { metrics: ['simple', 'vlb'], seed: 3, boundTimesteps: 4, timestepsPerImage: 2 } as const;

  it('means over images what simpleLoss and variationalBound say of them, within 1e-5', async () => {
    const { simple, vlb, ...rest } = await pipeline.evaluate([all], options);
    const how = { seed: 3, condition: { classLabels: Array.from(all.labels!) } };
    const { schedule, model } = pipeline;
    const loss = await simpleLoss(schedule, model.denoiser, tensorOf(all), { ...how, timestepsPerImage: 2 });
    const bound = await variationalBound(schedule, model.denoiser, tensorOf(all), { ...how, timesteps: 4 });
    expect(simple!.noise.mean).toBeCloseTo(loss.overall.noise, 5);
    expect(simple!.start.mean).toBeCloseTo(loss.overall.start, 5);
    expect(vlb!.total.mean).toBeCloseTo(mean(bound.total), 5);
    const terms = vlb!.terms.reduce((sum, term) => sum + term.mean, 0);
    expect(vlb!.prior.mean + terms + vlb!.reconstruction.mean).toBeCloseTo(vlb!.total.mean, 9);
    expect(vlb!.terms.reduce((sum, { steps }) => sum + steps, 0)).toBe(999);
    expect(rest).toMatchObject({ images: 6, complete: true, progress: 1, seed: '3', calls: 6 * (2 + 4) });
  });

  it('does not depend on how the data is cut, within 1e-5', async () => {
    const whole = await pipeline.evaluate([all], options);
    for (const [size, batch] of [
      [1, 64],
      [6, 4],
      [4, 3],
    ]) {
      const cut = await pipeline.evaluate(images(6, size), { ...options, batch });
      expect(cut.simple!.noise.mean).toBeCloseTo(whole.simple!.noise.mean, 5);
      expect(cut.vlb!.total.standardError).toBeCloseTo(whole.vlb!.total.standardError, 5);
    }
  });

  it('gives images in parts what they have in one, by `first`, within 1e-5', async () => {
    const [first, rest] = images(6, 4);
    const parts = [
      await pipeline.evaluate([first], options),
      await pipeline.evaluate([rest], { ...options, first: 4 }),
    ];
    const whole = await pipeline.evaluate([all], options);
    const [a, b] = parts.map(({ vlb }) => vlb!.total.mean);
    expect((4 * a + 2 * b) / 6).toBeCloseTo(whole.vlb!.total.mean, 5);
  });

  it('takes the first `count` images, and says after each batch what is found so far', async () => {
    const found: Evaluation[] = [];
    const data = Object.assign(images(6, 2), { count: 6 });
    for await (const each of pipeline.evaluations(data, { metrics: ['simple'], batch: 2, count: 5 })) found.push(each);
    expect(found.map(({ images, complete }) => [images, complete])).toEqual([
      [2, false],
      [4, false],
      [5, false],
      [5, true],
    ]);
    expect(found.map(({ progress }) => progress)).toEqual([0.4, 0.8, 1, 1]);
    expect(found[0]).toMatchObject({ of: 5, simple: { noise: { count: 2 } } });
  });

  it('is stopped by the signal, with what was found before it in hand', async () => {
    const stop = new AbortController();
    const seen: number[] = [];
    const run = async () => {
      const how = { metrics: ['simple'], batch: 1, signal: stop.signal } as const;
      for await (const { images: done } of pipeline.evaluations(images(6, 1), how)) {
        seen.push(done);
        if (done === 2) stop.abort();
      }
    };
    await expect(run()).rejects.toThrow('aborted');
    expect(seen).toEqual([1, 2]);
  });

  it('finds the likelihood of bytes below their bound', async () => {
    const [two] = images(2);
    const metrics = ['vlb', 'likelihood'] as const;
    const { vlb, likelihood } = await pipeline.evaluate([two], { metrics, boundTimesteps: 40, tolerance: 1e-2 });
    expect(likelihood!.bitsPerDimension.mean).toBeLessThan(vlb!.total.mean);
    expect(likelihood!.calls.count).toBe(2);
  });

  it('compares samples of the images’ classes with them, as compareImages does: 40 samples, 100 images', async () => {
    const [held, training] = [images(100), images(120)];
    const { quality } = await pipeline.evaluate(images(100, 30), {
      metrics: ['quality'],
      seed: 5,
      quality: { samples: 40, training: images(120, 50) },
    });
    const network = await openFeatures('fashion');
    const samples = await pipeline.sample({ count: 40, class: Array.from({ length: 40 }, (_, i) => i % 10), seed: 5 });
    const seen = compareImages(
      { samples: await featureRows(network, samples), reference: await featureRows(network, held) },
      { metrics: ['frechet', 'kernel', 'precision-recall'] },
    );
    const [made, reference, trained] = await Promise.all([samples, held, training].map((set) => pixelRows(set)));
    const { nearer, copies } = memorization({ samples: made, training: trained, heldOut: reference });
    await network.dispose();
    expect(quality).toMatchObject({ samples: 40, images: 100, memorization: { nearer, copies } });
    expect(quality!.precision).toBe(seen.precision);
    expect(quality!.recall).toBe(seen.recall);
    expect(quality!.kernel).toMatchObject(seen.kernel!);
    // of features in other batches, which the network rounds otherwise
    expect(quality!.frechet.distance / seen.frechet!.distance).toBeCloseTo(1, 4);
  });

  it.each([
    [{ metrics: ['beauty'] }, '"metrics" expected one of simple, vlb, likelihood, quality'],
    [{ metrics: [] }, '"metrics" expected at least one'],
    [{ class: 11 }, '"class"'],
    [{ seed: -1 }, '"seed"'],
    [{ timestepPerImage: 3 }, '"timestepPerImage" expected no such option'],
    [{ timestepsPerImage: 0 }, '"timestepsPerImage"'],
    [{ boundTimesteps: 1 }, '"boundTimesteps"'],
    [{ count: 0 }, '"count"'],
  ])('refuses %j by name', async (wrong, message) => {
    await expect(pipeline.evaluate([all], wrong as object)).rejects.toThrow(message);
  });

  it('refuses data that does not fit, saying how', async () => {
    const colour = { data: new Uint8Array(3 * pixels), shape: [1, 3, 28, 28] };
    await expect(pipeline.evaluate([colour])).rejects.toThrow('images [n, 1, 28, 28], as fashion has');
    await expect(pipeline.evaluate([])).rejects.toThrow('at least one image');
    const odd = { ...all, labels: Int32Array.from([0, 1, 2, 3, 4, 99]) };
    await expect(pipeline.evaluate([odd])).rejects.toThrow('"labels" expected 0 to 10, got 99');
    const { labels, ...bare } = all;
    const { simple } = await pipeline.evaluate([bare], { metrics: ['simple'] });
    expect(simple!.noise.count).toBe(6);
  });
});

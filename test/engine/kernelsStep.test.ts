import { describe, expect, it } from 'vitest';
import { allocate, drawNormals, kernels, place } from './raw.ts';
import { type Batch, differences, type Row, referenceStep, rowValues, runStep } from './stepReference.ts';

const engine = kernels();

// values with a known spread, other for every tag
function values(count: number, tag: number, scale = 1): Float32Array {
  return drawNormals(engine, 1, count, { seed: 99n, draw: tag }).map((value) => value * scale);
}

function batchOf(images: number, pixels: number, stride = pixels): Batch {
  const count = images * pixels;
  const others = [3, 4, 5, 6, 7, 8].map((tag) => values(count, tag));
  return {
    images,
    pixels,
    modelStride: stride,
    x: values(count, 1),
    model: values(images * stride, 2, 0.6),
    others,
    seed: 7n,
    draw: 3,
  };
}

const clipped: Row = { a: 1.7, b: -1.3, clip: 1 };
const all = [0.4, -0.2, 0.6, 0.1, -0.3, 0.2, 0.5, -0.7, 0.9];
const rows: Record<string, Row> = {
  'x, start and noise': { ...clipped, weights: [0.4, 0, 0.6], sigma: 0.1 },
  'x and start': { ...clipped, weights: [0.4, 0, 0.6] },
  'model and start': { ...clipped, weights: [0, 0.3, 0.9] },
  'x, model, start and noise': { ...clipped, weights: [0.4, -0.2, 0.6], sigma: 0.1 },
  'x and model, no estimate': { weights: [1.01, -0.2] },
  'start alone, unclipped': { a: 1.7, b: -1.3, weights: [0, 0, 1] },
  'x, start and h1': { ...clipped, weights: [0.4, 0, 0.6, 0.2] },
  'model, h1, h2, h3': { weights: [0, 0.4, 0, 0.3, -0.2, 0.1] },
  'every term': { ...clipped, weights: all, sigma: 0.7 },
  'every term but noise': { ...clipped, weights: all },
  'h6 and noise': { weights: [0, 0, 0, 0, 0, 0, 0, 0, 0.8], sigma: 0.2 },
  'keeps its start, having read the slot': { ...clipped, weights: [0.4, 0, 0.6, 0.2], store: 1, stored: [0, 0, 1] },
  'keeps x and model': { weights: [0.4, 0.1, 0, 0, 0.3], store: 5, stored: [0.7, -0.4, 0] },
  'keeps every term, every term': { ...clipped, weights: all, sigma: 0.7, store: 6, stored: [0.5, 0.2, -0.3] },
  'noise alone': { sigma: 0.5 },
  'thresholded, every term': { a: 1.7, b: -1.3, weights: all, sigma: 0.7, thresholdRatio: 0.9, thresholdMax: 2 },
  'thresholded, kept': {
    a: 1.7,
    b: -1.3,
    weights: [0.4],
    thresholdRatio: 0.9,
    thresholdMax: 2,
    store: 2,
    stored: [0, 0, 1],
  },
  'thresholded start alone': { a: 1.7, b: -1.3, weights: [0, 0, 1], thresholdRatio: 0.95, thresholdMax: 3 },
  nothing: {},
};
const sizes = [1, 3, 4, 15, 16, 17, 31, 33, 784, 1023, 1024, 1025, 2500];

describe('step equals the scalar float32 sum bit for bit', () => {
  for (const [name, row] of Object.entries(rows)) {
    it.each(sizes)(`${name}, 3 images of %i`, (pixels) => {
      const batch = batchOf(3, pixels);
      const expected = referenceStep(engine, row, batch);
      const actual = runStep(engine, row, batch);
      expect(differences(actual.out, expected.out)).toEqual([]);
      expect(differences(actual.start, expected.start)).toEqual([]);
      expect(differences(actual.stored, expected.stored)).toEqual([]);
    });
  }
});

describe('step, what must not matter', () => {
  const row = rows['every term'];
  const expected = runStep(engine, row, batchOf(5, 500));

  it('whether the estimates are kept, or x is overwritten', () => {
    for (const name of Object.keys(rows)) {
      const batch = batchOf(3, 1100);
      const { out } = runStep(engine, rows[name], batch);
      expect(differences(runStep(engine, rows[name], batch, { keepStart: false }).out, out)).toEqual([]);
      expect(differences(runStep(engine, rows[name], batch, { inPlace: true }).out, out)).toEqual([]);
      expect(differences(runStep(engine, rows[name], batch, { keepStart: false, inPlace: true }).out, out)).toEqual([]);
    }
  });

  it('how a batch is split, bit for bit', () => {
    const whole = batchOf(5, 500);
    for (let image = 0; image < 5; image++) {
      const part = (of: Float32Array) => of.slice(image * 500, (image + 1) * 500);
      const others = whole.others!.map((other) => part(other!));
      const one = { ...whole, images: 1, x: part(whole.x!), model: part(whole.model!), others, first: BigInt(image) };
      expect(differences(runStep(engine, row, one).out, part(expected.out))).toEqual([]);
    }
  });

  it('whether the noise is drawn or given, bit for bit', () => {
    const batch = batchOf(5, 500);
    expect(
      differences(runStep(engine, row, { ...batch, noise: drawNormals(engine, 5, 500, batch) }).out, expected.out),
    ).toEqual([]);
  });

  it('what absent images hold: weight 0 reads nothing', () => {
    const broken = new Float32Array(500).fill(NaN);
    const batch = { images: 1, pixels: 500, x: values(500, 1) };
    const { out } = runStep(engine, { weights: [0.5], sigma: 0.2 }, batch, { keepStart: false });
    const others = [broken, broken, broken, broken];
    const actual = runStep(engine, { weights: [0.5], sigma: 0.2 }, { ...batch, model: broken, others });
    expect(differences(actual.out, out)).toEqual([]);
    expect(out.every(Number.isFinite)).toBe(true);
  });
});

describe('step, values that are no numbers', () => {
  it.each([
    ['clipped', clipped],
    ['unclipped', { a: 1.7, b: -1.3 }],
    ['thresholded', { a: 1.7, b: -1.3, thresholdRatio: 0.9, thresholdMax: 2 }],
  ])('NaN in the model goes through, %s', (_, row) => {
    const batch = batchOf(1, 37);
    for (const at of [0, 18, 36]) {
      const model = batch.model!.slice();
      model[at] = NaN;
      const { out } = runStep(engine, { ...row, weights: [0.5, 0, 0.5] }, { ...batch, model });
      expect(out[at]).toBeNaN();
    }
  });

  it('an infinite model is clipped like any other value', () => {
    const batch = batchOf(1, 37);
    const model = batch.model!.map((_, i) => (i % 2 === 0 ? Infinity : -Infinity));
    const { out } = runStep(engine, { ...clipped, weights: [0, 0, 1] }, { ...batch, model });
    expect(
      differences(
        out,
        model.map((value) => (value > 0 ? -1 : 1)),
      ),
    ).toEqual([]);
  });
});

describe('learned variance', () => {
  const pixels = 1030;

  it('VARIANCE_LEARNED: sigma * sqrt(max(v, 0)) a pixel, bit for bit', () => {
    const batch = batchOf(2, pixels, 2 * pixels);
    const row: Row = { ...clipped, weights: [0.4, 0, 0.6], sigma: 0.9, variance: 1 };
    expect(differences(runStep(engine, row, batch).out, referenceStep(engine, row, batch).out)).toEqual([]);
  });

  it('VARIANCE_LEARNED_RANGE: sigma * exp(lv / 2), within 1e-6 of the term', () => {
    const batch = batchOf(2, pixels, 2 * pixels);
    const row: Row = { sigma: 1, variance: 2, logVarianceMin: -92, logVarianceMax: -0.5 };
    const { out } = runStep(engine, row, batch);
    const expected = referenceStep(engine, row, batch).out;
    for (let i = 0; i < out.length; i++)
      expect(Math.abs(out[i] - expected[i])).toBeLessThanOrEqual(1e-6 * Math.abs(expected[i]));
  });

  it('its exp is within 1 ulp from the least subnormal to the largest float, and goes to 0 and infinity beyond', () => {
    const count = 200_000;
    const [low, high] = [-215, 180]; // twice the exponents: exp(-107.5) is 0, exp(90) infinite
    const v = Float32Array.from({ length: count }, (_, i) => (2 * i) / (count - 1) - 1);
    const model = Float32Array.from({ length: 2 * count }, (_, i) => (i < count ? 0 : v[i - count]));
    const noise = new Float32Array(count).fill(1);
    const row: Row = { sigma: 1, variance: 2, logVarianceMin: low, logVarianceMax: high };
    const { out } = runStep(engine, row, { images: 1, pixels: count, modelStride: 2 * count, model, noise });
    const f = Math.fround;
    let worst = 0;
    for (let i = 0; i < count; i++) {
      const fraction = f(f(v[i] + 1) * 0.5);
      const exact = Math.exp(f(f(f(fraction * high) + f(f(1 - fraction) * low)) * 0.5));
      if (exact > 3.4028235e38) expect(out[i]).toBe(Infinity);
      else worst = Math.max(worst, Math.abs(out[i] - exact) / ulp(exact));
    }
    expect(worst).toBeLessThan(1);
    expect(out[0]).toBe(0);
  });

  it('NaN in the variance goes through', () => {
    const batch = batchOf(1, 5, 10);
    batch.model![7] = NaN;
    for (const variance of [1, 2] as const) {
      const { out } = runStep(engine, { sigma: 1, variance, logVarianceMin: -9, logVarianceMax: -1 }, batch);
      expect([...out].map(Number.isNaN)).toEqual([false, false, true, false, false]);
    }
  });

  it('given noise is left as it was', () => {
    const noise = values(2 * pixels, 8);
    const batch = { ...batchOf(2, pixels, 2 * pixels), noise };
    const row: Row = { ...clipped, weights: [0.4, 0, 0.6], sigma: 0.9, variance: 1 };
    const { out } = runStep(engine, row, batch);
    expect(differences(out, referenceStep(engine, row, batch).out)).toEqual([]);
    const draw = drawNormals(engine, 2, pixels, batch);
    expect(
      differences(
        runStep(engine, row, { ...batch, noise: draw }).out,
        runStep(engine, row, { ...batch, noise: undefined }).out,
      ),
    ).toEqual([]);
  });
});

describe('dynamic thresholding', () => {
  const estimate: Row = { a: 1.7, b: -1.3, weights: [0.3, 0, 0.7] };

  it.each([0.5, 0.9, 0.95, 0.995, 0.999, 1])('the float32 quantile at %d, bit for bit', (thresholdRatio) => {
    for (const pixels of [1, 2, 5, 64, 784, 3072, 5000]) {
      const batch = batchOf(3, pixels);
      const row = { ...estimate, thresholdRatio, thresholdMax: 4 };
      const expected = referenceStep(engine, row, batch);
      const actual = runStep(engine, row, batch);
      expect(differences(actual.start, expected.start)).toEqual([]);
      expect(differences(actual.out, expected.out)).toEqual([]);
    }
  });

  it('the limit stays in [1, thresholdMax]', () => {
    const batch = batchOf(2, 200);
    const narrow = { ...batch, x: batch.x!.map((v) => v * 0.01), model: batch.model!.map((v) => v * 0.01) };
    const row = { ...estimate, thresholdRatio: 0.9, thresholdMax: 1.5 };
    for (const input of [batch, narrow])
      expect(differences(runStep(engine, row, input).start, referenceStep(engine, row, input).start)).toEqual([]);
  });

  it('equal, sorted and infinite values are as quick as any', () => {
    const pixels = 1 << 18;
    const model = new Float32Array(pixels);
    const row = { a: 1, b: 0, weights: [0, 0, 1], thresholdRatio: 0.995, thresholdMax: 3 };
    for (const of of [() => 2, (i: number) => i / pixels, (i: number) => -i, (i: number) => (i % 2 ? Infinity : 0)]) {
      const x = model.map((_, i) => of(i));
      const begun = performance.now();
      const { start } = runStep(engine, row, { images: 1, pixels, x, model });
      expect(performance.now() - begun).toBeLessThan(500);
      expect(
        differences(start, referenceStep(engine, row, { images: 1, pixels, x, model, noise: model }).start),
      ).toEqual([]);
    }
  });

  it('without memory to sort in, step returns 0 and leaves the arena as it was', () => {
    const small = kernels();
    const row = place(small, rowValues({ ...estimate, thresholdRatio: 0.9 }));
    const x = allocate(small, 64);
    const buffers = place(small, new Uint32Array([x, x, 0, 0, 0, 0, 0, 0, x]));
    const mark = small.mark();
    expect(small.step(row, buffers, 1, 0x3fffffff, 0x3fffffff, 0n, 0, 0n)).toBe(0);
    expect(small.mark()).toBe(mark);
  });
});

// the distance of neighbouring float32 numbers about a positive value
function ulp(value: number): number {
  return 2 ** Math.max(Math.floor(Math.log2(value)) - 23, -149);
}

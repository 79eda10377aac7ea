import type { InferenceSession, Tensor } from 'onnxruntime-common';

/** onnxruntime, native or in a browser. */
export interface Ort {
  readonly InferenceSession: typeof InferenceSession;
  readonly Tensor: typeof Tensor;
}

/** Training on batches that stay the same; plain data, so that a page of a browser can be sent it. */
export interface Problem {
  readonly lossGraph: readonly number[];
  /** The parts of the vectors that are updated apart. */
  readonly slices: readonly Slice[];
  readonly parameters: readonly number[];
  /** What each worker's loss graph is fed besides the vectors. */
  readonly batches: readonly Record<string, Feed>[];
  readonly steps: number;
  readonly learningRate: number;
}

export interface Slice {
  readonly begin: number;
  readonly end: number;
  readonly reduceGraph: readonly number[];
  readonly updateGraph: readonly number[];
}

export interface Feed {
  readonly type: 'float32' | 'int64';
  readonly data: readonly number[];
  readonly dims: readonly number[];
}

/** What came of it: each step's loss, the first step's errors and gradient, and the vectors in the end. */
export interface Trained {
  readonly losses: number[];
  readonly errors: number[];
  readonly gradient: number[];
  readonly parameters: number[];
  readonly ema: number[];
}

/** AdamW with betas 0.9 and 0.999, clipped at norm 1, by the three graphs: as data-parallel workers would, in turn. */
export async function train(ort: Ort, problem: Problem, executionProviders: readonly string[]): Promise<Trained> {
  const { batches, slices, steps, learningRate } = problem;
  const open = (bytes: readonly number[]) =>
    ort.InferenceSession.create(Uint8Array.from(bytes), {
      executionProviders: [...executionProviders],
      logSeverityLevel: 3,
    });
  const floats = (data: Float32Array, dims = [data.length]) => new ort.Tensor('float32', data, dims);
  const loss = await open(problem.lossGraph);
  const updaters = [];
  for (const slice of slices)
    updaters.push({ ...slice, reduce: await open(slice.reduceGraph), update: await open(slice.updateGraph) });

  const size = problem.parameters.length;
  const state: Record<string, Float32Array> = {
    parameters: Float32Array.from(problem.parameters),
    first_moments: new Float32Array(size),
    second_moments: new Float32Array(size),
    ema: Float32Array.from(problem.parameters),
  };
  const losses: number[] = [];
  const errors: number[] = [];
  let first: number[] = [];
  for (let t = 1; t <= steps; t++) {
    // every worker its part of the batch
    const parts = new Float32Array(batches.length * size);
    losses[t - 1] = 0;
    for (const [i, batch] of batches.entries()) {
      const feeds = Object.entries(batch).map(([name, { type, data, dims }]) => {
        const numbers = type === 'int64' ? BigInt64Array.from(data, BigInt) : Float32Array.from(data);
        return [name, new ort.Tensor(type, numbers as Float32Array, [...dims])];
      });
      const vectors = { parameters: floats(state.parameters), gradient_before: floats(new Float32Array(size)) };
      const results = await loss.run({ ...Object.fromEntries(feeds), ...vectors });
      parts.set(results.gradient.data as Float32Array, i * size);
      losses[t - 1] += Number(results.loss.data[0]);
      if (t === 1) errors.push(...(results.errors.data as Float32Array));
    }

    // every slice its sum; the norm is that of all
    let squares = 0;
    const gradient = new Float32Array(size);
    for (const { reduce, begin, end } of updaters) {
      const rows = batches.flatMap((_, i) => [...parts.subarray(i * size + begin, i * size + end)]);
      const results = await reduce.run({ gradients: floats(Float32Array.from(rows), [batches.length, end - begin]) });
      gradient.set(results.gradient.data as Float32Array, begin);
      squares += Number(results.squares.data[0]);
    }
    if (t === 1) first = [...gradient];
    const rates = [Math.min(1, 1 / Math.sqrt(squares)), learningRate, 1 / (1 - 0.9 ** t), 1 / (1 - 0.999 ** t), 0.9];
    for (const { update, begin, end } of updaters) {
      const own = Object.entries({ ...state, gradient }).map(([name, x]) => [name, floats(x.slice(begin, end))]);
      const results = await update.run({ ...Object.fromEntries(own), rates: floats(Float32Array.from(rates)) });
      for (const [name, x] of Object.entries(state)) x.set(results[`new_${name}`].data as Float32Array, begin);
    }
  }
  const [parameters, ema] = [state.parameters, state.ema].map((x) => [...x]);
  return { losses, errors, gradient: first, parameters, ema };
}

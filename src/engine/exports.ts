/** What engine.wasm exports; pointers are byte offsets into its memory, seeds and image indices are 64-bit. */
export interface EngineExports extends WebAssembly.Exports {
  readonly memory: WebAssembly.Memory;
  alloc(bytes: number): number;
  mark(): number;
  reset(mark: number): void;

  schedule(out: number, kind: number, T: number, start: number, end: number, zeroSnr: boolean, single: boolean): void;
  timesteps(out: number, spacing: number, T: number, n: number, offset: number): number;
  reverse(values: number, n: number): void;
  solverTimesteps(out: number, spacing: number, T: number, n: number, offset: number, last: number): number;
  realTimesteps(out: number, spacing: number, T: number, n: number, offset: number, single: boolean): number;
  lcmTimesteps(out: number, T: number, n: number, original: number): number;
  sdeTimesteps(out: number, T: number, n: number): number;
  trainSigmas(out: number, abar: number, T: number, single: boolean): void;
  sigmasAt(out: number, timesteps: number, n: number, sigmas: number, T: number): void;
  spacedSigmas(out: number, kind: number, n: number, from: number, to: number): void;
  lookupBytes(T: number): number;
  fillLookup(lookup: number, sigmas: number, T: number, single: boolean, continuous: boolean): void;
  timestepsOf(out: number, sigmas: number, n: number, lookup: number): void;

  // each returns how many rows it filled
  planDdpm(...args: [...InTraining, variance: number]): number;
  planDdim(...args: [...InTraining, finalAbar: number, eta: number, rederive: boolean]): number;
  planDdimInverse(...args: [...InTraining, initialAbar: number]): number;
  planPndm(...args: [...InTraining, stride: number, finalAbar: number, skipPrk: boolean]): number;
  planLcm(...args: [...InTraining, scaling: number]): number;
  planEulerMaruyama(
    rows: number,
    timesteps: number,
    n: number,
    abar: number,
    betas: number,
    T: number,
    answer: number,
    corrections: number,
    snr: number,
  ): number;
  planDpm(
    ...args: [...InSigma, algorithm: number, order: number, heun: boolean, lowerFinal: boolean, eulerFinal: boolean]
  ): number;
  planDpmSinglestep(...args: [...InSigma, algorithm: number, heun: boolean, orders: number]): number;
  planUnipc(
    ...args: [...InSigma, order: number, bh1: boolean, data: boolean, lowerFinal: boolean, corrects: number]
  ): number;
  planDeis(...args: [...InSigma, order: number, lowerFinal: boolean]): number;
  planLms(...args: [...InSigma, order: number]): number;
  planEuler(...args: [...InSigma, churn: number, lookup: number]): number;
  planHeun(...args: [...InSigma, churn: number, lookup: number]): number;
  planDpm2(...args: [...InSigma, eta: number, lookup: number]): number;
  planEulerAncestral(...args: [...InSigma, eta: number]): number;

  philox(out: number, key: bigint, c0: number, c1: number, c2: number, c3: number): void;
  normals(out: number, images: number, pixels: number, seed: bigint, draw: number, first: bigint): void;
  torchStateBytes(): number;
  torchSeed(state: number, seed: number): void;
  torchNormals(state: number, out: number, count: number): void;

  step(
    row: number,
    buffers: number,
    images: number,
    pixels: number,
    modelStride: number,
    seed: bigint,
    draw: number,
    first: bigint,
  ): number; // 0 where there is no memory for thresholding
  mix(out: number, x: number, y: number, coefficients: number, images: number, pixels: number): void;
  finite(values: number, count: number): number;
  blend(x: number, known: number, mask: number, count: number): void;
  redirect(model: number, x: number, start: number, a: number, b: number, count: number): void;
  dot(x: number, y: number, count: number, shift: number): number;
  variance(values: number, count: number): number;
  squaredError(x: number, cx: number, y: number, cy: number, z: number, count: number): number;
  crossEntropy(
    ...args: [x: number, y: number, scale: number, variance: number, ...spread: LogVariance, count: number]
  ): number;
  discretized(...args: [x: number, mean: number, ...spread: LogVariance, count: number]): number;
  spreads(...args: [out: number, ...spread: LogVariance, count: number, exponential: boolean]): void;
  logs(out: number, v: number, count: number): void;
  combine(out: number, terms: number, n: number, count: number): void;
  scaledError(error: number, x: number, y: number, count: number, tolerance: number): number;
  signs(values: number, count: number, row: number): void;
  uniforms(out: number, count: number, seed: bigint, draw: number, image: bigint): void;
  toBytes(out: number, x: number, channels: number, plane: number): void;
  fromBytes(out: number, bytes: number, channels: number, plane: number): void;
}

/** Steps between training timesteps, of which abar is given; `answer` says how the network's answer is read. */
type InTraining = [rows: number, timesteps: number, n: number, abar: number, answer: number];
/** Steps between n + 1 sigmas. */
type InSigma = [rows: number, timesteps: number, sigmas: number, n: number, answer: number];
/** A log-variance p + q*v for each value v. */
type LogVariance = [v: number, p: number, q: number];

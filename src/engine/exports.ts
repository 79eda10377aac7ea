/** What engine.wasm exports; pointers are byte offsets into its memory, seeds and image indices are 64-bit. */
export interface EngineExports extends WebAssembly.Exports {
  readonly memory: WebAssembly.Memory;
  alloc(bytes: number): number;
  mark(): number;
  reset(mark: number): void;

  schedule(out: number, kind: number, T: number, start: number, end: number, zeroSnr: boolean, single: boolean): void;
  timesteps(out: number, spacing: number, T: number, n: number, offset: number): number;
  reverse(values: number, n: number): void;
  planDdpm(...args: [...PlanArguments, variance: number]): void;
  planDdim(...args: [...PlanArguments, finalAbar: number, eta: number, rederive: boolean]): void;
  planDdimInverse(...args: [...PlanArguments, initialAbar: number]): void;

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
  toBytes(out: number, x: number, channels: number, plane: number): void;
  fromBytes(out: number, bytes: number, channels: number, plane: number): void;
}

type PlanArguments = [
  rows: number,
  timesteps: number,
  n: number,
  abar: number,
  prediction: number,
  clip: number,
  thresholdRatio: number,
  thresholdMax: number,
];

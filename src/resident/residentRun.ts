import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-web';
import { DdpmError } from '../core/errors.ts';
import { sizeOf, type Tensor } from '../core/tensor.ts';
import { firstBad } from '../diffusion/answers.ts';
import type { Guidance } from '../diffusion/guidance.ts';
import type { Origin } from '../diffusion/origin.ts';
import type { Plan, PlanRow } from '../diffusion/plan.ts';
import type { RunOptions } from '../diffusion/runOptions.ts';
import type { Walker } from '../diffusion/walk.ts';
import { inTurn } from '../model/call.ts';
import { numberTensor } from '../model/feeds.ts';
import type { Network } from '../model/network.ts';
import { ortError } from '../model/ortError.ts';
import { type Gpu, GpuTensor } from './gpuTensor.ts';
import { type RowTerms, rowWeights, type Weight } from './rowGraph.ts';

/** What a run is made with. */
export interface ResidentParts {
  readonly gpu: Gpu;
  readonly network: Network;
  /** A session of `rowGraph`. */
  readonly rows: InferenceSession;
  readonly terms: RowTerms;
  readonly plan: Plan;
  readonly origin: Origin;
  readonly guidance: Guidance | undefined;
}

/** The images of one network call, and the rest of what rows work on. */
interface Chunk {
  readonly begin: number;
  readonly count: number;
  readonly labels: readonly number[] | undefined;
  readonly model: GpuTensor;
  readonly start: GpuTensor;
  readonly pair: GpuTensor | undefined;
  readonly noise: GpuTensor | undefined;
  /** By the names of h1 to h6. */
  readonly slots: Map<string, GpuTensor>;
  x: GpuTensor;
  /** Where a row writes the next x, and where what it keeps: never what it reads. */
  next: GpuTensor;
  stored: GpuTensor | undefined;
}

const slotName = /^h\d$/;

// WGSL knows no infinity
const largest = 3.4028234663852886e38;

/** The state of a run in buffers of the GPU: the network writes its answer to one, a small graph applies a row to them. */
export class ResidentRun implements Walker {
  readonly #parts: ResidentParts;
  readonly #options: RunOptions & { readonly keepStart: boolean };
  readonly #tensors: GpuTensor[] = [];
  readonly #weights: ReadonlyMap<Weight, GpuTensor>;
  readonly #chunks: readonly Chunk[];
  readonly #written: Partial<Record<Weight, number>> = {};
  #at = '';
  #submitted: Promise<unknown> | undefined;

  constructor(parts: ResidentParts, options: RunOptions & { readonly keepStart: boolean }) {
    this.#parts = parts;
    this.#options = options;
    this.#weights = new Map(rowWeights(parts.terms).map((name) => [name, this.#tensor([1])]));
    const [count] = options.shape;
    const most = parts.guidance ? Math.floor(parts.network.batch / 2) : parts.network.batch;
    this.#chunks = Array.from({ length: Math.ceil(count / most) }, (_, i) =>
      this.#chunk(i * most, Math.min(count, (i + 1) * most)),
    );
    if (parts.guidance) {
      this.#writeWeight('scale', parts.guidance.scale);
      this.#writeWeight('rest', 1 - parts.guidance.scale);
    }
  }

  async predict(row: number): Promise<void> {
    const { network, plan } = this.#parts;
    const { ort, signature, session } = network;
    const { image, time, label, output } = signature;
    const { timestep } = plan.rows[row];
    this.#at = `at step ${row + 1} of ${plan.rows.length} (timestep ${timestep})`;
    for (const { x, pair, model, labels } of this.#chunks) {
      const images = (pair ?? x).tensor;
      const timesteps = new Array<number>(images.dims[0]).fill(timestep);
      const feeds = {
        [image.name]: images,
        [time.name]: numberTensor(ort, time, timesteps),
        ...(label && labels && { [label.name]: numberTensor(ort, label, labels) }),
      };
      await inTurn(network, () => session.run(feeds, { [output.name]: model.tensor }, quiet));
    }
  }

  async step(index: number): Promise<void> {
    const { plan, rows, origin, network, gpu } = this.#parts;
    const row = plan.rows[index];
    for (const name of this.#weights.keys()) if (name in row) this.#writeWeight(name, row[name as keyof PlanRow]);
    const clip = Math.min(row.clip, largest);
    const number = (value: number) => new network.ort.Tensor('float32', Float32Array.of(value), []);
    const numbers: Record<string, OrtTensor> = { low: number(-clip), high: number(clip) };
    for (const [name, { tensor }] of this.#weights) numbers[`row.${name}`] = tensor;
    // of the engine's random numbers, in its order; draw 0 is x_T
    const noise = row.sigma !== 0 ? origin.view(origin.noise(index + 1)).data : undefined;

    for (const chunk of this.#chunks) {
      if (noise) chunk.noise!.write(this.#part(noise, chunk));
      const [feeds, fetches] = this.#tensorsOf(chunk, row);
      await inTurn(network, () => rows.run({ ...numbers, ...feeds }, fetches, quiet));
      [chunk.x, chunk.next] = [chunk.next, chunk.x];
      const slot = chunk.slots.get(`h${row.store}`);
      if (slot && chunk.stored) {
        chunk.slots.set(`h${row.store}`, chunk.stored);
        chunk.stored = slot;
      }
    }
    // at most one step ahead of the GPU; meanwhile a signal can be heard
    const before = this.#submitted;
    this.#submitted = gpu.device.queue.onSubmittedWorkDone();
    await before;
  }

  async state(): Promise<{ x: Tensor; start: Tensor }> {
    const kept = this.#options.keepStart ? this.#chunks.map(({ start }) => start) : [];
    const [x, start] = await Promise.all([this.#read(this.#chunks.map((chunk) => chunk.x)), this.#read(kept)]);
    return { x, start };
  }

  /** Frees the buffers. */
  dispose(): void {
    for (const tensor of this.#tensors) tensor.dispose();
  }

  #chunk(begin: number, end: number): Chunk {
    const { terms, guidance, origin } = this.#parts;
    const { shape, condition } = this.#options;
    const count = end - begin;
    const of = (images: number) => this.#tensor([images, ...shape.slice(1)]);
    const classes = condition?.classLabels && Array.from(condition.classLabels).slice(begin, end);
    const slots = terms.sum.filter((name) => slotName.test(name)).map((name) => [name, of(count)] as const);
    const chunk = {
      ...{ begin, count, slots: new Map(slots), x: of(count), next: of(count), start: of(count) },
      labels: guidance && classes ? [...classes, ...classes.map(() => guidance.unconditional)] : classes,
      model: of(guidance ? 2 * count : count),
      pair: guidance && of(2 * count),
      noise: terms.sum.includes('sigma') ? of(count) : undefined,
      stored: terms.stored.length > 0 ? of(count) : undefined,
    };
    const first = this.#part(origin.view(origin.x).data, chunk);
    chunk.x.write(first);
    chunk.pair?.write(first);
    chunk.pair?.write(first, first.length);
    return chunk;
  }

  /** What a row reads and what it writes; the estimate of a row without a network call is that of the step before. */
  #tensorsOf({ x, next, model, start, pair, noise, slots, stored }: Chunk, row: PlanRow) {
    const feeds: Record<string, OrtTensor> = { x: x.tensor, model: model.tensor };
    if (noise) feeds.noise = noise.tensor;
    for (const [name, { tensor }] of slots) feeds[name] = tensor;
    const fetches: Record<string, OrtTensor> = { next: next.tensor };
    if (row.calls > 0 && this.#options.keepStart) fetches.start = start.tensor;
    if (stored && slots.has(`h${row.store}`)) fetches.stored = stored.tensor;
    if (pair) fetches.pair = pair.tensor;
    return [feeds, fetches] as const;
  }

  #writeWeight(name: Weight, value: number): void {
    if (this.#written[name] === value) return;
    this.#weights.get(name)!.write(Float32Array.of(value));
    this.#written[name] = value;
  }

  async #read(parts: readonly GpuTensor[]): Promise<Tensor> {
    const { shape } = this.#options;
    const data = new Float32Array(parts.length > 0 ? sizeOf(shape) : 0);
    let at = 0;
    const reads = Promise.all(parts.map((tensor) => tensor.read()));
    for (const part of await reads.catch((error) =>
      Promise.reject(ortError('network-failed', 'the GPU failed', error)),
    )) {
      data.set(part, at);
      at += part.length;
    }
    if (!data.every(Number.isFinite))
      throw new DdpmError('network-failed', `the network gave ${firstBad(data)} ${this.#at} or before`);
    return { data, shape };
  }

  #part(images: Float32Array, { begin, count }: Pick<Chunk, 'begin' | 'count'>): Float32Array<ArrayBuffer> {
    const size = sizeOf(this.#options.shape.slice(1));
    return images.subarray(begin * size, (begin + count) * size) as Float32Array<ArrayBuffer>;
  }

  #tensor(dims: readonly number[]): GpuTensor {
    const tensor = new GpuTensor(this.#parts.gpu, dims);
    this.#tensors.push(tensor);
    return tensor;
  }
}

const quiet = { logSeverityLevel: 4 } as const;

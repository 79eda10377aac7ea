import type { InferenceSession } from 'onnxruntime-web';
import { DdpmError } from '../core/errors.ts';
import type { Tensor } from '../core/tensor.ts';
import type { Guidance } from '../diffusion/guidance.ts';
import { Origin } from '../diffusion/origin.ts';
import { type Plan, planFromRows } from '../diffusion/plan.ts';
import { checkRun, type RunOptions } from '../diffusion/runOptions.ts';
import { runPlan, type Step } from '../diffusion/sample.ts';
import { walk } from '../diffusion/walk.ts';
import type { Engine } from '../engine/engine.ts';
import { inTurn } from '../model/call.ts';
import { fixedBatch, isShared } from '../model/feeds.ts';
import type { Network } from '../model/network.ts';
import type { Model } from '../model/types.ts';
import type { Gpu } from './gpuTensor.ts';
import { ResidentRun } from './residentRun.ts';
import { type RowTerms, rowGraph, rowTerms } from './rowGraph.ts';

/** What there is to say of a network's images on the GPU, and what keeps them there. */
export interface Residence {
  readonly note: string;
  readonly resident?: Resident;
}

/** Runs plans with x, the answers and what rows keep on the GPU: random numbers go up, and what is asked for comes down. */
export interface Resident {
  /** Whether it can do a run; what it cannot, the engine does. */
  covers(plan: Plan, options: RunOptions, guidance: Guidance | undefined): boolean;
  /** As `runPlan`. */
  run(plan: Plan, options: RunOptions, guidance: Guidance | undefined): Promise<Tensor>;
  /** As `planSteps`; x and start are copies. */
  steps(plan: Plan, options: RunOptions, guidance: Guidance | undefined): AsyncGenerator<Step, void, void>;
  dispose(): Promise<void>;
}

/**
 * Keeps a network's images on the GPU where that can be done, and by default where a few steps of one image are faster
 * so.
 *
 * @param wanted whether to do it without a trial
 */
export async function openResident(engine: Engine, model: Model, wanted: boolean | undefined): Promise<Residence> {
  const { network } = model.denoiser;
  const reason = network ? obstacle(network, model) : 'its network is not at hand';
  if (reason) return { note: `images come from the GPU at each step: ${reason}` };
  const resident = await residentOf(engine, model, network!);
  if (wanted) return { note: 'images stay on the GPU between steps, as asked for', resident };
  const { faster, note } = await compare(engine, model, resident).catch((error: Error) => {
    return { faster: false, note: `images come from the GPU at each step: ${error.message}` };
  });
  if (faster) return { note, resident };
  await resident.dispose();
  return { note };
}

/** Why a network's images cannot stay on the GPU, or undefined. */
function obstacle({ signature, zeroCopy }: Network, { shape, outChannels }: Model): string | undefined {
  const { image, output, label } = signature;
  if (zeroCopy) return 'onnxruntime-node cannot read them back';
  if (image.type !== 'float32' || output.type !== 'float32') return 'the network takes or gives float16';
  if (outChannels !== shape[0]) return 'the network predicts a variance';
  if (fixedBatch(signature) !== undefined) return 'the network takes a fixed number of images';
  if (label && isShared(label)) return 'the network takes one class for all images';
  return undefined;
}

async function residentOf(engine: Engine, model: Model, network: Network): Promise<Resident> {
  const { ort } = network;
  const gpu: Gpu = { ort, device: (await ort.env.webgpu.device) as GPUDevice };
  const sessions = new Map<string, InferenceSession>();

  const sessionOf = async (terms: RowTerms): Promise<InferenceSession> => {
    const key = JSON.stringify(terms);
    const options = { executionProviders: ['webgpu'], logSeverityLevel: 4 } as const;
    return inTurn(network, async () => {
      const session = sessions.get(key) ?? (await ort.InferenceSession.create(rowGraph(terms), options));
      sessions.set(key, session);
      return session;
    });
  };

  async function* run(plan: Plan, options: RunOptions & { keepStart: boolean }, guidance: Guidance | undefined) {
    checkRun(plan, model.denoiser, options);
    const terms = rowTerms(plan.rows, guidance !== undefined);
    const rows = await sessionOf(terms);
    const arena = await engine.lease();
    try {
      const origin = new Origin(arena, plan, options);
      gpu.device.pushErrorScope('out-of-memory');
      const walker = new ResidentRun({ gpu, network, rows, terms, plan, origin, guidance }, options);
      try {
        const missing = await gpu.device.popErrorScope();
        if (missing) throw new DdpmError('out-of-memory', `the GPU has no memory for ${options.shape[0]} images`);
        yield* walk(plan, walker, options);
      } finally {
        walker.dispose();
      }
    } finally {
      engine.release(arena);
    }
  }

  return {
    covers({ rows }, { guide, inpaint }, guidance) {
      const plain = rows.every((row) => row.variance === 0 && row.thresholdRatio === 0 && row.langevin === 0);
      return plain && !guide && !inpaint && (!guidance || (!guidance.rescale && network.batch > 1));
    },
    async run(plan, options, guidance) {
      for await (const { x } of run(plan, { ...options, every: plan.calls, keepStart: false }, guidance)) return x;
      throw new Error('a plan calls the network at least once');
    },
    steps: (plan, options, guidance) => run(plan, { ...options, keepStart: true }, guidance),
    async dispose() {
      for (const session of sessions.values()) await session.release();
    },
  };
}

// where a step takes longer, what is saved on the way does not count
const longStep = 100;
const trialSteps = 3;

/** Times the same steps of one image each way, the first of each, which compiles shaders, apart. */
async function compare(engine: Engine, model: Model, resident: Resident): Promise<{ faster: boolean; note: string }> {
  const options: RunOptions = {
    ...{ shape: [1, ...model.shape], seed: 0 },
    condition: model.classes > 0 ? { classLabels: [0] } : undefined,
  };
  const timed = async (run: (plan: Plan) => Promise<unknown>, steps: number) => {
    const started = performance.now();
    await run(trialPlan(engine, steps));
    return (performance.now() - started) / steps;
  };
  const apart = (plan: Plan) => runPlan(plan, model.denoiser, options);
  const together = (plan: Plan) => resident.run(plan, options, undefined);
  await timed(apart, 1);
  const step = await timed(apart, 1);
  if (step > longStep)
    return { faster: false, note: `images come from the GPU at each step, which takes ${step.toFixed(0)} ms` };

  await timed(together, 1);
  const times = [Infinity, Infinity];
  for (let round = 0; round < 2; round++) {
    times[0] = Math.min(times[0], await timed(together, trialSteps));
    times[1] = Math.min(times[1], await timed(apart, trialSteps));
  }
  const [on, off] = times.map((time) => `${time.toFixed(1)} ms`);
  return times[0] < times[1]
    ? { faster: true, note: `images stay on the GPU between steps: ${on} a step, and not ${off}` }
    : { faster: false, note: `images come from the GPU at each step: ${off} a step, and not ${on}` };
}

/** Rows with the terms of DDIM. */
function trialPlan(engine: Engine, steps: number): Plan {
  const zeros = { h1: 0, h2: 0, h3: 0, h4: 0, h5: 0, h6: 0, store: 0, storeX: 0, storeModel: 0, storeStart: 0 };
  const none = { variance: 0, logVarianceMin: 0, logVarianceMax: 0, thresholdRatio: 0, thresholdMax: 0, langevin: 0 };
  const row = {
    ...zeros,
    ...none,
    timestep: 1,
    a: 1,
    b: -0.1,
    clip: 1,
    x: 0,
    model: 0.1,
    start: 0.9,
    sigma: 0,
    calls: 1,
  };
  return planFromRows(engine, { rows: Array.from({ length: steps }, () => row) });
}

import { InferenceSession, Tensor } from 'onnxruntime-node';
import { sizeOf } from '../../src/core/tensor.ts';
import { parseUNetConfig } from '../../src/core/unetConfig.ts';
import type { Engine, Schedule } from '../../src/index.ts';
import { normalKl } from '../../src/index.ts';
import { unetParameters } from '../../src/onnx/index.ts';
import {
  COEFFICIENTS,
  coefficientsOf,
  type LossGraphOptions,
  lossGraph,
  type TrainingConfig,
} from '../../src/train/index.ts';
import { type ReferenceConfig, referenceUNet } from '../onnx/reference.ts';
import { randomWeights } from '../onnx/support.ts';

export type Loss = TrainingConfig['loss'];

/** The mean squared error of the noise, all timesteps alike. */
export const plainLoss: Loss = {
  ...{ prediction: 'epsilon', weighting: 'none', gamma: 5, k: 1, variance: 'fixed', varianceWeight: 0.001 },
};

/** A small network with attention and classes, and random weights in which nothing is zero. */
export function tinyNetwork({ learned = false, classes = 3 }: { learned?: boolean; classes?: number | null } = {}) {
  const raw: ReferenceConfig = {
    ...{ sample_size: [8, 8], in_channels: 2, out_channels: learned ? 4 : 2, center_input_sample: false },
    ...{ time_embedding_type: 'positional', time_embedding_dim: null, freq_shift: 0, flip_sin_to_cos: true },
    ...{ down_block_types: ['DownBlock2D', 'AttnDownBlock2D'], mid_block_type: 'UNetMidBlock2D' },
    ...{ up_block_types: ['AttnUpBlock2D', 'UpBlock2D'], block_out_channels: [8, 16], layers_per_block: 1 },
    ...{ mid_block_scale_factor: 1, downsample_padding: 1, downsample_type: 'conv', upsample_type: 'conv' },
    ...{ act_fn: 'silu', attention_head_dim: 8, norm_num_groups: 4, attn_norm_num_groups: null, norm_eps: 1e-5 },
    ...{ resnet_time_scale_shift: 'default', add_attention: true, class_embed_type: null, num_class_embeds: classes },
    num_train_timesteps: null,
  };
  const { config } = parseUNetConfig(JSON.parse(JSON.stringify(raw)));
  const shapes = unetParameters(config);
  const weights = randomWeights(7);
  const vector = Float32Array.from([...shapes].flatMap(([key, shape]) => [...weights.get(key, [...shape])]));
  return { raw, config, shapes, weights, vector };
}

export type TinyNetwork = ReturnType<typeof tinyNetwork>;

/** Images, and where each is tried. */
export interface Trial {
  readonly x0: { readonly data: Float32Array; readonly shape: readonly number[] };
  readonly noise: Float32Array;
  readonly timesteps: readonly number[];
  readonly labels?: readonly number[];
}

/** The noise that evaluations with a seed give image k at timestep t. */
export function evaluationNoise(engine: Engine, timesteps: readonly number[], pixels: number, seed: bigint) {
  return Float32Array.from(
    timesteps.flatMap((t, k) =>
      engine.scratch((arena) => {
        const out = arena.alloc(Math.ceil(pixels / 32) * 128);
        arena.wasm.normals(out, 1, pixels, seed, t, BigInt(k));
        return [...arena.f32(out, pixels)];
      }),
    ),
  );
}

/** Rows of the table of coefficients. */
export function coefficientRows(schedule: Schedule, loss: Loss, timesteps: readonly number[]): Float32Array {
  const table = coefficientsOf(schedule, loss);
  const K = COEFFICIENTS.length;
  return Float32Array.from(timesteps.flatMap((t) => [...table.subarray(t * K, (t + 1) * K)]));
}

/** The inputs of a loss graph, by name. */
export function lossFeeds(schedule: Schedule, loss: Loss, { x0, noise, timesteps, labels }: Trial) {
  const { shape } = x0;
  const count = timesteps.length;
  return {
    images: new Tensor('float32', x0.data, [...shape]),
    noise: new Tensor('float32', noise, [...shape]),
    timestep: new Tensor('float32', Float32Array.from(timesteps), [count]),
    coefficients: new Tensor('float32', coefficientRows(schedule, loss, timesteps), [count, COEFFICIENTS.length]),
    ...(labels && { class_labels: new Tensor('int64', BigInt64Array.from(labels, BigInt), [count]) }),
  };
}

/** A loss graph in a session: what one call gives. */
export async function openLoss(options: LossGraphOptions) {
  const { bytes, inputs } = lossGraph(options);
  const session = await InferenceSession.create(bytes, { logSeverityLevel: 3, intraOpNumThreads: 1 });
  const size = [...options.trained.values()].reduce((sum, shape) => sum + sizeOf(shape), 0);
  const run = async (parameters: Float32Array, feeds: Record<string, Tensor>, before = new Float32Array(size)) => {
    const results = await session.run({
      ...feeds,
      parameters: new Tensor('float32', parameters, [size]),
      gradient_before: new Tensor('float32', before, [size]),
    });
    return {
      loss: Number(results.loss.data[0]),
      errors: results.errors.data as Float32Array,
      gradient: results.gradient.data as Float32Array,
    };
  };
  return { run, bytes, inputs, session, size };
}

/**
 * The loss of each image in float64, from the definitions: both Gaussians' means and variances, their divergence, or the
 * likelihood of the 8-bit values. `frozen`, if given, are predictions that the means are made of instead of the network's own.
 */
export function referenceLosses(
  schedule: Schedule,
  loss: Loss & { weightAt: (t: number) => number },
  network: Pick<TinyNetwork, 'raw'> & { get: (key: string, shape: number[]) => ArrayLike<number> },
  { x0, noise, timesteps, labels }: Trial,
  frozen?: readonly Float64Array[],
) {
  const pixels = sizeOf(x0.shape) / timesteps.length;
  return timesteps.map((t, k) => {
    const abar = schedule.alphasCumprod[t];
    const [signal, sigma] = [Math.sqrt(abar), Math.sqrt(1 - abar)];
    const part = (data: Float32Array) => Float64Array.from(data.subarray(k * pixels, (k + 1) * pixels));
    const [start, eps] = [part(x0.data), part(noise)];
    const xt = start.map((x, i) => signal * x + sigma * eps[i]);
    const answer = referenceUNet(network.raw, network.get, xt, t, labels?.[k]);
    const prediction = answer.subarray(0, pixels);
    const target = start.map(
      (x, i) => ({ epsilon: eps[i], sample: x, v_prediction: signal * eps[i] - sigma * x })[loss.prediction],
    );
    const error = prediction.reduce((sum, p, i) => sum + (p - target[i]) ** 2, 0) / pixels;
    if (loss.variance === 'fixed') return { error, bits: 0, loss: loss.weightAt(t) * error, prediction };

    const fixed = frozen?.[k] ?? prediction;
    const implied = xt.map(
      (x, i) =>
        ({ epsilon: (x - sigma * fixed[i]) / signal, sample: fixed[i], v_prediction: signal * x - sigma * fixed[i] })[
          loss.prediction
        ],
    );
    const [low, high] = [schedule.posteriorLogVarianceClipped[t], Math.log(schedule.betas[t])];
    let nats = 0;
    for (let i = 0; i < pixels; i++) {
      const share = (answer[pixels + i] + 1) / 2;
      const log = share * high + (1 - share) * low;
      const mean = (from: Float64Array) =>
        schedule.posteriorMeanCoef1[t] * from[i] + schedule.posteriorMeanCoef2[t] * xt[i];
      nats += t > 0 ? normalKl(mean(start), low, mean(implied), log) : -Math.log(binMass(start[i], mean(implied), log));
    }
    const bits = nats / pixels / Math.LN2;
    const total = loss.weightAt(t) * error + loss.varianceWeight * schedule.trainTimesteps * bits;
    return { error, bits, loss: total, prediction };
  });
}

// the bin of width 2/255 around x, by OpenAI's cdf
function binMass(x: number, mean: number, logVariance: number): number {
  const cdf = (edge: number) => {
    const z = (x + edge - mean) * Math.exp(-0.5 * logVariance);
    return 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (z + 0.044715 * z ** 3)));
  };
  const above = x > 0.999 ? 1 : cdf(1 / 255);
  const below = x < -0.999 ? 0 : cdf(-1 / 255);
  return Math.max(above - below, 1e-12);
}

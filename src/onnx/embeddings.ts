import type { UNetConfig } from '../core/unetConfig.ts';
import { ELEMENT_TYPES, type GraphBuilder, type Value } from './graph.ts';
import type { Layers } from './layers.ts';

/**
 * The embedding [N, timeEmbeddingDim] that conditions every residual block: of the timestep, plus that of the class
 * where the network has classes, through the blocks' activation function.
 *
 * @param timestep float32 [N]
 * @param classLabels int64 [N], for a class-conditional network
 */
export function conditionEmbedding(net: Layers, timestep: Value, classLabels?: Value): Value {
  const project = timeProjection(net);
  const time = embeddingMlp(net, 'time_embedding', project(timestep));
  if (classLabels === undefined) return net.activate(time);
  return net.activate(net.g.op('Add', [time, embedClass(net, classLabels, project)]));
}

/** Whether the network takes class labels. */
export function isClassConditional(config: UNetConfig): boolean {
  return config.classEmbedType === 'timestep' || config.numClassEmbeds !== null;
}

/**
 * The frequencies of the sinusoidal embedding: 10000^(-i / (half - shift)), i = 0..half-1, rounded to float32 after
 * each operation as torch does, since a timestep multiplies their error by up to a thousand.
 */
export function frequencies(half: number, shift: number): Float32Array {
  const logPeriod = Math.fround(-Math.log(10000));
  const divisor = Math.fround(half - shift);
  return Float32Array.from({ length: half }, (_, i) => Math.exp(Math.fround(Math.fround(logPeriod * i) / divisor)));
}

type Projection = (time: Value) => Value;

// times [N] to [N, c], or [N, 2c] for Gaussian Fourier features, with c the first block's channels
function timeProjection({ g, parameters, config }: Layers): Projection {
  const { timeEmbeddingType, flipSinToCos, freqShift, numTrainTimesteps } = config;
  const width = config.blockOutChannels[0];
  const column = (time: Value) => g.op('Unsqueeze', [time, g.intVector([1])]);

  if (timeEmbeddingType === 'learned') {
    const table = parameters.get('time_proj.weight', [numTrainTimesteps ?? 0, width]);
    return (time) => g.op('Gather', [table, g.op('Cast', [time], { to: ELEMENT_TYPES.int32 })], {}, 'time_proj');
  }
  if (timeEmbeddingType === 'fourier') {
    // sin and cos of 2 pi w ln t; sines first, whatever flip_sin_to_cos says
    const table = parameters.get('time_proj.weight', [width]);
    return (time) => {
      const angle = g.op('Mul', [g.op('Log', [column(time)]), table]);
      return sineCosine(g, g.op('Mul', [angle, g.scalar(2 * Math.PI)]), false);
    };
  }
  const half = Math.floor(width / 2);
  const table = g.floats('time_proj.frequencies', [half], frequencies(half, freqShift));
  return (time) => {
    const waves = sineCosine(g, g.op('Mul', [column(time), table]), flipSinToCos);
    return width % 2 ? g.op('Pad', [waves, g.intVector([0, 0, 0, 1])]) : waves;
  };
}

function sineCosine(g: GraphBuilder, angle: Value, flip: boolean): Value {
  const waves = [g.op('Sin', [angle]), g.op('Cos', [angle])];
  return g.op('Concat', flip ? waves.reverse() : waves, { axis: 1 });
}

// linear, silu (whatever the blocks use), linear
function embeddingMlp(net: Layers, path: string, projected: Value): Value {
  const { timeEmbeddingDim, timeEmbeddingType, blockOutChannels } = net.config;
  const width = timeEmbeddingType === 'fourier' ? 2 * blockOutChannels[0] : blockOutChannels[0];
  const hidden = net.linear(`${path}.linear_1`, projected, width, timeEmbeddingDim);
  return net.linear(`${path}.linear_2`, net.activate(hidden, 'silu'), timeEmbeddingDim, timeEmbeddingDim);
}

function embedClass(net: Layers, labels: Value, project: Projection): Value {
  const { g, parameters, config } = net;
  if (config.classEmbedType === 'timestep') {
    const asTime = g.op('Cast', [labels], { to: ELEMENT_TYPES.float32 });
    return embeddingMlp(net, 'class_embedding', project(asTime));
  }
  const table = parameters.get('class_embedding.weight', [config.numClassEmbeds ?? 0, config.timeEmbeddingDim]);
  return g.op('Gather', [table, labels], {}, 'class_embedding');
}

import type { TrainingState } from '../../src/train/checkpointFormat.ts';

/** A state whose every number says which step it is of. */
export function stateAt(step: number, { size = 12, ema = true }: { size?: number; ema?: boolean } = {}): TrainingState {
  const vector = (scale: number) =>
    Float32Array.from({ length: size }, (_, i) => Math.fround(scale * (step + i / size)));
  return {
    layout: [
      { name: 'conv_in.weight', shape: [size / 4, 1, 2, 1], offset: 0 },
      { name: 'conv_in.bias', shape: [size / 2], offset: size / 2 },
    ],
    ...{ parameters: vector(1), firstMoments: vector(-0.5), secondMoments: vector(1e-9), ema: ema ? vector(3) : null },
    ...{ step, epoch: Math.floor(step / 10), position: 64 * (step % 10), seed: 2n ** 63n + 5n },
    random: { draw: step, permutation: [3, 1, 2] },
    config: { batch: 64, model: { block_out_channels: [32, 64] }, text: 'é ☃', none: null },
    metrics: { loss: [0.5, 0.25, 1 / 3], best: null, done: false },
  };
}

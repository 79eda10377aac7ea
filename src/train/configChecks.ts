import type { UNetConfig } from '../core/unetConfig.ts';
import { unetParameters } from '../onnx/unet2d.ts';
import { gcd, type ModelKeys } from './configDefaults.ts';
import type { TrainingConfig } from './configSchema.ts';
import { lowRankLayers } from './lora.ts';
import { matches } from './patterns.ts';

/** Makes the error for a key that cannot be. */
export type Refuse = (key: string, expected: string, got: unknown) => Error;

/** Refuses sizes that the levels cannot halve and groups that do not divide, and says what would work. */
export function assertSizes(keys: ModelKeys, refuse: Refuse): void {
  const { sample_size: size, block_out_channels: widths = [], norm_num_groups: groups = 1 } = keys;
  const levels = widths.length;
  const multiple = 2 ** (levels - 1);
  for (const length of typeof size === 'number' ? [size] : (size ?? [])) {
    if (length % multiple === 0) continue;
    const most = 1 + Math.log2(length & -length);
    const below = Math.floor(length / multiple) * multiple;
    const sizes = [below, below + multiple].filter((n) => n > 0).join(' or ');
    const fewer = `${most} ${most === 1 ? 'level' : 'levels'}`;
    const odd = `level ${most - 1} has ${length / 2 ** (most - 1)} pixels, which do not halve`;
    throw refuse(
      'model.sample_size',
      `a multiple of ${multiple} for ${levels} levels (${odd}; ${sizes}, or ${fewer}, would work)`,
      size,
    );
  }

  const level = widths.findIndex((width) => width % groups !== 0);
  if (level < 0) return;
  const common = widths.reduce(gcd, 0);
  const working = divisors(common).filter((n) => n <= 64);
  const advice = `a multiple of "model.norm_num_groups" ${groups} (${working.join(', ')} groups would work)`;
  throw refuse(`model.block_out_channels.${level}`, advice, widths[level]);
}

/** Refuses patterns that name nothing, and those that leave nothing to train. */
export function assertPatterns({ freeze, lora }: TrainingConfig, network: UNetConfig, refuse: Refuse): void {
  if (freeze.length === 0 && !lora) return;
  const shapes = unetParameters(network);
  const names = [...shapes.keys()];
  for (const [i, pattern] of freeze.entries())
    if (!names.some((name) => matches(name, pattern)))
      throw refuse(`freeze.${i}`, 'a pattern that some parameter of the network has', pattern);
  const left = names.filter((name) => !isFixed(name, network) && !freeze.some((pattern) => matches(name, pattern)));
  if (left.length === 0) throw refuse('freeze', 'patterns that leave a parameter to train', freeze);
  if (lora) assertTargets(lora, shapes, refuse);
}

/** Whether a parameter is none that is learnt: the frequencies of Fourier embeddings are drawn once. */
export function isFixed(name: string, { timeEmbeddingType }: UNetConfig): boolean {
  return name === 'time_proj.weight' && timeEmbeddingType === 'fourier';
}

function assertTargets(
  { rank, targets }: NonNullable<TrainingConfig['lora']>,
  shapes: ReadonlyMap<string, readonly number[]>,
  refuse: Refuse,
): void {
  const layers = [...lowRankLayers(shapes)];
  if (targets.length === 0) throw refuse('lora.targets', 'a pattern that some layer has', targets);
  for (const [i, pattern] of targets.entries()) {
    const chosen = layers.filter(([name]) => matches(name, pattern));
    if (chosen.length === 0) throw refuse(`lora.targets.${i}`, 'a pattern that some layer of the network has', pattern);
    for (const [name, [out, ...inputs]] of chosen) {
      const full = Math.min(
        out,
        inputs.reduce((product, n) => product * n, 1),
      );
      if (rank > full) throw refuse('lora.rank', `at most ${full}, the rank of ${name}.weight`, rank);
    }
  }
}

function divisors(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i + 1).filter((i) => n % i === 0);
}

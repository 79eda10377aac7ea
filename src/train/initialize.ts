import { assertKeys } from '../core/assert.ts';
import { wrongKind } from '../core/errors.ts';
import { sizeOf, type Tensor } from '../core/tensor.ts';
import type { UNetConfig } from '../core/unetConfig.ts';
import { initialDraw, loraDraw } from '../diffusion/draws.ts';
import { assertSeed } from '../diffusion/noise.ts';
import type { Arena } from '../engine/arena.ts';
import type { Engine } from '../engine/engine.ts';
import { unetParameters } from '../onnx/unet2d.ts';

/** How a network begins. */
export interface InitializeOptions {
  /** Decides all numbers. */
  readonly seed: number | bigint;
  /**
   * Whether the last layer of every residual and attention block, and of the network, begins at zero: blocks then begin
   * as the identity (Dhariwal and Nichol 2021). Default true; diffusers' own networks begin without.
   */
  readonly zero?: boolean;
}

/**
 * The parameters that a UNet2DModel begins with, by diffusers' names, drawn as torch draws them: weights and biases of
 * convolutions and linear layers even in +-1/sqrt(inputs of one output), norms 1 and 0, embeddings standard normal,
 * Fourier frequencies normal with deviation 16.
 *
 * Numbers come from Philox: (seed, number of the parameter in the order of names) alone decide it.
 *
 * @throws TypeError or RangeError naming the argument
 */
export function initializeParameters(
  engine: Engine,
  config: UNetConfig,
  options: InitializeOptions,
): Map<string, Tensor> {
  assertKeys(options, 'options', ['seed', 'zero']);
  const { seed, zero = true } = options;
  assertSeed(seed);
  if (typeof zero !== 'boolean') throw wrongKind('zero', 'true or false', zero);

  const shapes = unetParameters(config);
  const rule = (name: string, shape: readonly number[]) => ruleOf(name, shape, shapes, zero);
  return drawAll(engine, shapes, rule, { seed, number: initialDraw });
}

/**
 * The matrices that a LoRA begins with, as peft draws them: A even in +-1/sqrt(inputs of one output), which is
 * kaiming_uniform with a = sqrt(5), and B zero, so that the network begins unchanged.
 *
 * @param shapes by names that end in `.lora_A.weight` and `.lora_B.weight`
 */
export function initializeLora(
  engine: Engine,
  shapes: ReadonlyMap<string, readonly number[]>,
  seed: number | bigint,
): Map<string, Tensor> {
  const rule = (name: string, [, ...inputs]: readonly number[]) =>
    name.endsWith('.lora_B.weight') ? { all: 0 } : { bound: 1 / Math.sqrt(sizeOf(inputs)) };
  return drawAll(engine, shapes, rule, { seed, number: loraDraw });
}

/** What the numbers of a parameter are: all equal, even within a bound on both sides of 0, or normal. */
type Rule = { readonly all: number } | { readonly bound: number } | { readonly deviation: number };

function ruleOf(
  name: string,
  shape: readonly number[],
  shapes: ReadonlyMap<string, readonly number[]>,
  zero: boolean,
): Rule {
  if (/norm(\d|_out)?\.(weight|bias)$/.test(name)) return { all: name.endsWith('.weight') ? 1 : 0 };
  if (name === 'time_proj.weight') return { deviation: shape.length === 1 ? 16 : 1 };
  if (name === 'class_embedding.weight') return { deviation: 1 };
  if (zero && /(\.conv2|\.attentions\.\d+\.to_out\.0|^conv_out)\.(weight|bias)$/.test(name)) return { all: 0 };

  // kaiming_uniform with a = sqrt(5) has the bound sqrt(6 / ((1 + 5) inputs)), which is the bias's too
  const weight = shapes.get(name.replace(/\.bias$/, '.weight')) ?? shape;
  return { bound: 1 / Math.sqrt(sizeOf(weight.slice(1))) };
}

/** Which of the seed's draws the numbers are. */
interface Draw {
  readonly seed: number | bigint;
  readonly number: number;
}

function drawAll(
  engine: Engine,
  shapes: ReadonlyMap<string, readonly number[]>,
  ruleOf: (name: string, shape: readonly number[]) => Rule,
  draw: Draw,
): Map<string, Tensor> {
  // the order of names, unlike that of the graph, stays when the graph is written another way
  const numbers = new Map([...shapes.keys()].sort().map((name, number) => [name, BigInt(number)]));
  const tensors = new Map<string, Tensor>();
  for (const [name, shape] of shapes) {
    const rule = ruleOf(name, shape);
    const data = engine.scratch((arena) =>
      drawOne(arena, rule, sizeOf(shape), { ...draw, stream: numbers.get(name)! }),
    );
    tensors.set(name, { data, shape: [...shape] });
  }
  return tensors;
}

function drawOne(arena: Arena, rule: Rule, size: number, { seed, number, stream }: Draw & { stream: bigint }) {
  if ('all' in rule) return new Float32Array(size).fill(rule.all);
  const { wasm } = arena;
  const out = arena.alloc(Math.ceil(size / 32) * 128); // whole 128 bytes
  if ('bound' in rule) wasm.uniforms(out, size, BigInt(seed), number, stream);
  else wasm.normals(out, 1, size, BigInt(seed), number, stream);
  const scale = 'bound' in rule ? 2 * rule.bound : rule.deviation;
  return arena.f32(out, size).map((x) => scale * x);
}

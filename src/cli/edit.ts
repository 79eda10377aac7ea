import { type Command, InvalidArgumentError } from 'commander';
import { wrongValue } from '../core/errors.ts';
import type { Tensor } from '../core/tensor.ts';
import type { Pipeline, SampleOptions } from '../pipeline.ts';
import { file, number } from './flags.ts';
import { readImages, readMask, readTensor } from './input.ts';

/** The flags that begin with images, as commander parses them. */
export interface EditFlags {
  init?: string;
  strength?: number;
  mask?: string;
  jumpLength?: number;
  jumpCount?: number;
  start?: string;
  interpolate?: [string, string];
}

/** Adds the flags of `sample` that begin with something other than fresh noise. */
export function addEditFlags(command: Command): Command {
  return command
    .option('--init <file.png>', 'begin with this image instead of noise; its size is the model’s or a multiple')
    .option('--strength <x>', 'how much to change --init: 0 nothing, 1 all (default: 0.8)', number('--strength'))
    .option('--mask <file.png>', 'repaint --init where this is white, keep it exactly where it is black', file('.png'))
    .option('--jump-length <n>', 'with --mask: steps that a jump back to noise undoes', number('--jump-length'))
    .option('--jump-count <n>', 'with --mask: how often to run each stretch, to blend better', number('--jump-count'))
    .option('--start <file.safetensors>', 'begin with this noise, as found by `invert`, 100 steps of ddim by default')
    .option('--interpolate <a,b>', 'a strip of images between two seeds, or two files of `invert`', ends);
}

/** What the library is asked for; the model's size decides how files are read. */
export async function editOptions(
  pipeline: Pipeline,
  flags: EditFlags & { seed?: bigint },
  options: SampleOptions,
): Promise<SampleOptions> {
  const { init, strength, mask, jumpLength, jumpCount, start, interpolate } = flags;
  const beginnings = { init, start, interpolate };
  const [first, second] = Object.entries(beginnings).filter(([, value]) => value !== undefined);
  if (second) throw wrongValue(second[0], `none beside "--${first[0]}"`, String(second[1]));
  const { engine, model } = pipeline;
  const { interpolationOptions, reconstructionOptions } = await import('../sampling/latents.ts');
  const edit = { ...options, strength, jumpLength, jumpCount };

  if (start !== undefined) {
    const latents = await readTensor(start, model.shape, 'start');
    const { count, ...rest } = edit;
    if (count !== undefined && count !== latents.shape[0])
      throw wrongValue('count', `${latents.shape[0]}, as many as ${start} holds, or none`, count);
    return reconstructionOptions(model, latents, rest);
  }
  if (interpolate) {
    if (options.seed !== undefined) throw wrongValue('seed', 'none beside "--interpolate"', options.seed);
    const [from, to] = await Promise.all(interpolate.map((end) => noiseOf(end, pipeline)));
    return interpolationOptions(engine, model, { ...edit, from, to });
  }
  return {
    ...edit,
    init: init === undefined ? undefined : await readImages(engine, [init], model.shape, 'init'),
    mask: mask === undefined ? undefined : await readMask(mask, model.shape),
  };
}

async function noiseOf(end: string, { model }: Pipeline): Promise<bigint | Tensor> {
  if (/^\d{1,20}$/.test(end)) return BigInt(end);
  const noise = await readTensor(end, model.shape, 'interpolate');
  if (noise.shape[0] !== 1) throw wrongValue('interpolate', `one image in ${end}`, noise.shape[0]);
  return noise;
}

function ends(text: string): [string, string] {
  const parts = text.split(',').map((part) => part.trim());
  const known = parts.every((part) => /^\d{1,20}$/.test(part) || part.toLowerCase().endsWith('.safetensors'));
  if (parts.length !== 2 || !known)
    throw new InvalidArgumentError('Expected two seeds or .safetensors files, separated by a comma.');
  return [parts[0], parts[1]];
}

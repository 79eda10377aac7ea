import { type Command, InvalidArgumentError, Option } from 'commander';
import { wrongValue } from '../core/errors.ts';
import { samplers, timestepSpacings, varianceTypes } from '../core/schedulerConfig.ts';
import type { PlanOptions } from '../diffusion/plan.ts';
import type { ScaledLora } from '../model/types.ts';
import { devices } from '../runtime/types.ts';

/** The model that commands take when none is named. */
export const defaultModel = 'fashion';

/** The flags that choose a plan, as commander parses them. */
export interface PlanFlags {
  sampler?: PlanOptions['sampler'];
  steps?: number;
  timesteps?: number[];
  eta?: number;
  order?: number;
  karras?: boolean;
  corrector?: number;
  spacing?: PlanOptions['timestepSpacing'];
  variance?: PlanOptions['varianceType'];
}

/** Adds the flags that choose a plan; `sample` and `inspect` share them. */
export function addPlanFlags(command: Command, choices: readonly string[] = samplers): Command {
  return command
    .addOption(new Option('--sampler <name>', "how to sample (default: the model's own)").choices(choices))
    .option('--steps <n>', 'network calls an image', number('--steps'))
    .option('--timesteps <list>', 'the timesteps themselves, such as 999,700,400,100', numbers('--timesteps'))
    .option('--eta <x>', 'noise of ddim: 0 none, 1 as much as ddpm', number('--eta'))
    .option('--order <n>', 'order of the multistep solvers, 1 to 3', number('--order'))
    .option('--karras', 'space the steps as Karras et al. 2022 do, in sigma')
    .option('--corrector <n>', 'Langevin steps before each step of euler-maruyama', number('--corrector'))
    .addOption(new Option('--spacing <how>', 'how the steps are spaced').choices(timestepSpacings))
    .addOption(new Option('--variance <type>', 'the reverse variance of ddpm').choices(varianceTypes));
}

/** What the library is asked for; absent flags leave the model's own settings. */
export function planOptions(flags: PlanFlags): PlanOptions {
  const { sampler, steps, timesteps, eta, order, karras, corrector, spacing, variance } = flags;
  const options: PlanOptions = { sampler, steps, timesteps, eta, timestepSpacing: spacing, varianceType: variance };
  return { ...options, solverOrder: order, useKarrasSigmas: karras, correctorSteps: corrector };
}

/** Where the network runs. */
export function deviceOption(): Option {
  return new Option('--device <where>', 'where the network runs').choices(devices).default('auto');
}

/** Adds the flag for low-rank changes to the model, which may be given several times. */
export function addLoraFlag(command: Command): Command {
  const text = 'merge a LoRA into the weights: a .safetensors file or its folder, and how much of it; may be repeated';
  return command.option('--lora <file[=scale]>', text, (value: string, before: ScaledLora[] = []) => [
    ...before,
    scaledLora(value),
  ]);
}

// what follows the last = is the scale if it is a number, else part of the name
function scaledLora(text: string): ScaledLora {
  const [, source, scale] = /^(.+)=([-+]?[\d.]+(?:e[-+]?\d+)?)$/i.exec(text) ?? [];
  return source !== undefined && Number.isFinite(Number(scale)) ? { source, scale: Number(scale) } : { source: text };
}

/** Reads a decimal number; the library checks its range. */
export function number(flag: string): (text: string) => number {
  return (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (!Number.isFinite(value)) throw wrongValue(flag.slice(2), 'a number', text);
    return value;
  };
}

export function numbers(flag: string): (text: string) => number[] {
  return (text) => text.split(',').map(number(flag));
}

/** A 64-bit seed, exact beyond 2^53. */
export function seed(text: string): bigint {
  if (!/^\d{1,20}$/.test(text.trim())) throw wrongValue('seed', 'an integer in 0..2^64-1', text);
  return BigInt(text.trim());
}

/** Classes by index or name, separated by commas. */
export function classes(text: string): (number | string)[] {
  return text.split(',').map((part) => (/^\d+$/.test(part.trim()) ? Number(part) : part.trim()));
}

/** A file name that ends in one of the given extensions. */
export function file(...extensions: string[]): (text: string) => string {
  return (text) => {
    if (extensions.some((extension) => text.toLowerCase().endsWith(extension))) return text;
    throw new InvalidArgumentError(`Expected a file name ending in ${extensions.join(' or ')}.`);
  };
}

/** A word as a shell reads it. */
export function quoted(word: string): string {
  return /^[\w./:,=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

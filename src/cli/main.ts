#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { DdpmError, isArgumentError } from '../core/errors.ts';
import { convertCommand } from './convert.ts';
import { evaluateCommand } from './evaluate.ts';
import { inspectCommand } from './inspect.ts';
import { invertCommand } from './invert.ts';
import { sampleCommand } from './sample.ts';
import { serveCommand } from './serve.ts';
import { trainCommand } from './train.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));

const program = new Command('ddpm-wasm')
  .description(
    'Denoising diffusion models: sample, measure, train and serve them, convert them from diffusers, look inside them.',
  )
  .version(version)
  .helpCommand(false)
  .addCommand(sampleCommand())
  .addCommand(invertCommand())
  .addCommand(evaluateCommand())
  .addCommand(trainCommand())
  .addCommand(convertCommand())
  .addCommand(inspectCommand())
  .addCommand(serveCommand())
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'ddpm-wasm: ')) });

for (const command of [program, ...program.commands]) {
  command.exitOverride().copyInheritedSettings(program);
  if (command !== program) command.option('--debug', 'show the stack of an error');
}

// who has read enough (| head) ends a command as quietly as any other tool
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

/** One line for the user; the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (process.argv.includes('--debug')) console.error(error);
  if (error instanceof Error && error.name === 'AbortError') {
    console.error('ddpm-wasm: interrupted');
    return 130;
  }
  if (isArgumentError(error)) {
    const message = error.message.replace(`"${error.argument}"`, `"${flagOf(error.argument)}"`);
    console.error(`ddpm-wasm: ${oneLine(message)}`);
    return 2;
  }
  const message = error instanceof Error ? error.message : String(error);
  const known = error instanceof DdpmError || process.argv.includes('--debug');
  console.error(`ddpm-wasm: ${oneLine(message)}${known ? '' : ' (unexpected; --debug shows where)'}`);
  return 1;
}

/** The flag or argument that sets a library option. */
function flagOf(argument: string): string {
  if (argument === 'images') return '<images>';
  const flags: Record<string, string> = {
    solverOrder: 'order',
    timestepSpacing: 'spacing',
    useKarrasSigmas: 'karras',
    correctorSteps: 'corrector',
    timestepsPerImage: 'timesteps',
    'limits.count': 'max-count',
    'limits.steps': 'max-steps',
    'limits.pixels': 'max-pixels',
    'limits.denoise': 'denoise',
    'limits.active': 'active',
    'limits.queue': 'queue',
    'limits.seconds': 'deadline',
    'rateLimit.requests': 'rate',
    maxImages: 'batch',
    maxWait: 'batch-wait',
    timestepRespacing: 'respacing',
    varianceType: 'variance',
  };
  return `--${flags[argument] ?? argument.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}

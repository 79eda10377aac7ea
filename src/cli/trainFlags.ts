import { type Command, Option } from 'commander';
import { assertInteger, assertNumber } from '../core/assert.ts';
import { wrongValue } from '../core/errors.ts';
import type { Device } from '../runtime/types.ts';
import type { TrainingInput } from '../train/configSchema.ts';
import { deviceOption, file, number } from './flags.ts';

/** The flags of `train`, as commander parses them. */
export interface TrainFlags {
  data?: string;
  out: string;
  config?: string;
  resume?: boolean;
  steps?: number;
  minutes?: number;
  batch?: number;
  seed?: number;
  workers?: number | 'auto';
  from?: string;
  device: Device;
  json?: boolean;
}

/** Adds what is trained, on what and for how long. */
export function addTrainFlags(command: Command): Command {
  return command
    .option('--data <place>', 'images: a folder, .zip, idx (.gz), CIFAR-10 batches, .npy or .safetensors')
    .requiredOption('--out <folder>', 'where the model, its checkpoints and the report go')
    .option('--config <file.json>', 'what to train and how; flags override it', file('.json'))
    .option('--resume', 'go on from the newest checkpoint in the folder, or start where there is none')
    .option('--steps <n>', 'optimizer steps (default: by the data)', whole('steps', 1))
    .addOption(
      new Option('--minutes <m>', 'how long to train, in place of --steps').argParser(minutes).conflicts('steps'),
    )
    .option('--batch <n>', 'images in a step (default: 64)', whole('batch', 1))
    .option('--seed <n>', 'decides every random number (default: 0)', whole('seed', 0))
    .option('--workers <n>', 'threads that share a step, or auto (default: one a core)', workers)
    .option('--from <model>', 'a model to start from: bundled name or diffusers folder')
    .addOption(deviceOption());
}

/** The training config that the file and the flags make; whether it can work is up to the trainer. */
export async function trainingInput(flags: TrainFlags): Promise<TrainingInput> {
  const given = flags.config === undefined ? {} : await readConfig(flags.config);
  const { data, steps, minutes, batch, seed, workers, from } = flags;
  const overrides = Object.entries({ batch, seed, workers, from }).filter(([, value]) => value !== undefined);
  return {
    ...given,
    ...(data !== undefined && { data: withPath(given.data, data) }),
    // one of the two on the command line takes the place of either in the file
    ...((steps ?? minutes) !== undefined && { steps, minutes }),
    ...Object.fromEntries(overrides),
  };
}

async function readConfig(name: string): Promise<TrainingInput> {
  const { tryReadJson } = await import('../model/json.ts');
  const json = await tryReadJson(name, { name });
  if (!json) throw wrongValue('config', 'a JSON file', name);
  return json;
}

// what is no section is left for the trainer to refuse
function withPath(section: TrainingInput['data'] = {}, path: string): TrainingInput['data'] {
  return typeof section === 'object' && section !== null ? { ...section, path } : section;
}

function whole(flag: string, min: number): (text: string) => number {
  return (text) => {
    const value = number(`--${flag}`)(text);
    assertInteger(value, flag, min, Number.MAX_SAFE_INTEGER);
    return value;
  };
}

function minutes(text: string): number {
  const value = number('--minutes')(text);
  assertNumber(value, 'minutes', 0.01);
  return value;
}

function workers(text: string): number | 'auto' {
  return text === 'auto' ? 'auto' : whole('workers', 1)(text);
}

import { type Command, Option } from 'commander';
import { wrongValue } from '../core/errors.ts';
import { type Metric, metrics } from '../evaluate/types.ts';
import type { ScaledLora } from '../model/types.ts';
import type { Device } from '../runtime/types.ts';
import { addLoraFlag, deviceOption, number, seed } from './flags.ts';

/** The flags of `evaluate`, as commander parses them. */
export interface EvaluateFlags {
  data: string;
  metrics: Metric[];
  first?: number;
  count?: number;
  seed?: bigint;
  class?: number;
  timesteps?: number;
  boundTimesteps?: number | 'all';
  respacing?: string;
  tolerance?: number;
  probes?: number;
  samples?: number;
  features?: string;
  training?: string;
  background?: string;
  strict?: boolean;
  batch: number;
  lora?: ScaledLora[];
  device: Device;
  report?: string;
  json?: boolean;
}

/** Adds what is measured, of what and how; where it is shown is up to the command. */
export function addEvaluateFlags(command: Command): Command {
  return addLoraFlag(command)
    .requiredOption('--data <place>', 'images: idx (.gz), CIFAR-10 batches, .zip, .npy, .safetensors, or a folder')
    .addOption(
      new Option('--metrics <list>', `any of ${metrics.join(', ')}`)
        .argParser(metricList)
        .default(['simple', 'vlb'], 'simple,vlb'),
    )
    .option('--first <n>', 'leave out the first n images, to do data in parts', number('--first'))
    .option('--count <n>', 'how many of the images (default: all)', number('--count'))
    .option('--seed <n>', 'decides every random number (default: 0)', seed)
    .option('--class <index>', "a class for all images, instead of the data's labels", number('--class'))
    .option('--timesteps <n>', 'simple: timesteps an image (default: 1)', number('--timesteps'))
    .option('--bound-timesteps <n>', 'vlb: timesteps an image, or all (default: 20)', countOrAll)
    .option('--respacing <sections>', "vlb: OpenAI's respacing of the chain, such as ddim50 or 10,15,20")
    .option('--tolerance <x>', 'likelihood: of the solver (default: 1e-4)', number('--tolerance'))
    .option('--probes <n>', 'likelihood: directions of the divergence (default: 1)', number('--probes'))
    .option('--samples <n>', 'quality: how many samples to make (default: as many as images)', number('--samples'))
    .option('--features <network>', "quality: whose features, a bundled name or an .onnx file (default: fashion's)")
    .option('--training <place>', "quality: the training images, to look for the samples' nearest neighbours among")
    .option('--background <colour>', 'what transparent images lie on (default: #ffffff)')
    .option('--strict', 'stop at the first image that cannot be read')
    .option('--batch <n>', 'images in one network call', number('--batch'), 64)
    .addOption(deviceOption());
}

function metricList(text: string): Metric[] {
  return text.split(',').map((name) => {
    const metric = metrics.find((one) => one === name.trim());
    if (!metric) throw wrongValue('metrics', `any of ${metrics.join(', ')}`, name);
    return metric;
  });
}

function countOrAll(text: string): number | 'all' {
  return text === 'all' ? 'all' : number('--bound-timesteps')(text);
}

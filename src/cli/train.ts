import { Command } from 'commander';
import { addTrainFlags, type TrainFlags } from './trainFlags.ts';

const examples = `
Examples:
  $ ddpm-wasm train --data ./photos --out run --minutes 30
  $ ddpm-wasm train --data train-images-idx3-ubyte.gz --out run --steps 5000 --seed 7
  $ ddpm-wasm train --data ./photos --out run --config training.json
  $ ddpm-wasm train --out run --resume
  $ ddpm-wasm train --out run --resume --steps 10000

Every key of a config is in the schema, dist/train/training.schema.json of the package. A folder named by --out then holds
the model (as diffusers writes one, which every command here reads), checkpoints, training.json with the whole config,
metrics.jsonl, sheets of samples, and report.html, a page that grows while the run goes on.
`;

export function trainCommand(): Command {
  const command = new Command('train').description('Train a model on images, or go on where a run was stopped.');
  return addTrainFlags(command)
    .option('--json', 'print one JSON object when it is done')
    .addHelpText('after', examples)
    .action(async (flags: TrainFlags) => {
      const { trainRun } = await import('./trainRun.ts');
      await trainRun(flags);
    });
}

// goes on from the last checkpoint in a folder, and saves one step after another until it is killed; says what is safe
import { listCheckpoints, loadCheckpoint, saveCheckpoint } from '../../src/train/checkpoint.ts';
import { stateAt } from './support.ts';

const folder = process.argv[2];
const options = { size: 40_000 };
let step = (await listCheckpoints(folder)).length ? (await loadCheckpoint(folder)).state.step : 0;
for (;;) {
  step++;
  await saveCheckpoint(folder, stateAt(step, options), { keep: 2 });
  process.stdout.write(`${step}\n`);
}

// Images a second of whole training steps, by `train` with a thread a core and by torch eager with as many threads, on the
// same networks in turn. Python with torch is that of $PYTHON, else python3. It needs the built package: npm run build
//   npx tsx bench/trainingPeer.ts [steps]
import { execFileSync } from 'node:child_process';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import { type Figure, printFigures } from './figure.ts';

// worker threads load their module as it was built
const built = new URL('../dist/train/index.js', import.meta.url).href;
const { train, trainingDataOf }: typeof import('../src/train/index.ts') = await import(built);

const steps = Number(process.argv[2] ?? 8);
// ten classes and none
const [threads, batch, classes, rounds] = [os.availableParallelism(), 64, 11, 2];

interface Network {
  readonly name: string;
  readonly channels: readonly number[];
  /** The levels that have attention. */
  readonly attention: readonly number[];
  readonly image: readonly [number, number, number];
}

const networks: Network[] = [
  { name: '32 64A 64A', channels: [32, 64, 64], attention: [1, 2], image: [1, 28, 28] },
  { name: '32 64 128A', channels: [32, 64, 128], attention: [2], image: [1, 28, 28] },
  { name: '32 64 96A', channels: [32, 64, 96], attention: [2], image: [1, 28, 28] },
  { name: '64 128A, unshuffled', channels: [64, 128], attention: [1], image: [4, 14, 14] },
];

for (const network of networks) printFigures(await compare(network));

/** The best of some rounds of each, which take turns; the networks have as many parameters. */
async function compare(network: Network): Promise<Figure[]> {
  const best = { ours: 0, theirs: 0 };
  for (let round = 0; round < rounds; round++) {
    const [ours, theirs] = [await trainHere(network), trainInTorch(network)];
    if (ours.parameters !== theirs.parameters)
      throw new Error(`${network.name}: ${ours.parameters} parameters here, ${theirs.parameters} in torch`);
    best.ours = Math.max(best.ours, ours.imagesPerSecond);
    best.theirs = Math.max(best.theirs, theirs.imagesPerSecond);
  }
  return [
    { name: `${network.name}: training here`, value: best.ours, unit: 'images/s' },
    { name: `${network.name}: training in torch`, value: best.theirs, unit: 'images/s' },
    { name: `${network.name}: here against torch`, value: best.ours / best.theirs, unit: 'x', target: '>= 1' },
  ];
}

interface Measured {
  readonly parameters: number;
  /** Of the fastest step. */
  readonly imagesPerSecond: number;
}

async function trainHere({ channels, attention, image }: Network): Promise<Measured> {
  const shape = [4 * batch, ...image];
  const data = Uint8Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => (i * 37) % 256);
  const labels = Array.from({ length: shape[0] }, (_, i) => i % (classes - 1));
  const config = {
    model: {
      ...{ layers_per_block: 1, norm_num_groups: 8, attention_head_dim: 32, channels: image[0], classes: classes - 1 },
      ...{ block_out_channels: [...channels], attention: [...attention] },
    },
    ...{ batch, steps, workers: threads, evaluation: { every: 2 * steps }, samples: { every: 2 * steps } },
  };
  const measured = { parameters: 0, imagesPerSecond: 0 };
  for await (const event of train(config, { data: trainingDataOf({ data, shape, labels }), device: 'cpu' })) {
    if (event.type === 'begun') measured.parameters = event.parameters;
    if (event.type === 'step') measured.imagesPerSecond = Math.max(measured.imagesPerSecond, event.imagesPerSecond);
  }
  return measured;
}

function trainInTorch({ channels, attention, image }: Network): Measured {
  const script = fileURLToPath(new URL('trainingPeer.py', import.meta.url));
  const input = JSON.stringify({ channels, attention, image, classes, batch, steps, threads });
  return JSON.parse(execFileSync(process.env.PYTHON ?? 'python3', [script], { input, encoding: 'utf8' }));
}

// Trains in a worker, so that the page stays responsive. The page says what to do; what to train on is in the store.
import { BlobWriter, Uint8ArrayReader, ZipWriter } from '@zip.js/zip.js';
import {
  parseTrainingConfig,
  type TrainedModel,
  type TrainingInput,
  train,
  trainingDataOf,
  writeDiffusersFolder,
} from 'ddpm-wasm/train';
import {
  type News,
  type Order,
  pictureBytes,
  readPictures,
  readSettings,
  type Settings,
  side,
  store,
} from './project.ts';

let stop = new AbortController();
let model: TrainedModel | undefined;

addEventListener('message', async ({ data: order }: MessageEvent<Order>) => {
  try {
    if (order === 'pause') stop.abort();
    else if (order === 'download') tell({ type: 'model', zip: await zipOf(model!) });
    else await run(order);
  } catch (error) {
    tell({ type: 'failed', message: (error as Error).message });
  }
});

/** Trains from where the last checkpoint is. A run that is stopped before it begins says where it is, and goes no step. */
async function run(order: 'look' | 'go'): Promise<void> {
  stop = new AbortController();
  if (order === 'look') stop.abort();
  const pictures = await readPictures();
  const settings = (await readSettings()) as Settings;
  const count = pictures.length / pictureBytes;
  const events = train(configOf(settings, count), {
    data: trainingDataOf({ data: pictures, shape: [count, side, side, 4] }),
    device: settings.device,
    checkpoints: store,
    resume: true,
    signal: stop.signal,
  });
  let next = await events.next();
  for (; !next.done; next = await events.next()) {
    const event = next.value;
    if (event.type !== 'checkpoint') tell(event);
    else {
      model = event.model();
      tell({ type: 'checkpoint', step: event.step });
    }
  }
  model = next.value;
  tell({ type: 'ended', step: model.step, complete: model.complete });
}

/** What a laptop learns in minutes to draw: a small network, and noise and prediction that suit small pictures. */
function configOf({ size, background, steps }: Settings, count: number): TrainingInput {
  const batch = Math.min(count, 32);
  return {
    model: {
      in_channels: 3,
      out_channels: 3,
      sample_size: size,
      block_out_channels: size === 16 ? [24, 48] : [24, 32, 48],
    },
    schedule: { beta_schedule: 'squaredcos_cap_v2' },
    loss: { prediction: 'v_prediction' },
    optimizer: { learningRate: 2e-3 },
    data: { background, holdOut: 0 },
    batch,
    // few pictures are shown several times a step
    accumulation: Math.max(1, Math.round(32 / batch)),
    steps,
    evaluation: null,
    samples: { every: 100, count: 16 },
    checkpoints: { every: 100, keep: 2 },
  };
}

/** The model as diffusers and `ddpm-wasm sample` read it, in a folder. */
async function zipOf({ config, parameters }: TrainedModel): Promise<Blob> {
  const { network } = parseTrainingConfig(config);
  const zip = new ZipWriter(new BlobWriter('application/zip'), { useWebWorkers: false, level: 0 });
  const files = writeDiffusersFolder({ config: network, scheduler: config.schedule, parameters });
  for (const [name, bytes] of files) await zip.add(`model/${name}`, new Uint8ArrayReader(bytes));
  return zip.close();
}

function tell(news: News): void {
  postMessage(news);
}

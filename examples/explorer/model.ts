// What every panel works with: the engine and the schedule in the page, the network in its worker.
import { createEngine, createSchedule, type Sampler } from 'ddpm-wasm';
import { loadWorkerPipeline, type WorkerPipeline } from 'ddpm-wasm/worker';
import { Store } from './store.ts';

/** The bundled model, which vite.config.ts puts beside the page. */
const source = new URL('fashion', document.baseURI);
const read = async (name: string) => (await fetch(`${source}/${name}`)).json();
const [networkConfig, schedulerConfig, { labels }, created] = await Promise.all([
  ...['config.json', 'scheduler_config.json', 'labels.json'].map(read),
  createEngine(),
]);

export const engine = created;
/** One image of the model. */
export const imageShape: readonly [channels: 1 | 3 | 4, height: number, width: number] = [
  networkConfig.in_channels,
  networkConfig.sample_size,
  networkConfig.sample_size,
];
export const classes: readonly string[] = labels;

/** The schedule that the model was trained with. */
export const schedule = createSchedule(engine, schedulerConfig);

/** The same with other betas. */
export const scheduleOf = (beta_schedule: string) => createSchedule(engine, { ...schedulerConfig, beta_schedule });

/** How far the download of the model is, until it is there. */
export const loading = new Store('Loading the model…');

/** The network. `?device=wasm` in the address keeps it off the graphics card. */
export const pipeline: Promise<WorkerPipeline> = loadWorkerPipeline(source, {
  device: new URLSearchParams(location.search).get('device') === 'wasm' ? 'wasm' : 'auto',
  onProgress: ({ loaded, total }) => {
    loading.value = `Loading the model: ${Math.round(loaded / 1e6)}${total ? ` of ${Math.round(total / 1e6)}` : ''} MB`;
  },
});
pipeline.then(
  ({ model, notes }) => {
    const runs = notes.find((note) => note.startsWith('runs on')) ?? `runs on ${model.device}`;
    loading.value = `The model, ${model.name}, ${runs}. Nothing is sent anywhere.`;
  },
  (error: Error) => {
    loading.value = `The model cannot be loaded: ${error.message}`;
  },
);

/** The samplers that a model trained with many steps can be run with. */
export const samplers = [
  'ddpm',
  'ddim',
  'dpm-solver++',
  'dpm-solver++-singlestep',
  'unipc',
  'deis',
  'euler',
  'euler-ancestral',
  'heun',
  'dpm2',
  'dpm2-ancestral',
  'lms',
  'pndm',
  'edm',
  'euler-maruyama',
] as const satisfies readonly Sampler[];

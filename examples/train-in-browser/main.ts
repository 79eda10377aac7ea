// The page: pictures in, curve and samples out. Training is in worker.ts, what outlives a reload in project.ts.
import { listCheckpoints } from 'ddpm-wasm/train';
import { drawCurve, drawThumbnails, type Point, toRgba } from './draw.ts';
import { button, countOf, duration, element, field, save, say, showSheet, stepsAsked } from './page.ts';
import { decode, droppedFiles } from './pictures.ts';
import * as project from './project.ts';

let pictures: project.Bytes = new Uint8Array(0);
let points: Point[] = [];
let state: 'new' | 'opening' | 'running' | 'pausing' | 'stopped' = 'new';
let step = 0;
let imagesAStep = 1;

const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
const order = (what: project.Order) => worker.postMessage(what);

worker.addEventListener('message', ({ data: news }: MessageEvent<project.News>) => {
  if (news.type === 'begun') {
    points = news.history.flatMap((entry) => ('loss' in entry ? [entry] : []));
    imagesAStep = news.config.batch * news.config.accumulation;
    showStep(news.step);
    if (state === 'running') say(`Training ${news.parameters.toLocaleString('en')} numbers.`);
  } else if (news.type === 'step') {
    showStep(news.step);
    element('speed').textContent = (news.imagesPerSecond / imagesAStep).toPrecision(2);
    element('left').textContent = duration((news.seconds / news.progress) * (1 - news.progress));
  } else if (news.type === 'record') points.push(news);
  else if (news.type === 'samples') {
    const sheet = { images: toRgba(news.images), step: news.step };
    showSheet(sheet);
    project.writeSheet(sheet).catch((error: Error) => say(error.message));
  } else if (news.type === 'model') save(news.zip, 'model.zip');
  else if (news.type === 'failed') failed(news.message);
  else if (news.type === 'ended')
    enter('stopped', news.complete ? 'Done. With more steps it goes on.' : 'Paused. It is kept in this browser.');
  if (news.type === 'begun' || news.type === 'record') showCurve();
  // from then on the worker has a model
  if (news.type === 'checkpoint' || news.type === 'ended') button('download').disabled = false;
});

button('go').addEventListener('click', () => attempt(state === 'running' ? pause : start));
button('restart').addEventListener('click', () => attempt(startOver));
button('clear').addEventListener('click', () => attempt(() => keep(new Uint8Array(0))));
button('download').addEventListener('click', () => order('download'));
field('steps').addEventListener('input', () => enter(state));
field('background').addEventListener('input', showPictures);
for (const id of ['files', 'folder']) {
  const input = element<HTMLInputElement>(id);
  input.addEventListener('change', () => {
    attempt(() => add([...input.files!]));
    // the same files can be chosen again
    input.value = '';
  });
}
document.addEventListener('dragover', (event) => event.preventDefault());
document.addEventListener('drop', (event) => {
  event.preventDefault();
  attempt(async () => add(await droppedFiles(event.dataTransfer!)));
});
attempt(open);

/** Shows what is kept from the last visit. */
async function open(): Promise<void> {
  for (const [key, value] of Object.entries(await project.readSettings()))
    field(key as keyof project.Settings).value = String(value);
  pictures = await project.readPictures();
  showPictures();
  const sheet = await project.readSheet();
  if (sheet) showSheet(sheet);
  showCurve();
  if ((await listCheckpoints(project.store)).length === 0) return enter('new', countOf(pictures));
  enter('opening', 'Opening what was trained…');
  order('look');
}

async function add(files: readonly File[]): Promise<void> {
  if (state !== 'new') return;
  say('Reading…');
  const { pictures: more, bad } = await decode(files);
  const all = new Uint8Array(pictures.length + more.length);
  all.set(pictures);
  all.set(more, pictures.length);
  await keep(all);
  if (bad.length > 0) say(`${countOf(all)} No pictures: ${bad.join(', ').slice(0, 200)}`);
}

async function keep(all: project.Bytes): Promise<void> {
  await project.store.write('pictures', all);
  pictures = all;
  showPictures();
  enter('new', countOf(pictures));
}

async function start(): Promise<void> {
  enter('opening', 'Starting…');
  const [size, background, device] = [Number(field('size').value), field('background').value, field('device').value];
  await project.writeSettings({ size, background, device: device as project.Settings['device'], steps: stepsAsked() });
  // a browser that is short of room then spares it
  navigator.storage.persist();
  enter('running');
  order('go');
}

async function pause(): Promise<void> {
  enter('pausing', 'Pausing after this step…');
  order('pause');
}

async function startOver(): Promise<void> {
  if (!confirm('Forget what was trained? The pictures stay.')) return;
  await project.removeRun();
  location.reload();
}

async function attempt(action: () => Promise<void>): Promise<void> {
  await action().catch((error: Error) => failed(error.message));
}

async function failed(message: string): Promise<void> {
  const checkpoints = await listCheckpoints(project.store).catch(() => []);
  enter(checkpoints.length > 0 ? 'stopped' : 'new', message);
  element('status').classList.add('failed');
}

function enter(next: typeof state, message?: string): void {
  state = next;
  const names = { new: 'Start', opening: 'Continue', running: 'Pause', pausing: 'Pause', stopped: 'Continue' };
  const canStart = (state === 'new' || state === 'stopped') && pictures.length > 0 && stepsAsked() > step;
  element<HTMLFieldSetElement>('setup').disabled = state !== 'new';
  element<HTMLFieldSetElement>('how').disabled = state !== 'new' && state !== 'stopped';
  button('go').textContent = names[state];
  button('go').disabled = state !== 'running' && !canStart;
  button('restart').disabled = state !== 'stopped';
  if (message !== undefined) say(message);
}

function showStep(done: number): void {
  step = done;
  element('step').textContent = `${step} of ${stepsAsked()}`;
  element<HTMLProgressElement>('progress').value = step / stepsAsked();
}

function showCurve(): void {
  drawCurve(element<SVGElement>('curve'), points, stepsAsked());
  element('loss').textContent = points.at(-1)?.loss.toPrecision(3) ?? '–';
}

function showPictures(): void {
  drawThumbnails(element('thumbnails'), pictures, field('background').value);
}

import { readFile } from 'node:fs/promises';
import { inspect } from 'node:util';
import { Command, Option } from 'commander';
import { assertNumber } from '../core/assert.ts';
import { DdpmError } from '../core/errors.ts';
import type { ScaledLora } from '../model/types.ts';
import type { Device } from '../runtime/types.ts';
import type { RequestRecord } from '../serve/index.ts';
import { addLoraFlag, defaultModel, deviceOption, number } from './flags.ts';

interface ServeFlags {
  host: string;
  port: number;
  device: Device;
  threads?: number;
  lora?: ScaledLora[];
  batch?: number;
  batchWait?: number;
  maxCount?: number;
  maxSteps?: number;
  maxPixels?: number;
  denoise?: number;
  active?: number;
  queue?: number;
  deadline?: number;
  rate?: number;
  tokenFile?: string;
  cors?: string;
  grace: number;
}

const examples = `
The token may also come in the environment variable DDPM_WASM_TOKEN. SIGTERM or Ctrl-C stops: what was accepted is
answered, or told so after --grace seconds. Logs are lines of JSON on stdout.

Examples:
  $ ddpm-wasm serve
  $ ddpm-wasm serve model.ddpm --port 9000 --max-count 16 --deadline 20
  $ ddpm-wasm serve model.ddpm --host 0.0.0.0 --token-file /run/secrets/token --rate 60 --cors https://example.org
  $ curl 'http://127.0.0.1:8080/v1/samples?seed=7&count=4&class=Sneaker' > sneakers.png
`;

export function serveCommand(): Command {
  const command = new Command('serve')
    .description('Serve images from a model over HTTP.')
    .argument('[model]', 'bundled name, diffusers folder, .onnx file, .ddpm bundle, or URL', defaultModel)
    .option('--host <address>', 'where to listen: 0.0.0.0 is every interface', '127.0.0.1')
    .option('--port <n>', 'the port; 0 is any that is free', number('--port'), 8080)
    .addOption(deviceOption());
  return addLoraFlag(command)
    .option('--threads <n>', 'CPU threads of a network call', number('--threads'))
    .option('--batch <n>', 'images in one network call (default: 16)', number('--batch'))
    .option('--batch-wait <ms>', 'how long a call waits for others (default: 2)', number('--batch-wait'))
    .option('--max-count <n>', 'images a request (default: 64)', number('--max-count'))
    .option('--max-steps <n>', 'network calls an image (default: 1000)', number('--max-steps'))
    .option('--max-pixels <n>', 'pixels of a picture (default: 1048576)', number('--max-pixels'))
    .addOption(denoiseOption())
    .option('--active <n>', 'images sampled at the same time (default: 32)', number('--active'))
    .option('--queue <n>', 'requests that wait for those (default: 256)', number('--queue'))
    .option('--deadline <s>', 'seconds a request may take (default: 60)', number('--deadline'))
    .option('--rate <n>', 'requests a minute of one client', number('--rate'))
    .option('--token-file <file>', 'a file with the token that clients must send')
    .option('--cors <origins>', 'origins whose pages may ask, separated by commas; * is any')
    .option('--grace <s>', 'seconds to finish in when told to stop', number('--grace'), 10)
    .addHelpText('after', examples)
    .action(serve);
}

function denoiseOption(): Option {
  const text = 'answer network calls at /v1/denoise, of so many images (16): samplers elsewhere then need no network';
  return new Option('--denoise [n]', text).preset('16').argParser(number('--denoise'));
}

async function serve(source: string, flags: ServeFlags): Promise<void> {
  // a signal that comes while the model is loaded counts, too
  const stopped = stopSignal();
  const token = await tokenOf(flags);
  assertNumber(flags.grace, 'grace', 0, 1_000_000);
  const { loadThreadedPipeline, startServer } = await import('../serve/node.ts');
  const { device, threads, batch, lora } = flags;
  const pipeline = await loadThreadedPipeline(source, { device, threads, batch, lora });
  try {
    for (const note of pipeline.notes) log('note', { note });
    const server = await startServer({ pipeline, token, onRequest: logRequest, ...handlerOptions(flags) });
    log('listening', { url: server.url, model: pipeline.model.name, device: pipeline.model.device, pid: process.pid });
    try {
      // a network that does not answer at first never will
      await Promise.race([stopped, server.handler.ready()]);
      log('stopping', { signal: await stopped });
    } finally {
      await server.close({ milliseconds: flags.grace * 1000 });
    }
    log('stopped', {});
  } finally {
    await pipeline.dispose();
  }
}

function handlerOptions(flags: ServeFlags) {
  const { host, port, batch, batchWait, rate, cors } = flags;
  const limits = {
    count: flags.maxCount,
    steps: flags.maxSteps,
    pixels: flags.maxPixels,
    denoise: flags.denoise,
    active: flags.active,
    queue: flags.queue,
    seconds: flags.deadline,
  };
  return {
    host,
    port,
    limits: Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined)),
    batch: { maxImages: batch, maxWait: batchWait },
    rateLimit: rate === undefined ? undefined : { requests: rate, seconds: 60 },
    cors: cors === undefined || cors === '*' ? cors : cors.split(',').map((origin) => origin.trim()),
  };
}

/** Never from an argument, which everyone on the machine can see. */
async function tokenOf({ tokenFile }: ServeFlags): Promise<string | undefined> {
  if (tokenFile === undefined) return process.env.DDPM_WASM_TOKEN || undefined;
  try {
    return (await readFile(tokenFile, 'utf8')).trim();
  } catch (error) {
    throw new DdpmError(
      'model-not-found',
      `--token-file: cannot read ${tokenFile}: ${(error as NodeJS.ErrnoException).code}`,
    );
  }
}

/** The first signal to stop; a second one ends the process as usual. */
function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(signal));
  });
}

function logRequest({ error, milliseconds, ...record }: RequestRecord): void {
  const reason = error === undefined ? {} : { error: inspect(error) };
  log('request', { ...record, milliseconds: Math.round(milliseconds * 10) / 10, ...reason });
}

function log(event: string, fields: object): void {
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), event, ...fields })}\n`);
}

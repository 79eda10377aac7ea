import { assertInteger, assertKeys, assertNumber } from '../core/assert.ts';
import { collectBytes } from '../core/collect.ts';
import { answerBytes, decodeAnswer, encodeQuestion, frameType } from '../core/denoiseFrame.ts';
import type { Condition, Denoiser } from '../core/denoiser.ts';
import { DdpmError, isArgumentError, wrongKind, wrongValue } from '../core/errors.ts';
import { assertTensor, sizeOf, type Tensor } from '../core/tensor.ts';
import { untilAborted } from '../core/untilAborted.ts';
import { joinUrl, showPlace } from '../runtime/http.ts';

/** How to call a network elsewhere. */
export interface RemoteOptions {
  /** Stands in for the platform's fetch: the binding of a Worker's service, say. */
  readonly fetch?: (request: Request) => Promise<Response>;
  /** Sent as `Authorization: Bearer`. */
  readonly token?: string;
  /** How many images go into one request at most. Default 16, which is what a server takes that was not told otherwise. */
  readonly batch?: number;
  /** Seconds that a request may take. Default 60. */
  readonly seconds?: number;
  /** How often a request is repeated where the server is busy or cannot be reached. Default 2. */
  readonly retries?: number;
  /** Ends requests that are on their way. */
  readonly signal?: AbortSignal;
}

const optionKeys = ['fetch', 'token', 'batch', 'seconds', 'retries', 'signal'];

/**
 * A network that answers elsewhere: a server that `ddpm-wasm serve --denoise` runs, or another with the route /v1/denoise. It
 * stands where a local one does, and gives the same numbers to the bit. Nothing is asked before the first call.
 *
 * @param url of the server, such as https://example.org/model/
 * @throws TypeError or RangeError naming the argument; its calls reject with DdpmError `busy` where the server has no room,
 * `network-failed` where it refuses or cannot be reached, and with the signal's reason
 * @example
 * const denoiser = createRemoteDenoiser('https://gpu.example.org', { token });
 * const images = await runPlan(plan, denoiser, { shape: [4, 1, 28, 28], seed: 7, condition: { classLabels: [0, 1, 2, 3] } });
 */
export function createRemoteDenoiser(url: string | URL, options: RemoteOptions = {}): Denoiser {
  const server = checkedServer(url, options);
  const { batch = 16 } = options;
  assertInteger(batch, 'batch', 1, 4096);
  return async (x, timesteps, condition, { out } = {}) => {
    checkCall(x, timesteps, condition);
    const [count] = x.shape;
    const parts: Tensor[] = [];
    for (let begin = 0; begin < count; begin += batch)
      parts.push(await ask(server, slice({ x, timesteps, condition }, begin, Math.min(begin + batch, count))));
    return joined(parts, count, out);
  };
}

/** Where to ask, and how. */
interface Server extends Required<Pick<RemoteOptions, 'fetch' | 'seconds' | 'retries'>> {
  readonly place: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

function checkedServer(url: string | URL, options: RemoteOptions): Server {
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  assertKeys(options, 'options', optionKeys);
  const { fetch = (request: Request) => globalThis.fetch(request), token, seconds = 60, retries = 2, signal } = options;
  const place = checkedUrl(url);
  if (typeof fetch !== 'function') throw wrongKind('fetch', 'a function', fetch);
  if (token !== undefined && typeof token !== 'string') throw wrongKind('token', 'a string', typeof token);
  assertNumber(seconds, 'seconds', 0.001, 2_000_000);
  assertInteger(retries, 'retries', 0, 100);
  const headers: Record<string, string> = { 'content-type': frameType, accept: frameType };
  if (token !== undefined) headers.authorization = `Bearer ${token}`;
  return { place: joinUrl(place, 'v1/denoise'), headers, fetch, seconds, retries, signal };
}

function checkedUrl(url: string | URL): URL {
  if (!(url instanceof URL) && typeof url !== 'string') throw wrongKind('url', 'a URL', url);
  if (!URL.canParse(url)) throw wrongValue('url', 'a URL', url);
  const parsed = new URL(url);
  // fetch takes none with a password, and would show it in its message
  if (!/^https?:$/.test(parsed.protocol) || parsed.username || parsed.password)
    throw wrongValue('url', 'an http: or https: URL without a password', showPlace(parsed));
  return parsed;
}

interface Call {
  readonly x: Tensor;
  readonly timesteps: Float32Array;
  readonly condition: Condition | undefined;
}

function checkCall(x: Tensor, timesteps: Float32Array, condition: Condition | undefined): void {
  assertTensor(x, 'x');
  if (x.shape.length !== 4) throw wrongValue('x.shape', '[count, channels, height, width]', x.shape);
  const [count] = x.shape;
  if (timesteps?.length !== count) throw wrongValue('timesteps', `${count} numbers`, timesteps?.length);
  const labels = condition?.classLabels;
  if (labels && labels.length !== count) throw wrongValue('classLabels', `${count} labels`, labels.length);
}

/** Images begin..end-1 of a call. */
function slice({ x, timesteps, condition }: Call, begin: number, end: number) {
  const [count, ...image] = x.shape;
  const stride = x.data.length / count;
  const labels = condition?.classLabels && Array.from(condition.classLabels).slice(begin, end);
  return {
    x: { data: x.data.subarray(begin * stride, end * stride), shape: [end - begin, ...image] },
    timesteps: timesteps.subarray(begin, end),
    classLabels: labels,
  };
}

/** One request, repeated where that may help: the same question has the same answer. */
async function ask(server: Server, question: Parameters<typeof encodeQuestion>[0]): Promise<Tensor> {
  const body = encodeQuestion(question);
  for (let left = server.retries; ; left--) {
    server.signal?.throwIfAborted();
    const { answer, retryAfter, error } = await attempt(server, body, question.x.shape);
    if (answer) return answer;
    if (left === 0 || retryAfter === undefined) throw error;
    await pause(retryAfter, server.signal);
  }
}

interface Attempt {
  readonly answer?: Tensor;
  readonly error?: DdpmError;
  /** Seconds after which another may succeed. */
  readonly retryAfter?: number;
}

async function attempt(server: Server, body: BodyInit, shape: readonly number[]): Promise<Attempt> {
  const { place, headers, fetch, seconds } = server;
  const late = AbortSignal.timeout(seconds * 1000);
  const signal = server.signal ? AbortSignal.any([server.signal, late]) : late;
  try {
    // a redirect might lead the token and the images anywhere
    const request = new Request(place, { method: 'POST', headers, body, signal, redirect: 'manual' });
    const response = await untilAborted(fetch(request), signal);
    if (response.status === 200) return { answer: await answerOf(response, shape, signal) };
    return await refusal(response, place, signal);
  } catch (error) {
    if (server.signal?.aborted) throw server.signal.reason;
    if (isArgumentError(error) || error instanceof DdpmError)
      throw new DdpmError('network-failed', `${showPlace(place)}: ${error.message}`, { cause: error });
    const reason = late.aborted ? `no answer within ${seconds} seconds` : (error as Error).message;
    const failed = new DdpmError('network-failed', `${showPlace(place)}: ${reason}`, { cause: error });
    return { error: failed, retryAfter: late.aborted ? undefined : restSeconds };
  }
}

// until a server that cannot be reached, or does not say when, is asked again; and how long we wait at most
const restSeconds = 0.25;
const maxWait = 60;

/** What a server says instead of an answer. */
async function refusal(response: Response, place: URL, signal: AbortSignal): Promise<Attempt> {
  const { status, headers } = response;
  const detail = await detailOf(response, signal);
  const message = `${showPlace(place)}: the server answered ${status}${detail && `: ${detail}`}`;
  if (status !== 503 && status !== 429) return { error: new DdpmError('network-failed', message) };
  const wait = Number(headers.get('retry-after') ?? restSeconds);
  return { error: new DdpmError('busy', message), retryAfter: Math.min(wait >= 0 ? wait : restSeconds, maxWait) };
}

/** The detail of a problem (RFC 9457), or nothing. */
async function detailOf(response: Response, signal: AbortSignal): Promise<string> {
  try {
    const bytes = await collectBytes(response.body!, { name: 'answer', maxBytes: 4096, signal });
    const { detail } = JSON.parse(new TextDecoder().decode(bytes));
    return typeof detail === 'string' ? detail.slice(0, 500).replace(/\s+/g, ' ') : '';
  } catch {
    return '';
  }
}

/** A prediction for images of such a shape, of as many channels or twice as many. */
async function answerOf({ body }: Response, shape: readonly number[], signal: AbortSignal): Promise<Tensor> {
  const [count, channels, ...size] = shape;
  const most = answerBytes([count, 2 * channels, ...size]);
  if (!body) throw wrongValue('answer', 'MessagePack', 'nothing');
  const answer = decodeAnswer(await collectBytes(body, { name: 'answer', maxBytes: most, signal }));
  assertTensor(answer, 'answer', [count, answer.shape[1] === 2 * channels ? 2 * channels : channels, ...size]);
  return answer;
}

function joined(parts: readonly Tensor[], count: number, out: Tensor | undefined): Tensor {
  const shape = [count, ...parts[0].shape.slice(1)];
  if (out) assertTensor(out, 'out', shape);
  else if (parts.length === 1) return parts[0];
  const whole = out ?? { data: new Float32Array(sizeOf(shape)), shape };
  let at = 0;
  for (const { data } of parts) {
    whole.data.set(data, at);
    at += data.length;
  }
  return whole;
}

async function pause(seconds: number, signal: AbortSignal | undefined): Promise<void> {
  await untilAborted(new Promise((resolve) => setTimeout(resolve, seconds * 1000)), signal);
}

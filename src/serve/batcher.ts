import { assertInteger, assertNumber } from '../core/assert.ts';
import type { Condition, Denoiser } from '../core/denoiser.ts';
import { DdpmError } from '../core/errors.ts';
import { sizeOf, type Tensor } from '../core/tensor.ts';

/** How calls are put together. */
export interface BatcherOptions {
  /** How many images go into one network call at most, unless a call alone has more. Default 16. */
  readonly maxImages?: number;
  /** How many milliseconds a call waits for those of other runs at most. Default 2. */
  readonly maxWait?: number;
  /** Told how many images each network call had. */
  readonly onCall?: (images: number) => void;
}

/** One network for many runs side by side. */
export interface Batcher {
  /** Stands where the network does; calls that wait at the same time become one. */
  readonly denoiser: Denoiser;
  /** Says that a run begins; what it returns, that it is over. Nobody waits for more calls than there are runs. */
  enter(): () => void;
}

/**
 * Puts the network calls of runs that go on at the same time together. They need not agree on anything but the size of
 * their images: a call has a timestep and a label for each image, so that runs of any sampler and length mix, and one that
 * begins joins at the next call. Each run is what it would have been alone, as far as the network answers each image by
 * itself.
 *
 * A call goes out when every run has asked, when enough images wait, or after `maxWait`.
 */
export function createBatcher(denoiser: Denoiser, options: BatcherOptions = {}): Batcher {
  const { maxImages = 16, maxWait = 2, onCall } = options;
  assertInteger(maxImages, 'maxImages', 1, 4096);
  assertNumber(maxWait, 'maxWait', 0, 10_000);
  let waiting: Call[] = [];
  let runs = 0;
  let busy = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const consider = () => {
    if (busy || waiting.length === 0) return;
    if (waiting.length >= runs || imagesIn(waiting) >= maxImages) send();
    else timer ??= setTimeout(send, maxWait);
  };
  const send = () => {
    clearTimeout(timer);
    timer = undefined;
    // a run that was alone may have left while its call waited
    if (busy || waiting.length === 0) return;
    const calls = takeCalls(waiting, maxImages);
    waiting = waiting.filter((call) => !calls.includes(call));
    busy = true;
    onCall?.(imagesIn(calls));
    answer(denoiser, calls).finally(() => {
      busy = false;
      consider();
    });
  };

  return {
    denoiser: (x, timesteps, condition, { out } = {}) =>
      new Promise((resolve, reject) => {
        waiting.push({ x, timesteps, condition, out, resolve, reject });
        consider();
      }),
    enter() {
      let entered = true;
      runs++;
      return () => {
        if (entered) runs--;
        entered = false;
        consider();
      };
    },
  };
}

interface Call {
  readonly x: Tensor;
  readonly timesteps: Float32Array;
  readonly condition: Condition | undefined;
  readonly out: Tensor | undefined;
  resolve(answer: Tensor): void;
  reject(error: unknown): void;
}

function imagesIn(calls: readonly Call[]): number {
  return calls.reduce((sum, { x }) => sum + x.shape[0], 0);
}

/** The calls that go with the first, in order, as long as they fit. */
function takeCalls(waiting: readonly Call[], maxImages: number): Call[] {
  const [first, ...others] = waiting;
  const calls = [first];
  let images = first.x.shape[0];
  for (const call of others) {
    if (images + call.x.shape[0] > maxImages) break;
    if (!mixes(call, first)) continue;
    calls.push(call);
    images += call.x.shape[0];
  }
  return calls;
}

function mixes(a: Call, b: Call): boolean {
  const sameSize = a.x.shape.slice(1).every((n, i) => n === b.x.shape[i + 1]);
  return sameSize && (a.condition?.classLabels === undefined) === (b.condition?.classLabels === undefined);
}

async function answer(denoiser: Denoiser, calls: readonly Call[]): Promise<void> {
  try {
    const answers = calls.length === 1 ? [await alone(denoiser, calls[0])] : await together(denoiser, calls);
    for (const [i, { resolve }] of calls.entries()) resolve(answers[i]);
  } catch (error) {
    for (const { reject } of calls) reject(error);
  }
}

/** No copies where there is nothing to put together. */
async function alone(denoiser: Denoiser, { x, timesteps, condition, out }: Call): Promise<Tensor> {
  return denoiser(x, timesteps, condition, { out });
}

async function together(denoiser: Denoiser, calls: readonly Call[]): Promise<Tensor[]> {
  const [, ...image] = calls[0].x.shape;
  const count = imagesIn(calls);
  const x = { data: joined(calls.map(({ x }) => x.data)), shape: [count, ...image] };
  const labels = calls.flatMap(({ condition }) => Array.from(condition?.classLabels ?? []));
  const condition = labels.length > 0 ? { classLabels: labels } : undefined;
  const { data, shape } = await denoiser(x, joined(calls.map(({ timesteps }) => timesteps)), condition);
  if (shape[0] !== count)
    throw new DdpmError('network-failed', `the network answered for ${shape[0]} images, not ${count}`);

  const stride = sizeOf(shape.slice(1));
  let at = 0;
  return calls.map(({ x }) => {
    const [n] = x.shape;
    const part = data.subarray(at * stride, (at + n) * stride);
    at += n;
    return { data: part, shape: [n, ...shape.slice(1)] };
  });
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

import { decodeQuestion, encodeAnswer, frameType, type Question, questionBytes } from '../core/denoiseFrame.ts';
import type { Denoiser } from '../core/denoiser.ts';
import { wrongKind, wrongValue } from '../core/errors.ts';
import { sizeOf } from '../core/tensor.ts';
import type { Pipeline } from '../pipeline.ts';
import { discardBody, lengthOf, readBody, typeOf } from './body.ts';
import { Problem } from './problem.ts';
import type { Service } from './samples.ts';

/** A network call for a client that runs the plan itself; it shares calls with the runs of all others. */
export async function answerDenoise(service: Service, request: Request): Promise<Response> {
  const { pipeline, runs } = service;
  const type = typeOf(request);
  if (type !== frameType) throw new Problem(415, 'not-msgpack', `expected ${frameType}, got ${type ?? 'nothing'}`);
  const images = imagesWithin(request, service);
  const maxBytes = questionBytes([images, ...pipeline.model.shape]);
  let waiting = true;
  const read = async (signal: AbortSignal) => {
    waiting = false;
    return callOf(pipeline, images, decodeQuestion(await readBody(request, maxBytes, signal)));
  };
  try {
    const answer = await runs.denoise(images, request.signal, read);
    return new Response(encodeAnswer(answer), { headers: { 'content-type': frameType, 'cache-control': 'no-store' } });
  } catch (error) {
    if (waiting) await discardBody(request);
    throw error;
  }
}

/** The most images that a body can hold, by what it says of its length; one that says nothing counts as the largest. */
function imagesWithin(request: Request, { pipeline, limits }: Service): number {
  const each = 4 * sizeOf(pipeline.model.shape);
  const images = Math.floor((lengthOf(request) ?? Infinity) / each);
  return Math.max(1, Math.min(limits.denoise, images));
}

/** A call that the network can answer: others share it, and what fails would fail for all. */
function callOf({ model, schedule }: Pipeline, images: number, question: Question): Parameters<Denoiser> {
  const { x, timesteps, classLabels } = question;
  const [count, ...image] = x.shape;
  if (count > images) throw wrongValue('x.shape', `at most ${images} images`, count);
  if (image.some((n, i) => n !== model.shape[i]))
    throw wrongValue('x.shape', `[n, ${model.shape.join(', ')}]`, x.shape);
  if (timesteps.length !== count) throw wrongValue('timesteps', `${count} numbers`, timesteps.length);
  const { trainTimesteps, config } = schedule;
  // some networks look timesteps up in a table; those of log(sigma) have no bounds
  const isOutside = (t: number) => !(t >= 0 && t <= trainTimesteps - 1);
  const odd = timesteps.find(config.timestepType === 'continuous' ? (t) => !Number.isFinite(t) : isOutside);
  if (odd !== undefined) throw wrongValue('timesteps', `numbers in 0..${trainTimesteps - 1}`, odd);
  if (model.classes === 0) {
    if (classLabels) throw wrongValue('classLabels', 'none, as the model has no classes', classLabels);
    return [x, timesteps];
  }
  if (!classLabels) throw wrongKind('classLabels', 'a label for each image', classLabels);
  if (classLabels.length !== count) throw wrongValue('classLabels', `${count} labels`, classLabels.length);
  const bad = classLabels.find((label) => !(Number.isInteger(label) && label >= 0 && label < model.classes));
  if (bad !== undefined) throw wrongValue('classLabels', `integers in 0..${model.classes - 1}`, bad);
  return [x, timesteps, { classLabels }];
}

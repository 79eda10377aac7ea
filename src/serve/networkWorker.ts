// The other end of threadedModel.ts: a model in a thread of its own, asked by messages.
import { parentPort, workerData } from 'node:worker_threads';
import { loadModel } from '../model/load.ts';
import type { Model } from '../model/types.ts';
import { type Answer, type Facts, failureOf, type Question, type Start } from './threadMessages.ts';

const port = parentPort!;
const { source, options } = workerData as Start;
try {
  const model = await loadModel(source, options);
  port.postMessage({ facts: factsOf(model) });
  port.on('message', (question: Question | null) => void (question ? answer(model, question) : end(model)));
} catch (error) {
  port.postMessage({ failure: failureOf(error) });
}

async function answer({ denoiser }: Model, { id, x, timesteps, condition }: Question): Promise<void> {
  try {
    const { data, shape } = await denoiser(x, timesteps, condition);
    const reply: Answer = { id, answer: { data, shape } };
    port.postMessage(reply, [data.buffer as ArrayBuffer]);
  } catch (error) {
    const reply: Answer = { id, failure: failureOf(error) };
    port.postMessage(reply);
  }
}

async function end(model: Model): Promise<void> {
  await model.dispose();
  port.close();
}

/** All of a model that is no function. */
function factsOf({ denoiser, dispose: _, notes, ...facts }: Model): Facts {
  return { ...facts, notes: [...notes], network: { shape: denoiser.shape, labelInput: denoiser.labelInput } };
}

// The other end of threadedPipeline.ts: a model in a thread of its own, called for its answers.
import { serveThread } from '#runtime';
import { loadModel } from '../model/load.ts';
import type { Model } from '../model/types.ts';
import type { Facts, Question, Start } from './threadedPipeline.ts';

serveThread(async (data) => {
  const { source, options } = data as Start;
  const model = await loadModel(source, options);
  return {
    facts: () => factsOf(model),
    denoise: ({ x, timesteps, condition }: Question) => model.denoiser(x, timesteps, condition),
    dispose: () => model.dispose(),
  };
});

/** All of a model that is no function. */
function factsOf({ denoiser, dispose: _, notes, ...facts }: Model): Facts {
  return { ...facts, notes: [...notes], network: { shape: denoiser.shape, labelInput: denoiser.labelInput } };
}

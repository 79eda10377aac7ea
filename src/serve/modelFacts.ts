import type { Pipeline } from '../pipeline.ts';
import type { Limits } from './limits.ts';

/** What a client may know of a model: notes name files of this machine, and stay here. */
export function describeModel({ model, schedule }: Pipeline, limits: Limits) {
  const { name, shape, classes, labels, unconditional, sampling, bundle, device } = model;
  const { count, steps, pixels, denoise } = limits;
  return {
    name,
    shape,
    classes,
    labels,
    unconditional,
    sampling,
    scheduler: { className: schedule.config.className, trainTimesteps: schedule.trainTimesteps },
    device,
    sha256: bundle?.sha256,
    card: bundle?.card,
    limits: { count, steps, pixels, denoise },
  };
}

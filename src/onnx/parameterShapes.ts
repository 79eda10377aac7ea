import type { UNetConfig } from '../core/unetConfig.ts';
import { isClassConditional } from './embeddings.ts';
import { GraphBuilder, type Value } from './graph.ts';
import { Layers } from './layers.ts';
import type { ParameterSource } from './parameters.ts';
import { unetForward } from './unet2d.ts';

/**
 * The names and shapes of the parameters that a UNet2DModel has, in the order in which the graph takes them: what the
 * walk that builds the graph asks for, so that the two cannot differ.
 *
 * @param has whether the weights at hand have a parameter that the config leaves open; by default they are as today's
 * diffusers makes them
 */
export function parameterShapes(
  config: UNetConfig,
  has: (name: string) => boolean = () => false,
): Map<string, readonly number[]> {
  const g = new GraphBuilder('parameters');
  const recorder = new ShapeRecorder(has);
  unetForward(new Layers(g, recorder, config), {
    sample: g.input('sample', 'float32', ['N', config.inChannels, 'H', 'W']),
    timestep: g.input('timestep', 'float32', ['N']),
    classLabels: isClassConditional(config) ? g.input('class_labels', 'int64', ['N']) : undefined,
  });
  return recorder.shapes;
}

class ShapeRecorder implements ParameterSource {
  readonly shapes = new Map<string, readonly number[]>();

  constructor(readonly has: (name: string) => boolean) {}

  get(name: string, shape: readonly number[]): Value {
    this.shapes.set(name, shape);
    return name;
  }
}

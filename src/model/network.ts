import type { InferenceSession } from 'onnxruntime-web';
import type { LoadedOrt } from '../runtime/types.ts';
import type { Signature } from './signature.ts';

/** What the graph, or one trial run, tells about a network. */
export interface NetworkShape {
  /** Channels, height and width of one image; undefined where the graph leaves them open. */
  readonly channels: number | undefined;
  readonly height: number | undefined;
  readonly width: number | undefined;
  /** Channels of the prediction: twice `channels` where the network predicts the variance too. */
  readonly outChannels: number | undefined;
}

/** A session with all that is known about it. */
export interface Network extends LoadedOrt {
  readonly session: InferenceSession;
  readonly signature: Signature;
  readonly shape: NetworkShape;
  readonly batch: number;
}

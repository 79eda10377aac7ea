import type { PredictionType } from '../core/schedulerConfig.ts';
import type { Schedule } from './schedule.ts';

/** One call of the network: it sees scale*x at the timestep, and its answer goes into the velocity with the weight. */
export interface Ask {
  readonly timestep: number;
  readonly scale: number;
  readonly weight: number;
}

/** dx/dangle = own*x + the answers, each times its weight. */
export interface Velocity {
  readonly own: number;
  readonly asks: readonly Ask[];
}

/** The probability flow of a schedule, over the angle of x = cos(angle) x_0 + sin(angle) noise. */
export interface Flow {
  /** The angle of the last timestep, where samplers start. */
  readonly last: number;
  velocity(angle: number): Velocity;
}

/** Beyond sigma = 100 float32 answers no longer tell the image from the noise; linear betas end at sigma = 157. */
const highestSigma = 100;

/**
 * The probability flow dx = [-beta/2 x - beta/2 score] dt (Song et al. 2021, eq. 13) by the angle with tan(angle) =
 * sigma = sqrt((1 - abar)/abar). Its velocity is the v of Salimans and Ho 2022, cos(angle) eps - sin(angle) x_0: smooth
 * from the image at 0 to pure noise at pi/2, which few other variables are at both ends.
 *
 * Between the levels that the network knows it is asked at real timesteps, those of `alphaCumprodAt`. Beyond them:
 * above the highest, what it takes for the image there stands; below the lowest, the score is a straight line in sigma^2
 * through timesteps 0 and 1. So the flow goes all the way to the image and to N(0, I), and the density is of the image
 * itself, not of one with the noise of t = 0.
 */
export function createFlow({ logSnr, trainTimesteps, config }: Schedule): Flow {
  const angles = logSnr.map((value) => Math.atan(Math.exp(-value / 2)));
  // a schedule whose last abar is zero ends one timestep earlier
  const end = logSnr[trainTimesteps - 1] === -Infinity ? Math.max(trainTimesteps - 2, 0) : trainTimesteps - 1;
  const highest = Math.min(Math.atan(highestSigma), angles[end]);
  const highestTimestep = timestepAt(logSnr, end, highest);
  const second = angles.findIndex((angle) => angle > angles[0]);
  const noiseIn = (angle: number) => readNoise(config.predictionType, angle);

  const below = (angle: number): Velocity => {
    const variance = Math.tan(angle) ** 2;
    const variances = [0, second].map((t) => Math.tan(angles[t]) ** 2);
    const along = (variance - variances[0]) / (variances[1] - variances[0]);
    const levels = second < 0 ? [{ t: 0, part: 1 }] : [0, second].map((t, i) => ({ t, part: i ? along : 1 - along }));
    return fromNoise(
      angle,
      levels.map(({ t, part }) => {
        const [own, model] = noiseIn(angles[t]);
        const share = (part * Math.tan(angle)) / Math.tan(angles[t]);
        const scale = Math.cos(angles[t]) / Math.cos(angle);
        return { timestep: t, scale, own: share * own * scale, model: share * model };
      }),
    );
  };

  const above = (angle: number): Velocity => {
    const [sine, cosine] = [Math.sin(highest), Math.cos(highest)];
    const [own, model] = noiseIn(highest);
    const image = { own: (1 - sine * own) / cosine, model: (-sine * model) / cosine };
    const weight = -1 / Math.sin(angle);
    return {
      own: Math.cos(angle) / Math.sin(angle) + weight * image.own,
      asks: [{ timestep: highestTimestep, scale: 1, weight: weight * image.model }],
    };
  };

  const between = (angle: number): Velocity => {
    const [own, model] = noiseIn(angle);
    return fromNoise(angle, [{ timestep: timestepAt(logSnr, end, angle), scale: 1, own, model }]);
  };

  return {
    last: angles[trainTimesteps - 1],
    velocity: (angle) => (angle < angles[0] ? below(angle) : angle > highest ? above(angle) : between(angle)),
  };
}

/** v = (eps - sin(angle) x)/cos(angle), where eps is a sum of own*x + model*answer. */
function fromNoise(
  angle: number,
  parts: readonly { timestep: number; scale: number; own: number; model: number }[],
): Velocity {
  const cosine = Math.cos(angle);
  return {
    own: parts.reduce((sum, { own }) => sum + own / cosine, -Math.tan(angle)),
    asks: parts.map(({ timestep, scale, model }) => ({ timestep, scale, weight: model / cosine })),
  };
}

/** eps = own*x + model*answer, by what the network predicts: noise, image or velocity. */
function readNoise(type: PredictionType, angle: number): [own: number, model: number] {
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)];
  if (type === 'epsilon') return [0, 1];
  return type === 'sample' ? [1 / sine, -cosine / sine] : [sine, cosine];
}

/** The real timestep of an angle: the inverse of `alphaCumprodAt`. */
function timestepAt(logSnr: Float64Array, end: number, angle: number): number {
  const wanted = -2 * Math.log(Math.tan(angle));
  let low = 0;
  let high = end;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (logSnr[middle] > wanted) low = middle;
    else high = middle;
  }
  const fall = logSnr[low] - logSnr[high];
  const along = fall > 0 ? (logSnr[low] - wanted) / fall : 0;
  return low + Math.min(Math.max(along, 0), 1) * (high - low);
}

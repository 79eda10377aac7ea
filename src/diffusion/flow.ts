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
 * Between the levels that the network knows it is asked at real timesteps, those of `alphaCumprodAt`. Beyond them a
 * straight line through two levels goes on: below the lowest that of the score over sigma^2, above the highest that of the
 * image over cos(angle). So the flow goes all the way from the image to N(0, I), and the density is of the image itself,
 * not of one with the noise of t = 0.
 */
export function createFlow(schedule: Schedule): Flow {
  const { logSnr, trainTimesteps } = schedule;
  const angles = logSnr.map((value) => Math.atan(Math.exp(-value / 2)));
  // a schedule whose last abar is zero is asked up to one timestep earlier
  const end = logSnr[trainTimesteps - 1] === -Infinity ? Math.max(trainTimesteps - 2, 0) : trainTimesteps - 1;
  const highest = Math.min(highestSigma, Math.tan(angles[end]));
  const level = (angle: number) => levelAt(schedule, end, angle);
  const low = [level(angles[0]), level(angles[Math.min(1, end)])];
  const high = [level(Math.atan(highest)), level(Math.atan(Math.max(highest / 2, Math.tan(angles[0]))))];
  return {
    last: angles[trainTimesteps - 1],
    velocity(angle) {
      if (angle < low[0].angle) return below(angle, low);
      return angle > high[0].angle ? above(angle, high) : fromNoise(angle, [{ ...level(angle), part: 1, scale: 1 }]);
    },
  };
}

/** A level of noise, its timestep, and the noise in x there: eps = own*x + model*answer. */
interface Level {
  readonly angle: number;
  readonly timestep: number;
  readonly own: number;
  readonly model: number;
}

function levelAt({ logSnr, config }: Schedule, end: number, angle: number): Level {
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)];
  const [own, model] = {
    epsilon: [0, 1],
    sample: [1 / sine, -cosine / sine],
    v_prediction: [sine, cosine],
  }[config.predictionType];
  return { angle, timestep: timestepAt(logSnr, end, angle), own, model };
}

/** v = (eps - sin(angle) x)/cos(angle), with eps a sum of parts that see scale*x. */
function fromNoise(angle: number, levels: readonly (Level & { part: number; scale: number })[]): Velocity {
  const cosine = Math.cos(angle);
  return {
    own: levels.reduce((sum, { own, part, scale }) => sum + (part * own * scale) / cosine, -Math.tan(angle)),
    asks: levels.map(({ timestep, model, part, scale }) => ({ timestep, scale, weight: (part * model) / cosine })),
  };
}

/** The score -eps/sigma of x/cos(angle), a line over sigma^2 through two levels. */
function below(angle: number, levels: readonly Level[]): Velocity {
  const sigma = Math.tan(angle);
  const [first, second] = levels.map((level) => Math.tan(level.angle) ** 2);
  const along = line(sigma ** 2, first, second);
  return fromNoise(
    angle,
    levels.map((level, i) => ({
      ...level,
      part: (along[i] * sigma) / Math.tan(level.angle),
      scale: Math.cos(level.angle) / Math.cos(angle),
    })),
  );
}

/** v = (cos(angle) x - x_0)/sin(angle), with x_0 a line over cos(angle) through two levels. */
function above(angle: number, levels: readonly Level[]): Velocity {
  const [first, second] = levels.map((level) => Math.cos(level.angle));
  const along = line(Math.cos(angle), first, second);
  let own = Math.cos(angle) / Math.sin(angle);
  const asks = levels.map((level, i) => {
    // x_0 = (x - sin eps)/cos at the level
    const part = along[i] / Math.cos(level.angle) / Math.sin(angle);
    own -= part * (1 - Math.sin(level.angle) * level.own);
    return { timestep: level.timestep, scale: 1, weight: part * Math.sin(level.angle) * level.model };
  });
  return { own, asks };
}

/** What two points weigh on the line through them. */
function line(at: number, first: number, second: number): [number, number] {
  const along = first === second ? 0 : (at - first) / (second - first);
  return [1 - along, along];
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

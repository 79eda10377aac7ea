import { assertInteger, assertKeys } from '../core/assert.ts';

/** What a request may ask for, and how many may. */
export interface Limits {
  /** Images in one request. Default 64. */
  readonly count: number;
  /** Network calls an image. Default 1000. */
  readonly steps: number;
  /** Pixels of one picture, as it comes back. Default 2^20. */
  readonly pixels: number;
  /**
   * Images of one network call at /v1/denoise. Default 0: there is no such route, for who calls the network itself is bound by
   * none of the limits of sampling, and sends as many bytes as images have.
   */
  readonly denoise: number;
  /** Bytes of a body, those of network calls apart. Default 16384. */
  readonly body: number;
  /** Images of all requests that are sampled at the same time. Default 32. */
  readonly active: number;
  /** Requests that wait for those. Default 256. */
  readonly queue: number;
  /** Seconds that a request may take, waiting included. Default 60. */
  readonly seconds: number;
}

// what a timer can count
const maxSeconds = 2_000_000;

const mayBeNone: readonly (keyof Limits)[] = ['queue', 'denoise'];

const defaults: Limits = {
  count: 64,
  steps: 1000,
  pixels: 2 ** 20,
  denoise: 0,
  body: 2 ** 14,
  active: 32,
  queue: 256,
  seconds: 60,
};

/** The limits with what is not said. @throws TypeError or RangeError naming one. */
export function limitsOf(given: Partial<Limits> = {}): Limits {
  assertKeys(given, 'limits', Object.keys(defaults));
  const limits = { ...defaults, ...given };
  for (const key of Object.keys(defaults) as (keyof Limits)[])
    assertInteger(
      limits[key],
      `limits.${key}`,
      mayBeNone.includes(key) ? 0 : 1,
      key === 'seconds' ? maxSeconds : 2 ** 31 - 1,
    );
  return limits;
}

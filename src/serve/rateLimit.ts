import { assertInteger } from '../core/assert.ts';
import { wrongKind } from '../core/errors.ts';
import { Problem } from './problem.ts';

/** How often one client may ask for images. */
export interface RateLimit {
  readonly requests: number;
  /** Within so many seconds. */
  readonly seconds: number;
}

// clients remembered at a time; the longest silent is forgotten
const maxClients = 10_000;

/** Buckets of tokens, one a client, filled evenly. @returns a check that throws Problem 429 */
export function createRateLimit(limit: RateLimit, now = () => performance.now() / 1000): (client: string) => void {
  if (typeof limit !== 'object' || limit === null) throw wrongKind('rateLimit', '{ requests, seconds }', limit);
  const { requests, seconds } = limit;
  assertInteger(requests, 'rateLimit.requests', 1, 1_000_000);
  assertInteger(seconds, 'rateLimit.seconds', 1, 1_000_000);
  const rate = requests / seconds;
  const buckets = new Map<string, { tokens: number; at: number }>();
  return (client) => {
    const at = now();
    const before = buckets.get(client) ?? { tokens: requests, at };
    const tokens = Math.min(requests, before.tokens + (at - before.at) * rate);
    // last in the order of the map: the first is who was silent longest
    buckets.delete(client);
    buckets.set(client, { tokens: tokens >= 1 ? tokens - 1 : tokens, at });
    if (buckets.size > maxClients) buckets.delete(buckets.keys().next().value!);
    if (tokens >= 1) return;
    const wait = Math.ceil((1 - tokens) / rate);
    throw new Problem(429, 'rate-limited', `expected at most ${requests} requests in ${seconds} seconds`, {
      'retry-after': String(wait),
    });
  };
}

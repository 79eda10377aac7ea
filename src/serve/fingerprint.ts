import { sha256, toHex } from '../core/sha256.ts';
import type { Pipeline } from '../pipeline.ts';

/**
 * What tells models apart whose images differ: the schedule, the classes, and what the network answers to a fixed
 * question, to the bit. So it differs where another machine's arithmetic gives other images, too. It is a first call.
 */
export async function fingerprintOf({ model, schedule }: Pipeline): Promise<string> {
  const { shape, classes, labels, unconditional, sampling, denoiser } = model;
  const images = 2;
  const values = images * shape.reduce((size, n) => size * n, 1);
  const x = {
    data: Float32Array.from({ length: values }, (_, i) => ((i * 7919) % 257) / 64 - 2),
    shape: [images, ...shape],
  };
  const last = schedule.trainTimesteps - 1;
  const condition = classes > 0 ? { classLabels: [0, classes - 1] } : undefined;
  const { data } = await denoiser(x, Float32Array.of(Math.floor(last / 4), last), condition);
  const facts = { version: 1, shape, classes, labels, unconditional, sampling, schedule: schedule.config };
  const answer = new Uint8Array(data.slice().buffer);
  return toHex(await sha256(new TextEncoder().encode(JSON.stringify([facts, toHex(await sha256(answer))]))));
}

/**
 * The fingerprint, asked for at once and kept; asked for again where by then the network was lost, for it may be another
 * one that answers now.
 */
export function keepFingerprint(pipeline: Pipeline, alive: () => boolean): () => Promise<string> {
  let settled = false;
  const ask = () => {
    settled = false;
    const fingerprint = fingerprintOf(pipeline).finally(() => {
      settled = true;
    });
    // it is for whoever needs it: until then nobody has failed
    fingerprint.catch(() => undefined);
    return fingerprint;
  };
  let fingerprint = ask();
  return () => {
    if (settled && !alive()) fingerprint = ask();
    return fingerprint;
  };
}

/** A strong entity tag: equal where model and request are. */
export async function entityTag(fingerprint: string, request: object): Promise<string> {
  const entries = Object.entries(request).sort(([a], [b]) => (a < b ? -1 : 1));
  return `"${toHex(await sha256(new TextEncoder().encode(JSON.stringify([fingerprint, entries])))).slice(0, 32)}"`;
}

/** Whether an If-None-Match header has a tag, or any. */
export function matches(header: string | null, tag: string): boolean {
  if (header === null) return false;
  return header.split(',').some((one) => ['*', tag].includes(one.trim().replace(/^W\//, '')));
}

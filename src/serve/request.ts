import * as v from 'valibot';
import { wrongKind, wrongValue } from '../core/errors.ts';
import { firstIssue, type Sampler, samplers } from '../core/schedulerConfig.ts';
import type { Limits } from './limits.ts';
import { Problem } from './problem.ts';

/** How images come back. */
export const formats = ['png', 'webp', 'json', 'msgpack', 'raw'] as const;
/** How steps come back. */
export const streamFormats = ['sse', 'msgpack'] as const;

/** A number in a body, and text of digits where it is larger than a number can say. */
const seed = v.union([
  v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER)),
  v.pipe(v.string(), v.regex(/^\d{1,20}$/)),
]);
const label = v.union([v.pipe(v.number(), v.integer(), v.minValue(0)), v.pipe(v.string(), v.maxLength(100))]);
// inversion starts from images, which a request has none of
const starting = samplers.filter((name): name is Exclude<Sampler, 'ddim-inverse'> => name !== 'ddim-inverse');

/** What a request may say, within the limits: the one place that says it, for requests and for /openapi.json. */
export function requestSchemas(limits: Limits) {
  const upTo = (max: number) => v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(max)));
  const images = {
    seed: described(v.optional(seed), 'Decides every random number, 0 to 2^64 - 1. Default 0.'),
    count: described(upTo(limits.count), 'How many images. Default 1.'),
    steps: described(upTo(limits.steps), "Network calls an image. Default: the model's own."),
    sampler: described(v.optional(v.picklist(starting)), "How to sample. Default: the model's own."),
    eta: described(v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1))), 'Noise of ddim, 0 to 1.'),
    class: described(
      v.optional(v.union([label, v.pipe(v.array(label), v.minLength(1), v.maxLength(limits.count))])),
      'One class for all images or one for each, by index or name. Default: each class in turn.',
    ),
    guidance: described(
      v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1000))),
      "Classifier-free guidance; 0 is none. Default: the model's own.",
    ),
    columns: described(upTo(limits.count), 'Columns of the grid in a picture.'),
    scale: described(upTo(64), 'A pixel becomes a square of so many. Default: small images are enlarged to 64.'),
  };
  const format = described(v.optional(v.picklist(formats)), 'What comes back. Default png.');
  const frames = described(v.optional(v.picklist(streamFormats)), 'What comes back. Default sse.');
  const every = described(upTo(limits.steps), 'A preview after so many steps. Default: 20 in all.');
  return {
    samples: v.strictObject({ ...images, format }),
    stream: v.strictObject({ ...images, every, format: frames }),
  };
}

type Schemas = ReturnType<typeof requestSchemas>;
/** A request for images that was checked. */
export type SamplesRequest = v.InferOutput<Schemas['samples']>;
/** A request for steps that was checked. */
export type StreamRequest = v.InferOutput<Schemas['stream']>;

/** Checks what a query or a body says. @throws RangeError naming the key. */
export function parseRequest<T extends Schemas[keyof Schemas]>(schema: T, value: unknown): v.InferOutput<T> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw wrongKind('body', 'a JSON object', value);
  const parsed = v.safeParse(schema, value);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    if (issue.expected === 'never')
      throw wrongValue(
        v.getDotPath(issue) ?? 'body',
        `no such key: there are ${Object.keys(schema.entries).join(', ')}`,
        issue.input,
      );
    throw new Problem(400, 'invalid-argument', firstIssue(parsed.issues));
  }
  const { seed } = parsed.output;
  if (typeof seed === 'string' && BigInt(seed) >= 2n ** 64n) throw wrongValue('seed', 'an integer in 0..2^64-1', seed);
  return parsed.output;
}

const numeric = ['count', 'steps', 'eta', 'guidance', 'columns', 'scale', 'every'];

/** A query as the object that a body would be. What should be a number and is none stays text, which no schema takes. */
export function queryObject(query: URLSearchParams): Record<string, unknown> {
  const object: Record<string, unknown> = Object.create(null);
  for (const [key, text] of query) {
    if (key in object) throw wrongValue(key, 'one value', query.getAll(key));
    object[key] = numeric.includes(key) ? numberOf(text) : key === 'class' ? classesOf(text) : text;
  }
  return { ...object };
}

function numberOf(text: string): number | string {
  return /^-?\d{1,20}(\.\d{1,20})?$/.test(text) ? Number(text) : text;
}

/** Classes by index or name, separated by commas, as the command line has them. */
function classesOf(text: string): (number | string)[] {
  return text.split(',').map((part) => (/^\d{1,15}$/.test(part.trim()) ? Number(part) : part.trim()));
}

function described<T extends v.GenericSchema>(schema: T, text: string) {
  return v.pipe(schema, v.description(text));
}

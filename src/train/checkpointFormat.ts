import * as v from 'valibot';
import { assertInteger } from '../core/assert.ts';
import { DdpmError, show, wrongKind, wrongValue } from '../core/errors.ts';
import { decodeMsgpack, encodeMsgpack, maxNesting } from '../core/msgpack.ts';
import { sha256 } from '../core/sha256.ts';
import { sizeOf } from '../core/tensor.ts';

/** A value that JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined };

/** Where a parameter lies in the flat vectors of a training run. */
export interface ParameterPlace {
  /** diffusers' name in the state_dict. */
  readonly name: string;
  readonly shape: readonly number[];
  /** The index of its first number. */
  readonly offset: number;
}

/** All that a training run needs to go on as if it had never stopped. */
export interface TrainingState {
  /** The parameters in the order of the vectors: side by side, from 0 on. */
  readonly layout: readonly ParameterPlace[];
  readonly parameters: Float32Array;
  /** Adam's mean of the gradients. */
  readonly firstMoments: Float32Array;
  /** Adam's mean of their squares. */
  readonly secondMoments: Float32Array;
  /** The moving average of the parameters, or null where none is kept. */
  readonly ema: Float32Array | null;
  /** Optimizer steps done. */
  readonly step: number;
  /** Passes over the data that are complete. */
  readonly epoch: number;
  /** Images seen of the pass that is not. */
  readonly position: number;
  /** Decides all random numbers of the run. */
  readonly seed: number | bigint;
  /** Where the run is in its random numbers. */
  readonly random: Json;
  /** The training config. */
  readonly config: Json;
  /** What was measured so far. */
  readonly metrics: Json;
}

/**
 * The bytes of a checkpoint: one MessagePack list of a mark, the version of the format, the SHA-256 of all that follows,
 * and the state. Equal states give equal bytes. The state is copied before this returns, so that training may go on.
 *
 * @throws TypeError or RangeError naming the part of the state; DdpmError `out-of-memory` beyond 2 GiB
 */
export async function encodeCheckpoint(state: TrainingState): Promise<Uint8Array<ArrayBuffer>> {
  checkState(state);
  const vectors = vectorNames.reduce((sum, name) => sum + (state[name]?.byteLength ?? 0), 0);
  if (vectors > maxBytes)
    throw new DdpmError('out-of-memory', `a checkpoint expected at most ${maxBytes} bytes, got ${vectors}`);
  const layout = state.layout.map(({ name, shape, offset }) => [name, shape, offset]);
  const bytes = encodeMsgpack([...head, { ...pick(state), layout }], vectors + 2 ** 18);
  bytes.set(await sha256(bytes.subarray(headBytes.length)), digestStart);
  return bytes;
}

/**
 * The state in the bytes of a checkpoint. Any damage is found by the digest before anything is read; what a hostile file
 * declares is held against its size before anything is made of it.
 *
 * @param name what messages call the file
 * @throws DdpmError `checkpoint-invalid`
 */
export async function decodeCheckpoint(bytes: Uint8Array<ArrayBuffer>, name = 'checkpoint'): Promise<TrainingState> {
  const fail = (expected: string, got: string, cause?: unknown) =>
    new DdpmError('checkpoint-invalid', `${name}: expected ${expected}, got ${got}`, { cause });
  const start = bytes.subarray(0, headBytes.length);
  if (start.length < headBytes.length) throw fail('a training checkpoint', `a file of ${bytes.length} bytes`);
  if (!startsWith(start, headBytes.subarray(0, versionAt))) throw fail('a training checkpoint', 'something else');
  if (start[versionAt] !== version) throw fail(`version ${version} of the format`, `${start[versionAt]}`);

  const content = bytes.subarray(headBytes.length);
  const digest = start.subarray(digestStart);
  const whole = startsWith(start, headBytes.subarray(0, digestStart)) && startsWith(await sha256(content), digest);
  if (!whole) throw fail('content that its SHA-256 confirms', 'damaged content');

  let decoded: unknown;
  try {
    decoded = decodeMsgpack(content);
  } catch (cause) {
    throw fail('a training state', `content that is none: ${(cause as Error).message}`, cause);
  }
  const parsed = v.safeParse(stateSchema, decoded);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    const key = v.getDotPath(issue) ?? 'state';
    if (issue.expected === 'never') throw fail(`no "${key}"`, show(issue.input));
    throw fail(issue.input === undefined ? `"${key}"` : `"${key}" to be ${issue.message}`, show(issue.input));
  }
  try {
    const state = stateOf(parsed.output);
    checkState(state);
    return state;
  } catch (cause) {
    throw new DdpmError('checkpoint-invalid', `${name}: ${(cause as Error).message}`, { cause });
  }
}

const version = 1;
const head = ['ddpm-wasm checkpoint', version, new Uint8Array(32)];
// all before the state, which is one byte here
const headBytes = encodeMsgpack([...head, null]).slice(0, -1);
const digestStart = headBytes.length - 32;
const versionAt = digestStart - 3; // the digest has two bytes of length

// what one call writes, reads and digests
const maxBytes = 2 ** 31 - 2 ** 20;
const maxRank = 8;
const vectorNames = ['parameters', 'firstMoments', 'secondMoments', 'ema'] as const;
const stateKeys = [...vectorNames, 'step', 'epoch', 'position', 'seed', 'random', 'config', 'metrics'] as const;

const count = v.pipe(v.number('a number'), v.safeInteger('an integer'), v.minValue(0, 'an integer of at least 0'));
const binary = v.instance(Uint8Array, 'binary');

const stateSchema = v.strictObject(
  {
    layout: v.array(v.strictTuple([v.string('a name'), v.array(count, 'a shape'), count], 'a place'), 'a list'),
    parameters: binary,
    firstMoments: binary,
    secondMoments: binary,
    ema: v.nullable(binary),
    step: count,
    epoch: count,
    position: count,
    seed: v.union([count, v.bigint()], 'an integer'),
    random: v.unknown(),
    config: v.unknown(),
    metrics: v.unknown(),
  },
  'a training state',
);

function stateOf({ layout, ...rest }: v.InferOutput<typeof stateSchema>): TrainingState {
  const vectors = vectorNames.map((name) => [name, rest[name] && floats(rest[name], name)]);
  const places = layout.map(([name, shape, offset]) => ({ name, shape, offset }));
  return { ...rest, ...Object.fromEntries(vectors), layout: places };
}

/** Throws unless the parts fit each other: what is written can be read again. */
function checkState(state: TrainingState): void {
  if (typeof state !== 'object' || state === null) throw wrongKind('state', 'a training state', state);
  const size = checkLayout(state.layout);
  for (const name of vectorNames) {
    const vector = state[name];
    if (name === 'ema' && vector === null) continue;
    if (!(vector instanceof Float32Array)) throw wrongKind(name, 'a Float32Array', vector);
    if (vector.length !== size) throw wrongValue(name, `${size} numbers, as "layout" has`, vector.length);
  }
  for (const name of ['step', 'epoch', 'position'] as const)
    assertInteger(state[name], name, 0, Number.MAX_SAFE_INTEGER);
  const { seed } = state;
  if (typeof seed !== 'bigint') assertInteger(seed, 'seed', 0, Number.MAX_SAFE_INTEGER);
  else if (seed < 0n || seed >= 2n ** 64n) throw wrongValue('seed', 'an integer in 0..2^64-1', seed);
  for (const name of ['random', 'config', 'metrics'] as const) checkJson(state[name], name, 3);
}

function checkLayout(layout: readonly ParameterPlace[]): number {
  if (!Array.isArray(layout)) throw wrongKind('layout', 'a list of parameters', layout);
  const names = new Set<string>();
  let end = 0;
  for (const [i, { name, shape, offset }] of (layout as readonly ParameterPlace[]).entries()) {
    const which = `layout.${i}`;
    if (typeof name !== 'string' || names.has(name)) throw wrongValue(which, 'a name of its own', name);
    names.add(name);
    const good = Array.isArray(shape) && shape.length <= maxRank && shape.every((n) => Number.isInteger(n) && n > 0);
    if (!good) throw wrongValue(which, `a shape of at most ${maxRank} positive integers`, shape);
    if (offset !== end) throw wrongValue(which, `offset ${end}, where the parameter before ends`, offset);
    end += sizeOf(shape);
    if (!Number.isSafeInteger(end)) throw wrongValue(which, 'a shape that can be addressed', shape);
  }
  return end;
}

function checkJson(value: unknown, what: string, depth: number): void {
  if (depth > maxNesting) throw wrongValue(what, `lists and objects at most ${maxNesting} deep`, value);
  if (value === null || ['boolean', 'number', 'string'].includes(typeof value)) return;
  const prototype = typeof value === 'object' ? Object.getPrototypeOf(value) : undefined;
  if (prototype !== Object.prototype && prototype !== null && !Array.isArray(value))
    throw wrongKind(what, 'a value that JSON can say', value);
  for (const [key, item] of Object.entries(value as object)) {
    // readers of MessagePack refuse it, as it is no key like others
    if (key === '__proto__') throw wrongValue(what, 'another key', key);
    if (item !== undefined || Array.isArray(value)) checkJson(item, `${what}.${key}`, depth + 1);
  }
}

function pick(state: TrainingState): Partial<TrainingState> {
  return Object.fromEntries(stateKeys.map((key) => [key, state[key]]));
}

// a copy: the bytes lie where they happen to, and the rest of the file can go
function floats(bytes: Uint8Array, name: string): Float32Array {
  if (bytes.length % 4 !== 0) throw wrongValue(name, 'float32 numbers of 4 bytes', bytes.length);
  return new Float32Array(bytes.slice().buffer);
}

function startsWith(bytes: Uint8Array, beginning: Uint8Array): boolean {
  return beginning.every((byte, i) => byte === bytes[i]);
}

import { constantNumbers, floatOf, intOf } from './attributes.ts';
import { type KnownOperator, normalAxis } from './shapes.ts';
import { type Gradient, range, type Step, span } from './step.ts';
import type { Operator, Value } from './values.ts';

/**
 * Operators that together have a cheaper way back than one by one. Seen from the last of them, whose gradient is there:
 * the gradients of values further up, or nothing where the graph is not of that form.
 */
export type Fusion = (step: Step) => readonly (readonly [Value, Gradient])[] | undefined;

/** The fusions by their last operator. */
export const FUSIONS: { readonly [type in KnownOperator]?: Fusion } = { Mul: silu, MatMul: attention, Add: groupNorm };

// y = x s(x): y' = s + y (1 - s), four passes over the values instead of seven
function silu({ x: [x, s], y, dy, mul, add, sub, number, inner }: Step) {
  if (inner(s, 'Sigmoid')?.inputs[0] !== x) return undefined;
  return [[x, () => mul(dy, add(s, mul(y, sub(number(1), s))))]] as const;
}

// y = w v with w = softmax(s): s' = w (w' - sum(w' w)), and that sum is sum(y' y) too, over far fewer numbers
// (Dao et al. 2022, FlashAttention, appendix B.2)
function attention(step: Step) {
  const {
    x: [w, v],
    y,
    dy,
    dims,
    mul,
    sub,
    sum,
    matmul,
    flip,
    inner,
  } = step;
  const softmax = inner(w, 'Softmax');
  const rank = dims(w).length;
  const square = rank > 1 && dims(v).length === rank && dims(w).slice(0, -2).join() === dims(v).slice(0, -2).join();
  if (!softmax || !square || normalAxis(intOf(softmax, 'axis', -1), rank) !== rank - 1) return undefined;
  const scores = () => mul(w, sub(matmul(dy, flip(v)), sum(mul(dy, y), [rank - 1])));
  return [
    [softmax.inputs[0], scores],
    [v, () => matmul(flip(w), dy)],
  ] as const;
}

/**
 * Group normalisation as `Layers` writes it: y = w h + b with h = (x - mean) / d over [batch, groups, rest], and w and b
 * the same for all pixels of a channel. What the gradients of w and b sum up over pixels, dy and dy h, gives those of the
 * statistics too, and dy is scaled once: nine passes over the values instead of thirteen.
 */
function groupNorm(step: Step) {
  const {
    x: [product, b],
    dy,
    dims,
    inner,
    mul,
    sub,
    div,
    sum,
    reshape,
    times,
  } = step;
  const [h, w] = inner(product, 'Mul')?.inputs ?? [];
  const normal = h && inner(h, 'Reshape')?.inputs[0];
  const norm = normal && inner(normal, 'InstanceNormalization');
  if (!norm || !isUnit(step, norm)) return undefined;
  const grouped = norm.inputs[0];
  const [[batch, channels, ...image], [, groups]] = [dims(h), dims(grouped)];
  const perChannel = (value: Value) => {
    const [own, ...rest] = dims(value).slice(-image.length - 1);
    return own === channels && rest.length === image.length && span(rest, 0) === 1;
  };
  if (dims(grouped).length !== 3 || dims(grouped)[0] !== batch || channels % groups !== 0) return undefined;
  if (dims(dy).join() !== dims(h).join() || !perChannel(w) || !perChannel(b)) return undefined;

  const pixels = range(image.length).map((i) => i + 2);
  const shared = [batch, channels, ...image.map(() => 1)];
  // [.., channels, 1, 1] as [.., groups, channels of a group]
  const byGroup = (value: Value) => reshape(value, [span(dims(value), 0) / channels, groups, channels / groups]);
  const once = new Map<Value, Value>();
  const total = (value: Value) => {
    if (!once.has(value)) once.set(value, sum(value, pixels));
    return once.get(value)!;
  };
  const dyH = mul(dy, h);
  const input = () => {
    const d = deviation(step, normal, grouped, floatOf(norm, 'epsilon', 1e-5));
    const scale = byGroup(w);
    const mean = (value: Value) =>
      div(times(sum(mul(byGroup(total(value)), scale), [2]), groups / (channels * span(image, 0))), d);
    const scaled = mul(dy, reshape(div(scale, d), shared));
    const centred = sub(reshape(scaled, dims(grouped)), mul(normal, mean(dyH)));
    return sub(centred, mean(dy));
  };
  return [
    [grouped, input],
    [w, () => total(dyH)],
    [b, () => total(dy)],
  ] as const;
}

/**
 * d = sqrt(var + eps) of an instance normalisation h of x, [batch, channels, 1, ..], in one pass over them: since
 * q = mean(h x) = var / d, d^2 - q d - eps = 0. No difference of large numbers is taken, and values that are all equal
 * give sqrt(eps).
 */
export function deviation(step: Step, h: Value, x: Value, epsilon: number): Value {
  const { dims, mul, add, sqrt, times, mean, number } = step;
  const q = mean(mul(h, x), range(dims(x).length).slice(2));
  return times(add(q, sqrt(add(mul(q, q), number(4 * epsilon)))), 0.5);
}

/** Whether an instance normalisation neither scales nor shifts. */
export function isUnit({ g }: Step, { inputs: [, scale, bias] }: Operator): boolean {
  const all = (value: Value, n: number) => constantNumbers(g, value)?.every((v) => v === n) ?? false;
  return all(scale, 1) && all(bias, 0);
}

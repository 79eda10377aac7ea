import { constantNumbers, floatOf, intOf } from './attributes.ts';
import { convolutionRules } from './convGradient.ts';
import { deviation, isUnit } from './fusions.ts';
import { float } from './graph.ts';
import { matrixRules } from './matrixGradients.ts';
import { movementRules } from './movementGradients.ts';
import { type KnownOperator, normalAxis, reducedAxes } from './shapes.ts';
import { type Rule, type Step, span } from './step.ts';
import { ELEMENT_TYPES } from './values.ts';

// operators whose result is made of steps, or of truth values: nothing comes back
const none: Rule = () => [];

/**
 * How gradients come back through every operator that has a shape here. A rule lists the operands' gradients: `x` are
 * the operands, `y` the result, `dy` its gradient. A gradient may have any shape that its operand was broadcast to;
 * the walk undoes that.
 */
export const RULES: Readonly<Record<KnownOperator, Rule>> = {
  Add: ({ dy }) => [() => dy, () => dy],
  Sub: ({ dy, neg }) => [() => dy, () => neg(dy)],
  Mul: ({ x: [a, b], dy, mul }) => [() => mul(dy, b), () => mul(dy, a)],
  Div: ({ x: [, b], y, dy, mul, div, neg }) => [() => div(dy, b), () => neg(mul(dy, div(y, b)))],
  Pow: (step) => {
    const {
      x: [a],
      y,
      dy,
      mul,
      log,
    } = step;
    return [() => mul(dy, powerSlope(step)), () => mul(dy, mul(y, log(a)))];
  },

  Abs: ({ x: [x], dy, mul, toFloat, greater, less, sub, number }) => [
    () => mul(dy, sub(toFloat(greater(x, number(0))), toFloat(less(x, number(0))))),
  ],
  Neg: ({ dy, neg }) => [() => neg(dy)],
  Reciprocal: ({ y, dy, mul, neg }) => [() => neg(mul(dy, mul(y, y)))],
  Exp: ({ y, dy, mul }) => [() => mul(dy, y)],
  Log: ({ x: [x], dy, div }) => [() => div(dy, x)],
  Sqrt: ({ y, dy, div, times }) => [() => div(times(dy, 0.5), y)],
  Sin: ({ x: [x], dy, mul, cos }) => [() => mul(dy, cos(x))],
  Cos: ({ x: [x], dy, mul, sin, neg }) => [() => neg(mul(dy, sin(x)))],
  Tanh: ({ y, dy, mul, sub, number }) => [() => mul(dy, sub(number(1), mul(y, y)))],
  Sigmoid: ({ y, dy, mul, sub, number }) => [() => mul(dy, mul(y, sub(number(1), y)))],
  Softplus: ({ x: [x], dy, mul, sigmoid }) => [() => mul(dy, sigmoid(x))],
  // erf'(x) = 2 / sqrt(pi) exp(-x^2)
  Erf: ({ x: [x], dy, mul, exp, neg, times }) => [() => mul(dy, times(exp(neg(mul(x, x))), 2 / Math.sqrt(Math.PI)))],
  Relu: ({ x: [x], dy, where, greater, number }) => [() => where(greater(x, number(0)), dy, number(0))],
  // what is not clipped comes out as it is; at a bound itself the gradient passes, as in torch
  Clip: ({ x: [x], y, dy, where, equals, number }) => [() => where(equals(x, y), dy, number(0))],
  Where: ({ x: [condition], dy, where, number }) => [
    null,
    () => where(condition, dy, number(0)),
    () => where(condition, number(0), dy),
  ],
  Identity: ({ dy }) => [() => dy],
  Cast: ({ g, x: [x], dy, typeOf }) => [() => g.op('Cast', [dy], { to: ELEMENT_TYPES[typeOf(x)] })],
  ...{ Ceil: none, Floor: none, Round: none, Sign: none, Not: none },
  ...{ Equal: none, Greater: none, GreaterOrEqual: none, Less: none, LessOrEqual: none },

  ReduceSum: (step) => [() => spread(step)],
  ReduceMean: (step) => [() => step.times(spread(step), span(step.dims(step.y), 0) / span(step.dims(step.x[0]), 0))],
  ReduceSumSquare: (step) => [() => step.mul(spread(step), step.times(step.x[0], 2))],
  Softmax: ({ operator, x: [x], y, dy, dims, mul, sub, sum }) => {
    const axis = normalAxis(intOf(operator, 'axis', -1), dims(x).length);
    return [() => mul(y, sub(dy, sum(mul(dy, y), [axis])))];
  },
  InstanceNormalization: instanceNorm,

  ...matrixRules,
  ...convolutionRules,
  ...movementRules,
};

// b a^(b-1); a square, as losses have it, without a power
function powerSlope({ g, x: [a, b], mul, sub, pow, number, times }: Step) {
  const exponent = constantNumbers(g, b);
  if (exponent?.length === 1 && exponent[0] === 2) return times(a, 2);
  return mul(b, pow(a, sub(b, number(1))));
}

// the gradient of a sum, for every term
function spread({ operator, x, dy, dims, ints, has, reshape, expand }: Step) {
  const shape = dims(x[0]);
  const axes = reducedAxes({ operator, dims: (i) => dims(x[i]), ints, has });
  const kept = shape.map((n, i) => (axes.includes(i) ? 1 : n));
  return expand(reshape(dy, kept), shape);
}

// y = scale h + bias, h = (x - mean) / d, over the axes past the channels: x' = (h' - mean(h') - h mean(h' h)) / d
function instanceNorm(step: Step) {
  const {
    g,
    operator,
    x: [x, scale],
    y,
    dy,
    dims,
    mul,
    sub,
    div,
    sum,
    mean,
    reshape,
  } = step;
  const epsilon = floatOf(operator, 'epsilon', 1e-5);
  const [, channels, ...image] = dims(x);
  const axes = image.map((_, i) => i + 2);
  const unit = isUnit(step, operator);
  const plain = () => [g.floatVector(Array(channels).fill(1)), g.floatVector(Array(channels).fill(0))];
  const h = unit ? y : g.op('InstanceNormalization', [x, ...plain()], { epsilon: float(epsilon) });

  const input = () => {
    const dh = unit ? dy : mul(dy, reshape(scale, [channels, ...axes.map(() => 1)]));
    const d = deviation(step, h, x, epsilon);
    const slope = div(mean(mul(dh, h), axes), d);
    return sub(sub(div(dh, d), mul(h, slope)), div(mean(dh, axes), d));
  };
  const perChannel = (value: string) => reshape(sum(value, [0, ...axes]), [channels]);
  return [input, () => perChannel(mul(dy, h)), () => perChannel(dy)];
}

import { DdpmError, wrongValue } from '../core/errors.ts';
import { sizeOf } from '../core/tensor.ts';
import { constantNumbers, unsupported } from './attributes.ts';
import { FUSIONS } from './fusions.ts';
import { RULES } from './gradientRules.ts';
import type { GraphBuilder } from './graph.ts';
import { isKnown, Shapes } from './shapes.ts';
import { type Arithmetic, arithmetic, type Rule, type Step } from './step.ts';
import type { Operator, Value } from './values.ts';

/** What `gradients` does besides. */
export interface GradientOptions {
  /** Values that count as constants, as `detach` makes them in torch: nothing comes back through them. */
  readonly stop?: readonly Value[];
}

/**
 * Appends the backward pass of a graph: the gradient of `loss`, one number, with respect to each of `parameters`, which
 * may be any float values of the graph. A gradient has its parameter's shape; it is zeros where the loss does not
 * depend on the parameter.
 *
 *     const [dw, db] = gradients(g, loss, [w, b]);
 *
 * What it appends are ai.onnx operators of opset 17 in float32 that have rules themselves, so that gradients have
 * gradients. All shapes must be fixed, the batch too: rules choose their formulation by them. Gradients are made before
 * outputs are declared, which renames values.
 *
 * @throws RangeError for a loss that is no single number, DdpmError `model-invalid` for an operator without a rule, of a
 * form that its rule does not know, or of unknown shape
 */
export function gradients(
  g: GraphBuilder,
  loss: Value,
  parameters: readonly Value[],
  { stop = [] }: GradientOptions = {},
): Value[] {
  const shapes = new Shapes(g);
  const { type, dims } = shapes.get(loss);
  if (sizeOf(dims) !== 1 || type !== 'float32')
    throw wrongValue('loss', 'a float32 value of one element', `${type} [${dims}]`);
  for (const parameter of parameters) {
    const { type } = shapes.get(parameter);
    if (!isFloat(type)) throw wrongValue('parameters', 'float values', `${parameter} of ${type}`);
  }
  // a misspelt one would stop nothing
  for (const value of stop) shapes.get(value);
  const walk = new Walk(g, shapes, new Set(parameters), new Set(stop));
  walk.from(loss);
  return walk.results(parameters);
}

class Walk {
  private readonly math: Arithmetic;
  /** The operators of the forward pass. */
  private readonly forward: readonly Operator[];
  /** The values that depend on a parameter. */
  private readonly active: ReadonlySet<Value>;
  /** What each value has received of its gradient. */
  private readonly received = new Map<Value, Value>();
  private readonly makers = new Map<Value, Operator>();

  constructor(
    private readonly g: GraphBuilder,
    private readonly shapes: Shapes,
    private readonly parameters: ReadonlySet<Value>,
    private readonly stopped: ReadonlySet<Value>,
  ) {
    this.math = arithmetic(g, shapes);
    this.forward = [...g.operators];
    this.active = dependents(this.forward, shapes, { parameters, stopped });
    for (const operator of this.forward) for (const y of operator.outputs) this.makers.set(y, operator);
  }

  from(loss: Value): void {
    const { g, math, forward, received, stopped } = this;
    if (!this.active.has(loss)) return;
    received.set(loss, math.reshape(g.scalar(1), this.shapes.dims(loss)));
    for (const operator of forward.toReversed()) {
      if (operator.outputs.some((y) => received.has(y) && !stopped.has(y))) this.back(operator);
    }
  }

  results(parameters: readonly Value[]): Value[] {
    const { g, shapes, received } = this;
    const computed = new Set(g.operators.flatMap(({ outputs }) => outputs));
    const taken = new Set<Value>();
    return parameters.map((parameter) => {
      const dims = shapes.dims(parameter);
      const gradient = received.get(parameter) ?? this.zeros(parameter);
      // each is the result of an operator and a value of its own, so that it can be an output
      const result =
        computed.has(gradient) && !taken.has(gradient) ? gradient : g.op('Reshape', [gradient, g.intVector(dims)]);
      taken.add(result);
      return result;
    });
  }

  private back(operator: Operator): void {
    const { type, inputs } = operator;
    if (!inputs.some((x) => this.active.has(x))) return;
    if (!isKnown(type)) throw new DdpmError('model-invalid', `${operator.name}: operator ${type} has no gradient here`);
    const step = this.step(operator);
    const rule: Rule = RULES[type];
    const found = FUSIONS[type]?.(step) ?? rule(step).map((gradient, i) => [inputs[i], gradient] as const);
    for (const [value, gradient] of found) {
      if (gradient && this.active.has(value)) this.give(value, gradient());
    }
  }

  private give(value: Value, gradient: Value): void {
    const { math, shapes, received } = this;
    const part = math.unbroadcast(gradient, shapes.dims(value));
    const before = received.get(value);
    received.set(value, before === undefined ? part : math.add(before, part));
  }

  private step(operator: Operator): Step {
    const { g, math, shapes, received, parameters, stopped, makers } = this;
    const { inputs, outputs } = operator;
    const dys = outputs.map((y) => (stopped.has(y) ? undefined : received.get(y)) ?? this.zeros(y));
    const ints = (i: number) => {
      const numbers = constantNumbers(g, inputs[i]);
      if (!numbers) throw unsupported(operator, `a constant as input ${i}`, 'a computed value');
      return numbers;
    };
    return {
      ...{ ...math, g, operator, x: inputs, y: outputs[0], dy: dys[0], dys, ints },
      dims: (value) => shapes.dims(value),
      typeOf: (value) => shapes.get(value).type,
      has: (i) => Boolean(inputs[i]),
      inner: (value, type) => {
        const maker = parameters.has(value) || stopped.has(value) ? undefined : makers.get(value);
        return maker?.type === type ? maker : undefined;
      },
    };
  }

  private zeros(value: Value): Value {
    return this.math.expand(this.g.scalar(0), this.shapes.dims(value));
  }
}

// what depends on a parameter through floats, and past no stop; an operator that is not known may do so
function dependents(
  operators: readonly Operator[],
  shapes: Shapes,
  { parameters, stopped }: { parameters: ReadonlySet<Value>; stopped: ReadonlySet<Value> },
): Set<Value> {
  const active = new Set(parameters);
  for (const { inputs, outputs } of operators) {
    if (!inputs.some((x) => active.has(x))) continue;
    for (const y of outputs) {
      if (stopped.has(y)) continue;
      const found = shapes.find(y);
      if (found instanceof DdpmError || isFloat(found.type)) active.add(y);
    }
  }
  return active;
}

function isFloat(type: string): boolean {
  return type.startsWith('float');
}

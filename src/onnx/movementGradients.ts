import { intOf, textOf, unsupported } from './attributes.ts';
import { normalAxis, permutation, sliceRanges } from './shapes.ts';
import { type Rule, range, type Step, span } from './step.ts';

const back: Rule = ({ x: [x], dy, dims, reshape }) => [() => reshape(dy, dims(x))];

/** Rules of operators that move values and compute nothing. */
export const movementRules = {
  ...{ Reshape: back, Flatten: back, Squeeze: back, Unsqueeze: back },
  Expand: ({ dy }) => [() => dy],
  Transpose: ({ operator, dy, dims, transpose }) => {
    const perm = permutation(operator, dims(dy).length);
    return [
      () =>
        transpose(
          dy,
          perm.map((_, axis) => perm.indexOf(axis)),
        ),
    ];
  },
  Concat: ({ operator, x, dy, dims, slice }) => {
    const axis = normalAxis(intOf(operator, 'axis', 0), dims(dy).length);
    let start = 0;
    return x.map((part) => {
      const [from, count] = [start, dims(part)[axis]];
      start += count;
      return () => slice(dy, { axes: [axis], start: [from], count: [count] });
    });
  },
  Split: ({ operator, x: [x], dys, dims, concat }) => [
    () => concat(dys, normalAxis(intOf(operator, 'axis', 0), dims(x).length)),
  ],
  Slice: (step) => [() => unsliced(step)],
  Pad: ({ operator, x: [x], dy, dims, ints, slice, pad }) => {
    const mode = textOf(operator, 'mode', 'constant');
    if (mode !== 'constant') throw unsupported(operator, 'mode constant', mode);
    const rank = dims(x).length;
    const [before, after] = [ints(1).slice(0, rank), ints(1).slice(rank)];
    const negative = (pads: readonly number[]) => pads.map((n) => -n);
    // a pad may crop, and then its gradient pads
    if (ints(1).some((n) => n < 0)) return [() => pad(dy, negative(before), negative(after))];
    const axes = range(rank).filter((i) => before[i] + after[i] > 0);
    return [() => slice(dy, { axes, start: axes.map((i) => before[i]), count: axes.map((i) => dims(x)[i]) })];
  },
  Gather: (step) => [() => scattered(step), null],
  Resize: (step) => [() => pooled(step)],
} satisfies Record<string, Rule>;

// entries `step` apart get zeros between them, those taken backwards are turned round, and zeros fill up the ends
function unsliced({ x: [x], dy, dims, ints, has, slice, reshape, pad }: Step) {
  const shape = dims(x);
  const ranges = sliceRanges(shape, ints, has);
  let gradient = dy;
  const zeros = shape.map(() => 0);
  const [before, after] = [[...zeros], [...zeros]];
  for (const { axis, start, step, count } of ranges) {
    const now = dims(gradient);
    const apart = Math.abs(step);
    if (step < 0) gradient = slice(gradient, { axes: [axis], start: [count - 1], count: [count], step: [-1] });
    if (apart > 1) {
      // [.., n, 1, ..] padded to [.., n, apart, ..] and flattened: each entry is followed by its zeros
      const wide = reshape(gradient, [...now.slice(0, axis + 1), 1, ...now.slice(axis + 1)]);
      const rest = range(now.length + 1).map((i) => (i === axis + 1 ? apart - 1 : 0));
      const padded = pad(
        wide,
        rest.map(() => 0),
        rest,
      );
      const flat = reshape(
        padded,
        now.map((n, i) => (i === axis ? n * apart : n)),
      );
      gradient = slice(flat, { axes: [axis], start: [0], count: [(count - 1) * apart + 1] });
    }
    const first = step < 0 ? start + step * (count - 1) : start;
    before[axis] = first;
    after[axis] = shape[axis] - first - ((count - 1) * apart + 1);
  }
  return pad(gradient, before, after);
}

// rows of a table, along some axis: each index as a row of zeros and a one, times the gradients of what it took
function scattered({
  g,
  operator,
  x: [x, indices],
  dy,
  dims,
  reshape,
  add,
  times,
  less,
  equals,
  number,
  ...ops
}: Step) {
  const shape = dims(x);
  const axis = normalAxis(intOf(operator, 'axis', 0), shape.length);
  const count = shape[axis];
  const taken = span(dims(indices), 0);

  // as floats, which every backend compares; an index below zero counts from the end
  const signed = ops.toFloat(reshape(indices, [1, taken]));
  const index = add(signed, times(ops.toFloat(less(signed, number(0))), count));
  const places = reshape(g.floatVector(range(count)), [count, 1]);
  const chosen = ops.toFloat(equals(places, index));
  const rows = reshape(dy, [span(shape, 0, axis), taken, span(shape, axis + 1)]);
  return reshape(ops.matmul(chosen, rows), shape);
}

// repeated pixels: the sum over each block, which is an average times its size
function pooled({ g, operator, x: [x], y, dy, dims, times }: Step) {
  const [shape, scaled] = [dims(x), dims(y)];
  const factors = shape.map((n, i) => scaled[i] / n);
  const form = [
    textOf(operator, 'mode', 'nearest'),
    textOf(operator, 'coordinate_transformation_mode', 'half_pixel'),
    textOf(operator, 'nearest_mode', 'round_prefer_floor'),
  ].join(' ');
  // both say that pixel i comes from pixel floor(i / factor), where the factor is whole
  const known = ['nearest asymmetric floor', 'nearest half_pixel round_prefer_floor'];
  const whole = factors.every(Number.isInteger) && factors[0] === 1 && factors[1] === 1 && shape.length > 2;
  if (!whole || !known.includes(form)) {
    throw unsupported(operator, 'nearest pixels and whole factors of the image', `${form} by ${factors}`);
  }
  const kernel = factors.slice(2);
  const mean = g.op('AveragePool', [dy], { kernel_shape: kernel, strides: kernel });
  return times(mean, span(kernel, 0));
}

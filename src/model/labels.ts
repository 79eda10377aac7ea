import * as v from 'valibot';
import { DdpmError, show } from '../core/errors.ts';

const maxClasses = 1_000_000;
const nameList = 'a list of names';
const classIndex = `an integer in 0..${maxClasses}`;

// every message says what was expected
const labelsSchema = v.object(
  {
    labels: v.pipe(v.array(v.string('a name'), nameList), v.maxLength(maxClasses, `at most ${maxClasses} names`)),
    unconditional: v.optional(
      v.pipe(
        v.number(classIndex),
        v.integer(classIndex),
        v.minValue(0, classIndex),
        v.maxValue(maxClasses, classIndex),
      ),
    ),
  },
  nameList,
);

/** What labels.json says: the names of the classes, and the label that means none. */
export type Labels = v.InferOutput<typeof labelsSchema>;

/** The classes of a network: names where known, and how many. */
export interface Classes {
  readonly classes: number;
  readonly labels?: readonly string[];
  readonly unconditional?: number;
}

/** Checks the object in a labels.json. @throws DdpmError `config-invalid`, naming the key. */
export function parseLabels(value: unknown, name: string): Labels {
  const result = v.safeParse(labelsSchema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const key = v.getDotPath(issue);
  const what = key === null ? name : `${name}: "${key}"`;
  throw new DdpmError('config-invalid', `${what} expected ${issue.message}, got ${show(issue.input)}`);
}

/**
 * Joins labels.json with the number of labels that the network knows. Without an `unconditional` of its own, a last
 * label beyond the named ones is taken for that.
 *
 * @throws DdpmError `config-invalid` where labels.json names more labels than the network knows.
 */
export function joinLabels(labels: Labels | undefined, known: number | undefined, name: string): Classes {
  const named = labels && Math.max(labels.labels.length, (labels.unconditional ?? -1) + 1);
  const classes = known ?? named;
  if (classes === undefined)
    throw new DdpmError('model-invalid', `${name}: takes class labels; expected a labels.json beside it, found none`);
  if (!labels) return { classes };
  if (named! > classes)
    throw new DdpmError('config-invalid', `${name}: labels.json expected at most ${classes} labels, got ${named}`);
  const unconditional = labels.unconditional ?? (classes === labels.labels.length + 1 ? classes - 1 : undefined);
  return { classes, labels: labels.labels, unconditional };
}

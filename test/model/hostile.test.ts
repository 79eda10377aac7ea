import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DdpmError } from '../../src/core/errors.ts';
import { inspectOnnx } from '../../src/model/inspect.ts';
import { parseLabels } from '../../src/model/labels.ts';
import { smallGraph } from './graphs.ts';

const valid = smallGraph({ label: {}, embedding: 4 });

/** Runs a parser that may throw only typed errors of one line. */
function only(parse: () => unknown): void {
  try {
    parse();
  } catch (error) {
    expect(error).toBeInstanceOf(DdpmError);
    expect((error as Error).message).not.toContain('\n');
  }
}

describe('hostile files cause nothing but typed errors', () => {
  it('inspectOnnx: any bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => only(() => inspectOnnx(bytes, 'a.onnx'))));
  });

  it('inspectOnnx: a graph with changed bytes', () => {
    const change = fc.tuple(fc.nat(valid.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
        const bytes = valid.slice();
        for (const [at, value] of changes) bytes[at] = value;
        only(() => inspectOnnx(bytes, 'a.onnx').embeddingSize('class_labels'));
      }),
      { numRuns: 1000 },
    );
  });

  it('parseLabels: any JSON', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => only(() => parseLabels(value, 'labels.json'))));
    const near = fc.record(
      {
        labels: fc.array(fc.oneof(fc.string(), fc.jsonValue())),
        unconditional: fc.jsonValue(),
      },
      { requiredKeys: ['labels'] },
    );
    fc.assert(fc.property(near, (value) => only(() => parseLabels(value, 'labels.json'))));
  });
});

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { openMetrics } from '../../src/cli/trainMetrics.ts';
import type { EvaluationEvent, HistoryEntry, RecordEvent } from '../../src/train/events.ts';
import { temporaryFolder } from '../support/cli.ts';

const record = (step: number) => ({ type: 'record', step, loss: 1 / step }) as RecordEvent;
const evaluation = (step: number) =>
  ({ type: 'evaluation', step, heldOut: { mean: 1, standardError: 0, count: 9 }, simple: {} }) as EvaluationEvent;
const entry = (event: RecordEvent | EvaluationEvent) => {
  const { type: _, simple: __, ...rest } = { simple: undefined, ...event };
  return rest as HistoryEntry;
};

it('a metrics file cut at any byte goes on with the lines that the checkpoint knows, and with those only', async () => {
  const file = path.join(temporaryFolder(), 'metrics.jsonl');
  const events = [1, 2, 3, 4, 5].flatMap((n) => [record(10 * n), evaluation(10 * n)]);
  const text = events.map((event) => `${JSON.stringify(event)}\n`).join('');
  const cut = fc.nat({ max: text.length });
  await fc.assert(
    fc.asyncProperty(cut, fc.nat({ max: events.length }), fc.string(), async (bytes, count, junk) => {
      writeFileSync(file, text.slice(0, bytes) + junk);
      const metrics = await openMetrics(file, { history: events.slice(0, count).map(entry) });
      await metrics.add(record(99));
      await metrics.close();
      const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
      const expected = [...events.slice(0, count), record(99)];
      expect(lines.map((line) => JSON.parse(line))).toMatchObject(expected.map(({ type, step }) => ({ type, step })));
      // what the file still had is there in full
      const whole = text.slice(0, bytes).split('\n').length - 1;
      expect(lines.slice(0, Math.min(whole, count))).toEqual(text.split('\n').slice(0, Math.min(whole, count)));
    }),
    { numRuns: 60 },
  );
});

it('a metrics file that is not there begins with what the checkpoint knows', async () => {
  const file = path.join(temporaryFolder(), 'run/metrics.jsonl');
  const metrics = await openMetrics(file, { history: [entry(record(10)), entry(evaluation(20))] });
  await metrics.flush();
  await metrics.close();
  expect(existsSync(file)).toBe(true);
  const lines = readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines.map(({ type, step }) => `${type} ${step}`)).toEqual(['record 10', 'evaluation 20']);
});

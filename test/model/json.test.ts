import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { tryReadJson } from '../../src/model/json.ts';
import { temporaryFolder } from '../support/cli.ts';

describe('JSON files as Python writes them', () => {
  const read = (text: string) => {
    const file = path.join(temporaryFolder(), 'scheduler_config.json');
    writeFileSync(file, text);
    return tryReadJson(file, { name: 'scheduler_config.json' });
  };

  it('may hold infinities and NaN, outside of strings', async () => {
    expect(await read('{ "lambda_min_clipped": -Infinity, "a": [Infinity, NaN], "b": "-Infinity \\" NaN" }')).toEqual({
      lambda_min_clipped: Number.NEGATIVE_INFINITY,
      a: [Number.POSITIVE_INFINITY, null],
      b: '-Infinity " NaN',
    });
  });

  it('a megabyte of quotes that never close is refused in time', async () => {
    await expect(read(`{ "a": "${'\\"'.repeat(500_000)}`)).rejects.toThrow('scheduler_config.json: not JSON');
  }, 5000);
});

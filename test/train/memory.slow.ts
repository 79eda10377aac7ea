import { expect, it } from 'vitest';
import { train } from '../../src/train/trainer.ts';
import { memoryStore, squares, tinyConfig } from './trainSupport.ts';

it('training takes no more memory after 2000 steps than after 500: less than 32 MiB between them', async () => {
  const config = tinyConfig(2000, { checkpoints: { every: 100, keep: 1 }, data: { flip: true } });
  const resident = new Map<number, number>();
  for await (const event of train(config, { data: squares(256), checkpoints: memoryStore() }))
    if (event.type === 'step' && event.step % 100 === 0) resident.set(event.step, process.memoryUsage.rss());
  const most = (from: number, to: number) =>
    Math.max(...[...resident].filter(([step]) => step > from && step <= to).map(([, bytes]) => bytes));
  expect(most(1500, 2000) - most(0, 500)).toBeLessThan(32 * 2 ** 20);
});

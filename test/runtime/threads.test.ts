import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { startThread } from '../../src/runtime/nodeThreads.ts';
import { temporaryFolder } from '../support/cli.ts';

function start(body: string) {
  const file = path.join(temporaryFolder(), 'thread.mjs');
  writeFileSync(file, `import { parentPort } from 'node:worker_threads';\n${body}`);
  return startThread(pathToFileURL(file), undefined);
}

it.each([
  ['exits', 'process.exit(3)', 'a thread crashed: it ended with 3'],
  ['throws', "throw new Error('no more')", 'a thread crashed: no more'],
])('a thread that %s fails the call under way and later ones with worker-crashed', async (_, body, message) => {
  const thread = start(`parentPort.on('message', () => { ${body}; });`);
  expect(thread.ended).toBe(false);
  const crash = { name: 'DdpmError', code: 'worker-crashed', message };
  await expect(Promise.allSettled([thread.call('a'), thread.call('b')])).resolves.toMatchObject([
    { reason: crash },
    { reason: crash },
  ]);
  expect(thread.ended).toBe(true);
  await expect(thread.call('c')).rejects.toMatchObject(crash);
});

it('a thread that is closed fails the call under way and later ones with cancelled', async () => {
  const thread = start("parentPort.on('message', () => {});");
  const call = expect(thread.call('a')).rejects.toMatchObject({ code: 'cancelled' });
  await thread.close();
  await call;
  expect(thread.ended).toBe(true);
  await expect(thread.call('b')).rejects.toMatchObject({ code: 'cancelled' });
});

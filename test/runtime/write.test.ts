import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import * as node from '../../src/runtime/node.ts';
import * as web from '../../src/runtime/web.ts';
import { temporaryFolder } from '../support/cli.ts';

const bytes = Uint8Array.of(1, 2, 3);

describe('a file written whole', () => {
  it('is there with its folders, by path and by file: URL, and nothing is left beside it', async () => {
    const folder = path.join(temporaryFolder(), 'a', 'b');
    await node.writeFile(path.join(folder, 'one'), bytes);
    await node.writeFile(pathToFileURL(path.join(folder, 'two')), bytes);
    await node.writeFile(path.join(folder, 'one'), bytes.subarray(1));
    expect(readdirSync(folder).sort()).toEqual(['one', 'two']);
    expect([...readFileSync(path.join(folder, 'one'))]).toEqual([2, 3]);
  });

  it('that cannot be is output-failed, names why, and leaves what was there', async () => {
    const folder = temporaryFolder();
    const file = path.join(folder, 'file');
    writeFileSync(file, 'old');
    mkdirSync(path.join(folder, 'taken', 'inside'), { recursive: true });
    const failures: [string | URL, string][] = [
      [path.join(file, 'below'), `cannot write ${path.join(file, 'below')}: there is a file where a folder is needed`],
      [path.join(folder, 'taken'), `cannot write ${path.join(folder, 'taken')}: it is a folder`],
      [path.join(folder, 'x'.repeat(300)), 'the name is too long'],
      ['https://example.com/x?token=1', 'cannot write https://example.com/x: expected a path, got a URL'],
    ];
    for (const [place, message] of failures) {
      const expected = { name: 'DdpmError', code: 'output-failed', message: expect.stringContaining(message) };
      await expect(node.writeFile(place, bytes), message).rejects.toMatchObject(expected);
    }
    expect(readdirSync(folder).sort()).toEqual(['file', 'taken']);
    expect(readFileSync(file, 'utf8')).toBe('old');
  });

  it('is removed, once or twice', async () => {
    const file = path.join(temporaryFolder(), 'x');
    writeFileSync(file, 'x');
    await node.removeFile(file);
    await node.removeFile(file);
    expect(await node.exists(file)).toBe(false);
  });

  it('is no thing of a page', async () => {
    const refused = { code: 'output-failed', message: 'cannot write x: a page has no file system' };
    await expect(web.writeFile('x')).rejects.toMatchObject(refused);
    await expect(web.removeFile('x')).rejects.toMatchObject(refused);
  });
});

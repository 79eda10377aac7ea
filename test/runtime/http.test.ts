import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { existsUrl, joinUrl, kindOfUrl, tryFetch } from '../../src/runtime/http.ts';
import { type Answer, serve, type TestServer } from './server.ts';

const answers: Record<string, Answer> = {
  '/file': { body: Uint8Array.of(1, 2, 3) },
  '/empty': {},
  '/page': { type: 'text/html; charset=utf-8', body: '<html>' },
  '/error-page': { status: 500, type: 'text/html', body: '<html>' },
  '/forbidden': { status: 403 },
  '/gone': { status: 410 },
  '/moved': { status: 302, headers: { location: '/file' } },
  '/large': { body: new Uint8Array(5000) },
  '/liar': { body: new Uint8Array(5000), headers: { 'transfer-encoding': 'chunked' } },
  '/slow': { body: 'a', hang: true },
};

let server: TestServer;
const at = (path: string) => new URL(path, server.url);

beforeAll(async () => {
  server = await serve((path) => answers[path]);
});
afterAll(() => server.close());

describe('tryFetch', () => {
  it('gives the bytes, after redirects too', async () => {
    for (const path of ['/file', '/moved']) expect(await tryFetch(at(path))).toEqual(Uint8Array.of(1, 2, 3));
    expect(await tryFetch(at('/empty'))).toEqual(new Uint8Array());
  });

  it.each(['/nothing', '/forbidden', '/gone', '/page'])('gives undefined for what is not there: %s', async (path) => {
    expect(await tryFetch(at(path))).toBeUndefined();
    expect(await existsUrl(at(path))).toBe(false);
  });

  it('reports other answers by status, without the query, which may hold a secret', async () => {
    await expect(tryFetch(at('/error-page?token=secret'))).rejects.toMatchObject({
      code: 'model-not-found',
      message: `${server.url}/error-page: the server answered 500`,
    });
  });

  it.each(['/large', '/liar'])('counts what arrives and stops at the limit: %s', async (path) => {
    await expect(tryFetch(at(path), { maxBytes: 4999 })).rejects.toMatchObject({
      code: 'model-invalid',
      message: `${server.url}${path}: larger than 4999 bytes`,
    });
    expect(await tryFetch(at(path), { maxBytes: 5000 })).toHaveLength(5000);
  });

  it('reports a connection that cannot be made, in one line', async () => {
    const closed = await serve(() => undefined);
    await closed.close();
    await expect(tryFetch(new URL(closed.url))).rejects.toMatchObject({
      code: 'model-not-found',
      message: expect.stringMatching(/^http:\/\/127.0.0.1:\d+\/: .*ECONNREFUSED/),
    });
  });

  it('ends with the signal, before and while reading', async () => {
    await expect(tryFetch(at('/file'), { signal: AbortSignal.abort() })).rejects.toHaveProperty('name', 'AbortError');
    const signal = AbortSignal.timeout(100);
    await expect(tryFetch(at('/slow'), { signal })).rejects.toHaveProperty('name', 'TimeoutError');
  });
});

describe('URLs', () => {
  it('are joined below their path, and keep the query', () => {
    expect(joinUrl(new URL('https://host/a/b/?q=1'), 'c/d.json').href).toBe('https://host/a/b/c/d.json?q=1');
    expect(joinUrl(new URL('https://host'), 'c').href).toBe('https://host/c');
  });

  it('are files by their extension, else folders', () => {
    expect(kindOfUrl(new URL('https://host/v1.0/model.ONNX?download=1'))).toBe('file');
    expect(kindOfUrl(new URL('https://host/ddpm-v1.0'))).toBe('folder');
  });
});

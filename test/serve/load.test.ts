import { describe, expect, it } from 'vitest';
import { createHandler } from '../../src/serve/index.ts';
import { gated, smallHandler, smallPipeline } from './support.ts';

/** A handler whose network stands still from the moment that it was ready. */
async function heldHandler(limits: object, batch = {}) {
  const { pipeline, calls, open, close } = gated(await smallPipeline());
  const { handler, ask } = await smallHandler({ pipeline, limits, batch });
  calls.length = 0;
  close();
  const value = async (name: string) =>
    Number(
      (await (await ask('/metrics')).text())
        .split('\n')
        .find((line) => line.startsWith(`${name} `))!
        .split(' ')[1],
    );
  /** Done when so many images are sampled, and so many requests wait. */
  const taken = async (active: number, waiting: number) => {
    while ((await value('ddpm_active_images')) !== active || (await value('ddpm_waiting_requests')) !== waiting)
      await soon(2);
  };
  return { handler, ask, calls, open, close, value, taken };
}

const soon = (ms = 20) => new Promise((resolve) => setTimeout(resolve, ms));

describe('requests at the same time', () => {
  it('share network calls, and get the bytes that they get alone', async () => {
    const { ask, calls, open, taken } = await heldHandler({ active: 64 }, { maxImages: 16, maxWait: 1000 });
    const queries = Array.from(
      { length: 12 },
      (_, i) => `/v1/samples?seed=${i}&steps=${3 + (i % 3)}&sampler=ddim&format=raw`,
    );
    const asked = queries.map((query) => ask(query));
    await taken(12, 0);
    open();
    const together = await Promise.all((await Promise.all(asked)).map((response) => response.arrayBuffer()));
    // 4 runs each of 3, 4 and 5 steps; whoever came first may have gone alone
    expect(calls.reduce((sum, images) => sum + images)).toBe(4 * (3 + 4 + 5));
    expect(calls.length).toBeLessThanOrEqual(6);
    for (const [i, query] of queries.entries())
      expect(new Uint8Array(await (await ask(query)).arrayBuffer())).toEqual(new Uint8Array(together[i]));
  });

  it('wait in a bounded queue: beyond it 503 with Retry-After at once, and full speed after', async () => {
    const { ask, open, taken } = await heldHandler({ active: 2, queue: 3, count: 2 });
    const asked = Array.from({ length: 9 }, (_, i) => ask(`/v1/samples?seed=${i}`));
    await taken(2, 3);
    const refused = await Promise.all(asked.slice(5));
    for (const response of refused) {
      expect([response.status, (await response.json()).code]).toEqual([503, 'busy']);
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    }
    open();
    expect((await Promise.all(asked.slice(0, 5))).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    await taken(0, 0);
    expect((await ask('/v1/samples?seed=99')).status).toBe(200);
  });

  it('of more images than may be at a time run alone', async () => {
    const { ask, open, taken } = await heldHandler({ active: 2, count: 8 });
    const asked = [ask('/v1/samples?count=1')];
    await taken(1, 0);
    asked.push(ask('/v1/samples?count=5'), ask('/v1/samples?count=1'));
    await taken(1, 2);
    open();
    expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([200, 200, 200]);
  });

  it('that are late are told 503, waiting or running, and give up their place', async () => {
    const { ask, open, value, taken } = await heldHandler({ active: 1, seconds: 1 });
    const asked = [ask('/v1/samples?seed=1'), ask('/v1/samples?seed=2')];
    for (const response of await Promise.all(asked)) {
      expect([response.status, (await response.json()).code]).toEqual([503, 'overdue']);
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    }
    expect(await value('ddpm_waiting_requests')).toBe(0);
    open();
    await taken(0, 0);
  });

  it('whose clients go away give up their place within a network call, waiting or running', async () => {
    const { ask, open, value, calls, taken } = await heldHandler({ active: 1 });
    const clients = Array.from({ length: 5 }, () => new AbortController());
    const asked = clients.map(({ signal }, i) => ask(`/v1/samples?seed=${i}&steps=40`, { signal }));
    await taken(1, 4);
    for (const client of clients) client.abort();
    expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([499, 499, 499, 499, 499]);
    expect(await value('ddpm_waiting_requests')).toBe(0);
    open();
    await taken(0, 0);
    expect(calls.length).toBe(1);
  });

  it('1,000 whose clients go away midway leave nothing running', async () => {
    const { ask, open, calls, taken } = await heldHandler({ active: 64, queue: 1000 }, { maxImages: 64 });
    const clients = Array.from({ length: 1000 }, () => new AbortController());
    const asked = clients.map(({ signal }, i) => ask(`/v1/samples?seed=${i}&steps=50`, { signal }));
    await taken(64, 936);
    for (const client of clients) client.abort();
    open();
    expect(new Set((await Promise.all(asked)).map(({ status }) => status))).toEqual(new Set([499]));
    await taken(0, 0);
    const done = calls.length;
    await soon(50);
    expect(calls.length).toBe(done);
  });
});

describe('a stream', () => {
  it('whose client stops reading holds up nobody, and is ended by the deadline', async () => {
    const { handler, ask } = await smallHandler({ limits: { active: 4, seconds: 1 } });
    const response = await ask('/v1/samples/stream?steps=40&every=1');
    const reader = response.body!.getReader();
    await reader.read();
    expect((await ask('/v1/samples?seed=1&steps=40')).status).toBe(200);
    await soon(1100);
    const text = async () => {
      const parts = [];
      for (let next = await reader.read(); !next.done; next = await reader.read()) parts.push(Buffer.from(next.value));
      return Buffer.concat(parts).toString();
    };
    expect(await text()).toMatch(/event: error\ndata: \{"code":"overdue"[^\n]*\n\n$/);
    await handler.close();
  });

  it('whose client cancels stops within a step', async () => {
    const { ask, open, close, calls, taken } = await heldHandler({});
    const response = await ask('/v1/samples/stream?steps=40&every=1');
    open();
    const reader = response.body!.getReader();
    await reader.read();
    close();
    await reader.cancel();
    open();
    await taken(0, 0);
    const done = calls.length;
    await soon();
    expect(calls.length).toBe(done);
    expect(done).toBeLessThan(6);
  });

  it('that finds no room says so as an event', async () => {
    const { ask, open, taken } = await heldHandler({ active: 1, queue: 0 });
    const first = ask('/v1/samples');
    await taken(1, 0);
    expect(await (await ask('/v1/samples/stream')).text()).toMatch(/^event: error\ndata: \{"code":"busy"/);
    open();
    expect((await first).status).toBe(200);
  });
});

describe('close', () => {
  it('answers what was accepted, and refuses what comes', async () => {
    const { handler, ask, open, taken } = await heldHandler({ active: 1 });
    const asked = [1, 2, 3].map((seed) => ask(`/v1/samples?seed=${seed}`));
    await taken(1, 2);
    const closing = Promise.all([handler.close({ milliseconds: 10_000 }), handler.close()]);
    const late = await ask('/v1/samples?seed=4');
    expect([late.status, (await late.json()).code]).toEqual([503, 'closing']);
    open();
    await closing;
    expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([200, 200, 200]);
  });

  it('tells those that cannot be answered in time', async () => {
    const { handler, ask, open, taken } = await heldHandler({ active: 1 });
    const asked = [1, 2, 3].map((seed) => ask(`/v1/samples?seed=${seed}`));
    await taken(1, 2);
    const closing = handler.close({ milliseconds: 30 });
    for (const response of await Promise.all(asked))
      expect([response.status, (await response.json()).code]).toEqual([503, 'closing']);
    open();
    await closing;
  });

  it('of a handler that never began is done', async () => {
    await createHandler({ pipeline: await smallPipeline() }).close();
  });
});

import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer, type HttpBindings } from '@hono/node-server';
import { assertInteger } from '../core/assert.ts';
import { DdpmError } from '../core/errors.ts';
import { createHandler, type Handler, type HandlerOptions } from './handler.ts';

export { loadThreadedPipeline, type ThreadedPipeline, type ThreadOptions } from './threadedPipeline.ts';

/** Where to listen, beside what a handler takes. */
export interface ServerOptions extends HandlerOptions {
  /** Default 127.0.0.1: this machine only. */
  readonly host?: string;
  /** Default 0: any that is free. */
  readonly port?: number;
}

/** A server that listens. */
export interface RunningServer {
  readonly url: string;
  readonly port: number;
  readonly handler: Handler;
  /** Takes no more connections, answers what was accepted or tells it so after `milliseconds`, and closes. */
  close(options?: { readonly milliseconds?: number }): Promise<void>;
}

/**
 * Serves a model on a port, until it is closed. The pipeline stays the caller's to dispose of.
 *
 * @throws DdpmError `output-failed` where the port cannot be had
 * @example
 * const server = await startServer({ pipeline: await loadThreadedPipeline('fashion'), port: 8080 });
 */
export async function startServer({ host = '127.0.0.1', port = 0, ...options }: ServerOptions): Promise<RunningServer> {
  assertInteger(port, 'port', 0, 65_535);
  const handler = createHandler(options);
  const server = createAdaptorServer({
    fetch: (request, env) => handler(request, { client: (env as HttpBindings).incoming.socket.remoteAddress }),
    overrideGlobalObjects: false,
    // whoever sends slowly holds a connection for so long at most
    serverOptions: { headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 30_000 },
  }) as Server;
  await listen(server, host, port);
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    port: bound,
    handler,
    async close({ milliseconds = 10_000 } = {}) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const started = performance.now();
      await handler.close({ milliseconds });
      // answers that are ready leave; who does not take them, or sends no request, is cut off
      const left = Math.max(500, milliseconds - (performance.now() - started));
      const timer = setTimeout(() => server.closeAllConnections(), left);
      server.closeIdleConnections();
      await closed;
      clearTimeout(timer);
    },
  };
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reasons: Record<string, string> = { EADDRINUSE: 'it is in use', EACCES: 'permission denied' };
      const reason = reasons[error.code ?? ''] ?? error.message;
      reject(new DdpmError('output-failed', `cannot listen on ${host}:${port}: ${reason}`, { cause: error }));
    });
    server.listen(port, host, resolve);
  });
}

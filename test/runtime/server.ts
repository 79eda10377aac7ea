import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a server answers with: a status, headers and a body, or a function that answers by itself. */
export interface Answer {
  readonly status?: number;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  /** Whether to go silent after the body instead of ending. */
  readonly hang?: boolean;
}

/** A server on this machine that counts what it was asked. */
export interface TestServer {
  readonly url: string;
  /** Method and path of every request so far. */
  readonly requests: string[];
  close(): Promise<void>;
}

/** Starts a server on the loopback interface; `answer` gets the path, without the query. */
export async function serve(answer: (path: string) => Answer | undefined): Promise<TestServer> {
  const requests: string[] = [];
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const { pathname } = new URL(request.url!, 'http://host');
    requests.push(`${request.method} ${request.url}`);
    const {
      status = 200,
      type = 'application/octet-stream',
      headers,
      body = '',
      hang,
    } = answer(pathname) ?? { status: 404 };
    response.writeHead(status, { 'content-type': type, ...headers });
    if (request.method === 'HEAD') response.end();
    else if (hang) response.write(body);
    else response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests, close };
}

import { DdpmError, isArgumentError } from '../core/errors.ts';

/** An answer that is an error, with the fields of RFC 9457. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: string, detail: string, headers: Readonly<Record<string, string>> = {}) {
    super(detail);
    this.name = 'Problem';
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

/** A request that may be asked again later. */
export function unavailable(code: string, detail: string, seconds: number): Problem {
  return new Problem(503, code, detail, { 'retry-after': String(Math.max(1, Math.ceil(seconds))) });
}

/** What an error is to a client: its own fault is told, ours only as far as it was meant to be read. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (isArgumentError(error)) return new Problem(400, 'invalid-argument', error.message);
  if (error instanceof DdpmError) {
    if (error.code === 'config-invalid') return new Problem(400, error.code, error.message);
    if (error.code === 'out-of-memory') return unavailable(error.code, error.message, 10);
    if (error.code === 'worker-crashed') return unavailable(error.code, error.message, 1);
    if (error.code === 'device-unavailable') return new Problem(501, error.code, error.message);
    return new Problem(500, error.code, error.message);
  }
  return new Problem(500, 'internal', 'something unexpected went wrong');
}

/** The body of application/problem+json. */
export function problemResponse({ status, code, message, headers }: Problem): Response {
  const body = JSON.stringify({ type: 'about:blank', title: titles[status] ?? 'Error', status, detail: message, code });
  return new Response(body, {
    status,
    headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store', ...headers },
  });
}

const titles: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  404: 'Not Found',
  405: 'Method Not Allowed',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  503: 'Service Unavailable',
};

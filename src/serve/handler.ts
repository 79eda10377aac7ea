import { Hono, type MiddlewareHandler } from 'hono';
import { bearerAuth } from 'hono/bearer-auth';
import { cors } from 'hono/cors';
import { HTTPException } from 'hono/http-exception';
import { secureHeaders } from 'hono/secure-headers';
import { assertKeys } from '../core/assert.ts';
import { wrongKind } from '../core/errors.ts';
import { createPipeline, type Pipeline } from '../pipeline.ts';
import { type BatcherOptions, createBatcher } from './batcher.ts';
import { readBody, typeOf } from './body.ts';
import { answerDenoise } from './denoise.ts';
import { keepFingerprint } from './fingerprint.ts';
import { type Limits, limitsOf } from './limits.ts';
import { createServerMetrics } from './metrics.ts';
import { describeModel } from './modelFacts.ts';
import { openApi } from './openapi.ts';
import { page } from './page.ts';
import { Problem, problemOf, problemResponse, unavailable } from './problem.ts';
import { createRateLimit, type RateLimit } from './rateLimit.ts';
import { parseRequest, queryObject, requestSchemas } from './request.ts';
import { Runs } from './runs.ts';
import { answerSamples, answerStream, type Service } from './samples.ts';
import { createTurns } from './turns.ts';

/** What a handler serves, and how. */
export interface HandlerOptions {
  /**
   * The model. Its network may answer from anywhere: `loadThreadedPipeline` of ddpm-wasm/serve/node keeps it off this thread.
   * Where `alive` says no, /readyz does, until the network has answered again.
   */
  readonly pipeline: Pipeline & { alive?(): boolean };
  readonly limits?: Partial<Limits>;
  /** How network calls of different requests are put together. */
  readonly batch?: Omit<BatcherOptions, 'onCall'>;
  /** What a client must send as `Authorization: Bearer`, everywhere but at /healthz and /readyz. Default: nothing. */
  readonly token?: string;
  /** Origins whose pages may read answers, or `*`. Default: none. */
  readonly cors?: string | readonly string[];
  /** How often one client may ask for images. Default: as often as it likes. */
  readonly rateLimit?: RateLimit;
  /** Told of every request once its answer begins. */
  readonly onRequest?: (record: RequestRecord) => void;
}

/** What is said of a request in a log. */
export interface RequestRecord {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** Until the answer began. */
  readonly milliseconds: number;
  readonly client?: string;
  /** What went wrong on our side, if anything did. */
  readonly error?: unknown;
}

/** What only the platform knows of a request. */
export interface RequestInfo {
  /** Tells clients apart for the rate limit: an address, say. */
  readonly client?: string;
}

/** `(Request) => Promise<Response>`, for any server that has those. */
export interface Handler {
  (request: Request, info?: RequestInfo): Promise<Response>;
  /** Done when the network has answered, from when on /readyz says so. It begins by itself. */
  ready(): Promise<void>;
  /** Takes no more requests for images, and is done when those accepted are answered; who is not after `milliseconds` is told. */
  close(options?: { readonly milliseconds?: number }): Promise<void>;
}

interface Env {
  Bindings: RequestInfo & { error?: unknown };
}

const optionKeys = ['pipeline', 'limits', 'batch', 'token', 'cors', 'rateLimit', 'onRequest'];

/**
 * Serves a model over HTTP: images at /v1/samples, their making at /v1/samples/stream, what there is at /v1/model, and
 * /healthz, /readyz, /metrics, /openapi.json and a page at /. With `limits.denoise` network calls at /v1/denoise, for
 * `createRemoteDenoiser` of ddpm-wasm/remote.
 *
 * @throws TypeError or RangeError naming the option
 * @example
 * const handler = createHandler({ pipeline: await loadPipeline('fashion') });
 * export default { fetch: (request) => handler(request) };
 */
export function createHandler(options: HandlerOptions): Handler {
  if (typeof options !== 'object' || options === null) throw wrongKind('options', 'an object', options);
  assertKeys(options, 'options', optionKeys);
  const { token, onRequest } = options;
  if (token !== undefined && !(typeof token === 'string' && /^[A-Za-z0-9._~+/-]+=*$/.test(token)))
    throw wrongKind('token', 'letters, digits and ._~+/-, as RFC 6750 has them', typeof token);
  const service = createService(options);
  const { runs, metrics } = service;
  const app = createApp(options, service);

  const handle = async (request: Request, info: RequestInfo = {}): Promise<Response> => {
    const started = performance.now();
    const env: Env['Bindings'] = { client: info.client };
    const response = await app.fetch(request, env);
    const milliseconds = performance.now() - started;
    const path = new URL(request.url).pathname;
    metrics.request({ route: routesOf(service.limits)[path] ? path : 'other', status: response.status });
    if (path === '/v1/samples' && response.status === 200) metrics.seconds(milliseconds / 1000);
    onRequest?.({ method: request.method, path, status: response.status, milliseconds, ...env });
    return response;
  };
  return Object.assign(handle, {
    ready: async () => void (await service.fingerprint()),
    close: ({ milliseconds = 10_000 } = {}) => runs.close(milliseconds),
  });
}

type Routes = Readonly<Record<string, readonly string[] | undefined>>;

/** Which methods each route has. */
function routesOf({ denoise }: Limits): Routes {
  return denoise > 0 ? { ...routes, __proto__: null as never, '/v1/denoise': ['POST'] } : routes;
}

const routes: Routes = {
  __proto__: null as never,
  '/v1/samples': ['GET', 'HEAD', 'POST'],
  '/v1/samples/stream': ['GET'],
  '/v1/model': ['GET', 'HEAD'],
  '/openapi.json': ['GET', 'HEAD'],
  '/healthz': ['GET', 'HEAD'],
  '/readyz': ['GET', 'HEAD'],
  '/metrics': ['GET', 'HEAD'],
  '/': ['GET', 'HEAD'],
};

/** The pipeline with a network that requests share, and all that goes on with it. */
function createService({ pipeline: given, limits, batch, token }: HandlerOptions): Service {
  const { engine, model, schedule, alive = () => true } = given;
  const metrics = createServerMetrics();
  const batcher = createBatcher(model.denoiser, { ...batch, onCall: metrics.call });
  const { shape, labelInput, device, dispose } = model.denoiser;
  const shared = Object.assign(batcher.denoiser, { shape, labelInput, device, notes: [], dispose });
  const pipeline = createPipeline(engine, { ...model, denoiser: shared as typeof model.denoiser }, schedule);
  const checked = limitsOf(limits);
  const runs = new Runs(pipeline, batcher, checked);
  metrics.watch(runs.gate);
  const fingerprint = keepFingerprint(pipeline, alive);
  const isPrivate = token !== undefined;
  const schemas = requestSchemas(checked);
  return { pipeline, limits: checked, schemas, runs, metrics, fingerprint, turn: createTurns(), isPrivate };
}

function createApp(options: HandlerOptions, service: Service) {
  const { pipeline, limits, schemas, runs, metrics } = service;
  const app = new Hono<Env>();
  protect(app, options);

  app.get('/v1/samples', async (c) =>
    answerSamples(service, c.req.raw, parseRequest(schemas.samples, queryObject(new URL(c.req.url).searchParams))),
  );
  app.post('/v1/samples', async (c) =>
    answerSamples(service, c.req.raw, parseRequest(schemas.samples, await bodyOf(c.req.raw, limits))),
  );
  app.get('/v1/samples/stream', async (c) =>
    answerStream(service, c.req.raw, parseRequest(schemas.stream, queryObject(new URL(c.req.url).searchParams))),
  );
  if (limits.denoise > 0) app.post('/v1/denoise', async (c) => answerDenoise(service, c.req.raw));
  app.get('/v1/model', (c) => c.json(describeModel(pipeline, limits)));
  app.get('/openapi.json', (c) => c.json(openApi(pipeline, schemas, limits)));
  app.get('/', (c) => c.html(page(pipeline, schemas.samples, new URL(c.req.url).searchParams)));
  app.get('/metrics', (c) =>
    c.body(metrics.text(), 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }),
  );
  app.get('/healthz', (c) => c.json({ status: 'ok' }));
  app.get('/readyz', async (c) => {
    if (runs.closing) throw unavailable('closing', 'the server is about to stop', 5);
    if (!(await isDone(service.fingerprint()))) throw unavailable('loading', 'the network has not answered yet', 1);
    return c.json({ status: 'ready' });
  });

  app.notFound((c) => {
    const methods = routesOf(limits)[c.req.path];
    if (!methods) return problemResponse(new Problem(404, 'not-found', 'there is nothing here: see /openapi.json'));
    const allow = methods.join(', ');
    return problemResponse(new Problem(405, 'method-not-allowed', `expected ${allow}, got ${c.req.method}`, { allow }));
  });
  app.onError((error, c) => {
    // a middleware's own answer
    if (error instanceof HTTPException) return error.getResponse();
    const problem = problemOf(error);
    if (problem.status >= 500 && !(error instanceof Problem)) c.env.error = error;
    return problemResponse(problem);
  });
  return app;
}

/** What stands before every route: headers, origins, how often, and who. */
function protect(app: Hono<Env>, { token, cors: origin, rateLimit }: HandlerOptions): void {
  app.use(
    secureHeaders({
      contentSecurityPolicy: {
        defaultSrc: ["'none'"],
        imgSrc: ["'self'", 'data:'],
        styleSrc: ["'unsafe-inline'"],
        formAction: ["'self'"],
        frameAncestors: ["'none'"],
        baseUri: ["'none'"],
      },
      xFrameOptions: 'DENY',
      crossOriginResourcePolicy: origin === undefined ? 'same-origin' : 'cross-origin',
      // up to whoever ends TLS
      strictTransportSecurity: false,
    }),
  );
  if (origin !== undefined)
    app.use(cors({ origin: typeof origin === 'string' ? origin : [...origin], allowMethods: ['GET', 'HEAD', 'POST'] }));
  if (rateLimit !== undefined) {
    const check = createRateLimit(rateLimit);
    const limit: MiddlewareHandler<Env> = async (c, next) => {
      check(c.env?.client ?? '');
      await next();
    };
    app.use('/v1/samples/*', limit);
    app.use('/v1/denoise', limit);
  }
  if (token !== undefined) {
    const message = () =>
      problemResponse(new Problem(401, 'unauthorized', 'expected Authorization: Bearer and the token'));
    const refused = { noAuthenticationHeader: { message }, invalidAuthenticationHeader: { message } };
    const bearer: MiddlewareHandler<Env> = bearerAuth({ token, ...refused, invalidToken: { message } });
    app.use(async (c, next) => (['/healthz', '/readyz'].includes(c.req.path) ? next() : bearer(c, next)));
  }
}

async function bodyOf(request: Request, { body }: Limits): Promise<unknown> {
  const type = typeOf(request);
  if (type !== 'application/json')
    throw new Problem(415, 'not-json', `expected application/json, got ${type ?? 'nothing'}`);
  const bytes = await readBody(request, body);
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new Problem(400, 'not-json', 'expected a JSON object, got something else');
  }
}

/** Whether a promise is fulfilled by now. @throws what it was rejected with */
async function isDone(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  return (await Promise.race([promise, Promise.resolve(pending)])) !== pending;
}

// An AWS Lambda function behind a function URL or an HTTP API: `npm install --omit=optional ddpm-wasm hono` keeps its package
// below 250 MB.
import { loadPipeline } from 'ddpm-wasm';
import { createHandler } from 'ddpm-wasm/serve';
import { Hono } from 'hono';
import { type ApiGatewayRequestContextV2, handle } from 'hono/aws-lambda';

interface Bindings {
  readonly requestContext: ApiGatewayRequestContextV2;
}

const pipeline = await loadPipeline('fashion');
const answer = createHandler({ pipeline, limits: { count: 16, steps: 100 } });
const app = new Hono<{ Bindings: Bindings }>();
app.all('*', ({ req, env }) => answer(req.raw, { client: env.requestContext.http.sourceIp }));

export const handler = handle(app);

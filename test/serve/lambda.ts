import type { APIGatewayProxyResult, LambdaContext, LambdaEvent } from 'hono/aws-lambda';
import type { Place } from './suite.ts';

const host = 'abc.lambda-url.eu-central-1.on.aws';

/** The function of examples/lambda, called with the events that a function URL sends (payload format 2.0). */
export async function lambdaPlace(): Promise<Place> {
  const { handler } = await import('../../examples/lambda/handler.ts');
  const call = handler as unknown as (event: LambdaEvent, context: LambdaContext) => Promise<APIGatewayProxyResult>;
  return {
    url: `https://${host}`,
    fetch: async (request) => responseOf(await call(await eventOf(request), {} as LambdaContext)),
    close: async () => undefined,
  };
}

/** https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html, with its example's values where a request says none. */
async function eventOf(request: Request): Promise<LambdaEvent> {
  const { pathname, search } = new URL(request.url);
  const body = new Uint8Array(await request.arrayBuffer());
  const requestContext = {
    accountId: 'anonymous',
    apiId: 'abc',
    authentication: null,
    authorizer: null,
    domainName: host,
    domainPrefix: 'abc',
    http: { method: request.method, path: pathname, protocol: 'HTTP/1.1', sourceIp: '192.0.2.1', userAgent: 'agent' },
    requestId: 'id',
    routeKey: '$default',
    stage: '$default',
    time: '12/Mar/2020:19:03:58 +0000',
    timeEpoch: 1583348638390,
  };
  return {
    version: '2.0',
    routeKey: '$default',
    rawPath: pathname,
    rawQueryString: search.slice(1),
    headers: { ...Object.fromEntries(request.headers), host, 'content-length': String(body.length) },
    requestContext,
    body: body.length > 0 ? Buffer.from(body).toString('base64') : null,
    isBase64Encoded: body.length > 0,
  } as unknown as LambdaEvent;
}

function responseOf({ statusCode, headers, body, isBase64Encoded }: APIGatewayProxyResult): Response {
  const bytes = Buffer.from(body, isBase64Encoded ? 'base64' : 'utf8');
  const hasNone = [204, 304].includes(statusCode);
  return new Response(hasNone ? null : new Uint8Array(bytes), { status: statusCode, headers: headers as HeadersInit });
}

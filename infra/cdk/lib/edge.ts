// The edge: an HTTP API, its access log, and the function `ingest` that writes events to the stream.

import { Aws, aws_apigatewayv2 as apigateway, aws_lambda as lambda, aws_logs as logs } from 'aws-cdk-lib';
import { Construct } from 'constructs';

import { LASTING, mathAlarm } from './alarms.ts';
import { keyAccess, METRICS_NAMESPACE, PenstockFunction, type Surroundings } from './function.ts';
import type { RetainedTable } from './tables.ts';

/** An HTTP API waits 30 seconds at most. The function has to answer before, or the client learns nothing. */
const TIMEOUT_SECONDS = 29;

/** What `ingest` answers to. */
const ROUTES = [
  { id: 'PostEvents', method: 'POST', path: '/v1/events' },
  { id: 'GetHealth', method: 'GET', path: '/v1/health' },
];

/** Who, when, what, and what the answer was: no body, and no header but the sender's own name of itself. */
const ACCESS_LOG = {
  requestId: '$context.requestId',
  ip: '$context.identity.sourceIp',
  time: '$context.requestTimeEpoch',
  route: '$context.routeKey',
  status: '$context.status',
  bytes: '$context.responseLength',
  latencyMs: '$context.responseLatency',
  integrationMs: '$context.integrationLatency',
  error: '$context.integrationErrorMessage',
  userAgent: '$context.identity.userAgent',
};

/**
 * The edge. It bounds how many requests it takes, and logs who sent them.
 *
 * The API is open to the world. Before it takes real traffic, give its routes an authorizer.
 */
export class Edge extends Construct {
  /** The API, for an authorizer or a domain name of your own. */
  readonly api: apigateway.CfnApi;
  /** POST events to /v1/events below it. */
  readonly endpoint: string;

  constructor(scope: Construct, id: string, surroundings: Surroundings, schemas: RetainedTable) {
    super(scope, id);
    const { settings, stream } = surroundings;
    const ingest = new PenstockFunction(this, 'Ingest', surroundings, {
      binary: 'ingest',
      policy: 'ingest',
      timeout: TIMEOUT_SECONDS,
      environment: {
        PENSTOCK_PUT_SECONDS: String(settings.putSeconds),
        PENSTOCK_SCHEMAS_TABLE: schemas.tableName,
        PENSTOCK_UNDECLARED_TYPES: settings.undeclaredTypes,
      },
      statements: [
        { Effect: 'Allow', Action: 'kinesis:PutRecords', Resource: stream.arn },
        { Effect: 'Allow', Action: ['dynamodb:GetItem', 'dynamodb:BatchGetItem'], Resource: schemas.arn },
        ...keyAccess(settings),
      ],
      // Without a number of its own, an edge that is open to the world can take all the concurrency of the account, and
      // the groups get none.
      ...(settings.ingestConcurrency !== 0 && { reservedConcurrency: settings.ingestConcurrency }),
    });

    // Routes as a definition: API Gateway then refuses a change of them as a whole or takes it as a whole.
    this.api = new apigateway.CfnApi(this, 'HttpApi', {
      body: {
        openapi: '3.0.1',
        info: { title: Aws.STACK_NAME, version: '1.0' },
        paths: Object.fromEntries(ROUTES.map(({ path, method }) => [path, { [method.toLowerCase()]: proxyTo(ingest) }])),
      },
    });
    this.endpoint = `https://${this.api.ref}.execute-api.${Aws.REGION}.${Aws.URL_SUFFIX}`;
    const log = new logs.CfnLogGroup(this, 'ApiLogs', { retentionInDays: settings.logRetentionDays });
    new apigateway.CfnStage(this, 'HttpApiStage', {
      apiId: this.api.ref,
      stageName: '$default',
      autoDeploy: true,
      defaultRouteSettings: {
        throttlingRateLimit: settings.requestsPerSecond,
        throttlingBurstLimit: settings.requestsBurst,
      },
      accessLogSettings: { destinationArn: log.attrArn, format: JSON.stringify(ACCESS_LOG) },
    });
    for (const route of ROUTES) {
      new lambda.CfnPermission(ingest, `${route.id}Permission`, {
        action: 'lambda:InvokeFunction',
        functionName: ingest.functionName,
        principal: 'apigateway.amazonaws.com',
        sourceArn:
          `arn:${Aws.PARTITION}:execute-api:${Aws.REGION}:${Aws.ACCOUNT_ID}:${this.api.ref}` +
          `/*/${route.method}${route.path}`,
      });
    }

    const requests = { namespace: METRICS_NAMESPACE, metricName: 'produce_requests_failed' };
    mathAlarm(
      this,
      'ProduceErrorsAlarm',
      settings,
      { id: 'share', expression: 'IF(requests >= 100, 100 * failed / requests, 0)' },
      { requests: { ...requests, statistic: 'SampleCount' }, failed: { ...requests, statistic: 'Sum' } },
      {
        description:
          "More than 1 % of requests failed for a reason that is not the sender's, of at least 100 in a minute; " +
          'senders have to send them again. First: see whether the stream throttles or the function fails. ' +
          'docs/runbook/produce-errors.md',
        threshold: 1,
      },
    );
    mathAlarm(
      this,
      'ProduceOutageAlarm',
      settings,
      { id: 'share', expression: '100 * failed / requests' },
      { requests: { ...requests, statistic: 'SampleCount' }, failed: { ...requests, statistic: 'Sum' } },
      {
        description:
          "Every request of five minutes failed for a reason that is not the sender's, however few they were. " +
          'First: see whether the stream throttles or the function fails. docs/runbook/produce-errors.md',
        threshold: 99,
        minutes: 5,
      },
    );
    ingest.watch({
      errors: {
        description:
          '`ingest` failed as a whole: its client was told 500 and knows nothing of its events. First: read its log ' +
          'group for `error`. docs/runbook/function-errors.md',
      },
      throttles: {
        description:
          "Lambda does not start `ingest`: clients are told 503. First: compare the account's concurrency with its " +
          'limit. docs/runbook/function-throttles.md',
      },
      duration: {
        description:
          'Requests come close to the time-out of `ingest`; past it the client is told 503 and knows nothing of its ' +
          'events. First: see took_ms in its `answered` lines. docs/runbook/function-duration.md',
        threshold: 26_100,
        ...LASTING,
      },
    });
  }
}

/** The operation of a route that the function answers. */
function proxyTo(target: PenstockFunction) {
  return {
    'x-amazon-apigateway-integration': {
      type: 'aws_proxy',
      httpMethod: 'POST',
      uri: `arn:${Aws.PARTITION}:apigateway:${Aws.REGION}:lambda:path/2015-03-31/functions/${target.arn}/invocations`,
      payloadFormatVersion: '2.0',
    },
    responses: {},
  };
}

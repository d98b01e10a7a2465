// The dashboard: a row for the producer, one for the log, one for the consumers. The searches find every group by itself.

import { Aws, aws_cloudwatch as cloudwatch, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';

import { METRICS_NAMESPACE } from './function.ts';
import type { GiveUps } from './give-ups.ts';
import type { Settings } from './props.ts';
import type { EventStream } from './stream.ts';

/** Four widgets of a row stand side by side. */
const WIDTH = 6;
const HEIGHT = 6;

/** A metric, or a search for metrics, as CloudWatch writes it. */
type Line = readonly unknown[];

interface Widget {
  readonly title: string;
  readonly metrics: readonly Line[];
  readonly stat?: 'Sum' | 'Maximum';
  readonly annotations?: unknown;
}

/** Dashboards of all regions share their names. */
export const DASHBOARD_NAME = `${Aws.STACK_NAME}-${Aws.REGION}`;

/** The dashboard, under a name that the stack has for itself. */
export function dashboard(scope: Construct, settings: Settings, stream: EventStream, giveUps: GiveUps): void {
  const own = (metric: string, options?: object): Line => [METRICS_NAMESPACE, metric, ...(options ? [options] : [])];
  const ofStream = (metric: string, options?: object): Line => [
    'AWS/Kinesis',
    metric,
    'StreamName',
    stream.streamName,
    ...(options ? [options] : []),
  ];
  const waiting = (queueName: string): Line => ['AWS/SQS', 'ApproximateNumberOfMessagesVisible', 'QueueName', queueName];
  const rows: Record<string, Widget[]> = {
    Producer: [
      {
        title: 'Requests: all, failed',
        metrics: [
          own('produce_requests_failed', { stat: 'SampleCount', label: 'requests' }),
          own('produce_requests_failed', { stat: 'Sum', label: 'failed' }),
        ],
      },
      {
        title: 'Time to answer (ms)',
        metrics: [own('produce_latency', { stat: 'p50' }), own('produce_latency', { stat: 'p99' })],
      },
      {
        title: 'Events accepted; bytes',
        stat: 'Sum',
        metrics: [own('events_accepted'), own('produce_bytes', { yAxis: 'right' })],
      },
      { title: 'Events rejected, by code', metrics: [search('Code', 'events_rejected', 'Sum')] },
    ],
    Log: [
      {
        title: 'In: records; bytes',
        stat: 'Sum',
        metrics: [ofStream('IncomingRecords'), ofStream('IncomingBytes', { yAxis: 'right' })],
      },
      {
        title: 'Throttled: writes, reads',
        stat: 'Sum',
        metrics: [ofStream('WriteProvisionedThroughputExceeded'), ofStream('ReadProvisionedThroughputExceeded')],
      },
      { title: 'Oldest record read (ms)', stat: 'Maximum', metrics: [ofStream('GetRecords.IteratorAgeMilliseconds')] },
      {
        title: 'Given up, not yet dead letters',
        stat: 'Maximum',
        metrics: [waiting(giveUps.notices.queueName), waiting(giveUps.failed.queueName)],
      },
    ],
    Consumers: [
      {
        title: 'Lag by group (ms)',
        metrics: [search('Group', 'consumer_lag_ms', 'Maximum')],
        annotations: { horizontal: [{ label: 'alarm', value: settings.lagAlarmMilliseconds }] },
      },
      {
        title: 'Settled, duplicates, by group',
        metrics: [search('Group', 'events_settled', 'Sum'), search('Group', 'duplicates', 'Sum')],
      },
      {
        title: 'Errors, outages, isolation, by group',
        metrics: [
          search('Group', 'consumer_errors', 'Sum'),
          search('Group', 'outage_stops', 'Sum'),
          search('Group', 'isolation_runs', 'Sum'),
        ],
      },
      { title: 'Dead letters, by group and reason', metrics: [search('Group,Reason', 'dead_letters', 'Sum')] },
    ],
  };
  new cloudwatch.CfnDashboard(scope, 'Dashboard', {
    dashboardName: DASHBOARD_NAME,
    dashboardBody: Stack.of(scope).toJsonString({
      start: '-PT3H',
      widgets: Object.entries(rows).flatMap(([title, widgets], row) => placed(title, widgets, row * (1 + HEIGHT))),
    }),
  });
}

/** Every metric of a name, whatever values its dimensions have. */
function search(dimensions: string, metric: string, statistic: string): Line {
  const expression = `SEARCH('{"${METRICS_NAMESPACE}",${dimensions}} MetricName="${metric}"', '${statistic}')`;
  return [{ expression }];
}

/** A row of widgets below its title. */
function placed(title: string, widgets: readonly Widget[], y: number): object[] {
  return [
    { type: 'text', x: 0, y, width: 24, height: 1, properties: { markdown: `## ${title}` } },
    ...widgets.map((widget, n) => ({
      type: 'metric',
      x: n * WIDTH,
      y: y + 1,
      width: WIDTH,
      height: HEIGHT,
      properties: { region: Aws.REGION, period: 60, ...widget },
    })),
  ];
}

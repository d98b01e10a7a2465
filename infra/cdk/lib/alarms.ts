// Alarms. Each says what it means, what to do first, and the page of the runbook that goes on from there.

import { aws_cloudwatch as cloudwatch } from 'aws-cdk-lib';
import type { Construct } from 'constructs';

import type { Settings } from './props.ts';

/** A metric: where it is, and of what. */
export interface Metric {
  readonly namespace: string;
  readonly metricName: string;
  readonly dimensions?: Readonly<Record<string, string>>;
}

/** When an alarm rings. */
export interface Ringing {
  /** Ends with a page of `docs/runbook`. */
  readonly description: string;
  /** Above this. */
  readonly threshold: number;
  /** Minutes that are looked at: 1 unless given. */
  readonly minutes?: number;
  /** How many of them have to be above the threshold: all unless given. */
  readonly of?: number;
}

/** What rings only when it lasts: three of five minutes. */
export const LASTING = { minutes: 5, of: 3 };

/** An alarm on one metric, minute by minute. */
export function alarm(
  scope: Construct,
  id: string,
  settings: Settings,
  metric: Metric & { readonly statistic: 'Sum' | 'Maximum' },
  ringing: Ringing,
): void {
  new cloudwatch.CfnAlarm(scope, id, {
    ...common(settings, ringing),
    namespace: metric.namespace,
    metricName: metric.metricName,
    ...dimensions(metric),
    statistic: metric.statistic,
    period: 60,
  });
}

/** An alarm on what `expression` makes of metrics, each under the name that the expression has for it. */
export function mathAlarm(
  scope: Construct,
  id: string,
  settings: Settings,
  result: { readonly id: string; readonly expression: string },
  metrics: Readonly<Record<string, Metric & { readonly statistic: 'Sum' | 'Maximum' | 'SampleCount' }>>,
  ringing: Ringing,
): void {
  new cloudwatch.CfnAlarm(scope, id, {
    ...common(settings, ringing),
    metrics: [
      { id: result.id, expression: result.expression, returnData: true },
      ...Object.entries(metrics).map(([name, metric]) => ({
        id: name,
        returnData: false,
        metricStat: {
          metric: { namespace: metric.namespace, metricName: metric.metricName, ...dimensions(metric) },
          period: 60,
          stat: metric.statistic,
        },
      })),
    ],
  });
}

/** Nothing rings while there is nothing to measure; whoever is named hears that an alarm rings and that it is over. */
function common(settings: Settings, { description, threshold, minutes = 1, of }: Ringing) {
  const told = [settings.alarmTopicArn];
  return {
    alarmDescription: description,
    evaluationPeriods: minutes,
    ...(of !== undefined && { datapointsToAlarm: of }),
    comparisonOperator: 'GreaterThanThreshold',
    threshold,
    treatMissingData: 'notBreaching',
    ...(settings.alarmTopicArn !== '' && { alarmActions: told, okActions: told }),
  };
}

function dimensions(metric: Metric) {
  const entries = Object.entries(metric.dimensions ?? {});
  return entries.length === 0 ? {} : { dimensions: entries.map(([name, value]) => ({ name, value })) };
}

// What holds data: tables and queues that outlive the stack.

import {
  aws_dynamodb as dynamodb,
  aws_sqs as sqs,
  CfnDeletionPolicy,
  type CfnResource,
} from 'aws-cdk-lib';
import { Construct } from 'constructs';

import { alarm, LASTING } from './alarms.ts';
import type { Settings } from './props.ts';

/** 14 days: the longest that SQS keeps a message, in seconds. */
const MESSAGE_RETENTION_SECONDS = 14 * 24 * 3600;

/** As large as SQS has them: a letter holds an event's bytes. The default has been another one in other years. */
const MESSAGE_BYTES = 1024 * 1024;

/**
 * Keeps a resource when its stack is deleted or replaces it: what was acknowledged must not be deleted. A first deployment
 * that fails has no data, and cleans up.
 */
export function retain(resource: CfnResource): void {
  resource.cfnOptions.deletionPolicy = CfnDeletionPolicy.RETAIN_EXCEPT_ON_CREATE;
  resource.cfnOptions.updateReplacePolicy = CfnDeletionPolicy.RETAIN;
}

/** What a queue of one's own may set. */
export interface RetainedQueueProps {
  /** How long a message that somebody received is hidden from others, in seconds. */
  readonly visibilityTimeout?: number;
  /** Where a message goes that was received too often. */
  readonly deadLetters?: { readonly queue: RetainedQueue; readonly maxReceiveCount: number };
}

/** A queue that keeps messages as long and as large as SQS can, encrypts them, and takes nothing without TLS. */
export class RetainedQueue extends Construct {
  readonly url: string;
  readonly arn: string;
  readonly queueName: string;

  constructor(scope: Construct, id: string, props: RetainedQueueProps = {}) {
    super(scope, id);
    const { visibilityTimeout, deadLetters } = props;
    const queue = new sqs.CfnQueue(this, 'Resource', {
      messageRetentionPeriod: MESSAGE_RETENTION_SECONDS,
      maximumMessageSize: MESSAGE_BYTES,
      sqsManagedSseEnabled: true,
      ...(visibilityTimeout !== undefined && { visibilityTimeout }),
      ...(deadLetters && {
        redrivePolicy: { deadLetterTargetArn: deadLetters.queue.arn, maxReceiveCount: deadLetters.maxReceiveCount },
      }),
    });
    retain(queue);
    this.url = queue.ref;
    this.arn = queue.attrArn;
    this.queueName = queue.attrQueueName;
    new sqs.CfnQueuePolicy(this, 'Policy', {
      queues: [this.url],
      policyDocument: {
        Version: '2012-10-17',
        Statement: [
          {
            Effect: 'Deny',
            Principal: '*',
            Action: 'sqs:*',
            Resource: this.arn,
            Condition: { Bool: { 'aws:SecureTransport': 'false' } },
          },
        ],
      },
    });
  }

  /** A metric of the queue. */
  metric(metricName: string) {
    return { namespace: 'AWS/SQS', metricName, dimensions: { QueueName: this.queueName }, statistic: 'Maximum' } as const;
  }
}

/** A table of one's own. */
export interface RetainedTableProps {
  /** The sort key, if it has one. */
  readonly sortKey?: string;
  /** The attribute whose time deletes an item. DynamoDB deletes late, so readers filter too. */
  readonly expiresBy?: string;
  /** What is throttled: "DynamoDB throttles reads of ..." */
  readonly what: string;
  /** What comes of it, after a colon. */
  readonly consequence: string;
}

/** A table with the string key `pk`, paid by request, that can be restored to any second, and whose throttling rings. */
export class RetainedTable extends Construct {
  readonly tableName: string;
  readonly arn: string;

  constructor(scope: Construct, id: string, settings: Settings, props: RetainedTableProps) {
    super(scope, id);
    const keys = ['pk', ...(props.sortKey === undefined ? [] : [props.sortKey])];
    const table = new dynamodb.CfnTable(this, 'Resource', {
      billingMode: 'PAY_PER_REQUEST',
      attributeDefinitions: keys.map((attributeName) => ({ attributeName, attributeType: 'S' })),
      keySchema: keys.map((attributeName, n) => ({ attributeName, keyType: n === 0 ? 'HASH' : 'RANGE' })),
      ...(props.expiresBy !== undefined && {
        timeToLiveSpecification: { attributeName: props.expiresBy, enabled: true },
      }),
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      sseSpecification: { sseEnabled: true },
      deletionProtectionEnabled: settings.tableDeletionProtection,
    });
    retain(table);
    this.tableName = table.ref;
    this.arn = table.attrArn;
    for (const [verb, metricName] of [
      ['Reads', 'ReadThrottleEvents'],
      ['Writes', 'WriteThrottleEvents'],
    ] as const) {
      const dimensions = { TableName: this.tableName };
      alarm(this, `${verb}ThrottledAlarm`, settings, { namespace: 'AWS/DynamoDB', metricName, dimensions, statistic: 'Sum' }, {
        description:
          `DynamoDB throttles ${verb.toLowerCase()} of ${props.what}: ${props.consequence}. ` +
          'First: see which key is hot. docs/runbook/table-throttled.md',
        threshold: 0,
        ...LASTING,
      });
    }
  }
}

// Queues: of letters, notices, and whatever a handler sends.

import { aws_sqs as sqs } from 'aws-cdk-lib';
import { Construct } from 'constructs';

import { retain } from './retain.ts';

/** 14 days: the longest that SQS keeps a message, in seconds. */
const MESSAGE_RETENTION_SECONDS = 14 * 24 * 3600;

/** As large as SQS has them: a letter holds an event's bytes. The default has been another one in other years. */
const MESSAGE_BYTES = 1024 * 1024;

/** What a queue of one's own may set. */
export interface RetainedQueueProps {
  /** The ARN of the key that encrypts it; without one, or if it is empty, a key of SQS does. */
  readonly kmsKeyArn?: string;
  /** How long a message that somebody received is hidden from others, in seconds. */
  readonly visibilityTimeout?: number;
  /** Where a message goes that was received too often. */
  readonly deadLetters?: { readonly queue: RetainedQueue; readonly maxReceiveCount: number };
  /** The ARN of a role that may send to it although its own policies do not say so. */
  readonly letsIn?: string;
}

/** A queue that keeps messages as long and as large as SQS can, encrypts them, and takes nothing without TLS. */
export class RetainedQueue extends Construct {
  readonly url: string;
  readonly arn: string;
  readonly queueName: string;

  constructor(scope: Construct, id: string, props: RetainedQueueProps = {}) {
    super(scope, id);
    const { kmsKeyArn = '', visibilityTimeout, deadLetters, letsIn } = props;
    const queue = new sqs.CfnQueue(this, 'Resource', {
      messageRetentionPeriod: MESSAGE_RETENTION_SECONDS,
      maximumMessageSize: MESSAGE_BYTES,
      // SQS refuses a queue that names both.
      ...(kmsKeyArn === '' ? { sqsManagedSseEnabled: true } : { kmsMasterKeyId: kmsKeyArn }),
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
          ...(letsIn === undefined
            ? []
            : [{ Effect: 'Allow', Principal: { AWS: letsIn }, Action: 'sqs:SendMessage', Resource: this.arn }]),
        ],
      },
    });
  }

  /** A metric of the queue. */
  metric(metricName: string) {
    return { namespace: 'AWS/SQS', metricName, dimensions: { QueueName: this.queueName }, statistic: 'Maximum' } as const;
  }
}

// What the mappings give up, and the function `recover` that makes dead letters of it.

import { Aws, aws_lambda as lambda } from 'aws-cdk-lib';
import { Construct } from 'constructs';

import { alarm, mathAlarm } from './alarms.ts';
import { keyAccess, PenstockFunction, type Surroundings } from './function.ts';
import type { Settings } from './props.ts';
import { RetainedQueue } from './queue.ts';
import type { RetainedTable } from './tables.ts';

const TIMEOUT_SECONDS = 300;

/**
 * Notices of what mappings gave up. A notice names a range of sequence numbers; the bytes are still on the stream (see
 * `giveUpAge`), and `recover` makes dead letters of them.
 *
 * It knows no group by name: the stack's outputs tell `recover` which there are, and each group's dead letters let it in.
 */
export class GiveUps extends Construct {
  readonly notices: RetainedQueue;
  /**
   * Notices that `recover` cannot work off: its log says why. A notice is moved back to `notices` once that is mended. It is
   * kept for the rest of its 14 days.
   */
  readonly failed: RetainedQueue;
  /** The ARN of the role of `recover`, which sends to the dead letters of every group. */
  readonly roleArn: string;

  constructor(
    scope: Construct,
    id: string,
    surroundings: Surroundings,
    tables: { readonly progress: RetainedTable; readonly window: RetainedTable },
  ) {
    super(scope, id);
    const { settings, stream } = surroundings;
    this.failed = new RetainedQueue(this, 'FailedGiveUps', { kmsKeyArn: settings.kmsKeyArn });
    this.notices = new RetainedQueue(this, 'GiveUps', {
      kmsKeyArn: settings.kmsKeyArn,
      // Six times the time-out of its function, as Lambda advises.
      visibilityTimeout: 6 * TIMEOUT_SECONDS,
      // 100 receives, half an hour apart, are two days: longer than the records of a notice are kept, so that what is left
      // of an outage is a letter by then. A recovery that runs out of time takes a receive too, but a notice is one batch,
      // 6 MB at most: a few receives. Much more than 100 would outlast the queue's 14 days, and the notice be deleted.
      deadLetters: { queue: this.failed, maxReceiveCount: 100 },
    });
    mathAlarm(
      this.notices,
      'Alarm',
      settings,
      { id: 'notices', expression: 'visible + hidden' },
      {
        visible: this.notices.metric('ApproximateNumberOfMessagesVisible'),
        hidden: this.notices.metric('ApproximateNumberOfMessagesNotVisible'),
      },
      {
        description:
          'A mapping has given records up because of their age, and `recover` has not made dead letters of them ' +
          'yet. First: read the log of `recover`. docs/runbook/give-ups.md',
        threshold: 0,
      },
    );
    alarm(this.failed, 'Alarm', settings, this.failed.metric('ApproximateNumberOfMessagesVisible'), {
      description:
        'For two days `recover` could not make dead letters of what a mapping gave up (GiveUpsAlarm rang then). ' +
        "Unless RetentionHours is longer, those records have expired. First: mend what the function's log says, " +
        'then move the notices back to the queue GiveUps. docs/runbook/failed-give-ups.md',
      threshold: 0,
    });

    const recover = new PenstockFunction(this, 'Recover', surroundings, {
      binary: 'recover',
      policy: 'recover',
      timeout: TIMEOUT_SECONDS,
      environment: {
        PENSTOCK_PROGRESS_TABLE: tables.progress.tableName,
        PENSTOCK_WINDOW_TABLE: tables.window.tableName,
        PENSTOCK_WINDOW_HORIZON_SECONDS: String(settings.windowHorizonSeconds),
        PENSTOCK_FINGERPRINT_KEY: fingerprintKey(settings),
        PENSTOCK_STACK: Aws.STACK_ID,
      },
      statements: [
        {
          Effect: 'Allow',
          Action: ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes'],
          Resource: this.notices.arn,
        },
        {
          Effect: 'Allow',
          Action: ['kinesis:GetRecords', 'kinesis:GetShardIterator', 'kinesis:ListShards'],
          Resource: stream.arn,
        },
        { Effect: 'Allow', Action: ['dynamodb:GetItem', 'dynamodb:UpdateItem'], Resource: tables.progress.arn },
        // what is settled, and how far a recovery has come
        { Effect: 'Allow', Action: ['dynamodb:Query', 'dynamodb:GetItem', 'dynamodb:PutItem'], Resource: tables.window.arn },
        // which groups there are; each group's dead letters let `recover` in by themselves
        { Effect: 'Allow', Action: 'cloudformation:DescribeStacks', Resource: Aws.STACK_ID },
        ...keyAccess(settings),
      ],
    });
    this.roleArn = recover.roleArn;
    new lambda.CfnEventSourceMapping(recover, 'Notices', {
      eventSourceArn: this.notices.arn,
      functionName: recover.functionName,
      batchSize: 1,
      functionResponseTypes: ['ReportBatchItemFailures'],
    });
    // It runs once in half an hour for a notice that fails, so nothing about it lasts: one minute rings.
    recover.watch({
      errors: {
        description:
          '`recover` failed as a whole: notices of what was given up wait for half an hour each time. First: read ' +
          'its log group for `error`. docs/runbook/function-errors.md',
      },
      throttles: {
        description:
          'Lambda does not start `recover`: what was given up is not made into dead letters. First: compare the ' +
          "account's concurrency with its limit. docs/runbook/function-throttles.md",
      },
      duration: {
        description:
          'Recoveries come close to their time-out; they go on where they stopped. First: see what its `recovered` ' +
          'lines leave. docs/runbook/function-duration.md',
        threshold: 270_000,
      },
    });
  }
}

/**
 * What names of events are fingerprinted with: unique to the deployment and never changed, because with another key a group
 * would not know its own window.
 */
export function fingerprintKey(settings: Settings): string {
  return settings.fingerprintKey === '' ? Aws.STACK_ID : settings.fingerprintKey;
}

// A consumer group: one function that reads the whole stream at its own pace.

import { aws_kinesis as kinesis, aws_lambda as lambda } from 'aws-cdk-lib';
import { Construct } from 'constructs';

import { alarm, LASTING } from './alarms.ts';
import { METRICS_NAMESPACE, PenstockFunction, type Statement, type Surroundings } from './function.ts';
import { fingerprintKey, type GiveUps } from './give-ups.ts';
import { giveUpAge } from './props.ts';
import { RetainedQueue } from './queue.ts';
import { RetainedTable } from './tables.ts';

const TIMEOUT_SECONDS = 60;

/** What a group may say of itself. */
export interface ConsumerGroupProps {
  /** The name of its binary; the group's name unless given. */
  readonly binary?: string;
  /** Gives the group a table for the states of a projection, in `PENSTOCK_STATE_TABLE`. */
  readonly projection?: boolean;
  /** Queues that its handler may send to. */
  readonly sendsTo?: readonly RetainedQueue[];
  /** Variables that its handler reads. */
  readonly environment?: Readonly<Record<string, string>>;
  /** What else its handler may do. */
  readonly statements?: readonly Statement[];
}

/** What a group is given by its pipeline. */
export interface GroupSurroundings extends Surroundings {
  readonly progress: RetainedTable;
  readonly window: RetainedTable;
  /** Where its mapping says what it gave up, and who makes dead letters of it. */
  readonly giveUps: GiveUps;
  /** The managed policy for what a group needs whatever its work is. */
  readonly access: string;
}

/**
 * A group: function, role, mapping, dead letters, the queue that they are redriven through, and its alarms. Make one with
 * `EventPipeline.addConsumerGroup`, which tells `recover` of it.
 *
 * Its role reaches the group's own items in the tables that groups share, and no others.
 */
export class ConsumerGroup extends Construct {
  readonly groupName: string;
  readonly functionName: string;
  /** The events that the group gave up. */
  readonly deadLetters: RetainedQueue;
  /** Dead letters on their way back to the group. */
  readonly redrive: RetainedQueue;
  /** The states of a projection. */
  readonly state: RetainedTable | undefined;

  constructor(scope: Construct, name: string, surroundings: GroupSurroundings, props: ConsumerGroupProps = {}) {
    super(scope, name);
    this.groupName = name;
    const { settings, stream, progress, window, giveUps } = surroundings;
    // What the mapping gives up, `recover` sends here.
    this.deadLetters = new RetainedQueue(this, 'DeadLetters', { kmsKeyArn: settings.kmsKeyArn, letsIn: giveUps.roleArn });
    // `penstock dlq redrive` moves the dead letters here; what could not be tried three times goes back. Being a redrive
    // target is also what lets SQS start a move.
    this.redrive = new RetainedQueue(this, 'Redrive', {
      kmsKeyArn: settings.kmsKeyArn,
      visibilityTimeout: 6 * TIMEOUT_SECONDS,
      deadLetters: { queue: this.deadLetters, maxReceiveCount: 3 },
    });
    this.state = props.projection
      ? new RetainedTable(this, 'State', settings, {
          what: `the states of \`${name}\``,
          consequence: 'the group slows down',
        })
      : undefined;

    // With or without it is another mapping: the new one starts at the oldest record, and the group passes over what it has
    // settled.
    const fanOut = settings.enhancedFanOut
      ? new kinesis.CfnStreamConsumer(this, 'FanOut', { consumerName: name, streamArn: stream.arn })
      : undefined;

    const ownItems = { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': [`${name}/*`] } };
    const letters = [this.deadLetters, ...(props.sendsTo ?? [])].map((queue) => queue.arn);
    const statements: Statement[] = [
      {
        Effect: 'Allow',
        Action: ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes'],
        Resource: this.redrive.arn,
      },
      { Effect: 'Allow', Action: 'sqs:SendMessage', Resource: letters },
      {
        Effect: 'Allow',
        Action: ['dynamodb:UpdateItem', 'dynamodb:GetItem'],
        Resource: progress.arn,
        Condition: ownItems,
      },
      { Effect: 'Allow', Action: ['dynamodb:Query', 'dynamodb:PutItem'], Resource: window.arn, Condition: ownItems },
    ];
    if (fanOut) {
      const actions = ['kinesis:DescribeStreamConsumer', 'kinesis:SubscribeToShard'];
      statements.push({ Effect: 'Allow', Action: actions, Resource: fanOut.ref });
    }
    if (this.state) {
      const actions = ['dynamodb:BatchGetItem', 'dynamodb:PartiQLInsert', 'dynamodb:PartiQLUpdate'];
      statements.push({ Effect: 'Allow', Action: actions, Resource: this.state.arn });
    }
    const handler = new PenstockFunction(this, 'Function', surroundings, {
      binary: props.binary ?? name,
      policy: name,
      timeout: TIMEOUT_SECONDS,
      environment: withOwn(props.environment ?? {}, {
        PENSTOCK_GROUP: name,
        PENSTOCK_PROGRESS_TABLE: progress.tableName,
        PENSTOCK_WINDOW_TABLE: window.tableName,
        PENSTOCK_WINDOW_HORIZON_SECONDS: String(settings.windowHorizonSeconds),
        PENSTOCK_PATIENCE_SECONDS: String(settings.patienceSeconds),
        PENSTOCK_DEAD_LETTER_QUEUE_URL: this.deadLetters.url,
        PENSTOCK_FINGERPRINT_KEY: fingerprintKey(settings),
        ...(this.state && { PENSTOCK_STATE_TABLE: this.state.tableName }),
      }),
      statements: [...statements, ...(props.statements ?? [])],
      managedPolicies: [surroundings.access],
    });
    this.functionName = handler.functionName;

    new lambda.CfnEventSourceMapping(this, 'Stream', {
      eventSourceArn: fanOut?.ref ?? stream.arn,
      functionName: this.functionName,
      // With LATEST, events that arrive while the mapping is being made are never seen.
      startingPosition: 'TRIM_HORIZON',
      batchSize: settings.batchSize,
      // Lambda asks each shard about once a second anyway; a longer wait would only add to the lag.
      maximumBatchingWindowInSeconds: 0,
      // Two runs side by side on one shard would each move the group's one position past what the other still has to do.
      // Keys are worked on side by side inside the function.
      parallelizationFactor: 1,
      // Without it a failure brings the whole batch again, and the answer's sequence number says nothing.
      functionResponseTypes: ['ReportBatchItemFailures'],
      // A batch that shrinks with each failure ends as one record, and one record that fails says nothing about whether
      // what is downstream is gone or the record is bad. The function finds an event that kills it by itself.
      bisectBatchOnFunctionError: false,
      // For ever: the limit is the age. A small number of attempts would discard events in any longer outage.
      maximumRetryAttempts: -1,
      maximumRecordAgeInSeconds: giveUpAge(settings),
      destinationConfig: { onFailure: { destination: giveUps.notices.arn } },
    });
    // What was sent back from the dead letters. Two at a time at most: the stream has the right of way.
    new lambda.CfnEventSourceMapping(this, 'SentBack', {
      eventSourceArn: this.redrive.arn,
      functionName: this.functionName,
      batchSize: 10,
      functionResponseTypes: ['ReportBatchItemFailures'],
      scalingConfig: { maximumConcurrency: 2 },
    });

    handler.alarm('IteratorAgeAlarm', 'IteratorAge', 'Maximum', {
      description:
        `\`${name}\` is given events more than LagAlarmMilliseconds after they arrived, for 5 minutes. First: look for ` +
        'errors of the function, then for a shard that alone is late. docs/runbook/iterator-age.md',
      threshold: settings.lagAlarmMilliseconds,
      minutes: 5,
    });
    const lag = { namespace: METRICS_NAMESPACE, metricName: 'consumer_lag_ms', dimensions: { Group: name } };
    alarm(this, 'LagAlarm', settings, { ...lag, statistic: 'Maximum' }, {
      description:
        `Runs of \`${name}\` succeed and still leave events unsettled that arrived more than LagAlarmMilliseconds ago, ` +
        'for 5 minutes. First: read what its log says of the oldest position. docs/runbook/lag.md',
      threshold: settings.lagAlarmMilliseconds,
      minutes: 5,
    });
    handler.watch({
      errors: {
        description:
          `Runs of \`${name}\` fail as a whole: its shards stand still or are handled again. First: read its log ` +
          'group for `error`. docs/runbook/function-errors.md',
        ...LASTING,
      },
      throttles: {
        description:
          `Lambda does not start \`${name}\`: its shards stand still. First: compare the account's concurrency with ` +
          'its limit. docs/runbook/function-throttles.md',
        ...LASTING,
      },
      duration: {
        description:
          `Runs of \`${name}\` come within two seconds of their time-out, past which Lambda kills them; a run stops by ` +
          'itself four seconds before it. First: see took_ms in its `batch` lines. docs/runbook/function-duration.md',
        threshold: 58_000,
        ...LASTING,
      },
    });
    alarm(this.deadLetters, 'Alarm', settings, this.deadLetters.metric('ApproximateNumberOfMessagesVisible'), {
      description:
        `\`${name}\` has given events up: they wait in its dead letters. First: \`penstock dlq list --group ${name}\`. ` +
        'docs/runbook/dead-letters.md',
      threshold: 0,
    });
    alarm(this.redrive, 'AgeAlarm', settings, this.redrive.metric('ApproximateAgeOfOldestMessage'), {
      description:
        `Dead letters that were sent back to \`${name}\` were not settled at the first try, or were not tried. After ` +
        'three tries of six minutes they are dead letters again. First: see whether the function runs, then why it ' +
        'leaves them. docs/runbook/redrive-age.md',
      threshold: 400,
    });
  }
}

/** What the group is given, and its handler's own variables beside it: none of them can replace what settling relies on. */
function withOwn(own: Readonly<Record<string, string>>, given: Readonly<Record<string, string>>) {
  const taken = Object.keys(own).filter((name) => name in given || name === 'PENSTOCK_STREAM');
  if (taken.length > 0) {
    throw new Error(`environment: ${taken.join(', ')} is set by the pipeline`);
  }
  return { ...own, ...given };
}

// The stream that every event is written to.

import { aws_kinesis as kinesis } from 'aws-cdk-lib';
import { Construct } from 'constructs';

import { alarm, LASTING } from './alarms.ts';
import type { Settings } from './props.ts';
import { retain } from './retain.ts';

/** The stream: encrypted, retained when the stack goes, and watched for refused writes. */
export class EventStream extends Construct {
  readonly streamName: string;
  readonly arn: string;

  constructor(scope: Construct, id: string, settings: Settings) {
    super(scope, id);
    const stream = new kinesis.CfnStream(this, 'Resource', {
      streamModeDetails: { streamMode: settings.streamMode },
      // An ON_DEMAND stream that names a shard count is refused.
      ...(settings.streamMode === 'PROVISIONED' && { shardCount: settings.shardCount }),
      retentionPeriodHours: settings.retentionHours,
      // With the key that AWS manages, producers and consumers in this account need no KMS permission; a key of one's own has
      // to stand in every role.
      streamEncryption: { encryptionType: 'KMS', keyId: settings.kmsKeyArn || 'alias/aws/kinesis' },
    });
    retain(stream);
    this.streamName = stream.ref;
    this.arn = stream.attrArn;
    const dimensions = { StreamName: this.streamName };
    const metricName = 'WriteProvisionedThroughputExceeded';
    alarm(this, 'WriteThrottledAlarm', settings, { namespace: 'AWS/Kinesis', metricName, dimensions, statistic: 'Sum' }, {
      description:
        'The stream refuses records because a shard has its 1 MB or 1,000 records a second. First: see whether ' +
        'one key or all of them, then add shards. docs/runbook/write-throttled.md',
      threshold: 0,
      ...LASTING,
    });
  }
}

// Tables: the two that all consumer groups share, the schemas, and the states of projections.

import { aws_dynamodb as dynamodb } from 'aws-cdk-lib';
import { Construct } from 'constructs';

import { alarm, LASTING } from './alarms.ts';
import type { Settings } from './props.ts';
import { retain } from './retain.ts';

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
      sseSpecification: {
        sseEnabled: true,
        ...(settings.kmsKeyArn !== '' && { sseType: 'KMS', kmsMasterKeyId: settings.kmsKeyArn }),
      },
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

/** One item a group and shard: where it is, and the fence that keeps older runs out. */
export function progressTable(scope: Construct, settings: Settings): RetainedTable {
  return new RetainedTable(scope, 'Progress', settings, {
    what: 'the progress table',
    consequence: 'every group slows down',
  });
}

/** Fingerprints of what each group settled lately. */
export function windowTable(scope: Construct, settings: Settings): RetainedTable {
  return new RetainedTable(scope, 'Window', settings, {
    sortKey: 'sk',
    expiresBy: 'expires_at',
    what: 'the window table',
    consequence: 'groups slow down, or runs fail when they record',
  });
}

/** Published schemas, an item a version, and one that says which there are. Whoever publishes adds to it. */
export function schemasTable(scope: Construct, settings: Settings): RetainedTable {
  return new RetainedTable(scope, 'Schemas', settings, {
    sortKey: 'sk',
    what: 'the schema table',
    consequence: 'new versions reach `ingest` late',
  });
}

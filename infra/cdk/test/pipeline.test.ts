// What the constructs refuse, and what they do with groups that the app does not have.

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';

import { App, CfnParameter, Stack } from 'aws-cdk-lib';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';

import { EventPipeline, type EventPipelineProps } from '../lib/index.ts';

/** A folder in which nothing is built. */
const NOTHING = mkdtempSync(join(tmpdir(), 'penstock-'));

function pipeline(props: object = {}): EventPipeline {
  const stack = new Stack(new App(), 'penstock');
  return new EventPipeline(stack, 'Pipeline', { functions: NOTHING, ...props } as EventPipelineProps);
}

function synthesized(made: EventPipeline): Template {
  return Template.fromStack(Stack.of(made));
}

suite('settings', () => {
  for (const [props, message] of [
    [{ shardCount: 0 }, 'shardCount: 0 is not a whole number of at least 1'],
    [{ shardCount: 1.5 }, 'shardCount: 1.5 is not a whole number of at least 1'],
    [{ retentionHours: 25 }, 'retentionHours: 25 is not one of 24, 48, 72, 168, 720, 8760'],
    [{ architecture: 'arm' }, 'architecture: "arm" is not one of arm64, x86_64'],
    [{ logShare: 2 }, 'logShare: 2 is not a number from 0 to 1'],
    [{ streamMode: 'BOTH' }, 'streamMode: "BOTH" is not one of PROVISIONED, ON_DEMAND'],
    [{ undeclaredTypes: 'ignore' }, 'undeclaredTypes: "ignore" is not one of pass, reject'],
    [{ logRetentionDays: 2 }, 'logRetentionDays: 2 is not one of 1, 3, 5, 7, 14, 30, 60, 90, 180, 365'],
    [{ tableDeletionProtection: 'false' }, 'tableDeletionProtection: "false" is not one of true, false'],
    [{ alarmTopicArn: 7 }, 'alarmTopicArn: 7 is not a string'],
    [{ batchSize: '500' }, 'batchSize: "500" is not a whole number from 1 to 10000'],
    [
      { putSeconds: 29, batchSize: 0 },
      'batchSize: 0 is not a whole number from 1 to 10000\nputSeconds: 29 is not a whole number from 1 to 28',
    ],
    [{ giveUpAfterSeconds: 72_001 }, 'giveUpAfterSeconds: 72001 is not a whole number from 0 to 72000'],
    [{ kmsKeyArn: 'alias/shop' }, /^kmsKeyArn: "alias\/shop" is not text of the form/],
    [{ giveUpAfterSeconds: 59 }, 'giveUpAfterSeconds: 59 is neither 0 nor at least 60'],
  ] as const) {
    test(`${JSON.stringify(props)} is refused`, () => {
      assert.throws(() => pipeline(props), { message });
    });
  }

  test('a number that only a deployment knows is refused, and the ARN of a topic is not', () => {
    const stack = new Stack(new App(), 'penstock');
    const batchSize = new CfnParameter(stack, 'BatchSize', { type: 'Number' }).valueAsNumber;
    assert.throws(() => pipeline({ batchSize }), {
      message:
        'batchSize: a value that only a deployment knows cannot be checked; it has to be a whole number from 1 to 10000',
    });
    const alarmTopicArn = new CfnParameter(stack, 'Topic').valueAsString;
    const fingerprintKey = new CfnParameter(stack, 'Key', { noEcho: true }).valueAsString;
    const made = new EventPipeline(stack, 'Pipeline', { alarmTopicArn, fingerprintKey, functions: NOTHING });
    made.addConsumerGroup('receipts');
    synthesized(made).allResourcesProperties('AWS::CloudWatch::Alarm', {
      AlarmActions: [{ Ref: 'Topic' }],
      OKActions: [{ Ref: 'Topic' }],
    });
    synthesized(made).hasResourceProperties('AWS::Lambda::Function', {
      Environment: { Variables: Match.objectLike({ PENSTOCK_FINGERPRINT_KEY: { Ref: 'Key' } }) },
    });
  });

  test('a share may be a fraction, and the ends of a range are in it', () => {
    pipeline({ logShare: 0, traceShare: 0.5, putSeconds: 28, retentionHours: 8760, giveUpAfterSeconds: 72_000 });
    pipeline({ giveUpAfterSeconds: 60 });
  });
});

test('a key of one\'s own may be one that the same app makes', () => {
  const stack = new Stack(new App(), 'penstock');
  const kmsKeyArn = new CfnParameter(stack, 'Key').valueAsString;
  const made = new EventPipeline(stack, 'Pipeline', { kmsKeyArn, functions: NOTHING });
  made.addConsumerGroup('receipts');
  synthesized(made).allResourcesProperties('AWS::SQS::Queue', { KmsMasterKeyId: { Ref: 'Key' } });
  synthesized(made).allResourcesProperties('AWS::SQS::Queue', { SqsManagedSseEnabled: Match.absent() });
});

suite('groups', () => {
  for (const name of ['', 'Order', 'order_status', 'order status', 'a'.repeat(41)]) {
    test(`${JSON.stringify(name)} is no name`, () => {
      assert.throws(() => pipeline().addConsumerGroup(name), {
        message: `name: ${JSON.stringify(name)} is not 1 to 40 lower-case letters, digits and hyphens`,
      });
    });
  }

  test('two of one name are refused', () => {
    const made = pipeline();
    made.addConsumerGroup('receipts');
    assert.throws(() => made.addConsumerGroup('receipts'), /"receipts" is a group of this pipeline already/);
  });

  test('two whose outputs would have one name are refused', () => {
    const made = pipeline();
    made.addConsumerGroup('order-2');
    assert.throws(() => made.addConsumerGroup('order2'), { message: 'name: "order2" and "order-2" would both be called Order2' });
  });

  test('names that differ in a hyphen alone stay apart', () => {
    const made = pipeline();
    made.addConsumerGroup('order-status');
    made.addConsumerGroup('orderstatus');
    synthesized(made).resourceCountIs('AWS::Lambda::Function', 4);
  });

  test('a pipeline without one is refused', () => {
    assert.throws(() => synthesized(pipeline()), /it has no consumer group: call addConsumerGroup/);
  });

  test('outputs tell of the pipeline and of every group, and its dead letters let recover in', () => {
    const made = pipeline();
    const names = ['one', 'two-more', 'three'];
    const groups = names.map((name) => made.addConsumerGroup(name, { projection: name === 'three' }));
    const stack = Stack.of(made);
    const template = synthesized(made).toJSON();
    const { stream, progress, window, schemas, giveUps } = made;
    assert.equal(template.Outputs.FormatVersion.Value, '1');
    assert.deepEqual(template.Outputs.StreamName.Value, stack.resolve(stream.streamName));
    assert.deepEqual(template.Outputs.ProgressTable.Value, stack.resolve(progress.tableName));
    assert.deepEqual(template.Outputs.WindowTable.Value, stack.resolve(window.tableName));
    assert.deepEqual(template.Outputs.SchemasTable.Value, stack.resolve(schemas.tableName));
    assert.deepEqual(template.Outputs.GiveUpsQueueUrl.Value, stack.resolve(giveUps.notices.url));
    assert.deepEqual(template.Outputs.FailedGiveUpsQueueUrl.Value, stack.resolve(giveUps.failed.url));
    for (const [n, id] of ['OneGroup', 'TwoMoreGroup', 'ThreeGroup'].entries()) {
      const { groupName, functionName, deadLetters, redrive, state } = groups[n]!;
      const told = { group: groupName, function: functionName, deadLetters: deadLetters.url, redrive: redrive.url };
      const written = JSON.stringify({ ...told, ...(state && { states: state.tableName }) });
      assert.deepEqual(template.Outputs[id].Value, stack.resolve(written));
      const allowed = { AWS: stack.resolve(made.giveUps.roleArn) };
      synthesized(made).hasResourceProperties('AWS::SQS::QueuePolicy', {
        Queues: [stack.resolve(deadLetters.url)],
        PolicyDocument: Match.objectLike({
          Statement: Match.arrayWith([Match.objectLike({ Effect: 'Allow', Principal: allowed, Action: 'sqs:SendMessage' })]),
        }),
      });
    }
  });

  test('a projection has a table of its own, and another group has none', () => {
    const made = pipeline();
    assert.equal(made.addConsumerGroup('handler').state, undefined);
    const { state } = made.addConsumerGroup('projection', { projection: true });
    synthesized(made).resourceCountIs('AWS::DynamoDB::Table', 4);
    synthesized(made).hasResourceProperties('AWS::Lambda::Function', {
      Environment: {
        Variables: Match.objectLike({
          PENSTOCK_GROUP: 'projection',
          PENSTOCK_STATE_TABLE: Stack.of(made).resolve(state?.tableName),
        }),
      },
    });
  });

  test('its own variables cannot replace those of the protocol', () => {
    const made = pipeline();
    assert.throws(
      () => made.addConsumerGroup('receipts', { environment: { PENSTOCK_GROUP: 'other' } }),
      /environment: PENSTOCK_GROUP is set by the pipeline/,
    );
  });
});

test('a stack has one pipeline', () => {
  const made = pipeline();
  assert.throws(() => new EventPipeline(Stack.of(made), 'Second'), /its stack has the pipeline penstock\/Pipeline already/);
});

suite('code', () => {
  test('a function that is not built is a stub: it warns, and CloudFormation refuses the template', () => {
    const made = pipeline();
    made.addConsumerGroup('receipts');
    const warnings = Annotations.fromStack(Stack.of(made)).findWarning('*', Match.stringLikeRegexp('cannot be deployed'));
    assert.equal(warnings.length, 3);
    assert.ok(synthesized(made).toJSON().Rules.FunctionsAreBuilt);
  });

  test('functions that are built are taken as they are', () => {
    const functions = mkdtempSync(join(tmpdir(), 'penstock-'));
    for (const binary of ['ingest', 'recover', 'receipts']) {
      mkdirSync(join(functions, binary));
      writeFileSync(join(functions, binary, 'bootstrap'), binary);
      chmodSync(join(functions, binary, 'bootstrap'), 0o755);
    }
    const made = pipeline({ functions });
    made.addConsumerGroup('receipts');
    const template = synthesized(made).toJSON();
    assert.equal(template.Rules?.FunctionsAreBuilt, undefined);
    const keys = Object.values<any>(template.Resources)
      .filter((resource) => resource.Type === 'AWS::Lambda::Function')
      .map((resource) => resource.Properties.Code.S3Key);
    assert.equal(new Set(keys).size, 3);
  });
});

// A pipeline: from a request with events to the tables of the groups that read them.

import { aws_iam as iam, CfnOutput, Stack } from 'aws-cdk-lib';
import { Construct } from 'constructs';

import { ConsumerGroup, type ConsumerGroupProps } from './consumer-group.ts';
import { dashboard } from './dashboard.ts';
import { Edge } from './edge.ts';
import { keyAccess, type Surroundings } from './function.ts';
import { GiveUps } from './give-ups.ts';
import { groupName, logicalName, type PipelineSettings, type Settings, settled } from './props.ts';
import { EventStream } from './stream.ts';
import { progressTable, type RetainedTable, schemasTable, windowTable } from './tables.ts';

/** What `recover` and the `penstock` commands expect of the stack's outputs. */
const FORMAT_VERSION = '1';

/** A pipeline's settings, and where its functions are. */
export interface EventPipelineProps extends PipelineSettings {
  /**
   * The folder that has a folder for each built function. Unless given: the context `functions`, the environment's
   * `PENSTOCK_FUNCTIONS`, or `target/lambda` of this repository.
   */
  readonly functions?: string;
}

/**
 * The edge, the stream, the schemas, the tables that groups share, what is given up and `recover`, the dashboard, and the alarms on all of
 * it. Groups are added with `addConsumerGroup`; a pipeline without one is refused at synthesis.
 *
 * One pipeline a stack: its metrics and its dashboard have the stack's name.
 */
export class EventPipeline extends Construct {
  readonly edge: Edge;
  readonly stream: EventStream;
  /** Published schemas. */
  readonly schemas: RetainedTable;
  /** One item a group and shard. */
  readonly progress: RetainedTable;
  /** What each group settled lately. */
  readonly window: RetainedTable;
  readonly giveUps: GiveUps;
  /** The key that encrypts it, for queues of one's own; empty if AWS manages the keys. */
  readonly kmsKeyArn: string;
  readonly #groups: ConsumerGroup[] = [];
  readonly #surroundings: Surroundings;
  readonly #access: iam.CfnManagedPolicy;

  constructor(scope: Construct, id: string, props: EventPipelineProps = {}) {
    super(scope, id);
    const others = Stack.of(this).node.findAll().filter((other) => other instanceof EventPipeline && other !== this);
    if (others.length > 0) {
      throw new Error(`${this.node.path}: its stack has the pipeline ${others[0]?.node.path} already`);
    }
    const { functions, ...given } = props;
    const settings = settled(given);
    this.kmsKeyArn = settings.kmsKeyArn;
    this.stream = new EventStream(this, 'Events', settings);
    this.#surroundings = { settings, stream: this.stream, functions };
    this.schemas = schemasTable(this, settings);
    this.edge = new Edge(this, 'Edge', this.#surroundings, this.schemas);
    this.progress = progressTable(this, settings);
    this.window = windowTable(this, settings);
    this.giveUps = new GiveUps(this, 'Recovery', this.#surroundings, this);
    this.#access = consumerAccess(this, settings, this.stream, this.giveUps);
    dashboard(this, settings, this.stream, this.giveUps);
    this.#tell();
    this.node.addValidation({
      validate: () => (this.#groups.length > 0 ? [] : ['it has no consumer group: call addConsumerGroup']),
    });
  }

  /**
   * Adds the consumer group `name`: lower-case letters, digits and hyphens, at most 40 of them. An output of the stack tells
   * `recover` and the `penstock` commands of it.
   *
   * @throws Error if the name is none, or taken.
   */
  addConsumerGroup(name: string, props: ConsumerGroupProps = {}): ConsumerGroup {
    const taken = this.#groups.map((group) => group.groupName);
    const surroundings = {
      ...this.#surroundings,
      progress: this.progress,
      window: this.window,
      giveUps: this.giveUps,
      access: this.#access.ref,
    };
    const group = new ConsumerGroup(this, groupName(name, taken), surroundings, props);
    this.#groups.push(group);
    output(group, `${logicalName(name)}Group`, registered(group));
    return group;
  }

  /** The outputs that `recover` and the `penstock` commands find the pipeline by. */
  #tell(): void {
    output(this, 'FormatVersion', FORMAT_VERSION, 'What `recover` and the `penstock` commands expect of the other outputs.');
    output(this, 'StreamName', this.stream.streamName);
    output(this, 'ProgressTable', this.progress.tableName);
    output(this, 'WindowTable', this.window.tableName);
    output(this, 'SchemasTable', this.schemas.tableName, 'Where `penstock schema publish` adds versions.');
    output(this, 'GiveUpsQueueUrl', this.giveUps.notices.url);
    output(
      this,
      'FailedGiveUpsQueueUrl',
      this.giveUps.failed.url,
      'Notices of given-up records that could not be recovered. Empty, unless something has to be mended.',
    );
  }
}

/** What `recover` and the `penstock` commands read of a group. */
function registered({ groupName: group, functionName, deadLetters, redrive, state }: ConsumerGroup): string {
  return JSON.stringify({
    group,
    function: functionName,
    deadLetters: deadLetters.url,
    redrive: redrive.url,
    ...(state && { states: state.tableName }),
  });
}

/** An output of the stack under exactly the name `id`, by which others look it up. */
function output(scope: Construct, id: string, value: string, description?: string): void {
  new CfnOutput(scope, id, { value, ...(description !== undefined && { description }) }).overrideLogicalId(id);
}

/**
 * What a group needs whatever its work is. Its own role adds its progress and its window, its dead-letter queue, its log
 * group and its work.
 */
function consumerAccess(scope: Construct, settings: Settings, stream: EventStream, giveUps: GiveUps): iam.CfnManagedPolicy {
  return new iam.CfnManagedPolicy(scope, 'ConsumerAccess', {
    description: 'Read the stream, and say what was given up.',
    policyDocument: {
      Version: '2012-10-17',
      Statement: [
        // The mapping reads with the function's role. AWS's managed policy allows ListStreams as well, which exists for
        // all streams or none; a mapping that names its stream does without:
        // https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html
        {
          Effect: 'Allow',
          Action: [
            'kinesis:DescribeStream',
            'kinesis:DescribeStreamSummary',
            'kinesis:GetRecords',
            'kinesis:GetShardIterator',
            'kinesis:ListShards',
          ],
          Resource: stream.arn,
        },
        { Effect: 'Allow', Action: 'sqs:SendMessage', Resource: giveUps.notices.arn },
        // for the stream, the tables and the queues alike
        ...keyAccess(settings),
      ],
    },
  });
}

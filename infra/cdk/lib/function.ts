// A Lambda function of the pipeline, with its log group and a role that is written out.

import { Aws, aws_iam as iam, aws_lambda as lambda, aws_logs as logs } from 'aws-cdk-lib';
import { Construct } from 'constructs';

import { alarm, type Ringing } from './alarms.ts';
import { functionCode } from './code.ts';
import type { Settings } from './props.ts';
import type { EventStream } from './stream.ts';

/** CPU comes with memory, and a group keeps the windows of its shards: 8 bytes and some overhead for each event. */
const MEMORY_MB = 512;

/** Of this stack alone: two stacks of an account would otherwise count into the same metrics. */
export const METRICS_NAMESPACE = `Penstock/${Aws.STACK_NAME}`;

/** A statement of a policy, as IAM writes it. */
export interface Statement {
  readonly Effect: 'Allow';
  readonly Action: string | readonly string[];
  readonly Resource: string | readonly string[];
  readonly Condition?: Readonly<Record<string, unknown>>;
}

/** What every role needs once stream, tables and queues are encrypted with a key of one's own. */
export function keyAccess({ kmsKeyArn }: Settings): Statement[] {
  return kmsKeyArn === ''
    ? []
    : [{ Effect: 'Allow', Action: ['kms:Decrypt', 'kms:GenerateDataKey'], Resource: kmsKeyArn }];
}

/** What all functions of a pipeline share. */
export interface Surroundings {
  readonly settings: Settings;
  readonly stream: EventStream;
  /** The folder of the built functions, if one was named. */
  readonly functions: string | undefined;
}

/** One function. */
export interface PenstockFunctionProps {
  /** The folder below that of the built functions. */
  readonly binary: string;
  /** The name of its policy. */
  readonly policy: string;
  /** In seconds. */
  readonly timeout: number;
  /** Beside what every function is given. */
  readonly environment: Readonly<Record<string, string>>;
  /** What it may do beside writing its log. */
  readonly statements: readonly Statement[];
  readonly managedPolicies?: readonly string[];
  readonly reservedConcurrency?: number;
}

/** What is watched of a function, with what each alarm says. */
export interface FunctionAlarms {
  readonly errors: Omit<Ringing, 'threshold'>;
  readonly throttles: Omit<Ringing, 'threshold'>;
  /** Its threshold is in milliseconds. */
  readonly duration: Ringing;
}

/**
 * A function. Its role is written out: one that the CDK grants would carry AWS's managed policies, which allow their actions
 * on every stream and every log group of the account.
 */
export class PenstockFunction extends Construct {
  readonly functionName: string;
  readonly arn: string;
  readonly roleArn: string;
  readonly #settings: Settings;

  constructor(scope: Construct, id: string, { settings, stream, functions }: Surroundings, props: PenstockFunctionProps) {
    super(scope, id);
    this.#settings = settings;
    const log = new logs.CfnLogGroup(this, 'Logs', { retentionInDays: settings.logRetentionDays });
    const writesLog: Statement = {
      Effect: 'Allow',
      Action: ['logs:CreateLogStream', 'logs:PutLogEvents'],
      Resource: log.attrArn,
    };
    // The policy stands in the role: a mapping is refused if the role may not read yet, and a policy attached from a
    // resource of its own could come too late.
    const role = new iam.CfnRole(this, 'Role', {
      assumeRolePolicyDocument: {
        Version: '2012-10-17',
        Statement: [{ Effect: 'Allow', Principal: { Service: 'lambda.amazonaws.com' }, Action: 'sts:AssumeRole' }],
      },
      ...(props.managedPolicies && { managedPolicyArns: [...props.managedPolicies] }),
      policies: [
        {
          policyName: props.policy,
          policyDocument: {
            Version: '2012-10-17',
            Statement: [writesLog, ...props.statements],
          },
        },
      ],
    });
    const lambdaFunction = new lambda.CfnFunction(this, 'Resource', {
      code: functionCode(this, props.binary, settings.architecture, functions),
      handler: 'bootstrap',
      runtime: 'provided.al2023',
      architectures: [settings.architecture],
      memorySize: MEMORY_MB,
      timeout: props.timeout,
      role: role.attrArn,
      loggingConfig: { logFormat: 'JSON', logGroup: log.ref },
      environment: {
        variables: {
          PENSTOCK_LOG: settings.logLevel,
          PENSTOCK_LOG_SHARE: String(settings.logShare),
          OTEL_EXPORTER_OTLP_ENDPOINT: settings.otlpEndpoint,
          // By the trace's id alone: with `parentbased_` whoever may send could have every span of theirs collected.
          OTEL_TRACES_SAMPLER: 'traceidratio',
          OTEL_TRACES_SAMPLER_ARG: String(settings.traceShare),
          PENSTOCK_STREAM: stream.streamName,
          PENSTOCK_METRICS_NAMESPACE: METRICS_NAMESPACE,
          ...props.environment,
        },
      },
      ...(props.reservedConcurrency !== undefined && { reservedConcurrentExecutions: props.reservedConcurrency }),
    });
    this.functionName = lambdaFunction.ref;
    this.arn = lambdaFunction.attrArn;
    this.roleArn = role.attrArn;
  }

  /** Watches it: errors, throttles, and a duration that comes close to the time-out. */
  watch(alarms: FunctionAlarms): void {
    this.alarm('ErrorsAlarm', 'Errors', 'Sum', { ...alarms.errors, threshold: 0 });
    this.alarm('ThrottlesAlarm', 'Throttles', 'Sum', { ...alarms.throttles, threshold: 0 });
    this.alarm('DurationAlarm', 'Duration', 'Maximum', alarms.duration);
  }

  /** An alarm on one of Lambda's metrics of it. */
  alarm(id: string, metricName: string, statistic: 'Sum' | 'Maximum', ringing: Ringing): void {
    const dimensions = { FunctionName: this.functionName };
    alarm(this, id, this.#settings, { namespace: 'AWS/Lambda', metricName, dimensions, statistic }, ringing);
  }
}

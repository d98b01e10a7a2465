// The settings of a pipeline: those of `template.yaml`, with its defaults and its ranges.
//
// `tests/infra/test_cdk.py` compares this table with the template's parameters.

import { Token } from 'aws-cdk-lib';

/**
 * What can be set of a pipeline. All of it has a default; what is out of its range is refused at synthesis. Free texts may be
 * tokens, such as the ARN of a topic that the same app makes; whatever has a range may not.
 */
export interface PipelineSettings {
  /** What the functions run on: they have to be built for it. */
  readonly architecture?: 'arm64' | 'x86_64';
  /** `PROVISIONED` is cheaper under a steady load; `ON_DEMAND` adds shards by itself. */
  readonly streamMode?: 'PROVISIONED' | 'ON_DEMAND';
  /** Shards of a `PROVISIONED` stream. One takes 1 MB or 1,000 records a second. */
  readonly shardCount?: number;
  /**
   * How long an event can be read again from the stream, in hours. A group's mapping gives a record up four hours before, and
   * after seven days at the latest.
   */
  readonly retentionHours?: 24 | 48 | 72 | 168 | 720 | 8760;
  /**
   * An earlier age in seconds at which a group's mapping gives a record up, of 60 at least; 0 takes the one that belongs to
   * `retentionHours`.
   */
  readonly giveUpAfterSeconds?: number;
  /**
   * Whether each group has 2 MB a second of every shard for itself. Without it all groups share them, and five reads a second:
   * `docs/architecture.md` says how many groups that is enough for. It is paid by the shard's hour and by what is read.
   */
  readonly enhancedFanOut?: boolean;
  /** Records that a group is given at a time, at most. */
  readonly batchSize?: number;
  /** How long an event that is sent again is recognised as a duplicate, in seconds. */
  readonly windowHorizonSeconds?: number;
  /**
   * How long an event whose handler asks for retries is tried again before it is dead-lettered, from its first failure, and
   * three times at least, in seconds. What arrives on its shard behind its batch waits for as long.
   */
  readonly patienceSeconds?: number;
  /**
   * What names of events are fingerprinted with; empty takes the stack's id. A stack that takes over the tables of another
   * has to be given that one's key, or it knows no duplicate of what was settled there. A plain string is readable in the
   * template: pass a `CfnParameter` with `noEcho`, or a dynamic reference.
   */
  readonly fingerprintKey?: string;
  /** Requests that the API takes in a second; more are told 429 before they reach a function. */
  readonly requestsPerSecond?: number;
  /** Requests that it takes at once. */
  readonly requestsBurst?: number;
  /**
   * Concurrent executions that are kept for `ingest`, and that it never exceeds; 0 leaves it to share those of the account.
   * Lambda leaves 100 to all functions without a number: a new account, which has 10, cannot reserve any.
   */
  readonly ingestConcurrency?: number;
  /** How long a request waits for a stream that throttles, before its sender is told to come again, in seconds. */
  readonly putSeconds?: number;
  /**
   * Whether events of a type that has no published schema pass unchecked or are rejected. What becomes of an unpublished
   * version of a type that has some is for the type's policy to say.
   */
  readonly undeclaredTypes?: 'pass' | 'reject';
  /**
   * The ARN of a KMS key of your own for the stream, the tables and the queues; empty takes keys that AWS manages. The key's
   * policy has to leave its use to the account's IAM policies, as the default policy of a key does.
   */
  readonly kmsKeyArn?: string;
  /**
   * Whether tables refuse to be deleted. Say true once they hold what you would miss: a first deployment that fails cannot
   * be cleaned up if its tables refuse to go.
   */
  readonly tableDeletionProtection?: boolean;
  /** The least severe lines that functions log. */
  readonly logLevel?: 'error' | 'warn' | 'info' | 'debug' | 'trace';
  /** The share of events that the log names although all went well with them. Whatever did not is always named. */
  readonly logShare?: number;
  /** An OpenTelemetry collector that takes OTLP over HTTP, such as http://localhost:4318; empty sends no spans. */
  readonly otlpEndpoint?: string;
  /** The share of traces whose spans are sent. */
  readonly traceShare?: number;
  /** How long logs are kept, in days. */
  readonly logRetentionDays?: 1 | 3 | 5 | 7 | 14 | 30 | 60 | 90 | 180 | 365;
  /** The SNS topic that alarms are sent to; without one they are only seen in CloudWatch. */
  readonly alarmTopicArn?: string;
  /** A group whose oldest unsettled event is older than this for 5 minutes rings. */
  readonly lagAlarmMilliseconds?: number;
}

/** Every setting, with the default where none was given. */
export type Settings = Required<PipelineSettings>;

/** The default of a setting, and what it may be. Numbers are whole unless they are a share. */
export interface Range {
  readonly default: string | number | boolean;
  readonly min?: number;
  readonly max?: number;
  readonly share?: true;
  readonly allowed?: readonly (string | number | boolean)[];
  readonly pattern?: RegExp;
}

/** The range of every setting. */
export const RANGES: Readonly<Record<keyof PipelineSettings, Range>> = {
  architecture: { default: 'arm64', allowed: ['arm64', 'x86_64'] },
  streamMode: { default: 'PROVISIONED', allowed: ['PROVISIONED', 'ON_DEMAND'] },
  shardCount: { default: 2, min: 1 },
  retentionHours: { default: 24, allowed: [24, 48, 72, 168, 720, 8760] },
  giveUpAfterSeconds: { default: 0, min: 0, max: 72_000 },
  enhancedFanOut: { default: false, allowed: [true, false] },
  batchSize: { default: 500, min: 1, max: 10_000 },
  windowHorizonSeconds: { default: 900, min: 60, max: 86_400 },
  patienceSeconds: { default: 60, min: 0, max: 3600 },
  fingerprintKey: { default: '' },
  requestsPerSecond: { default: 500, min: 1, max: 100_000 },
  requestsBurst: { default: 1000, min: 1, max: 100_000 },
  ingestConcurrency: { default: 0, min: 0, max: 10_000 },
  putSeconds: { default: 5, min: 1, max: 28 },
  undeclaredTypes: { default: 'pass', allowed: ['pass', 'reject'] },
  // An alias would do for the stream and be denied in every role.
  kmsKeyArn: { default: '', pattern: /^(|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key\/[A-Za-z0-9-]+)$/ },
  tableDeletionProtection: { default: false, allowed: [true, false] },
  logLevel: { default: 'info', allowed: ['error', 'warn', 'info', 'debug', 'trace'] },
  logShare: { default: 0.001, min: 0, max: 1, share: true },
  otlpEndpoint: { default: '' },
  traceShare: { default: 1, min: 0, max: 1, share: true },
  logRetentionDays: { default: 30, allowed: [1, 3, 5, 7, 14, 30, 60, 90, 180, 365] },
  alarmTopicArn: { default: '' },
  lagAlarmMilliseconds: { default: 60_000, min: 1000, max: 604_800_000 },
};

/** Between a mapping's giving up and the stream's forgetting, `recover` has to be able to read the records back. */
const RECOVERY_HOURS = 4;

/** The ages that Lambda takes: https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html */
const RECORD_AGE = { min: 60, max: 604_800 };

/** The age in seconds at which a group's mapping gives a record up. */
export function giveUpAge({ giveUpAfterSeconds, retentionHours }: Pick<Settings, 'giveUpAfterSeconds' | 'retentionHours'>): number {
  return giveUpAfterSeconds || Math.min((retentionHours - RECOVERY_HOURS) * 3600, RECORD_AGE.max);
}

/** Names of consumer groups. */
const GROUP_NAME = /^[a-z0-9-]{1,40}$/;

/**
 * `given`, with the default for whatever is not there.
 *
 * @throws Error with a line for each setting that is out of its range.
 */
export function settled(given: PipelineSettings): Settings {
  const settings: Record<string, unknown> = {};
  const faults: string[] = [];
  for (const [name, range] of Object.entries(RANGES)) {
    const value: unknown = given[name as keyof PipelineSettings] ?? range.default;
    settings[name] = value;
    if (!Token.isUnresolved(value)) {
      if (!inside(value, range)) {
        faults.push(`${name}: ${JSON.stringify(value)} is not ${described(range)}`);
      }
    } else if (range.allowed !== undefined || typeof range.default !== 'string') {
      faults.push(`${name}: a value that only a deployment knows cannot be checked; it has to be ${described(range)}`);
    }
  }
  if (faults.length === 0 && giveUpAge(settings as Settings) < RECORD_AGE.min) {
    faults.push(`giveUpAfterSeconds: ${settings['giveUpAfterSeconds']} is neither 0 nor at least ${RECORD_AGE.min}`);
  }
  if (faults.length > 0) {
    throw new Error(faults.join('\n'));
  }
  return settings as unknown as Settings;
}

/**
 * `name`, if it can be that of a consumer group beside those that are `taken`.
 *
 * @throws Error that says what a name may be.
 */
export function groupName(name: string, taken: readonly string[]): string {
  if (!GROUP_NAME.test(name)) {
    throw new Error(`name: ${JSON.stringify(name)} is not 1 to 40 lower-case letters, digits and hyphens`);
  }
  if (taken.includes(name)) {
    throw new Error(`name: ${JSON.stringify(name)} is a group of this pipeline already; its positions would be shared`);
  }
  const alike = taken.find((other) => logicalName(other) === logicalName(name));
  if (alike !== undefined) {
    throw new Error(`name: ${JSON.stringify(name)} and ${JSON.stringify(alike)} would both be called ${logicalName(name)}`);
  }
  return name;
}

/** The name of a group in a template: `OrderStatus` for `order-status`. */
export function logicalName(name: string): string {
  return name.replace(/(?:^|-)+([a-z0-9])?/g, (_, first: string | undefined) => (first ?? '').toUpperCase());
}

function inside(value: unknown, range: Range): boolean {
  if (range.allowed) {
    return range.allowed.includes(value as string);
  }
  if (typeof range.default !== 'number') {
    return typeof value === typeof range.default && (range.pattern?.test(String(value)) ?? true);
  }
  return (
    typeof value === 'number' &&
    (range.share ? Number.isFinite(value) : Number.isSafeInteger(value)) &&
    value >= (range.min ?? -Infinity) &&
    value <= (range.max ?? Infinity)
  );
}

function described({ default: value, min, max, share, allowed, pattern }: Range): string {
  if (allowed) {
    return `one of ${allowed.join(', ')}`;
  }
  if (typeof value !== 'number') {
    return pattern ? `text of the form ${pattern.source}` : `a ${typeof value}`;
  }
  const kind = share ? 'a number' : 'a whole number';
  return max === undefined ? `${kind} of at least ${min}` : `${kind} from ${min} to ${max}`;
}

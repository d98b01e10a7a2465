// The built functions, or a stub where they are not built.

import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { Annotations, aws_s3_assets as assets, CfnRule, Fn, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';

import type { Settings } from './props.ts';

const HERE = import.meta.dirname;

/** Where `cargo lambda build` puts the functions of this repository. */
const BUILT = join(HERE, '../../../target/lambda');
const STUB = join(HERE, '../stub');

/**
 * The code of a function: the folder `<functions>/<binary>`, with the `bootstrap` that `cargo lambda build` puts there.
 *
 * Without it, a stub that makes a template possible: with a warning, and with a rule in the template by which
 * CloudFormation refuses to deploy it.
 *
 * @param architecture What it was built for; nobody checks.
 * @param functions Unless given: the context `functions`, the environment's `PENSTOCK_FUNCTIONS`, or `target/lambda`.
 */
export function functionCode(scope: Construct, binary: string, architecture: Settings['architecture'], functions?: string) {
  const folder: string =
    functions ?? scope.node.tryGetContext('functions') ?? process.env['PENSTOCK_FUNCTIONS'] ?? BUILT;
  const built = existsSync(join(folder, binary, 'bootstrap'));
  if (!built) {
    Annotations.of(scope).addWarningV2(
      'penstock:not-built',
      `${join(folder, binary, 'bootstrap')} is not there: a stub takes its place, and this template cannot be deployed. ` +
        `Build the functions first: cargo lambda build --release --${architecture.replace('_', '-')}`,
    );
    refuseToDeploy(Stack.of(scope));
  }
  const { s3BucketName, s3ObjectKey } = new assets.Asset(scope, 'Code', { path: built ? join(folder, binary) : STUB });
  return { s3Bucket: s3BucketName, s3Key: s3ObjectKey };
}

/** A rule that never holds: CloudFormation asks it before it touches anything. */
function refuseToDeploy(stack: Stack): void {
  const id = 'FunctionsAreBuilt';
  if (stack.node.tryFindChild(id) === undefined) {
    new CfnRule(stack, id, {
      assertions: [
        {
          assert: Fn.conditionEquals('stub', 'built'),
          assertDescription: 'A function of this template is a stub. Build the functions, then synthesize again.',
        },
      ],
    });
  }
}

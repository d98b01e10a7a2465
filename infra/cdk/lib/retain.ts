// What holds data outlives its stack.

import { CfnDeletionPolicy, type CfnResource } from 'aws-cdk-lib';

/**
 * Keeps a resource when its stack is deleted or replaces it: what was acknowledged must not be deleted. A first deployment
 * that fails has no data, and cleans up.
 */
export function retain(resource: CfnResource): void {
  resource.cfnOptions.deletionPolicy = CfnDeletionPolicy.RETAIN_EXCEPT_ON_CREATE;
  resource.cfnOptions.updateReplacePolicy = CfnDeletionPolicy.RETAIN;
}

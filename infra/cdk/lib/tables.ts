// The tables that all consumer groups share.

import { Construct } from 'constructs';

import type { Settings } from './props.ts';
import { RetainedTable } from './retained.ts';

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

// Settings that are given on the command line.

import type { Node } from 'constructs';

import { type PipelineSettings, RANGES } from '../lib/props.ts';

/**
 * The settings that the context has. The command line knows only texts, so one that ought to be a number or a truth value
 * becomes one; what does not is left for the pipeline to refuse.
 */
export function given(node: Node): PipelineSettings {
  const settings: Record<string, unknown> = {};
  for (const [name, range] of Object.entries(RANGES)) {
    const value: unknown = node.tryGetContext(name);
    if (value !== undefined) {
      settings[name] = typeof value === 'string' ? read(value, typeof range.default) : value;
    }
  }
  return settings;
}

function read(text: string, type: string): unknown {
  if (type === 'number' && text.trim() !== '' && Number.isFinite(Number(text))) {
    return Number(text);
  }
  if (type === 'boolean' && (text === 'true' || text === 'false')) {
    return text === 'true';
  }
  return text;
}

// Penstock as CDK constructs.

export { ConsumerGroup, type ConsumerGroupProps } from './consumer-group.ts';
export { DASHBOARD_NAME } from './dashboard.ts';
export { EventPipeline, type EventPipelineProps } from './pipeline.ts';
export type { Statement } from './function.ts';
export type { PipelineSettings } from './props.ts';
export { RetainedQueue } from './queue.ts';
export { RetainedTable } from './tables.ts';

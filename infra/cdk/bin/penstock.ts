// The app: one stack, the same as that of `template.yaml`.
//
// Settings come from the context, under their names: `npx cdk deploy --context retentionHours=48`.

import { App, Aws, CfnOutput, Stack, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';

import { DASHBOARD_NAME, EventPipeline, RetainedQueue } from '../lib/index.ts';
import { given } from './context.ts';

const app = new App();
// A finding ends the synthesis, unless it is acknowledged with a reason.
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
const stack = new Stack(app, 'penstock', {
  description:
    'Penstock - CloudEvents over HTTP onto a Kinesis stream, and consumer groups that settle each event once and in order.',
});
const pipeline = new EventPipeline(stack, 'Pipeline', given(app.node));

// A projection: the state of every order.
pipeline.addConsumerGroup('order-status', { projection: true });

// An event handler with a side effect: a message for every order that needs a human.
const alerts = new RetainedQueue(stack, 'Alerts', { kmsKeyArn: pipeline.kmsKeyArn });
Validations.of(alerts).acknowledge({
  id: 'AwsSolutions::AwsSolutions-SQS3',
  reason: 'Nothing in this stack receives from it: how often a message may be received is for whoever does to say.',
});
pipeline.addConsumerGroup('order-alerts', {
  sendsTo: [alerts],
  environment: { ALERTS_QUEUE_URL: alerts.url },
});

const dashboards = `https://${Aws.REGION}.console.aws.amazon.com/cloudwatch/home?region=${Aws.REGION}#dashboards:name=`;
output('DashboardUrl', `${dashboards}${DASHBOARD_NAME}`, 'Producer, log and consumers, a row each.');
output('ApiEndpoint', pipeline.edge.endpoint, 'POST events to /v1/events below it.');
output('AlertsQueueUrl', alerts.url);

function output(name: string, value: string, description?: string): void {
  new CfnOutput(stack, name, { value, ...(description !== undefined && { description }) });
}

//! The `order-alerts` consumer group as a Lambda function.

use order_alerts::{AlertQueue, OrderAlerts};
use penstock_aws::Group;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let (group, url) = Group::from_env(|env| env.required("ALERTS_QUEUE_URL", "the queue that people watch")).await?;
    let alerts = AlertQueue::new(group.sdk().sqs(), url);
    group.handle(OrderAlerts::new(alerts)).await
}

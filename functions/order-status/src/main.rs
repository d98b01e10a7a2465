//! The `order-status` consumer group as a Lambda function.

use order_status::OrderStatus;
use penstock_aws::Group;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let (group, table) = Group::from_env(|env| env.required("PENSTOCK_STATE_TABLE", "the table of states")).await?;
    group.project(OrderStatus, table).await
}

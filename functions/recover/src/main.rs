//! Recovery as a Lambda function: what the event source mappings gave up becomes dead letters with their bytes.
//!
//! The work is `penstock::recover`; the groups are those that the stack's outputs describe.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    penstock_aws::recover_from_env().await
}

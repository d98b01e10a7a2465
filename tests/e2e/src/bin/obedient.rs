//! A consumer group for tests: its handler does what each event's data says.

use std::collections::BTreeMap;

use penstock::{Accepts, Event, EventHandler, Failure, HandlerContext};
use penstock_aws::Group;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Succeed,
    Retry,
    Refuse,
    /// Refuses as often, and then succeeds.
    RefuseTimes(u32),
    Panic,
    Abort,
    /// Blocks the whole process, as a loop without an await does.
    Block,
    Hang,
}

struct Obedient {
    accepts: Accepts,
    effects: aws_sdk_sqs::Client,
    url: String,
}

impl EventHandler for Obedient {
    fn accepts(&self) -> Accepts {
        self.accepts
    }

    async fn handle(&self, event: &Event, context: &HandlerContext<'_>) -> Result<(), Failure> {
        match event.data_as::<Order>()? {
            Order::Succeed => {}
            Order::Retry => return Err(Failure::retry("told to")),
            Order::Refuse => return Err(Failure::refuse("told to")),
            Order::RefuseTimes(times) if context.attempt <= times => return Err(Failure::refuse("told to")),
            Order::RefuseTimes(_) => {}
            Order::Panic => panic!("told to"),
            Order::Abort => std::process::abort(),
            Order::Block => loop {
                std::thread::park();
            },
            Order::Hang => std::future::pending().await,
        }
        let sent = self.effects.send_message().queue_url(&self.url).message_body(event.id()).send().await;
        sent.map(drop).map_err(|error| Failure::retry(aws_sdk_sqs::error::DisplayErrorContext(error)))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let (group, (url, versions)) = Group::from_env(|env| {
        let versions: Option<BTreeMap<String, (u32, u32)>> = env.json("OBEDIENT_VERSIONS");
        (env.required("EFFECTS_QUEUE_URL", "where effects go"), versions)
    })
    .await?;
    let accepts = versions.map_or(Accepts::Everything, |versions| {
        // the process has it to its end
        let versions = versions.into_iter().map(|(kind, (from, to))| (&*kind.leak(), from..=to));
        Accepts::Versions(Vec::leak(versions.collect()))
    });
    let effects = group.sdk().sqs();
    group.handle(Obedient { accepts, effects, url }).await
}

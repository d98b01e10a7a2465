//! Lanes of an event handler.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use futures_util::stream::{self, StreamExt};
use tracing::Instrument;

use super::lane::{LaneEnd, Outcome, Stop};
use super::letters::DeadLettering;
use super::returned::{Returned, Trouble};
use super::settler::Outside;
use super::work::{Context, Lane, LaneContext, Work};
use crate::batch::Delivery;
use crate::dead_letter::Code;
use crate::handler::{EventHandler, Failure, HandlerContext};
use crate::span;

/// Runs an [`EventHandler`] over each lane.
#[derive(Debug)]
pub struct Handling<H>(pub H);

impl<H: EventHandler> Work for Handling<H> {
    async fn run<O: Outside>(&self, lanes: &[Lane<'_>], context: &LaneContext<'_, O>) -> Vec<LaneEnd> {
        let ends = stream::iter(0..lanes.len()).map(|number| async move {
            if context.gauge.hopeless() {
                return (number, LaneEnd::nothing(Stop::OutOfTime));
            }
            let end = self.lane(&lanes[number], context).await;
            context.gauge.count(&end);
            (number, end)
        });
        let mut ends: Vec<_> = ends.buffer_unordered(context.at.settings.concurrency).collect().await;
        ends.sort_unstable_by_key(|(number, _)| *number);
        ends.into_iter().map(|(_, end)| end).collect()
    }

    async fn redrive<O: Outside>(
        &self,
        event: &Delivery,
        context: &Context<'_, O>,
        _: &Returned<'_>,
    ) -> Result<Outcome, Trouble> {
        let left = context.time_left();
        if let Some(reason) = self.refuses(event) {
            return Err(Trouble::Never(Code::UnknownVersion, reason));
        }
        match self.attempt(event, context, left).await {
            Some(Ok(())) => Ok(Outcome::Handled),
            Some(Err(Failure::Refuse(reason))) => Err(Trouble::Never(Code::Refused, reason)),
            Some(Err(Failure::Retry(cause))) => Err(Trouble::Failed(cause)),
            None => Err(match context.out_of_time(left) {
                Stop::Retry(cause) => Trouble::Failed(cause),
                Stop::OutOfTime | Stop::Outside(_) => Trouble::Outside("time ran out".to_owned()),
            }),
        }
    }
}

impl<H: EventHandler> Handling<H> {
    async fn lane<O: Outside>(&self, events: &[&Delivery], context: &LaneContext<'_, O>) -> LaneEnd {
        let mut outcomes = Vec::with_capacity(events.len());
        for delivery in events {
            match self.one(delivery, context).await {
                Ok(outcome) => outcomes.push(outcome),
                Err(stop) => {
                    return LaneEnd { outcomes, stop: Some(stop) };
                }
            }
        }
        LaneEnd { outcomes, stop: None }
    }

    async fn one<O: Outside>(&self, delivery: &Delivery, context: &LaneContext<'_, O>) -> Result<Outcome, Stop> {
        let left = context.at.time_left();
        if left.is_zero() {
            return Err(Stop::OutOfTime);
        }
        let (code, reason, attempts) = match self.refuses(delivery) {
            Some(reason) => (Code::UnknownVersion, reason, delivery.failures),
            None => match self.attempt(delivery, &context.at, left).await {
                Some(Ok(())) => return Ok(Outcome::Handled),
                Some(Err(Failure::Refuse(reason))) => (Code::Refused, reason, delivery.failures + 1),
                Some(Err(Failure::Retry(cause))) => return Err(Stop::Retry(cause)),
                None => return Err(context.at.out_of_time(left)),
            },
        };
        let event = DeadLettering { delivery, code, reason, attempts };
        context.dead_letter_one(event).await.map_err(Stop::Outside)?;
        // its name is not recorded: a redrive sends it again and must not be swallowed
        Ok(Outcome::DeadLettered)
    }

    /// Why the event's version is not one for this handler.
    fn refuses(&self, delivery: &Delivery) -> Option<String> {
        self.0.accepts().refuses(&delivery.content.as_ref().ok()?.event)
    }

    /// What the handler says of an event; `None` if it has not said anything when its time is over. A panic asks for a retry.
    async fn attempt<O: Outside>(
        &self,
        delivery: &Delivery,
        context: &Context<'_, O>,
        left: Duration,
    ) -> Option<Result<(), Failure>> {
        let Ok(content) = &delivery.content else { unreachable!("only events are handled") };
        let about = HandlerContext {
            group: &context.settings.group,
            shard: context.shard,
            position: &delivery.position,
            arrival: delivery.arrival,
            attempt: delivery.failures + 1,
            epoch: context.epoch,
            deadline: context.times.stop,
            fingerprints: context.fingerprints,
        };
        let handled = AssertUnwindSafe(self.0.handle(&content.event, &about)).catch_unwind();
        let handled = handled.instrument(span::process(delivery));
        match select(pin!(handled), pin!(context.outside.sleep(left))).await {
            Either::Left((Ok(said), _)) => Some(said),
            Either::Left((Err(panic), _)) => {
                Some(Err(Failure::Retry(format!("the handler panicked: {}", panic_message(&*panic)))))
            }
            Either::Right(((), _)) => None,
        }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

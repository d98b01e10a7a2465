//! Lanes of an event handler.

use std::panic::AssertUnwindSafe;
use std::pin::pin;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use futures_util::stream::{self, StreamExt};
use tracing::Instrument;

use super::Outside;
use super::lane::{LaneEnd, Outcome, Stop};
use super::letters::GivingUp;
use super::work::{Lane, LaneContext, Work};
use crate::batch::Delivery;
use crate::dead_letter::Code;
use crate::handler::{EventHandler, Failure, HandlerContext};
use crate::trace;

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
        let mut ends: Vec<_> = ends.buffer_unordered(context.settings.concurrency).collect().await;
        ends.sort_unstable_by_key(|(number, _)| *number);
        ends.into_iter().map(|(_, end)| end).collect()
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
        let left = context.time_left();
        if left.is_zero() {
            return Err(Stop::OutOfTime);
        }
        let Ok(content) = &delivery.content else { unreachable!("lanes hold events only") };
        let attempt = delivery.failures + 1;
        let about = HandlerContext {
            group: &context.settings.group,
            shard: context.shard,
            position: &delivery.position,
            arrival: delivery.arrival,
            attempt,
            epoch: context.epoch,
            deadline: context.times.stop,
        };
        let handled = AssertUnwindSafe(self.0.handle(&content.event, &about)).catch_unwind();
        let handled = handled.instrument(trace::process(delivery));
        let result = match select(pin!(handled), pin!(context.outside.sleep(left))).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => return Err(context.out_of_time(left)),
        };
        match result {
            Ok(Ok(())) => Ok(Outcome::Handled),
            Ok(Err(Failure::Refuse(reason))) => {
                let event = GivingUp { delivery, code: Code::Refused, reason, attempts: attempt };
                context.give_up_one(event).await.map_err(Stop::Outside)?;
                // its name is not recorded: a redrive sends it again and must not be swallowed
                Ok(Outcome::DeadLettered)
            }
            Ok(Err(Failure::Retry(cause))) => Err(Stop::Retry(cause)),
            Err(panic) => Err(Stop::Retry(format!("the handler panicked: {}", panic_message(&*panic)))),
        }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

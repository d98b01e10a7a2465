//! Isolation: finding the event that crashes the function.
//!
//! A process that dies in a run (memory, time, abort) commits nothing, so that the attempt which begin counted stays. After
//! two such runs the next one handles its events one at a time, in order, and before each writes into the progress which one
//! it is: the suspect. Each is recorded and committed before the next. An event that was the suspect of as many crashes as the
//! limit allows is dead-lettered without being run again.
//!
//! P0: without this, such an event would hold its shard for ever.
//!
//! A projection's panic in `fold` is found the same way, a handler's is caught and counted as a retry.

use std::collections::HashSet;

use tracing::warn;

use super::ending::Said;
use super::lane::{Outcome, Stop};
use super::letters::DeadLettering;
use super::run::{Gate, Run};
use super::settler::{Error, Outside, Settler};
use super::work::{LaneContext, Work};
use crate::dead_letter::Code;
use crate::decision::Decision;
use crate::key::PartitionKey;
use crate::position::Position;
use crate::progress::Begun;
use crate::window::Window;

/// Crashed runs before events are handled one at a time.
pub(super) const CRASHES_TOLERATED: u32 = 2;

/// Crashes while one event was handled alone before it is dead-lettered unrun. Not one: a deployment or a host that
/// dies at the wrong moment looks the same.
pub(super) const SUSPICIONS_MAX: u32 = 3;

/// What became of an event that was handled alone.
enum Alone {
    Settled,
    /// An earlier event of its name is unsettled.
    Waits,
    Retry(String),
    /// Something outside failed, or time ran out: the run ends with it.
    Left,
}

/// The event that was being handled alone, and how often a run crashed there.
type Suspect = Option<(Position, u32)>;

impl<W: Work, O: Outside> Settler<W, O> {
    /// Handles the open events one at a time, as far as time allows; true if time ran out, and the next run has to isolate
    /// too. What asks for a retry holds up its key, and the others go on: the event that crashes may be behind it. `suspect`
    /// is what earlier runs left in the progress.
    pub(super) async fn isolate(
        &self,
        run: &mut Run,
        window: &mut Window,
        begun: &Begun,
        suspect: Suspect,
        context: &LaneContext<'_, O>,
        said: &mut Said,
    ) -> Result<bool, Error> {
        let mut held: HashSet<PartitionKey> = HashSet::new();
        let mut failing = Vec::new();
        context.gauge.begin(run.settled_keys(), 0);
        for index in run.open_events() {
            if context.at.time_left().is_zero() {
                break;
            }
            if held.contains(&run.delivery(index).key) {
                continue;
            }
            let end = match run.gate(index) {
                Gate::Open => self.alone(run, index, window, (begun, &suspect), context, said).await?,
                Gate::Duplicate => {
                    run.settle(index, Outcome::Duplicate);
                    Alone::Settled
                }
                Gate::Wait => Alone::Waits,
            };
            match end {
                Alone::Settled => continue,
                Alone::Waits => {}
                Alone::Retry(cause) => failing.push((index, cause)),
                Alone::Left => break,
            }
            held.insert(run.delivery(index).key.clone());
        }
        if context.gauge.outage() {
            warn!(outcome = "outage", shard = %context.at.shard, "most keys fail: nothing is counted against any event");
        } else {
            self.fail(run, failing, context).await;
        }
        Ok(context.at.time_left().is_zero() && run.unsettled() > 0)
    }

    /// Handles one event, after naming it as the suspect.
    async fn alone(
        &self,
        run: &mut Run,
        index: usize,
        window: &mut Window,
        (begun, suspect): (&Begun, &Suspect),
        context: &LaneContext<'_, O>,
        said: &mut Said,
    ) -> Result<Alone, Error> {
        let position = run.delivery(index).position.clone();
        let suspicions = match suspect {
            Some((suspect, suspicions)) if *suspect == position => *suspicions,
            _ => 0,
        };
        if suspicions >= SUSPICIONS_MAX {
            match self.work.already(run.delivery(index), context).await {
                Ok(None) => {}
                Ok(Some(outcome)) => {
                    run.settle(index, outcome);
                    return Ok(Alone::Settled);
                }
                Err(error) => {
                    context.at.tell(Decision::Left, run.delivery(index), &error);
                    return Ok(Alone::Left);
                }
            }
            let reason = format!("the function crashed {suspicions} times while handling only this event");
            let delivery = run.delivery(index);
            let event = DeadLettering { delivery, code: Code::Crashed, reason, attempts: suspicions };
            return Ok(match context.dead_letter_one(event).await {
                Ok(()) if self.forgo(run, index, context).await => Alone::Settled,
                Ok(()) => Alone::Left,
                Err(error) => {
                    context.at.tell(Decision::NotDeadLettered, run.delivery(index), &error);
                    Alone::Left
                }
            });
        }
        self.keep(run, window, begun, Some((position.clone(), suspicions + 1)), context, said).await?;
        let end = self.work.run_one(run.delivery(index), context).await;
        Ok(match end {
            Ok(outcome) => {
                run.settle(index, outcome);
                Alone::Settled
            }
            Err(Stop::Retry(cause)) => Alone::Retry(cause),
            Err(Stop::OutOfTime) => Alone::Left,
            Err(Stop::Outside(error)) => {
                context.at.tell(Decision::Left, run.delivery(index), &error);
                Alone::Left
            }
        })
    }
}

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

use super::ending::Said;
use super::lane::{Outcome, Stop};
use super::lanes::Failed;
use super::letters::DeadLettering;
use super::run::{Gate, Run};
use super::settler::{Error, Outside, Settler};
use super::work::{LaneContext, Work};
use crate::dead_letter::Code;
use crate::decision::Decision;
use crate::position::Position;
use crate::progress::Begun;
use crate::window::Window;

/// Crashed runs before events are handled one at a time.
pub(super) const CRASHES_TOLERATED: u32 = 2;

/// Crashes while one event was handled alone before it is dead-lettered unrun. Not one: a deployment or a host that
/// dies at the wrong moment looks the same.
pub(super) const SUSPICIONS_MAX: u32 = 3;

/// The event that was being handled alone, and how often a run crashed there.
type Suspect = Option<(Position, u32)>;

impl<W: Work, O: Outside> Settler<W, O> {
    /// Handles the open events one at a time, as far as time allows; true if time ran out, and the next run has to isolate
    /// too. An event that asks for a retry ends it: later events of its key must not overtake it. `suspect` is what earlier
    /// runs left in the progress.
    pub(super) async fn isolate(
        &self,
        run: &mut Run,
        window: &mut Window,
        begun: &Begun,
        suspect: Suspect,
        context: &LaneContext<'_, O>,
        said: &mut Said,
    ) -> Result<bool, Error> {
        for index in run.open_events() {
            if context.at.time_left().is_zero() {
                return Ok(true);
            }
            match run.gate(index) {
                Gate::Open => {}
                Gate::Duplicate => {
                    run.settle(index, Outcome::Duplicate);
                    continue;
                }
                Gate::Wait => break,
            }
            if !self.alone(run, index, window, (begun, &suspect), context, said).await? {
                break;
            }
        }
        Ok(context.at.time_left().is_zero() && run.unsettled() > 0)
    }

    /// Handles one event, after naming it as the suspect; false if it is left unsettled.
    async fn alone(
        &self,
        run: &mut Run,
        index: usize,
        window: &mut Window,
        (begun, suspect): (&Begun, &Suspect),
        context: &LaneContext<'_, O>,
        said: &mut Said,
    ) -> Result<bool, Error> {
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
                    return Ok(true);
                }
                Err(error) => {
                    context.at.tell(Decision::Left, run.delivery(index), &error);
                    return Ok(false);
                }
            }
            let reason = format!("the function crashed {suspicions} times while handling only this event");
            let delivery = run.delivery(index);
            let event = DeadLettering { delivery, code: Code::Crashed, reason, attempts: suspicions };
            return Ok(match context.dead_letter_one(event).await {
                Ok(()) => self.forgo(run, index, context).await,
                Err(error) => {
                    context.at.tell(Decision::NotDeadLettered, run.delivery(index), &error);
                    false
                }
            });
        }
        self.keep(run, window, begun, Some((position.clone(), suspicions + 1)), context, said).await?;
        let end = self.work.run_one(run.delivery(index), context).await;
        Ok(match end {
            Ok(outcome) => {
                run.settle(index, outcome);
                true
            }
            Err(Stop::Retry(cause)) => self.fail(run, vec![(index, cause)], context).await == [Failed::Settled],
            Err(Stop::OutOfTime) => false,
            Err(Stop::Outside(error)) => {
                context.at.tell(Decision::Left, run.delivery(index), &error);
                false
            }
        })
    }
}

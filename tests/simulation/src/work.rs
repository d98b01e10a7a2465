//! What the groups do with events, and what kinds of events there are.

use std::panic::resume_unwind;
use std::time::Duration;

use penstock::ports;
use penstock::projection::{Refusal, StoredState};
use penstock::settle::{
    self, Handling, Lane, LaneContext, LaneEnd, Outcome, Outside, Projecting, Returned, Trouble, Work,
};
use penstock::{Event, EventHandler, Failure, HandlerContext, Projection, batch::Delivery};

use crate::ports::Process;
use crate::world::truth::EventRef;

/// How often an event is handled before it is dead-lettered.
pub(crate) const ATTEMPTS_MAX: u32 = 3;

/// Failing keys that may mean an outage, if they are a quarter of the batch's.
pub(crate) const OUTAGE_KEYS: usize = 4;

/// What an event does to those who handle it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is handled.
    Plain,
    /// It takes seconds.
    Slow,
    /// It is refused.
    Refused,
    /// Its handler asks for a retry twice.
    Retried,
    /// Its handler asks for a retry for ever.
    Poison,
    /// Its handler does not end.
    Hangs,
    /// It kills the process.
    Kills,
    /// It kills the process three times of four: how much memory there is depends on more than one event.
    MostlyKills,
}

impl Kind {
    const ALL: [(Self, &str); 8] = [
        (Self::Plain, "plain"),
        (Self::Slow, "slow"),
        (Self::Refused, "refused"),
        (Self::Retried, "retried"),
        (Self::Poison, "poison"),
        (Self::Hangs, "hangs"),
        (Self::Kills, "kills"),
        (Self::MostlyKills, "mostly_kills"),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("plain", |(_, name)| name)
    }

    pub(crate) fn of(event: &Event) -> Self {
        Self::ALL.iter().find(|(_, name)| *name == event.kind()).map_or(Self::Plain, |(kind, _)| *kind)
    }
}

/// `k3-7` is the seventh event of key 3.
fn named(event: &Event) -> EventRef {
    let numbers = event.id().strip_prefix('k').and_then(|id| id.split_once('-'));
    let number = |text: &str| text.parse().unwrap_or(0);
    let (key, ordinal) = numbers.map_or((0, 0), |(key, ordinal)| (number(key), number(ordinal)));
    EventRef { key, ordinal }
}

/// The ordinals in a state of [`List`].
pub(crate) fn ordinals(state: &StoredState) -> Vec<u32> {
    state.state.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

/// A handler whose side effect goes through the world.
#[derive(Debug, Clone)]
pub(crate) struct Handler(pub(crate) Process);

impl EventHandler for Handler {
    async fn handle(&self, event: &Event, context: &HandlerContext<'_>) -> Result<(), Failure> {
        let process = &self.0;
        let tries = process.world.lock().saw_try(process.group, context.position);
        match process.kind(event) {
            Kind::Plain => {}
            Kind::Slow => process.wait(Duration::from_secs(3)).await,
            Kind::Refused => return Err(Failure::refuse("as it was made to")),
            Kind::Retried if tries >= 3 => {}
            Kind::Retried => return Err(Failure::retry("not yet")),
            Kind::Poison => return Err(Failure::retry("never")),
            Kind::Hangs => futures_util::future::pending::<()>().await,
            Kind::Kills | Kind::MostlyKills => {
                process.die();
                futures_util::future::pending::<()>().await;
            }
        }
        match process.act(named(event), context.shard.clone(), context.position.clone(), context.epoch).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::retry("the downstream is down")),
            Err(error) => Err(Failure::retry(error)),
        }
    }
}

/// A projection: the ordinals of a key's events, in the order in which they were applied.
#[derive(Debug, Clone)]
pub(crate) struct List(pub(crate) Process);

/// What a process that is killed inside `fold` unwinds with.
pub(crate) struct Killed;

impl Projection for List {
    type State = Vec<u32>;

    fn fold(&self, state: Option<Vec<u32>>, event: &Event) -> Result<Vec<u32>, Refusal> {
        match self.0.kind(event) {
            Kind::Refused => return Err(Refusal::new("as it was made to")),
            Kind::Kills | Kind::MostlyKills => resume_unwind(Box::new(Killed)),
            _ => {}
        }
        let mut list = state.unwrap_or_default();
        list.push(named(event).ordinal);
        Ok(list)
    }
}

/// The work of a group.
pub(crate) enum GroupWork {
    Handles(Handling<Handler>),
    Projects(Projecting<List, Process>),
}

impl Work for GroupWork {
    async fn run<O: Outside>(&self, lanes: &[Lane<'_>], context: &LaneContext<'_, O>) -> Vec<LaneEnd> {
        match self {
            Self::Handles(handling) => handling.run(lanes, context).await,
            Self::Projects(projecting) => projecting.run(lanes, context).await,
        }
    }

    async fn already<O: Outside>(
        &self,
        event: &Delivery,
        context: &LaneContext<'_, O>,
    ) -> Result<Option<Outcome>, ports::Error> {
        match self {
            Self::Handles(handling) => handling.already(event, context).await,
            Self::Projects(projecting) => projecting.already(event, context).await,
        }
    }

    async fn forgo<O: Outside>(&self, event: &Delivery, context: &LaneContext<'_, O>) -> Result<Outcome, ports::Error> {
        match self {
            Self::Handles(handling) => handling.forgo(event, context).await,
            Self::Projects(projecting) => projecting.forgo(event, context).await,
        }
    }

    async fn redrive<O: Outside>(
        &self,
        event: &Delivery,
        context: &settle::Context<'_, O>,
        returned: &Returned<'_>,
    ) -> Result<Outcome, Trouble> {
        match self {
            Self::Handles(handling) => handling.redrive(event, context, returned).await,
            Self::Projects(projecting) => projecting.redrive(event, context, returned).await,
        }
    }
}

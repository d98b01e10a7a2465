//! Events that come to a state one by one: dead letters that were sent back, and events that are dead-lettered unrun.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};

use super::after::{full, next_state, raced};
use super::fold::fold;
use super::{KEYS_AT_ONCE, Projecting, RACES_MAX, SIDE_BY_SIDE, name};
use crate::batch::Delivery;
use crate::dead_letter::Code;
use crate::key::PartitionKey;
use crate::ports::{self, StateWrite, States};
use crate::projection::{Projection, Stored, StoredState};
use crate::settle::lane::{LaneEnd, Outcome};
use crate::settle::returned::{Returned, Trouble};
use crate::settle::settler::Outside;
use crate::settle::work::{Context, Lane, LaneContext, Work};

/// Places of dead letters that an item has room for beyond its limit: events that are dead-lettered unrun, one a run.
const FORGONE_MAX: usize = 100;

impl<P: Projection, S: States> Projecting<P, S> {
    /// Folds an event into the state as it is now, behind the events that came after it; `None` if the state was
    /// written meanwhile.
    async fn fold_late<O: Outside>(
        &self,
        delivery: &Delivery,
        context: &Context<'_, O>,
        returned: &Returned<'_>,
    ) -> Result<Option<Outcome>, Trouble> {
        let Ok(content) = &delivery.content else { unreachable!("only events are redriven") };
        if !self.projection.concerns(&content.event) {
            return Ok(Some(Outcome::Handled));
        }
        let before = self.load_one(&delivery.key, context).await?;
        if let Some(stored) = &before {
            if stored.redriven.contains(&content.fingerprint) {
                return Ok(Some(Outcome::Duplicate));
            }
            // a copy of this event may be among what was applied last, and not yet be in the window
            if !returned.is_stray() && !returned.is_recorded(&stored.applied) {
                return Err(Trouble::Outside("what its key has applied last is not recorded yet".to_owned()));
            }
        }
        let unreadable = |error: serde_json::Error| Trouble::Outside(format!("the state of its key: {error}"));
        let json = before.as_ref().and_then(|stored| stored.state.as_deref());
        let state = json.map(serde_json::from_str).transpose().map_err(unreadable)?;
        let folded = fold(&self.projection, state, &content.event);
        let state = folded.map_err(|(code, reason)| Trouble::Never(code, reason))?;
        let json = serde_json::to_string(&state).map_err(unreadable)?;
        let (bytes, most) = (json.len(), context.settings.item.state_bytes);
        let bytes_before = before.as_ref().and_then(|stored| stored.state.as_ref()).map_or(0, String::len);
        if bytes > most.max(bytes_before) {
            let reason = format!("the state of its key would take {bytes} bytes with it; at most {most} fit");
            return Err(Trouble::Never(Code::StateTooLarge, reason));
        }
        let over = before.as_ref().map(|stored| stored.revision);
        let mut state = before.map_or_else(StoredState::nothing, Arc::unwrap_or_clone);
        state.revision += 1;
        state.state = Some(json);
        state.remember([content.fingerprint]);
        let write = StateWrite { key: delivery.key.clone(), state, over };
        match self.store_one(write, context).await? {
            Stored::Yes => Ok(Some(Outcome::Handled)),
            Stored::Superseded => Ok(None),
        }
    }

    async fn load_one<O: Outside>(
        &self,
        key: &PartitionKey,
        context: &Context<'_, O>,
    ) -> Result<Option<Arc<StoredState>>, ports::Error> {
        let read = self.read(std::slice::from_ref(key), context).await.pop();
        Ok(read.unwrap_or_else(|| unreachable!("there is a result for each key"))?.stored)
    }

    async fn store_one<O: Outside>(&self, write: StateWrite, context: &Context<'_, O>) -> Result<Stored, ports::Error> {
        let stored = self.write(&[write], context).await.pop();
        stored.unwrap_or_else(|| unreachable!("there is a result for each write"))
    }
}

impl<P: Projection, S: States> Work for Projecting<P, S> {
    async fn run<O: Outside>(&self, lanes: &[Lane<'_>], context: &LaneContext<'_, O>) -> Vec<LaneEnd> {
        let firsts = stream::iter((0..lanes.len()).step_by(KEYS_AT_ONCE));
        let together = firsts.map(|first| {
            let end = lanes.len().min(first + KEYS_AT_ONCE);
            self.together(&lanes[first..end], context)
        });
        together.buffered(SIDE_BY_SIDE).concat().await
    }

    async fn forgo<O: Outside>(&self, event: &Delivery, context: &LaneContext<'_, O>) -> Result<Outcome, ports::Error> {
        if !self.concerns(event) || event.is_stray(context.range) {
            return Ok(Outcome::DeadLettered);
        }
        for _ in 0..RACES_MAX {
            let before = self.load_one(&event.key, &context.at).await?;
            if let Some(stored) = before.as_ref().filter(|stored| event.position <= stored.applied) {
                let outcome = stored.outcome_of(&event.position, context).await?;
                return Ok(outcome.unwrap_or(Outcome::DeadLettered));
            }
            let over = before.as_ref().map(|stored| stored.revision);
            let state = next_state(before.as_deref(), context, Some(&event.position), &event.key);
            if state.refused.len() > context.at.settings.item.refused + FORGONE_MAX {
                return Err(full(context.at.settings.item.refused));
            }
            let write = StateWrite { key: event.key.clone(), state, over };
            if self.store_one(write, &context.at).await? == Stored::Yes {
                return Ok(Outcome::DeadLettered);
            }
        }
        Err(raced())
    }

    async fn redrive<O: Outside>(
        &self,
        event: &Delivery,
        context: &Context<'_, O>,
        returned: &Returned<'_>,
    ) -> Result<Outcome, Trouble> {
        for _ in 0..RACES_MAX {
            if let Some(outcome) = self.fold_late(event, context, returned).await? {
                return Ok(outcome);
            }
        }
        Err(raced().into())
    }

    async fn already<O: Outside>(
        &self,
        event: &Delivery,
        context: &LaneContext<'_, O>,
    ) -> Result<Option<Outcome>, ports::Error> {
        let stored = self.load_one(&event.key, &context.at).await?;
        if event.is_stray(context.range) {
            let applied = |stored: &Arc<StoredState>| name(event).is_some_and(|name| stored.redriven.contains(&name));
            return Ok(stored.filter(applied).map(|_| Outcome::Handled));
        }
        match stored.filter(|stored| event.position <= stored.applied) {
            Some(stored) => stored.outcome_of(&event.position, context).await,
            None => Ok(None),
        }
    }
}

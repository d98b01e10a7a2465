//! Redriving: handling dead letters that were sent back.
//!
//! They settle through the same gates as the live stream and beside it: a redrive takes no epoch, so that a storm of
//! them fences no run. It looks at the windows of the shards on which copies of the event can be, handles what is in none
//! of them, records the names on each, and then counts that it did on their progress; the next run sees the count and
//! knows the names, so that a duplicate on the stream is still found.
//!
//! One call of a group redrives at a time: the others wait for their turn. What a storm of letters costs the live run is
//! therefore one call's work, and the order of a key is kept from one call to the next: an event that comes after a later one
//! of its key was redriven goes back to the dead letters as overtaken. Sent back once more, it is handled all the same.
//!
//! P6: every letter ends. What is refused again, or fails for some seconds, goes back to the dead letters at once, with what
//! was wrong this time. What could not be tried is left in the queue and comes again; after some times its queue moves it back.
//!
//! Once, except: a call that goes on after its turn is over handles beside the next one. Two copies of one letter that are
//! redriven at that moment can both reach a handler, with the same idempotency key, and the order of their key can break. A
//! projection's state remembers what was redriven into it and applies it once even then.

mod chain;
mod letter;
mod passes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tracing::warn;

use super::lane::Outcome;
use super::returned::{RedrivenLately, Returned, Trouble};
use super::settler::{Outside, Settler};
use super::times::{Times, within};
use super::work::{Context, Work};
use crate::batch::CLOCKS_DIFFER;
use crate::dead_letter::{Code, DeadLetter};
use crate::decision::{Decision, Why, tell};
use crate::fingerprint::Fingerprint;
use crate::ports::{self, ListedShard};
use crate::position::{Position, ShardId};
use crate::progress::Begun;
use crate::time::Timestamp;
use crate::window::{Age, Names, Redriven, Window};
use chain::Chain;
use letter::Letter;
use passes::{Pass, hold_behind_what_is_left, passes};

pub use letter::LetterEnd;

/// How long a redriven letter's copies are recognised: SQS keeps a message no longer.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
const REDRIVEN_KEPT: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Between two tries of what failed.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

type Pauses = std::array::IntoIter<Duration, { PAUSES.len() }>;

/// Between two looks at whose turn it is.
const TURN_PAUSE: Duration = Duration::from_millis(500);

impl<W: Work, O: Outside> Settler<W, O> {
    /// Handles dead letters that were sent back, until `deadline`. `id` is a name that no other call has; the queue hands the
    /// letters out for the `received`th time. One end a letter.
    pub async fn redrive(
        &self,
        letters: &[DeadLetter],
        received: u32,
        id: &str,
        deadline: Timestamp,
    ) -> Vec<LetterEnd> {
        let times = Times::new(self.outside.now(), deadline, self.settings.margin);
        let mut letters: Vec<Letter<'_>> =
            letters.iter().map(|letter| Letter::new(letter, &self.fingerprints)).collect();
        match self.take_turn(id, deadline, times).await {
            Ok(()) => {
                self.redrive_in_turn(&mut letters, received, id, times).await;
                self.end_turn(id, times).await;
            }
            Err(why) => letters.iter_mut().filter(|letter| letter.is_open()).for_each(|letter| letter.leave(&why)),
        }
        letters.into_iter().map(|letter| self.ended(letter)).collect()
    }

    /// Waits until no other call redrives.
    async fn take_turn(&self, id: &str, deadline: Timestamp, times: Times) -> Result<(), String> {
        // what is left of the time has to be enough to do something
        let latest = times.began.plus(times.stop.since(times.began) / 2);
        let mut may_have_it = false;
        loop {
            let now = self.outside.now();
            let taken = self.outside.take_turn(id, now, deadline.plus(CLOCKS_DIFFER));
            let why = match within(&self.outside, latest, taken).await {
                Ok(true) => return Ok(()),
                Ok(false) => "another call redrives".to_owned(),
                Err(error) => {
                    may_have_it = true;
                    error.to_string()
                }
            };
            if self.outside.now().plus(TURN_PAUSE) >= latest {
                if may_have_it {
                    self.end_turn(id, times).await;
                }
                return Err(why);
            }
            self.outside.sleep(TURN_PAUSE).await;
        }
    }

    async fn end_turn(&self, id: &str, times: Times) {
        if let Err(error) = within(&self.outside, times.answer, self.outside.end_turn(id)).await {
            warn!(%error, "the next call has to wait until this one's turn is over");
        }
    }

    async fn redrive_in_turn(&self, letters: &mut [Letter<'_>], received: u32, id: &str, times: Times) {
        let passes = passes(letters, received);
        if !passes.is_empty() {
            match within(&self.outside, times.stop, self.listed()).await {
                Ok(listed) => self.redrive_passes(&passes, &listed, letters, id, times).await,
                Err(error) => letters.iter_mut().filter(|letter| letter.is_open()).for_each(|letter| {
                    letter.leave(format!("the shards cannot be listed: {error}"));
                }),
            }
        }
        self.send_back(letters, times).await;
    }

    async fn redrive_passes(
        &self,
        passes: &[Pass],
        listed: &[ListedShard],
        letters: &mut [Letter<'_>],
        id: &str,
        times: Times,
    ) {
        // those that are alone wait so long together: they are one call's work
        let mut pauses_alone = PAUSES.into_iter();
        let mut number = 0;
        for Pass { letters: indices, alone } in passes {
            for (chain, indices) in chains(letters, indices, listed) {
                hold_behind_what_is_left(letters, &indices);
                let mut pauses = PAUSES.into_iter();
                let pauses = if *alone { &mut pauses_alone } else { &mut pauses };
                // two chains can share a shard
                self.redrive_on(&chain, letters, &indices, &format!("{id}/{number}"), (times, pauses)).await;
                number += 1;
            }
        }
    }

    fn ended(&self, letter: Letter<'_>) -> LetterEnd {
        let (shard, end) = (&letter.letter.shard, letter.end);
        let end = end.unwrap_or_else(|| LetterEnd::Left("it could not be sent back".to_owned()));
        let (decision, code, why) = match &end {
            LetterEnd::Settled(_) => (Decision::Redriven, None, None),
            LetterEnd::SentBack(code) => {
                (Decision::DeadLettered, Some(code.as_str()), letter.back.as_ref().map(|(_, why)| why.as_str()))
            }
            LetterEnd::Left(why) => (Decision::NotRedriven, None, Some(why.as_str())),
        };
        tell(decision, shard, &letter.delivery, Why { code, reason: why, attempts: Some(letter.delivery.failures) });
        end
    }

    /// All shards; each is listed after those that it came from.
    async fn listed(&self) -> Result<Vec<ListedShard>, ports::Error> {
        let mut listed = self.outside.list().await?;
        listed.sort_by(|a, b| a.shard.cmp(&b.shard));
        Ok(listed)
    }

    async fn redrive_on(
        &self,
        chain: &Chain,
        letters: &mut [Letter<'_>],
        indices: &[usize],
        id: &str,
        (times, pauses): (Times, &mut Pauses),
    ) {
        let now = self.outside.now();
        let (mut windows, mut expired, mut redriven, mut epoch) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let mut complete = Vec::new();
        for (place, shard) in chain.shards.iter().enumerate() {
            let gone = place == 0 && chain.origin_is_gone;
            let looked = within(&self.outside, times.stop, self.look_at(shard, (gone, chain.shards.len()), now)).await;
            let (begun, window, lately) = match looked {
                Ok(looked) => looked,
                Err(error) => return indices.iter().for_each(|index| letters[*index].leave(error.to_string())),
            };
            epoch = begun.epoch;
            // until this shard has run, its parents may be unfinished: what is known of it is not kept
            complete.push(begun.epoch > 0);
            expired.push(begun.expired);
            windows.push(window);
            redriven.push(lately);
        }
        let Chain { origin_is_gone, is_stray, .. } = *chain;
        let fingerprints = &self.fingerprints;
        let returned = Returned { windows, expired, redriven, origin_is_gone, is_stray, fingerprints };
        let context = Context {
            outside: &self.outside,
            settings: &self.settings,
            shard: chain.shards.last().unwrap_or_else(|| unreachable!("a chain has its origin")),
            epoch,
            fingerprints,
            times,
        };
        self.handle_returned(letters, indices, &context, &returned, pauses).await;
        let recorded = self.record_on_all(chain, letters, indices, id);
        if let Err(error) = within(&self.outside, times.commit, recorded).await {
            for index in indices {
                if matches!(letters[*index].end, Some(LetterEnd::Settled(_))) {
                    letters[*index].leave(error.to_string());
                }
            }
        }
        let Returned { windows, redriven, .. } = returned;
        let known = windows.into_iter().zip(redriven).zip(complete);
        for (shard, ((window, lately), complete)) in chain.shards.iter().zip(known) {
            let mut known = self.memory.recall(Age::Recording, shard);
            known.window = complete.then_some(window);
            known.lately = Some(lately);
            self.memory.remember(Age::Recording, shard.clone(), known);
        }
    }

    /// The progress and the window of a shard, one of so many, and what was redriven on it.
    async fn look_at(
        &self,
        shard: &ShardId,
        (gone, windows): (bool, usize),
        now: Timestamp,
    ) -> Result<(Begun, Window, RedrivenLately), ports::Error> {
        let mut known = self.memory.recall(Age::Recording, shard);
        let mut lately = known.lately.take().unwrap_or_default();
        for redriven in self.outside.load_redriven(shard, lately.since(now.minus(REDRIVEN_KEPT))).await? {
            lately.add(redriven);
        }
        let begun = self.outside.look(shard).await?;
        if gone {
            return Ok((begun, Window::new(Age::Recording), lately));
        }
        let since = now.minus(self.settings.horizon + CLOCKS_DIFFER);
        // as if a run began now: the last one that did is in it too
        let next = Begun { epoch: begun.epoch + 1, ..begun.clone() };
        let mut window = self.load(shard, &next, &mut known, (Age::Recording, since), windows).await?;
        // later runs than the last that committed can still record
        window.set_epoch(begun.epoch.saturating_sub(u64::from(begun.attempts)));
        self.memory.remember(Age::Recording, shard.clone(), known);
        Ok((begun, window, lately))
    }

    /// One after the other: they are few, and the live runs have the right of way. What fails is tried again after a while,
    /// and holds up the later events of its key until then.
    async fn handle_returned(
        &self,
        letters: &mut [Letter<'_>],
        indices: &[usize],
        context: &Context<'_, O>,
        returned: &Returned<'_>,
        pauses: &mut Pauses,
    ) {
        let mut names = Names::default();
        let mut held: BTreeSet<String> = BTreeSet::new();
        for index in indices {
            let letter = &mut letters[*index];
            let is_settled = letter.name().is_some_and(|name| returned.has(name));
            if held.contains(letter.delivery.key.as_str())
                || !is_settled && !returned.is_recorded(&letter.delivery.position)
            {
                // the run that sent the letter died, and those before it are still to come
                letter.leave("what came before it is not recorded yet");
                held.insert(letter.delivery.key.as_str().to_owned());
            }
        }
        loop {
            let pause = pauses.next().filter(|pause| context.time_left() > *pause);
            let mut waiting: BTreeSet<String> = BTreeSet::new();
            for index in indices {
                let letter = &mut letters[*index];
                if !letter.is_open() || waiting.contains(letter.delivery.key.as_str()) {
                    continue;
                }
                match self.handle_one(letter, context, returned, &mut names).await {
                    Ok(outcome) => (letter.end, letter.failed) = (Some(LetterEnd::Settled(outcome)), None),
                    Err(Trouble::Never(code, reason)) => letter.back = Some((code, reason)),
                    Err(trouble @ (Trouble::Failed(_) | Trouble::Outside(_))) if pause.is_some() => {
                        if let Trouble::Failed(reason) = trouble {
                            letter.failed = Some(reason);
                        }
                        waiting.insert(letter.delivery.key.as_str().to_owned());
                    }
                    Err(Trouble::Failed(reason)) => letter.back = Some((Code::RetriesExhausted, reason)),
                    Err(Trouble::Outside(why)) => {
                        waiting.insert(letter.delivery.key.as_str().to_owned());
                        letter.leave(why);
                    }
                }
            }
            match pause {
                Some(pause) if !waiting.is_empty() => context.outside.sleep(pause.min(context.time_left())).await,
                _ => break,
            }
        }
        for index in indices.iter().filter(|index| letters[**index].is_open()).copied().collect::<Vec<_>>() {
            letters[index].leave("an event of its key before it is left");
        }
    }

    async fn handle_one(
        &self,
        letter: &mut Letter<'_>,
        context: &Context<'_, O>,
        returned: &Returned<'_>,
        names: &mut Names,
    ) -> Result<Outcome, Trouble> {
        let Some(name) = letter.name() else { unreachable!("only events are redriven") };
        let delivery = &letter.delivery;
        if returned.has(name) || names.contains(&name) {
            return Ok(Outcome::Duplicate);
        }
        let overtaken_by = returned.last_of(self.fingerprints.key(&delivery.key));
        if let Some(later) = overtaken_by.filter(|later| **later > delivery.position)
            && !letter.letter.overtaken
            && !returned.is_stray()
        {
            let why =
                format!("{later} of its key was redriven before it: redriven once more it is handled all the same");
            return Err(Trouble::Never(Code::Overtaken, why));
        }
        if context.time_left().is_zero() {
            return Err(Trouble::Outside("time ran out".to_owned()));
        }
        match self.work.redrive(delivery, context, returned).await {
            Ok(outcome) => {
                names.insert(name);
                Ok(outcome)
            }
            Err(trouble) => {
                letter.delivery.failures += u32::from(!matches!(trouble, Trouble::Outside(_)));
                Err(trouble)
            }
        }
    }

    /// Says on every shard of a chain what was redriven, and then on those that came of them meanwhile: their first run may
    /// have looked at its ancestors before it was said there. A shard that comes later still looks after it.
    async fn record_on_all(
        &self,
        chain: &Chain,
        letters: &[Letter<'_>],
        indices: &[usize],
        id: &str,
    ) -> Result<(), ports::Error> {
        // duplicates too: the call that redrove them may have died before it was counted
        let is_settled = |letter: &&Letter<'_>| matches!(letter.end, Some(LetterEnd::Settled(_)));
        let settled: Vec<&Letter<'_>> = indices.iter().map(|index| &letters[*index]).filter(is_settled).collect();
        if settled.is_empty() {
            return Ok(());
        }
        let mut last: BTreeMap<Fingerprint, Position> = BTreeMap::new();
        for letter in settled.iter().filter(|_| !chain.is_stray) {
            let (key, position) = (self.fingerprints.key(&letter.delivery.key), letter.delivery.position.clone());
            last.entry(key).and_modify(|last| *last = position.clone().max(last.clone())).or_insert(position);
        }
        let redriven = Redriven {
            id: id.to_owned(),
            at: self.outside.now(),
            handled: settled.iter().filter_map(|letter| letter.name()).collect(),
            last: last.into_iter().collect(),
        };
        for shard in &chain.shards {
            self.outside.record_redriven(shard, &redriven).await?;
        }
        let listed = self.listed().await?;
        let now = settled.iter().flat_map(|letter| {
            let Chain { shards, .. } = Chain::of(&chain.shards[0], letter.delivery.key.hash_key(), &listed);
            shards
        });
        let new: BTreeSet<ShardId> = now.filter(|shard| !chain.shards.contains(shard)).collect();
        for shard in &new {
            self.outside.record_redriven(shard, &redriven).await?;
        }
        Ok(())
    }

    /// Sends what is refused again back to the dead letters, with what was wrong this time. What cannot be sent stays.
    async fn send_back(&self, letters: &mut [Letter<'_>], times: Times) {
        let back = letters.iter().filter_map(|letter| {
            let (code, reason) = letter.back.clone()?;
            let (at, attempts) = (self.outside.now(), letter.delivery.failures);
            let overtaken = letter.letter.overtaken || code == Code::Overtaken;
            Some(DeadLetter { code, reason, at, attempts, overtaken, ..letter.letter.clone() })
        });
        let back: Vec<DeadLetter> = back.collect();
        if back.is_empty() {
            return;
        }
        let sent = within(&self.outside, times.commit, async { Ok(self.outside.send(&back).await) }).await;
        let sent = sent.unwrap_or_else(|error| vec![Err(error); back.len()]);
        assert_eq!(sent.len(), back.len(), "there is a result for each letter");
        let going = letters.iter_mut().filter(|letter| letter.back.is_some());
        for ((letter, back), sent) in going.zip(&back).zip(sent) {
            letter.end = Some(match sent {
                Ok(()) => LetterEnd::SentBack(back.code),
                Err(error) => LetterEnd::Left(error.to_string()),
            });
        }
    }
}

/// Letters by the shards on which their copies can be.
fn chains(letters: &[Letter<'_>], indices: &[usize], listed: &[ListedShard]) -> BTreeMap<Chain, Vec<usize>> {
    let mut chains: BTreeMap<Chain, Vec<usize>> = BTreeMap::new();
    for index in indices {
        let Letter { letter, delivery, .. } = &letters[*index];
        chains.entry(Chain::of(&letter.shard, delivery.key.hash_key(), listed)).or_default().push(*index);
    }
    chains
}

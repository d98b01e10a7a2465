//! The steps of a run: begin, load, settle, record, commit, answer.

use std::sync::Mutex;
use std::time::Duration;

use tracing::warn;

use super::ending::{Ending, Said};
use super::isolation;
use super::memory::Known;
use super::outage::Gauge;
use super::patience;
use super::run::Run;
use super::settler::{Error, Outside, Settled, Settler};
use super::tally::Tally;
use super::times::{Times, within};
use super::work::{Context, LaneContext, Work};
use crate::batch::ShardBatch;
use crate::hash::HashRange;
use crate::ports;
use crate::progress::Begun;
use crate::time::Timestamp;
use crate::window::Age;

impl<W: Work, O: Outside> Settler<W, O> {
    /// Settles what it can of `batch` until `deadline`.
    ///
    /// # Errors
    /// When the run as a whole came to nothing; the caller fails the batch.
    pub async fn settle(&self, batch: &ShardBatch, deadline: Timestamp) -> Result<Settled, Error> {
        let mut known = self.memory.recall(Age::Arrival, &batch.shard);
        let result = self.run(batch, deadline, &mut known).await;
        match &result {
            Ok(_) => (known.failed, known.innocent) = (0, None),
            Err(_) => known.window = None,
        }
        self.memory.remember(Age::Arrival, batch.shard.clone(), known);
        result
    }

    async fn run(&self, batch: &ShardBatch, deadline: Timestamp, known: &mut Known) -> Result<Settled, Error> {
        let shard = &batch.shard;
        let times = Times::new(self.outside.now(), deadline, self.settings.margin);
        let begun = match within(&self.outside, times.stop, self.outside.begin(shard)).await {
            Ok(begun) => begun,
            Err(error) => {
                // no answer: the attempt may have been counted all the same
                known.failed += u32::from(matches!(error, ports::Error::Unavailable(_)));
                return Err(Error::Begin(error));
            }
        };
        let mut said = Said::of(&begun, times);
        let settled = self.begun(batch, &begun, times, known, &mut said).await;
        if let Err(error) = &settled {
            let fenced = matches!(error, Error::Fenced(_));
            if !fenced && self.release(shard, &mut said, known.failed).await {
                known.failed = 0;
            } else {
                known.failed += 1;
                known.innocent = said.accused().cloned();
            }
        }
        settled
    }

    async fn begun(
        &self,
        batch: &ShardBatch,
        begun: &Begun,
        times: Times,
        known: &mut Known,
        said: &mut Said,
    ) -> Result<Settled, Error> {
        let shard = &batch.shard;
        let since = self.forget_before(batch);
        let loaded = within(&self.outside, times.stop, self.load(shard, begun, known, (Age::Arrival, since), 1)).await;
        let mut window = loaded.map_err(Error::Load)?;
        let range = known.lineage.as_ref().map(|lineage| lineage.range);

        let deliveries = batch.deliveries(&self.fingerprints);
        self.make_room_for(shard, &mut window, deliveries.len());
        let mut run = Run::new(deliveries, begun, &window, range, (&self.settings, &self.fingerprints));
        run.begin_spans(&self.settings.group, shard);
        let (outside, settings, fingerprints) = (&self.outside, &self.settings, &self.fingerprints);
        let context = LaneContext {
            at: Context { outside, settings, shard, epoch: begun.epoch, fingerprints, times },
            position: &begun.position,
            below: run.below(),
            range: range.unwrap_or(HashRange::ALL),
            dead_lettered: Mutex::default(),
            tally: Tally::default(),
            gauge: Gauge::new(&self.settings),
        };
        self.dead_letter_what_is_no_event(&mut run, &context).await;

        let crashes = begun.attempts.saturating_sub(1).saturating_sub(known.failed);
        let isolated = crashes >= isolation::CRASHES_TOLERATED && run.unsettled() > 0;
        let (mut searching, mut outage, mut waited) = (false, false, Duration::ZERO);
        if isolated {
            warn!(outcome = "isolated", %shard, crashes, "runs ended without a word: handling events one at a time");
            let suspect = begun.suspect.as_ref().map(|(suspect, suspicions)| {
                // a run of this process named this suspect, failed without crashing, and could not take the name back
                let innocent = known.innocent.as_ref() == begun.suspect.as_ref();
                (suspect.clone(), suspicions - u32::from(innocent))
            });
            searching = self.isolate(&mut run, &mut window, begun, suspect, &context, said).await?;
        } else {
            (outage, waited) = self.handle(&mut run, &mut window, begun, &context, said).await?;
        }
        let (letters, retries) = context.tally.into_parts();
        // time ran out before all events were tried alone: the next run goes on with isolation
        let attempts = if searching { isolation::CRASHES_TOLERATED } else { 0 };
        let ending = Ending { isolated, attempts, outage, letters, retries };
        let settled = self.finish(&mut run, &mut window, begun, shard, ending, said).await?;
        run.end_spans();
        window.set_epoch(begun.epoch);
        self.tell_sample(&run, shard);
        known.window = Some(window);
        let is_fruitless = settled.counts.total() == 0 && settled.unsettled > 0 && !isolated && waited.is_zero();
        known.fruitless = if is_fruitless { known.fruitless + 1 } else { 0 };
        if is_fruitless {
            self.outside.sleep(patience::idle_for(known.fruitless).min(times.stop.since(self.outside.now()))).await;
        }
        Ok(settled)
    }
}

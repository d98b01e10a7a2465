//! One shard against a model, under random settings, records, outcomes and restarts.
//!
//! The model is the list of records and how many of them, from the start, are done with. Whatever happens, the next
//! delivery starts at the first record that is not: none is skipped, none comes after it is done, and order holds.

use proptest::prelude::*;

use super::*;
use crate::event::{PAYLOAD_MAX, payload_len};
use crate::given_up::Condition;

#[derive(Debug, Clone)]
enum Fate {
    Settle,
    Crash,
    Throttle,
    /// Report the record at this share of the batch, and one above it.
    Report(prop::sample::Index, prop::sample::Index),
    Nonsense(&'static str),
}

#[derive(Debug, Clone)]
struct Turn {
    fate: Fate,
    jitter: u64,
    /// How much later the outcome comes in.
    takes_ms: u64,
    /// The machine is made anew from its checkpoint before the outcome is known to it.
    restart: bool,
    read_fails: bool,
    read_at_most: usize,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Settle),
        2 => Just(Fate::Crash),
        1 => Just(Fate::Throttle),
        3 => (any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(|(a, b)| Fate::Report(a, b)),
        1 => prop::sample::select(vec!["not json", r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#, r#"{"batchItemFailures":[{"itemIdentifier":"7"}]}"#]).prop_map(Fate::Nonsense),
    ]
}

fn turn() -> impl Strategy<Value = Turn> {
    (fate(), any::<u64>(), 0_u64..40_000, prop::bool::weighted(0.05), prop::bool::weighted(0.1), 1_usize..12).prop_map(
        |(fate, jitter, takes_ms, restart, read_fails, read_at_most)| Turn {
            fate,
            jitter,
            takes_ms,
            restart,
            read_fails,
            read_at_most,
        },
    )
}

fn settings() -> impl Strategy<Value = Settings> {
    (1_usize..12, 0_u64..5, any::<bool>(), any::<bool>(), prop::option::of(0_u32..4), prop::option::of(60_u64..120))
        .prop_map(|(batch_size, window, report, bisect, retries, age)| Settings {
            batch_size,
            batching_window: Duration::from_secs(window),
            report_batch_item_failures: report,
            bisect_batch_on_function_error: bisect,
            maximum_retry_attempts: retries,
            maximum_record_age: age.map(Duration::from_secs),
            ..Settings::default()
        })
}

/// Small records, and some of which four make 6 MB.
fn shard_records() -> impl Strategy<Value = Vec<Record>> {
    let size = prop_oneof![9 => Just(10_usize), 1 => Just(1_200_000)];
    proptest::collection::vec((size, 0_u64..3_000), 0..40).prop_map(|records| {
        let mut arrival = 0;
        let numbered = records.into_iter().enumerate();
        numbered
            .map(|(index, (size, gap))| {
                arrival += gap;
                Record {
                    // of two lengths, so that their order as text is another
                    sequence: (90 + index).to_string().parse().unwrap(),
                    partition_key: "key".into(),
                    data: bytes::Bytes::from_static(&ZEROES[..size]),
                    arrival: Timestamp(arrival),
                }
            })
            .collect()
    })
}

static ZEROES: [u8; 1_200_000] = [0; 1_200_000];

struct Model {
    settings: Arc<Settings>,
    source: Arc<EventSource>,
    shard: ShardId,
    records: Vec<Record>,
    done: usize,
    given_up: usize,
    now: Timestamp,
    machine: ShardMachine,
}

impl Model {
    fn new(settings: Settings, records: Vec<Record>) -> Self {
        let settings = Arc::new(settings);
        let source =
            Arc::new(EventSource { stream_arn: "stream".into(), region: "region".into(), role_arn: "role".into() });
        let shard = ShardId::new("shardId-000000000000");
        let machine =
            ShardMachine::new(shard.clone(), ReadFrom::TrimHorizon, Arc::clone(&settings), Arc::clone(&source));
        Self { settings, source, shard, records, done: 0, given_up: 0, now: Timestamp(0), machine }
    }

    /// Takes one step; `false` when the shard is drained.
    fn step(&mut self, turn: &Turn) -> bool {
        match self.machine.next(self.now) {
            Next::Drained => return false,
            Next::Busy => panic!("every action was answered"),
            Next::WaitUntil(until) => {
                assert!(until > self.now, "a wait ends later");
                self.now = until;
            }
            Next::Do(Action::Fetch { from, limit }) => self.read(&from, limit, turn),
            Next::Do(Action::Invoke(batch)) => self.invoke(&batch, turn),
            Next::Do(Action::GiveUp(given_up)) => {
                self.is_next(&given_up.records);
                self.may_give_up(&given_up);
                self.machine.on_given_up();
                self.done += given_up.records.len();
                self.given_up += given_up.records.len();
            }
        }
        let settled_to = self.done.checked_sub(1).map(|last| &self.records[last].sequence);
        assert_eq!(self.machine.settled_to(), settled_to, "the checkpoint is what is done");
        true
    }

    fn read(&mut self, from: &ReadFrom, limit: usize, turn: &Turn) {
        if turn.read_fails {
            self.machine.on_read_failed(self.now, turn.jitter);
            return;
        }
        let start = match from {
            ReadFrom::After(sequence) => self.records.iter().position(|record| record.sequence > *sequence),
            _ => Some(0),
        };
        let start = start.unwrap_or(self.records.len());
        let end = self.records.len().min(start + limit.min(turn.read_at_most));
        self.machine.on_records(self.records[start..end].to_vec(), end == self.records.len(), self.now);
    }

    fn invoke(&mut self, batch: &[Record], turn: &Turn) {
        self.is_next(batch);
        assert!(batch.len() <= self.settings.batch_size);
        let sizes = batch.iter().map(|record| self.source.encoded_len(&self.shard, record));
        assert!(batch.len() == 1 || payload_len(sizes) <= PAYLOAD_MAX);
        if let Some(age) = self.settings.maximum_record_age {
            assert!(self.now.since(batch[0].arrival) <= age, "a record that is too old is not delivered");
        }
        self.now = self.now.plus(Duration::from_millis(turn.takes_ms));
        if turn.restart {
            let from = self.machine.settled_to().cloned().map_or(ReadFrom::TrimHorizon, ReadFrom::After);
            let (settings, source) = (Arc::clone(&self.settings), Arc::clone(&self.source));
            self.machine = ShardMachine::new(self.shard.clone(), from, settings, source);
            return;
        }
        let (invocation, settled) = self.outcome(batch, &turn.fate);
        self.machine.on_invocation(&invocation, self.now, turn.jitter);
        self.done += settled;
    }

    /// The invocation, and how many records it settles.
    fn outcome(&self, batch: &[Record], fate: &Fate) -> (Invocation, usize) {
        let all_or = |settled| {
            if self.settings.report_batch_item_failures { settled } else { batch.len() }
        };
        match fate {
            Fate::Settle => (Invocation::Returned("{}".into()), batch.len()),
            Fate::Crash => (Invocation::Failed { error_type: "Error".into(), message: String::new() }, 0),
            Fate::Throttle => (Invocation::Throttled, 0),
            Fate::Nonsense(body) => (Invocation::Returned((*body).into()), all_or(0)),
            Fate::Report(a, b) => {
                let (a, b) = (a.index(batch.len()), b.index(batch.len()));
                let item = |index: usize| format!(r#"{{"itemIdentifier":"{}"}}"#, batch[index].sequence);
                let body = format!(r#"{{"batchItemFailures":[{},{}]}}"#, item(a), item(b));
                (Invocation::Returned(body.into()), all_or(a.min(b)))
            }
        }
    }

    fn is_next(&self, batch: &[Record]) {
        assert!(!batch.is_empty());
        assert_eq!(batch, &self.records[self.done..self.done + batch.len()]);
    }

    fn may_give_up(&self, given_up: &GivenUp) {
        match given_up.condition {
            Condition::RecordAgeExceeded => {
                let maximum = self.settings.maximum_record_age.expect("there is an age limit");
                assert!(given_up.records.iter().all(|record| self.now.since(record.arrival) > maximum));
            }
            Condition::RetryAttemptsExhausted => {
                let maximum = self.settings.maximum_retry_attempts.expect("there is a retry limit");
                assert!(given_up.invocations > maximum, "every retry was used");
                if self.settings.bisect_batch_on_function_error {
                    assert_eq!(given_up.records.len(), 1, "bisecting gives up single records");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_record_is_delivered_in_order_until_it_is_settled_or_given_up(
        settings in settings(),
        records in shard_records(),
        turns in proptest::collection::vec(turn(), 0..200),
    ) {
        let gives_up = settings.maximum_retry_attempts.is_some() || settings.maximum_record_age.is_some();
        let mut model = Model::new(settings, records);
        let calm = Turn { fate: Fate::Settle, jitter: 0, takes_ms: 1, restart: false, read_fails: false, read_at_most: 10 };
        let mut turns = turns.into_iter();
        let mut calm_steps = 0;
        while model.step(&turns.next().unwrap_or_else(|| { calm_steps += 1; calm.clone() })) {
            prop_assert!(calm_steps < 2_000, "a calm shard is drained in the end");
        }
        prop_assert_eq!(model.done, model.records.len(), "none is left");
        prop_assert!(gives_up || model.given_up == 0, "without limits nothing is given up");
    }
}

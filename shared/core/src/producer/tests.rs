use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::PartitionKey;
use crate::packing::PackedRecord;
use crate::packing::aggregate::decode;

/// A stream that follows a script of verdicts and keeps what it stored, in order.
struct Scripted {
    verdicts: Mutex<Vec<u8>>,
    stored: Mutex<Vec<(String, Vec<u8>)>>,
}

impl Scripted {
    fn new(verdicts: Vec<u8>) -> Self {
        Self { verdicts: Mutex::new(verdicts), stored: Mutex::default() }
    }

    fn store(&self, record: &PackedRecord) -> PutResult {
        let mut stored = self.stored.lock().unwrap();
        let bodies = match decode(&record.data) {
            Some(aggregate) => aggregate.records.into_iter().map(|user| user.data.to_vec()).collect(),
            None => vec![record.data.to_vec()],
        };
        stored.extend(bodies.into_iter().map(|body| (record.key.as_str().to_owned(), body)));
        PutResult::Stored { shard: ShardId::new("shard"), sequence: stored.len().to_string().parse().unwrap() }
    }
}

impl Stream for &Scripted {
    async fn put(&self, records: &[PackedRecord]) -> Result<Vec<PutResult>, Error> {
        let script = || self.verdicts.lock().unwrap().pop().unwrap_or(0);
        match script() {
            6 => return Err(Error::Throttled("all of it".into())),
            7 => return Err(Error::Unavailable("request lost".into())),
            9 => return Err(Error::Refused("AccessDeniedException".into())),
            8 => {
                for record in records {
                    self.store(record);
                }
                return Err(Error::Unavailable("reply lost".into()));
            }
            _ => {}
        }
        // Kinesis promises no order between the records of a call: store them back to front
        let mut verdicts: Vec<_> = records
            .iter()
            .rev()
            .map(|record| match script() {
                1 => PutResult::Throttled,
                2 => PutResult::Failed("InternalFailure".into()),
                _ => self.store(record),
            })
            .collect();
        verdicts.reverse();
        Ok(verdicts)
    }
}

#[derive(Default)]
struct Virtual(Mutex<u64>);

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        Timestamp(*self.0.lock().unwrap())
    }
    async fn sleep(&self, duration: Duration) {
        *self.0.lock().unwrap() += u64::try_from(duration.as_millis()).unwrap().max(1);
    }
}

fn outgoing(key: &str, body: String) -> Outgoing {
    Outgoing { key: PartitionKey::new(key).unwrap(), body }
}

fn publish(stream: &Scripted, events: Vec<Outgoing>, deadline: u64) -> Vec<Fate> {
    let producer = Producer::new(stream, Virtual::default(), || 0.5);
    futures_util::future::FutureExt::now_or_never(producer.publish(events, Timestamp(deadline))).unwrap()
}

#[test]
fn a_throttled_shard_is_retried_and_then_told() {
    let stream = Scripted::new([vec![1; 2], vec![0; 1]].concat());
    let fates = publish(&stream, vec![outgoing("k", "{}".into())], 10_000);
    assert!(matches!(fates[0], Fate::Accepted { .. }));
    let fates = publish(&Scripted::new(vec![1; 1000]), vec![outgoing("k", "{}".into())], 3_000);
    assert_eq!(fates, [Fate::Throttled { retry_after: RETRY_AFTER }]);
}

#[test]
fn no_time_at_all_is_told_and_nothing_is_put() {
    let stream = Scripted::new(vec![]);
    let fates = publish(&stream, vec![outgoing("k", "{}".into())], 0);
    assert_eq!(fates, [Fate::OutOfTime { retry_after: RETRY_AFTER }]);
    assert!(stream.stored.lock().unwrap().is_empty());
}

#[test]
fn a_stream_that_refuses_is_told_at_once_and_says_nothing_against_the_events() {
    let refused = Fate::StreamRefused { retry_after: REFUSED_RETRY_AFTER };
    // the first call throttles one of two records, the second is refused
    let stream = Scripted::new(vec![9, 0, 1, 0]);
    let fates = publish(&stream, vec![outgoing("a", "{}".into()), outgoing("b", "{}".into())], 10_000);
    assert!(matches!(fates[0], Fate::Accepted { .. }), "{fates:?}");
    assert_eq!(fates[1], refused);
    let stream = Scripted::new(vec![0, 9]);
    let fates = publish(&stream, vec![outgoing("k", "{}".into())], 10_000);
    assert_eq!((fates, stream.stored.lock().unwrap().len()), (vec![refused], 0), "it is not asked again");
}

#[test]
fn what_may_be_stored_is_told_so_although_the_stream_refuses_then() {
    let fates = publish(&Scripted::new(vec![9, 8]), vec![outgoing("k", "{}".into())], 10_000);
    assert!(matches!(fates[..], [Fate::Unavailable { retry_after: REFUSED_RETRY_AFTER, .. }]), "{fates:?}");
}

#[test]
fn a_stream_that_hangs_is_cut_off_at_the_deadline() {
    struct Hanging;
    impl Stream for Hanging {
        async fn put(&self, _: &[PackedRecord]) -> Result<Vec<PutResult>, Error> {
            std::future::pending().await
        }
    }
    let producer = Producer::new(Hanging, Virtual::default(), || 0.5);
    let publish = producer.publish(vec![outgoing("k", "{}".into())], Timestamp(2_000));
    let fates = futures_util::future::FutureExt::now_or_never(publish).unwrap();
    assert!(matches!(&fates[..], [Fate::Unavailable { .. }]));
}

#[test]
fn a_call_stays_within_the_bounds_of_put_records() {
    struct Bounded;
    impl Stream for Bounded {
        async fn put(&self, records: &[PackedRecord]) -> Result<Vec<PutResult>, Error> {
            assert!(records.len() <= 500);
            assert!(records.iter().map(|r| r.data.len()).sum::<usize>() <= PUT_BYTES_MAX);
            let stored = PutResult::Stored { shard: ShardId::new("s"), sequence: SequenceNumber::zero() };
            Ok(vec![stored; records.len()])
        }
    }
    let producer = Producer::new(Bounded, Virtual::default(), || 0.5);
    let events = (0..700).map(|i| outgoing(&i.to_string(), "x".repeat(20_000))).collect();
    let fates = futures_util::future::FutureExt::now_or_never(producer.publish(events, Timestamp(10_000))).unwrap();
    assert!(fates.iter().all(|fate| matches!(fate, Fate::Accepted { .. })));
}

proptest! {
    #[test]
    fn whatever_fails_a_key_stays_in_order_and_no_fate_lies(
        keys in prop::collection::vec(0u8..5, 1..60),
        verdicts in prop::collection::vec(0u8..10, 0..80),
        large: bool,
        deadline in 1u64..5_000,
    ) {
        let pad = if large { "x".repeat(200_000) } else { String::new() };
        let events: Vec<_> = keys.iter().enumerate().map(|(i, k)| outgoing(&k.to_string(), format!("{i}:{pad}"))).collect();
        let stream = Scripted::new(verdicts);
        let fates = publish(&stream, events, deadline);
        prop_assert_eq!(fates.len(), keys.len());
        let stored = stream.stored.lock().unwrap();
        let number = |body: &[u8]| -> usize { String::from_utf8_lossy(body).split(':').next().unwrap().parse().unwrap() };
        // the first time each event is stored, it comes after every earlier event of its key
        let mut seen = HashSet::new();
        let mut last: HashMap<&str, usize> = HashMap::new();
        for (key, body) in stored.iter() {
            let n = number(body);
            if seen.insert(n) {
                prop_assert!(last.insert(key, n).is_none_or(|before| before < n), "key {} out of order", key);
            }
        }
        for (i, fate) in fates.iter().enumerate() {
            if matches!(fate, Fate::Accepted { .. }) {
                prop_assert!(seen.contains(&i), "accepted but not stored");
            }
        }
    }
}

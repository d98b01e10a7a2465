//! What became of one event, in the words of the edge, and how it is written down.

use std::collections::BTreeMap;
use std::time::Duration;

use penstock::producer::Fate;
use penstock::{SequenceNumber, ShardId};
use serde::Serialize;

use crate::cloudevents::{Fault, Place, Refused};
use crate::code::RefusalCode;

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventResult {
    /// Stored.
    Accepted {
        /// The event.
        id: String,
        /// Where.
        shard: ShardId,
        /// In the record with this number.
        sequence: SequenceNumber,
    },
    /// Not stored; sending the same again will not help. Only what is wrong with the event itself is: a sender drops it.
    Rejected {
        /// The event, if it could be made out.
        id: Option<String>,
        /// Why.
        code: RefusalCode,
        /// The same as a sentence.
        detail: String,
        /// Where in the request the fault is.
        place: Option<Place>,
        /// All that is wrong with its data, if its schema says so.
        faults: Vec<Fault>,
    },
    /// Perhaps not stored; to be sent again.
    Retry {
        /// The event.
        id: String,
        /// Why.
        code: RefusalCode,
        /// The same as a sentence.
        detail: &'static str,
        /// When to send it again.
        retry_after: Duration,
    },
}

impl From<Refused> for EventResult {
    fn from(refused: Refused) -> Self {
        let Refused { id, place, error, faults } = refused;
        Self::Rejected { id, code: error.code(), detail: error.to_string(), place, faults: faults.into_vec() }
    }
}

impl EventResult {
    /// What the producer says of event `id`. Its own words about the stream are not for senders: they name accounts
    /// and resources. The log has them.
    pub fn of_fate(id: String, fate: Fate) -> Self {
        let retry = |id, code, retry_after, detail| Self::Retry { id, code, detail, retry_after };
        match fate {
            Fate::Accepted { shard, sequence } => Self::Accepted { id, shard, sequence },
            Fate::Throttled { retry_after } => retry(
                id,
                RefusalCode::Throttled,
                retry_after,
                "the shard of this event takes no more just now; send the event again, unchanged",
            ),
            Fate::Unavailable { retry_after, .. } => retry(
                id,
                RefusalCode::StreamUnavailable,
                retry_after,
                "the stream gave no answer, so the event may be stored or not; send it again with the same id and \
                 source, and it counts once",
            ),
            Fate::OutOfTime { retry_after } => retry(
                id,
                RefusalCode::OutOfTime,
                retry_after,
                "there was no time left to store this event; send it again, unchanged",
            ),
            Fate::StreamRefused { retry_after } => retry(
                id,
                RefusalCode::StreamRefused,
                retry_after,
                "the stream does not take events from this endpoint just now; nothing is wrong with the event: send it \
                 again, unchanged. The log of the function has the reason for whoever runs it",
            ),
        }
    }

    /// Why the event is not stored; `None` if it is.
    pub(super) fn reason(&self) -> Option<(RefusalCode, &str)> {
        match self {
            Self::Accepted { .. } => None,
            Self::Rejected { code, detail, .. } => Some((*code, detail)),
            Self::Retry { code, detail, .. } => Some((*code, detail)),
        }
    }

    /// How long the sender should wait, if the event is to be sent again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Retry { retry_after, .. } => Some(*retry_after),
            Self::Accepted { .. } | Self::Rejected { .. } => None,
        }
    }
}

/// How many events came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Stored.
    pub accepted: usize,
    /// Something is wrong with them.
    pub rejected: usize,
    /// To be sent again.
    pub retry: usize,
}

impl Tally {
    /// Counts outcomes.
    pub fn of(outcomes: &[EventResult]) -> Self {
        let mut tally = Self::default();
        for outcome in outcomes {
            match outcome {
                EventResult::Accepted { .. } => tally.accepted += 1,
                EventResult::Rejected { .. } => tally.rejected += 1,
                EventResult::Retry { .. } => tally.retry += 1,
            }
        }
        tally
    }
}

/// How many events were rejected, by what is wrong with them.
pub(super) fn rejected_by_code(outcomes: &[EventResult]) -> BTreeMap<&'static str, u32> {
    let mut rejected = BTreeMap::new();
    for outcome in outcomes {
        if let EventResult::Rejected { code, .. } = outcome {
            *rejected.entry(code.name()).or_default() += 1;
        }
    }
    rejected
}

/// An outcome as it stands in `events` of an answer.
#[derive(Serialize)]
pub(super) struct Entry<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(flatten)]
    state: State<'a>,
}

#[derive(Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum State<'a> {
    Accepted {
        shard: &'a str,
        sequence: &'a str,
    },
    Rejected {
        code: &'static str,
        detail: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        pointer: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        header: Option<&'a str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        violations: Vec<ViolationEntry<'a>>,
    },
    Retry {
        code: &'static str,
        detail: &'a str,
        retry_after_ms: u64,
    },
}

/// One of the things that are wrong with the data of an event.
#[derive(Serialize)]
struct ViolationEntry<'a> {
    pointer: &'a str,
    keyword: &'a str,
    detail: &'a str,
}

/// The outcomes, each with its place in the request.
pub(super) fn entries(outcomes: &[EventResult]) -> Vec<Entry<'_>> {
    outcomes.iter().enumerate().map(|(index, outcome)| entry(index, outcome)).collect()
}

fn entry(index: usize, outcome: &EventResult) -> Entry<'_> {
    match outcome {
        EventResult::Accepted { id, shard, sequence } => {
            let state = State::Accepted { shard: shard.as_str(), sequence: sequence.as_str() };
            Entry { index, id: Some(id), state }
        }
        EventResult::Rejected { id, code, detail, place, faults } => {
            let (pointer, header) = match place {
                Some(Place::Pointer(pointer)) => (Some(pointer.as_str()), None),
                Some(Place::Header(header)) => (None, Some(header.as_str())),
                None => (None, None),
            };
            let violations = faults.iter().map(violation).collect();
            let state = State::Rejected { code: code.name(), detail, pointer, header, violations };
            Entry { index, id: id.as_deref(), state }
        }
        EventResult::Retry { id, code, detail, retry_after } => {
            let retry_after_ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
            Entry { index, id: Some(id), state: State::Retry { code: code.name(), detail, retry_after_ms } }
        }
    }
}

fn violation(fault: &Fault) -> ViolationEntry<'_> {
    let pointer = match &fault.place {
        Some(Place::Pointer(pointer)) => pointer.as_str(),
        // the body is the data, and all of it is meant
        Some(Place::Header(_)) | None => "",
    };
    ViolationEntry { pointer, keyword: &fault.keyword, detail: &fault.detail }
}

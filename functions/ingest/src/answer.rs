//! The answer: what became of each event of a request, and the one HTTP status over all of it.
//!
//! Guarantees: every event is in the answer once, in the order it was sent; the status of a request of which nothing
//! was stored is never a success; where anything can be sent again there is a `Retry-After`.
//! The shapes are in `docs/http.md`; problems are RFC 9457.

mod outcome;

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;

use crate::cloudevents;
use crate::code::RefusalCode;
use crate::encoding;

use outcome::Entry;
pub use outcome::{EventResult, Tally};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An answer on its way to the sender.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers, `Content-Type` among them.
    pub headers: HeaderMap,
    /// JSON.
    pub body: String,
    /// How many events came to what.
    pub tally: Tally,
    /// Why nothing was stored, if that has one reason.
    pub code: Option<RefusalCode>,
    /// What was wrong with events, each with its number; with a request as a whole, once.
    pub rejected: BTreeMap<&'static str, u32>,
}

#[derive(Serialize)]
struct Receipt<'a> {
    accepted: usize,
    rejected: usize,
    retry: usize,
    events: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    events: Vec<Entry<'a>>,
}

impl Answer {
    /// All is well, about no event in particular.
    pub fn healthy() -> Self {
        Self::new(200, JSON, r#"{"status":"ok"}"#.to_owned(), Tally::default())
    }

    /// The request as a whole is refused.
    pub fn problem(code: RefusalCode, detail: &str) -> Self {
        Self { rejected: BTreeMap::from([(code.name(), 1)]), ..Self::with_problem(code, detail, &[]) }
    }

    /// The path does not take the method; `allowed` is what it takes.
    pub fn method_not_allowed(allowed: &'static str) -> Self {
        let detail = format!("this path takes {allowed}");
        Self::problem(RefusalCode::MethodNotAllowed, &detail).with(ALLOW, HeaderValue::from_static(allowed))
    }

    /// One answer for the outcomes of all events of a request.
    pub fn of(outcomes: &[EventResult]) -> Self {
        let tally = Tally::of(outcomes);
        let answer = match judge(outcomes, tally) {
            Judgement::Receipt(status) => {
                let Tally { accepted, rejected, retry } = tally;
                let receipt = Receipt { accepted, rejected, retry, events: outcome::entries(outcomes) };
                Self::new(status, JSON, json(&receipt), tally)
            }
            Judgement::Problem(code, detail) => Self::with_problem(code, &detail, outcomes),
        };
        let answer = Self { rejected: outcome::rejected_by_code(outcomes), ..answer };
        match outcomes.iter().filter_map(EventResult::retry_after).max() {
            Some(wait) => answer.with(RETRY_AFTER, HeaderValue::from(whole_seconds(wait))),
            None => answer,
        }
    }

    fn with_problem(code: RefusalCode, detail: &str, outcomes: &[EventResult]) -> Self {
        let events = outcome::entries(outcomes);
        let (title, status) = (code.title(), code.status());
        let problem = Problem { r#type: code.urn(), title, status, detail, code: code.name(), events };
        let answer = Self { code: Some(code), ..Self::new(status, PROBLEM, json(&problem), Tally::of(outcomes)) };
        match code {
            RefusalCode::UnsupportedMediaType => answer.with(ACCEPT, HeaderValue::from_static(cloudevents::ACCEPTED)),
            RefusalCode::UnsupportedEncoding => {
                answer.with(ACCEPT_ENCODING, HeaderValue::from_static(encoding::ACCEPTED))
            }
            _ => answer,
        }
    }

    fn new(status: u16, content_type: HeaderValue, body: String, tally: Tally) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
        Self { status, headers, body, tally, code: None, rejected: BTreeMap::new() }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// What a request comes to as a whole.
enum Judgement {
    /// Something was stored, or nothing was sent, or the events need different treatment: each speaks for itself.
    Receipt(u16),
    /// Nothing was stored, for this reason.
    Problem(RefusalCode, String),
}

fn judge(outcomes: &[EventResult], tally: Tally) -> Judgement {
    let count = outcomes.len();
    if tally.accepted == count {
        return Judgement::Receipt(202);
    }
    let Some((code, detail)) = outcomes.first().and_then(EventResult::reason).filter(|_| tally.accepted == 0) else {
        return Judgement::Receipt(207);
    };
    if outcomes.iter().all(|outcome| outcome.reason().is_some_and(|(other, _)| other == code)) {
        return Judgement::Problem(
            code,
            match count {
                1 => detail.to_owned(),
                _ => format!("all {count} events have this problem; the first of them: {detail}"),
            },
        );
    }
    if tally.rejected == count {
        let detail = format!("none of the {count} events was taken, for different reasons; see `events`");
        return Judgement::Problem(RefusalCode::EventsRejected, detail);
    }
    if tally.retry == count {
        // nothing is wrong with the events, so this must not be a 4xx that makes a sender give them up
        let detail = format!("none of the {count} events was taken, for different reasons; send them all again");
        return Judgement::Problem(RefusalCode::StreamUnavailable, detail);
    }
    Judgement::Receipt(207)
}

/// What `Retry-After` can say: whole seconds, at least one.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

fn json(value: &impl Serialize) -> String {
    #[expect(clippy::expect_used, reason = "text and numbers only")]
    serde_json::to_string(value).expect("an answer has no part that JSON cannot say")
}

#[cfg(test)]
mod tests;

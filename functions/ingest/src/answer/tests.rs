use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::cloudevents::Place;

fn accepted(id: &str) -> EventResult {
    EventResult::Accepted {
        id: id.to_owned(),
        shard: penstock::ShardId::new("shardId-000000000000"),
        sequence: "4957".parse().unwrap(),
    }
}

fn rejected(code: RefusalCode) -> EventResult {
    let place = Some(Place::Pointer("/0/id".to_owned()));
    EventResult::Rejected { id: None, code, detail: "a sentence".to_owned(), place, faults: Vec::new() }
}

fn retry(code: RefusalCode, millis: u64) -> EventResult {
    EventResult::Retry { id: "r".to_owned(), code, detail: "again", retry_after: Duration::from_millis(millis) }
}

fn body(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

fn header(answer: &Answer, name: HeaderName) -> Option<&str> {
    answer.headers.get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn all_accepted_is_202() {
    let answer = Answer::of(&[accepted("a"), accepted("b")]);
    assert_eq!((answer.status, header(&answer, CONTENT_TYPE)), (202, Some("application/json")));
    assert_eq!(
        body(&answer),
        json!({"accepted": 2, "rejected": 0, "retry": 0, "events": [
            {"index": 0, "id": "a", "status": "accepted", "shard": "shardId-000000000000", "sequence": "4957"},
            {"index": 1, "id": "b", "status": "accepted", "shard": "shardId-000000000000", "sequence": "4957"},
        ]})
    );
    assert_eq!(header(&answer, RETRY_AFTER), None);
}

#[test]
fn no_events_are_202() {
    let answer = Answer::of(&[]);
    assert_eq!(answer.status, 202);
    assert_eq!(body(&answer), json!({"accepted": 0, "rejected": 0, "retry": 0, "events": []}));
}

#[test]
fn some_accepted_is_207_and_each_event_speaks_for_itself() {
    let answer =
        Answer::of(&[accepted("a"), rejected(RefusalCode::MissingAttribute), retry(RefusalCode::Throttled, 1200)]);
    assert_eq!((answer.status, header(&answer, RETRY_AFTER)), (207, Some("2")));
    assert_eq!(
        body(&answer),
        json!({"accepted": 1, "rejected": 1, "retry": 1, "events": [
            {"index": 0, "id": "a", "status": "accepted", "shard": "shardId-000000000000", "sequence": "4957"},
            {"index": 1, "status": "rejected", "code": "missing_attribute", "detail": "a sentence", "pointer": "/0/id"},
            {"index": 2, "id": "r", "status": "retry", "code": "throttled", "detail": "again", "retry_after_ms": 1200},
        ]})
    );
}

#[test]
fn one_refused_event_is_a_problem_with_its_own_sentence() {
    let answer = Answer::of(&[rejected(RefusalCode::EventTooLarge)]);
    assert_eq!((answer.status, header(&answer, CONTENT_TYPE)), (413, Some("application/problem+json")));
    assert_eq!(
        body(&answer),
        json!({"type": "urn:penstock:problem:event_too_large", "title": "The event is too large", "status": 413,
            "detail": "a sentence", "code": "event_too_large", "events": [
            {"index": 0, "status": "rejected", "code": "event_too_large", "detail": "a sentence", "pointer": "/0/id"},
        ]})
    );
}

#[test]
fn one_reason_for_all_gives_the_request_that_reasons_status() {
    let answer = Answer::of(&[retry(RefusalCode::Throttled, 10), retry(RefusalCode::Throttled, 2001)]);
    assert_eq!((answer.status, header(&answer, RETRY_AFTER)), (429, Some("3")));
    assert_eq!(body(&answer)["detail"], "all 2 events have this problem; the first of them: again");
    assert_eq!(Answer::of(&[retry(RefusalCode::StreamRefused, 0)]).status, 503);
    assert_eq!(Answer::of(&[retry(RefusalCode::OutOfTime, 0)]).status, 503);
}

#[test]
fn retry_after_is_never_zero() {
    assert_eq!(header(&Answer::of(&[retry(RefusalCode::OutOfTime, 0)]), RETRY_AFTER), Some("1"));
}

#[test]
fn different_reasons_to_refuse_are_400() {
    let answer = Answer::of(&[rejected(RefusalCode::MissingAttribute), rejected(RefusalCode::EventTooLarge)]);
    assert_eq!((answer.status, &body(&answer)["code"]), (400, &json!("events_rejected")));
    assert_eq!(body(&answer)["events"].as_array().unwrap().len(), 2);
}

#[test]
fn different_reasons_to_retry_are_never_the_senders_fault() {
    let answer = Answer::of(&[retry(RefusalCode::Throttled, 1000), retry(RefusalCode::OutOfTime, 1000)]);
    assert_eq!((answer.status, &body(&answer)["code"]), (503, &json!("stream_unavailable")));
}

#[test]
fn a_mix_of_refused_and_retry_is_207_because_they_need_different_treatment() {
    let answer = Answer::of(&[rejected(RefusalCode::MissingAttribute), retry(RefusalCode::Throttled, 1000)]);
    assert_eq!((answer.status, header(&answer, RETRY_AFTER)), (207, Some("1")));
}

#[test]
fn a_415_says_what_would_be_understood() {
    let answer = Answer::problem(RefusalCode::UnsupportedMediaType, "x");
    assert_eq!(header(&answer, ACCEPT), Some("application/cloudevents+json, application/cloudevents-batch+json"));
    assert_eq!(body(&answer)["events"], json!([]));
    let answer = Answer::problem(RefusalCode::UnsupportedEncoding, "x");
    assert_eq!(header(&answer, ACCEPT_ENCODING), Some("gzip, zstd"));
}

#[test]
fn a_fault_in_a_header_is_told_by_the_headers_name() {
    let place = Some(Place::Header("ce-id".to_owned()));
    let outcome = EventResult::Rejected {
        id: Some("7".to_owned()),
        code: RefusalCode::InvalidAttribute,
        detail: String::new(),
        place,
        faults: Vec::new(),
    };
    let entry = &body(&Answer::of(&[outcome]))["events"][0];
    assert_eq!((&entry["header"], &entry["id"], entry.get("pointer")), (&json!("ce-id"), &json!("7"), None));
}

#[test]
fn what_the_stream_says_stays_inside() {
    use penstock::producer::Fate;
    let secret = "arn:aws:kinesis:eu-west-1:123456789012:stream/events".to_owned();
    let fate = Fate::Unavailable { retry_after: Duration::from_secs(1), detail: secret };
    let answer = Answer::of(&[EventResult::of_fate("1".to_owned(), fate)]);
    assert!(!answer.body.contains("123456789012"), "{}", answer.body);
}

fn any_outcome() -> impl Strategy<Value = EventResult> {
    let rejections = prop::sample::select(vec![RefusalCode::MissingAttribute, RefusalCode::TooDeep]);
    let retries = vec![
        RefusalCode::Throttled,
        RefusalCode::StreamRefused,
        RefusalCode::StreamUnavailable,
        RefusalCode::OutOfTime,
    ];
    let retries = prop::sample::select(retries);
    prop_oneof![
        Just(accepted("a")),
        rejections.prop_map(rejected),
        (retries, 0..5000u64).prop_map(|(code, millis)| retry(code, millis)),
    ]
}

proptest! {
    #[test]
    fn every_event_is_answered_once_and_no_refusal_looks_like_success(
        outcomes in proptest::collection::vec(any_outcome(), 0..6)
    ) {
        let answer = Answer::of(&outcomes);
        let Tally { accepted, rejected, retry } = answer.tally;
        prop_assert_eq!(accepted + rejected + retry, outcomes.len());
        prop_assert_eq!(body(&answer)["events"].as_array().unwrap().len(), outcomes.len());
        prop_assert_eq!(answer.status == 202, accepted == outcomes.len());
        prop_assert_eq!(header(&answer, RETRY_AFTER).is_some(), retry > 0);
        if accepted > 0 {
            prop_assert!(answer.status < 300);
        }
    }
}

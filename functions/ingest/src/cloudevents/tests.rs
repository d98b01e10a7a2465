use http::HeaderValue;
use http::header::HeaderName;
use proptest::prelude::*;

use super::*;
use crate::code::RefusalCode;

const STRUCTURED: &str = "application/cloudevents+json";
const BATCHED: &str = "application/cloudevents-batch+json";
const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
}

fn read_with(limits: &Limits, pairs: &[(&str, &str)], body: &[u8]) -> Result<Vec<Judged>, Error> {
    let keys = serde_json::from_str(r#"{"keyed":"/order/id"}"#).unwrap();
    let headers = headers(pairs);
    let (schemas, trace) = (View::none(), RequestTrace::of(&headers, None));
    let read = super::read(limits, &headers, body)?;
    Ok(Rules { limits, keys: &keys, schemas: &schemas, trace: &trace }.judge(read))
}

fn read(pairs: &[(&str, &str)], body: impl AsRef<[u8]>) -> Result<Vec<Judged>, Error> {
    read_with(&Limits::DEFAULT, pairs, body.as_ref())
}

fn structured(body: impl AsRef<[u8]>) -> Result<Vec<Judged>, Error> {
    read(&[("content-type", STRUCTURED)], body)
}

fn batched(body: impl AsRef<[u8]>) -> Result<Vec<Judged>, Error> {
    read(&[("content-type", BATCHED)], body)
}

/// A binary request with all required attributes and more, or with others in their place.
fn binary(more: &[(&str, &str)], body: impl AsRef<[u8]>) -> Judged {
    let required = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];
    let kept = required.into_iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
    let pairs: Vec<_> = kept.chain(more.iter().copied()).collect();
    read(&pairs, body).unwrap().remove(0)
}

fn fault(judged: &Judged) -> (&'static str, Option<Place>) {
    let refused = judged.as_ref().unwrap_err();
    (refused.error.code().name(), refused.place.clone())
}

fn pointer(text: &str) -> Option<Place> {
    Some(Place::Pointer(text.to_owned()))
}

fn in_header(text: &str) -> Option<Place> {
    Some(Place::Header(text.to_owned()))
}

/// An event as it is stored, without the trace context that every one gets.
fn body(ready: &Ready) -> String {
    let trace = format!(r#","traceparent":"{}""#, ready.named.trace);
    assert_eq!(ready.outgoing.body.matches(&trace).count(), 1, "{trace} in {}", ready.outgoing.body);
    ready.outgoing.body.replace(&trace, "")
}

#[test]
fn a_structured_event_is_ready_as_it_was_sent() {
    let judged = structured(EVENT).unwrap();
    let ready = judged[0].as_ref().unwrap();
    assert_eq!((ready.named.id.as_str(), body(ready).as_str()), ("1", EVENT));
}

#[test]
fn the_trace_of_an_event_is_that_of_its_request_whatever_the_event_says() {
    let [of_request, of_event] = ["4bf92f3577b34da6a3ce929d0e0e4736", "11111111111111111111111111111111"];
    let trace = |id| format!("00-{id}-00f067aa0ba902b7-01");
    let claims = format!(r#","traceparent":"{}","tracestate":"x=1"}}"#, trace(of_event));
    let headers = [("content-type", STRUCTURED), ("traceparent", &*trace(of_request)), ("tracestate", "a=1")];
    let judged = read(&headers, EVENT.replace('}', &claims)).unwrap();
    let added = format!(r#","traceparent":"{}","tracestate":"a=1"}}"#, trace(of_request));
    assert_eq!(judged[0].as_ref().unwrap().outgoing.body, EVENT.replace('}', &added));
}

#[test]
fn an_event_with_all_the_extensions_it_may_have_is_still_one_on_the_stream() {
    let extensions: String = (0..Limits::DEFAULT.extensions).map(|n| format!(r#","e{n}":"x""#)).collect();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [("content-type", STRUCTURED), ("traceparent", trace), ("tracestate", "a=1")];
    let judged = read(&headers, EVENT.replace('}', &(extensions + "}"))).unwrap();
    let record = penstock::batch::Record {
        sequence: "1".parse().unwrap(),
        arrival: penstock::time::Timestamp(1),
        partition_key: "k".to_owned(),
        data: judged[0].as_ref().unwrap().outgoing.body.clone().into(),
    };
    let batch = penstock::batch::ShardBatch { shard: penstock::ShardId::new("s"), records: vec![record] };
    let deliveries = batch.deliveries(&penstock::fingerprint::Fingerprinter::new("x"));
    assert!(deliveries[0].content.is_ok(), "{:?}", deliveries[0].content);
}

#[test]
fn what_the_server_adds_counts_not_against_the_bound_of_an_event() {
    let limits = Limits { event_bytes: EVENT.len(), ..Limits::DEFAULT };
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [("content-type", STRUCTURED), ("traceparent", trace), ("tracestate", "a=1,b=2")];
    assert!(read_with(&limits, &headers, EVENT.as_bytes()).unwrap()[0].is_ok());
}

#[test]
fn every_rule_of_an_event_is_told_by_its_code_and_pointer() {
    let deep = format!(
        r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{}{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let rows = [
        (r#"{"specversion":"1.0","source":"/s","type":"t"}"#, "missing_attribute", pointer("/id")),
        (
            r#"{"specversion":"0.3","id":"1","source":"/s","type":"t"}"#,
            "unsupported_specversion",
            pointer("/specversion"),
        ),
        (r#"{"specversion":"1.0","id":"1","id":"2","source":"/s","type":"t"}"#, "duplicate_attribute", pointer("/id")),
        (
            r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"a\u0000"}"#,
            "invalid_attribute",
            pointer("/subject"),
        ),
        (
            r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"*"}"#,
            "invalid_data",
            pointer("/data_base64"),
        ),
        (
            r#"{"specversion":"1.0","id":"1","source":"/s","type":"keyed","data":{}}"#,
            "invalid_partition_key",
            pointer("/data/order/id"),
        ),
        (deep.as_str(), "too_deep", None),
        ("[]", "not_an_event", None),
        ("{", "malformed_json", None),
        (r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"} x"#, "malformed_json", None),
    ];
    for (body, code, place) in rows {
        assert_eq!(fault(&structured(body).unwrap()[0]), (code, place), "{}", &body[..body.len().min(80)]);
    }
}

#[test]
fn one_bad_event_refuses_no_other_of_its_batch() {
    let judged = batched(format!(r#"[{EVENT}, {{"id":"2"}}, 7, {EVENT}]"#)).unwrap();
    assert_eq!(judged.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false, true]);
    assert_eq!(fault(&judged[1]), ("missing_attribute", pointer("/1/specversion")));
    assert_eq!(judged[1].as_ref().unwrap_err().id.as_deref(), Some("2"));
    assert_eq!(fault(&judged[2]), ("not_an_event", pointer("/2")));
    assert_eq!(judged[2].as_ref().unwrap_err().id, None);
}

#[test]
fn an_id_that_is_too_long_is_not_sent_back() {
    let judged = structured(format!(r#"{{"id":"{}"}}"#, "x".repeat(257))).unwrap();
    assert_eq!(judged[0].as_ref().unwrap_err().id, None);
}

#[test]
fn an_empty_batch_has_no_events_and_501_are_too_many() {
    assert!(batched("[]").unwrap().is_empty());
    let of = |count: usize| format!("[{}]", vec![EVENT; count].join(","));
    assert_eq!(batched(of(500)).unwrap().len(), 500);
    assert_eq!(batched(of(501)).unwrap_err(), Error::TooManyEvents { found: 501, max: 500 });
}

#[test]
fn a_body_that_is_empty_or_not_utf_8_is_refused_as_a_whole() {
    for body in ["", " \r\n"] {
        assert_eq!(structured(body).unwrap_err(), Error::Empty);
        assert_eq!(batched(body).unwrap_err(), Error::Empty);
    }
    let error = structured(b"{\"id\":\"\xFF\"}").unwrap_err();
    assert_eq!((error.code(), error), (RefusalCode::InvalidUtf8, Error::Utf8 { offset: 7 }));
}

#[test]
fn the_bound_is_on_the_event_as_it_is_stored() {
    let limits = Limits { event_bytes: 200, ..Limits::DEFAULT };
    let kind = ("content-type", "application/octet-stream");
    let attributes = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t"), kind];
    // 100 bytes of data stay under the bound, 136 characters of base64 and the attributes do not
    let judged = read_with(&limits, &attributes, &[0; 100]).unwrap();
    assert_eq!(fault(&judged[0]), ("event_too_large", None));
    assert!(read_with(&limits, &attributes, &[0; 40]).unwrap()[0].is_ok());
    assert_eq!(fault(&read_with(&limits, &attributes, &[0; 201]).unwrap()[0]), ("event_too_large", None));
}

#[test]
fn a_binary_event_is_made_of_headers_and_body() {
    let more = [("content-type", "application/json"), ("ce-subject", "caf%C3%A9%20%22x%22"), ("ce-tenant", "7")];
    let ready = binary(&more, r#" {"a" : 1.0} "#).unwrap();
    let expected = concat!(
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"café \"x\"","#,
        r#""datacontenttype":"application/json","tenant":"7","data":{"a" : 1.0}}"#
    );
    assert_eq!(body(&ready), expected);
    assert_eq!(ready.outgoing.key.as_str(), "café \"x\"");
}

#[test]
fn binary_data_that_is_not_json_is_kept_as_bytes() {
    let body = |more: &[(&str, &str)], data: &[u8]| self::body(&binary(more, data).unwrap());
    assert!(
        body(&[("content-type", "text/plain; charset=latin1")], b"caf\xE9")
            .ends_with(r#""datacontenttype":"text/plain; charset=latin1","data_base64":"Y2Fm6Q=="}"#)
    );
    assert!(body(&[], b"{}").ends_with(r#""type":"t","data_base64":"e30="}"#), "no type: nothing says it is JSON");
    assert_eq!(
        body(&[("content-type", "application/json")], b""),
        EVENT.replace('}', r#","datacontenttype":"application/json"}"#)
    );
}

#[test]
fn binary_data_that_calls_itself_json_has_to_be_json() {
    let json = ("content-type", "application/vnd.order+json");
    for body in ["{", "{} {}", "nope", " "] {
        assert_eq!(fault(&binary(&[json], body)), ("invalid_data", None), "{body}");
    }
    let judged = binary(&[json], b"\"ab\xFF\"");
    assert_eq!(fault(&judged), ("invalid_utf8", None));
    assert!(judged.unwrap_err().error.to_string().contains("offset 3"));
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    assert_eq!(fault(&binary(&[json], deep)), ("too_deep", None));
    let keyed = [json, ("ce-type", "keyed")];
    assert_eq!(fault(&binary(&keyed, "{}")), ("invalid_partition_key", pointer("/order/id")));
}

#[test]
fn a_fault_of_a_binary_event_names_the_header() {
    let rows = [
        ("ce-specversion", "2.0", "unsupported_specversion", "ce-specversion"),
        ("ce-id", "a%00b", "invalid_attribute", "ce-id"),
        ("ce-id", "a%0d%0aX-Evil:%20yes", "invalid_attribute", "ce-id"),
        ("ce-subject", "%zz", "invalid_attribute", "ce-subject"),
        ("ce-subject", "%C0%80", "invalid_attribute", "ce-subject"),
        ("ce-subject", "\"open", "invalid_attribute", "ce-subject"),
        ("ce-time", "yesterday", "invalid_attribute", "ce-time"),
        ("ce-bad_name", "x", "invalid_attribute", "ce-bad_name"),
        ("ce-", "x", "invalid_attribute", "ce-"),
        ("ce-data", "x", "invalid_attribute", "ce-data"),
        ("ce-datacontenttype", "application/json", "invalid_attribute", "ce-datacontenttype"),
    ];
    for (name, value, code, header) in rows {
        let judged = binary(&[(name, value)], "");
        assert_eq!(fault(&judged), (code, in_header(header)), "{name}: {value}");
    }
    let missing = read(&[("ce-type", "t"), ("ce-source", "/s"), ("ce-specversion", "1.0")], "").unwrap();
    assert_eq!(fault(&missing[0]), ("missing_attribute", in_header("ce-id")));
}

#[test]
fn a_header_that_comes_twice_is_a_duplicate_attribute() {
    let mut twice = headers(&[("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")]);
    twice.append("ce-id", HeaderValue::from_static("2"));
    let (keys, schemas, trace) = (KeyRules::default(), View::none(), RequestTrace::of(&twice, None));
    let rules = Rules { limits: &Limits::DEFAULT, keys: &keys, schemas: &schemas, trace: &trace };
    let judged = rules.judge(super::read(&Limits::DEFAULT, &twice, b"").unwrap());
    assert_eq!(fault(&judged[0]), ("duplicate_attribute", in_header("ce-id")));
}

proptest! {
    #[test]
    fn no_request_panics_and_whatever_is_ready_is_an_event_within_the_bounds(
        kind in prop::sample::select(vec!["", STRUCTURED, BATCHED, "application/json", "text/plain", ";;", "a/b;c=\""]),
        attributes in proptest::collection::vec(("ce-[a-z_]{0,22}", "[ -~é%\"\\\\]{0,12}"), 0..4),
        whole in any::<bool>(),
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            "[\\[\\]{},:\"a0 ]{0,40}".prop_map(String::into_bytes),
            Just(format!("[{EVENT},{{}},null]").into_bytes()),
        ],
    ) {
        let mut pairs: Vec<(&str, &str)> = attributes.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        if !kind.is_empty() {
            pairs.push(("content-type", kind));
        }
        if whole {
            pairs.extend([("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")]);
        }
        for ready in read(&pairs, body).into_iter().flatten().flatten() {
            let stored = Event::from_json(&ready.outgoing.body, &Limits::DEFAULT).unwrap();
            prop_assert_eq!(stored.id(), ready.named.id);
        }
    }
}

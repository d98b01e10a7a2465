use std::sync::atomic::{AtomicU32, Ordering};

use penstock::Limits;
use penstock_schema::Policy;

use super::*;
use crate::code::RefusalCode;

/// A registry that answers, or does not.
#[derive(Debug, Default)]
struct Scripted {
    index: Mutex<Option<Index>>,
    versions: Vec<Kept>,
    hangs: bool,
    asked: AtomicU32,
    versions_asked: AtomicU32,
}

impl Registry for Scripted {
    async fn index(&self, _: bool) -> Result<Index, Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.hangs {
            std::future::pending::<()>().await;
        }
        self.index.lock().unwrap().clone().ok_or_else(|| Error::Throttled("too much".to_owned()))
    }

    async fn versions(&self, ids: &[SchemaId]) -> Result<Vec<Kept>, Error> {
        self.versions_asked.fetch_add(1, Ordering::Relaxed);
        if self.index.lock().unwrap().is_none() {
            return Err(Error::Throttled("too much".to_owned()));
        }
        Ok(self.versions.iter().filter(|kept| ids.contains(&kept.id)).cloned().collect())
    }

    async fn publish(&self, _: &Index, _: &[Kept]) -> Result<Published, Error> {
        unreachable!("ingest publishes nothing")
    }
}

const ONE: &str = r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}}"#;
const TWO: &str =
    r#"{"type":"object","required":["n"],"properties":{"n":{"type":"number"},"deep":{"items":{"minLength":2}}}}"#;
const POLICY: &str = r#"{"compatibility":"FULL_TRANSITIVE","partition_key":"/n"}"#;

fn kept(version: u32, text: &str) -> Kept {
    Kept { id: SchemaId { kind: "a.b".parse().unwrap(), version }, text: text.to_owned() }
}

fn index(policy: &str, readable_from: &[u32]) -> Index {
    let listed = Listed { policy: Policy::parse(policy).unwrap(), readable_from: readable_from.to_vec() };
    Index { revision: 1, types: [("a.b".parse().unwrap(), listed)].into() }
}

fn registry(policy: &str) -> Scripted {
    let versions = vec![kept(1, ONE), kept(2, TWO)];
    Scripted { index: Mutex::new(Some(index(policy, &[1, 1]))), versions, ..Scripted::default() }
}

fn bundle() -> Bundle {
    Bundle::of(&[("a.b", POLICY, &[ONE])])
}

fn event(more: &str) -> Event {
    let text = format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"a.b"{more}}}"#);
    Event::from_json(&text, &Limits::DEFAULT).unwrap()
}

fn judged_at(
    schemas: &Schemas<Scripted>,
    now: u64,
    event: &Event,
    runtime: &tokio::runtime::Runtime,
) -> Result<Option<Judged>, SchemaFault> {
    runtime.block_on(async {
        let view = schemas.prepare(std::iter::once(event), Timestamp(now)).await;
        // what was begun beside the request
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        view.judge(event, &mut EXPLAINED_BYTES.clone())
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn judge(registry: Scripted, event: &Event) -> Result<Option<Judged>, SchemaFault> {
    let schemas = Schemas::of(Some(Arc::new(registry)), bundle(), Undeclared::Pass);
    judged_at(&schemas, 1000, event, &runtime())
}

fn judgement(version: u32, readable_from: u32) -> Option<Judged> {
    Some(Judged { version, readable_from })
}

#[test]
fn an_event_is_judged_by_what_it_names_or_by_the_latest() {
    assert_eq!(judge(registry("{}"), &event(r#","data":{"n":1.5}"#)), Ok(judgement(2, 1)));
    let one = r#","dataschema":"urn:penstock:schema:a.b:1","data":{"n":1}"#;
    assert_eq!(judge(registry("{}"), &event(one)), Ok(judgement(1, 1)));
    let fault = judge(registry("{}"), &event(r#","dataschema":"urn:penstock:schema:a.b:1","data":{"n":1.5}"#));
    assert!(matches!(&fault, Err(SchemaFault::Invalid { id, violations }) if id.version == 1 && violations.len() == 1));
    assert_eq!(fault.unwrap_err().pointer(), "/data/n");
}

#[test]
fn every_fault_is_told_with_its_place() {
    let fault = judge(registry("{}"), &event(r#","data":{"deep":["ab","c","d"]}"#)).unwrap_err();
    let SchemaFault::Invalid { violations, .. } = &fault else { panic!("{fault}") };
    let places: Vec<_> = violations.iter().map(|violation| violation.pointer.as_str()).collect();
    assert_eq!(places, ["/deep/1", "/deep/2", "/n"]);
    assert!(fault.to_string().ends_with("and 2 more"), "{fault}");
    assert_eq!(judge(registry("{}"), &event("")).unwrap_err().code(), RefusalCode::SchemaViolation);
    let binary = event(r#","datacontenttype":"image/png","data_base64":"AA==""#);
    assert!(matches!(judge(registry("{}"), &binary), Err(SchemaFault::NotJson(_))));
}

#[test]
fn data_that_reads_differently_for_different_readers_is_refused() {
    let fault = judge(registry("{}"), &event(r#","data":{"n":1,"n":"x"}"#)).unwrap_err();
    assert!(fault.to_string().contains("the member `n` is there twice"), "{fault}");
    assert_eq!((fault.code(), fault.pointer().as_str()), (RefusalCode::SchemaViolation, "/data"));
}

#[test]
fn a_type_that_was_published_a_moment_ago_is_found_when_an_event_names_it_and_refused_if_it_is_nowhere() {
    let runtime = runtime();
    let scripted = Arc::new(Scripted { index: Mutex::new(Some(Index::default())), ..registry("{}") });
    let schemas = Schemas::of(Some(Arc::clone(&scripted)), Bundle::default(), Undeclared::Pass);
    let named = event(r#","dataschema":"urn:penstock:schema:a.b:1","data":{"n":1}"#);
    let fault = judged_at(&schemas, 1000, &named, &runtime).unwrap_err();
    assert_eq!(fault.to_string(), "`urn:penstock:schema:a.b:1` is not published; the type has no version");
    *scripted.index.lock().unwrap() = Some(index("{}", &[1]));
    assert_eq!(judged_at(&schemas, 1200, &named, &runtime), Ok(judgement(1, 1)));
}

#[test]
fn a_version_that_may_pass_is_looked_for_first() {
    let runtime = runtime();
    let policy = r#"{"undeclared_versions":"pass"}"#;
    let scripted = Arc::new(Scripted { index: Mutex::new(Some(index(policy, &[1]))), ..registry(policy) });
    let schemas = Schemas::of(Some(Arc::clone(&scripted)), Bundle::default(), Undeclared::Pass);
    let two = event(r#","dataschema":"urn:penstock:schema:a.b:2","data":{"n":"x"}"#);
    assert_eq!(judged_at(&schemas, 1000, &two, &runtime), Ok(None), "it is nowhere");
    *scripted.index.lock().unwrap() = Some(index(policy, &[1, 1]));
    assert!(judged_at(&schemas, 1200, &two, &runtime).is_err());
}

#[test]
fn after_a_while_without_requests_the_index_is_read_before_the_first_of_them() {
    let runtime = runtime();
    let scripted = Arc::new(Scripted { index: Mutex::new(Some(index("{}", &[1]))), ..registry("{}") });
    let schemas = Schemas::of(Some(Arc::clone(&scripted)), Bundle::default(), Undeclared::Pass);
    let one = event(r#","data":{"n":1}"#);
    assert_eq!(judged_at(&schemas, 1000, &one, &runtime), Ok(judgement(1, 1)));
    *scripted.index.lock().unwrap() = Some(index("{}", &[1, 1]));
    assert_eq!(judged_at(&schemas, 1000 + 121_000, &one, &runtime), Ok(judgement(2, 1)));
}

#[test]
fn what_is_not_there_is_refused_or_passes_as_the_policy_has_it() {
    for (schema, passes) in [("urn:penstock:schema:a.b:9", true), ("https://example.com/a.json", true)] {
        let event = event(&format!(r#","dataschema":"{schema}","data":{{}}"#));
        assert_eq!(judge(registry("{}"), &event).unwrap_err().code(), RefusalCode::UnknownSchema);
        assert_eq!(judge(registry(r#"{"undeclared_versions":"pass"}"#), &event).is_ok(), passes, "{schema}");
    }
    let other = event(r#","dataschema":"urn:penstock:schema:c.d:1","data":{}"#);
    assert!(matches!(judge(registry(r#"{"undeclared_versions":"pass"}"#), &other), Err(SchemaFault::OtherType { .. })));
    let unnamed = Event::from_json(r#"{"specversion":"1.0","id":"1","source":"s","type":"A/../b"}"#, &Limits::DEFAULT);
    let unnamed = unnamed.unwrap();
    assert_eq!(judge(registry("{}"), &unnamed), Ok(None));
    let strict = Schemas::of(None::<Arc<Scripted>>, bundle(), Undeclared::Reject);
    assert!(matches!(judged_at(&strict, 0, &unnamed, &runtime()), Err(SchemaFault::UndeclaredType(_))));
}

#[test]
fn a_registry_that_is_away_or_hangs_leaves_what_is_built_in() {
    let hangs = Scripted { hangs: true, ..registry("{}") };
    for registry in [Scripted::default(), hangs] {
        assert_eq!(judge(registry, &event(r#","data":{"n":1}"#)), Ok(judgement(1, 1)));
    }
    assert!(judge(Scripted::default(), &event(r#","data":{"n":"x"}"#)).is_err());
}

#[test]
fn what_was_read_last_holds_while_the_registry_is_away_and_what_is_new_is_found_in_time() {
    let runtime = runtime();
    let scripted = Arc::new(Scripted { index: Mutex::new(Some(index("{}", &[1]))), ..registry("{}") });
    let schemas = Schemas::of(Some(Arc::clone(&scripted)), Bundle::default(), Undeclared::Pass);
    let good = event(r#","data":{"n":1}"#);
    let at = |now| judged_at(&schemas, now, &good, &runtime);
    assert_eq!(at(1000), Ok(judgement(1, 1)));
    *scripted.index.lock().unwrap() = None;
    assert_eq!((at(50_000), scripted.asked.load(Ordering::Relaxed)), (Ok(judgement(1, 1)), 1));
    assert_eq!((at(62_000), scripted.asked.load(Ordering::Relaxed)), (Ok(judgement(1, 1)), 2));
    assert_eq!((at(63_000), scripted.asked.load(Ordering::Relaxed)), (Ok(judgement(1, 1)), 2), "it rests");
    *scripted.index.lock().unwrap() = Some(index("{}", &[1, 1]));
    assert_eq!(at(68_000), Ok(judgement(1, 1)), "read beside this one");
    assert_eq!(at(68_001), Ok(judgement(2, 1)));
}

#[test]
fn a_version_that_was_published_a_moment_ago_is_found_when_an_event_names_it() {
    let runtime = runtime();
    let scripted = Arc::new(Scripted { index: Mutex::new(Some(index("{}", &[1]))), ..registry("{}") });
    let schemas = Schemas::of(Some(Arc::clone(&scripted)), Bundle::default(), Undeclared::Pass);
    let two = event(r#","dataschema":"urn:penstock:schema:a.b:2","data":{"n":1.5}"#);
    let at = |now| judged_at(&schemas, now, &two, &runtime);
    assert!(at(1000).is_err());
    *scripted.index.lock().unwrap() = Some(index("{}", &[1, 1]));
    let began = std::time::Instant::now();
    assert_eq!(at(1060), Ok(judgement(2, 1)));
    assert!(began.elapsed() >= Duration::from_millis(40), "it is not asked more often than that");
}

#[test]
fn versions_that_cannot_be_had_are_not_asked_for_with_each_request() {
    let runtime = runtime();
    let scripted = Arc::new(Scripted::default());
    let schemas = Schemas::of(Some(Arc::clone(&scripted)), Bundle::default(), Undeclared::Pass);
    schemas.known().index = Some(Arc::new(index("{}", &[1])));
    let event = event(r#","data":{"n":1}"#);
    for now in [100_000, 100_001, 104_999, 105_000] {
        assert_eq!(judged_at(&schemas, now, &event, &runtime), Ok(None));
    }
    assert_eq!(scripted.versions_asked.load(Ordering::Relaxed), 2);
}

#[test]
fn a_version_that_nobody_can_give_passes_and_is_not_said_to_be_judged() {
    let lost = Scripted { versions: Vec::new(), ..registry("{}") };
    let schemas = Schemas::of(Some(Arc::new(lost)), Bundle::default(), Undeclared::Pass);
    assert_eq!(judged_at(&schemas, 1000, &event(r#","data":{"n":"x"}"#), &runtime()), Ok(None));
}

#[test]
fn a_request_has_a_budget_for_what_is_wrong() {
    let schemas = Schemas::of(Some(Arc::new(registry("{}"))), bundle(), Undeclared::Pass);
    let bad = event(r#","data":{"n":"x"}"#);
    let view = runtime().block_on(schemas.prepare(std::iter::once(&bad), Timestamp(1000)));
    let mut budget = 12;
    let counts: Vec<usize> = (0..2)
        .map(|_| match view.judge(&bad, &mut budget) {
            Err(SchemaFault::Invalid { violations, .. }) => violations.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(counts, [1, 0]);
}

#[test]
fn the_schemas_of_this_build_are_schemas() {
    let bundle = Bundle::of_build();
    assert!(bundle.versions.len() >= 5, "{bundle:?}");
    for Kept { id, text } in bundle.versions {
        Schema::parse(id, &text).unwrap();
    }
}

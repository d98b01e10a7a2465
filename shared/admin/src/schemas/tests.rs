use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use penstock_schema::registry::{Memory, Published};

use super::*;

const CLOSED: &str = r#"{"compatibility":"FULL_TRANSITIVE"}"#;

fn write(folder: &Path, files: &[(&str, &[u8])]) {
    for (name, bytes) in files {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
}

fn folder(files: &[(&str, &str)]) -> Folder {
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    let place = tempfile::tempdir().unwrap();
    write(place.path(), &files);
    Folder::read(place.path()).unwrap()
}

fn told(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn everything_that_is_wrong_in_a_folder_is_told_at_once() {
    let place = tempfile::tempdir().unwrap();
    let large = vec![b' '; lint_bytes() + 1];
    write(
        place.path(),
        &[
            ("README.md", b"#"),
            (".gitkeep", b""),
            ("notes.txt", b""),
            ("Order/1.json", b"{}"),
            ("a..b/1.json", b"{}"),
            ("a/README.md", b"#"),
            ("a/1.json", b"{}"),
            ("a/01.json", b"{}"),
            ("a/2.yaml", b"{}"),
            ("a/4.json", b"{\"typ\":1,\"$ref\":\"https://example.com\"}"),
            ("b/policy.json", b"{\"compat\":1}"),
            ("c/1.json", b"\xff{}"),
            ("d/1.json", &large),
            ("e/1.json", b"{"),
            ("e/x/1.json", b"{"),
        ],
    );
    let found = Folder::read(place.path()).unwrap();
    let expected = [
        ("Order: ", "cannot name a type"),
        ("a..b: ", "cannot name a type"),
        ("a/01.json: ", "is no version"),
        ("a/2.json: ", "is missing, and there is a version 4"),
        ("a/2.yaml: ", "is neither a version"),
        ("a/4.json: /$ref: ", "nothing is fetched"),
        ("a/4.json: /typ: ", "is no keyword"),
        ("b: ", "has no version"),
        ("b/policy.json: ", "unknown field `compat`"),
        ("c/1.json: ", "is not UTF-8 from byte 0"),
        ("d/1.json: ", "65537 bytes"),
        ("e/1.json: ", "not JSON"),
        ("e/x: ", "is neither a version"),
        ("notes.txt: ", "is not the folder of a type"),
    ];
    let faults = told(&found.faults);
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for (fault, (file, text)) in faults.iter().zip(expected) {
        assert!(fault.starts_with(file) && fault.contains(text), "{fault}");
    }
    assert!(Folder::read(&place.path().join("none")).is_err());
}

fn lint_bytes() -> usize {
    penstock_schema::lint::BYTES_MAX
}

const ONE: &str = r#"{"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":false}"#;
const TWO: &str =
    r#"{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"additionalProperties":false}"#;
const NARROW: &str =
    r#"{"type":"object","properties":{"a":{"type":"integer","maximum":5}},"additionalProperties":false}"#;

#[test]
fn each_version_of_a_folder_is_judged_by_all_before_it_the_refused_ones_too() {
    let found = folder(&[("a/policy.json", CLOSED), ("a/1.json", ONE), ("a/2.json", NARROW), ("a/3.json", ONE)]);
    assert_eq!(told(&found.faults), [""; 0]);
    let judged = found.judge();
    let ends: Vec<_> = judged.iter().map(|judged| judged.step.is_ok()).collect();
    assert_eq!(ends, [true, false, false]);
    let third = judged[2].step.as_ref().unwrap_err().to_string();
    assert!(third.starts_with("not forward compatible with version 2"), "{third}");
}

#[tokio::test]
async fn a_folder_is_published_once_and_what_follows_is_added() {
    let registry = Memory::default();
    let mut files = vec![("a/policy.json", CLOSED), ("a/1.json", ONE), ("b/1.json", "{}")];
    let dry = publish(&registry, &folder(&files), true).await.unwrap();
    assert_eq!(registry.index(true).await.unwrap().revision, 0);
    let first = publish(&registry, &folder(&files), false).await.unwrap();
    assert_eq!((first.revision, &first), (1, &dry));
    let again = publish(&registry, &folder(&files), false).await.unwrap();
    assert_eq!((again.revision, again.changes.len()), (1, 0));

    files.push(("a/2.json", TWO));
    let policy = r#"{"compatibility":"FULL"}"#;
    files[0].1 = policy;
    let second = publish(&registry, &folder(&files), false).await.unwrap();
    let (_, changes) = second.changes.first_key_value().unwrap();
    assert_eq!((second.revision, second.changes.len(), &changes.new), (2, 1, &vec![2]));
    assert!(matches!(&changes.policy, PolicyChange::Changed { .. }), "{changes:?}");
    let index = registry.index(true).await.unwrap();
    assert_eq!(index.types[&"a".parse().unwrap()].readable_from, [1, 1]);
    let catalogue = load(&registry, &index, |kind| kind.as_str() == "a").await.unwrap();
    assert_eq!(catalogue.len(), 1);
    assert_eq!(catalogue.values().next().unwrap().get(2).unwrap().schema.text(), TWO);
}

#[tokio::test]
async fn nothing_is_published_if_one_version_is_refused() {
    let registry = Memory::default();
    publish(&registry, &folder(&[("a/1.json", ONE), ("a/2.json", TWO)]), false).await.unwrap();
    let files =
        [("a/1.json", "{ }"), ("b/1.json", "{}"), ("c/policy.json", CLOSED), ("c/1.json", ONE), ("c/2.json", NARROW)];
    let Err(Error::Refused(refusals)) = publish(&registry, &folder(&files), false).await else { panic!("taken") };
    let told: Vec<_> = refusals.iter().map(|refusal| format!("{}:{}", refusal.id.kind, refusal.id.version)).collect();
    assert_eq!(told, ["a:2", "a:1", "c:2"]);
    assert_eq!(refusals[0].why, Unfit::Missing);
    assert_eq!(registry.index(true).await.unwrap().revision, 1);
}

#[tokio::test]
async fn more_versions_than_a_transaction_takes_are_published_in_parts() {
    let texts: Vec<String> = (1..=120).map(|n| format!(r#"{{"title":"{n}"}}"#)).collect();
    let names: Vec<String> = (1..=120).map(|n| format!("a{}/1.json", n)).collect();
    let files: Vec<_> = names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
    let registry = Memory::default();
    let publication = publish(&registry, &folder(&files), false).await.unwrap();
    assert_eq!((publication.revision, publication.changes.len()), (3, 120));
    let index = registry.index(true).await.unwrap();
    assert_eq!(load(&registry, &index, |_| true).await.unwrap().len(), 120);
}

/// A registry in which somebody else is faster, so many times.
struct Raced(Memory, AtomicU32);

impl Registry for Raced {
    async fn index(&self, fresh: bool) -> Result<Index, ports::Error> {
        assert!(fresh);
        self.0.index(fresh).await
    }
    async fn versions(&self, ids: &[SchemaId]) -> Result<Vec<Kept>, ports::Error> {
        self.0.versions(ids).await
    }
    async fn publish(&self, index: &Index, new: &[Kept]) -> Result<Published, ports::Error> {
        let left = self.1.load(Ordering::Relaxed);
        if left > 0 {
            self.1.store(left - 1, Ordering::Relaxed);
            let other = Index { revision: index.revision, ..self.0.index(true).await? };
            assert_eq!(self.0.publish(&other, &[]).await?, Published::Yes);
        }
        self.0.publish(index, new).await
    }
}

#[tokio::test]
async fn whoever_is_slower_looks_again_and_at_last_gives_up() {
    let found = folder(&[("a/1.json", ONE)]);
    let raced = Raced(Memory::default(), AtomicU32::new(4));
    assert_eq!(publish(&raced, &found, false).await.unwrap().revision, 5);
    let raced = Raced(Memory::default(), AtomicU32::new(5));
    assert!(matches!(publish(&raced, &found, false).await, Err(Error::Busy)));
}

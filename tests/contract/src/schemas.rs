//! [`Registry`]: a publication is written over the revision that was read, all of it or nothing.

use std::collections::BTreeMap;

use penstock_schema::registry::{Index, Kept, Listed, Published, Registry};
use penstock_schema::{Policy, SchemaId, Version};

use crate::World;

fn id(kind: &str, version: Version) -> SchemaId {
    SchemaId { kind: kind.parse().unwrap(), version }
}

fn kept(kind: &str, version: Version, text: &str) -> Kept {
    Kept { id: id(kind, version), text: text.to_owned() }
}

fn index(revision: u64, types: &[(&str, &[Version])]) -> Index {
    let policy = r#"{"compatibility":"FULL_TRANSITIVE","partition_key":"/order_id","owner":"ünits"}"#;
    let listed = |readable_from: &[Version]| Listed {
        policy: Policy::parse(policy).unwrap(),
        readable_from: readable_from.to_vec(),
    };
    let types = types.iter().map(|(kind, readable_from)| (kind.parse().unwrap(), listed(readable_from)));
    Index { revision, types: types.collect() }
}

async fn sorted(schemas: &impl Registry, ids: &[SchemaId]) -> Vec<Kept> {
    let mut found = schemas.versions(ids).await.unwrap();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found
}

/// Revision 0, and no version.
pub async fn nothing_is_published_at_first(world: &impl World) {
    let schemas = world.schemas();
    for fresh in [true, false] {
        assert_eq!(schemas.index(fresh).await.unwrap(), Index { revision: 0, types: BTreeMap::new() });
    }
    assert_eq!(schemas.versions(&[id("a.b", 1)]).await.unwrap(), []);
    assert_eq!(schemas.versions(&[]).await.unwrap(), []);
}

/// Byte for byte, and in the index.
pub async fn what_is_published_is_read_back(world: &impl World) {
    let schemas = world.schemas();
    let (one, two) = (kept("a.b", 1, "{ }\n"), kept("a.b", 2, "{\"title\":\"é\"}"));
    let first = index(1, &[("a.b", &[1])]);
    assert_eq!(schemas.publish(&first, std::slice::from_ref(&one)).await, Ok(Published::Yes));
    assert_eq!(schemas.index(true).await.unwrap(), first);
    let second = index(2, &[("a.b", &[1, 1]), ("c", &[])]);
    assert_eq!(schemas.publish(&second, std::slice::from_ref(&two)).await, Ok(Published::Yes));
    assert_eq!(schemas.index(true).await.unwrap(), second);
    assert_eq!(sorted(&schemas, &[two.id.clone(), one.id.clone()]).await, [one, two]);
}

/// A policy changes so.
pub async fn an_index_is_published_without_versions(world: &impl World) {
    let schemas = world.schemas();
    assert_eq!(schemas.publish(&index(1, &[]), &[]).await, Ok(Published::Yes));
    assert_eq!(schemas.publish(&index(2, &[("a", &[])]), &[]).await, Ok(Published::Yes));
    assert_eq!(schemas.index(true).await.unwrap(), index(2, &[("a", &[])]));
}

/// Of two that read the same revision one is written, and nothing of the other.
pub async fn a_revision_is_published_once(world: &impl World) {
    let schemas = world.schemas();
    let first = index(1, &[("a", &[1])]);
    assert_eq!(schemas.publish(&first, &[kept("a", 1, "{}")]).await, Ok(Published::Yes));
    for revision in [1, 3] {
        let late = index(revision, &[("b", &[1])]);
        assert_eq!(schemas.publish(&late, &[kept("b", 1, "{}")]).await, Ok(Published::Superseded));
    }
    assert_eq!(schemas.versions(&[id("b", 1)]).await.unwrap(), []);
    assert_eq!(schemas.index(true).await.unwrap(), first);
    // nor over a publication that is not there
    assert_eq!(world.schemas().publish(&index(4, &[]), &[]).await, Ok(Published::Superseded));
}

/// Whatever the index says, and nothing else of the publication is written either.
pub async fn a_version_is_never_overwritten(world: &impl World) {
    let schemas = world.schemas();
    let first = index(1, &[("a", &[1])]);
    schemas.publish(&first, &[kept("a", 1, "{}")]).await.unwrap();
    let again = [kept("b", 1, "{}"), kept("a", 1, "{ }")];
    let second = index(2, &[("a", &[1]), ("b", &[1])]);
    assert_eq!(schemas.publish(&second, &again).await, Ok(Published::Superseded));
    assert_eq!(sorted(&schemas, &[id("a", 1), id("b", 1)]).await, [kept("a", 1, "{}")]);
    assert_eq!(schemas.index(true).await.unwrap(), first);
}

/// More than a read takes, in one publication as large as one may be; those that are not there are left out.
pub async fn many_versions_are_read_and_the_missing_left_out(world: &impl World) {
    let schemas = world.schemas();
    let text = format!("{{\"title\":\"{}\"}}", "x".repeat(30_000));
    let mut all = Vec::new();
    for (revision, versions) in [(1, 1..=99), (2, 100..=150)] {
        let new: Vec<Kept> = versions.clone().map(|version| kept("a", version, &text)).collect();
        let readable: Vec<Version> = vec![1; *versions.end() as usize];
        assert_eq!(schemas.publish(&index(revision, &[("a", &readable)]), &new).await, Ok(Published::Yes));
        all.extend(new);
    }
    let asked: Vec<_> = (1..=200).map(|version| id("a", version)).chain([id("b", 1)]).collect();
    assert_eq!(sorted(&schemas, &asked).await, all);
}

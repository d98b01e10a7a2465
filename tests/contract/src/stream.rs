//! [`Stream`], [`Records`], [`Shards`] and [`DeadLetters`].

use bytes::Bytes;
use penstock::dead_letter::{Code, DeadLetter};
use penstock::hash::HashRange;
use penstock::packing::PackedRecord;
use penstock::ports::{DeadLetters, Next, PutResult, Records, Shards, Stream};
use penstock::time::Timestamp;
use penstock::{PartitionKey, SequenceNumber, ShardId};

use crate::{World, position, shard};

fn record(key: &str, data: &str) -> PackedRecord {
    let key = PartitionKey::new(key).unwrap();
    PackedRecord { hash_key: key.hash_key(), key, data: Bytes::from(data.to_owned()), events: vec![0] }
}

async fn put(world: &impl World, records: &[PackedRecord]) -> Vec<(ShardId, SequenceNumber)> {
    let verdicts = world.stream().put(records).await.unwrap();
    let stored = |verdict: PutResult| match verdict {
        PutResult::Stored { shard, sequence } => (shard, sequence),
        other => panic!("{other:?}"),
    };
    verdicts.into_iter().map(stored).collect()
}

async fn read(world: &impl World, from: &SequenceNumber, after: bool) -> Vec<(SequenceNumber, String)> {
    let group = world.group("g");
    let (mut found, mut from, mut after) = (Vec::new(), from.clone(), after);
    loop {
        let page = group.read_back(&shard(), &from, after).await.unwrap().unwrap();
        let text = |data: &Bytes| String::from_utf8(data.to_vec()).unwrap();
        found.extend(page.records.iter().map(|record| (record.sequence.clone(), text(&record.data))));
        match page.records.last().filter(|_| page.next == Next::More) {
            Some(last) => (from, after) = (last.sequence.clone(), true),
            None => return found,
        }
    }
}

/// One after the other, numbers rise, and the bytes are the bytes.
pub async fn what_is_put_is_read_back_in_order(world: &impl World) {
    let mut expected = Vec::new();
    for n in 0..8 {
        let stored = put(world, &[record(&format!("k{n}"), &n.to_string())]).await;
        assert_eq!(stored[0].0, shard());
        expected.push((stored[0].1.clone(), n.to_string()));
    }
    assert!(expected.is_sorted_by(|a, b| a.0 < b.0), "{expected:?}");
    assert_eq!(read(world, &expected[0].0, false).await, expected);
}

/// And not at it.
pub async fn reading_back_goes_on_after_a_number(world: &impl World) {
    let first = put(world, &[record("k", "1")]).await.remove(0).1;
    let second = put(world, &[record("k", "2")]).await.remove(0).1;
    assert_eq!(read(world, &first, true).await, [(second.clone(), "2".to_owned())]);
    assert_eq!(read(world, &second, true).await, []);
}

/// Whether more can come.
pub async fn a_page_says_what_follows_it(world: &impl World) {
    let group = world.group("g");
    let stored = put(world, &[record("k", "1")]).await.remove(0).1;
    for closed in [false, true] {
        if closed {
            world.split(&shard()).await;
        }
        for after in [false, true] {
            let page = group.read_back(&shard(), &stored, after).await.unwrap().unwrap();
            let expected = (usize::from(!after), if closed { Next::End } else { Next::Tip });
            assert_eq!((page.records.len(), page.next), expected);
        }
    }
}

/// It has outlived the retention, or never was.
pub async fn a_shard_that_is_not_there_is_no_error(world: &impl World) {
    let group = world.group("g");
    let gone = ShardId::new("shardId-000000000099");
    assert_eq!(group.lineage(&gone).await.unwrap(), None);
    let number = position(1, 0).sequence;
    for after in [false, true] {
        assert!(group.read_back(&gone, &number, after).await.unwrap().is_none());
    }
}

/// All of them, with their ranges, and children divide what their parent held.
pub async fn a_child_knows_its_ancestors(world: &impl World) {
    let group = world.group("g");
    let root = group.lineage(&shard()).await.unwrap().unwrap();
    assert_eq!((root.ancestors.len(), root.range), (0, HashRange::ALL));
    world.split(&shard()).await;
    let children: Vec<_> = group.list().await.unwrap().into_iter().filter(|other| other.shard != shard()).collect();
    assert_eq!(children.len(), 2);
    world.split(&children[0].shard).await;
    let listed = group.list().await.unwrap();
    let grandchildren: Vec<_> = listed.iter().filter(|other| other.parents == [children[0].shard.clone()]).collect();
    assert_eq!(grandchildren.len(), 2);
    for grandchild in grandchildren {
        let mut ancestors = group.lineage(&grandchild.shard).await.unwrap().unwrap().ancestors;
        ancestors.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [(shard(), HashRange::ALL), (children[0].shard.clone(), children[0].range)];
        assert_eq!(ancestors, expected);
    }
    // a key goes to the shard that says it holds it
    for n in 0..20 {
        let record = record(&format!("k{n}"), "x");
        let (landed, _) = put(world, std::slice::from_ref(&record)).await.remove(0);
        let place = listed.iter().find(|other| other.shard == landed).unwrap();
        let has_children = listed.iter().any(|other| other.parents.contains(&landed));
        assert!(place.range.contains(record.hash_key) && !has_children, "{landed}");
    }
}

/// Whatever they are, and a second letter of the same place is a second letter.
pub async fn a_letter_comes_back_with_its_bytes(world: &impl World) {
    let group = world.group("g");
    let letter = |data: Bytes| DeadLetter {
        group: "g".to_owned(),
        stream: "stream".to_owned(),
        shard: shard(),
        position: position(4, 2),
        partition_key: "k\u{FFFE}\u{1}é".to_owned(),
        arrival: Timestamp(1_700_000_000_123),
        at: Timestamp(1_700_000_001_456),
        attempts: 3,
        code: Code::Refused,
        reason: "because \u{FFFF}".to_owned(),
        overtaken: false,
        data,
    };
    let large: Vec<u8> = (0..1_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let small = (0..12).map(|_| Bytes::from_static(b"\xff\x00"));
    let sent: Vec<_> = small.chain([Bytes::from(large)]).map(letter).collect();
    assert_eq!(group.send(&sent).await, vec![Ok(()); 13]);
    assert_eq!(group.send(&[]).await, []);
    let mut letters = world.letters("g").await;
    letters.sort_by_key(|letter| letter.data.len());
    let bytes: Vec<_> = letters.iter().map(|letter| letter.data.len()).collect();
    assert_eq!((&bytes[..12], &bytes[12..]), (&[2; 12][..], &[1_000_000][..]));
    for found in letters {
        assert_eq!(found, letter(found.data.clone()));
    }
}

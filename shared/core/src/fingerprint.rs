//! Fingerprints: 64 keyed bits that stand for one event's name in a window.
//!
//! SipHash-2-4 with a key of the deployment: nobody who does not know the key can craft two ids that collide. By
//! chance, a new event is taken for a known one with probability n / 2^64, n being the fingerprints in its shard's
//! window: 1.6e-13 at three million.
//!
//! What a handler passes on, its idempotency key, has 128 bits under the same key.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher24x128};

use crate::event::Event;
use crate::key::PartitionKey;
use crate::position::Position;

/// 64 bits that stand for an event's source and id, or for a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// Whether it belongs to a share of all there are, from 0 to 1. Always the same for one, and whatever is in a share is in
    /// every larger one.
    #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
    pub fn is_in(self, share: f64) -> bool {
        (self.0 as f64) < share * (u64::MAX as f64)
    }
}

/// Makes fingerprints under one deployment's key.
#[derive(Clone)]
pub struct Fingerprinter {
    key: [u8; 16],
}

/// Without the key: a handler may log its context.
impl std::fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fingerprinter").finish_non_exhaustive()
    }
}

impl Fingerprinter {
    /// Derives the key from a secret or from any text that is unique to the deployment.
    pub fn new(secret: &str) -> Self {
        let mut hasher = SipHasher24x128::new_with_key(b"penstock.window1");
        hasher.write(secret.as_bytes());
        Self { key: hasher.finish128().as_bytes() }
    }

    /// The fingerprint of an event: what makes two events the same is `source` and `id`.
    pub fn event(&self, event: &Event) -> Fingerprint {
        self.parts(1, event.source().as_bytes(), event.id().as_bytes())
    }

    /// The fingerprint of a place: how a window says that the event there is settled, whatever its outcome.
    pub fn position(&self, position: &Position) -> Fingerprint {
        self.parts(2, position.sequence.digits().as_bytes(), &position.index.to_be_bytes())
    }

    /// The fingerprint of a partition key.
    pub fn key(&self, key: &PartitionKey) -> Fingerprint {
        self.parts(3, key.as_str().as_bytes(), &[])
    }

    /// 32 hex digits for what a group does about an event: the same each time the group handles it.
    pub(crate) fn idempotency_key(&self, group: &str, event: &Event) -> String {
        let mut hasher = SipHasher24x128::new_with_key(&self.key);
        hasher.write(&[4]);
        for part in [group, event.source(), event.id()] {
            hasher.write(&(part.len() as u64).to_be_bytes());
            hasher.write(part.as_bytes());
        }
        format!("{:032x}", hasher.finish128().as_u128())
    }

    fn parts(&self, domain: u8, first: &[u8], second: &[u8]) -> Fingerprint {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(&[domain]);
        hasher.write(&(first.len() as u64).to_be_bytes());
        hasher.write(first);
        hasher.write(second);
        Fingerprint(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn event(source: &str, id: &str) -> Event {
        let text = format!(r#"{{"specversion":"1.0","id":"{id}","source":"{source}","type":"t"}}"#);
        Event::from_json(&text, &Limits::DEFAULT).unwrap()
    }

    #[test]
    fn source_and_id_together_make_the_name() {
        let of = Fingerprinter::new("a deployment");
        assert_eq!(of.event(&event("s", "1")), of.event(&event("s", "1")));
        assert_ne!(of.event(&event("ab", "c")), of.event(&event("a", "bc")));
        assert_ne!(of.event(&event("s", "1")), Fingerprinter::new("another").event(&event("s", "1")));
    }

    #[test]
    fn an_idempotency_key_is_of_one_event_one_group_and_one_deployment() {
        let of = Fingerprinter::new("a deployment");
        let key = of.idempotency_key("g", &event("s", "1"));
        assert!(key.len() == 32 && key.bytes().all(|digit| digit.is_ascii_hexdigit()), "{key}");
        assert_eq!(of.idempotency_key("g", &event("s", "1")), key);
        let others = [
            of.idempotency_key("h", &event("s", "1")),
            of.idempotency_key("g", &event("t", "1")),
            of.idempotency_key("g", &event("s", "2")),
            of.idempotency_key("gs", &event("1", "1")),
            Fingerprinter::new("another").idempotency_key("g", &event("s", "1")),
        ];
        assert!(!others.contains(&key), "{others:?}");
        assert_ne!(of.idempotency_key("ab", &event("c", "1")), of.idempotency_key("a", &event("bc", "1")));
        assert_eq!(format!("{of:?}"), "Fingerprinter { .. }", "the key is in no log");
        // whatever took an effect before an update of Penstock has to know it after it
        assert_eq!(Fingerprinter::new("golden").idempotency_key("g", &event("shop/web", "evt-1")), GOLDEN_KEY);
    }

    #[test]
    fn fingerprints_are_part_of_the_stored_format() {
        // a change here would make every stored window useless
        let of = Fingerprinter::new("golden");
        assert_eq!(format!("{:016x}", of.event(&event("shop/web", "evt-1")).0), GOLDEN_EVENT);
        assert_eq!(format!("{:016x}", of.position(&"495.0".parse().unwrap()).0), GOLDEN_POSITION);
    }

    const GOLDEN_KEY: &str = "b0a0710988a7959341f8263c9a675d43";
    const GOLDEN_EVENT: &str = "143c27e72fbfc4b6";
    const GOLDEN_POSITION: &str = "6f1b6bd2e410d92e";
}

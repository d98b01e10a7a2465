//! The orders that chaos sends: a script for each, which depends on the seed and the order's number alone.
//!
//! Most steps are what an order does next. Some are copies of earlier events, some are illegal, some concern no order.

use super::model::{PREFIX, step};

/// What every event of chaos names as its source.
pub(super) const SOURCE: &str = "penstock/chaos";

/// Every step that an event can ask for; the last is none that an order can take.
const NAMES: [&str; 6] = ["placed", "paid", "shipped", "delivered", "cancelled", "returned"];

/// An event to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outgoing {
    /// Its id.
    pub(super) id: String,
    /// The event in JSON, the same bytes each time it is sent.
    pub(super) json: String,
}

/// An order: what is sent of it, in order, chunk by chunk. The events of a chunk go out in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script {
    /// The order's id, which is its events' partition key.
    pub(super) key: String,
    /// Its events.
    pub(super) chunks: Vec<Vec<Outgoing>>,
}

impl Script {
    /// The script of the order with this number.
    pub(super) fn new(seed: u64, number: u64) -> Self {
        // odd, so that no two numbers give the same sequence
        let mut random = fastrand::Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let key = format!("CHAOS-{number:06}");
        let mut events: Vec<Outgoing> = Vec::new();
        let (mut now, mut ids) = ("", 0);
        loop {
            if !events.is_empty() && random.u8(..100) < 8 {
                let copy = random.choice(&events).cloned();
                events.extend(copy);
                continue;
            }
            ids += 1;
            let id = format!("{number}-{ids}");
            let kind = match random.u8(..100) {
                0..8 => {
                    let illegal: Vec<_> = NAMES.iter().filter(|name| step(now, name).is_none()).collect();
                    format!("{PREFIX}{}", random.choice(illegal).unwrap_or(&"returned"))
                }
                8..11 => "shop.cart.emptied".to_owned(),
                _ => {
                    let Some(next) = legal(now, &mut random) else {
                        break;
                    };
                    now = next;
                    format!("{PREFIX}{next}")
                }
            };
            events.push(event(&key, id, &kind, &mut random));
        }
        Self { key, chunks: chunks(events, &mut random) }
    }
}

/// What an order does next; none at its end.
fn legal(now: &str, random: &mut fastrand::Rng) -> Option<&'static str> {
    let calm = ["placed", "paid", "shipped", "delivered"].into_iter().find_map(|name| step(now, name))?;
    let cancelled = step(now, "cancelled").filter(|_| random.u8(..100) < 15);
    Some(cancelled.unwrap_or(calm))
}

fn event(key: &str, id: String, kind: &str, random: &mut fastrand::Rng) -> Outgoing {
    let data = match kind.strip_prefix(PREFIX) {
        Some("placed") => {
            let total = if random.u8(..100) < 3 { -random.i64(1..10_000) } else { random.i64(100..120_000) };
            format!(r#"{{"order_id":"{key}","total_cents":{total}}}"#)
        }
        Some("cancelled") => {
            let reason = random.choice(["customer", "fraud", "out_of_stock"]).unwrap_or("customer");
            format!(r#"{{"order_id":"{key}","reason":"{reason}"}}"#)
        }
        _ => format!(r#"{{"order_id":"{key}"}}"#),
    };
    let json = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"{SOURCE}","type":"{kind}","subject":"{key}","data":{data}}}"#
    );
    Outgoing { id, json }
}

fn chunks(events: Vec<Outgoing>, random: &mut fastrand::Rng) -> Vec<Vec<Outgoing>> {
    let mut chunks: Vec<Vec<Outgoing>> = Vec::new();
    for event in events {
        match chunks.last_mut() {
            Some(last) if last.len() < 3 && random.u8(..100) < 25 => last.push(event),
            _ => chunks.push(vec![event]),
        }
    }
    chunks
}

/// An event that the edge has to refuse. Its key is no order's.
pub(super) fn malformed(number: u64, random: &mut fastrand::Rng) -> String {
    let id = format!("malformed-{number}");
    let rest = format!(r#""type":"{PREFIX}placed","subject":"MALFORMED-{number}","data":{{}}"#);
    let forms = [
        format!(r#"{{"specversion":"1.0","id":"{id}",{rest}}}"#),
        format!(r#"{{"specversion":"0.3","id":"{id}","source":"{SOURCE}",{rest}}}"#),
        format!(r#"{{"specversion":"1.0","id":"","source":"{SOURCE}",{rest}}}"#),
        format!(r#"{{"specversion":"1.0","source":"{SOURCE}",{rest}}}"#),
        format!(r#"{{"specversion":"1.0","id":"{id}","source":"{SOURCE}","subject":"MALFORMED-{number}"}}"#),
    ];
    random.choice(forms).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_script_depends_on_seed_and_number_alone_and_others_differ() {
        assert_eq!(Script::new(1, 2), Script::new(1, 2));
        assert_ne!(Script::new(1, 2).chunks, Script::new(2, 2).chunks);
        assert_ne!(Script::new(1, 2).chunks, Script::new(1, 3).chunks);
    }

    #[test]
    fn a_thousand_scripts_hold_copies_illegal_steps_and_all_ends() {
        let scripts: Vec<_> = (0..1000).map(|number| Script::new(7, number)).collect();
        let events: Vec<_> = scripts.iter().flat_map(|script| script.chunks.iter().flatten()).collect();
        let ids: HashSet<_> = events.iter().map(|event| &event.id).collect();
        assert!(ids.len() * 100 < events.len() * 98, "copies are among them");
        for kind in NAMES.iter().map(|name| format!("{PREFIX}{name}")).chain(["shop.cart.emptied".to_owned()]) {
            let kind = format!(r#""type":"{kind}""#);
            assert!(events.iter().any(|event| event.json.contains(&kind)), "no {kind}");
        }
        assert!(scripts.iter().any(|script| script.chunks.iter().any(|chunk| chunk.len() == 3)));
    }

    #[test]
    fn copies_are_the_same_bytes() {
        let script = Script::new(3, 5);
        let mut seen = std::collections::HashMap::new();
        for event in script.chunks.iter().flatten() {
            assert_eq!(seen.entry(&event.id).or_insert(&event.json), &&event.json);
        }
    }
}

//! What an invocation pays for telling of itself, to be counted by valgrind: it does nothing else, so many times.
//!
//!     cargo build --release -p penstock-aws --example telling
//!     valgrind --tool=callgrind target/release/examples/telling metrics 2000 > /dev/null
//!
//! The instructions of 2,000 rounds less those of 1,000, by 1,000, are those of one. docs/performance.md has the figures.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "it measures")]

use std::time::Duration;

use penstock::time::Timestamp;
use penstock::trace::TraceContext;
use penstock_aws::metrics::{Measured, Metrics};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let rounds: u64 = arguments.next().and_then(|rounds| rounds.parse().ok()).unwrap_or(1000);
    penstock_aws::log::start(None);
    let metrics = Metrics::new("Penstock/stack", Some(("Group", "order-status")));
    for round in 0..rounds {
        match what.as_str() {
            "metrics" => metrics.write(&batch(), Timestamp(1_700_000_000_000 + round)),
            "batch" => tracing::info!(
                outcome = "settled",
                request_id = "8f5a3c1e-6a38-4a2f-9a38-2f2f3f0a7d11",
                shard = "shardId-000000000000",
                records = 500,
                handled = round,
                duplicates = 0,
                dead_letters = 0,
                foreign = 0,
                passed_over = 0,
                unsettled = 0,
                took_ms = 31,
                lag_ms = 120,
                isolated = false,
                outage = false,
                "batch"
            ),
            "event" => tracing::warn!(
                outcome = "dead_lettered",
                event_id = "c3c56d86-cade-4b4f-8ab4-ca1da9ecef60",
                event_source = "shop/web",
                event_type = "shop.order.placed",
                key_hash = "94d1f2b0c3a4e5f6",
                shard = "shardId-000000000000",
                position = "49680497862775739260483894113445589547591432472939724802.0",
                trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
                code = "refused",
                attempts = round,
                reason = "order ORDER-000002 has a negative total: -1 cents",
                "event"
            ),
            "span" => drop(tracing::info_span!(
                target: penstock::span::TARGET,
                "consume_event",
                traceparent = %TraceContext { trace: 1, span: 1, sampled: true },
                round
            )),
            other => panic!("`{other}` is none of metrics, batch, event, span"),
        }
    }
}

/// As a group measures a batch.
fn batch() -> Measured {
    let mut measured = Measured::default();
    measured.property("request_id", "8f5a3c1e-6a38-4a2f-9a38-2f2f3f0a7d11");
    measured.property("shard", "shardId-000000000000");
    measured.millis("consumer_lag_ms", Duration::from_millis(120));
    measured.count("events_settled", 500u32);
    measured.count("duplicates", 0u32);
    measured.count("consumer_errors", 0u32);
    measured.count("window_events", 120_000u32);
    measured
}

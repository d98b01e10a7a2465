//! What judging an event costs: `cargo run --release -p penstock-schema --example cost`. docs/performance.md has the figures.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "it is a command")]

use std::hint::black_box;
use std::time::Instant;

use penstock_schema::policy::Readers;
use penstock_schema::{Comparison, Schema, Validator};
use serde_json::Value;

const SCHEMA: &str = include_str!("../../../events/schemas/shop.order.placed/1.json");
const DATA: &str = r#"{"order_id":"ORDER-000001","customer_id":"CUST-00263","currency":"EUR","total_cents":2830,"items":[{"sku":"SKU-FILTER-PAPER","quantity":1,"unit_price_cents":450},{"sku":"SKU-MUG","quantity":2,"unit_price_cents":1190}]}"#;

/// Median of 41 rounds, in nanoseconds for one time.
fn median(times: u32, mut work: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..41)
        .map(|_| {
            let began = Instant::now();
            (0..times).for_each(|_| work());
            began.elapsed().as_secs_f64() * 1e9 / f64::from(times)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

fn main() {
    let id: penstock_schema::SchemaId = "urn:penstock:schema:shop.order.placed:1".parse().expect("a name");
    let schema = Schema::parse(id.clone(), SCHEMA).expect("a schema");
    let validator = Validator::new(&schema);
    let good: Value = serde_json::from_str(DATA).expect("JSON");
    let mut bad = good.clone();
    bad["total_cents"] = "much".into();
    bad["items"][1]["quantity"] = 0.into();
    assert!(validator.is_valid(&good) && validator.violations(&bad).len() == 2);
    let wider = SCHEMA.replacen("\"minItems\": 1", "\"minItems\": 0", 1);
    let wider =
        Schema::parse("urn:penstock:schema:shop.order.placed:1".parse().expect("a name"), &wider).expect("a schema");
    println!("{} bytes of data, {} bytes of schema", DATA.len(), SCHEMA.len());
    let row = |what: &str, nanoseconds: f64| println!("{what:<40} {nanoseconds:>12.0} ns");
    row("data read into a value", median(5000, || _ = black_box(penstock_schema::json::parse(black_box(DATA)))));
    row("judged, valid", median(5000, || _ = black_box(validator.is_valid(black_box(&good)))));
    row("judged, not valid", median(5000, || _ = black_box(validator.is_valid(black_box(&bad)))));
    row("what is wrong, two faults", median(1000, || _ = black_box(validator.violations(black_box(&bad)))));
    row(
        "schema read, linted and compiled",
        median(20, || _ = black_box(Validator::new(&Schema::parse(id.clone(), SCHEMA).expect("a schema")))),
    );
    row("two versions compared", median(1, || _ = black_box(Comparison::of(&schema, &wider, Readers::Tolerant))));
}

//! The model against arithmetic by hand.

use super::super::calls::{Entry, Function, Milliseconds, Run};
use super::super::input::tests::load;
use super::*;
use penstock_local::count::{Call, Count};

/// A count with round figures: an event has 400 bytes on the stream, a batch one segment of 100 + 10 an event bytes, a
/// state one read and one write unit, and each batch's states the calls that they need.
fn calls() -> Calls {
    let run = |per_request: u64, requests: u64, batches: u64| {
        let events = per_request * requests;
        let function = |function: &str, projection, invocations, log_bytes| Function {
            function: function.to_owned(),
            projection,
            invocations,
            log_lines: invocations * 2,
            log_bytes: invocations * log_bytes,
        };
        let entry = |function: &str, service: &str, operation: &str, resource: &str, count| Entry {
            call: Call {
                function: function.to_owned(),
                service: service.to_owned(),
                operation: operation.to_owned(),
                resource: resource.to_owned(),
            },
            count,
        };
        let none = Count::default();
        let put = Count { calls: requests, records: events, bytes: events * 400, ..none };
        let both = 2 * batches;
        let progress = Count { calls: 2 * both, write_units: (2 * both) as f64, ..none };
        let window = Count { calls: both, bytes: both * 100 + 2 * events * 10, write_units: both as f64, ..none };
        let load = Count { calls: batches, read_units: events as f64, ..none };
        let stores = (events / batches).div_ceil(25);
        let store = Count { calls: batches * stores, write_units: events as f64, ..none };
        Run {
            events_per_request: per_request,
            requests,
            events,
            functions: vec![
                function("ingest", false, requests, 1000),
                function("p", true, batches, 900),
                function("h", false, batches, 900),
            ],
            calls: vec![
                entry("ingest", "Kinesis", "PutRecords", "penstock-Events-1", put),
                entry("p", "DynamoDB", "UpdateItem", "penstock-Progress-1", progress),
                entry("p", "DynamoDB", "PutItem", "penstock-Window-1", window),
                entry("p", "DynamoDB", "BatchGetItem", "penstock-State-1", load),
                entry("p", "DynamoDB", "BatchExecuteStatement", "penstock-State-1", store),
            ],
        }
    };
    Calls {
        date: "2026-01-01".to_owned(),
        command: "by hand".to_owned(),
        commit: "0".to_owned(),
        event_bytes: 300,
        milliseconds: Milliseconds { call: 0.5, state: 0.02, event: 0.01, source: "by hand".to_owned() },
        runs: vec![run(1, 100, 50), run(100, 10, 10)],
    }
}

fn item<'a>(estimate: &'a Estimate, name: &str) -> &'a Item {
    let found = estimate.items.iter().find(|item| item.item == name);
    found.unwrap_or_else(|| panic!("no line {name}"))
}

fn close(got: f64, expected: f64) {
    assert!((got - expected).abs() <= expected.abs() * 1e-9, "{got} and not {expected}");
}

#[test]
fn a_thousand_events_a_second_cost_what_they_do_by_hand() {
    // requests of 20 events, each with a key of its own; 1769 MB, so that CPU passes at its own speed
    let load = Load { memory: 1769, ..load() };
    let estimate = estimate(&load, &calls(), &Prices::of_build().unwrap()).unwrap();
    let seconds = 2_628_000.0;

    // 50 requests a second
    let requests = item(&estimate, "API Gateway: requests");
    close(requests.quantity, 50.0 * seconds);
    close(requests.dollars, 131.4);
    close(item(&estimate, "Lambda ingest: requests").dollars, 26.28);
    // 0.2 + 0.5 + 20 * 0.01 of CPU and 15 of waiting: 15.9 ms
    close(item(&estimate, "Lambda ingest: time").quantity, 50.0 * seconds * 0.0159 * 1769.0 / 1024.0);

    // 1,000 records of 400 bytes, with half as much again: 1.5 shards, so 2. A projection is no reason for more: a full
    // batch of 500 takes it 74 ms, as below
    close(item(&estimate, "Kinesis: shards").quantity, 2.0 * 730.0);
    close(item(&estimate, "Kinesis: shards").dollars, 21.9);
    close(item(&estimate, "Kinesis: puts").quantity, 1000.0 * seconds);

    // 500 records a second and shard are one batch; two shards, two groups
    close(item(&estimate, "Lambda groups: requests").quantity, 4.0 * seconds);
    // two updates, and a segment of 100 + 5,000 bytes: 5 units
    close(item(&estimate, "DynamoDB: progress and windows, writes").quantity, 4.0 * seconds * 7.0);
    close(item(&estimate, "DynamoDB: progress and windows, writes").dollars, 45.99);
    // of the handler 3 * 0.5 + 500 * 0.01 + 3 * 5 = 21.5 ms. The projection has 5 loads and 20 stores more and 500 states,
    // and waits for five hundreds of them, two at a time, twice: 28 * 0.5 + 500 * 0.02 + 5 + (3 + 6) * 5 = 74
    let time = item(&estimate, "Lambda groups: time");
    close(time.quantity, 2.0 * seconds * (0.0215 + 0.074) * 1769.0 / 1024.0);
    // the usual way: 1,000 calls of the handler, 64 at once: 500 + 5 + 78.125; of the projection 12.5 + 10 + 30 more
    let usual = 2.0 * seconds * (0.583125 + 0.635625) * 1769.0 / 1024.0;
    close(time.quantity_per_event_idempotency, usual);

    // one read and one write an event of the one projection
    close(item(&estimate, "DynamoDB: states, writes").dollars, 1000.0 * 2.628 * 0.625);
    close(item(&estimate, "DynamoDB: states, reads").dollars, 1000.0 * 2.628 * 0.125);
    // 1,000 events, two groups, two units
    let records = item(&estimate, "DynamoDB: idempotency records, writes");
    close(records.dollars, 0.0);
    close(records.dollars_per_event_idempotency, 4000.0 * 2.628 * 0.625);

    // five pollers of each redrive mapping and two of the give-ups, three calls a minute each
    close(item(&estimate, "SQS: idle polling").quantity, 12.0 * seconds / 20.0);
    // 4 + 2 * 5; 14 + 2 * 7 + 4 tables * 2
    close(item(&estimate, "CloudWatch: metrics").dollars, 4.2);
    close(item(&estimate, "CloudWatch: alarms").dollars, 3.6);
    // a request: 1,000 + 2 * 26 + 350 + 550; a batch: 900 + 2 * 26 + 550
    let logs = item(&estimate, "CloudWatch: logs of ingest, API and groups");
    close(logs.quantity, (50.0 * 1952.0 + 4.0 * 1502.0) * seconds / 1_073_741_824.0);

    close(estimate.dollars, estimate.items.iter().map(|item| item.dollars).sum());
    assert!(estimate.dollars_per_event_idempotency > estimate.dollars);
}

#[test]
fn a_remembered_state_is_written_and_not_read() {
    let prices = Prices::of_build().unwrap();
    let of = |states_remembered| {
        let load = Load { memory: 1769, states_remembered, ..load() };
        estimate(&load, &calls(), &prices).unwrap()
    };
    let reads =
        |share: f64| of(share).items.iter().find(|item| item.item == "DynamoDB: states, reads").map(|i| i.quantity);
    close(reads(0.75).unwrap(), 250.0 * 2_628_000.0);
    assert_eq!(reads(1.0), None);
    close(item(&of(1.0), "DynamoDB: states, writes").quantity, 1000.0 * 2_628_000.0);
    // 74 ms less five loads' CPU, and less three times that one is waited for
    let time = 2.0 * 2_628_000.0 * (0.0215 + 0.074 - 0.0025 - 0.015) * 1769.0 / 1024.0;
    close(item(&of(1.0), "Lambda groups: time").quantity, time);
}

#[test]
fn a_batch_has_a_key_at_least() {
    let load = Load { events_per_second: 0.5, request_events: 1, events_per_key: 5.0, ..load() };
    let estimate = estimate(&load, &calls(), &Prices::of_build().unwrap()).unwrap();
    close(item(&estimate, "DynamoDB: states, writes").quantity, 0.5 * 2_628_000.0);
}

#[test]
fn a_count_with_a_call_for_each_state_is_refused() {
    let mut calls = calls();
    for entry in calls.runs.iter_mut().flat_map(|run| &mut run.calls) {
        if entry.call.operation == "BatchExecuteStatement" {
            entry.count.calls = entry.count.write_units as u64;
        }
    }
    let error = calls.figures().unwrap_err().to_string();
    assert!(error.contains("100 states in 50 batches are not what the model reckons with"), "{error}");
}

#[test]
fn on_demand_pays_a_kilobyte_a_record_and_packing_saves_it() {
    let prices = Prices::of_build().unwrap();
    let bytes_in = |events_per_key| {
        let load = Load { on_demand: true, events_per_key, ..load() };
        item(&estimate(&load, &calls(), &prices).unwrap(), "Kinesis: in").quantity
    };
    let gb = |bytes: f64| bytes * 2_628_000.0 / 1_073_741_824.0;
    // 1,000 records of 400 bytes, against 50 of 8,000
    close(bytes_in(1.0), gb(1000.0 * 1024.0));
    close(bytes_in(20.0), gb(50.0 * 8192.0));
}

#[test]
fn a_little_load_has_a_batch_for_each_record() {
    let load = Load { events_per_second: 0.5, request_events: 1, ..load() };
    let estimate = estimate(&load, &calls(), &Prices::of_build().unwrap()).unwrap();
    close(item(&estimate, "Lambda groups: requests").quantity, 2.0 * 0.5 * 2_628_000.0);
}

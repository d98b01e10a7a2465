//! The estimate: from a load, a count and prices to a bill.
//!
//! Quantities are those of a month of 730 hours under a steady load. What is assumed and not counted stands in
//! [`Assumption`]s, and in the arithmetic by the same names.

mod flow;

use serde::Serialize;

use super::calls::{Calls, Figures};
use super::input::Load;
use super::prices::Prices;
use flow::Flow;

const HOURS: f64 = 730.0;
const SECONDS: f64 = HOURS * 3600.0;
/// As AWS counts gigabytes.
const GB: f64 = 1024.0 * 1024.0 * 1024.0;
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html>
const READ_UNIT_BYTES: f64 = 4096.0;
/// Long polls of 20 s at most.
const POLL_SECONDS: f64 = 20.0;
/// Pollers of a mapping with a maximum concurrency, as each group's redrive mapping has one: Lambda does not go below five.
const REDRIVE_POLLERS: f64 = 5.0;
/// Pollers of an idle mapping without one, as that of `recover`.
const GIVE_UPS_POLLERS: f64 = 2.0;
/// Metrics and alarms of a stack: docs/metrics.md.
const EDGE_METRICS: f64 = 4.0;
const GROUP_METRICS: f64 = 5.0;
const STACK_ALARMS: f64 = 14.0;
const GROUP_ALARMS: f64 = 7.0;
const TABLE_ALARMS: f64 = 2.0;
/// An idempotency record is put, then updated: two write units if the result is small.
const IDEMPOTENCY_CALLS: f64 = 2.0;

/// A bill.
#[derive(Debug, Serialize)]
pub(crate) struct Estimate {
    pub(crate) title: String,
    pub(crate) region: String,
    pub(crate) prices_of: String,
    pub(crate) load: Load,
    pub(crate) items: Vec<Item>,
    pub(crate) dollars: f64,
    pub(crate) dollars_per_event_idempotency: f64,
    pub(crate) assumptions: Vec<Assumption>,
    pub(crate) warnings: Vec<String>,
    /// Prices of the bill that no source was found for.
    pub(crate) unchecked: Vec<String>,
}

/// A line of it.
#[derive(Debug, Serialize)]
pub(crate) struct Item {
    pub(crate) item: String,
    pub(crate) unit: String,
    pub(crate) unit_price: f64,
    pub(crate) quantity: f64,
    pub(crate) dollars: f64,
    pub(crate) quantity_per_event_idempotency: f64,
    pub(crate) dollars_per_event_idempotency: f64,
    /// Where AWS publishes the price.
    pub(crate) page: String,
}

/// A figure that nobody counted, or that was derived of such.
#[derive(Debug, Serialize)]
pub(crate) struct Assumption {
    pub(crate) what: &'static str,
    pub(crate) value: String,
    pub(crate) source: String,
}

struct Bill<'a> {
    prices: &'a Prices,
    items: Vec<Item>,
    unchecked: Vec<String>,
}

impl Bill<'_> {
    /// A line, if either stack has any of it.
    fn add(&mut self, item: &str, price: &str, quantity: f64, per_event: f64) -> anyhow::Result<()> {
        if quantity <= 0.0 && per_event <= 0.0 {
            return Ok(());
        }
        let price = self.prices.of(price)?;
        if !price.checked && !self.unchecked.contains(&price.unit) {
            self.unchecked.push(price.unit.clone());
        }
        self.items.push(Item {
            item: item.to_owned(),
            unit: price.unit.clone(),
            unit_price: price.each(quantity.max(per_event)),
            quantity,
            dollars: price.dollars(quantity),
            quantity_per_event_idempotency: per_event,
            dollars_per_event_idempotency: price.dollars(per_event),
            page: price.page.clone(),
        });
        Ok(())
    }

    /// A line that is the same with both.
    fn same(&mut self, item: &str, price: &str, quantity: f64) -> anyhow::Result<()> {
        self.add(item, price, quantity, quantity)
    }
}

/// Estimates a month.
///
/// # Errors
/// When the count or the prices lack a figure.
pub(crate) fn estimate(load: &Load, calls: &Calls, prices: &Prices) -> anyhow::Result<Estimate> {
    let figures = calls.figures()?;
    let flow = Flow::of(load, &figures);
    let mut bill = Bill { prices, items: Vec::new(), unchecked: Vec::new() };
    edge(&mut bill, load, &flow)?;
    stream(&mut bill, load, &flow)?;
    groups(&mut bill, load, &figures, &flow)?;
    watching(&mut bill, load, &figures, &flow)?;
    let Bill { items, unchecked, .. } = bill;
    let mut assumptions = flow.assumptions(load, calls);
    assumptions.push(window_reads(load, &figures, &flow, prices)?);
    let mode = if load.on_demand { "on demand" } else { "provisioned" };
    Ok(Estimate {
        title: format!(
            "{} events a second of {} bytes, {} in a request; groups: {}, projections among them: {}; stream: {mode}",
            load.events_per_second, load.bytes, load.request_events, load.groups, load.projection_groups
        ),
        region: prices.region.clone(),
        prices_of: prices.date.clone(),
        load: load.clone(),
        dollars: items.iter().map(|item| item.dollars).sum(),
        dollars_per_event_idempotency: items.iter().map(|item| item.dollars_per_event_idempotency).sum(),
        items,
        assumptions,
        warnings: flow.warnings(),
        unchecked,
    })
}

fn edge(bill: &mut Bill<'_>, load: &Load, flow: &Flow) -> anyhow::Result<()> {
    let requests = flow.requests * SECONDS;
    bill.same("API Gateway: requests", "http_requests", requests * flow.http_units)?;
    bill.same("Lambda ingest: requests", "lambda_requests", requests)?;
    let gb_seconds = requests * flow.edge_ms / 1000.0 * gb(load);
    bill.same("Lambda ingest: time", "lambda_gb_seconds", gb_seconds)
}

fn stream(bill: &mut Bill<'_>, load: &Load, flow: &Flow) -> anyhow::Result<()> {
    let (groups, shard_hours) = (load.groups as f64, flow.shards * HOURS);
    let gb = flow.stream_bytes * SECONDS / GB;
    let extended = (load.retention_hours.min(168) - 24) as f64;
    let long = load.retention_hours.saturating_sub(168) as f64;
    if load.on_demand {
        bill.same("Kinesis: stream", "stream_hours", HOURS)?;
        bill.same("Kinesis: in", "on_demand_gb_in", flow.records * flow.billed_kb * 1024.0 * SECONDS / GB)?;
        let out = if load.enhanced_fan_out { "on_demand_fan_out_gb" } else { "on_demand_gb_out" };
        bill.same("Kinesis: out to groups", out, gb * groups)?;
        // kept at any time: as much as came in those hours
        let kept = flow.stream_bytes * 3600.0 * extended / GB;
        bill.same("Kinesis: retention", "on_demand_extended_gb_months", kept)?;
    } else {
        bill.same("Kinesis: shards", "shard_hours", shard_hours)?;
        bill.same("Kinesis: puts", "put_units", flow.records * flow.put_units * SECONDS)?;
        if load.enhanced_fan_out {
            bill.same("Kinesis: fan-out", "fan_out_shard_hours", shard_hours * groups)?;
            bill.same("Kinesis: out by fan-out", "fan_out_gb", gb * groups)?;
        }
        if extended > 0.0 {
            bill.same("Kinesis: retention", "extended_shard_hours", shard_hours)?;
        }
    }
    bill.same("Kinesis: retention past 7 days", "long_term_gb_months", flow.stream_bytes * 3600.0 * long / GB)
}

fn groups(bill: &mut Bill<'_>, load: &Load, figures: &Figures, flow: &Flow) -> anyhow::Result<()> {
    let batches = flow.batches * SECONDS;
    let (groups, projections) = (load.groups as f64, load.projection_groups as f64);
    let handlers = groups - projections;
    bill.same("Lambda groups: requests", "lambda_requests", batches * groups)?;
    let time =
        |handler: f64, projection: f64| batches * (handlers * handler + projections * projection) / 1000.0 * gb(load);
    let (here, usual) =
        (time(flow.handler_ms, flow.projection_ms), time(flow.usual_handler_ms, flow.usual_projection_ms));
    bill.add("Lambda groups: time", "lambda_gb_seconds", here, usual)?;
    let segment = figures.segment_bytes + figures.segment_bytes_per_event * flow.batch_events;
    let units = figures.progress_writes + figures.window_calls * (segment / 1024.0).ceil();
    bill.add("DynamoDB: progress and windows, writes", "write_units", batches * groups * units, 0.0)?;
    bill.add("DynamoDB: windows, reads", "read_units", batches * groups * figures.window_reads, 0.0)?;
    let records = load.events_per_second * SECONDS * groups * IDEMPOTENCY_CALLS;
    bill.add("DynamoDB: idempotency records, writes", "write_units", 0.0, records)?;
    let states = batches * projections * flow.batch_keys;
    let read = states * (1.0 - load.states_remembered);
    bill.same("DynamoDB: states, writes", "write_units", states * figures.state_writes)?;
    bill.same("DynamoDB: states, reads", "read_units", read * figures.state_reads)?;
    let pollers = groups * REDRIVE_POLLERS + GIVE_UPS_POLLERS;
    bill.same("SQS: idle polling", "queue_requests", pollers * SECONDS / POLL_SECONDS)
}

/// A run reads the segments that its process has not seen. As counted, few processes share few shards; if Lambda gives each
/// batch to any of as many processes as there are shards, a run has missed as many runs of its shard on average.
fn window_reads(load: &Load, figures: &Figures, flow: &Flow, prices: &Prices) -> anyhow::Result<Assumption> {
    let segment = figures.segment_bytes + figures.segment_bytes_per_event * flow.batch_events;
    let units = (flow.shards * segment / READ_UNIT_BYTES).ceil();
    let dollars = prices.of("read_units")?.dollars(flow.batches * SECONDS * load.groups as f64 * units);
    Ok(Assumption {
        what: "windows, reads",
        value: format!(
            "{:.2} units a batch as counted on two shards; or some {units}, and ${dollars:.2} a month",
            figures.window_reads
        ),
        source: "the latter if Lambda gives each batch to any of as many processes as there are shards".to_owned(),
    })
}

fn watching(bill: &mut Bill<'_>, load: &Load, figures: &Figures, flow: &Flow) -> anyhow::Result<()> {
    let (groups, tables) = (load.groups as f64, 3.0 + load.projection_groups as f64);
    bill.same("CloudWatch: metrics", "metrics", EDGE_METRICS + GROUP_METRICS * groups)?;
    bill.same("CloudWatch: alarms", "alarms", STACK_ALARMS + GROUP_ALARMS * groups + TABLE_ALARMS * tables)?;
    bill.same("CloudWatch: dashboard", "dashboards", 1.0)?;
    let request = figures.edge_log_bytes + figures.edge_log_lines * flow::LINE_BYTES + flow::ACCESS_LINE_BYTES;
    let batch = figures.group_log_bytes + figures.group_log_lines * flow::LINE_BYTES;
    let edge = flow.requests * (request + flow::PLATFORM_BYTES);
    let groups = flow.batches * groups * (batch + flow::PLATFORM_BYTES);
    bill.same("CloudWatch: logs of ingest, API and groups", "log_gb", (edge + groups) * SECONDS / GB)
}

fn gb(load: &Load) -> f64 {
    load.memory as f64 / 1024.0
}

#[cfg(test)]
mod tests;

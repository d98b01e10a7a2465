//! The whole pipeline on one thread, with a seed and virtual time.
//!
//! The code under test is the very code that is deployed: the producer, the settle protocol, projections, and the event
//! source's state machine that the local stack runs. Kinesis, DynamoDB, SQS, Lambda's environments, the clients and what
//! a handler calls are simulated.
//!
//! Failures that it makes: a call to a service that is lost on the way, or whose reply is; that is throttled; that
//! takes long, or for ever; that arrives long after its caller was told otherwise, or twice; a process that is killed before a call, after it, or while the call is still on its way and
//! arrives later; a process that stops for seconds, or for longer than its invocation may take and then goes on as a
//! zombie; puts that fail in part, and whose records are stored in any order; shards that split, merge and throttle;
//! tables, queues and downstreams that are down for a while; clocks that differ by ten seconds; an event source that
//! starts over from an old place, so that two runs work on one batch; events that are refused, retried, that hang, take
//! seconds, or kill the process; bytes that are no event; records of several keys of which some belong to another shard,
//! from Penstock and from other producers; clients that send again, at once and after the horizon; records and shards that
//! expire from the stream, recoveries that come after that or run out of time, and listings of shards that are some seconds
//! old.
//!
//! Failures that it does not make: data that a service returns wrong or, but for listings, stale, or loses after it has said
//! that it is stored; records that expire before the event source has read them, or while it is down; a clock that jumps;
//! memory that runs out other than by an event that kills. The SDK
//! and the wire are not in it: `tests/contract` shows that the adapters behave as the simulated services do, and
//! `penstock chaos` kills real processes.
//!
//! Nothing in it is nondeterministic: one seed gives the same history, byte for byte. Hash maps of the code under test
//! are seeded at random by the standard library, but nothing there depends on their order; the test that compares
//! histories would show it.

mod agenda;
mod aggregates;
mod calm;
mod chance;
mod client;
mod many;
mod minimise;
mod plan;
mod ports;
mod simulation;
mod work;
mod world;

pub use calm::Calm;
pub use many::{Found, run_many};
pub use minimise::{Small, minimise};
pub use world::Broken;

use plan::Plan;

/// What came of a schedule.
#[derive(Debug)]
pub struct ScheduleEnd {
    /// The first invariant that it broke.
    pub broken: Option<Broken>,
    /// Faults that it met.
    pub faults: usize,
    /// Events that were stored.
    pub events: usize,
}

/// Runs the schedule of `seed`.
pub fn run(seed: u64) -> ScheduleEnd {
    let outcome = simulation::run(&Plan::of(seed), false);
    ScheduleEnd { broken: outcome.broken, faults: outcome.faults.len(), events: outcome.events }
}

/// Runs the schedule of `seed` and tells what happens in it.
pub fn history(seed: u64) -> String {
    simulation::run(&Plan::of(seed), true).history
}

//! The suite against the simulation's world, with nothing failing in it.
#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use contract::World;
use penstock::ShardId;
use penstock::dead_letter::DeadLetter;
use penstock::ports::{States, Stream};
use penstock_schema::registry::{Memory, Registry};
use simulation::Calm;

struct Simulated(Calm, Memory);

impl World for Simulated {
    type Group = Calm;
    fn group(&self, name: &str) -> Calm {
        self.0.group(name)
    }
    fn states(&self) -> impl States {
        self.0.group("projection")
    }
    fn schemas(&self) -> impl Registry {
        &self.1
    }
    fn stream(&self) -> impl Stream {
        self.0.group("edge")
    }
    async fn split(&self, shard: &ShardId) {
        self.0.split(shard);
    }
    async fn letters(&self, group: &str) -> Vec<DeadLetter> {
        self.0.group(group).letters()
    }
}

contract::suite!(async { Simulated(Calm::new(), Memory::default()) });

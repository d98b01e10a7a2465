//! What clients, operators and the weather do.

use super::*;

impl Simulation {
    pub(super) fn operate(&mut self, op: Op) {
        self.world.lock().note(|| format!("{op:?}"));
        let mut world = self.world.lock();
        let now = world.agenda.now().0;
        match op {
            Op::Send { client, keys } => {
                // the keys' events alternate, as they would in a batch that a busy service collected
                let longest = keys.iter().map(|(_, kinds)| kinds.len()).max().unwrap_or(0);
                let turns = (0..longest).flat_map(|turn| {
                    keys.iter().filter_map(move |(key, kinds)| kinds.get(turn).map(|kind| (*key, *kind)))
                });
                let events: Vec<_> = turns.map(|(key, kind)| world.new_event(key, kind)).collect();
                if !events.is_empty() && self.clients[client].enqueue(events) {
                    world.agenda.after(0, Happening::Send(client));
                }
            }
            Op::Again { key, choice } => {
                let of_key = EventRef { key, ordinal: 0 }..EventRef { key: key + 1, ordinal: 0 };
                let accepted = world.truth.events.range(of_key).filter(|(_, fact)| fact.accepted);
                let accepted: Vec<_> = accepted.map(|(event, _)| *event).collect();
                if !accepted.is_empty() {
                    let client = self.clients.len() - 1;
                    let event = accepted[usize::try_from(choice % accepted.len() as u64).unwrap_or(0)];
                    if self.clients[client].enqueue(vec![event]) {
                        world.agenda.after(0, Happening::Send(client));
                    }
                }
            }
            Op::Garbage { choice } => {
                let range = world.stream.any_open(choice).range;
                if let Some(key) = PartitionKey::new("garbage") {
                    let event = EventRef { key: GARBAGE, ordinal: u32::try_from(choice % 1000).unwrap_or(0) };
                    let hash_key = HashKey(range.start.0);
                    let record = PackedRecord { key, hash_key, data: Bytes::from_static(b"\xffjunk"), events: vec![0] };
                    let now = world.agenda.now();
                    _ = world.stream.put(&record, vec![event], now, 1);
                }
            }
            Op::Aggregate { packer, choice, kinds } => world.put_aggregate(packer, choice, &kinds),
            Op::Split { choice } => _ = world.stream.split(choice, Timestamp(now)),
            Op::Merge { choice } => _ = world.stream.merge(choice, Timestamp(now)),
            Op::ShardBusy { choice, millis } => world.stream.any_open(choice).busy_until = now + millis,
            Op::TablesDown { millis } => world.tables_down_until = now + millis,
            Op::QueuesDown { millis } => world.queues_down_until = now + millis,
            Op::DownstreamDown { group, millis } => world.downstream_down_until[group] = now + millis,
            Op::RestartMapping { group } => {
                // a run that is overtaken looks like one that crashed
                let in_group = |job: &Job| matches!(job, Job::Batch { group: other, .. } if *other == group);
                let overtaken = |process: &Running| process.job.as_ref().is_some_and(|(_, job)| in_group(job));
                for (pid, _) in self.processes.iter().filter(|(_, process)| overtaken(process)) {
                    world.saw_crash(group, *pid);
                }
                drop(world);
                let mapping = self.mapping(self.groups[group].saved.clone(), self.now());
                let generation = self.groups[group].generation + 1;
                let saved = self.groups[group].saved.take();
                self.groups[group] = Group { mapping, generation, saved, tick_due: None };
                self.tick(group);
            }
            Op::Mend { group } => world.mended[group] = true,
            Op::Redrive { group } => world.send_back(group),
            Op::Kill { choice } => {
                drop(world);
                let busy: Vec<Pid> = self.processes.iter().filter(|(_, p)| p.job.is_some()).map(|(p, _)| *p).collect();
                if !busy.is_empty() {
                    self.kill(busy[usize::try_from(choice % busy.len() as u64).unwrap_or(0)]);
                }
            }
        }
    }
}

//! What stands before the groups: their event source mappings, redrive queues and notices.

use super::*;

impl Simulation {
    pub(super) fn tick(&mut self, group: GroupIndex) {
        loop {
            let now = self.now;
            let this = &mut self.groups[group];
            let generation = this.generation;
            match this.mapping.next(now) {
                Step::WaitUntil(until) => {
                    let until = until.0.max(now.0 + 1);
                    let mut world = self.world.lock();
                    if this.tick_due.is_none_or(|due| until < due) {
                        this.tick_due = Some(until);
                        world.agenda.at(Timestamp(until), Happening::Tick(group));
                    }
                    // nobody asks for it unless the mapping is started over
                    if world.chance.below(4) == 0 && self.restarts {
                        this.saved = Some(this.mapping.checkpoint());
                    }
                    return;
                }
                Step::List => {
                    self.world.lock().agenda.after(5, Happening::Listed(group, generation));
                }
                Step::Shard(shard, Action::Fetch { from, limit }) => {
                    let mut world = self.world.lock();
                    let takes = 1 + world.chance.below(20);
                    world.agenda.after(takes, Happening::Read(group, generation, shard, from, limit));
                }
                Step::Shard(shard, Action::Invoke(records)) => self.invoke(group, generation, shard, &records),
                Step::Shard(shard, Action::GiveUp(given_up)) => {
                    let (first, last) = (&given_up.records[0], &given_up.records[given_up.records.len() - 1]);
                    let notice = ExpiredRange {
                        shard: shard.clone(),
                        first: first.sequence.clone(),
                        last: last.sequence.clone(),
                        arrival: first.arrival,
                        last_arrival: last.arrival,
                        attempts: given_up.invocations,
                        reason: format!("{:?}", given_up.condition),
                    };
                    let mut world = self.world.lock();
                    world.note(|| format!("group {group}: given up {} to {} of {shard}", notice.first, notice.last));
                    world.saw_given_up(group, &notice);
                    world.tables[group].notices.push(notice);
                    // some notices wait for long, so that what they speak of expires
                    let waits = match self.plan.retention.map(millis) {
                        Some(retention) if world.chance.below(3) == 0 => world.chance.below(2 * retention),
                        _ => 100,
                    };
                    world.agenda.after(waits, Happening::Recover(group));
                    world.agenda.after(5, Happening::ExpiredRange(group, generation, shard));
                }
            }
        }
    }

    pub(super) fn invoke(
        &mut self,
        group: GroupIndex,
        generation: u32,
        shard: ShardId,
        records: &[penstock_event_source::Record],
    ) {
        let mut world = self.world.lock();
        world.saw_batch(group, &shard);
        if world.chance.strikes(1) {
            world.agenda.after(20, Happening::Failed(group, generation, shard, Invocation::Throttled));
            return;
        }
        drop(world);
        let Some((pid, settler)) = self.environment(group, false) else { return };
        let batch = ShardBatch {
            shard: shard.clone(),
            records: records
                .iter()
                .map(|record| Record {
                    sequence: record.sequence.clone(),
                    arrival: record.arrival,
                    partition_key: record.partition_key.as_ref().to_owned(),
                    data: record.data.clone(),
                })
                .collect(),
        };
        let arrivals = (records[0].arrival.0, records[records.len() - 1].arrival.0);
        let deadline = self.deadline(pid, FUNCTION_TIMEOUT);
        self.world.lock().note(|| {
            let (first, last) = (&records[0].sequence, &records[records.len() - 1].sequence);
            format!("process {pid}: group {group} gets {shard} {first} to {last}")
        });
        let task: Task = Box::pin(async move { Output::Settled(settler.settle(&batch, deadline).await) });
        self.run(pid, Job::Batch { group, generation, shard, arrivals }, task, FUNCTION_TIMEOUT);
    }

    /// A process of a group that has nothing to do.
    pub(super) fn environment(
        &mut self,
        group: GroupIndex,
        redrives: bool,
    ) -> Option<(Pid, Arc<Settler<GroupWork, Process>>)> {
        let warm = self.world.lock().chance.below(self.plan.cold) > 0;
        let idle = self.processes.iter().filter(|(_, process)| {
            process.job.is_none()
                && process.task.is_none()
                && process.settler.as_ref().is_some_and(|(other, _)| *other == group)
        });
        let idle: Vec<Pid> = idle.map(|(pid, _)| *pid).collect();
        let pid = if warm && !idle.is_empty() {
            let choice = self.world.lock().chance.below(idle.len() as u64);
            idle[usize::try_from(choice).unwrap_or(0)]
        } else {
            self.start_consumer(group)
        };
        let now = self.now().0;
        let process = self.processes.get_mut(&pid)?;
        process.doing.store(now << 1 | u64::from(redrives), Ordering::Relaxed);
        process.settler.as_ref().map(|(_, settler)| (pid, Arc::clone(settler)))
    }

    /// The event source of a redrive queue takes some of its messages, in any order.
    pub(super) fn receive(&mut self, group: GroupIndex) {
        let mut world = self.world.lock();
        let mut letters = std::mem::take(&mut world.tables[group].returned);
        let mut taken = Vec::new();
        while !letters.is_empty() && taken.len() < 10 {
            let choice = usize::try_from(world.chance.below(letters.len() as u64)).unwrap_or(0);
            taken.push(letters.swap_remove(choice));
        }
        world.tables[group].returned = letters;
        drop(world);
        if taken.is_empty() {
            return;
        }
        let Some((pid, settler)) = self.environment(group, true) else { return };
        self.world.lock().note(|| format!("process {pid}: group {group} gets {} letters back", taken.len()));
        let letters: Vec<_> = taken.iter().map(|(letter, _)| letter.clone()).collect();
        let received = taken.iter().map(|(_, receives)| receives + 1).max().unwrap_or(1);
        let (id, deadline) = (format!("{}", self.jobs), self.deadline(pid, FUNCTION_TIMEOUT));
        let task: Task = Box::pin(async move {
            let results = settler.redrive(&letters, received, &id, deadline).await;
            Output::Redriven(results)
        });
        self.run(pid, Job::Redrive { group, letters: taken }, task, FUNCTION_TIMEOUT);
    }

    /// What a redrive did not settle is received again, and after three times goes back to the dead letters.
    pub(super) fn received(&mut self, group: GroupIndex, letters: Vec<(DeadLetter, u32)>, ends: &[LetterEnd]) {
        let mut world = self.world.lock();
        let others_wait = !world.tables[group].returned.is_empty();
        for (index, (letter, receives)) in letters.into_iter().enumerate() {
            let end = ends.get(index).filter(|end| !matches!(end, LetterEnd::Left(_)));
            if let Some(end) = end.filter(|_| !world.chance.strikes(2)) {
                if matches!(end, LetterEnd::Settled(_)) {
                    world.saw_redriven(group, &letter);
                }
            } else if receives >= 2 {
                world.tables[group].letters.push(letter);
            } else {
                world.tables[group].returned.push((letter, receives + 1));
            }
        }
        // what is left comes again after its visibility time-out, as the template has it, or with the others
        let comes = if others_wait { 1000 } else { 6 * FUNCTION_TIMEOUT };
        world.agenda.after(comes, Happening::Receive(group));
    }

    pub(super) fn recover(&mut self, group: GroupIndex) {
        let Some(notice) = self.world.lock().tables[group].notices.pop() else { return };
        let process = self.process(group);
        let pid = process.pid;
        self.processes.insert(pid, Running::new(None, &process, &self.ready));
        let fingerprints = self.world.lock().fingerprints.clone();
        let now = self.now();
        process.doing.store(now.0 << 1, Ordering::Relaxed);
        let recoverer = Recoverer {
            group: format!("group-{group}"),
            stream: "stream".to_owned(),
            fingerprints,
            horizon: HORIZON,
            window_bytes: 1 << 20,
            retention_min: self.plan.retention.unwrap_or(Duration::from_secs(u64::from(u32::MAX))),
            outside: process,
        };
        // some run out of time in the middle of a range
        let has = match self.plan.retention {
            Some(_) if self.world.lock().chance.below(2) == 0 => self.world.lock().chance.below(400),
            _ => FUNCTION_TIMEOUT,
        };
        let (given_up, deadline) = (notice.clone(), self.deadline(pid, has));
        let task: Task = Box::pin(async move {
            let recovered = recoverer.recover(&given_up, deadline).await;
            Output::Recovered(recovered.is_ok_and(|recovered| recovered.complete))
        });
        self.run(pid, Job::Recovery { group, notice }, task, FUNCTION_TIMEOUT);
    }

    pub(super) fn start_consumer(&mut self, group: GroupIndex) -> Pid {
        let process = self.process(group);
        let pid = process.pid;
        let settings = settle::Settings {
            horizon: HORIZON,
            attempts_max: ATTEMPTS_MAX,
            patience: self.plan.patience,
            concurrency: self.plan.concurrency,
            outage_keys: OUTAGE_KEYS,
            item: self.plan.item,
            ..settle::Settings::new(format!("group-{group}"), "stream")
        };
        let work = if group != PROJECTION {
            GroupWork::Handles(Handling(Handler(process.clone())))
        } else {
            GroupWork::Projects(Projecting::new(List(process.clone()), process.clone(), self.plan.cache_bytes))
        };
        let fingerprints = self.world.lock().fingerprints.clone();
        let settler = Arc::new(Settler::new(settings, fingerprints, work, process.clone()));
        self.processes.insert(pid, Running::new(Some((group, settler)), &process, &self.ready));
        pid
    }
}

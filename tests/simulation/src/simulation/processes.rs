//! Processes: tasks that run, stop, go on, are killed and end.

use super::*;

impl Simulation {
    pub(super) fn run(&mut self, pid: Pid, job: Job, task: Task, timeout: u64) {
        self.jobs += 1;
        let now = self.now().0;
        if let Job::Batch { group, .. } = &job {
            self.world.lock().saw_start(*group, pid);
        }
        if let Some(process) = self.processes.get_mut(&pid) {
            process.job = Some((self.jobs, job));
            process.stopped_in_job = process.stopped_until > now;
            process.task = Some(task);
            self.world.lock().agenda.after(timeout, Happening::TimeOut(pid, self.jobs));
            self.poll(pid);
        }
    }

    pub(super) fn poll_ready(&mut self) {
        loop {
            let ready = std::mem::take(&mut *self.ready.lock().unwrap_or_else(PoisonError::into_inner));
            if ready.is_empty() {
                return;
            }
            for pid in ready {
                self.poll(pid);
            }
        }
    }

    pub(super) fn poll(&mut self, pid: Pid) {
        let now = self.now().0;
        let Some(process) = self.processes.get_mut(&pid) else { return };
        if process.stopped_until > now {
            process.woken = true;
            return;
        }
        let Some(mut task) = process.task.take() else { return };
        let mut context = Context::from_waker(&process.waker);
        let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(&mut context)));
        match polled {
            Ok(Poll::Pending) => process.task = Some(task),
            Ok(Poll::Ready(output)) => self.finished(pid, output),
            Err(panic) if panic.is::<Killed>() => self.kill(pid),
            Err(panic) => resume_unwind(panic),
        }
        let stops = std::mem::take(&mut self.world.lock().stops);
        for (pid, millis) in stops {
            if let Some(process) = self.processes.get_mut(&pid) {
                process.stopped_until = now + millis;
                process.stopped_in_job = true;
                self.world.lock().agenda.after(millis, Happening::Thaw(pid));
            }
        }
    }

    pub(super) fn thaw(&mut self, pid: Pid) {
        let now = self.now().0;
        if let Some(process) = self.processes.get_mut(&pid)
            && process.stopped_until <= now
            && std::mem::take(&mut process.woken)
        {
            self.world.lock().note(|| format!("process {pid} goes on"));
            self.poll(pid);
        }
    }

    pub(super) fn kill(&mut self, pid: Pid) {
        let Some(process) = self.processes.remove(&pid) else { return };
        self.world.lock().note(|| format!("process {pid} is killed"));
        if let Some((_, job)) = process.job.clone() {
            self.lost(pid, job, 30, "Runtime.ExitError");
        }
    }

    /// An invocation is over for Lambda. A process that is stopped stays, and wakes up as a zombie.
    pub(super) fn time_out(&mut self, pid: Pid, job: u64) {
        let now = self.now().0;
        let Some(process) = self.processes.get_mut(&pid) else { return };
        if process.job.as_ref().is_none_or(|(number, _)| *number != job) {
            return;
        }
        let stood_still = process.stopped_in_job;
        let timed_out = process.job.take();
        let zombie = process.stopped_until > now;
        self.world.lock().note(|| format!("process {pid} timed out{}", if zombie { ", and lives on" } else { "" }));
        if !stood_still && !matches!(timed_out, Some((_, Job::Request { .. }))) {
            self.world
                .lock()
                .breaks("P0", || format!("process {pid} ran into its time-out, and nothing had stopped it"));
        }
        if !zombie {
            self.processes.remove(&pid);
        }
        if let Some((_, job)) = timed_out {
            self.lost(pid, job, 0, "Sandbox.Timedout");
        }
    }

    pub(super) fn finished(&mut self, pid: Pid, output: Output) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let (job, remembering) = (process.job.take(), process.settler.clone());
        if job.is_none() || process.settler.is_none() {
            // a zombie's answer is heard by nobody
            self.processes.remove(&pid);
        }
        match (job, output) {
            (Some((_, Job::Batch { group, generation, shard, arrivals })), Output::Settled(result)) => {
                if let (Ok(_), Some((_, settler))) = (&result, &remembering) {
                    let names = settler.remembered(&shard);
                    self.world.lock().saw_memory(group, &shard, arrivals, (names, self.plan.batch_size));
                }
                self.world.lock().note(|| match &result {
                    Ok(settled) => format!("process {pid}: settled {:?}", settled.counts),
                    Err(error) => format!("process {pid}: {error}"),
                });
                self.world.lock().saw_answer(group, pid, result.is_err());
                let invocation = answer(result);
                self.invoked(group, generation, &shard, &invocation);
            }
            (Some((_, Job::Request { client })), Output::Published(fates)) => {
                let mut world = self.world.lock();
                if self.clients[client].answered(&mut world, &fates) {
                    let pause = 1 + world.chance.below(2000);
                    world.agenda.after(pause, Happening::Send(client));
                }
            }
            (Some((_, Job::Redrive { group, letters })), Output::Redriven(results)) => {
                for (result, (letter, _)) in results.iter().zip(&letters) {
                    let (position, told) = (&letter.position, || format!("{result:?}"));
                    self.world.lock().note(|| format!("process {pid}: letter {position}: {}", told()));
                }
                self.received(group, letters, &results);
            }
            (Some((_, job @ Job::Recovery { .. })), Output::Recovered(false)) => self.lost(pid, job, 0, ""),
            _ => {}
        }
    }

    /// A job came to nothing: whoever gave it out gives it out again.
    pub(super) fn lost(&mut self, pid: Pid, job: Job, millis: u64, error: &'static str) {
        match job {
            Job::Batch { group, generation, shard, .. } => {
                let mut world = self.world.lock();
                world.saw_crash(group, pid);
                let failed = Invocation::failed(error, "it did not answer");
                world.agenda.after(millis, Happening::Failed(group, generation, shard, failed));
            }
            Job::Request { client } => self.world.lock().agenda.after(millis, Happening::Send(client)),
            Job::Redrive { group, letters } => self.received(group, letters, &[]),
            Job::Recovery { group, notice } => {
                let mut world = self.world.lock();
                world.tables[group].notices.push(notice);
                world.agenda.after(1000, Happening::Recover(group));
            }
        }
    }
}

/// What the function answers Lambda.
fn answer(result: Result<Settled, settle::Error>) -> Invocation {
    match result {
        Ok(Settled { resume_at: None, .. }) => Invocation::Returned(Bytes::from_static(br#"{"batchItemFailures":[]}"#)),
        Ok(Settled { resume_at: Some(sequence), .. }) => {
            Invocation::Returned(Bytes::from(format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{sequence}"}}]}}"#)))
        }
        Err(error) => Invocation::failed("Penstock.Unavailable", error.to_string()),
    }
}

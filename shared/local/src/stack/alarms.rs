//! The watch over a stack's alarms, and what it is asked.

use super::Stack;
use crate::metrics::{AlarmState, MetricStore};

impl Stack {
    pub(super) fn watch_alarms(&mut self) {
        let running = self.alarms.clone().run(self.platform.sampler(), self.cancel.clone());
        let task = tokio::spawn(async move {
            running.await;
            Ok(())
        });
        self.tasks.push(("the alarms".to_owned(), task));
    }

    /// What the functions and services have reported.
    pub fn metrics(&self) -> &MetricStore {
        &self.metrics
    }

    /// The template's alarms as they are now, without those that cannot be evaluated here.
    pub fn alarms(&self) -> Vec<AlarmState> {
        self.alarms.alarms()
    }
}

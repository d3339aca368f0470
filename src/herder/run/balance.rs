//! How busy this worker's tasks are: measured here, published with each sign of life, and used by the
//! worker that balances (`core`).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, info};

use super::HerderLoop;
use super::store_writer::StoreJob;
use crate::herder::core::{Loads, MoveReason};
use crate::store::{StoreChange, StoredWorker, WorkerBusy};
use crate::worker::TaskId;

/// Over how many intervals of balancing a measurement loses most of its weight.
const REMEMBERED: f64 = 5.0;

/// Busy milliseconds of the two threads of a task since it was started.
type BusyTimes = [u64; 2];

/// What is known of a task.
struct Measured {
    at: Instant,
    times: BusyTimes,
    /// 1 for a task that always works.
    work: Option<f64>,
}

/// Measures how busy tasks are, as an average in which what was long ago counts less.
pub(super) struct LoadMeter {
    remembered: Duration,
    tasks: BTreeMap<TaskId, Measured>,
}

impl LoadMeter {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            remembered: interval.mul_f64(REMEMBERED),
            tasks: BTreeMap::new(),
        }
    }

    /// Takes the busy times of all running tasks in. Returns how busy each is that was measured before,
    /// here or on the worker that ran it before (`known`).
    fn measure(
        &mut self,
        now: Instant,
        running: Vec<(TaskId, BusyTimes)>,
        known: impl Fn(&TaskId) -> Option<f64>,
    ) -> Vec<(String, u32, f64)> {
        let mut before = std::mem::take(&mut self.tasks);
        let mut all = Vec::with_capacity(running.len());
        for (id, times) in running {
            let work = match before.remove(&id) {
                Some(last) => self.next(&last, now, times),
                None => known(&id),
            };
            if let Some(work) = work {
                let shown = (work * 1000.0).round() / 1000.0;
                all.push((id.connector.to_string(), id.task, shown));
            }
            let at = now;
            self.tasks.insert(id, Measured { at, times, work });
        }
        all
    }

    fn next(&self, last: &Measured, now: Instant, times: BusyTimes) -> Option<f64> {
        let passed = now.saturating_duration_since(last.at);
        if passed.is_zero() {
            return last.work;
        }
        let busy = |(now, before): (u64, u64)| match now.checked_sub(before) {
            Some(more) => Duration::from_millis(more),
            // It was started again.
            None => Duration::from_millis(now),
        };
        let busiest = times.into_iter().zip(last.times).map(busy).max();
        let busiest = busiest.unwrap_or_default().min(passed);
        let work = busiest.as_secs_f64() / passed.as_secs_f64();
        let Some(before) = last.work else {
            return Some(work);
        };
        let weight = 1.0 - (-passed.as_secs_f64() / self.remembered.as_secs_f64()).exp();
        Some(before + (work - before) * weight)
    }
}

impl HerderLoop {
    /// Returns the job that shows that this worker is alive and how busy it is. The worker that
    /// balances reads the others with it.
    pub(super) fn beat(&mut self) -> StoreJob {
        let running = self.parts.worker.busy_times();
        let (now, state) = (Instant::now(), &self.state);
        let mut tasks = Vec::new();
        if let Some(work) = &mut self.group {
            work.next_beat = now + work.beat_every;
            let known = |id: &TaskId| state.work_of(&id.connector, id.task);
            tasks = work.meter.measure(now, running, known);
        }
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let processors = f64::from(u16::try_from(processors).unwrap_or(u16::MAX));
        let busy = WorkerBusy { processors, tasks };
        self.parts
            .worker
            .metrics()
            .group(|group| group.load = busy.load());
        StoreJob::Beat(busy, self.state.balances())
    }

    /// Takes in what the sign of life has found.
    pub(super) fn beaten(&mut self, is_registered: bool, workers: Option<Vec<StoredWorker>>) {
        let Some(work) = &mut self.group else { return };
        if let Some(workers) = workers {
            self.state.measured(Loads::of(&workers));
            work.workers = workers;
        }
        if !is_registered && !std::mem::replace(&mut work.is_doubled, true) {
            error!(
                worker_id = &*self.parts.worker_id,
                "another process has registered with the id of this worker: give each worker its own \
                 rest.advertised.host.name and rest.advertised.port"
            );
        }
    }

    /// Logs and counts a move.
    pub(super) fn note_move(&self, change: &StoreChange, reason: MoveReason) {
        let StoreChange::MoveTask { name, task, to, .. } = change else {
            return;
        };
        let to = self
            .state
            .owner(*to)
            .map_or_else(String::new, |worker| worker.to_string());
        info!(
            connector = &**name,
            task,
            to,
            reason = reason.name(),
            "a part moves to another worker"
        );
        self.parts
            .worker
            .metrics()
            .group(|group| *group.moves.entry(reason.name()).or_default() += 1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn id() -> TaskId {
        TaskId {
            connector: Arc::from("c"),
            task: 0,
        }
    }

    #[test]
    fn the_busier_thread_counts_and_old_measurements_fade() {
        let mut meter = LoadMeter::new(Duration::from_secs(2));
        let began = Instant::now();
        let mut times = [0, 0];
        let mut measure = |second: u64, more: BusyTimes| {
            times = [times[0] + more[0], times[1] + more[1]];
            let now = began + Duration::from_secs(second);
            let found = meter.measure(now, vec![(id(), times)], |_| None);
            found.first().map(|(_, _, work)| *work)
        };
        assert_eq!(measure(0, [0, 0]), None, "nothing was measured yet");
        assert_eq!(measure(1, [250, 500]), Some(0.5));
        let mut last = 0.5;
        for second in 2..60 {
            let now = measure(second, [1000, 0]).unwrap();
            assert!(now >= last, "{second}: {now} after {last}");
            last = now;
        }
        assert!(last > 0.99, "{last}");
        assert!(measure(60, [0, 0]).unwrap() > 0.85, "one second is not all");
    }

    #[test]
    fn what_the_former_worker_measured_is_where_the_next_begins() {
        let mut meter = LoadMeter::new(Duration::from_secs(60));
        let began = Instant::now();
        let first = meter.measure(began, vec![(id(), [0, 0])], |_| Some(0.4));
        assert_eq!(first, [("c".to_owned(), 0, 0.4)]);
        // Starting takes all of its time.
        let second = began + Duration::from_secs(1);
        let next = meter.measure(second, vec![(id(), [1000, 1000])], |_| None);
        assert!(next[0].2 < 0.41, "{next:?}");
        // It was started again: its times begin at zero.
        let third = second + Duration::from_secs(1);
        let next = meter.measure(third, vec![(id(), [0, 0])], |_| None);
        assert!(next[0].2 < 0.41, "{next:?}");
        let gone = meter.measure(third + Duration::from_secs(1), Vec::new(), |_| Some(1.0));
        assert_eq!(gone, []);
    }
}

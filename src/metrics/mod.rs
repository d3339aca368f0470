//! What a worker measures, and the text that Prometheus scrapes.
//!
//! Tasks publish their own counters here once per batch; a record costs no atomic operation and no
//! lock. At each scrape, all figures are copied into one [`Snapshot`], and everything from there to
//! the text is pure. This module knows no connectors, no Kafka client and no HTTP.

mod client;
mod connect;
mod debezium;
mod family;
mod histogram;
mod lag;
mod own;
mod process;
mod snapshot;
mod spelling;
mod task;
mod text;
mod window;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use connector_api::ErrorKind;
use connector_api::locks::TakeLock;

pub(crate) use client::ClientReport;
pub(crate) use lag::PartitionReport;
pub(crate) use process::ProcessFigures;
pub(crate) use snapshot::{ConnectorFacts, LagOf, Snapshot, TableFacts, TaskFacts};
pub(crate) use spelling::Spelling;
pub(crate) use task::{Activity, TaskFigures, TopicAmounts, WAITS};
pub(crate) use text::Format;

pub(crate) use window::as_f64;

use client::ClientFigures;
use snapshot::TaskSnapshot;
use task::RecordErrors;

/// Returns the milliseconds since this process first measured something.
fn now_ms() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let began = *BEGAN.get_or_init(Instant::now);
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Returns the milliseconds since 1970-01-01 UTC.
fn wall_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.ok()
        .and_then(|now| u64::try_from(now.as_millis()).ok())
        .unwrap_or(0)
}

/// How often something was started, and how often that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StartUps {
    pub succeeded: u64,
    pub failed: u64,
}

impl StartUps {
    fn count(&mut self, succeeded: bool) {
        if succeeded {
            self.succeeded += 1;
        } else {
            self.failed += 1;
        }
    }
}

/// Figures of one of several workers.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupFigures {
    /// Number of busy processors, as a share of all.
    pub load: f64,
    /// Moves of tasks that this worker has decided, by reason.
    pub moves: BTreeMap<&'static str, u64>,
}

/// The figures of each task, by connector and number.
type TaskTable = BTreeMap<(Arc<str>, u32), Arc<TaskMetrics>>;

/// The figures of a worker and of all tasks that it has run. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct WorkerMetrics {
    tasks: Arc<Mutex<TaskTable>>,
    connector_starts: Arc<Mutex<StartUps>>,
    task_starts: Arc<Mutex<StartUps>>,
    slots: Arc<AtomicU64>,
    /// If this is one of several workers.
    group: Arc<Mutex<Option<GroupFigures>>>,
    most_tables: usize,
}

impl WorkerMetrics {
    /// Creates figures that show at most that many tables or topics of each task by name.
    pub(crate) fn new(most_tables: usize) -> Self {
        Self {
            tasks: Arc::default(),
            connector_starts: Arc::default(),
            task_starts: Arc::default(),
            slots: Arc::default(),
            group: Arc::default(),
            most_tables,
        }
    }

    /// Returns the figures of a task. They are kept until its connector is [deleted](Self::forget).
    pub(crate) fn of_task(&self, connector: &Arc<str>, task: u32) -> Arc<TaskMetrics> {
        let mut tasks = self.tasks.take_lock();
        let metrics = tasks
            .entry((Arc::clone(connector), task))
            .or_insert_with(|| Arc::new(TaskMetrics::new(self.most_tables)));
        Arc::clone(metrics)
    }

    /// Removes the figures of a connector that was deleted. A task of it that is still ending
    /// continues to count, where nobody looks.
    pub(crate) fn forget(&self, connector: &str) {
        self.tasks
            .take_lock()
            .retain(|(name, _), _| **name != *connector);
    }

    /// Notes that a connector was started, or failed to start.
    pub(crate) fn connector_started(&self, succeeded: bool) {
        self.connector_starts.take_lock().count(succeeded);
    }

    /// Notes that a task was opened, or failed before.
    pub(crate) fn task_started(&self, succeeded: bool) {
        self.task_starts.take_lock().count(succeeded);
    }

    /// Notes how many slots of the group this worker has now.
    pub(crate) fn has_slots(&self, slots: usize) {
        self.slots.store(slots as u64, Ordering::Relaxed);
    }

    /// Changes the figures of one of several workers.
    pub(crate) fn group(&self, change: impl FnOnce(&mut GroupFigures)) {
        change(self.group.take_lock().get_or_insert_default());
    }

    /// Copies all figures, those of tasks only for the connectors that exist.
    pub(crate) fn snapshot(&self, mut connectors: Vec<ConnectorFacts>) -> Snapshot {
        connectors.sort_by(|a, b| a.name.cmp(&b.name));
        let known: Vec<_> = {
            let tasks = self.tasks.take_lock();
            let exists =
                |name: &Arc<str>| connectors.binary_search_by(|c| c.name.cmp(name)).is_ok();
            let known = tasks.iter().filter(|((name, _), _)| exists(name));
            known
                .map(|(id, task)| (id.clone(), Arc::clone(task)))
                .collect()
        };
        let copy =
            |((connector, task), metrics): ((Arc<str>, u32), Arc<TaskMetrics>)| TaskSnapshot {
                connector,
                task,
                figures: metrics.figures.take_lock().clone(),
                clients: [&metrics.producer, &metrics.consumer, &metrics.dead_letters]
                    .map(|client| *client.0.take_lock()),
            };
        Snapshot {
            now_ms: now_ms(),
            slots: self.slots.load(Ordering::Relaxed),
            process: ProcessFigures::read(),
            tasks: known.into_iter().map(copy).collect(),
            connectors,
            connector_starts: *self.connector_starts.take_lock(),
            task_starts: *self.task_starts.take_lock(),
            group: self.group.take_lock().clone(),
            most_tables: self.most_tables,
        }
    }
}

/// Where a task publishes its figures.
#[derive(Debug, Default)]
pub(crate) struct TaskMetrics {
    figures: Mutex<TaskFigures>,
    producer: Arc<ClientMetrics>,
    consumer: Arc<ClientMetrics>,
    dead_letters: Arc<ClientMetrics>,
    most_topics: usize,
}

/// What a task has Kafka clients for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientPurpose {
    /// The records and offsets of a source.
    Producer,
    /// The records of a sink.
    Consumer,
    DeadLetters,
}

/// The names of the purposes, in their order.
const CLIENTS: [&str; 3] = ["producer", "consumer", "dead_letters"];

impl TaskMetrics {
    fn new(most_topics: usize) -> Self {
        Self {
            most_topics,
            ..Self::default()
        }
    }

    /// Changes the figures; the closure receives the time. Must not be called per record.
    pub(crate) fn update(&self, change: impl FnOnce(&mut TaskFigures, u64)) {
        let now = now_ms();
        change(&mut self.figures.take_lock(), now);
    }

    /// Notes records that were read.
    pub(crate) fn read(&self, topics: &TopicAmounts) {
        if topics.records() > 0 {
            self.update(|task, now| task.read(now, topics, self.most_topics));
        }
    }

    /// Notes records that were written, for that number of records that were read.
    pub(crate) fn written(&self, topics: &TopicAmounts, read: u64) {
        self.update(|task, now| task.written(now, topics, read, self.most_topics));
    }

    /// Notes an error of any kind that did not concern a single record.
    pub(crate) fn error(&self, kind: ErrorKind) {
        self.update(|task, _| task.error(kind));
    }

    /// Notes that a record was skipped because of an error, and whether that was logged.
    pub(crate) fn skipped(&self, kind: ErrorKind, is_logged: bool) {
        self.error(kind);
        self.record_error(|errors| {
            errors.skipped += 1;
            errors.logged += u64::from(is_logged);
        });
    }

    /// Notes what follows from the failure of a record or of an operation.
    pub(crate) fn record_error(&self, change: impl FnOnce(&mut RecordErrors)) {
        let wall = wall_ms();
        self.update(|task, _| {
            let errors = &mut task.record_errors;
            errors.failures += 1;
            errors.last_ms = wall;
            change(errors);
        });
    }

    /// Notes the milliseconds that threads have waited in total, by name, and those that were
    /// noted before.
    pub(crate) fn waited(&self, total: [u64; WAITS.len()], before: [u64; WAITS.len()]) {
        self.update(|task, now| {
            for (window, (total, before)) in
                task.waits.iter_mut().zip(total.into_iter().zip(before))
            {
                window.add(now, window::seconds(total.saturating_sub(before)));
            }
        });
    }

    /// Notes a dead letter that is stored, or could not be.
    pub(crate) fn dead_letter(&self, is_stored: bool) {
        self.update(|task, _| {
            let errors = &mut task.record_errors;
            errors.dead_letters += 1;
            errors.dead_letter_failures += u64::from(!is_stored);
        });
    }

    /// Returns where a Kafka client of the task reports.
    pub(crate) fn client(&self, purpose: ClientPurpose) -> Arc<ClientMetrics> {
        Arc::clone(match purpose {
            ClientPurpose::Producer => &self.producer,
            ClientPurpose::Consumer => &self.consumer,
            ClientPurpose::DeadLetters => &self.dead_letters,
        })
    }
}

/// Where a Kafka client reports.
#[derive(Debug, Default)]
pub(crate) struct ClientMetrics(Mutex<ClientFigures>);

/// Receives the statistics of a client that is open; the client is closed when it is dropped.
#[derive(Debug)]
pub(crate) struct OpenClient {
    metrics: Arc<ClientMetrics>,
    last: Mutex<ClientReport>,
}

impl OpenClient {
    /// Notes that a client was opened.
    pub(crate) fn new(metrics: Arc<ClientMetrics>) -> Self {
        metrics.0.take_lock().is_known = true;
        Self {
            metrics,
            last: Mutex::default(),
        }
    }

    /// Takes a report in.
    pub(crate) fn report(&self, report: ClientReport) {
        let (now, last) = (
            now_ms(),
            std::mem::replace(&mut *self.last.take_lock(), report),
        );
        self.metrics.0.take_lock().report(now, last, report);
    }

    /// Notes that a broker has refused the client's login.
    pub(crate) fn denied(&self) {
        self.metrics.0.take_lock().denied += 1;
    }
}

impl Drop for OpenClient {
    fn drop(&mut self) {
        let last = *self.last.take_lock();
        self.metrics.0.take_lock().closed(last);
    }
}

#[cfg(test)]
mod tests;

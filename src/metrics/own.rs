//! The metrics under our own names. `docs/metrics.md` lists them. Pure.

use std::sync::Arc;

use super::CLIENTS;
use super::family::{Families, Kind, Label, Labels, Value};
use super::snapshot::{LagOf, Snapshot, TableFacts, TaskSnapshot};
use super::task::{KINDS, TopicTotals, WAITS};
use crate::model::RunState;
use connector_api::ErrorKind;

/// The states of connectors and tasks, with the value of their label.
const STATES: [(RunState, &str); 6] = [
    (RunState::Unassigned, "unassigned"),
    (RunState::Running, "running"),
    (RunState::Paused, "paused"),
    (RunState::Stopped, "stopped"),
    (RunState::Failed, "failed"),
    (RunState::Restarting, "restarting"),
];

/// Adds all metrics.
pub(super) fn add(snapshot: &Snapshot, out: &mut Families) {
    worker(snapshot, out);
    group(snapshot, out);
    states(snapshot, out);
    for task in &snapshot.tasks {
        records(task, out);
        times(snapshot.now_ms, task, out);
        errors(task, out);
        clients(task, out);
    }
    tables(snapshot, out);
    lags(snapshot, out);
}

type Named = (&'static str, Kind, &'static str);

const BUILD: Named = (
    "rowferry_build_info",
    Kind::Gauge,
    "Always 1; the labels are the version and commit of this program.",
);
const WORKER_LOAD: Named = (
    "rowferry_worker_load",
    Kind::Gauge,
    "With several workers: number of busy processors of this worker, as a share of all; a task that always works makes one busy.",
);
const MOVES: Named = (
    "rowferry_task_moves",
    Kind::Counter,
    "Moves of tasks to another worker that this one has decided, by reason: drain, count, work or return.",
);
const CONNECTOR_STATE: Named = (
    "rowferry_connector_state",
    Kind::Gauge,
    "1 for the state that the connector is in, 0 for the others.",
);
const TASK_STATE: Named = (
    "rowferry_task_state",
    Kind::Gauge,
    "1 for the state that the task is in, 0 for the others.",
);
const RECORDS: Named = (
    "rowferry_records",
    Kind::Counter,
    "Records that a source has read and committed to Kafka (written), or that a sink has read from Kafka and committed to its database (written).",
);
const BYTES: Named = (
    "rowferry_bytes",
    Kind::Counter,
    "Bytes of keys and values in Kafka: written by a source, read by a sink (with headers).",
);
const ACTIVE: Named = (
    "rowferry_records_active",
    Kind::Gauge,
    "Records that are read and not committed yet.",
);
const PARTITIONS: Named = (
    "rowferry_partitions",
    Kind::Gauge,
    "Topic partitions that are assigned to the sink task.",
);
const REBALANCES: Named = (
    "rowferry_rebalances",
    Kind::Counter,
    "Changes of the partitions that are assigned to the sink task.",
);
const BATCH: Named = (
    "rowferry_batch_seconds",
    Kind::Histogram,
    "Time to read a batch of records from the source, or to write one to the sink, without its commit.",
);
const COMMIT: Named = (
    "rowferry_commit_seconds",
    Kind::Histogram,
    "Time of a commit, which includes the offsets: a Kafka transaction of a source (kafka), an SQL transaction of a sink (database).",
);
const WAIT: Named = (
    "rowferry_wait_ratio",
    Kind::Gauge,
    "Share of the last 30 to 60 seconds in which the task waited for this, from 0 to 1.",
);
const RUNNING: Named = (
    "rowferry_running_ratio",
    Kind::Gauge,
    "Share of the time since the task was last started in which it was running.",
);
const RESTARTS: Named = (
    "rowferry_restarts",
    Kind::Counter,
    "Starts of the task after its first one in this process, for whatever reason.",
);
const ERRORS: Named = (
    "rowferry_errors",
    Kind::Counter,
    "Errors by kind: those that were retried, those of records, and those that failed the task.",
);
const SKIPPED: Named = (
    "rowferry_records_skipped",
    Kind::Counter,
    "Records that were skipped because of errors.tolerance=all.",
);
const RETRIES: Named = (
    "rowferry_retries",
    Kind::Counter,
    "Operations that were retried after a transient error.",
);
const FENCED: Named = (
    "rowferry_fenced",
    Kind::Counter,
    "How often the task was refused because a newer one had taken over.",
);
const LETTERS: Named = (
    "rowferry_dead_letters",
    Kind::Counter,
    "Records sent to the dead-letter topic.",
);
const LETTER_FAILURES: Named = (
    "rowferry_dead_letter_failures",
    Kind::Counter,
    "Records that could not be sent to the dead-letter topic; they are sent again with their batch.",
);
const CONNECTIONS: Named = (
    "rowferry_kafka_connections",
    Kind::Gauge,
    "Open connections of the task's Kafka client.",
);
const REQUESTS: Named = (
    "rowferry_kafka_requests",
    Kind::Counter,
    "Requests of the task's Kafka client.",
);
const TRAFFIC: Named = (
    "rowferry_kafka_bytes",
    Kind::Counter,
    "Bytes that the task's Kafka client has sent and received, compressed and with protocol.",
);
const DISCONNECTS: Named = (
    "rowferry_kafka_disconnects",
    Kind::Counter,
    "Connections that the task's Kafka client has lost or closed.",
);
const SNAPSHOT: Named = (
    "rowferry_snapshot_rows",
    Kind::Gauge,
    "Rows of a source's table: read since the task was opened, left to read, and in the table as the database estimates.",
);
const GAPS: Named = (
    "rowferry_gaps",
    Kind::Gauge,
    "Places in a source's table where rows may still appear because of open transactions: ranges of ids that are missing below the position, and the end, while rows there are held back.",
);
const QUEUE: Named = (
    "rowferry_queue_bytes",
    Kind::Gauge,
    "Bytes of records that wait in the task's Kafka client: to be sent by a source, to be read by a sink.",
);
const SLOTS: Named = (
    "rowferry_slots",
    Kind::Gauge,
    "Slots that this worker has. Without a shared store it has no slots.",
);

const LAG_ROWS: Named = (
    "rowferry_lag_rows",
    Kind::Gauge,
    "Rows of a source's table that are not read yet, as the database estimates; records of a sink's partition that are not written yet.",
);
const LAG_SECONDS: Named = (
    "rowferry_lag_seconds",
    Kind::Gauge,
    "Age of the oldest record of a sink's partition that is not written yet, as far as this worker has seen; 0 without such a record. Of a source's table, seconds since the last read that reached its end began.",
);

fn worker(snapshot: &Snapshot, out: &mut Families) {
    let commit = option_env!("ROWFERRY_COMMIT").unwrap_or("unknown");
    let labels = vec![
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("commit", commit.into()),
    ];
    out.add(BUILD, labels, 1_u64);
    out.add(SLOTS, Vec::new(), snapshot.slots);
}

fn group(snapshot: &Snapshot, out: &mut Families) {
    let Some(group) = &snapshot.group else { return };
    out.add(WORKER_LOAD, Vec::new(), group.load);
    for (reason, count) in &group.moves {
        out.add(MOVES, vec![("reason", (*reason).into())], *count);
    }
}

fn states(snapshot: &Snapshot, out: &mut Families) {
    for connector in &snapshot.connectors {
        for (state, name) in STATES {
            let labels = vec![
                ("connector", (&connector.name).into()),
                ("state", name.into()),
            ];
            out.add(CONNECTOR_STATE, labels, u64::from(state == connector.state));
        }
        for task in &connector.tasks {
            for (state, name) in STATES {
                let labels = vec![
                    ("connector", (&connector.name).into()),
                    ("task", task.task.into()),
                    ("state", name.into()),
                ];
                out.add(TASK_STATE, labels, u64::from(state == task.state));
            }
        }
    }
}

/// Returns the labels of a task with more of them.
fn labels(task: &TaskSnapshot, more: impl IntoIterator<Item = (&'static str, Label)>) -> Labels {
    let id = [
        ("connector", (&task.connector).into()),
        ("task", task.task.into()),
    ];
    id.into_iter().chain(more).collect()
}

fn records(task: &TaskSnapshot, out: &mut Families) {
    let figures = &task.figures;
    let mut add = |totals: &TopicTotals, direction: &'static str| {
        for (topic, amount) in totals.iter() {
            let with = || {
                labels(
                    task,
                    [("topic", topic.into()), ("direction", direction.into())],
                )
            };
            out.add(RECORDS, with(), amount.records);
            // What a source reads and a sink writes has no bytes that could be counted.
            if amount.bytes > 0 {
                out.add(BYTES, with(), amount.bytes);
            }
        }
    };
    add(&figures.read, "read");
    add(&figures.written, "written");
    out.add(ACTIVE, labels(task, []), figures.active);
    out.add(PARTITIONS, labels(task, []), figures.partitions);
    out.add(REBALANCES, labels(task, []), figures.rebalances);
}

fn times(now: u64, task: &TaskSnapshot, out: &mut Families) {
    let figures = &task.figures;
    out.add(BATCH, labels(task, []), &figures.batch_seconds);
    for (side, commits) in [
        ("kafka", &figures.kafka_commits),
        ("database", &figures.database_commits),
    ] {
        if commits.times.count() > 0 {
            out.add(
                COMMIT,
                labels(task, [("side", side.into())]),
                &commits.times,
            );
        }
    }
    for (name, wait) in WAITS.into_iter().zip(&figures.waits) {
        let share = wait.rate(now).min(1.0);
        out.add(WAIT, labels(task, [("for", name.into())]), share);
    }
    let (running, _paused) = figures.activity_ratios(now);
    out.add(RUNNING, labels(task, []), running);
    out.add(RESTARTS, labels(task, []), figures.starts.saturating_sub(1));
}

fn errors(task: &TaskSnapshot, out: &mut Families) {
    let figures = &task.figures;
    for ((_, name), count) in KINDS.into_iter().zip(figures.errors) {
        out.add(ERRORS, labels(task, [("kind", name.into())]), count);
    }
    let errors = figures.record_errors;
    for (family, count) in [
        (SKIPPED, errors.skipped),
        (RETRIES, errors.retries),
        (FENCED, figures.errors_of(ErrorKind::Fenced)),
        (LETTERS, errors.dead_letters),
        (LETTER_FAILURES, errors.dead_letter_failures),
    ] {
        out.add(family, labels(task, []), count);
    }
}

fn clients(task: &TaskSnapshot, out: &mut Families) {
    for (name, client) in CLIENTS.into_iter().zip(&task.clients) {
        if !client.is_known {
            continue;
        }
        let total = client.total;
        let of_client = || labels(task, [("client", name.into())]);
        out.add(CONNECTIONS, of_client(), total.connections);
        out.add(REQUESTS, of_client(), total.requests);
        out.add(DISCONNECTS, of_client(), total.disconnects);
        out.add(QUEUE, of_client(), total.queued_bytes);
        for (direction, bytes) in [
            ("sent", total.sent_bytes),
            ("received", total.received_bytes),
        ] {
            let mut labels = of_client();
            labels.push(("direction", direction.into()));
            out.add(TRAFFIC, labels, bytes);
        }
    }
}

/// Adds the lag of tables and partitions. Those of a task beyond the maximum are added up as
/// `other`.
fn lags(snapshot: &Snapshot, out: &mut Families) {
    let lags = snapshot.lags();
    for of_task in lags.chunk_by(|a, b| a.0 == b.0 && a.1.task == b.1.task) {
        let (shown, rest) = of_task.split_at(of_task.len().min(snapshot.most_tables));
        for (connector, lag) in shown {
            add_lag(connector, lag, lag_labels(lag), out);
        }
        let more = rest.iter().map(|(_, lag)| lag.clone());
        if let (Some(sum), Some((connector, _))) = (more.reduce(LagOf::plus), rest.first()) {
            let label = if sum.table.is_some() {
                "table"
            } else {
                "topic"
            };
            add_lag(connector, &sum, vec![(label, "other".into())], out);
        }
    }
}

fn lag_labels(lag: &LagOf) -> Labels {
    match (&lag.table, &lag.partition) {
        (Some(table), _) => vec![("table", table.into())],
        (None, Some(at)) => {
            let partition = u32::try_from(at.partition).unwrap_or(0);
            vec![
                ("topic", (&at.topic).into()),
                ("partition", partition.into()),
            ]
        }
        (None, None) => Vec::new(),
    }
}

fn add_lag(connector: &Arc<str>, lag: &LagOf, more: Labels, out: &mut Families) {
    let id = [("connector", connector.into()), ("task", lag.task.into())];
    let labels: Labels = id.into_iter().chain(more).collect();
    if let Some(rows) = lag.rows {
        out.add(LAG_ROWS, labels.clone(), rows);
    }
    if let Some(seconds) = lag.seconds {
        out.add(LAG_SECONDS, labels, seconds);
    }
}

impl LagOf {
    /// Adds up the rows and takes the greater age; what is unknown of one is unknown of both.
    fn plus(self, other: Self) -> Self {
        Self {
            rows: self.rows.zip(other.rows).map(|(a, b)| a + b),
            seconds: self.seconds.zip(other.seconds).map(|(a, b)| a.max(b)),
            ..self
        }
    }
}

/// Adds the progress of a source's tables; those beyond the maximum are added up as `other`.
fn tables(snapshot: &Snapshot, out: &mut Families) {
    for connector in &snapshot.connectors {
        for task in connector
            .tasks
            .iter()
            .filter(|_| connector.direction == "source")
        {
            let named = task.tables.len().min(snapshot.most_tables);
            let (shown, rest) = task.tables.split_at(named);
            let mut add = |table: Label, facts: &TableFacts| {
                for (kind, rows) in [
                    ("read", Some(facts.read)),
                    ("left", facts.left),
                    ("estimated", facts.estimated),
                ] {
                    let labels = vec![
                        ("connector", (&connector.name).into()),
                        ("task", task.task.into()),
                        ("table", table.clone()),
                        ("kind", kind.into()),
                    ];
                    if let Some(rows) = rows {
                        out.add(SNAPSHOT, labels, rows);
                    }
                }
                if let Some(gaps) = facts.gaps {
                    let labels = vec![
                        ("connector", (&connector.name).into()),
                        ("task", task.task.into()),
                        ("table", table),
                    ];
                    out.add(GAPS, labels, gaps);
                }
            };
            shown
                .iter()
                .for_each(|facts| add((&facts.table).into(), facts));
            if let Some(sum) = rest.iter().cloned().reduce(TableFacts::plus) {
                add("other".into(), &sum);
            }
        }
    }
}

impl TableFacts {
    /// Adds up; what is unknown of one is unknown of both.
    fn plus(self, other: Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| Some(a? + b?);
        Self {
            table: self.table,
            read: self.read + other.read,
            estimated: sum(self.estimated, other.estimated),
            left: sum(self.left, other.left),
            behind: self.behind.zip(other.behind).map(|(a, b)| a.max(b)),
            gaps: sum(self.gaps, other.gaps),
        }
    }
}

/// Adds the figures of the process, under the names that Prometheus's client libraries use.
pub(super) fn add_process(snapshot: &Snapshot, out: &mut Families) {
    let it = snapshot.process;
    let figures: [(Named, Option<Value>); 7] = [
        (
            (
                "process_cpu_seconds",
                Kind::Counter,
                "CPU time of this process in user and system mode.",
            ),
            it.cpu_seconds.map(Value::from),
        ),
        (
            (
                "process_start_time_seconds",
                Kind::Gauge,
                "Start of this process, in seconds since 1970-01-01 UTC.",
            ),
            it.started_seconds.map(Value::from),
        ),
        (
            (
                "process_resident_memory_bytes",
                Kind::Gauge,
                "Resident memory of this process.",
            ),
            it.resident_bytes.map(Value::from),
        ),
        (
            (
                "process_virtual_memory_bytes",
                Kind::Gauge,
                "Virtual memory of this process.",
            ),
            it.virtual_bytes.map(Value::from),
        ),
        (
            ("process_threads", Kind::Gauge, "Threads of this process."),
            it.threads.map(Value::from),
        ),
        (
            (
                "process_open_fds",
                Kind::Gauge,
                "Open file descriptors of this process.",
            ),
            it.open_files.map(Value::from),
        ),
        (
            (
                "process_max_fds",
                Kind::Gauge,
                "Maximum number of open file descriptors of this process.",
            ),
            it.max_files.map(Value::from),
        ),
    ];
    for (family, value) in figures {
        if let Some(value) = value {
            out.add(family, Vec::new(), value);
        }
    }
}

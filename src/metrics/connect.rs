//! Kafka Connect's own metrics, under the names that ready dashboards and alerts read: those of
//! Confluent's and Strimzi's configurations of the JMX exporter, and of Strimzi's metrics reporter.
//! Meanings and windows are Kafka Connect's (KIP-196, KIP-298); `docs/metrics.md` says what
//! differs. They are written as gauges, so that each name stays as it is. Pure.

use super::client::ClientFigures;
use super::family::{Families, Kind, Label, Labels, Value};
use super::snapshot::{ConnectorFacts, Snapshot, TaskSnapshot};
use super::task::Commits;
use super::window::{Window, as_f64};
use super::{ClientPurpose, Spelling, StartUps};
use crate::model::RunState;

/// A group of metrics, with the beginning of its names.
struct Group {
    /// Confluent's configuration of the JMX exporter, and Strimzi's metrics reporter.
    long: &'static str,
    /// Strimzi's configuration of the JMX exporter.
    short: &'static str,
}

const WORKER: Group = Group {
    long: "kafka_connect_connect_worker_metrics_",
    short: "kafka_connect_worker_",
};
const TASK: Group = Group {
    long: "kafka_connect_connector_task_metrics_",
    short: "kafka_connect_connector_task_",
};
const SOURCE: Group = Group {
    long: "kafka_connect_source_task_metrics_",
    short: "kafka_connect_source_task_",
};
const SINK: Group = Group {
    long: "kafka_connect_sink_task_metrics_",
    short: "kafka_connect_sink_task_",
};
const ERRORS: Group = Group {
    long: "kafka_connect_task_error_metrics_",
    short: "kafka_connect_task_error_",
};
const REBALANCE: Group = Group {
    long: "kafka_connect_connect_worker_rebalance_metrics_",
    short: "kafka_connect_worker_rebalance_",
};
const COORDINATOR: Group = Group {
    long: "kafka_connect_connect_coordinator_metrics_",
    short: "kafka_connect_coordinator_",
};

const HELP: &str = "Kafka Connect's metric of this name; see docs/metrics.md.";

/// The label of figures of all connectors together.
const ALL: &str = "aggregate";

/// The names of states in labels.
fn state_name(state: RunState) -> &'static str {
    match state {
        RunState::Unassigned => "unassigned",
        RunState::Running => "running",
        RunState::Paused => "paused",
        RunState::Stopped => "stopped",
        RunState::Failed => "failed",
        RunState::Restarting => "restarting",
    }
}

/// Writes families under the names of the chosen sets.
struct Writer<'a> {
    out: &'a mut Families,
    confluent: bool,
    strimzi: bool,
}

impl Writer<'_> {
    fn named(&mut self, name: &str, labels: Labels, value: impl Into<Value>) {
        self.out.add((name, Kind::Gauge, HELP), labels, value);
    }

    /// Adds a sample under both names of a group.
    fn both(&mut self, group: &Group, name: &str, labels: &Labels, value: impl Into<Value>) {
        let value = value.into();
        self.named(
            &format!("{}{name}", group.long),
            labels.clone(),
            value.clone(),
        );
        if self.strimzi {
            self.named(&format!("{}{name}", group.short), labels.clone(), value);
        }
    }

    /// Adds a sample of the whole worker, which has a label in one set only.
    fn of_worker(&mut self, group: &Group, name: &str, value: impl Into<Value>) {
        let (value, label) = (value.into(), vec![("connector", ALL.into())]);
        self.named(&format!("{}{name}", group.long), label, value.clone());
        if self.strimzi {
            self.named(&format!("{}{name}", group.short), Vec::new(), value);
        }
    }
}

/// Adds the metrics under the names of the chosen sets.
pub(super) fn add(snapshot: &Snapshot, spellings: &[Spelling], out: &mut Families) {
    let (confluent, strimzi) = (
        spellings.contains(&Spelling::Confluent),
        spellings.contains(&Spelling::Strimzi),
    );
    if !confluent && !strimzi {
        return;
    }
    let out = &mut Writer {
        out,
        confluent,
        strimzi,
    };
    worker(snapshot, out);
    group_membership(snapshot, out);
    for connector in &snapshot.connectors {
        tasks_by_state(connector, out);
        facts(connector, out);
    }
    for task in &snapshot.tasks {
        let connector = snapshot.connector(&task.connector);
        let direction = connector.map_or("unknown", |it| it.direction);
        let labels = vec![
            ("connector", Label::from(&task.connector)),
            ("task", task.task.into()),
        ];
        of_task((snapshot.now_ms, direction), task, &labels, out);
        match direction {
            "source" => of_source(snapshot.now_ms, task, &labels, out),
            "sink" => of_sink(snapshot.now_ms, task, &labels, out),
            _ => {}
        }
        errors(task, &labels, out);
        clients(task, out);
    }
    worker_client(snapshot, out);
    app(snapshot, out);
}

fn worker(snapshot: &Snapshot, out: &mut Writer<'_>) {
    let tasks: usize = snapshot.connectors.iter().map(|c| c.tasks.len()).sum();
    out.of_worker(&WORKER, "connector_count", snapshot.connectors.len() as u64);
    out.of_worker(&WORKER, "task_count", tasks as u64);
    for (what, StartUps { succeeded, failed }) in [
        ("connector", snapshot.connector_starts),
        ("task", snapshot.task_starts),
    ] {
        let attempts = succeeded + failed;
        let share = |part: u64| match attempts {
            0 => 0.0,
            _ => as_f64(part) / as_f64(attempts),
        };
        let mut add = |name: &str, value: Value| {
            out.of_worker(&WORKER, &format!("{what}_startup_{name}"), value);
        };
        add("attempts_total", attempts.into());
        add("success_total", succeeded.into());
        add("failure_total", failed.into());
        add("success_percentage", share(succeeded).into());
        add("failure_percentage", share(failed).into());
    }
}

/// A single worker is in no group: nothing is ever rebalanced, and it has all that there is.
fn group_membership(snapshot: &Snapshot, out: &mut Writer<'_>) {
    let tasks: usize = snapshot.connectors.iter().map(|c| c.tasks.len()).sum();
    let none = Labels::new();
    for (name, value) in [
        ("completed_rebalances", 0.0),
        ("completed_rebalances_total", 0.0),
        ("rebalance_avg_time_ms", f64::NAN),
        ("rebalance_max_time_ms", f64::NAN),
        ("rebalancing", 0.0),
        ("time_since_last_rebalance_ms", f64::NAN),
        ("epoch", 0.0),
    ] {
        out.both(&REBALANCE, name, &none, value);
    }
    let connectors = snapshot.connectors.len() as u64;
    out.both(&COORDINATOR, "assigned_connectors", &none, connectors);
    out.both(&COORDINATOR, "assigned_tasks", &none, tasks as u64);
}

fn tasks_by_state(connector: &ConnectorFacts, out: &mut Writer<'_>) {
    let labels = vec![("connector", Label::from(&connector.name))];
    let count = |state| connector.tasks.iter().filter(|t| t.state == state).count() as u64;
    for (name, tasks) in [
        ("total", connector.tasks.len() as u64),
        ("running", count(RunState::Running)),
        ("paused", count(RunState::Paused)),
        ("failed", count(RunState::Failed)),
        ("unassigned", count(RunState::Unassigned)),
        // A destroyed task is none any more, here as in Kafka Connect.
        ("destroyed", 0),
        ("restarting", count(RunState::Restarting)),
    ] {
        out.both(
            &WORKER,
            &format!("connector_{name}_task_count"),
            &labels,
            tasks,
        );
    }
}

fn facts(connector: &ConnectorFacts, out: &mut Writer<'_>) {
    let facts: [(&str, Label); 4] = [
        ("connector_class", (&connector.class).into()),
        ("connector_type", connector.direction.into()),
        ("connector_version", (&connector.version).into()),
        ("status", state_name(connector.state).into()),
    ];
    for (name, value) in facts {
        let labels = vec![("connector", (&connector.name).into()), (name, value)];
        if out.confluent {
            out.named("kafka_connect_connector_metrics", labels.clone(), 1_u64);
        }
        if out.strimzi {
            let short = format!("kafka_connect_connector_{name}");
            out.named(&short, labels.clone(), 1_u64);
            let reporter = format!("kafka_connect_connector_metrics_{name}_info");
            out.named(&reporter, labels, 1_u64);
        }
    }
    for task in connector.tasks.iter().filter(|_| out.strimzi) {
        let labels = vec![
            ("connector", Label::from(&connector.name)),
            ("task", task.task.into()),
            ("status", state_name(task.state).into()),
        ];
        out.out.add(
            ("kafka_connect_connector_task_status", Kind::Gauge, HELP),
            labels.clone(),
            1_u64,
        );
        let reporter = "kafka_connect_connector_task_metrics_status_info";
        out.out.add((reporter, Kind::Gauge, HELP), labels, 1_u64);
    }
}

/// Returns an average or a maximum; NaN without values, as in Kafka.
fn or_nan(value: Option<f64>) -> f64 {
    value.unwrap_or(f64::NAN)
}

/// Adds a window's mean and maximum.
fn mean_and_max(
    (now, window): (u64, &Window),
    (group, names): (&Group, [&str; 2]),
    labels: &Labels,
    out: &mut Writer<'_>,
) {
    let [mean, max] = names;
    out.both(group, mean, labels, or_nan(window.average(now)));
    out.both(group, max, labels, or_nan(window.max(now)));
}

fn of_task(
    (now, direction): (u64, &str),
    task: &TaskSnapshot,
    labels: &Labels,
    out: &mut Writer<'_>,
) {
    let figures = &task.figures;
    mean_and_max(
        (now, &figures.batch_records),
        (&TASK, ["batch_size_avg", "batch_size_max"]),
        labels,
        out,
    );
    let commits = commits_of(task, direction);
    mean_and_max(
        (now, &commits.recent_ms),
        (
            &TASK,
            ["offset_commit_avg_time_ms", "offset_commit_max_time_ms"],
        ),
        labels,
        out,
    );
    let success = commits.success.average(now);
    let failure = success.map_or(0.0, |success| 1.0 - success);
    let (running, paused) = figures.activity_ratios(now);
    for (name, value) in [
        ("offset_commit_success_percentage", success.unwrap_or(0.0)),
        ("offset_commit_failure_percentage", failure),
        ("pause_ratio", paused),
        ("running_ratio", running),
    ] {
        out.both(&TASK, name, labels, value);
    }
}

/// Returns the commits of offsets: a source's are in its Kafka transactions, a sink's in its
/// transactions in the database.
fn commits_of<'a>(task: &'a TaskSnapshot, direction: &str) -> &'a Commits {
    match direction {
        "sink" => &task.figures.database_commits,
        _ => &task.figures.kafka_commits,
    }
}

fn of_source(now: u64, task: &TaskSnapshot, labels: &Labels, out: &mut Writer<'_>) {
    let figures = &task.figures;
    let times = ["poll_batch_avg_time_ms", "poll_batch_max_time_ms"];
    mean_and_max((now, &figures.batch_ms), (&SOURCE, times), labels, out);
    let active = [
        "source_record_active_count_avg",
        "source_record_active_count_max",
    ];
    mean_and_max(
        (now, &figures.active_recent),
        (&SOURCE, active),
        labels,
        out,
    );
    let size = ["transaction_size_avg", "transaction_size_max"];
    let sizes = &figures.transaction_records;
    mean_and_max((now, sizes), (&SOURCE, size), labels, out);
    for (name, value) in [
        ("transaction_size_min", or_nan(sizes.min(now))),
        ("source_record_active_count", as_f64(figures.active)),
        ("source_record_poll_rate", figures.read_rate.rate(now)),
        ("source_record_write_rate", figures.written_rate.rate(now)),
    ] {
        out.both(&SOURCE, name, labels, value);
    }
    out.both(
        &SOURCE,
        "source_record_poll_total",
        labels,
        figures.read.records(),
    );
    out.both(
        &SOURCE,
        "source_record_write_total",
        labels,
        figures.written.records(),
    );
}

fn of_sink(now: u64, task: &TaskSnapshot, labels: &Labels, out: &mut Writer<'_>) {
    let figures = &task.figures;
    let times = ["put_batch_avg_time_ms", "put_batch_max_time_ms"];
    mean_and_max((now, &figures.batch_ms), (&SINK, times), labels, out);
    let active = [
        "sink_record_active_count_avg",
        "sink_record_active_count_max",
    ];
    mean_and_max((now, &figures.active_recent), (&SINK, active), labels, out);
    let commits = commits_of(task, "sink");
    for (name, value) in [
        ("sink_record_read_rate", figures.read_rate.rate(now)),
        ("sink_record_send_rate", figures.written_rate.rate(now)),
        ("offset_commit_completion_rate", commits.done_rate.rate(now)),
        ("offset_commit_skip_rate", commits.failed_rate.rate(now)),
    ] {
        out.both(&SINK, name, labels, value);
    }
    for (name, value) in [
        ("sink_record_read_total", figures.read.records()),
        ("sink_record_send_total", figures.written.records()),
        ("sink_record_active_count", figures.active),
        // Records that the consumer has returned and that are not written yet.
        ("sink_record_lag_max", figures.active),
        ("partition_count", figures.partitions),
        ("offset_commit_completion_total", commits.done),
        ("offset_commit_skip_total", commits.failed),
        ("offset_commit_seq_no", commits.done + commits.failed),
    ] {
        out.both(&SINK, name, labels, value);
    }
}

fn errors(task: &TaskSnapshot, labels: &Labels, out: &mut Writer<'_>) {
    let errors = task.figures.record_errors;
    for (name, value) in [
        ("total_record_errors", errors.errors),
        ("total_record_failures", errors.failures),
        ("total_records_skipped", errors.skipped),
        ("total_retries", errors.retries),
        ("total_errors_logged", errors.logged),
        ("deadletterqueue_produce_requests", errors.dead_letters),
        (
            "deadletterqueue_produce_failures",
            errors.dead_letter_failures,
        ),
        ("last_error_timestamp", errors.last_ms),
    ] {
        out.both(&ERRORS, name, labels, value);
    }
}

/// Adds the connections and bytes of each Kafka client, under the names of Strimzi.
fn clients(task: &TaskSnapshot, out: &mut Writer<'_>) {
    if !out.strimzi {
        return;
    }
    for (purpose, id) in [
        (ClientPurpose::Producer, "producer"),
        (ClientPurpose::Consumer, "consumer"),
        (ClientPurpose::DeadLetters, "dlq-producer"),
    ] {
        let Some(client) = task.clients.get(purpose as usize).filter(|c| c.is_known) else {
            continue;
        };
        let id = format!("connector-{id}-{}-{}", task.connector, task.task);
        let id = Label::from(id);
        let total = client.total;
        let kind = match purpose {
            ClientPurpose::Consumer => "consumer",
            ClientPurpose::Producer | ClientPurpose::DeadLetters => "producer",
        };
        for (name, value) in [
            ("connection_count", total.connections),
            ("outgoing_byte_total", total.sent_bytes),
            ("incoming_byte_total", total.received_bytes),
        ] {
            let labels = vec![("clientId", id.clone())];
            out.named(&format!("kafka_{kind}_{name}"), labels, value);
        }
        for (name, value) in [
            ("metrics_connection_count", total.connections),
            ("metrics_outgoing_byte", total.sent_bytes),
            ("node_metrics_incoming_byte", total.received_bytes),
        ] {
            let labels = vec![("client_id", id.clone())];
            out.named(&format!("kafka_{kind}_{kind}_{name}"), labels, value);
        }
    }
}

/// Adds the figures of all Kafka clients of this worker together.
fn worker_client(snapshot: &Snapshot, out: &mut Writer<'_>) {
    let now = snapshot.now_ms;
    let all = || snapshot.tasks.iter().flat_map(|task| &task.clients);
    let rate = |of: fn(&ClientFigures) -> &Window| all().map(|it| of(it).rate(now)).sum::<f64>();
    let (requests, responses) = (rate(|c| &c.request_rate), rate(|c| &c.response_rate));
    let denied: u64 = all().map(|client| client.denied).sum();
    let labels = || vec![("client_id", Label::from("rowferry"))];
    for (name, value) in [
        (
            "connection_count",
            all().map(|c| as_f64(c.total.connections)).sum(),
        ),
        ("incoming_byte_rate", rate(|c| &c.received_rate)),
        ("outgoing_byte_rate", rate(|c| &c.sent_rate)),
        ("request_rate", requests),
        ("response_rate", responses),
        ("network_io_rate", requests + responses),
        ("failed_authentication_total", as_f64(denied)),
        ("failed_authentication", as_f64(denied)),
        // librdkafka does not report these.
        ("io_ratio", f64::NAN),
        ("successful_authentication_rate", f64::NAN),
    ] {
        out.named(
            &format!("kafka_connect_connect_metrics_{name}"),
            labels(),
            value,
        );
    }
    // Clients for administration are opened for each request and closed after it.
    if out.strimzi {
        let label = |name| vec![(name, Label::from("rowferry"))];
        out.named(
            "kafka_admin_client_connection_count",
            label("clientId"),
            0_u64,
        );
        let reporter = "kafka_admin_client_admin_client_metrics_connection_count";
        out.named(reporter, label("client_id"), 0_u64);
    }
}

/// Adds version and start of the program.
fn app(snapshot: &Snapshot, out: &mut Writer<'_>) {
    let version = env!("CARGO_PKG_VERSION");
    let started = snapshot.process.started_seconds.unwrap_or(f64::NAN);
    let facts = [
        ("version", Label::from(version)),
        ("start_time_ms", format!("{:.0}", started * 1000.0).into()),
    ];
    for (name, value) in facts {
        let labels = vec![("client_id", Label::from("rowferry")), (name, value)];
        if out.confluent {
            out.named("kafka_connect_app", labels.clone(), 1_u64);
            out.named("kafka_connect_app_info", labels, 1_u64);
        }
    }
    if out.strimzi {
        let labels = vec![("version", version.into())];
        out.named("kafka_connect_version_info", labels, 1_u64);
        out.named("kafka_connect_start_time_seconds", Vec::new(), started);
    }
}

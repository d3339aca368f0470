//! The metrics of Debezium's connectors that have a meaning for a source that polls, under the names
//! that Debezium's dashboards read. The others are left out: there is no log whose position could be
//! shown. Pure.

use super::family::{Families, Kind, Label, Labels, Value};
use super::snapshot::{ConnectorFacts, Snapshot, TableFacts, TaskSnapshot};
use super::window::as_f64;
use crate::model::RunState;

const HELP: &str = "Debezium's metric of this name; see docs/metrics.md.";

/// Adds the metrics of the sources that have a topic prefix.
pub(super) fn add(snapshot: &Snapshot, out: &mut Families) {
    for source in snapshot
        .connectors
        .iter()
        .filter(|it| it.direction == "source")
    {
        let Some((plugin, prefix)) = &source.database else {
            continue;
        };
        let labels = |context: &'static str| {
            vec![
                ("plugin", Label::from(*plugin)),
                ("name", prefix.into()),
                ("context", context.into()),
            ]
        };
        let tasks = snapshot
            .tasks
            .iter()
            .filter(|it| it.connector == source.name);
        streaming(
            source,
            &tasks.collect::<Vec<_>>(),
            (snapshot.now_ms, labels("streaming")),
            out,
        );
        first_read(source, (labels("snapshot"), snapshot.most_tables), out);
    }
}

fn gauge(name: &str, labels: &Labels, value: impl Into<Value>, out: &mut Families) {
    out.add(
        (&format!("debezium_metrics_{name}"), Kind::Gauge, HELP),
        labels.clone(),
        value,
    );
}

fn streaming(
    source: &ConnectorFacts,
    tasks: &[&TaskSnapshot],
    (now, labels): (u64, Labels),
    out: &mut Families,
) {
    let is_connected = source
        .tasks
        .iter()
        .any(|task| task.state == RunState::Running);
    let sum = |of: fn(&TaskSnapshot) -> u64| tasks.iter().map(|task| of(task)).sum::<u64>();
    let last = tasks
        .iter()
        .filter_map(|task| task.figures.last_read_ms)
        .max();
    // As in Debezium, -1 before the first event.
    let since = last.map_or(-1.0, |last| as_f64(now.saturating_sub(last)));
    gauge("Connected", &labels, u64::from(is_connected), out);
    gauge("MilliSecondsSinceLastEvent", &labels, since, out);
    gauge(
        "TotalNumberOfEventsSeen",
        &labels,
        sum(|it| it.figures.read.records()),
        out,
    );
    gauge(
        "NumberOfErroneousEvents",
        &labels,
        sum(|it| it.figures.record_errors.errors),
        out,
    );
    gauge(
        "NumberOfSkippedEvents",
        &labels,
        sum(|it| it.figures.record_errors.skipped),
        out,
    );
}

/// Adds how far the tables that exist have been read.
fn first_read(source: &ConnectorFacts, (labels, most): (Labels, usize), out: &mut Families) {
    let tables = || source.tasks.iter().flat_map(|task| &task.tables);
    let is_left = |table: &&TableFacts| table.left.is_some_and(|left| left > 0);
    let left = tables().filter(is_left).count() as u64;
    gauge("SnapshotRunning", &labels, u64::from(left > 0), out);
    gauge(
        "SnapshotCompleted",
        &labels,
        u64::from(left == 0 && tables().next().is_some()),
        out,
    );
    gauge("TotalTableCount", &labels, tables().count() as u64, out);
    gauge("RemainingTableCount", &labels, left, out);
    let mut rows = std::collections::BTreeMap::new();
    for table in tables() {
        *rows.entry(&table.table).or_insert(0) += table.read;
    }
    for (table, read) in rows.into_iter().take(most) {
        let mut labels = labels.clone();
        labels.push(("table", table.into()));
        gauge("RowsScanned", &labels, read, out);
    }
}

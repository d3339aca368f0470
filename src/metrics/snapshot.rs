//! All figures of a worker at one moment. Pure.

use std::sync::Arc;

use connector_api::TopicPartition;

use super::client::ClientFigures;
use super::family::Families;
use super::process::ProcessFigures;
use super::task::TaskFigures;
use super::text::{self, Format};
use super::{CLIENTS, GroupFigures, Spelling, StartUps, connect, debezium, own};
use crate::model::RunState;

/// What is known of a connector apart from its figures.
#[derive(Clone, Debug)]
pub(crate) struct ConnectorFacts {
    pub name: Arc<str>,
    /// `source`, `sink` or `unknown`.
    pub direction: &'static str,
    /// The class in its config.
    pub class: Arc<str>,
    /// The version of its plug-in; empty if that is unknown.
    pub version: Arc<str>,
    /// Of a source with a topic prefix: the name of its database's kind, and the prefix.
    pub database: Option<(&'static str, Arc<str>)>,
    pub state: RunState,
    pub tasks: Vec<TaskFacts>,
}

/// What is known of a task apart from its figures.
#[derive(Clone, Debug)]
pub(crate) struct TaskFacts {
    pub task: u32,
    pub state: RunState,
    pub tables: Vec<TableFacts>,
}

/// How far a table of a source has been read since its task was opened.
#[derive(Clone, Debug)]
pub(crate) struct TableFacts {
    pub table: Arc<str>,
    pub read: u64,
    pub estimated: Option<u64>,
    pub left: Option<u64>,
    /// Seconds since the last read that reached its end began.
    pub behind: Option<f64>,
    /// Places where rows may still appear because of open transactions.
    pub gaps: Option<u64>,
}

/// How far a table or a partition is behind.
#[derive(Clone, Debug)]
pub(crate) struct LagOf {
    pub task: u32,
    /// The table of a source.
    pub table: Option<Arc<str>>,
    /// The partition of a sink.
    pub partition: Option<TopicPartition>,
    pub position: Option<i64>,
    pub end: Option<i64>,
    /// Rows or records that are still to be copied.
    pub rows: Option<u64>,
    /// Age of the oldest record that is not written yet; of a table, how long a row may have waited
    /// to be read.
    pub seconds: Option<f64>,
}

impl TaskFacts {
    /// True if the task runs.
    pub(crate) fn is_running(&self) -> bool {
        self.state == RunState::Running
    }
}

/// The figures of one task.
#[derive(Clone, Debug)]
pub(crate) struct TaskSnapshot {
    pub connector: Arc<str>,
    pub task: u32,
    pub figures: TaskFigures,
    pub clients: [ClientFigures; CLIENTS.len()],
}

/// All figures of a worker.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// When it was taken, on the clock of the figures.
    pub now_ms: u64,
    /// By name.
    pub connectors: Vec<ConnectorFacts>,
    /// By connector and number.
    pub tasks: Vec<TaskSnapshot>,
    pub connector_starts: StartUps,
    pub task_starts: StartUps,
    /// If this is one of several workers.
    pub group: Option<GroupFigures>,
    pub process: ProcessFigures,
    /// Slots that this worker has; 0 if it does not share its work.
    pub slots: u64,
    /// Maximum number of tables of a task that are shown by name.
    pub most_tables: usize,
}

impl Snapshot {
    /// Returns a connector.
    pub(super) fn connector(&self, name: &Arc<str>) -> Option<&ConnectorFacts> {
        let place = self.connectors.binary_search_by(|it| it.name.cmp(name));
        self.connectors.get(place.ok()?)
    }

    /// Returns the lag of each table and of each partition, with the connector's name. A task that
    /// does not run has none: nobody observes the ends of its partitions.
    pub(crate) fn lags(&self) -> Vec<(Arc<str>, LagOf)> {
        let mut lags = Vec::new();
        for connector in self.connectors.iter().filter(|it| it.direction == "source") {
            for task in connector.tasks.iter().filter(|task| task.is_running()) {
                let of_table = |table: &TableFacts| LagOf {
                    task: task.task,
                    table: Some(Arc::clone(&table.table)),
                    partition: None,
                    position: None,
                    end: None,
                    rows: table.left,
                    seconds: table.behind,
                };
                let tables = task.tables.iter().map(of_table);
                lags.extend(tables.map(|lag| (Arc::clone(&connector.name), lag)));
            }
        }
        for task in self.tasks.iter().filter(|task| task.figures.is_running()) {
            for (partition, lag) in task.figures.lag.iter() {
                let of = LagOf {
                    task: task.task,
                    table: None,
                    partition: Some(partition.clone()),
                    position: Some(lag.position()),
                    end: lag.end(),
                    rows: lag.rows(),
                    seconds: lag.seconds(self.now_ms),
                };
                lags.push((Arc::clone(&task.connector), of));
            }
        }
        lags
    }

    /// Writes the figures as text, under these sets of names.
    pub(crate) fn write(&self, spellings: &[Spelling], format: Format) -> String {
        let mut families = Families::default();
        if spellings.contains(&Spelling::Rowferry) {
            own::add(self, &mut families);
        }
        own::add_process(self, &mut families);
        connect::add(self, spellings, &mut families);
        if spellings.contains(&Spelling::Debezium) {
            debezium::add(self, &mut families);
        }
        text::write(families.into_list(), format)
    }
}

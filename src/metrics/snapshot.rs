//! All figures of a worker at one moment. Pure.

use std::sync::Arc;

use super::client::ClientFigures;
use super::family::Families;
use super::process::ProcessFigures;
use super::task::TaskFigures;
use super::text::{self, Format};
use super::{CLIENTS, Spelling, StartUps, connect, own};
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
    pub process: ProcessFigures,
    /// Maximum number of tables of a task that are shown by name.
    pub most_tables: usize,
}

impl Snapshot {
    /// Returns a connector.
    pub(super) fn connector(&self, name: &Arc<str>) -> Option<&ConnectorFacts> {
        let place = self.connectors.binary_search_by(|it| it.name.cmp(name));
        self.connectors.get(place.ok()?)
    }

    /// Writes the figures as text, under these sets of names.
    pub(crate) fn write(&self, spellings: &[Spelling], format: Format) -> String {
        let mut families = Families::default();
        if spellings.contains(&Spelling::Rowferry) {
            own::add(self, &mut families);
        }
        own::add_process(self, &mut families);
        connect::add(self, spellings, &mut families);
        text::write(families.into_list(), format)
    }
}

//! A table, or a range of its keys, that is read again beside the ordinary reads of the task.
//!
//! Its turns alternate with those of the table itself, and no two turns of a table overlap. So a
//! record of a row never follows one of a later version of that row.

use std::sync::Arc;
use std::time::Instant;

use connector_api::{
    Error, Reread, RereadProgress, RereadState, Result, SourcePartition, SourcePosition,
};

use super::super::scheduler::reading_session;
use crate::driver::Session;
use crate::ident::TableId;
use crate::source::config::SourceConfig;
use crate::source::plan::offset;
use crate::source::plan::query;
use crate::source::plan::reread::{RereadPlace, config_for_reread};
use crate::source::read::cursor::TableReader;
use crate::source::tables::look_up::look_up_table;

/// What is read again of one table, or has been since the task was opened.
pub(super) struct TableReread {
    table: String,
    partition: SourcePartition,
    pub place: RereadPlace,
    /// `None` while a turn has it, and once reading has ended.
    pub reader: Option<Box<TableReader>>,
    pub state: RereadState,
    /// When its next turn is due.
    pub due: Instant,
    /// Its turn was the last one of the table.
    pub was_last: bool,
    rows_estimated: Option<u64>,
}

impl TableReread {
    /// Continues from a place.
    pub(super) fn new(id: &TableId, place: RereadPlace, config: &SourceConfig) -> Self {
        let reader = TableReader::again(id.clone(), &place, Arc::new(config_for_reread(config)));
        Self {
            table: id.to_string(),
            partition: offset::reread(id, config.qualify),
            place,
            reader: Some(Box::new(reader)),
            state: RereadState::Running,
            due: Instant::now(),
            was_last: false,
            rows_estimated: None,
        }
    }

    /// Returns a stored place that cannot be read, as one that has failed.
    pub(super) fn failed(id: &TableId, error: &Error, config: &SourceConfig) -> Self {
        Self {
            reader: None,
            state: RereadState::Failed(error.to_string()),
            ..Self::new(id, RereadPlace::default(), config)
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.state == RereadState::Running
    }

    /// True if a turn may begin: it is not running already.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_running() && self.reader.is_some()
    }

    /// Takes the reader back from a turn. It is dropped if reading has ended meanwhile.
    pub(super) fn end_turn(&mut self, reader: Box<TableReader>) {
        self.rows_estimated = reader.rows_estimated().or(self.rows_estimated);
        self.reader = Some(reader).filter(|_| self.is_running());
    }

    /// Returns the position to store for what has been emitted.
    pub(super) fn position(&self) -> SourcePosition {
        SourcePosition {
            partition: self.partition.clone(),
            offset: self.is_running().then(|| self.place.write()),
        }
    }

    /// Ends reading, and returns the position that deletes the stored place.
    pub(super) fn end(&mut self, state: RereadState) -> SourcePosition {
        self.state = state;
        self.reader = None;
        self.position()
    }

    pub(super) fn progress(&self) -> RereadProgress {
        let (table, rows) = (self.table.clone(), self.rows_estimated);
        self.place.report(table, &self.state, rows)
    }
}

/// Checks what is wanted against the table as it is now: its key, and that there is a row to read.
/// Errors: `Config` if the request makes no sense; those of the database.
pub(in crate::source) async fn check(
    wanted: &Reread,
    id: &TableId,
    config: &SourceConfig,
) -> Result<RereadPlace> {
    let config = config_for_reread(config);
    let mut session = reading_session(&config).await?;
    let checked = look_for_first(wanted, id, &config, &mut *session).await;
    session.close().await;
    checked
}

async fn look_for_first(
    wanted: &Reread,
    id: &TableId,
    config: &SourceConfig,
    session: &mut dyn Session,
) -> Result<RereadPlace> {
    let (meta, plan) = look_up_table(session, id, config, None).await?;
    let place = RereadPlace::begin(wanted, (id, &meta, &plan), session.dialect())?;
    let from = query::ReadPosition {
        bounds: place.bounds(),
        ..query::ReadPosition::default()
    };
    let first = query::statement(&plan.shape, &from, 1, session.dialect());
    let page = session
        .read(&first.sql, &first.params, &plan.layout, query::PAGE_WEIGHT)
        .await?;
    if page.rows.is_empty() {
        return Err(Error::config(format!(
            "table {id} has no row in that range of keys: there is nothing to read again"
        )));
    }
    Ok(place)
}

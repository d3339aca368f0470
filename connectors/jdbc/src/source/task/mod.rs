//! A running source task: its tables take turns, and their rows become batches of records. A table
//! that fails is retried or stopped on its own; the others continue.

#![expect(
    clippy::indexing_slicing,
    reason = "the position is of this task's tables"
)]

pub(super) mod reread;
mod table;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use connector_api::{
    Error, ErrorKind, ProgressReport, Reread, RereadState, Result, SourceBatch, SourcePosition,
    SourceTask, StoredOffsets, TaskRequest,
};
use tokio::time::timeout;

use self::reread::TableReread;
use self::table::TaskTable;
use super::config::{SourceConfig, nothing_assigned};
use super::plan::offset;
use super::plan::reread::RereadPlace;
use super::read::batch::PendingRows;
use super::read::page::{ReadOutcome, ReaderOutput};
use super::scheduler::{
    FinishedTurn, SchedulerEvent, TableScheduler, TurnConnection, TurnJob, reading_session,
};
use super::tables::assignments::{TableAssignment, entries};
use super::tables::probe;
use crate::driver::Session;

/// How often a table whose definition does not fit, or that is missing, is looked up before that is
/// an error.
const LOOK_UPS: u32 = 5;
/// The longest time the task idles before it checks its tables again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Reads the tables assigned to one task; each call of `poll` returns one batch.
pub(super) struct JdbcSourceTask {
    config: Arc<SourceConfig>,
    tables: Vec<TaskTable>,
    turns: TableScheduler,
    /// Index of the table, and the rows received from it that have not been emitted yet.
    pending: Option<(usize, PendingRows)>,
    /// Positions that must be stored before any other batch.
    positions: Vec<SourcePosition>,
}

/// The error of a turn, with what decides about its consequences.
struct TurnFailure {
    error: Error,
    /// The turn read rows before it failed.
    advanced: bool,
    connection: TurnConnection,
}

impl JdbcSourceTask {
    /// Connects, looks up all tables and seeks each to its stored offset.
    /// Errors: `Config` when there is nothing to read, or no table fits the mode.
    pub(super) async fn open(config: SourceConfig, stored: &dyn StoredOffsets) -> Result<Self> {
        let ids: Vec<_> = match &config.query {
            Some(_) => vec![None],
            None => config.tables.iter().cloned().map(Some).collect(),
        };
        if ids.is_empty() {
            return Err(nothing_assigned());
        }
        let mut session = reading_session(&config).await?;
        let config = Arc::new(probe::understood(&mut *session, config).await?);
        let known = if config.delete_capture.is_some() {
            stored.all().await?
        } else {
            Vec::new()
        };
        let several = ids.len() > 1;
        let mut tables = Vec::with_capacity(ids.len());
        let mut positions = Vec::new();
        let mut failed = None;
        let mut works = false;
        for id in ids {
            let alone = |kind| stops_alone(kind, several);
            let (entries, at_once) = entries(id, &config, stored, &mut *session, alone).await?;
            positions.extend(at_once);
            works |= entries.is_empty();
            for entry in entries {
                if session.is_lost() {
                    session = reading_session(&config).await?;
                }
                let mut table = TaskTable::new(entry, &config, &known);
                match open_table(&mut table, several, &config, &mut *session).await? {
                    None => works = true,
                    Some(error) => drop(failed.get_or_insert(error)),
                }
                tables.push(table);
            }
        }
        if let Some(error) = failed.filter(|_| !works) {
            return Err(error);
        }
        if session.is_lost() {
            session = reading_session(&config).await?;
        }
        let mut task = Self {
            turns: TableScheduler::new(Arc::clone(&config), session),
            config,
            tables,
            pending: None,
            positions,
        };
        for index in 0..task.tables.len() {
            task.resume_reread(index, stored).await?;
        }
        Ok(task)
    }

    /// Handles a range that has been read completely. If this task reads all ranges of the table
    /// and this was the last, it continues with the table itself. If other tasks read some of them,
    /// replanning assigns the rest.
    fn end_range(&mut self, index: usize) {
        let Some(range) = self.tables.get_mut(index) else {
            return;
        };
        range.finish();
        let Some((id, snapshot)) = range.id.clone().zip(range.snapshot().cloned()) else {
            return;
        };
        let alone = self.config.part.is_none_or(|part| part.of == 1);
        let all = self
            .tables
            .iter()
            .filter(|t| t.id.as_ref() == Some(&id))
            .all(TaskTable::is_finished);
        if !alone || !all {
            return;
        }
        self.positions.extend(snapshot.over(&id, &self.config));
        let mut parts = self
            .tables
            .iter_mut()
            .filter(|t| t.id.as_ref() == Some(&id));
        let reread = parts.find_map(|part| part.reread.take());
        let entry = TableAssignment::whole(Some(id), Some(snapshot.end_reached()));
        let mut table = TaskTable::new(entry, &self.config, &[]);
        table.reread = reread;
        if let Some(range) = self.tables.get_mut(index) {
            table.rows = range.rows;
            *range = table;
        }
    }

    /// Continues to read rows again where the last task stopped.
    async fn resume_reread(&mut self, index: usize, stored: &dyn StoredOffsets) -> Result<()> {
        let Some(id) = self.tables[index].id.clone() else {
            return Ok(());
        };
        // it is noted once if this task reads several ranges of the table
        if self.index_of(&id.to_string()) != Some(index) {
            return Ok(());
        }
        let partition = offset::reread(&id, self.config.qualify);
        let Some(found) = stored.read(&[partition]).await?.pop().flatten() else {
            return Ok(());
        };
        let reread = match RereadPlace::read(&found) {
            Ok(place) => TableReread::new(&id, place, &self.config),
            Err(error) => {
                let failed = TableReread::failed(&id, &error, &self.config);
                self.positions.push(failed.position());
                failed
            }
        };
        self.tables[index].reread = Some(reread);
        Ok(())
    }

    /// Returns the index of the table, or of the first of its ranges.
    fn index_of(&self, name: &str) -> Option<usize> {
        let is_named = |t: &TaskTable| t.id.as_ref().is_some_and(|id| id.to_string() == *name);
        self.tables.iter().position(is_named)
    }

    /// Begins to read rows of a table again; if several ranges of it are being read for the first
    /// time, once that is complete.
    async fn begin_reread(&mut self, index: usize, wanted: &Reread) -> Result<Vec<SourcePosition>> {
        let table = &self.tables[index];
        let name = table.name();
        let refusal = if table.is_stopped() {
            Some("it is not read because of an error: see the status of the connector")
        } else if table.reread.as_ref().is_some_and(TableReread::is_running) {
            Some("that is being done already: wait for its end, or cancel it first")
        } else {
            None
        };
        if let Some(why) = refusal {
            return Err(Error::config(format!(
                "table {name} cannot be read again: {why}"
            )));
        }
        let Some(id) = table.id.clone() else {
            return Err(Error::config("a query cannot be read again"));
        };
        let place = reread::check(wanted, &id, &self.config).await?;
        let reread = TableReread::new(&id, place, &self.config);
        let positions = vec![reread.position()];
        self.tables[index].reread = Some(reread);
        Ok(positions)
    }

    /// Returns the next batch of the pending rows, `None` if there is neither a record nor a
    /// position to emit.
    fn next_batch(&mut self) -> Result<Option<SourceBatch>> {
        let Some((index, pending)) = &mut self.pending else {
            return Ok(None);
        };
        let batch = self.tables[*index].emit(pending, &self.config)?;
        if pending.is_empty() {
            self.pending = None;
        }
        Ok(Some(batch).filter(|batch| !batch.records.is_empty() || !batch.positions.is_empty()))
    }

    /// Begins the turn of the table that has waited longest, if another turn may begin. Returns how
    /// long to wait before the next one may begin; `None`: wait until a running turn ends.
    fn begin_next(&mut self) -> Option<Duration> {
        loop {
            let closed_for = self.turns.closed_for()?;
            let waiting = self
                .tables
                .iter_mut()
                .enumerate()
                .filter(|(_, table)| table.is_waiting());
            let (index, table) = waiting.min_by_key(|(_, table)| table.next_turn())?;
            let until_due = table.next_turn().saturating_duration_since(Instant::now());
            let wait = closed_for.max(until_due);
            if wait > Duration::ZERO {
                return Some(wait);
            }
            let job = table.begin_turn()?;
            self.turns.begin(index, job);
        }
    }

    /// Takes the reader and the sweep back from a finished turn and schedules the table's next
    /// turn.
    /// Errors: those that concern the whole task: the connection, or the only table that is still
    /// read.
    fn end_turn(&mut self, turn: FinishedTurn) -> Result<()> {
        let FinishedTurn {
            table: index,
            job,
            end,
            connection,
            ..
        } = turn;
        let table = &mut self.tables[index];
        let has_read = matches!(job, TurnJob::Read(_));
        let is_reread = matches!(job, TurnJob::Reread(_));
        let advanced = end.outcome.is_err() && end.progress.advanced;
        if advanced {
            // The connection may be cut repeatedly while rows keep arriving: do not let the backoff
            // grow.
            table.failures = 0;
        }
        table.end_turn(job, &end.outcome);
        match end.outcome {
            Ok(outcome) if is_reread => {
                if outcome != ReadOutcome::More {
                    self.positions.extend(table.end_reread(RereadState::Done));
                }
            }
            Err(error)
                if is_reread
                    && !end.progress.narrowed
                    && error.kind() != ErrorKind::Retry
                    && connection != TurnConnection::Missing =>
            {
                // The table itself may well be read on: its rows are others.
                let failed = RereadState::Failed(error.to_string());
                self.positions.extend(table.end_reread(failed));
            }
            Ok(ReadOutcome::Done) => self.end_range(index),
            Ok(outcome) if has_read => table.read_went_well(outcome, &self.config),
            Ok(_) => {}
            Err(_) if end.progress.narrowed => table.due = Instant::now(),
            Err(error) => {
                let failure = TurnFailure {
                    error,
                    advanced,
                    connection,
                };
                return self.handle_failure(index, failure);
            }
        }
        Ok(())
    }

    /// Decides whether an error of a turn stops the table, retries it or fails the task.
    fn handle_failure(&mut self, index: usize, failure: TurnFailure) -> Result<()> {
        let TurnFailure {
            error,
            advanced,
            connection,
        } = failure;
        let others = self
            .tables
            .iter()
            .enumerate()
            .any(|(n, table)| n != index && !table.is_stopped());
        let connected = connection == TurnConnection::Usable;
        let table = &mut self.tables[index];
        table.failures = table.failures.saturating_add(1);
        let given_up = self
            .config
            .retry_attempts
            .is_some_and(|max| u64::from(table.failures) > max);
        let error = error.context(format_args!(
            "reading {}",
            table
                .id
                .as_ref()
                .map_or("the query".into(), ToString::to_string)
        ));
        let error = match error.kind() {
            ErrorKind::Retry if given_up => error.of_kind(ErrorKind::Fatal),
            // The definition may have changed during the read: look it up again at once. A table
            // that others replace, by DDL outside a transaction, may be missing for a moment.
            ErrorKind::Config if table.failures < LOOK_UPS && !table.is_stopped() && connected => {
                if table.failures == 1 {
                    table.due = Instant::now();
                } else {
                    table.retry(&error);
                }
                return Ok(());
            }
            _ => error,
        };
        table.delay();
        match error.kind() {
            // The turn made progress, so the task is healthy: it gets ahead even with connections
            // that break again and again.
            ErrorKind::Retry if advanced => {
                tracing::warn!(%error, "the task continues with another connection");
                table.retry(&error);
                Ok(())
            }
            _ if !others => Err(error),
            ErrorKind::Retry if connected => {
                table.retry(&error);
                Ok(())
            }
            // A row that is too large breaks the connection, and so may a response that cannot be
            // parsed.
            kind if given_up
                || (stops(kind) && connected)
                || (connection != TurnConnection::Missing
                    && matches!(kind, ErrorKind::Record | ErrorKind::Fatal)) =>
            {
                table.stop(&error, &self.config);
                Ok(())
            }
            _ => Err(error),
        }
    }
}

/// Opens a table. Returns the error of one that is stopped while the others are read.
/// Errors: those that concern the whole task.
async fn open_table(
    table: &mut TaskTable,
    several: bool,
    config: &SourceConfig,
    session: &mut dyn Session,
) -> Result<Option<Error>> {
    match table.open(session).await {
        Ok(()) => Ok(None),
        Err(error) if stops_alone(error.kind(), several) => {
            table.stop(&error, config);
            Ok(Some(error))
        }
        // For example a lock: the other tables need not wait for it.
        Err(error) if error.kind() == ErrorKind::Retry && several && !session.is_lost() => {
            table.retry(&error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// True for errors that concern one table alone and do not pass with time: its definition, its
/// privileges, one of its rows.
fn stops(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Config | ErrorKind::Denied | ErrorKind::Record
    )
}

/// Like [`stops`], but where there are several tables also for responses that make no sense.
fn stops_alone(kind: ErrorKind, several: bool) -> bool {
    stops(kind) || (kind == ErrorKind::Fatal && several)
}

#[async_trait]
impl SourceTask for JdbcSourceTask {
    async fn poll(&mut self) -> Result<SourceBatch> {
        loop {
            // Positions first: they state from where the following records are read.
            if !self.positions.is_empty() {
                let positions = std::mem::take(&mut self.positions);
                return Ok(SourceBatch {
                    positions,
                    ..SourceBatch::default()
                });
            }
            if let Some(batch) = self.next_batch()? {
                return Ok(batch);
            }
            let wait = self.begin_next();
            if self.turns.is_idle() {
                return Ok(SourceBatch {
                    idle_for: Some(wait.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)),
                    ..SourceBatch::default()
                });
            }
            // Both waits are cancel safe: a turn that is not finished stays in the scheduler.
            let event = match wait {
                Some(wait) => timeout(wait, self.turns.next_event())
                    .await
                    .ok()
                    .transpose()?,
                None => Some(self.turns.next_event().await?),
            };
            match event {
                Some(SchedulerEvent::Output(table, ReaderOutput::Rows(page))) => {
                    self.pending = Some((table, PendingRows::new(page)));
                }
                Some(SchedulerEvent::Output(table, ReaderOutput::Deleted(keys))) => {
                    return Ok(self.tables[table].tombstones(keys));
                }
                Some(SchedulerEvent::TurnEnded(turn)) => self.end_turn(*turn)?,
                None => {}
            }
        }
    }

    async fn request(&mut self, request: &TaskRequest) -> Result<Vec<SourcePosition>> {
        let (TaskRequest::Reread(Reread { table, .. }) | TaskRequest::CancelReread(table)) =
            request;
        let Some(index) = self.index_of(table) else {
            return Err(Error::config(format!(
                "this task does not read table {table}"
            )));
        };
        match request {
            TaskRequest::Reread(wanted) => self.begin_reread(index, wanted).await,
            TaskRequest::CancelReread(_) => {
                let cancelled = self.tables[index].end_reread(RereadState::Cancelled);
                cancelled
                    .map(|position| vec![position])
                    .ok_or_else(|| Error::config(format!("table {table} is not being read again")))
            }
        }
    }

    fn progress(&self) -> ProgressReport {
        let failures = self.tables.iter().filter_map(TaskTable::failure);
        let swept = self.tables.iter().filter_map(TaskTable::sweep_warning);
        let others = self.tables.iter().flat_map(TaskTable::warnings);
        let mut seen = HashSet::new();
        let warnings = failures
            .chain(swept)
            .chain(others)
            .filter(|warning| seen.insert(warning.as_str()))
            .cloned()
            .collect();
        let mut tables: Vec<Vec<&TaskTable>> = Vec::new();
        let mut places = HashMap::new();
        for table in &self.tables {
            let place = *places.entry(&table.id).or_insert(tables.len());
            match tables.get_mut(place) {
                Some(parts) => parts.push(table),
                None => tables.push(vec![table]),
            }
        }
        let rereads = self.tables.iter().filter_map(|table| table.reread.as_ref());
        ProgressReport {
            tables: tables.iter().map(|parts| table::progress(parts)).collect(),
            warnings,
            rereads: rereads.map(TableReread::progress).collect(),
        }
    }

    async fn close(self: Box<Self>) {
        self.turns.close().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use connector_api::{Config, ErrorKind, SourceTask, Value};
    use tokio::time::{sleep, timeout};

    use super::{JdbcSourceTask, TableScheduler, TaskTable};
    use crate::catalog::{ColumnMeta, TableMeta};
    use crate::driver::ResultPage;
    use crate::ident::TableId;
    use crate::source::config::SourceConfig;
    use crate::source::tables::assignments::TableAssignment;
    use crate::source::visibility::scripted_session::{ScriptedAnswer, ScriptedSession};
    use crate::url::DatabaseKind;

    /// `d.t (id INT PRIMARY KEY)`.
    fn table() -> TableMeta {
        TableMeta::of_columns(
            TableId::in_catalog("d", "t"),
            vec![ColumnMeta {
                name: "id".to_owned(),
                data_type: "int".to_owned(),
                column_type: "int".to_owned(),
                key_position: Some(0),
                ..ColumnMeta::default()
            }],
        )
    }

    /// A task that reads [`table`] over a session; no server is there for the next one.
    fn task(session: ScriptedSession) -> JdbcSourceTask {
        let config = Config::from([
            ("connection.url", "jdbc:mariadb://127.0.0.1:1/d"),
            ("connection.attempts", "1"),
            ("mode", "bulk"),
        ]);
        let config = Arc::new(SourceConfig::read(&config).unwrap());
        let entry = TableAssignment::whole(Some(table().id), None);
        let session = Box::new(session.with_table(table()));
        JdbcSourceTask {
            tables: vec![TaskTable::new(entry, &config, &[])],
            turns: TableScheduler::new(Arc::clone(&config), session),
            config,
            pending: None,
            positions: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_turn_without_a_connection_has_not_made_the_progress_of_the_turn_before() {
        let page = ResultPage {
            rows: (0..500).map(|id| [Value::I32(id)].into()).collect(),
            cut: true,
            ..ResultPage::default()
        };
        let mut task = task(ScriptedSession::new(
            DatabaseKind::MySql,
            [
                ("ORDER BY", ScriptedAnswer::Page(page)),
                ("WHERE", ScriptedAnswer::Lost),
            ],
        ));
        let failed = async {
            loop {
                match task.poll().await {
                    Ok(batch) => sleep(batch.idle_for.unwrap_or_default()).await,
                    Err(error) => return error,
                }
            }
        };
        let error = timeout(Duration::from_secs(20), failed)
            .await
            .expect("the task reports that it cannot connect");
        assert_eq!(error.kind(), ErrorKind::Retry);
    }
}

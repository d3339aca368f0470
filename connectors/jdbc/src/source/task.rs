//! A running source task: its tables take turns, and their rows become batches of records. A table
//! that fails is retried or stopped on its own; the others continue.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use connector_api::{
    Backoff, Datum, Error, ErrorKind, ProgressReport, Record, Result, SourceBatch, SourcePartition,
    SourcePosition, SourceTask, StoredOffsets, TableProgress, Value,
};
use tokio::time::timeout;

use super::config::SourceConfig;
use super::deletes::sweep::KeySweep;
use super::plan::ranges::SnapshotRanges;
use super::read::batch::{EmittedUpTo, PendingRows};
use super::read::cursor::TableReader;
use super::read::page::{DeletedKeys, ReadOutcome, ReaderOutput};
use super::scheduler::{FinishedRead, SchedulerEvent, TableScheduler, reading_session};
use super::tables::assignments::{TableAssignment, entries};
use super::tables::probe;
use crate::driver::Session;
use crate::ident::TableId;

/// How often a table whose definition does not fit, or that is missing, is looked up before that is
/// an error.
const LOOK_UPS: u32 = 5;

/// How soon rows that wait for an open transaction are read again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Backoff of a table whose reads fail.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(300),
    max: LONGEST_WAIT,
};
/// The longest time the task idles before it checks its tables again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Delay before a range that has been read completely is due again.
const NEVER: Duration = Duration::from_secs(365 * 86_400);

/// A table (or a range of it, or the query) and how much of it has been emitted.
struct TaskTable {
    id: Option<TableId>,
    /// The snapshot of which this entry reads one range; `None` when it reads the table itself.
    snapshot: Option<SnapshotRanges>,
    partition: SourcePartition,
    topic: Arc<str>,
    /// `None` while a turn is running: the turn owns it.
    reader: Option<TableReader>,
    done: EmittedUpTo,
    /// True once `done` has been initialized from the reader's start position.
    standing: bool,
    due: Instant,
    rows: u64,
    /// When this task began to read the table; used to estimate the time left.
    since: Instant,
    rows_estimated: Option<u64>,
    rows_left: Option<u64>,
    /// Consecutive failed reads.
    failures: u32,
    /// The table is not read any more, except to check periodically whether the error persists.
    stopped: bool,
    /// The range has been read completely.
    finished: bool,
    trouble: Option<String>,
    warnings: Vec<String>,
    /// Warnings about values that their column's type could not hold.
    beyond: BTreeSet<String>,
    /// Finds deleted rows; `None` while a sweep's turn is running.
    sweep: Option<Box<KeySweep>>,
}

/// Reads the tables assigned to one task; each call of `poll` returns one batch.
pub struct JdbcSourceTask {
    config: Arc<SourceConfig>,
    tables: Vec<TaskTable>,
    turns: TableScheduler,
    /// Index of the table, and the rows received from it that have not been emitted yet.
    buffer: Option<(usize, PendingRows)>,
    /// Positions that must be stored before any other batch.
    positions: Vec<SourcePosition>,
}

impl JdbcSourceTask {
    /// Connects, looks up all tables and seeks each to its stored offset.
    /// Errors: `Config` when there is nothing to read, or no table fits the mode.
    pub async fn open(config: SourceConfig, stored: &dyn StoredOffsets) -> Result<Self> {
        let ids: Vec<_> = match &config.query {
            Some(_) => vec![None],
            None => config.tables.iter().cloned().map(Some).collect(),
        };
        if ids.is_empty() {
            return Err(Error::config(
                "Task is being killed because it was not assigned a table nor a query to execute. If run in table mode \
                 please make sure that the tables exist on the database. If the table does exist on the database, we \
                 recommend using the fully qualified table name.",
            ));
        }
        let mut session = reading_session(&config).await?;
        let config = Arc::new(probe::understood(&mut *session, config).await?);
        let known = if config.delete_capture.is_some() {
            stored.all().await?
        } else {
            Vec::new()
        };
        let (mut tables, mut positions) = (Vec::with_capacity(ids.len()), Vec::new());
        let (mut failed, mut works, several) = (None, false, ids.len() > 1);
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
                match table.open(&mut *session).await {
                    Ok(()) => works = true,
                    Err(error) if stops_alone(error.kind(), several) => {
                        table.stop(&error, &config);
                        failed.get_or_insert(error);
                    }
                    // For example a lock: the other tables need not wait for it.
                    Err(error)
                        if error.kind() == ErrorKind::Retry && several && !session.is_lost() =>
                    {
                        table.try_again(&error);
                        works = true;
                    }
                    Err(error) => return Err(error),
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
        Ok(Self {
            turns: TableScheduler::new(Arc::clone(&config), session),
            config,
            tables,
            buffer: None,
            positions,
        })
    }

    /// Handles a range that has been read completely. If this task reads all ranges of the table
    /// and this was the last, it continues with the table itself. If other tasks read some of them,
    /// replanning assigns the rest.
    fn range_is_done(&mut self, index: usize) {
        let place = |t: &TaskTable| Some((t.id.clone()?, t.snapshot.clone()?));
        let Some((id, snapshot)) = self.tables.get(index).and_then(place) else {
            return;
        };
        let alone = self.config.part.is_none_or(|part| part.of == 1);
        let all = self
            .tables
            .iter()
            .filter(|t| t.id.as_ref() == Some(&id))
            .all(|t| t.finished);
        if !alone || !all {
            return;
        }
        self.positions.extend(snapshot.over(&id, &self.config));
        let entry = TableAssignment::whole(Some(id), Some(snapshot.end_reached()));
        let mut table = TaskTable::new(entry, &self.config, &[]);
        if let Some(place) = self.tables.get_mut(index) {
            table.rows = place.rows;
            *place = table;
        }
    }

    /// Returns the next batch of the buffered rows, `None` if there is neither a record nor a
    /// position to emit.
    fn cut(&mut self) -> Result<Option<SourceBatch>> {
        let Some((index, buffered)) = &mut self.buffer else {
            return Ok(None);
        };
        let table = &mut self.tables[*index];
        let (records, moved) = buffered.take(
            self.config.batch_rows,
            &table.topic,
            &mut table.done,
            self.config.mode,
        )?;
        table.rows += records.len() as u64;
        table.beyond.extend(buffered.news());
        let position =
            moved.then(|| buffered.position(table.partition.clone(), &table.done, &self.config));
        // The emitted keys are stored with the records themselves: a sweep must know every key that
        // a reader of the topic has seen.
        let mut positions: Vec<_> = position.into_iter().collect();
        if let (Some(sweep), Some(keys), false) =
            (&mut table.sweep, &buffered.plan().keys, records.is_empty())
        {
            positions.extend(sweep.note(&records, keys)?);
        }
        if buffered.is_empty() {
            self.buffer = None;
        }
        if records.is_empty() && positions.is_empty() {
            return Ok(None);
        }
        Ok(Some(SourceBatch {
            records,
            positions,
            idle_for: None,
        }))
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
                .filter(|(_, table)| table.reader.is_some());
            let (index, table) = waiting.min_by_key(|(_, table)| table.next())?;
            let wait = closed_for.max(table.next().saturating_duration_since(Instant::now()));
            if wait > Duration::ZERO {
                return Some(wait);
            }
            let reader = table.reader.take()?;
            let sweep = if table.is_to_sweep() {
                table.sweep.take()
            } else {
                None
            };
            self.turns.begin(index, reader, sweep);
        }
    }

    /// Takes the reader and the sweep back from a finished turn and schedules the table's next
    /// turn.
    /// Errors: those that concern the whole task: the connection, or the only table that is still
    /// read.
    fn take_back(&mut self, turn: FinishedRead) -> Result<()> {
        let table = &mut self.tables[turn.table];
        let has_read = turn.sweep.is_none();
        // `turn.reader` reports on its last read, the sweep on the turn that has just ended.
        let (got_on, narrowed) = match &turn.sweep {
            Some(sweep) => (sweep.got_on(), false),
            None => (turn.reader.got_on(), turn.reader.has_narrowed()),
        };
        let got_on = turn.outcome.is_err() && got_on;
        if got_on {
            // The connection may be cut repeatedly while rows keep arriving: do not let the backoff
            // grow.
            table.failures = 0;
        }
        table.reader = Some(turn.reader);
        if let Some(mut sweep) = turn.sweep {
            sweep.ended(
                &turn.outcome,
                BACKOFF.after(table.failures.saturating_add(1)),
            );
            table.sweep = Some(sweep);
        }
        table.look();
        let error = match turn.outcome {
            Ok(outcome) => {
                if has_read {
                    table.went_well(outcome, &self.config);
                }
                if outcome == ReadOutcome::Done {
                    self.range_is_done(turn.table);
                }
                return Ok(());
            }
            Err(error) => error,
        };
        if narrowed {
            table.due = Instant::now();
            return Ok(());
        }
        self.note_trouble(turn.table, error, got_on, (turn.begun, turn.connected))
    }

    /// Decides whether an error of a turn stops the table, retries it or fails the task. `got_on`:
    /// the turn made progress before the error; `begun` and `connected`: as in [`FinishedRead`].
    fn note_trouble(
        &mut self,
        index: usize,
        error: Error,
        got_on: bool,
        (begun, connected): (bool, bool),
    ) -> Result<()> {
        let others = self
            .tables
            .iter()
            .enumerate()
            .any(|(n, table)| n != index && !table.stopped);
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
                .map_or("the query".into(), TableId::to_string)
        ));
        let error = match error.kind() {
            ErrorKind::Retry if given_up => {
                Error::fatal(error.message().to_owned()).caused_by(error)
            }
            // The definition may have changed during the read: look it up again at once. A table
            // that others replace, by DDL outside a transaction, may be missing for a moment.
            ErrorKind::Config if table.failures < LOOK_UPS && !table.stopped && connected => {
                if table.failures == 1 {
                    table.due = Instant::now();
                } else {
                    table.try_again(&error);
                }
                return Ok(());
            }
            _ => error,
        };
        table.due = Instant::now() + BACKOFF.after(table.failures);
        match error.kind() {
            // The turn made progress, so the task is healthy: it gets ahead even with connections
            // that break again and again.
            ErrorKind::Retry if got_on => {
                tracing::warn!(%error, "the task continues with another connection");
                table.try_again(&error);
                Ok(())
            }
            _ if !others => Err(error),
            ErrorKind::Retry if connected => {
                table.try_again(&error);
                Ok(())
            }
            // A row that is too large breaks the connection, and so may a response that cannot be
            // parsed.
            kind if given_up
                || (stops(kind) && connected)
                || (begun && matches!(kind, ErrorKind::Record | ErrorKind::Fatal)) =>
            {
                table.stop(&error, &self.config);
                Ok(())
            }
            _ => Err(error),
        }
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

impl TaskTable {
    /// Looks up the table and seeks to its stored offset.
    async fn open(&mut self, session: &mut dyn Session) -> Result<()> {
        if let Some(reader) = &mut self.reader {
            reader.open(session).await?;
        }
        self.look();
        Ok(())
    }

    /// Creates an entry without looking up the table; `stored` are the offsets among which its
    /// known keys may be.
    fn new(entry: TableAssignment, config: &Arc<SourceConfig>, stored: &[SourcePosition]) -> Self {
        let topic =
            config.topic_prefix.clone() + entry.id.as_ref().map_or("", |id| id.table.as_str());
        let partition = entry.partition(config);
        let sweeps = config
            .delete_capture
            .filter(|_| entry.id.is_some() && entry.range.is_none());
        Self {
            topic: topic.into(),
            id: entry.id.clone(),
            snapshot: entry.range.as_ref().map(|(_, snapshot)| snapshot.clone()),
            sweep: sweeps.map(|capture| Box::new(KeySweep::new(&partition, capture, stored))),
            partition,
            reader: Some(TableReader::new(entry, Arc::clone(config))),
            done: EmittedUpTo::default(),
            standing: false,
            due: Instant::now() + until_scheduled(config).unwrap_or_default(),
            rows: 0,
            since: Instant::now(),
            rows_estimated: None,
            rows_left: None,
            failures: 0,
            stopped: false,
            finished: false,
            trouble: None,
            warnings: Vec::new(),
            beyond: BTreeSet::new(),
        }
    }

    /// Copies statistics and warnings from the reader. Once the reader has a start position, that
    /// becomes the position emitted so far.
    fn look(&mut self) {
        let Some(reader) = &self.reader else { return };
        self.rows_estimated = reader.rows_estimated();
        self.warnings = reader.warnings();
        if let Some((all, left)) = reader.rows_in_range() {
            (self.rows_estimated, self.rows_left) = (Some(all), Some(left));
        }
        if !self.standing && reader.is_standing() {
            self.standing = true;
            self.done = EmittedUpTo {
                from: reader.from().clone(),
                open: None,
                gaps: reader.gaps(),
            };
        }
    }

    fn went_well(&mut self, outcome: ReadOutcome, config: &SourceConfig) {
        let wait = match outcome {
            ReadOutcome::More => Duration::ZERO,
            ReadOutcome::CaughtUp => until_scheduled(config).unwrap_or(config.poll_interval),
            ReadOutcome::Waiting => config.poll_interval.min(LOOK_AGAIN),
            ReadOutcome::Done => NEVER,
        };
        self.finished = outcome == ReadOutcome::Done;
        self.rows_left = match outcome {
            _ if self.snapshot.is_some() && outcome != ReadOutcome::Done => self.rows_left,
            ReadOutcome::More => self.rows_estimated.map(|all| all.saturating_sub(self.rows)),
            ReadOutcome::CaughtUp | ReadOutcome::Done => Some(0),
            ReadOutcome::Waiting => self.rows_left,
        };
        self.due = Instant::now() + wait;
        (self.failures, self.stopped, self.trouble) = (0, false, None);
        if let Some(sweep) = self
            .sweep
            .as_mut()
            .filter(|_| outcome == ReadOutcome::CaughtUp)
        {
            sweep.due.get_or_insert_with(Instant::now);
        }
    }

    /// When the next turn is due.
    fn next(&self) -> Instant {
        let sweep = self
            .sweep
            .as_ref()
            .and_then(|sweep| sweep.due)
            .filter(|_| !self.stopped);
        sweep.map_or(self.due, |due| due.min(self.due))
    }

    /// True if a turn that begins now is a sweep for deleted rows. Sweeps and reads alternate when
    /// both are due.
    fn is_to_sweep(&mut self) -> bool {
        let (now, reading) = (Instant::now(), self.due);
        let Some(sweep) = self.sweep.as_mut().filter(|_| !self.stopped) else {
            return false;
        };
        sweep.was_last =
            sweep.due.is_some_and(|due| due <= now) && !(sweep.was_last && reading <= now);
        sweep.was_last
    }

    /// Returns the tombstones of deleted rows together with the positions that follow from them.
    fn tombstones(&self, gone: DeletedKeys) -> SourceBatch {
        let record = |key| Record {
            topic: Arc::clone(&self.topic),
            partition: None,
            key: Datum {
                schema: gone.schema.clone(),
                value: Value::Struct(key),
            },
            value: Datum::NONE,
            timestamp_ms: None,
            headers: Vec::new(),
        };
        SourceBatch {
            records: gone.keys.into_iter().map(record).collect(),
            positions: gone.positions,
            idle_for: None,
        }
    }

    /// Schedules a retry after a backoff.
    fn try_again(&mut self, error: &Error) {
        self.due = Instant::now() + BACKOFF.after(self.failures);
        self.trouble = Some(format!("trying again: {error}"));
    }

    /// Stops reading the table, but checks again at the interval at which tables are listed.
    fn stop(&mut self, error: &Error, config: &SourceConfig) {
        let every = config.table_poll_interval;
        self.stopped = true;
        self.due = Instant::now() + every;
        tracing::warn!(table = self.name(), %error, "the table is not read any more");
        self.trouble = Some(format!(
            "{} is not read any more, the other tables are: {error} (retried every {} s)",
            self.name(),
            every.as_secs_f32()
        ));
    }

    fn name(&self) -> String {
        self.id
            .as_ref()
            .map_or_else(|| "query".to_owned(), TableId::to_string)
    }
}

/// Sums up the progress of a table over all parts of it that this task reads.
fn progress(parts: &[&TaskTable]) -> TableProgress {
    let rows = parts.iter().map(|t| t.rows).sum::<u64>();
    let rows_left: Option<u64> = parts
        .iter()
        .map(|t| t.rows_left.filter(|_| !t.stopped))
        .sum();
    let since = parts
        .iter()
        .map(|t| t.since.elapsed())
        .max()
        .unwrap_or_default();
    let pace = rows as f64 / since.as_secs_f64().max(0.001);
    let time_left = rows_left.filter(|left| *left == 0 || rows > 0).map(|left| {
        Duration::try_from_secs_f64(if left == 0 { 0.0 } else { left as f64 / pace })
            .unwrap_or(Duration::MAX)
    });
    let table = parts.first().map(|t| t.name()).unwrap_or_default();
    // Set if the ranges were read by this task and it now reads the table itself.
    let whole = parts.iter().find(|t| t.snapshot.is_none());
    let rows_estimated = whole.map_or_else(
        || parts.iter().map(|t| t.rows_estimated).sum(),
        |t| t.rows_estimated,
    );
    TableProgress {
        table,
        rows,
        rows_estimated,
        rows_left,
        time_left,
    }
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
            if let Some(batch) = self.cut()? {
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
            let news = match wait {
                Some(wait) => timeout(wait, self.turns.news()).await.ok().transpose()?,
                None => Some(self.turns.news().await?),
            };
            match news {
                Some(SchedulerEvent::Sent(table, ReaderOutput::Rows(chunk))) => {
                    self.buffer = Some((table, PendingRows::new(chunk)));
                }
                Some(SchedulerEvent::Sent(table, ReaderOutput::Gone(gone))) => {
                    return Ok(self.tables[table].tombstones(gone));
                }
                Some(SchedulerEvent::Over(turn)) => self.take_back(*turn)?,
                None => {}
            }
        }
    }

    fn progress(&self) -> ProgressReport {
        let mut warnings: Vec<String> = Vec::new();
        let troubles = self.tables.iter().filter_map(|t| t.trouble.as_ref());
        let swept = self
            .tables
            .iter()
            .filter_map(|t| t.sweep.as_ref()?.warning());
        let others = self
            .tables
            .iter()
            .flat_map(|t| t.warnings.iter().chain(&t.beyond));
        for warning in troubles.chain(swept).chain(others) {
            if !warnings.contains(warning) {
                warnings.push(warning.clone());
            }
        }
        let mut tables: Vec<Vec<&TaskTable>> = Vec::new();
        for table in &self.tables {
            match tables
                .iter_mut()
                .find(|parts| parts.first().is_some_and(|first| first.id == table.id))
            {
                Some(parts) => parts.push(table),
                None => tables.push(vec![table]),
            }
        }
        ProgressReport {
            tables: tables.iter().map(|parts| progress(parts)).collect(),
            warnings,
        }
    }

    async fn close(self: Box<Self>) {
        self.turns.close().await;
    }
}

/// Returns the time until the next scheduled read, `None` without a schedule.
fn until_scheduled(config: &SourceConfig) -> Option<Duration> {
    let schedule = config.schedule.as_ref()?;
    // A schedule without a next time is evaluated again in a year.
    Some(
        schedule
            .next(jiff::Timestamp::now())
            .unwrap_or(Duration::from_secs(365 * 86_400)),
    )
}

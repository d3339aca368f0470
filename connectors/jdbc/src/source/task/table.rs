//! One table of a task: what it is doing, when its next turn is due, and how much of it has been
//! emitted.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{
    Backoff, Datum, Error, Record, RereadState, Result, SourceBatch, SourcePartition,
    SourcePosition, TableProgress, Value,
};

use super::reread::TableReread;
use crate::driver::Session;
use crate::ident::TableId;
use crate::source::config::{SourceConfig, SourceMode};
use crate::source::deletes::sweep::KeySweep;
use crate::source::plan::ranges::{KeyRange, SnapshotRanges};
use crate::source::plan::reread::key_of_row;
use crate::source::plan::table::TablePlan;
use crate::source::read::batch::{EmittedUpTo, PendingRows};
use crate::source::read::cursor::TableReader;
use crate::source::read::page::{DeletedKeys, ReadOutcome};
use crate::source::scheduler::TurnJob;
use crate::source::tables::assignments::TableAssignment;

/// How soon rows that wait for an open transaction are read again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Backoff of a table whose reads fail.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(300),
    max: Duration::from_secs(60),
};

/// A table (or a range of it, or the query) and how much of it has been emitted.
pub(super) struct TaskTable {
    pub id: Option<TableId>,
    /// The range of ids that is read, and the snapshot it belongs to; `None`: the table itself.
    range: Option<(KeyRange, SnapshotRanges)>,
    partition: SourcePartition,
    topic: Arc<str>,
    stage: TableStage,
    /// How much has been emitted; `None` until the reader has been opened.
    emitted: Option<EmittedUpTo>,
    /// When the next read is due.
    pub due: Instant,
    pub rows: u64,
    /// When this task began to read the table; used to estimate the time left.
    since: Instant,
    rows_estimated: Option<u64>,
    rows_left: Option<u64>,
    /// When the reads began that have not reached the end of the table yet.
    reading_since: Option<Instant>,
    /// When the last reads that reached the end of the table began.
    complete_at: Option<Instant>,
    /// Consecutive failed reads.
    pub failures: u32,
    /// Ranges of ids below the position that are missing.
    gaps: Option<u64>,
    /// Rows at the end are held back.
    is_held: bool,
    /// The last error, for the user; cleared by a read that succeeds.
    failure: Option<String>,
    warnings: Vec<String>,
    /// Warnings about values that their column's type could not hold.
    out_of_range: BTreeSet<String>,
    /// What is read again, or has been.
    pub reread: Option<TableReread>,
}

/// What a table is doing. A running turn owns the reader, and the sweep if it is the sweep's.
enum TableStage {
    /// Waits for its next turn.
    Idle {
        reader: TableReader,
        sweep: Option<Box<KeySweep>>,
    },
    /// A turn reads rows.
    Reading { sweep: Option<Box<KeySweep>> },
    /// A turn looks for deleted rows. No rows of the table are in flight meanwhile.
    Sweeping,
    /// Not read any more because of an error; waits for the next check whether that persists.
    Stopped {
        reader: TableReader,
        sweep: Option<Box<KeySweep>>,
    },
    /// A turn checks whether the table can be read again.
    Checking { sweep: Option<Box<KeySweep>> },
    /// A turn reads rows again. No other rows of the table are in flight meanwhile.
    Rereading {
        reader: TableReader,
        sweep: Option<Box<KeySweep>>,
    },
    /// The range has been read completely.
    Finished,
}

impl TaskTable {
    /// Creates an entry without looking up the table; `stored` are the offsets among which its
    /// known keys may be.
    pub(super) fn new(
        entry: TableAssignment,
        config: &Arc<SourceConfig>,
        stored: &[SourcePosition],
    ) -> Self {
        let topic =
            config.topic_prefix.clone() + entry.id.as_ref().map_or("", |id| id.table.as_str());
        let partition = entry.partition(config);
        let sweep = config
            .delete_capture
            .filter(|_| entry.id.is_some() && entry.range.is_none())
            .map(|capture| Box::new(KeySweep::new(&partition, capture, stored)));
        Self {
            topic: topic.into(),
            id: entry.id.clone(),
            range: entry.range.clone(),
            partition,
            stage: TableStage::Idle {
                reader: TableReader::new(entry, Arc::clone(config)),
                sweep,
            },
            emitted: None,
            due: Instant::now() + until_scheduled(config).unwrap_or_default(),
            rows: 0,
            since: Instant::now(),
            rows_estimated: None,
            rows_left: None,
            reading_since: None,
            complete_at: None,
            failures: 0,
            gaps: None,
            is_held: false,
            failure: None,
            warnings: Vec::new(),
            out_of_range: BTreeSet::new(),
            reread: None,
        }
    }

    /// Looks up the table and seeks to its stored offset.
    pub(super) async fn open(&mut self, session: &mut dyn Session) -> Result<()> {
        if let TableStage::Idle { reader, .. } = &mut self.stage {
            reader.open(session).await?;
        }
        self.look_at_reader();
        Ok(())
    }

    /// Returns the snapshot of which a range is read.
    pub(super) fn snapshot(&self) -> Option<&SnapshotRanges> {
        self.range.as_ref().map(|(_, snapshot)| snapshot)
    }

    /// Copies statistics and warnings from the reader. Once the reader has a start position, that
    /// becomes the position emitted so far.
    fn look_at_reader(&mut self) {
        let (TableStage::Idle { reader, .. }
        | TableStage::Stopped { reader, .. }
        | TableStage::Rereading { reader, .. }) = &self.stage
        else {
            return;
        };
        self.rows_estimated = reader.rows_estimated();
        self.warnings = reader.warnings();
        self.gaps = reader.is_open().then(|| reader.gaps().len() as u64);
        if let (Some((range, snapshot)), Some(all)) = (&self.range, self.rows_estimated) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_sign_loss,
                reason = "a share of an estimate, which is not below zero"
            )]
            let rows = |reached: i64| (all as f64 * snapshot.share(range, reached)) as u64;
            self.rows_estimated = Some(rows(range.above));
            self.rows_left = Some(rows(reader.position().id.unwrap_or(range.above)));
        }
        if self.emitted.is_none() && reader.is_open() {
            self.emitted = Some(EmittedUpTo {
                from: reader.position().clone(),
                open: None,
                gaps: reader.gaps(),
            });
        }
    }

    /// Takes the next batch of records from rows of this table, with the positions to store.
    pub(super) fn emit(
        &mut self,
        pending: &mut PendingRows,
        config: &SourceConfig,
    ) -> Result<SourceBatch> {
        if matches!(self.stage, TableStage::Rereading { .. }) {
            return self.emit_again(pending, config);
        }
        let emitted = self.emitted.get_or_insert_default();
        let (records, moved) =
            pending.take(config.batch_rows, &self.topic, emitted, config.mode)?;
        self.rows += records.len() as u64;
        self.out_of_range.extend(pending.warnings());
        let mut positions = Vec::new();
        if moved {
            positions.push(pending.position(self.partition.clone(), emitted, config));
        }
        positions.extend(self.note_keys(&records, pending.plan())?);
        Ok(SourceBatch {
            records,
            positions,
            idle_for: None,
            is_partial: false,
        })
    }

    /// Takes the next batch of records from rows that have been read again.
    fn emit_again(
        &mut self,
        pending: &mut PendingRows,
        config: &SourceConfig,
    ) -> Result<SourceBatch> {
        let Some(reread) = self.reread.as_mut().filter(|reread| reread.is_running()) else {
            // It was cancelled while these rows were read.
            pending.clear();
            return Ok(SourceBatch::default());
        };
        let (max, mode) = (config.batch_rows, SourceMode::Bulk);
        let last = pending
            .last_of(max)
            .map(|row| key_of_row(row, pending.plan()));
        let (records, _moved) =
            pending.take(max, &self.topic, &mut EmittedUpTo::default(), mode)?;
        let mut positions = Vec::new();
        if let Some(last) = last {
            reread.place.after = last;
            reread.place.rows = reread.place.rows.saturating_add(records.len() as u64);
            positions.push(reread.position());
        }
        self.out_of_range.extend(pending.warnings());
        positions.extend(self.note_keys(&records, pending.plan())?);
        Ok(SourceBatch {
            is_partial: false,
            records,
            positions,
            idle_for: None,
        })
    }

    /// Returns the positions that store the emitted keys. They are stored with the records
    /// themselves: a sweep must know every key that a reader of the topic has seen.
    fn note_keys(&mut self, records: &[Record], plan: &TablePlan) -> Result<Vec<SourcePosition>> {
        let keys = plan.keys.as_ref().filter(|_| !records.is_empty());
        match (self.stage.sweep_mut(), keys) {
            (Some(sweep), Some(keys)) => sweep.note(records, keys),
            _ => Ok(Vec::new()),
        }
    }

    /// Returns the tombstones of deleted rows together with the positions that follow from them.
    pub(super) fn tombstones(&self, deleted: DeletedKeys) -> SourceBatch {
        let record = |key| Record {
            topic: Arc::clone(&self.topic),
            partition: None,
            key: Datum {
                schema: deleted.schema.clone(),
                value: Value::Struct(key),
            },
            value: Datum::NONE,
            timestamp_ms: None,
            headers: Vec::new(),
        };
        SourceBatch {
            records: deleted.keys.into_iter().map(record).collect(),
            positions: deleted.positions,
            idle_for: None,
            is_partial: false,
        }
    }

    /// True if a turn may begin.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(
            self.stage,
            TableStage::Idle { .. } | TableStage::Stopped { .. }
        )
    }

    /// True if the table is not read any more because of an error, except to check whether that
    /// persists.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(
            self.stage,
            TableStage::Stopped { .. } | TableStage::Checking { .. }
        )
    }

    /// True if the range has been read completely.
    pub(super) fn is_finished(&self) -> bool {
        matches!(self.stage, TableStage::Finished)
    }

    /// When the next turn is due.
    pub(super) fn next_turn(&self) -> Instant {
        let sweep = match &self.stage {
            TableStage::Idle { sweep, .. } => sweep.as_ref().and_then(|sweep| sweep.due),
            _ => None,
        };
        let due = sweep.map_or(self.due, |due| due.min(self.due));
        match (&self.stage, &self.reread) {
            (TableStage::Idle { .. }, Some(reread)) if reread.is_waiting() && !self.is_range() => {
                due.min(reread.due)
            }
            _ => due,
        }
    }

    /// Begins a turn, which takes the reader, and for a sweep also the sweep. `None` if one is
    /// running already.
    pub(super) fn begin_turn(&mut self) -> Option<TurnJob> {
        if let Some(job) = self.begin_reread_turn() {
            return Some(job);
        }
        let is_sweeps = self.is_sweeps_turn();
        // `Finished` only until the next stage is known, a few lines below.
        let (stage, job) = match mem::replace(&mut self.stage, TableStage::Finished) {
            TableStage::Idle {
                reader,
                sweep: Some(sweep),
            } if is_sweeps => (TableStage::Sweeping, Some(TurnJob::Sweep(reader, sweep))),
            TableStage::Idle { reader, sweep } => {
                (TableStage::Reading { sweep }, Some(TurnJob::Read(reader)))
            }
            TableStage::Stopped { reader, sweep } => {
                (TableStage::Checking { sweep }, Some(TurnJob::Read(reader)))
            }
            stage => (stage, None),
        };
        self.stage = stage;
        if matches!(job, Some(TurnJob::Read(_))) {
            self.reading_since.get_or_insert_with(Instant::now);
        }
        job
    }

    /// Begins a turn that reads rows again, if it is due. Such turns alternate with the others.
    fn begin_reread_turn(&mut self) -> Option<TurnJob> {
        if self.is_range() {
            return None;
        }
        let sweep_due = self.stage.sweep().and_then(|sweep| sweep.due);
        let reread = self.reread.as_mut().filter(|reread| reread.is_waiting())?;
        let now = Instant::now();
        let is_other_due = self.due <= now || sweep_due.is_some_and(|due| due <= now);
        let is_idle = matches!(self.stage, TableStage::Idle { .. });
        if !is_idle || reread.due > now || (reread.was_last && is_other_due) {
            reread.was_last = false;
            return None;
        }
        reread.was_last = true;
        let job = TurnJob::Reread(reread.reader.take()?);
        if let TableStage::Idle { reader, sweep } =
            mem::replace(&mut self.stage, TableStage::Finished)
        {
            self.stage = TableStage::Rereading { reader, sweep };
        }
        Some(job)
    }

    /// True if a turn that begins now is the sweep's. Sweeps and reads alternate when both are due.
    fn is_sweeps_turn(&mut self) -> bool {
        let TableStage::Idle {
            sweep: Some(sweep), ..
        } = &mut self.stage
        else {
            return false;
        };
        let now = Instant::now();
        let is_due = sweep.due.is_some_and(|due| due <= now);
        sweep.was_last = is_due && !(sweep.was_last && self.due <= now);
        sweep.was_last
    }

    /// Takes the reader and the sweep back from a turn. The outcome of a sweep decides when the
    /// next one is due, that of a read is handled by the caller.
    pub(super) fn end_turn(&mut self, job: TurnJob, outcome: &Result<ReadOutcome>) {
        let stopped = self.is_stopped();
        let kept = self.stage.take_sweep();
        let (reader, sweep) = match job {
            TurnJob::Reread(again) => {
                if let Some(reread) = &mut self.reread {
                    reread.end_turn(again);
                }
                match mem::replace(&mut self.stage, TableStage::Finished) {
                    TableStage::Rereading { reader, .. } => (reader, kept),
                    stage => {
                        self.stage = stage;
                        return;
                    }
                }
            }
            TurnJob::Read(reader) => (reader, kept),
            TurnJob::Sweep(reader, mut sweep) => {
                sweep.ended(outcome, BACKOFF.after(self.failures.saturating_add(1)));
                (reader, Some(sweep))
            }
        };
        self.stage = TableStage::waiting(reader, sweep, stopped);
        self.look_at_reader();
    }

    /// Schedules the next read after one that succeeded. A stopped table is read again.
    pub(super) fn read_went_well(&mut self, outcome: ReadOutcome, config: &SourceConfig) {
        let wait = match outcome {
            ReadOutcome::More | ReadOutcome::Done => Duration::ZERO,
            ReadOutcome::CaughtUp => until_scheduled(config).unwrap_or(config.poll_interval),
            ReadOutcome::Waiting => config.poll_interval.min(LOOK_AGAIN),
        };
        self.due = Instant::now() + wait;
        // What is left of a range follows from its ids.
        if self.range.is_none() {
            self.rows_left = match outcome {
                ReadOutcome::More => self.rows_estimated.map(|all| all.saturating_sub(self.rows)),
                ReadOutcome::CaughtUp | ReadOutcome::Done => Some(0),
                ReadOutcome::Waiting => self.rows_left,
            };
        }
        if matches!(outcome, ReadOutcome::CaughtUp | ReadOutcome::Done) {
            self.complete_at = self.reading_since.take();
        }
        self.is_held = outcome == ReadOutcome::Waiting;
        (self.failures, self.failure) = (0, None);
        self.stage.set_stopped(false);
        if let (Some(sweep), ReadOutcome::CaughtUp) = (self.stage.sweep_mut(), outcome) {
            sweep.due.get_or_insert_with(Instant::now);
        }
    }

    /// Ends a range that has been read completely.
    pub(super) fn finish(&mut self) {
        self.stage = TableStage::Finished;
        self.rows_left = Some(0);
        (self.failures, self.failure) = (0, None);
    }

    /// Delays the next read by the backoff.
    pub(super) fn delay(&mut self) {
        self.due = Instant::now() + BACKOFF.after(self.failures);
        if let Some(reread) = &mut self.reread {
            reread.due = self.due;
        }
    }

    /// Ends reading rows again, and returns the position that says so.
    pub(super) fn end_reread(&mut self, state: RereadState) -> Option<SourcePosition> {
        if let RereadState::Failed(error) = &state {
            tracing::warn!(
                table = self.name(),
                error,
                "the table is not read again any more"
            );
        }
        let reread = self.reread.as_mut().filter(|reread| reread.is_running())?;
        Some(reread.end(state))
    }

    /// Returns the number of places where rows may still appear because of open transactions.
    fn gaps(&self) -> Option<u64> {
        Some(self.gaps? + u64::from(self.is_held))
    }

    /// True if only a range of the table is read here.
    pub(super) fn is_range(&self) -> bool {
        self.range.is_some()
    }

    /// Schedules a retry after the backoff.
    pub(super) fn retry(&mut self, error: &Error) {
        self.delay();
        self.failure = Some(format!("trying again: {error}"));
    }

    /// Stops reading the table, but checks again at the interval at which tables are listed.
    pub(super) fn stop(&mut self, error: &Error, config: &SourceConfig) {
        let every = config.table_poll_interval;
        self.stage.set_stopped(true);
        self.due = Instant::now() + every;
        tracing::warn!(table = self.name(), %error, "the table is not read any more");
        self.failure = Some(format!(
            "{} is not read any more, the other tables are: {error} (retried every {} s)",
            self.name(),
            every.as_secs_f32()
        ));
    }

    /// Returns the last error, as a text for the user.
    pub(super) fn failure(&self) -> Option<&String> {
        self.failure.as_ref()
    }

    pub(super) fn sweep_warning(&self) -> Option<&String> {
        self.stage.sweep()?.warning()
    }

    /// Returns the warnings about rows and columns.
    pub(super) fn warnings(&self) -> impl Iterator<Item = &String> {
        self.warnings.iter().chain(&self.out_of_range)
    }

    /// Returns the table's name.
    pub(super) fn name(&self) -> String {
        self.id
            .as_ref()
            .map_or_else(|| "query".to_owned(), TableId::to_string)
    }
}

impl TableStage {
    /// The stage between two turns.
    fn waiting(reader: TableReader, sweep: Option<Box<KeySweep>>, stopped: bool) -> Self {
        if stopped {
            Self::Stopped { reader, sweep }
        } else {
            Self::Idle { reader, sweep }
        }
    }

    /// Stops a table between two turns, or lets it continue.
    fn set_stopped(&mut self, stopped: bool) {
        *self = match mem::replace(self, Self::Finished) {
            Self::Idle { reader, sweep } | Self::Stopped { reader, sweep } => {
                Self::waiting(reader, sweep, stopped)
            }
            stage => stage,
        };
    }

    /// Returns the sweep, unless its turn is running.
    fn sweep(&self) -> Option<&KeySweep> {
        match self {
            Self::Idle { sweep, .. }
            | Self::Reading { sweep }
            | Self::Stopped { sweep, .. }
            | Self::Rereading { sweep, .. }
            | Self::Checking { sweep } => sweep.as_deref(),
            Self::Sweeping | Self::Finished => None,
        }
    }

    fn sweep_mut(&mut self) -> Option<&mut KeySweep> {
        match self {
            Self::Idle { sweep, .. }
            | Self::Reading { sweep }
            | Self::Stopped { sweep, .. }
            | Self::Rereading { sweep, .. }
            | Self::Checking { sweep } => sweep.as_deref_mut(),
            Self::Sweeping | Self::Finished => None,
        }
    }

    fn take_sweep(&mut self) -> Option<Box<KeySweep>> {
        match self {
            Self::Idle { sweep, .. }
            | Self::Reading { sweep }
            | Self::Stopped { sweep, .. }
            | Self::Rereading { sweep, .. }
            | Self::Checking { sweep } => sweep.take(),
            Self::Sweeping | Self::Finished => None,
        }
    }
}

/// Sums up the progress of a table over all parts of it that this task reads.
#[expect(
    clippy::cast_precision_loss,
    reason = "the time left is an estimate, and no table has 2^53 rows"
)]
pub(super) fn progress(parts: &[&TaskTable]) -> TableProgress {
    let rows = parts.iter().map(|t| t.rows).sum::<u64>();
    let rows_left: Option<u64> = parts
        .iter()
        .map(|t| t.rows_left.filter(|_| !t.is_stopped()))
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
    let whole = parts.iter().find(|t| t.range.is_none());
    let rows_estimated = whole.map_or_else(
        || parts.iter().map(|t| t.rows_estimated).sum(),
        |t| t.rows_estimated,
    );
    let complete: Option<Vec<Instant>> = parts.iter().map(|t| t.complete_at).collect();
    TableProgress {
        table,
        rows,
        rows_estimated,
        rows_left,
        time_left,
        complete_at: complete.and_then(|all| all.into_iter().min()),
        gaps: parts.iter().filter_map(|t| t.gaps()).reduce(|a, b| a + b),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use connector_api::{Config, Error};

    use super::TaskTable;
    use crate::ident::TableId;
    use crate::source::config::SourceConfig;
    use crate::source::read::page::ReadOutcome;
    use crate::source::scheduler::TurnJob;
    use crate::source::tables::assignments::TableAssignment;

    fn config() -> Arc<SourceConfig> {
        let keys = [
            ("connection.url", "jdbc:mariadb://h/d"),
            ("mode", "incrementing"),
            ("incrementing.column.name", "id"),
            ("delete.capture", "key_sweep"),
            ("poll.interval.ms", "60000"),
        ];
        Arc::new(SourceConfig::read(&Config::from(keys)).unwrap())
    }

    fn table(config: &Arc<SourceConfig>) -> TaskTable {
        let id = TableId::in_catalog("d", "t");
        TaskTable::new(TableAssignment::whole(Some(id), None), config, &[])
    }

    #[test]
    fn a_stopped_table_is_checked_and_read_again() {
        let config = config();
        let mut table = table(&config);
        let error = Error::record("a row cannot be read");
        let job = table.begin_turn().unwrap();
        assert!(!table.is_waiting() && table.begin_turn().is_none());
        table.end_turn(job, &Err(Error::record("a row cannot be read")));
        table.stop(&error, &config);
        assert!(table.is_waiting() && table.is_stopped());
        let job = table.begin_turn().unwrap();
        assert!(!table.is_waiting() && table.is_stopped());
        table.end_turn(job, &Ok(ReadOutcome::More));
        assert!(table.is_stopped() && table.failure().is_some());
        table.read_went_well(ReadOutcome::More, &config);
        assert!(!table.is_stopped() && table.failure().is_none());
    }

    #[test]
    fn a_sweep_follows_when_the_table_has_been_read_to_its_end() {
        let config = config();
        let mut table = table(&config);
        let job = table.begin_turn().unwrap();
        assert!(matches!(job, TurnJob::Read(_)));
        table.end_turn(job, &Ok(ReadOutcome::CaughtUp));
        table.read_went_well(ReadOutcome::CaughtUp, &config);
        let job = table.begin_turn().unwrap();
        assert!(matches!(job, TurnJob::Sweep(..)));
        table.end_turn(job, &Ok(ReadOutcome::CaughtUp));
        let job = table.begin_turn().unwrap();
        assert!(matches!(job, TurnJob::Read(_)), "the next sweep is not due");
        table.end_turn(job, &Ok(ReadOutcome::Done));
        table.finish();
        assert!(table.is_finished() && table.begin_turn().is_none());
    }
}

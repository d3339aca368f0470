//! Tables, or ranges of their keys, that are read again while the log is followed.
//!
//! Pages are read from snapshots whose position in the log is known, as those of the first read. The
//! task emits a page once the log has been read up to there. So a record of a row never follows one of
//! a later version of that row, and a row that is deleted does not come back.

use std::time::{Duration, Instant};

use connector_api::{
    Error, ErrorKind, OffsetValue, Reread, RereadProgress, RereadState, Result, SourcePartition,
    SourcePosition, StoredOffsets, TaskRequest, Value,
};

use super::position::{TableFront, reread_partition};
use super::table::CapturedTable;
use crate::ident::TableId;
use crate::source::config::SourceConfig;
use crate::source::plan::query::ReadPosition;
use crate::source::plan::reread::{RereadPlace, key_of_row};
use crate::source::plan::table::TablePlan;
use crate::source::task::reread as request;

/// How often reading a page is tried before reading again ends with an error: a table may be altered
/// at the moment it is read.
const TRIES: u32 = 3;

/// The same for an error that may be temporary.
const PATIENT_TRIES: u32 = 20;

/// The pause before another try.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What is read again of one table, or has been since the task was opened.
struct CapturedReread {
    /// Index of the table.
    table: usize,
    id: TableId,
    partition: SourcePartition,
    place: RereadPlace,
    state: RereadState,
    /// What the last batch stored.
    emitted: (RereadPlace, RereadState),
    /// Pages in a row that could not be read.
    failures: u32,
    /// When the next page may be read.
    due: Instant,
}

/// What is read again of the tables of a task, at most one range of each.
pub(super) struct CapturedRereads {
    all: Vec<CapturedReread>,
}

impl CapturedReread {
    fn new(table: usize, id: &TableId, place: RereadPlace, config: &SourceConfig) -> Self {
        Self {
            table,
            id: id.clone(),
            partition: reread_partition(&config.topic_prefix, id),
            emitted: (place.clone(), RereadState::Running),
            place,
            state: RereadState::Running,
            failures: 0,
            due: Instant::now(),
        }
    }

    fn is_running(&self) -> bool {
        self.state == RereadState::Running
    }

    /// Returns the position to store for what has been emitted.
    fn position(&self) -> SourcePosition {
        SourcePosition {
            partition: self.partition.clone(),
            offset: self.is_running().then(|| self.place.write()),
        }
    }

    /// What is stored is what it is now.
    fn store(&mut self) -> SourcePosition {
        self.emitted = (self.place.clone(), self.state.clone());
        self.position()
    }

    fn fail(&mut self, error: &Error) {
        let error = error.to_string();
        tracing::warn!(table = %self.id, error, "the table is not read again any more");
        self.state = RereadState::Failed(error);
    }
}

impl CapturedRereads {
    /// Continues where the last task stopped.
    pub(super) async fn resume<'a>(
        tables: impl Iterator<Item = &'a CapturedTable>,
        config: &SourceConfig,
        stored: &dyn StoredOffsets,
    ) -> Result<Self> {
        let ids: Vec<_> = tables.map(|table| &table.meta.id).collect();
        let partitions = ids
            .iter()
            .map(|id| reread_partition(&config.topic_prefix, id));
        let found = stored.read(&partitions.collect::<Vec<_>>()).await?;
        let mut all = Vec::new();
        for (index, (id, found)) in ids.into_iter().zip(found).enumerate() {
            let Some(found) = found else { continue };
            let place = RereadPlace::read(&found);
            let unreadable = place.as_ref().err().map(ToString::to_string);
            let mut reread = CapturedReread::new(index, id, place.unwrap_or_default(), config);
            if let Some(why) = unreadable {
                reread.state = RereadState::Failed(why);
            }
            all.push(reread);
        }
        Ok(Self { all })
    }

    /// Begins or ends what a user asks for. Returns the index of the table, and the position to store.
    /// Errors: `Config` if the request makes no sense; those of the database.
    pub(super) async fn request<'a>(
        &mut self,
        request: &TaskRequest,
        mut tables: impl Iterator<Item = &'a CapturedTable>,
        config: &SourceConfig,
    ) -> Result<(usize, SourcePosition)> {
        let (TaskRequest::Reread(Reread { table, .. }) | TaskRequest::CancelReread(table)) =
            request;
        let ids = tables.by_ref().map(|captured| captured.meta.id.clone());
        let Some((index, id)) = ids.enumerate().find(|(_, id)| id.to_string() == *table) else {
            return Err(Error::config(format!(
                "this task does not read table {table}"
            )));
        };
        let running = self
            .all
            .iter_mut()
            .find(|reread| reread.table == index && reread.is_running());
        match (request, running) {
            (TaskRequest::Reread(_), Some(_)) => Err(Error::config(format!(
                "table {table} cannot be read again: that is being done already: wait for its end, \
                 or cancel it first"
            ))),
            (TaskRequest::Reread(wanted), None) => {
                let place = request::check(wanted, &id, config).await?;
                let reread = CapturedReread::new(index, &id, place, config);
                let position = reread.position();
                self.all.retain(|other| other.table != index);
                self.all.push(reread);
                Ok((index, position))
            }
            (TaskRequest::CancelReread(_), Some(running)) => {
                running.state = RereadState::Cancelled;
                Ok((index, running.store()))
            }
            (TaskRequest::CancelReread(_), None) => Err(Error::config(format!(
                "table {table} is not being read again"
            ))),
        }
    }

    /// Returns the table of which a page is to be read now: one whose first read is complete, since
    /// changes of rows that it has not had yet are not emitted.
    pub(super) fn next<'a>(
        &self,
        is_read: impl Fn(usize) -> Option<&'a TableFront>,
    ) -> Option<usize> {
        let now = Instant::now();
        let next = self.all.iter().find(|reread| {
            reread.is_running()
                && reread.due <= now
                && is_read(reread.table) == Some(&TableFront::Done)
        });
        next.map(|reread| reread.table)
    }

    /// Returns where the next page of a table begins and ends. If the table cannot be read in the
    /// order of its key any more, reading it again ends with an error, and nothing is returned.
    pub(super) fn from(&mut self, index: usize, plan: &TablePlan) -> Option<ReadPosition> {
        let reread = self.running(index)?;
        let place = &reread.place;
        let is_key = place.after.is_empty() || place.after.len() == plan.order.len();
        let holds = |bound: &[OffsetValue]| bound.len() <= plan.order.len();
        if !plan.shape.paged || !is_key || !holds(&place.from) || !holds(&place.to) {
            let error = Error::config(format!(
                "table {} has no primary key any more, or another one: begin to read it again",
                reread.id
            ));
            reread.fail(&error);
            return None;
        }
        Some(ReadPosition {
            key: place.after(),
            bounds: place.bounds(),
            ..ReadPosition::default()
        })
    }

    /// Rows have been emitted, or need not be; `last`: the last of them. `ends`: no more follow.
    pub(super) fn advance(
        &mut self,
        index: usize,
        (last, count): (Option<&[Value]>, usize),
        plan: &TablePlan,
        ends: bool,
    ) {
        let Some(reread) = self.running(index) else {
            return;
        };
        if let Some(last) = last {
            reread.place.after = key_of_row(last, plan);
        }
        reread.place.rows = reread.place.rows.saturating_add(count as u64);
        reread.failures = 0;
        if ends {
            reread.state = RereadState::Done;
        } else {
            // the tables take turns
            self.all.sort_by_key(|reread| reread.table == index);
        }
    }

    /// A page could not be read: it is tried again, and after a few times reading again ends.
    pub(super) fn failed(&mut self, index: usize, error: &Error) {
        let Some(reread) = self.running(index) else {
            return;
        };
        reread.failures += 1;
        reread.due = Instant::now() + TRY_AGAIN;
        let tries = match error.kind() {
            ErrorKind::Retry => PATIENT_TRIES,
            _ => TRIES,
        };
        if reread.failures >= tries {
            reread.fail(error);
        }
    }

    /// The table is gone.
    pub(super) fn gone(&mut self, index: usize) {
        if let Some(reread) = self.running(index) {
            let error = Error::config(format!("table {} does not exist any more", reread.id));
            reread.fail(&error);
        }
    }

    fn running(&mut self, index: usize) -> Option<&mut CapturedReread> {
        self.all
            .iter_mut()
            .find(|reread| reread.table == index && reread.is_running())
    }

    /// True if something is to be stored.
    pub(super) fn is_changed(&self) -> bool {
        self.all.iter().any(is_changed)
    }

    /// Returns what is to be stored with the batch that is handed over.
    pub(super) fn store(&mut self) -> Vec<SourcePosition> {
        let changed = self.all.iter_mut().filter(|reread| is_changed(reread));
        changed.map(CapturedReread::store).collect()
    }

    /// Forgets what was read behind the last batch.
    pub(super) fn step_back(&mut self) {
        for reread in &mut self.all {
            (reread.place, reread.state) = reread.emitted.clone();
        }
    }

    /// Returns how far each has come.
    pub(super) fn report<'a>(
        &self,
        table: impl Fn(usize) -> Option<&'a CapturedTable>,
    ) -> Vec<RereadProgress> {
        let of = |reread: &CapturedReread| {
            let rows = table(reread.table).and_then(|table| table.meta.rows_estimated);
            let name = reread.id.to_string();
            reread.place.report(name, &reread.state, rows)
        };
        self.all.iter().map(of).collect()
    }
}

fn is_changed(reread: &CapturedReread) -> bool {
    let (place, state) = &reread.emitted;
    *place != reread.place || *state != reread.state
}

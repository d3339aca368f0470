//! What a turn sends to the task, and the channel it is sent on.

use std::sync::Arc;

use connector_api::{Result, Schema, SourcePosition, Value};
use tokio::sync::mpsc;

use crate::driver::ResultPage;
use crate::source::plan::table::TablePlan;
use crate::source::visibility::PageIds;
use crate::source::visibility::overtake::EmitFilter;

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    /// There is more to read at once.
    More,
    /// Everything available has been read.
    CaughtUp,
    /// Rows are held back because a transaction is still open.
    Waiting,
    /// The assigned range of ids has been read completely.
    Done,
}

/// What a turn got done, however it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TurnProgress {
    /// Rows (a sweep: keys) were read that need not be read again.
    pub advanced: bool,
    /// It failed at a row that cannot be read; a smaller page may get the rows before it.
    pub narrowed: bool,
}

/// A turn that has ended.
#[derive(Debug)]
pub(crate) struct TurnEnd {
    pub outcome: Result<ReadOutcome>,
    pub progress: TurnProgress,
}

impl TurnEnd {
    /// A turn that got nothing done.
    pub(crate) fn without_progress(outcome: Result<ReadOutcome>) -> Self {
        Self {
            outcome,
            progress: TurnProgress::default(),
        }
    }
}

/// A page of rows on its way from the reader to the task.
#[derive(Debug)]
pub(crate) struct RowPage {
    /// The rows and their timestamps.
    pub page: ResultPage,
    /// The plan the rows were read with.
    pub plan: Arc<TablePlan>,
    /// True if nothing follows for now.
    pub ends: bool,
    /// Which rows were emitted before, or are emitted early.
    pub filter: EmitFilter,
    /// Incrementing mode: how missing ids are to be counted.
    pub ids: Option<PageIds>,
    /// The table is done up to this id once the page has been emitted.
    pub through: Option<i64>,
}

/// Keys of rows that have been deleted (`deletes::sweep`).
#[derive(Debug)]
pub(crate) struct DeletedKeys {
    pub keys: Vec<Box<[Value]>>,
    /// Schema of the keys; `None` if there are none.
    pub schema: Option<Arc<Schema>>,
    /// Positions to store with the tombstones.
    pub positions: Vec<SourcePosition>,
}

/// What a reader sends.
#[derive(Debug)]
pub(crate) enum ReaderOutput {
    Rows(RowPage),
    Deleted(DeletedKeys),
}

/// Where a reader sends its output: the channel shared by all tables, with the index of its table.
pub(crate) struct PageSender<'a> {
    pub table: usize,
    pub sender: &'a mpsc::Sender<(usize, ReaderOutput)>,
}

impl PageSender<'_> {
    /// Sends rows, waiting for room. Returns `false` if the receiver has been dropped.
    pub(crate) async fn send(&self, page: RowPage) -> bool {
        self.sender
            .send((self.table, ReaderOutput::Rows(page)))
            .await
            .is_ok()
    }

    /// Sends deleted keys, waiting for room. Returns `false` if the receiver has been dropped.
    pub(crate) async fn send_deleted(&self, keys: DeletedKeys) -> bool {
        self.sender
            .send((self.table, ReaderOutput::Deleted(keys)))
            .await
            .is_ok()
    }
}

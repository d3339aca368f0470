//! What a turn sends to the task, and the channel it is sent on.

use std::sync::Arc;

use connector_api::{Schema, SourcePosition, Value};
use tokio::sync::mpsc;

use crate::driver::ResultPage;
use crate::source::plan::table::TablePlan;
use crate::source::visibility::overtake::EmitFilter;

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// There is more to read at once.
    More,
    /// Everything available has been read.
    CaughtUp,
    /// Rows are held back because a transaction is still open.
    Waiting,
    /// The assigned range of ids has been read completely.
    Done,
}

/// A page of rows on its way from the reader to the task.
#[derive(Debug)]
pub struct RowPage {
    /// The rows and their timestamps.
    pub page: ResultPage,
    /// The plan the rows were read with.
    pub plan: Arc<TablePlan>,
    /// True if nothing follows for now.
    pub ends: bool,
    /// Which rows were emitted before, or are emitted early.
    pub aside: EmitFilter,
    /// Incrementing mode: how missing ids are to be counted.
    pub ids: Option<PageIds>,
    /// The table is done up to this id once the page has been emitted.
    pub through: Option<i64>,
}

/// What is known about the ids of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageIds {
    /// True for rows whose ids were missing before; ids of other pages follow those of the page
    /// before.
    pub late: bool,
    /// No other row can appear up to this id.
    pub settled: i64,
    /// The usual distance between two ids.
    pub step: i64,
}

/// Keys of rows that have been deleted (`sweep`).
#[derive(Debug)]
pub struct DeletedKeys {
    pub keys: Vec<Box<[Value]>>,
    /// Schema of the keys; `None` if there are none.
    pub schema: Option<Arc<Schema>>,
    /// Positions to store with the tombstones.
    pub positions: Vec<SourcePosition>,
}

/// What a reader sends.
#[derive(Debug)]
pub enum ReaderOutput {
    Rows(RowPage),
    Gone(DeletedKeys),
}

/// Where a reader sends its output: the channel shared by all tables, with the index of its table.
pub struct PageSender<'a> {
    pub table: usize,
    pub sender: &'a mpsc::Sender<(usize, ReaderOutput)>,
}

impl PageSender<'_> {
    /// Sends rows, waiting for room. Returns `false` if the receiver has been dropped.
    pub async fn send(&self, chunk: RowPage) -> bool {
        self.sender
            .send((self.table, ReaderOutput::Rows(chunk)))
            .await
            .is_ok()
    }

    /// Sends deleted keys, waiting for room. Returns `false` if the receiver has been dropped.
    pub async fn gone(&self, gone: DeletedKeys) -> bool {
        self.sender
            .send((self.table, ReaderOutput::Gone(gone)))
            .await
            .is_ok()
    }
}

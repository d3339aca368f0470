//! What a turn brings to the task, and the way there.

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
    /// All that there is was read.
    CaughtUp,
    /// Rows of a transaction that is still open are in the way.
    Waiting,
    /// The range of ids that was to be read has been.
    Done,
}

/// Rows on their way from the reader to the task.
#[derive(Debug)]
pub struct RowPage {
    /// The rows and their stamps.
    pub page: ResultPage,
    /// The plan they were read by.
    pub plan: Arc<TablePlan>,
    /// There is nothing after them for now.
    pub ends: bool,
    /// Rows handed out before, or early.
    pub aside: EmitFilter,
    /// Incrementing mode: how missing ids are to be counted.
    pub ids: Option<PageIds>,
    /// After them everything up to this id is done.
    pub through: Option<i64>,
}

/// What is known of the ids of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageIds {
    /// They were missing before; the others follow those of the chunk before.
    pub late: bool,
    /// Up to here no other row comes any more.
    pub settled: i64,
    /// The usual distance of two ids.
    pub step: i64,
}

/// Rows that are not there any more (`sweep`).
#[derive(Debug)]
pub struct DeletedKeys {
    /// Their keys.
    pub keys: Vec<Box<[Value]>>,
    /// The schema of the keys; none where there is no key.
    pub schema: Option<Arc<Schema>>,
    /// What is to be stored once that is told.
    pub positions: Vec<SourcePosition>,
}

/// What a turn brings.
#[derive(Debug)]
pub enum ReaderOutput {
    /// Rows.
    Rows(RowPage),
    /// Rows that have gone.
    Gone(DeletedKeys),
}

/// Where a reader sends its rows: the channel that all tables share, and the table's number.
pub struct PageSender<'a> {
    /// The table's number.
    pub table: usize,
    /// The channel.
    pub sender: &'a mpsc::Sender<(usize, ReaderOutput)>,
}

impl PageSender<'_> {
    /// Sends rows, waiting for room. `false`: nobody wants them.
    pub async fn send(&self, chunk: RowPage) -> bool {
        self.sender
            .send((self.table, ReaderOutput::Rows(chunk)))
            .await
            .is_ok()
    }

    /// Sends what has gone, waiting for room. `false`: nobody wants it.
    pub async fn gone(&self, gone: DeletedKeys) -> bool {
        self.sender
            .send((self.table, ReaderOutput::Gone(gone)))
            .await
            .is_ok()
    }
}

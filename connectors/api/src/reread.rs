//! Rows of a table that a running source reads again, because a user asks for it.

use crate::OffsetValue;

/// A table, or a range of its keys, to be read again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reread {
    /// The table, as [`TableProgress`](crate::TableProgress) names it.
    pub table: String,
    /// The first key: values of all key columns, or of the first ones. Empty: from the beginning.
    pub from: Vec<OffsetValue>,
    /// The last key, which is read too. Empty: to the end.
    pub to: Vec<OffsetValue>,
}

/// How far a table has been read again.
#[derive(Clone, Debug, PartialEq)]
pub struct RereadProgress {
    /// What is read.
    pub wanted: Reread,
    /// Key of the last row handed on; empty before the first.
    pub reached: Vec<OffsetValue>,
    /// Rows handed on, also before the task was opened.
    pub rows: u64,
    /// The share that has been read, from 0 to 1, as estimated.
    pub share: Option<f64>,
    /// Whether it goes on.
    pub state: RereadState,
}

/// Whether reading again goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RereadState {
    /// It goes on.
    Running,
    /// All rows have been handed on.
    Done,
    /// A user has ended it.
    Cancelled,
    /// It has ended because of an error.
    Failed(String),
}

/// What a task does about a request of a user.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskRequest {
    /// Begin to read rows again.
    Reread(Reread),
    /// Stop reading this table again.
    CancelReread(String),
}

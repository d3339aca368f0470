//! What a turn brings to the task, and the way there.

use std::sync::Arc;

use connector_api::{Position, Schema, Value};
use tokio::sync::mpsc;

use super::Chunk;

/// Rows that are not there any more (`sweep`).
#[derive(Debug)]
pub struct Gone {
    /// Their keys.
    pub keys: Vec<Box<[Value]>>,
    /// The schema of the keys; none where there is no key.
    pub schema: Option<Arc<Schema>>,
    /// What is to be stored once that is told.
    pub positions: Vec<Position>,
}

/// What a turn brings.
#[derive(Debug)]
pub enum Sent {
    /// Rows.
    Rows(Chunk),
    /// Rows that have gone.
    Gone(Gone),
}

/// Where a reader sends its rows: the channel that all tables share, and the table's number.
pub struct Pages<'a> {
    /// The table's number.
    pub table: usize,
    /// The channel.
    pub sender: &'a mpsc::Sender<(usize, Sent)>,
}

impl Pages<'_> {
    /// Sends rows, waiting for room. `false`: nobody wants them.
    pub(super) async fn send(&self, chunk: Chunk) -> bool {
        self.sender.send((self.table, Sent::Rows(chunk))).await.is_ok()
    }

    /// Sends what has gone, waiting for room. `false`: nobody wants it.
    pub async fn gone(&self, gone: Gone) -> bool {
        self.sender.send((self.table, Sent::Gone(gone))).await.is_ok()
    }
}

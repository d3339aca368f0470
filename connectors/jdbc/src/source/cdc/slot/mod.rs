//! `mode=cdc` for PostgreSQL: reads the changes of tables from the server's write-ahead log, by a
//! replication slot.
//!
//! 1. `position` is where the log has been read to, as it is stored.
//! 2. `server` checks the server's settings, and makes the publication and the slot.
//! 3. `table::SlotTable` decodes the rows of one table.
//! 4. `start` is what a task does before it reads the slot, and after.
//!    `snapshot` reads rows that were there before, and rows that are read again.
//! 5. `opening` connects to the log, with a snapshot if rows are not read yet.
//! 6. `stream::SlotStream` follows the log from message to message.
//! 7. `task::SlotTask` is the task that the worker polls.

mod opening;
mod position;
mod server;
mod snapshot;
mod start;
mod stream;
mod table;
mod task;

pub(super) use position::{check as check_offset, owns as owns_offset};
pub(super) use server::problems as slot_problems;
pub(in crate::source) use task::SlotTask;

//! `mode=cdc`: reads the changes of tables from the server's log: MariaDB's binary log, or
//! PostgreSQL's write-ahead log (`slot`).
//!
//! 1. `position` is where the log has been read to, as it is stored.
//! 2. `ddl` recognises what a statement in the log does to tables.
//! 3. `definition` is the stored form of a table's columns: rows in the log are decoded with the
//!    columns that the table had then.
//! 4. `table::CapturedTable` turns the changed rows of one table into records.
//! 5. `traits` is what the catalogue does not tell of a table, `polled` what another mode has emitted
//!    of it.
//! 6. `server` checks the server's settings and opens snapshots whose position is known.
//! 7. `snapshot` reads rows that were there before, and rows that are read again.
//!    `reread` is which rows these are, and how far that has come; `touched` the rows that the log has
//!    changed meanwhile.
//! 8. `stream::LogReader` follows the log from event to event.
//!    `xa` are its prepared transactions, whose rows count once they are committed.
//! 9. `probe` says what is wrong before anything starts.
//! 10. `start` finds where a task begins, `task::CdcTask` is the task that the worker polls.

mod ddl;
mod definition;
mod polled;
mod position;
mod probe;
mod reread;
mod server;
mod slot;
mod snapshot;
mod start;
mod stream;
mod table;
mod task;
mod touched;
mod traits;
mod xa;

pub(super) use position::check as check_position;
pub(super) use position::owns as owns_position;
pub(super) use probe::probe;
pub(super) use slot::SlotTask;
pub(super) use task::CdcTask;

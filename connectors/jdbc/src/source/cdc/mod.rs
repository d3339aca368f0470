//! `mode=cdc`: reads the changes of tables from MariaDB's binary log.
//!
//! 1. `position` is where the log has been read to, as it is stored.
//! 2. `ddl` recognises what a statement in the log does to tables.
//! 3. `definition` is the stored form of a table's columns: rows in the log are decoded with the
//!    columns that the table had then.
//! 4. `table::CapturedTable` turns the changed rows of one table into records.
//! 5. `server` checks the server's settings and opens snapshots whose position is known.
//! 6. `snapshot` reads rows that were there before.
//! 7. `stream::LogReader` follows the log from event to event.
//! 8. `start` finds where a task begins, `task::CdcTask` is the task that the worker polls.

mod ddl;
mod definition;
mod position;
mod server;
mod snapshot;
mod start;
mod stream;
mod table;
mod task;

pub(super) use position::check as check_position;
pub(super) use position::owns as owns_position;
pub(super) use server::problems as server_problems;
pub(super) use task::CdcTask;

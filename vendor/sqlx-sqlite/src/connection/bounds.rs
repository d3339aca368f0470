//! Rowferry's addition: how much of a result is held at once. The channel of rows counts rows and not their bytes.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use libsqlite3_sys::{sqlite3_hard_heap_limit64, sqlite3_limit, SQLITE_BLOB, SQLITE_LIMIT_LENGTH, SQLITE_TEXT};
use sqlx_core::Either;

use crate::connection::ConnectionHandle;
use crate::error::Error;
use crate::statement::StatementHandle;
use crate::{SqliteQueryResult, SqliteRow};

/// A row of more bytes is taken before the next one is made.
const HEAVY: usize = 256 << 10;

/// Bytes that all of SQLite in this process may take once connections are bounded, unless longer values are allowed.
const MEMORY: i64 = 512 << 20;

/// How often a row is held at once, in SQLite and on its way out of it.
const COPIES: i64 = 8;

/// How often a worker looks whether such a row has been taken.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Bounds what all of SQLite in this process takes: a row's values exist before its bytes can be counted, and aggregates
/// grow beyond the length of a value before they look at it. The bound is never lowered, since it is everybody's.
pub(crate) fn limit_memory(max_length: i32) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _held = ONE_AT_A_TIME.lock();
    let wanted = MEMORY.max(COPIES * i64::from(max_length));
    // SAFETY: any number may be given; a negative one only asks
    unsafe {
        if sqlite3_hard_heap_limit64(-1) < wanted {
            sqlite3_hard_heap_limit64(wanted);
        }
    }
}

/// The bytes of the row that a statement stands at. Errors: `Protocol` if they are more than a value may have.
pub(crate) fn admit(db: &ConnectionHandle, statement: &StatementHandle) -> Result<usize, Error> {
    let mut weight = 0_usize;
    for index in 0..statement.column_count() {
        if matches!(statement.column_type(index), SQLITE_TEXT | SQLITE_BLOB) {
            weight += statement.column_size(index);
        }
    }
    if weight <= HEAVY {
        return Ok(weight);
    }
    // SAFETY: the handle is open; -1 only asks
    let max = unsafe { sqlite3_limit(db.as_ptr(), SQLITE_LIMIT_LENGTH, -1) };
    if usize::try_from(max).is_ok_and(|max| weight > max) {
        return Err(err_protocol!("size limit: a row has more than {max} bytes"));
    }
    Ok(weight)
}

/// How many bytes are about to be handed over.
pub(crate) fn weight(step: &Result<Either<SqliteQueryResult, SqliteRow>, Error>) -> usize {
    match step {
        Ok(Either::Right(row)) => row.weight,
        _ => 0,
    }
}

/// Waits until a heavy row has been taken, or nobody is there to take it.
pub(crate) fn wait_until_taken<T>(rows: &flume::Sender<T>, weight: usize) {
    while weight > HEAVY && !rows.is_empty() && !rows.is_disconnected() {
        thread::sleep(LOOK_EVERY);
    }
}

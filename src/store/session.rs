//! One connection to the store's database, which holds the lock that says that this worker alone uses the store. What the
//! worker writes goes through it and no other: whoever has lost the lock cannot write any more.
//!
//! Transactions are BEGIN and COMMIT as they stand here. sqlx counts nested ones, and SQLite ends a transaction by itself when
//! its disk is full: the count is wrong from then on, and a "commit" ends a savepoint of a transaction that stays open.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row, SqlSafeStr, SqlStr};
use tracing::warn;

use super::failure::{Failure, Trouble};
use super::files::{self, with_suffix};
use super::ledger::Ledger;
use super::place::{BUSY_TIMEOUT, Kind, Place};
use super::statement::{Cell, Column, LAST_CHANGE, Query, Statement, numbered};

/// A connection that holds the store's lock.
pub(super) struct Session {
    wire: Wire,
    /// The server's number of the connection.
    pub(super) backend: Option<i64>,
    /// See [`Place::shown`].
    shown: String,
}

enum Wire {
    Sqlite(SqliteConnection, Option<Files>),
    MySql(MySqlConnection),
    Postgres(PgConnection),
}

/// Runs the same lines with the connection of any of the three databases, whose types have no common trait to hold them.
macro_rules! on_wire {
    ($wire:expr, $connection:ident => $run:expr) => {
        match $wire {
            Wire::Sqlite($connection, _) => $run,
            Wire::MySql($connection) => $run,
            Wire::Postgres($connection) => $run,
        }
    };
}

macro_rules! bound {
    ($sql:expr, $args:expr) => {{
        let mut query = sqlx::query($sql);
        for arg in $args {
            query = match arg {
                Cell::Text(text) => query.bind(text.clone()),
                Cell::Int(n) => query.bind(*n),
            };
        }
        query
    }};
}

impl Session {
    /// Connects and takes the lock. `again` is the ledger of a worker that has had the store before, with the server's number
    /// of its last connection: a store that is gone is then not made anew, and that connection ends, should the server still
    /// think that it lives.
    pub(super) async fn open(place: &Place, again: Option<(&Ledger, Option<i64>)>) -> Result<Self, Failure> {
        let failed = |error: sqlx::Error| Failure::of(&error, &place.shown);
        let (wire, backend) = match &place.kind {
            Kind::Memory(options) => (Wire::Sqlite(options.connect().await.map_err(failed)?, None), None),
            Kind::File(options, path) => (open_file(place, options, path, again.is_none()).await?, None),
            Kind::MySql(options) => {
                let mut connection = options.connect().await.map_err(failed)?;
                let backend = sqlx::query_scalar::<_, i64>("SELECT CAST(CONNECTION_ID() AS SIGNED)");
                let backend = backend.fetch_one(&mut connection).await.map_err(failed)?;
                (Wire::MySql(connection), Some(backend))
            }
            Kind::Postgres(options) => {
                let mut connection = options.connect().await.map_err(failed)?;
                let backend = sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()");
                let backend = backend.fetch_one(&mut connection).await.map_err(failed)?;
                (Wire::Postgres(connection), Some(i64::from(backend)))
            }
        };
        let mut session = Self { wire, backend, shown: place.shown.clone() };
        session.lock(again).await?;
        session.promise_durability().await?;
        Ok(session)
    }

    fn failed(&self, error: &sqlx::Error) -> Failure {
        Failure::of(error, &self.shown)
    }

    async fn lock(&mut self, again: Option<(&Ledger, Option<i64>)>) -> Result<(), Failure> {
        // The lock of an SQLite file comes with its locking mode.
        if matches!(self.wire, Wire::Sqlite(..)) || self.try_lock().await? {
            return Ok(());
        }
        if let Some((ledger, Some(backend))) = again
            && let Some(id) = self.last_change().await?
            && ledger.is_ours(&id)
        {
            self.end_backend(backend).await?;
            if self.try_lock().await? {
                return Ok(());
            }
        }
        Err(Failure::told(Trouble::InUse, &self.shown, "it is locked"))
    }

    /// Waits a little for a worker that is just ending. Advisory locks of PostgreSQL belong to a database; the number is ours.
    async fn try_lock(&mut self) -> Result<bool, Failure> {
        let locked = match &mut self.wire {
            Wire::Sqlite(..) => Ok(true),
            Wire::MySql(connection) => {
                let lock = sqlx::query_scalar("SELECT GET_LOCK(CONCAT('rowferry.', MD5(DATABASE())), ?)");
                let locked: Result<Option<i64>, _> = lock.bind(BUSY_TIMEOUT.as_secs()).fetch_one(connection).await;
                locked.map(|locked| locked == Some(1))
            }
            Wire::Postgres(connection) => {
                let mut locked = Ok(false);
                for _ in 0..=BUSY_TIMEOUT.as_secs() * 4 {
                    let lock = sqlx::query_scalar("SELECT pg_try_advisory_lock(8247736527421)");
                    locked = lock.fetch_one(&mut *connection).await;
                    if !matches!(locked, Ok(false)) {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
                locked
            }
        };
        locked.map_err(|error| self.failed(&error))
    }

    /// Ends this worker's earlier connection where it still holds the lock, as after a network that has swallowed its end.
    async fn end_backend(&mut self, backend: i64) -> Result<(), Failure> {
        let ended = match &mut self.wire {
            Wire::Sqlite(..) => Ok(()),
            Wire::MySql(connection) => {
                let holder = sqlx::query_scalar::<_, Option<i64>>(
                    "SELECT CAST(IS_USED_LOCK(CONCAT('rowferry.', MD5(DATABASE()))) AS SIGNED)",
                );
                match holder.fetch_one(&mut *connection).await {
                    Ok(holder) if holder == Some(backend) => {
                        let kill = AssertSqlSafe(format!("KILL CONNECTION {backend}"));
                        connection.execute(sqlx::raw_sql(kill)).await.map(drop)
                    }
                    other => other.map(drop),
                }
            }
            Wire::Postgres(connection) => {
                let kill = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = $1";
                sqlx::query(kill).bind(i32::try_from(backend).unwrap_or(-1)).execute(connection).await.map(drop)
            }
        };
        ended.map_err(|error| self.failed(&error))
    }

    /// Has the server keep what it acknowledges, where a session may ask for that.
    async fn promise_durability(&mut self) -> Result<(), Failure> {
        let done = match &mut self.wire {
            Wire::Sqlite(..) => Ok(()),
            Wire::MySql(connection) => promise_mysql(connection, &self.shown).await,
            Wire::Postgres(connection) => {
                let set = "SELECT set_config('synchronous_commit', 'on', false) \
                           WHERE current_setting('synchronous_commit') = 'off'";
                connection.execute(sqlx::raw_sql(set)).await.map(drop)
            }
        };
        done.map_err(|error| self.failed(&error))
    }

    /// Brings the tables up to date.
    pub(super) async fn migrate(&mut self, place: &Place) -> Result<(), Failure> {
        if let Wire::MySql(connection) = &mut self.wire {
            forget_halves(connection).await.map_err(|error| Failure::of(&error, &place.shown))?;
        }
        let migrations = place.migrations();
        let migrated = on_wire!(&mut self.wire, connection => migrations.run(connection).await);
        migrated.map_err(|error| unmigrated(error, &place.shown))?;
        if let Wire::Sqlite(_, Some(_)) = &self.wire {
            self.examine().await?;
        }
        Ok(())
    }

    /// Has SQLite look whether its file is whole.
    async fn examine(&mut self) -> Result<(), Failure> {
        let Wire::Sqlite(connection, _) = &mut self.wire else { return Ok(()) };
        let found: Result<String, _> = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(connection).await;
        match found {
            Ok(found) if found == "ok" => Ok(()),
            Ok(found) => Err(Failure::told(Trouble::Damaged, &self.shown, &found)),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Begins a transaction that can write at once.
    pub(super) async fn begin(&mut self) -> Result<(), Failure> {
        if let Wire::Sqlite(_, Some(files)) = &mut self.wire
            && let Err(cause) = files.are_there()
        {
            return Err(Failure::told(Trouble::Broken, &self.shown, &cause));
        }
        let begin = if matches!(self.wire, Wire::Sqlite(..)) { "BEGIN IMMEDIATE" } else { "BEGIN" };
        self.command(begin).await
    }

    /// Ends a transaction. After an error its outcome is not known.
    pub(super) async fn commit(&mut self) -> Result<(), Failure> {
        self.command("COMMIT").await
    }

    /// Sends a statement that has no arguments.
    pub(super) async fn command(&mut self, sql: &'static str) -> Result<(), Failure> {
        let sent = on_wire!(&mut self.wire, connection => connection.execute(sqlx::raw_sql(sql)).await.map(drop));
        sent.map_err(|error| self.failed(&error))
    }

    /// Sends a statement; how many rows it has hit.
    pub(super) async fn execute(&mut self, statement: &Statement) -> Result<u64, Failure> {
        let sql = self.sql(statement.sql);
        let sent = on_wire!(&mut self.wire, connection => {
            bound!(sql, &statement.args).execute(connection).await.map(|done| done.rows_affected())
        });
        sent.map_err(|error| self.failed(&error))
    }

    /// The rows of a query.
    pub(super) async fn rows(&mut self, query: &Query, args: &[Cell]) -> Result<Vec<Vec<Cell>>, Failure> {
        let sql = self.sql(query.sql);
        let rows = on_wire!(&mut self.wire, connection => {
            bound!(sql, args).fetch_all(connection).await.and_then(|rows| {
                rows.iter().map(|row| {
                    query.columns.iter().enumerate().map(|(at, column)| match column {
                        Column::Text => row.try_get(at).map(Cell::Text),
                        Column::Int => row.try_get(at).map(Cell::Int),
                    }).collect()
                }).collect()
            })
        });
        rows.map_err(|error| self.failed(&error))
    }

    /// The id of the last change; `None` in a store that is no more.
    pub(super) async fn last_change(&mut self) -> Result<Option<String>, Failure> {
        let rows = self.rows(&LAST_CHANGE, &[]).await?;
        Ok(match rows.first().map(Vec::as_slice) {
            Some([Cell::Text(id)]) => id.clone(),
            _ => None,
        })
    }

    fn sql(&self, sql: &'static str) -> SqlStr {
        match self.wire {
            Wire::Postgres(_) => AssertSqlSafe(numbered(sql)).into_sql_str(),
            _ => sql.into_sql_str(),
        }
    }

    /// Ends the connection in order: then nothing of it is under way any more, and the lock is free.
    pub(super) async fn close(self) {
        drop(on_wire!(self.wire, connection => connection.close().await));
    }
}

/// The files of a store, to notice when somebody takes them away: what is written to a removed file is lost.
struct Files {
    path: std::path::PathBuf,
    store: (u64, u64),
    /// The write-ahead log is made with the first change.
    log: Option<(u64, u64)>,
}

impl Files {
    fn identity(path: &Path) -> Option<(u64, u64)> {
        std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
    }

    fn are_there(&mut self) -> Result<(), String> {
        let log = Self::identity(&with_suffix(&self.path, "-wal"));
        let there = Self::identity(&self.path) == Some(self.store) && (self.log.is_none() || self.log == log);
        self.log = self.log.or(log);
        if there {
            Ok(())
        } else {
            Err(format!("{0} or {0}-wal was removed or replaced while in use", self.path.display()))
        }
    }
}

async fn open_file(place: &Place, options: &SqliteConnectOptions, path: &Path, new: bool) -> Result<Wire, Failure> {
    if new {
        files::private_store(path)?;
    }
    let connection = options.clone().create_if_missing(new).connect().await;
    let connection = connection.map_err(|error| Failure::of(&error, &place.shown))?;
    let gone = || Failure::told(Trouble::Broken, &place.shown, "the file was removed");
    let store = Files::identity(path).ok_or_else(gone)?;
    Ok(Wire::Sqlite(connection, Some(Files { path: path.to_owned(), store, log: None })))
}

/// A server that is idle for 8 hours would be hung up on; the longest limit is a year. What a commit is worth is set for the
/// whole server alone.
async fn promise_mysql(connection: &mut MySqlConnection, shown: &str) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::raw_sql("SET SESSION wait_timeout = 31536000")).await?;
    let flush: i64 =
        sqlx::query_scalar("SELECT CAST(@@innodb_flush_log_at_trx_commit AS SIGNED)").fetch_one(connection).await?;
    if flush != 1 {
        warn!(
            "the server of the metadata store ({shown}) has innodb_flush_log_at_trx_commit={flush}: a power loss there can \
             take back what was acknowledged; set it to 1"
        );
    }
    Ok(())
}

/// A first migration that was cut off (MySQL commits each CREATE TABLE by itself) has made tables that nothing was ever
/// written to; later ones can be run again. sqlx would refuse both.
async fn forget_halves(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    let begun = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '_sqlx_migrations'";
    if sqlx::query_scalar::<_, i64>(begun).fetch_one(&mut *connection).await? == 0 {
        return Ok(());
    }
    let half = "SELECT MIN(version) FROM _sqlx_migrations WHERE success = FALSE";
    let Some(half) = sqlx::query_scalar::<_, Option<i64>>(half).fetch_one(&mut *connection).await? else {
        return Ok(());
    };
    warn!(version = half, "a migration of the metadata store was cut off; it is run again");
    if half == 1 {
        connection
            .execute(sqlx::raw_sql("DROP TABLE IF EXISTS connectors, config_history, tasks, statuses, topics"))
            .await?;
    }
    connection.execute(sqlx::raw_sql("DELETE FROM _sqlx_migrations WHERE success = FALSE")).await.map(drop)
}

fn unmigrated(error: sqlx::migrate::MigrateError, shown: &str) -> Failure {
    use sqlx::migrate::MigrateError;
    match error {
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => Failure::of(&cause, shown),
        MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => Failure::new(
            Trouble::Refused,
            "the metadata store was made by a newer rowferry: use that version, or another store",
        ),
        other => {
            let cause = format!("its tables cannot be brought up to date: {other}");
            Failure::told(Trouble::Broken, shown, &cause)
        }
    }
}

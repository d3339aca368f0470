//! One connection to the store's database. It holds the lock that reserves the store for this
//! worker, and everything the worker writes goes through it: a worker that has lost the lock cannot
//! write any more.
//!
//! BEGIN and COMMIT are sent as plain statements. sqlx counts nested transactions, but SQLite ends
//! a transaction on its own when its disk is full: from then on the count is wrong, and a "commit"
//! would end a savepoint of a transaction that stays open.

mod lock;
mod migrate;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row, SqlSafeStr, SqlStr};
use tracing::warn;

use super::failure::{StoreFailure, StoreTrouble};
use super::files::{self, with_suffix};
use super::last_change::LastChange;
use super::location::{StoreKind, StoreLocation};
use super::statement::{CellType, LAST_CHANGE, NOW_MS, SqlCell, SqlQuery, SqlStatement, numbered};

/// Who may use the store besides this worker.
#[derive(Clone, Copy)]
pub(super) enum Reservation<'a> {
    /// Nobody. A worker that has had the store before passes its ledger and the server's id of its
    /// last connection.
    Own(Option<(&'a LastChange, Option<i64>)>),
    /// Other workers that share it, too. True if this worker has had the store before.
    Shared(bool),
}

impl Reservation<'_> {
    /// True if this worker opens the store for the first time.
    fn is_first(&self) -> bool {
        matches!(self, Self::Own(None) | Self::Shared(false))
    }
}

/// A connection that holds the store's lock.
pub(super) struct StoreSession {
    wire: StoreConnection,
    /// The server's id of the connection.
    pub(super) backend: Option<i64>,
    /// See [`StoreLocation::shown`].
    shown: String,
}

enum StoreConnection {
    Sqlite(SqliteConnection, Option<StoreFiles>),
    MySql(MySqlConnection),
    Postgres(PgConnection),
}

/// Runs the same code with a connection of any of the three databases, whose types have no common
/// trait for it.
macro_rules! on_wire {
    ($wire:expr, $connection:ident => $run:expr) => {
        match $wire {
            StoreConnection::Sqlite($connection, _) => $run,
            StoreConnection::MySql($connection) => $run,
            StoreConnection::Postgres($connection) => $run,
        }
    };
}

macro_rules! bound {
    ($sql:expr, $args:expr) => {{
        let mut query = sqlx::query($sql);
        for arg in $args {
            query = match arg {
                SqlCell::Text(text) => query.bind(text.clone()),
                SqlCell::Int(n) => query.bind(*n),
            };
        }
        query
    }};
}

impl StoreSession {
    /// Connects and reserves the store. A store that has disappeared is not created again by a
    /// worker that has had it before, and that worker's old connection is ended if the server still
    /// considers it alive.
    pub(super) async fn open(
        place: &StoreLocation,
        reservation: Reservation<'_>,
    ) -> Result<Self, StoreFailure> {
        let failed = |error: sqlx::Error| StoreFailure::of(&error, &place.shown);
        let (wire, backend) = match &place.kind {
            StoreKind::Memory(options) => (
                StoreConnection::Sqlite(options.connect().await.map_err(failed)?, None),
                None,
            ),
            StoreKind::File(options, path) => (
                open_file(place, options, path, reservation.is_first()).await?,
                None,
            ),
            StoreKind::MySql(options) => {
                let mut connection = options.connect().await.map_err(failed)?;
                let backend =
                    sqlx::query_scalar::<_, i64>("SELECT CAST(CONNECTION_ID() AS SIGNED)");
                let backend = backend.fetch_one(&mut connection).await.map_err(failed)?;
                (StoreConnection::MySql(connection), Some(backend))
            }
            StoreKind::Postgres(options) => {
                let mut connection = options.connect().await.map_err(failed)?;
                let backend = sqlx::query_scalar::<_, i32>("SELECT pg_catalog.pg_backend_pid()");
                let backend = backend.fetch_one(&mut connection).await.map_err(failed)?;
                (
                    StoreConnection::Postgres(connection),
                    Some(i64::from(backend)),
                )
            }
        };
        let mut session = Self {
            wire,
            backend,
            shown: place.shown.clone(),
        };
        match reservation {
            Reservation::Own(again) => session.lock(again).await?,
            Reservation::Shared(_) => session.share().await?,
        }
        session.promise_durability().await?;
        if matches!(reservation, Reservation::Shared(_)) {
            session.end_when_idle().await?;
        }
        Ok(session)
    }

    fn failed(&self, error: &sqlx::Error) -> StoreFailure {
        StoreFailure::of(error, &self.shown)
    }

    /// Asks the server to make acknowledged commits durable, as far as a session can set that.
    async fn promise_durability(&mut self) -> Result<(), StoreFailure> {
        let done = match &mut self.wire {
            StoreConnection::Sqlite(..) => Ok(()),
            StoreConnection::MySql(connection) => promise_mysql(connection, &self.shown).await,
            StoreConnection::Postgres(connection) => {
                let set = "SELECT pg_catalog.set_config('synchronous_commit', 'on', false) \
                           WHERE pg_catalog.current_setting('synchronous_commit') = 'off'";
                connection.execute(sqlx::raw_sql(set)).await.map(drop)
            }
        };
        done.map_err(|error| self.failed(&error))
    }

    /// Begins a transaction that can write at once.
    pub(super) async fn begin(&mut self) -> Result<(), StoreFailure> {
        if let StoreConnection::Sqlite(_, Some(files)) = &mut self.wire
            && let Err(cause) = files.are_there()
        {
            return Err(StoreFailure::from_cause(
                StoreTrouble::Broken,
                &self.shown,
                &cause,
            ));
        }
        let begin = if matches!(self.wire, StoreConnection::Sqlite(..)) {
            "BEGIN IMMEDIATE"
        } else {
            "BEGIN"
        };
        self.command(begin).await
    }

    /// Begins a transaction that reads the store as it is at one moment, on a database server.
    pub(super) async fn begin_reading(&mut self) -> Result<(), StoreFailure> {
        match self.wire {
            StoreConnection::Postgres(_) => {
                self.command("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    .await
            }
            StoreConnection::MySql(_) => {
                self.command("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    .await?;
                self.command("START TRANSACTION WITH CONSISTENT SNAPSHOT")
                    .await
            }
            StoreConnection::Sqlite(..) => self.command("BEGIN").await,
        }
    }

    /// Commits. After an error the outcome is unknown.
    pub(super) async fn commit(&mut self) -> Result<(), StoreFailure> {
        self.command("COMMIT").await
    }

    /// Sends a statement without arguments.
    pub(super) async fn command(&mut self, sql: &'static str) -> Result<(), StoreFailure> {
        let sent = on_wire!(&mut self.wire, connection => connection.execute(sqlx::raw_sql(sql)).await.map(drop));
        sent.map_err(|error| self.failed(&error))
    }

    /// Executes a statement and returns the number of affected rows.
    pub(super) async fn execute(&mut self, statement: &SqlStatement) -> Result<u64, StoreFailure> {
        let sql = self.sql(statement.sql);
        let sent = on_wire!(&mut self.wire, connection => {
            bound!(sql, &statement.args).execute(connection).await.map(|done| done.rows_affected())
        });
        sent.map_err(|error| self.failed(&error))
    }

    /// Returns the rows of a query.
    pub(super) async fn rows(
        &mut self,
        query: &SqlQuery,
        args: &[SqlCell],
    ) -> Result<Vec<Vec<SqlCell>>, StoreFailure> {
        let sql = self.sql(query.sql);
        let rows = on_wire!(&mut self.wire, connection => {
            bound!(sql, args).fetch_all(connection).await.and_then(|rows| {
                rows.iter().map(|row| {
                    query.columns.iter().enumerate().map(|(at, column)| match column {
                        CellType::Text => row.try_get(at).map(SqlCell::Text),
                        CellType::Int => row.try_get(at).map(SqlCell::Int),
                    }).collect()
                }).collect()
            })
        });
        rows.map_err(|error| self.failed(&error))
    }

    /// Returns the id of the last change, or `None` if the store no longer exists.
    pub(super) async fn last_change(&mut self) -> Result<Option<String>, StoreFailure> {
        let rows = self.rows(&LAST_CHANGE, &[]).await?;
        Ok(match rows.first().map(Vec::as_slice) {
            Some([SqlCell::Text(id)]) => id.clone(),
            _ => None,
        })
    }

    fn sql(&self, sql: &'static str) -> SqlStr {
        let now = match self.wire {
            StoreConnection::Postgres(_) => {
                let now = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";
                return AssertSqlSafe(numbered(sql).replace(NOW_MS, now)).into_sql_str();
            }
            _ if !sql.contains(NOW_MS) => return sql.into_sql_str(),
            StoreConnection::MySql(_) => "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
            StoreConnection::Sqlite(..) => {
                "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
            }
        };
        AssertSqlSafe(sql.replace(NOW_MS, now)).into_sql_str()
    }

    /// Closes the connection in order: afterwards nothing of it is in progress, and the lock is
    /// free.
    pub(super) async fn close(self) {
        drop(on_wire!(self.wire, connection => connection.close().await));
    }
}

/// Identifies the files of a store, to detect that they were removed: writes to a removed file are
/// lost.
struct StoreFiles {
    path: std::path::PathBuf,
    store: (u64, u64),
    /// The write-ahead log, which is created by the first change.
    log: Option<(u64, u64)>,
}

impl StoreFiles {
    fn identity(path: &Path) -> Option<(u64, u64)> {
        std::fs::metadata(path)
            .ok()
            .map(|found| (found.dev(), found.ino()))
    }

    fn are_there(&mut self) -> Result<(), String> {
        let log = Self::identity(&with_suffix(&self.path, "-wal"));
        let there = Self::identity(&self.path) == Some(self.store)
            && (self.log.is_none() || self.log == log);
        self.log = self.log.or(log);
        if there {
            Ok(())
        } else {
            Err(format!(
                "{0} or {0}-wal was removed or replaced while in use",
                self.path.display()
            ))
        }
    }
}

async fn open_file(
    place: &StoreLocation,
    options: &SqliteConnectOptions,
    path: &Path,
    new: bool,
) -> Result<StoreConnection, StoreFailure> {
    let gone = || {
        let cause = "the file and its content were removed while the worker used it; restore it, or \
             restart the worker";
        StoreFailure::from_cause(StoreTrouble::Broken, &place.shown, cause)
    };
    if new {
        files::private_store(path)?;
    } else if !path.exists() {
        return Err(gone());
    }
    let connection = options.clone().create_if_missing(new).connect().await;
    let connection = connection.map_err(|error| StoreFailure::of(&error, &place.shown))?;
    let store = StoreFiles::identity(path).ok_or_else(gone)?;
    Ok(StoreConnection::Sqlite(
        connection,
        Some(StoreFiles {
            path: path.to_owned(),
            store,
            log: None,
        }),
    ))
}

/// Raises the idle time-out, after 8 hours of which the server would close the connection, to the
/// maximum of one year. The durability of commits can only be set for the whole server.
async fn promise_mysql(connection: &mut MySqlConnection, shown: &str) -> Result<(), sqlx::Error> {
    connection
        .execute(sqlx::raw_sql("SET SESSION wait_timeout = 31536000"))
        .await?;
    let flush =
        sqlx::query_scalar::<_, i64>("SELECT CAST(@@innodb_flush_log_at_trx_commit AS SIGNED)");
    let flush = match flush.fetch_one(connection).await {
        // A server that speaks MySQL's protocol but lacks these variables.
        Err(sqlx::Error::Database(_)) => return Ok(()),
        flush => flush?,
    };
    if flush != 1 {
        warn!(
            "the server of the metadata store ({shown}) has \
             innodb_flush_log_at_trx_commit={flush}: a power loss there can undo acknowledged \
             changes; set it to 1"
        );
    }
    Ok(())
}

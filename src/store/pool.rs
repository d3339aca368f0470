//! The I/O of the store: one pool of the database that the URL names, and the migrations. The only importer of sqlx here.

use std::borrow::Cow;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connector_api::{Error, Kind, Result, fail_point};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, MySqlConnection, PgConnection, Row, SqlSafeStr};

use super::statement::{Cell, Column, Query, Statement, numbered};

/// How long an SQLite file may be locked by a worker that is just ending.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);

/// Connections to a database server: the herder is one loop, history is read beside it.
const CONNECTIONS: u32 = 2;

/// How long to wait for one of them.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    /// The lock says that this worker alone uses the store; it ends with its connection.
    MySql(MySqlPool, Arc<Mutex<Option<MySqlConnection>>>),
    /// The same.
    Postgres(PgPool, Arc<Mutex<Option<PgConnection>>>),
}

/// Runs a transaction of statements; a macro, since sqlx's three databases share no object-safe type.
macro_rules! execute {
    ($pool:expr, $statements:expr, $sql:expr) => {{
        let mut transaction = $pool.begin().await.map_err(failed)?;
        for statement in $statements {
            let mut query = sqlx::query($sql(statement.sql));
            for arg in statement.args {
                query = match arg {
                    Cell::Text(text) => query.bind(text),
                    Cell::Int(n) => query.bind(n),
                };
            }
            fail_point::reach_async("store.before-statement").await?;
            query.execute(&mut *transaction).await.map_err(failed)?;
            fail_point::reach_async("store.after-statement").await?;
        }
        fail_point::reach_async("store.before-commit").await?;
        transaction.commit().await.map_err(failed)?;
        fail_point::reach_async("store.after-commit").await
    }};
}

/// Runs a query and gives its rows as cells.
macro_rules! rows {
    ($pool:expr, $query:expr, $args:expr, $sql:expr) => {{
        let mut query = sqlx::query($sql($query.sql));
        for arg in $args {
            query = match arg {
                Cell::Text(text) => query.bind(text),
                Cell::Int(n) => query.bind(n),
            };
        }
        fail_point::reach_async("store.query").await?;
        let mut rows = Vec::new();
        for row in query.fetch_all($pool).await.map_err(failed)? {
            let mut cells = Vec::with_capacity($query.columns.len());
            for (at, column) in $query.columns.iter().enumerate() {
                cells.push(match column {
                    Column::Text => Cell::Text(row.try_get(at).map_err(failed)?),
                    Column::Int => Cell::Int(row.try_get(at).map_err(failed)?),
                });
            }
            rows.push(cells);
        }
        Ok(rows)
    }};
}

impl Pool {
    pub(super) async fn open(url: &str) -> Result<Self> {
        let (scheme, _) = url.split_once(':').unwrap_or_default();
        match scheme {
            "sqlite" => Self::open_sqlite(url).await,
            "mysql" | "mariadb" => {
                let options = MySqlConnectOptions::from_str(url).map_err(bad_url)?;
                let lock = lock_mysql(&options).await?;
                let pool = MySqlPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(ACQUIRE_TIMEOUT);
                let pool = pool.connect_with(options).await.map_err(failed)?;
                migrator(&[include_str!("../../migrations/mysql/0001_connectors.sql")])
                    .run(&pool)
                    .await
                    .map_err(unmigrated)?;
                Ok(Self::MySql(pool, Arc::new(Mutex::new(Some(lock)))))
            }
            "postgres" | "postgresql" => {
                let options = PgConnectOptions::from_str(url).map_err(bad_url)?;
                let lock = lock_postgres(&options).await?;
                let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(ACQUIRE_TIMEOUT);
                let pool = pool.connect_with(options).await.map_err(failed)?;
                migrator(&[include_str!("../../migrations/postgres/0001_connectors.sql")])
                    .run(&pool)
                    .await
                    .map_err(unmigrated)?;
                Ok(Self::Postgres(pool, Arc::new(Mutex::new(Some(lock)))))
            }
            _ => Err(bad_url("it names no known database")),
        }
    }

    /// WAL, so that a write is one append; `synchronous=FULL`, so that an acknowledged config survives a power loss (WAL
    /// with NORMAL may lose the last commits); exclusive locking, so that no second worker runs the same connectors.
    async fn open_sqlite(url: &str) -> Result<Self> {
        let options = SqliteConnectOptions::from_str(url).map_err(bad_url)?;
        let in_memory = url.contains(":memory:");
        if !in_memory && let Some(dir) = options.get_filename().parent() {
            make_private(dir)?;
        }
        let options = options
            .create_if_missing(true)
            .busy_timeout(BUSY_TIMEOUT)
            .locking_mode(if in_memory { SqliteLockingMode::Normal } else { SqliteLockingMode::Exclusive })
            .journal_mode(if in_memory { SqliteJournalMode::Memory } else { SqliteJournalMode::Wal })
            .synchronous(SqliteSynchronous::Full);
        // One connection: a database in memory belongs to its connection, an exclusive lock likewise.
        let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.connect_with(options).await.map_err(failed)?;
        migrator(&[include_str!("../../migrations/sqlite/0001_connectors.sql")])
            .run(&pool)
            .await
            .map_err(unmigrated)?;
        Ok(Self::Sqlite(pool))
    }

    pub(super) async fn execute(&self, statements: Vec<Statement>) -> Result<()> {
        match self {
            Self::Sqlite(pool) => execute!(pool, statements, SqlSafeStr::into_sql_str),
            Self::MySql(pool, _) => execute!(pool, statements, SqlSafeStr::into_sql_str),
            Self::Postgres(pool, _) => execute!(pool, statements, |sql| AssertSqlSafe(numbered(sql))),
        }
    }

    pub(super) async fn rows(&self, query: &'static Query, args: Vec<Cell>) -> Result<Vec<Vec<Cell>>> {
        match self {
            Self::Sqlite(pool) => rows!(pool, query, args, SqlSafeStr::into_sql_str),
            Self::MySql(pool, _) => rows!(pool, query, args, SqlSafeStr::into_sql_str),
            Self::Postgres(pool, _) => rows!(pool, query, args, |sql| AssertSqlSafe(numbered(sql))),
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::MySql(pool, lock) => {
                pool.close().await;
                unlock(lock).await;
            }
            Self::Postgres(pool, lock) => {
                pool.close().await;
                unlock(lock).await;
            }
        }
    }
}

/// Ends the connection that holds the lock. If that fails, the server notices by itself when the process has ended.
async fn unlock<C: Connection>(lock: &Mutex<Option<C>>) {
    let connection = lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(connection) = connection {
        drop(connection.close().await);
    }
}

/// Takes the lock of this store, waiting a little for a worker that is just ending. A connection of its own also says
/// at once why the database cannot be reached, where a pool would try on and on.
async fn lock_mysql(options: &MySqlConnectOptions) -> Result<MySqlConnection> {
    let mut connection = options.connect().await.map_err(failed)?;
    // The server would close a connection that is idle for 8 hours; this is its longest limit, a year.
    sqlx::query("SET SESSION wait_timeout = 31536000").execute(&mut connection).await.map_err(failed)?;
    let locked: Option<i64> = sqlx::query_scalar("SELECT GET_LOCK(CONCAT('rowferry.', MD5(DATABASE())), ?)")
        .bind(BUSY_TIMEOUT.as_secs())
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    if locked == Some(1) { Ok(connection) } else { Err(in_use()) }
}

/// The same. Advisory locks of PostgreSQL belong to a database; the number is ours.
async fn lock_postgres(options: &PgConnectOptions) -> Result<PgConnection> {
    let mut connection = options.connect().await.map_err(failed)?;
    for _ in 0..=BUSY_TIMEOUT.as_secs() * 4 {
        let query = sqlx::query_scalar("SELECT pg_try_advisory_lock(8247736527421)");
        if query.fetch_one(&mut connection).await.map_err(failed)? {
            return Ok(connection);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Err(in_use())
}

fn in_use() -> Error {
    Error::retry(
        "the metadata store is in use by another worker: end it, or give this one a store of its own (--data-dir)",
    )
}

/// The scripts in their order; the first has number 1.
fn migrator(scripts: &[&'static str]) -> Migrator {
    let migration = |(version, script): (i64, &&'static str)| {
        let description = Cow::Borrowed("rowferry metadata");
        Migration::new(version, description, MigrationType::Simple, (*script).into_sql_str(), false)
    };
    Migrator::with_migrations((1..).zip(scripts).map(migration).collect())
}

/// Makes the data folder, readable by its owner alone: configs hold passwords.
fn make_private(dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if dir.as_os_str().is_empty() || dir.exists() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| {
        Error::config(format!(
            "cannot make the data folder {}: {e}; set rowferry.data.dir or --data-dir",
            dir.display()
        ))
    })
}

fn bad_url(why: impl std::fmt::Display) -> Error {
    Error::config(format!(
        "rowferry.store.url cannot be used: {why}; write sqlite:PATH, mysql://USER:PASSWORD@HOST/DATABASE or \
         postgres://USER:PASSWORD@HOST/DATABASE"
    ))
}

fn unmigrated(error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => failed(cause),
        MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => {
            Error::config("the metadata store was made by a newer rowferry: use that version, or another store")
        }
        other => Error::fatal(format!("the tables of the metadata store cannot be brought up to date: {other}")),
    }
}

/// Names what the database said; its texts about our own fixed statements hold no values of the user's.
fn failed(error: sqlx::Error) -> Error {
    if let sqlx::Error::Database(cause) = &error {
        let locked = matches!(cause.code().as_deref(), Some("5" | "261" | "517"));
        if locked {
            return in_use();
        }
    }
    let kind = match &error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            Kind::Retry
        }
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => Kind::Config,
        sqlx::Error::Database(cause) => match cause.code().as_deref() {
            Some("28000" | "28P01") => Kind::Denied,
            // SQLite's CANTOPEN, PostgreSQL's and MySQL's unknown database.
            Some("14" | "3D000" | "42000") => Kind::Config,
            Some("40001" | "40P01" | "57P01" | "57P03" | "53300") => Kind::Retry,
            _ => Kind::Fatal,
        },
        _ => Kind::Fatal,
    };
    Error::new(kind, format!("the metadata store of rowferry.store.url fails: {error}"))
}

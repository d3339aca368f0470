//! The I/O of the JDBC connectors: one [`Session`] is one connection. The only importer of sqlx in
//! this crate.
//!
//! It sends statements and moves values; what to send is decided elsewhere.

mod backend;
mod binlog;
mod certificates;
mod failure;
mod mysql;
mod mysql_catalog;
mod mysql_describe;
mod origin;
mod panic_safe;
mod postgres;
mod postgres_catalog;
mod replication;
mod retry;
mod rows;
mod session;
mod shared;
mod sqlite;
mod sqlite_catalog;
mod watchdog;

use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector_api::{Error, Result, Value};
use tokio::sync::mpsc;

use self::panic_safe::PanicSafeSession;
pub(crate) use binlog::{BinlogStart, BinlogStream};
pub(crate) use failure::{of_definition, sqlstate};
pub(crate) use replication::{ReplicationStream, export_snapshot, parse_position, position_text};
pub(crate) use watchdog::{ConnectionId, wait_before_retry};

use crate::catalog::{ColumnMeta, TableFilter, TableMeta, TableName};
use crate::dialect::Dialect;
use crate::dialect::read::ReadColumn;
use crate::ident::TableId;
use crate::url::{ConnectionTarget, DatabaseKind};

pub(crate) use shared::SharedConnection;

/// A bound parameter, borrowed from the owner of the value.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlParam<'a> {
    Null,
    Bool(bool),
    I64(i64),
    U64(u64),
    F32(f32),
    F64(f64),
    /// Text; also decimals and date-times in SQL's own notation.
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
}

impl<'a> SqlParam<'a> {
    /// Returns a text, or NULL.
    pub fn text(value: Option<&'a str>) -> Self {
        value.map_or(Self::Null, |text| Self::Text(text.into()))
    }
}

/// The purpose of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessMode {
    /// The database must exist.
    #[default]
    Existing,
    /// A missing SQLite file is created.
    Create,
}

/// Most bytes of one message of a server, unless `max.row.bytes` is set.
pub(crate) const MAX_MESSAGE: usize = 64 << 20;

/// Attempts and timeouts of connecting, and the purpose of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// `connection.attempts`.
    pub attempts: u32,
    /// `connection.backoff.ms`.
    pub backoff: Duration,
    /// Timeout of one attempt.
    pub timeout: Duration,
    pub access: AccessMode,
    /// Most bytes of one message of a server: a row, the columns of a result, an error.
    pub max_message: usize,
}

impl Default for ConnectOptions {
    /// Returns Confluent's defaults: three attempts, ten seconds apart, with a timeout of 40
    /// seconds each.
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff: Duration::from_secs(10),
            timeout: Duration::from_secs(40),
            access: AccessMode::Existing,
            max_message: MAX_MESSAGE,
        }
    }
}

/// How the columns of a result are decoded into rows of values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowLayout {
    /// One entry per column of the result.
    pub columns: Vec<ReadColumn>,
    /// Date-time columns; the first that is not NULL gives a row's timestamp. Empty: no timestamps.
    pub timestamps: Vec<usize>,
    /// The statement's text does not name its columns (`SELECT *`), so positions are resolved by
    /// the names in the result.
    pub by_position: bool,
}

/// Rows of a result.
#[derive(Debug, Default, PartialEq)]
pub struct ResultPage {
    /// The rows, one value per column.
    pub rows: Vec<Box<[Value]>>,
    /// Each row's timestamp in microseconds on the server's calendar, if the layout asks for it.
    pub timestamps: Vec<i64>,
    /// Bytes of the values as received, plus an overhead for each row.
    pub weight: usize,
    /// True if the result has more rows, which were dropped because of the weight.
    pub cut: bool,
}

/// Rows in PostgreSQL's text format for a COPY, made while the server reads those before them.
pub trait CopyRows: Send {
    /// Returns the next rows; `None` after the last one. Rows that cannot be made end the COPY like
    /// the last one, and the caller rolls back.
    fn next_part(&mut self) -> Option<&str>;
}

/// One connection. Its time zone is UTC and its character set UTF-8 (utf8mb4).
///
/// If an error of kind `Retry` has lost the connection, [`Session::is_lost`] is true: connect
/// again.
#[async_trait]
pub trait Session: Send {
    /// The SQL dialect of the server.
    fn dialect(&self) -> &'static dyn Dialect;

    /// The server's name and version, such as `10.11.6-MariaDB`.
    fn server_version(&self) -> &str;

    /// Sends one statement without parameters as text (DDL, `SET`). Returns the number of rows
    /// affected.
    async fn run(&mut self, sql: &str) -> Result<u64>;

    /// Executes a prepared statement. Statements are cached, so each text is prepared once. Returns
    /// the number of rows affected as the server counts them.
    async fn execute(&mut self, sql: &Arc<str>, params: &[SqlParam<'_>]) -> Result<u64>;

    /// True if [`Session::execute_rows`] does more than return `None`.
    fn executes_rows(&self) -> bool;

    /// Executes a prepared statement for many rows of `width` parameters each: the statement once per
    /// row, in order, in one round trip. Returns the number of rows affected in all; `None` if that
    /// cannot be done and nothing was executed: the database has no such command, or two values of
    /// one parameter have different types.
    async fn execute_rows(
        &mut self,
        sql: &Arc<str>,
        width: usize,
        params: &[SqlParam<'_>],
    ) -> Result<Option<u64>>;

    /// Sends rows for a `COPY … FROM STDIN`. Returns their number.
    async fn copy(&mut self, sql: &str, rows: &mut dyn CopyRows) -> Result<u64>;

    /// Returns a small result (catalog, clock, counts): integers as `I64`, floats as `F64`, bytes
    /// as `Bytes`, everything else as `Text` in SQL's notation. Integers above `i64` are `Text`.
    async fn query(&mut self, sql: &str, params: &[SqlParam<'_>]) -> Result<Vec<Vec<Value>>>;

    /// Like [`Session::query`], for a statement that will not be repeated: it is not cached.
    async fn query_once(&mut self, sql: &str) -> Result<Vec<Vec<Value>>>;

    /// Reads rows of a prepared statement until its end, or until they weigh more than
    /// `max_weight`.
    /// Errors: `Record` for a row that cannot be decoded, `Retry` if the result does not have the
    /// expected columns.
    async fn read(
        &mut self,
        sql: &Arc<str>,
        params: &[SqlParam<'_>],
        layout: &RowLayout,
        max_weight: usize,
    ) -> Result<ResultPage>;

    /// Reads all rows of a prepared statement. Sends a page whenever it weighs more than
    /// `page_weight`, and the last one whatever it weighs. Ends early if the receiver is dropped.
    async fn stream(
        &mut self,
        sql: &Arc<str>,
        params: &[SqlParam<'_>],
        layout: &RowLayout,
        page_weight: usize,
        pages: &mpsc::Sender<ResultPage>,
    ) -> Result<()>;

    /// Starts a transaction.
    async fn begin(&mut self) -> Result<()>;

    /// Commits the transaction.
    async fn commit(&mut self) -> Result<()>;

    /// Rolls back the transaction, if one is open.
    async fn rollback(&mut self) -> Result<()>;

    /// Returns a table or view with its columns and keys; `None` if there is no such table. An id
    /// without catalog and schema is looked up in the session's current ones.
    async fn table(&mut self, id: &TableId) -> Result<Option<TableMeta>>;

    /// Returns tables and views, sorted by name.
    async fn tables(&mut self, filter: &TableFilter) -> Result<Vec<TableName>>;

    /// Returns the columns of a SELECT's result, without running it. What the server does not
    /// describe beforehand is left open: a decimal's scale, and whether an expression may be NULL
    /// (assumed).
    async fn describe(&mut self, sql: &str) -> Result<Vec<ColumnMeta>>;

    /// True if the connection is lost.
    fn is_lost(&self) -> bool;

    /// Returns the connection's identity on the server; `None` if the server does not show it.
    fn connection_id(&self) -> Option<&ConnectionId>;

    /// True if statements that depend on each other have to be in a transaction: outside of one, a
    /// pooler may route each to another server.
    fn needs_transaction(&self) -> bool {
        false
    }

    /// True if the last statement failed because what it reads has changed since it was prepared,
    /// or since its columns were looked up. Look them up again and repeat the statement.
    fn is_stale(&self) -> bool;

    /// Closes the connection.
    async fn close(self: Box<Self>);
}

/// Connects, with the number of attempts in `options`.
/// Errors: `Denied` if the server refuses the credentials (not retried), `Config` for an unknown
/// database, `Retry` if the server cannot be reached.
pub(crate) async fn connect(
    target: &ConnectionTarget,
    options: ConnectOptions,
) -> Result<Box<dyn Session>> {
    match target.database_kind() {
        DatabaseKind::MySql => {
            let opened = open(
                target,
                retry::attempts(target, options, mysql::MySqlSession::connect),
            )
            .await;
            match opened {
                Err(error)
                    if options.access == AccessMode::Create
                        && is_database_missing(target, &error) =>
                {
                    create_database(target, options).await?;
                    open(
                        target,
                        retry::attempts(target, options, mysql::MySqlSession::connect),
                    )
                    .await
                }
                opened => opened,
            }
        }
        DatabaseKind::Postgres => {
            open(
                target,
                retry::attempts(target, options, postgres::PostgresSession::connect),
            )
            .await
        }
        DatabaseKind::Sqlite => {
            open(
                target,
                retry::attempts(target, options, sqlite::SqliteSession::connect),
            )
            .await
        }
    }
}

/// True if connecting failed because a database is missing that the URL asks to create.
pub(crate) fn is_database_missing(target: &ConnectionTarget, error: &Error) -> bool {
    let unknown = match target.database_kind() {
        DatabaseKind::MySql => error.message().contains("(1049,"),
        DatabaseKind::Postgres | DatabaseKind::Sqlite => false,
    };
    unknown && target.creates_database() && target.database.is_some()
}

/// Creates the database of a URL with `createDatabaseIfNotExist`.
async fn create_database(target: &ConnectionTarget, options: ConnectOptions) -> Result<()> {
    let mut server = target.clone();
    let Some(name) = server.database.take() else {
        return Ok(());
    };
    let mut session = open(
        &server,
        retry::attempts(&server, options, mysql::MySqlSession::connect),
    )
    .await?;
    let sql = format!(
        "CREATE DATABASE IF NOT EXISTS {}",
        session.dialect().quoted(&name)
    );
    tracing::info!(
        place = server.place(),
        sql,
        "creating the database that the URL names"
    );
    let made = session.run(&sql).await.map(drop);
    session.close().await;
    made
}

async fn open<S: Session + 'static>(
    target: &ConnectionTarget,
    connecting: impl Future<Output = Result<S>>,
) -> Result<Box<dyn Session>> {
    Ok(Box::new(PanicSafeSession::new(
        connecting.await?,
        target.place(),
    )))
}

/// True if [`connect`] would create the database's file.
/// Errors: `Config` if its folder is missing.
pub(crate) fn would_create(target: &ConnectionTarget) -> Result<bool> {
    match target.database_kind() {
        DatabaseKind::MySql | DatabaseKind::Postgres => Ok(false),
        DatabaseKind::Sqlite => sqlite::would_create(target),
    }
}

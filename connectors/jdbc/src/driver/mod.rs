//! The I/O of the JDBC connectors: one [`Session`] is one connection. The only importer of sqlx in this crate.
//!
//! It sends statements and moves values; what to send is decided elsewhere.

mod certificates;
mod failure;
mod mysql;
mod mysql_catalog;
mod mysql_describe;
mod panic_safe;
mod postgres;
mod postgres_catalog;
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
pub use watchdog::rest;

use crate::catalog::{ColumnMeta, TableFilter, TableMeta, TableName};
use crate::dialect::Dialect;
use crate::dialect::read::ReadColumn;
use crate::ident::TableId;
use crate::url::{ConnectionTarget, DatabaseKind};

pub use shared::SharedConnection;

/// A bound parameter, borrowed from whoever holds the value.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlParam<'a> {
    /// NULL.
    Null,
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    I64(i64),
    /// An unsigned integer.
    U64(u64),
    /// A 32-bit float.
    F32(f32),
    /// A 64-bit float.
    F64(f64),
    /// Text; also decimals and date-times in SQL's own notation.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessMode {
    /// The database must be there.
    #[default]
    Existing,
    /// An SQLite file that is not there is made.
    Create,
}

/// Most bytes of one message of a server where `max.row.bytes` does not say otherwise.
pub const MAX_MESSAGE: usize = 64 << 20;

/// How often and how long connecting is tried, and what the connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// `connection.attempts`.
    pub attempts: u32,
    /// `connection.backoff.ms`.
    pub backoff: Duration,
    /// Limit of one attempt.
    pub timeout: Duration,
    /// What it is for.
    pub access: AccessMode,
    /// Most bytes of one message of a server: a row, the columns of a result, an error.
    pub max_message: usize,
}

impl Default for ConnectOptions {
    /// Confluent's defaults: three attempts, ten seconds apart, 40 seconds each.
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

/// How the columns of a result become rows of values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowLayout {
    /// One per column of the result.
    pub columns: Vec<ReadColumn>,
    /// Date-time columns of which the first that is not NULL gives each row's stamp; none: no stamps.
    pub stamps: Vec<usize>,
    /// The statement's text does not name the columns (`SELECT *`): what their places hold, the result's names tell.
    pub by_place: bool,
}

/// Rows of a result.
#[derive(Debug, Default, PartialEq)]
pub struct ResultPage {
    /// The rows, one value per column.
    pub rows: Vec<Box<[Value]>>,
    /// Each row's stamp in microseconds on the server's calendar, where the layout asks for it.
    pub stamps: Vec<i64>,
    /// Bytes of the values as they came, and what a row costs.
    pub weight: usize,
    /// The result has more rows, which were given up because of the weight.
    pub cut: bool,
}

/// One connection. Its time zone is UTC and its character set UTF-8 (utf8mb4).
///
/// After an error of kind `Retry` that lost the connection [`Session::is_lost`] tells so: connect anew.
#[async_trait]
pub trait Session: Send {
    /// The dialect it speaks.
    fn dialect(&self) -> &'static dyn Dialect;

    /// The server's name and version, such as `10.11.6-MariaDB`.
    fn server_version(&self) -> &str;

    /// Sends a statement without parameters as text, any number of statements separated by `;` not included: DDL,
    /// `SET`. Returns the rows affected.
    async fn run(&mut self, sql: &str) -> Result<u64>;

    /// Executes a prepared statement; the statement is kept, so the same text is prepared once.
    /// Returns the rows affected as the server counts them.
    async fn execute(&mut self, sql: &Arc<str>, params: &[SqlParam<'_>]) -> Result<u64>;

    /// Sends rows in PostgreSQL's text format for a `COPY … FROM STDIN`. Returns their number.
    async fn copy(&mut self, sql: &str, rows: &str) -> Result<u64>;

    /// A small result (catalog, clock, counts): integers as `I64`, floats as `F64`, bytes as `Bytes`, all else as
    /// `Text` in SQL's notation. Integers above `i64` are `Text`.
    async fn query(&mut self, sql: &str, params: &[SqlParam<'_>]) -> Result<Vec<Vec<Value>>>;

    /// As [`Session::query`], for a statement whose text will not come again: it is not kept.
    async fn query_once(&mut self, sql: &str) -> Result<Vec<Vec<Value>>>;

    /// Reads rows of a prepared statement until its end, or until they weigh more than `max_weight`.
    /// Errors: `Record` for a row that cannot be read, `Retry` when the result does not have the expected columns.
    async fn read(
        &mut self,
        sql: &Arc<str>,
        params: &[SqlParam<'_>],
        layout: &RowLayout,
        max_weight: usize,
    ) -> Result<ResultPage>;

    /// Reads all rows of a prepared statement, sending a page whenever it weighs more than `page_weight`, and the last
    /// one whatever it weighs. Ends early when the receiver is gone.
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

    /// Commits it.
    async fn commit(&mut self) -> Result<()>;

    /// Rolls it back; without one it does nothing.
    async fn rollback(&mut self) -> Result<()>;

    /// A table or view with its columns and keys. An id without catalog and schema is looked for in the session's
    /// current ones. `None` if there is no such table.
    async fn table(&mut self, id: &TableId) -> Result<Option<TableMeta>>;

    /// Tables and views, sorted by name.
    async fn tables(&mut self, filter: &TableFilter) -> Result<Vec<TableName>>;

    /// The columns of a SELECT's result, without reading it. What the server does not tell beforehand is left open:
    /// a decimal's scale, and whether an expression may be NULL (then it may).
    async fn describe(&mut self, sql: &str) -> Result<Vec<ColumnMeta>>;

    /// Whether the connection is gone.
    fn is_lost(&self) -> bool;

    /// Whether the last statement failed because it was prepared, or its columns looked up, before what it reads has
    /// changed: look them up again, and send it again.
    fn is_stale(&self) -> bool;

    /// Says goodbye to the server.
    async fn close(self: Box<Self>);
}

/// Connects, trying as often as `options` say.
/// Errors: `Denied` when the server refuses the credentials (not tried again), `Config` for an unknown database,
/// `Retry` when it is out of reach.
pub async fn connect(
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
                        && lacks_its_database(target, &error) =>
                {
                    make_database(target, options).await?;
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

/// Whether connecting failed because a database is missing that the URL asks to be made.
pub fn lacks_its_database(target: &ConnectionTarget, error: &Error) -> bool {
    let unknown =
        target.database_kind() == DatabaseKind::MySql && error.message().contains("(1049,");
    unknown && target.creates_database() && target.database.is_some()
}

/// Makes the database of a URL that asks for that (`createDatabaseIfNotExist`).
async fn make_database(target: &ConnectionTarget, options: ConnectOptions) -> Result<()> {
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
        "making the database that the URL names"
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

/// Whether [`connect`] would make the database's file. Errors: `Config`, when its folder is missing.
pub fn would_create(target: &ConnectionTarget) -> Result<bool> {
    if target.database_kind() == DatabaseKind::Sqlite {
        sqlite::would_create(target)
    } else {
        Ok(false)
    }
}

//! The I/O of the JDBC connectors: one [`Session`] is one connection. The only importer of sqlx in this crate.
//!
//! It sends statements and moves values; what to send is decided elsewhere.

mod failure;
mod mysql;
mod mysql_catalog;
mod retry;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector_api::{Error, Result, Value};

use crate::catalog::{TableFilter, TableMeta, TableName};
use crate::dialect::Dialect;
use crate::ident::TableId;
use crate::url::{Database, Target};

/// A bound parameter, borrowed from whoever holds the value.
#[derive(Clone, Debug, PartialEq)]
pub enum Param<'a> {
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

/// How often and how long connecting is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// `connection.attempts`.
    pub attempts: u32,
    /// `connection.backoff.ms`.
    pub backoff: Duration,
    /// Limit of one attempt.
    pub timeout: Duration,
}

impl Default for ConnectOptions {
    /// Confluent's defaults: three attempts, ten seconds apart, 40 seconds each.
    fn default() -> Self {
        Self { attempts: 3, backoff: Duration::from_secs(10), timeout: Duration::from_secs(40) }
    }
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
    async fn execute(&mut self, sql: &Arc<str>, params: &[Param<'_>]) -> Result<u64>;

    /// A small result (catalog, clock, counts): integers as `I64`, floats as `F64`, bytes as `Bytes`, all else as
    /// `Text` in SQL's notation. Integers above `i64` are `Text`.
    async fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Vec<Value>>>;

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

    /// Whether the connection is gone.
    fn is_lost(&self) -> bool;

    /// Says goodbye to the server.
    async fn close(self: Box<Self>);
}

/// Connects, trying as often as `options` say.
/// Errors: `Denied` when the server refuses the credentials (not tried again), `Config` for an unknown database,
/// `Retry` when it is out of reach.
pub async fn connect(target: &Target, options: ConnectOptions) -> Result<Box<dyn Session>> {
    match target.database_kind() {
        Database::MySql => Ok(Box::new(retry::attempts(target, options, mysql::MySqlSession::connect).await?)),
        Database::Postgres => Err(Error::config("PostgreSQL is not supported yet")),
        Database::Sqlite => Err(Error::config("SQLite is not supported yet")),
    }
}

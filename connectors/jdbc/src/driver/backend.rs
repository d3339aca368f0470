//! What each database's driver must provide; the common part is [`SqlxSession`]. The compiler names
//! what a new one lacks.

use std::future::Future;
use std::sync::{Arc, Weak};

use connector_api::{Error, Heartbeat, Result, Value};
use sqlx::database::HasStatementCache;
use sqlx::error::DatabaseError;
use sqlx::{Connection, IntoArguments};

use super::session::SqlxSession;
use super::{ConnectOptions, CopyRows, SqlParam};
use crate::catalog::{ColumnMeta, TableFilter, TableMeta, TableName};
use crate::dialect::Dialect;
use crate::dialect::read::ReadColumn;
use crate::ident::TableId;
use crate::url::ConnectionTarget;

/// How sqlx's driver of one database is used.
pub(super) trait DatabaseBackend:
    HasStatementCache + sqlx::Database<Arguments: IntoArguments<Self>>
{
    /// The encoding of a result's column, looked up once for each result.
    type ColumnFormat: Copy + Send + Sync;

    /// Identifies the database that was opened.
    type Opened: Send + Sync;

    const DIALECT: &'static dyn Dialect;

    /// The statement that starts a transaction.
    const BEGIN: &'static str;

    /// A query for the server's name and version.
    const VERSION: &'static str;

    /// Like [`Self::VERSION`], with the connection's number and a text that identifies the server.
    /// Empty if the database has no server.
    const IDENTITY: &'static str = "";

    /// The statements that begin a session. They bound the wait for locks of others, which may be
    /// without a limit otherwise: the caller tries again, and its status says what it waits for.
    const SETUP: &'static [&'static str] = &[];

    /// The same for a session behind a pooler, as a setting of each transaction.
    const SETTINGS: Option<(&'static str, &'static str)> = None;

    /// True if [`Self::IDENTITY`] is asked inside a transaction: a pooler may route each statement
    /// outside of one to another server.
    const HAS_POOLERS: bool = false;

    /// Called with the number that the server has for the connection. True if a pooler is in
    /// between, which reports another number: then nothing is kept on the server from one
    /// transaction to the next.
    fn is_pooled(_connection: &mut Self::Connection, _number: i64) -> bool {
        false
    }

    /// True if a state of [`Self::busy_state`] is the wait for a lock that another session holds.
    fn waits_for_lock(_state: &str) -> bool {
        false
    }

    /// Returns a setting of the session as one of the current transaction. `None` if the statement
    /// is no such setting.
    fn local_setting(_sql: &str) -> Option<String> {
        None
    }

    /// Explains an error of a pooler that no retry can make succeed.
    fn refused_by_pooler(_error: &dyn DatabaseError) -> Option<String> {
        None
    }

    /// A query that another connection sends to learn about the connection of that number, see
    /// [`watchdog`](super::watchdog).
    fn watch_query(_id: i64) -> String {
        String::new()
    }

    /// Returns what a connection is working on, from the state that [`Self::watch_query`]
    /// returned; `None` if it is idle.
    fn busy_state(_state: &str, _more: &str) -> Option<String> {
        None
    }

    /// For a database inside this process: beats `progress` while the database is working, and
    /// interrupts it once `wanted` is dropped.
    fn watch_progress(
        _connection: &mut Self::Connection,
        _progress: &Heartbeat,
        _wanted: Weak<()>,
    ) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Returns the options to open a connection with.
    fn options(
        target: &ConnectionTarget,
        host: &str,
        port: u16,
        how: ConnectOptions,
    ) -> Result<<Self::Connection as Connection>::Options>;

    /// Identifies the database that was just opened.
    fn opened(target: &ConnectionTarget) -> Self::Opened;

    /// Checks that the database is still the one that was opened.
    /// Errors: `Retry` if the connection must be given up.
    fn check(opened: &Self::Opened) -> Result<()>;

    /// Checks a text that users contributed to before it is sent. Errors: `Config`.
    fn check_query(_sql: &str) -> Result<()> {
        Ok(())
    }

    /// Checks any statement before it is sent. Errors: `Config`.
    fn check_sql(_sql: &str) -> Result<()> {
        Ok(())
    }

    /// Checks that a text is one statement that can run in the open transaction. Errors: `Config`.
    fn check_statement(sql: &str) -> Result<()> {
        Self::check_sql(sql)
    }

    /// See [`super::Session::copy`]; called only if the dialect writes such statements.
    fn copy(
        _session: &mut SqlxSession<Self>,
        _sql: &str,
        _rows: &mut dyn CopyRows,
    ) -> impl Future<Output = Result<u64>> + Send {
        std::future::ready(Err(Error::fatal("this database has no COPY")))
    }

    /// True if the connection can execute a statement for many rows of parameters at once;
    /// `version` is the server's.
    fn executes_rows(_connection: &Self::Connection, _version: &str) -> bool {
        false
    }

    /// See [`super::Session::execute_rows`]; called only if [`Self::executes_rows`] is true.
    fn execute_rows(
        _session: &mut SqlxSession<Self>,
        _sql: &Arc<str>,
        _width: usize,
        _params: &[SqlParam<'_>],
    ) -> impl Future<Output = Result<Option<u64>>> + Send {
        std::future::ready(Ok(None))
    }

    /// Returns the number of rows that a statement changed.
    fn affected(done: &Self::QueryResult) -> u64;

    /// Returns the server's own error code, if it has one beside the SQLSTATE, and the SQLSTATE;
    /// either may be empty.
    fn codes(error: &dyn DatabaseError) -> (String, String);

    /// True if the code means that a value is longer than `max.row.bytes`, for a database that
    /// enforces the limit itself.
    fn is_too_long(_code: &str) -> bool {
        false
    }

    /// True if the connection cannot be used after an error with these codes.
    fn loses_connection(code: &str, sqlstate: &str) -> bool;

    /// True if the error means that a prepared statement is outdated: its result type has changed,
    /// or the server (another one, behind a pooler) does not know it.
    fn is_stale(_error: &dyn DatabaseError) -> bool {
        false
    }

    /// True if the error is about the values of a row, although its code may also mean something
    /// else.
    fn is_about_a_row(_error: &dyn DatabaseError) -> bool {
        false
    }

    /// True if a column that is selected unchanged still has the type that it had when the table
    /// was looked up. Checks only what the value's bytes do not show.
    fn fits(_column: &Self::Column, _read: &ReadColumn) -> bool {
        true
    }

    /// Returns the encoding of a column.
    fn column_format(column: &Self::Column, read: &ReadColumn) -> Self::ColumnFormat;

    /// Decodes a value of a row; returns it with the number of bytes it took. See [`super::Session::read`]
    /// for the errors.
    fn value(
        row: &Self::Row,
        index: usize,
        read: &ReadColumn,
        format: Self::ColumnFormat,
    ) -> Result<(Value, usize)>;

    /// Returns a date-time column in microseconds on the server's calendar, unless it is NULL.
    fn timestamp(row: &Self::Row, index: usize, read: &ReadColumn) -> Result<Option<i64>>;

    /// Decodes a value of a small result, see [`super::Session::query`].
    fn small_value(row: &Self::Row, index: usize) -> Result<Value>;
}

/// How one database's catalog is read.
pub(super) trait DatabaseCatalog: DatabaseBackend {
    /// See [`super::Session::table`].
    fn table(
        session: &mut SqlxSession<Self>,
        id: &TableId,
    ) -> impl Future<Output = Result<Option<TableMeta>>> + Send;

    /// See [`super::Session::tables`].
    fn tables(
        session: &mut SqlxSession<Self>,
        filter: &TableFilter,
    ) -> impl Future<Output = Result<Vec<TableName>>> + Send;

    /// See [`super::Session::describe`].
    fn describe(
        session: &mut SqlxSession<Self>,
        sql: &str,
    ) -> impl Future<Output = Result<Vec<ColumnMeta>>> + Send;
}

//! One connection over any of sqlx's drivers: the common part. The differences are in each driver's
//! [`DatabaseBackend`].

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use connector_api::{Error, Heartbeat, Result, Value, fail_point};
use sqlx::database::HasStatementCache;
use sqlx::error::DatabaseError;
use sqlx::{
    Arguments, AssertSqlSafe, Column, ConnectOptions as _, Connection, Encode, Executor,
    IntoArguments, SqlSafeStr, Type,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::watchdog::{CallFailure, CallWatchdog, ConnectionId};
use super::{AccessMode, ConnectOptions, ResultPage, RowLayout, Session, SqlParam, failure, rows};
use crate::catalog::{ColumnMeta, TableFilter, TableMeta, TableName};
use crate::dialect::Dialect;
use crate::dialect::read::ReadColumn;
use crate::ident::TableId;
use crate::url::{ConnectionTarget, Role};

/// Timeout of the closing handshake.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

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

    /// A query that another connection sends to learn about the connection of that number, see
    /// [`watchdog`](super::watchdog).
    fn watch_query(_id: i64) -> String {
        String::new()
    }

    /// Returns what a connection is working on, from the state that [`Self::watch_query`] returned; `None`
    /// if it is idle.
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

    /// See [`Session::copy`]; called only if the dialect writes such statements.
    fn copy(
        _session: &mut SqlxSession<Self>,
        _sql: &str,
        _rows: &str,
    ) -> impl Future<Output = Result<u64>> + Send {
        std::future::ready(Err(Error::fatal("this database has no COPY")))
    }

    /// Returns the number of rows that a statement changed.
    fn affected(done: &Self::QueryResult) -> u64;

    /// Returns the server's own error code, if it has one beside the SQLSTATE, and the SQLSTATE;
    /// either may be empty.
    fn codes(error: &dyn DatabaseError) -> (String, String);

    /// Returns a hint for an error with that code, to be appended to its text.
    fn hint(_code: &str) -> &'static str {
        ""
    }

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

    /// True if a column that is selected unchanged still has the type that it had when the table
    /// was looked up. Checks only what the value's bytes do not show.
    fn fits(_column: &Self::Column, _read: &ReadColumn) -> bool {
        true
    }

    /// Returns the encoding of a column.
    fn column_format(column: &Self::Column, read: &ReadColumn) -> Self::ColumnFormat;

    /// Decodes a value of a row; returns it with the number of bytes it took. See [`Session::read`]
    /// for the errors.
    fn value(
        row: &Self::Row,
        index: usize,
        read: &ReadColumn,
        format: Self::ColumnFormat,
    ) -> Result<(Value, usize)>;

    /// Returns a date-time column in microseconds on the server's calendar, unless it is NULL.
    fn timestamp(row: &Self::Row, index: usize, read: &ReadColumn) -> Result<Option<i64>>;

    /// Decodes a value of a small result, see [`Session::query`].
    fn small_value(row: &Self::Row, index: usize) -> Result<Value>;
}

/// How one database's catalog is read.
pub(super) trait DatabaseCatalog: DatabaseBackend {
    /// See [`Session::table`].
    fn table(
        session: &mut SqlxSession<Self>,
        id: &TableId,
    ) -> impl Future<Output = Result<Option<TableMeta>>> + Send;

    /// See [`Session::tables`].
    fn tables(
        session: &mut SqlxSession<Self>,
        filter: &TableFilter,
    ) -> impl Future<Output = Result<Vec<TableName>>> + Send;

    /// See [`Session::describe`].
    fn describe(
        session: &mut SqlxSession<Self>,
        sql: &str,
    ) -> impl Future<Output = Result<Vec<ColumnMeta>>> + Send;
}

/// One connection to a database of that kind.
pub(super) struct SqlxSession<DB: DatabaseBackend> {
    pub(super) connection: DB::Connection,
    pub(super) watchdog: CallWatchdog<DB>,
    opened: DB::Opened,
    place: String,
    version: String,
    in_transaction: bool,
    lost: bool,
    /// True if what the prepared statements read has changed: they must be prepared again.
    pub(super) stale: bool,
}

impl<DB: DatabaseCatalog> SqlxSession<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'p> SqlParam<'p>: Encode<'p, DB> + Type<DB>,
{
    pub(super) async fn connect(
        target: &ConnectionTarget,
        host: &str,
        port: u16,
        how: ConnectOptions,
    ) -> Result<Self> {
        let place = target.place();
        fail_point::reach_async("database.connect").await?;
        let options = DB::options(target, host, port, how)?;
        let connection = options.disable_statement_logging().connect().await;
        let mut connection = connection.map_err(|e| failure::classify::<DB>(&place, e))?;
        let watchdog = CallWatchdog::new(target, host, port, how);
        let wanted = Arc::downgrade(&watchdog.wanted);
        let opened = DB::opened(target);
        DB::watch_progress(&mut connection, &watchdog.progress, wanted).await;
        let mut session = Self {
            connection,
            watchdog,
            opened,
            place,
            version: String::new(),
            in_transaction: false,
            lost: false,
            stale: false,
        };
        session.read_identity().await?;
        session.check_role(target, host, port).await?;
        for sql in target.first_statements()? {
            session.run(&sql).await?;
        }
        Ok(session)
    }

    /// Prepares a statement without running it.
    pub(super) async fn prepare(&mut self, sql: &str) -> Result<DB::Statement> {
        let sql = AssertSqlSafe(sql).into_sql_str();
        let outcome = self.watchdog.hold(self.connection.prepare(sql)).await;
        self.finish(outcome)
    }

    /// Drops all prepared statements.
    pub(super) async fn forget_statements(&mut self) -> Result<()> {
        self.stale = false;
        let outcome = self
            .watchdog
            .hold(self.connection.clear_cached_statements())
            .await;
        self.finish(outcome)
    }

    /// Drops the prepared statements if one was stale. Returns true if it did.
    async fn renew(&mut self) -> Result<bool> {
        if !self.stale || self.lost {
            return Ok(false);
        }
        self.forget_statements().await?;
        Ok(true)
    }

    /// True if a call that failed over a stale statement can be repeated: not in a transaction,
    /// which has failed with it. The next call drops the statements, so that the caller who repeats
    /// sees [`Session::is_stale`] first.
    fn can_repeat(&self) -> bool {
        !self.in_transaction
    }

    async fn execute_once(&mut self, sql: &Arc<str>, params: &[SqlParam<'_>]) -> Result<u64> {
        let query = sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), arguments::<DB>(params)?);
        let outcome = self.watchdog.hold(self.connection.execute(query)).await;
        self.finish(outcome).map(|done| DB::affected(&done))
    }

    /// Checks that the server has the role that the URL asks for.
    /// Errors: `Retry` if not; another host may have that role, or get it later.
    async fn check_role(&mut self, target: &ConnectionTarget, host: &str, port: u16) -> Result<()> {
        let Some((role, parameter)) = target.role()? else {
            return Ok(());
        };
        let rows = self
            .query("SELECT pg_catalog.pg_is_in_recovery()", &[])
            .await?;
        let is_standby = rows.first().and_then(|row| row.first()) == Some(&Value::Bool(true));
        if is_standby == (role == Role::Standby) {
            return Ok(());
        }
        let (is, asked) = if is_standby {
            ("a standby", "primary")
        } else {
            ("no standby", "standby")
        };
        Err(Error::retry(format!(
            "{host}:{port} is {is}, but {parameter} in connection.url requires a {asked}"
        )))
    }

    /// Asks for the server's version, and for its number of this connection if it has one.
    async fn read_identity(&mut self) -> Result<()> {
        let identity = if DB::IDENTITY.is_empty() {
            None
        } else {
            // Without it calls are not watched from a second connection; the version is needed.
            self.query(DB::IDENTITY, &[]).await.ok()
        };
        let rows = match identity {
            Some(rows) => rows,
            None => self.query(DB::VERSION, &[]).await?,
        };
        let mut values = rows.into_iter().flatten();
        if let Some(Value::Text(text)) = values.next() {
            self.version = text.into();
        }
        if let (Some(Value::I64(id)), Some(Value::Text(server))) = (values.next(), values.next()) {
            self.watchdog.identity = Some(ConnectionId {
                id,
                server: server.into(),
            });
        }
        Ok(())
    }
}

impl<DB: DatabaseBackend> SqlxSession<DB> {
    /// Gives the connection up if it no longer leads to what was opened.
    pub(super) fn check(&mut self) -> Result<()> {
        DB::check(&self.opened).inspect_err(|_| self.lost = true)
    }

    /// The error of a response that exceeds `limit` bytes; the rest of it is not read.
    pub(super) fn too_much(&mut self, limit: usize) -> Error {
        self.lost = true;
        Error::fatal(format!(
            "{} answers a query about its tables with more than {limit} bytes; check that a \
             database answers there",
            self.place
        ))
    }

    /// Converts the outcome of a call under the watchdog.
    pub(super) fn finish<T>(&mut self, outcome: Result<Result<T, sqlx::Error>>) -> Result<T> {
        match outcome {
            Ok(outcome) => outcome.map_err(|error| self.failed(error)),
            Err(given_up) => Err(self.ended(CallFailure::GivenUp(given_up))),
        }
    }

    /// The error of a call that ended without an outcome.
    pub(super) fn ended(&mut self, failure: CallFailure) -> Error {
        match failure {
            CallFailure::Driver(error) => self.failed(error),
            CallFailure::GivenUp(error) => {
                self.lost = true;
                error
            }
        }
    }

    /// Classifies an error; gives the connection up if it cannot be used any more.
    pub(super) fn failed(&mut self, error: sqlx::Error) -> Error {
        self.lost |= failure::loses_connection::<DB>(&error);
        self.stale |= error.as_database_error().is_some_and(DB::is_stale);
        let how = &self.watchdog.how;
        if how.access == AccessMode::Existing
            && (failure::is_about_a_row(&error)
                || error
                    .as_database_error()
                    .is_some_and(|error| DB::is_too_long(&DB::codes(error).0)))
        {
            return failure::too_long(&self.place, how.max_message).caused_by(error);
        }
        failure::classify::<DB>(&self.place, error)
    }
}

#[async_trait]
impl<DB: DatabaseCatalog> Session for SqlxSession<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'p> SqlParam<'p>: Encode<'p, DB> + Type<DB>,
{
    fn dialect(&self) -> &'static dyn Dialect {
        DB::DIALECT
    }

    fn server_version(&self) -> &str {
        &self.version
    }

    async fn run(&mut self, sql: &str) -> Result<u64> {
        DB::check_sql(sql)?;
        fail_point::reach_async("database.run").await?;
        let outcome = self
            .watchdog
            .hold(self.connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))))
            .await;
        self.finish(outcome).map(|done| DB::affected(&done))
    }

    async fn execute(&mut self, sql: &Arc<str>, params: &[SqlParam<'_>]) -> Result<u64> {
        DB::check_statement(sql)?;
        fail_point::reach_async("database.execute").await?;
        self.renew().await?;
        let outcome = self.execute_once(sql, params).await;
        if outcome.is_err() && self.can_repeat() && self.renew().await? {
            self.execute_once(sql, params).await
        } else {
            outcome
        }
    }

    async fn copy(&mut self, sql: &str, rows: &str) -> Result<u64> {
        fail_point::reach_async("database.copy").await?;
        DB::copy(self, sql, rows).await
    }

    async fn query(&mut self, sql: &str, params: &[SqlParam<'_>]) -> Result<Vec<Vec<Value>>> {
        DB::check_sql(sql)?;
        fail_point::reach_async("database.query").await?;
        self.renew().await?;
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments::<DB>(params)?);
        let outcome = rows::small_result(self, query).await;
        if outcome.is_ok() || !self.can_repeat() || !self.renew().await? {
            return outcome;
        }
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments::<DB>(params)?);
        rows::small_result(self, query).await
    }

    async fn query_once(&mut self, sql: &str) -> Result<Vec<Vec<Value>>> {
        DB::check_sql(sql)?;
        rows::small_result(self, sqlx::query(AssertSqlSafe(sql)).persistent(false)).await
    }

    async fn read(
        &mut self,
        sql: &Arc<str>,
        params: &[SqlParam<'_>],
        layout: &RowLayout,
        max_weight: usize,
    ) -> Result<ResultPage> {
        fail_point::reach_async("database.read").await?;
        DB::check_query(sql)?;
        DB::check_sql(sql)?;
        self.renew().await?;
        let query = sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), arguments::<DB>(params)?);
        rows::read(self, query, layout, max_weight).await
    }

    async fn stream(
        &mut self,
        sql: &Arc<str>,
        params: &[SqlParam<'_>],
        layout: &RowLayout,
        page_weight: usize,
        pages: &mpsc::Sender<ResultPage>,
    ) -> Result<()> {
        fail_point::reach_async("database.stream").await?;
        DB::check_query(sql)?;
        DB::check_sql(sql)?;
        self.renew().await?;
        let query = sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), arguments::<DB>(params)?);
        rows::stream(self, query, layout, page_weight, pages).await
    }

    async fn begin(&mut self) -> Result<()> {
        self.check()?;
        self.run(DB::BEGIN).await?;
        self.in_transaction = true;
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        fail_point::reach_async("database.before-commit").await?;
        self.run("COMMIT").await?;
        self.in_transaction = false;
        // this fail point loses the response of a commit, and with it the connection
        fail_point::reach_async("database.after-commit")
            .await
            .inspect_err(|_| self.lost = true)
    }

    async fn rollback(&mut self) -> Result<()> {
        if self.in_transaction && !self.lost {
            self.in_transaction = false;
            fail_point::reach_async("database.rollback").await?;
            // a transaction that cannot be rolled back ends with its connection
            self.run("ROLLBACK")
                .await
                .inspect_err(|_| self.lost = true)?;
        }
        Ok(())
    }

    async fn table(&mut self, id: &TableId) -> Result<Option<TableMeta>> {
        fail_point::reach_async("database.catalogue").await?;
        DB::table(self, id).await
    }

    async fn tables(&mut self, filter: &TableFilter) -> Result<Vec<TableName>> {
        DB::tables(self, filter).await
    }

    async fn describe(&mut self, sql: &str) -> Result<Vec<ColumnMeta>> {
        DB::check_query(sql)?;
        DB::check_sql(sql)?;
        // a prepared statement keeps the columns that it once had
        self.forget_statements().await?;
        DB::describe(self, sql).await
    }

    fn is_lost(&self) -> bool {
        self.lost
    }

    fn is_stale(&self) -> bool {
        self.stale
    }

    async fn close(self: Box<Self>) {
        let Self {
            connection,
            watchdog,
            ..
        } = *self;
        // dropping the watchdog interrupts a statement that is still running
        drop(watchdog);
        let goodbye = async {
            let _only_waits = fail_point::reach_async("database.close").await;
            connection.close().await
        };
        // the server detects a cut connection itself
        let _ = timeout(CLOSE_WITHIN, goodbye).await;
    }
}

/// Encodes all parameters into the one buffer that is sent.
fn arguments<DB: DatabaseBackend>(params: &[SqlParam<'_>]) -> Result<DB::Arguments>
where
    for<'p> SqlParam<'p>: Encode<'p, DB> + Type<DB>,
{
    // each value has a length before it, a NULL flag and a type
    let bytes = params.iter().map(|p| match p {
        SqlParam::Text(text) => text.len() + 5,
        SqlParam::Bytes(bytes) => bytes.len() + 5,
        _ => 12,
    });
    let mut out = DB::Arguments::default();
    out.reserve(params.len(), bytes.sum());
    for param in params {
        out.add(param)
            .map_err(|e| Error::record("a value cannot be sent to the database").caused_by(e))?;
    }
    Ok(out)
}

/// The error of a column that a result does not have.
pub(super) fn missing(error: sqlx::Error) -> Error {
    Error::fatal("a column is missing in the answer").caused_by(error)
}

/// The error of a small result's value that does not match its column's type.
pub(super) fn cut_short(column: &impl Column) -> Error {
    Error::fatal(format!(
        "column {} has a value that is truncated",
        column.name()
    ))
}

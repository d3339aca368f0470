//! One connection over any of sqlx's drivers: the common part. The differences are in each driver's
//! [`DatabaseBackend`].

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector_api::{Error, ErrorKind, Result, Value, fail_point};
use sqlx::error::BoxDynError;
use sqlx::{
    Arguments, AssertSqlSafe, Column, ConnectOptions as _, Connection, Encode, Executor,
    SqlSafeStr, Type,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::backend::{DatabaseBackend, DatabaseCatalog};
use super::watchdog::{CallFailure, CallWatchdog, ConnectionId};
use super::{
    AccessMode, ConnectOptions, CopyRows, ResultPage, RowLayout, Session, SqlParam, failure, rows,
};
use crate::catalog::{ColumnMeta, TableFilter, TableMeta, TableName};
use crate::dialect::Dialect;
use crate::ident::TableId;
use crate::url::{ConnectionTarget, Role};

/// Timeout of the closing handshake.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// One connection to a database of that kind.
pub(super) struct SqlxSession<DB: DatabaseBackend> {
    pub(super) connection: DB::Connection,
    pub(super) watchdog: CallWatchdog<DB>,
    opened: DB::Opened,
    place: String,
    version: String,
    in_transaction: bool,
    lost: bool,
    /// See [`Session::executes_rows`].
    pub(super) executes_rows: bool,
    /// True if what the prepared statements read has changed: they must be prepared again.
    pub(super) stale: bool,
    /// What is different behind a pooler; `None` without one.
    pooled: Option<PooledSession>,
}

/// A session that a pooler gives another server for each transaction.
#[derive(Debug)]
struct PooledSession {
    /// The session's settings, which each transaction makes for itself: on the server they would
    /// be those of other clients, too.
    settings: Vec<String>,
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
            executes_rows: false,
            stale: false,
            pooled: None,
        };
        session.read_identity(target).await?;
        session.executes_rows = DB::executes_rows(&session.connection, &session.version);
        session.check_role(target, host, port).await?;
        if session.pooled.is_none() {
            session.set_up().await?;
        }
        for sql in target.first_statements()? {
            session.run(&sql).await?;
        }
        Ok(session)
    }

    /// Sends [`DatabaseBackend::SETUP`]. A server that only speaks this database's protocol may lack
    /// a setting.
    async fn set_up(&mut self) -> Result<()> {
        for sql in DB::SETUP {
            match self.run(sql).await {
                Err(error) if self.lost || error.kind() == ErrorKind::Retry => return Err(error),
                Err(error) => tracing::debug!(%error, sql, "the server does not accept a setting"),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Prepares a statement without running it.
    pub(super) async fn prepare(&mut self, sql: &str) -> Result<DB::Statement> {
        let sql = AssertSqlSafe(sql).into_sql_str();
        let own = self.enter().await?;
        let outcome = self.watchdog.watch(self.connection.prepare(sql)).await;
        let outcome = self.finish(outcome);
        self.leave(own, outcome).await
    }

    /// Sends statements as they are.
    async fn send(&mut self, sql: &str) -> Result<u64> {
        let outcome = self
            .watchdog
            .watch(self.connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))))
            .await;
        self.finish(outcome).map(|done| DB::affected(&done))
    }

    /// Begins a transaction around one call, if a pooler would otherwise route its messages to
    /// different servers. Returns true if it did.
    async fn enter(&mut self) -> Result<bool> {
        let own = self.needs_transaction();
        if own {
            self.begin().await?;
        }
        Ok(own)
    }

    /// Ends a transaction of [`Self::enter`].
    async fn leave<T>(&mut self, own: bool, outcome: Result<T>) -> Result<T> {
        if !own {
            return outcome;
        }
        match outcome {
            Ok(value) => self.commit().await.map(|()| value),
            Err(error) => {
                // the failure of the call says more
                drop(self.rollback().await);
                Err(error)
            }
        }
    }

    /// Notes a setting of a pooled session for the next transactions. Returns what is sent now:
    /// nothing outside of a transaction.
    fn noted(&mut self, sql: &str) -> Option<Cow<'static, str>> {
        let (Some(pooled), Some(local)) = (&mut self.pooled, DB::local_setting(sql)) else {
            return None;
        };
        let name = |sql: &str| sql.split(['=', ' ']).take(3).collect::<Vec<_>>().join(" ");
        pooled.settings.retain(|known| name(known) != name(&local));
        pooled.settings.push(local.clone());
        Some(if self.in_transaction {
            Cow::Owned(local)
        } else {
            Cow::Borrowed("")
        })
    }

    /// Drops all prepared statements.
    pub(super) async fn forget_statements(&mut self) -> Result<()> {
        self.stale = false;
        let outcome = self
            .watchdog
            .watch(self.connection.clear_cached_statements())
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
        let own = self.enter().await?;
        let outcome = self.watchdog.watch(self.connection.execute(query)).await;
        let outcome = self.finish(outcome).map(|done| DB::affected(&done));
        self.leave(own, outcome).await
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
    async fn read_identity(&mut self, target: &ConnectionTarget) -> Result<()> {
        if DB::HAS_POOLERS {
            self.send(DB::BEGIN).await?;
        }
        // Without it calls are not watched from a second connection; the version is needed.
        let identity = match DB::IDENTITY {
            "" => None,
            // a statement that stays prepared would stay on the server's process of other clients
            identity if DB::HAS_POOLERS => self.query_once(identity).await.ok(),
            identity => self.query(identity, &[]).await.ok(),
        };
        if DB::HAS_POOLERS {
            self.send("ROLLBACK").await?;
        }
        let rows = match identity {
            Some(rows) => rows,
            None => self.query(DB::VERSION, &[]).await?,
        };
        let mut values = rows.into_iter().flatten();
        if let Some(Value::Text(text)) = values.next() {
            self.version = text.into();
        }
        if let (Some(Value::I64(id)), Some(Value::Text(server))) = (values.next(), values.next()) {
            // behind a pooler it is the number of a server's process that others use, too
            if DB::is_pooled(&mut self.connection, id) {
                // a pooler may ignore settings of the login
                let quoted = |text: &str| text.replace('\'', "''");
                let set = |(name, value): &(String, String)| {
                    let (name, value) = (quoted(name), quoted(value));
                    format!("SELECT pg_catalog.set_config('{name}', '{value}', true)")
                };
                let own = DB::SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
                let settings = own.iter().chain(&target.options()?).map(set).collect();
                self.pooled = Some(PooledSession { settings });
                return Ok(());
            }
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
    pub(super) fn response_too_large(&mut self, limit: usize) -> Error {
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
        let noted = self.noted(sql);
        let sql = noted.as_deref().unwrap_or(sql);
        if sql.is_empty() {
            return Ok(0);
        }
        self.send(sql).await
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

    fn executes_rows(&self) -> bool {
        self.executes_rows
    }

    async fn execute_rows(
        &mut self,
        sql: &Arc<str>,
        width: usize,
        params: &[SqlParam<'_>],
    ) -> Result<Option<u64>> {
        DB::check_statement(sql)?;
        fail_point::reach_async("database.execute").await?;
        if !self.executes_rows || width == 0 || params.is_empty() {
            return Ok(None);
        }
        self.renew().await?;
        let outcome = DB::execute_rows(self, sql, width, params).await;
        if outcome.is_err() && self.can_repeat() && self.renew().await? {
            DB::execute_rows(self, sql, width, params).await
        } else {
            outcome
        }
    }

    async fn copy(&mut self, sql: &str, rows: &mut dyn CopyRows) -> Result<u64> {
        fail_point::reach_async("database.copy").await?;
        DB::copy(self, sql, rows).await
    }

    async fn query(&mut self, sql: &str, params: &[SqlParam<'_>]) -> Result<Vec<Vec<Value>>> {
        DB::check_sql(sql)?;
        fail_point::reach_async("database.query").await?;
        self.renew().await?;
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments::<DB>(params)?);
        let own = self.enter().await?;
        let outcome = rows::small_result(self, query).await;
        let outcome = self.leave(own, outcome).await;
        if outcome.is_ok() || !self.can_repeat() || !self.renew().await? {
            return outcome;
        }
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments::<DB>(params)?);
        let own = self.enter().await?;
        let outcome = rows::small_result(self, query).await;
        self.leave(own, outcome).await
    }

    async fn query_once(&mut self, sql: &str) -> Result<Vec<Vec<Value>>> {
        DB::check_sql(sql)?;
        let own = self.enter().await?;
        let query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        let outcome = rows::small_result(self, query).await;
        self.leave(own, outcome).await
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
        let own = self.enter().await?;
        let outcome = rows::read(self, query, layout, max_weight).await;
        self.leave(own, outcome).await
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
        let own = self.enter().await?;
        let outcome = rows::stream(self, query, layout, page_weight, pages).await;
        self.leave(own, outcome).await
    }

    async fn begin(&mut self) -> Result<()> {
        self.check()?;
        match &self.pooled {
            Some(pooled) if !pooled.settings.is_empty() => {
                let sql = format!("{};{}", DB::BEGIN, pooled.settings.join(";"));
                self.run(&sql).await?;
            }
            _ => drop(self.run(DB::BEGIN).await?),
        }
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
            match self.run("ROLLBACK").await {
                Ok(_) => {}
                // SQLite's, after a trigger has ended the transaction with RAISE(ROLLBACK)
                Err(error) if error.message().contains("no transaction is active") => {}
                Err(error) => {
                    self.lost = true;
                    return Err(error);
                }
            }
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

    fn connection_id(&self) -> Option<&ConnectionId> {
        self.watchdog.identity.as_ref()
    }

    fn is_stale(&self) -> bool {
        self.stale
    }

    fn needs_transaction(&self) -> bool {
        self.pooled.is_some() && !self.in_transaction
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
        drop(timeout(CLOSE_WITHIN, goodbye).await);
    }
}

/// Encodes all parameters into the one buffer that is sent.
fn arguments<DB: DatabaseBackend>(params: &[SqlParam<'_>]) -> Result<DB::Arguments>
where
    for<'p> SqlParam<'p>: Encode<'p, DB> + Type<DB>,
{
    let mut out = DB::Arguments::default();
    out.reserve(params.len(), encoded_size(params));
    for param in params {
        out.add(param).map_err(cannot_be_sent)?;
    }
    Ok(out)
}

/// Returns about how many bytes the parameters take in a message.
pub(super) fn encoded_size(params: &[SqlParam<'_>]) -> usize {
    // each value has a length before it, a NULL flag and a type
    let bytes = params.iter().map(|p| match p {
        SqlParam::Text(text) => text.len() + 5,
        SqlParam::Bytes(bytes) => bytes.len() + 5,
        _ => 12,
    });
    bytes.sum()
}

/// The error of a value that the driver cannot encode.
pub(super) fn cannot_be_sent(error: BoxDynError) -> Error {
    Error::record("a value cannot be sent to the database").caused_by(error)
}

/// The error of a column that a result does not have.
pub(super) fn missing_column(error: sqlx::Error) -> Error {
    Error::fatal("a column is missing in the answer").caused_by(error)
}

/// The error of a small result's value that does not match its column's type.
pub(super) fn truncated_value(column: &impl Column) -> Error {
    Error::fatal(format!(
        "column {} has a value that is truncated",
        column.name()
    ))
}

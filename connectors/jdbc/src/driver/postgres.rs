//! PostgreSQL through sqlx's own driver.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector_api::{Error, Result, Value};
use futures_util::TryStreamExt;
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgConnectOptions, PgConnection, PgRow, PgSslMode, PgTypeInfo};
use sqlx::types::Type;
use sqlx::{
    Arguments, AssertSqlSafe, Column, ConnectOptions as _, Connection, Decode, Executor, Postgres, Row, TypeInfo,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Layout, Page, Param, Session, failure, postgres_catalog, postgres_rows};
use crate::catalog::{ColumnMeta, TableFilter, TableMeta, TableName};
use crate::dialect::Dialect;
use crate::dialect::postgres::Postgres as PostgresDialect;
use crate::ident::TableId;
use crate::url::Target;

/// How long a goodbye may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// One connection to PostgreSQL.
pub(super) struct PostgresSession {
    pub(super) connection: PgConnection,
    place: String,
    version: String,
    in_transaction: bool,
    lost: bool,
}

impl PostgresSession {
    /// Connects to one host. sqlx sets the session's time zone to UTC and its character set to UTF-8.
    pub(super) async fn connect(target: &Target, host: &str, port: u16) -> Result<Self> {
        let place = target.place();
        let options = options(target, host, port)?;
        let connection = options.connect().await.map_err(|e| failure::classify(&PostgresDialect, &place, e))?;
        let mut session = Self { connection, place, version: String::new(), in_transaction: false, lost: false };
        let version = session.query("SELECT version()", &[]).await?;
        if let Some(Value::Text(text)) = version.into_iter().flatten().next() {
            session.version = text.into();
        }
        Ok(session)
    }

    pub(super) fn failed(&mut self, error: sqlx::Error) -> Error {
        self.lost |= failure::loses_connection(&error);
        failure::classify(&PostgresDialect, &self.place, error)
    }
}

fn options(target: &Target, host: &str, port: u16) -> Result<PgConnectOptions> {
    let name = target.param("ApplicationName").unwrap_or("rowferry");
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(host)
        .port(port)
        .application_name(name)
        .ssl_mode(ssl_mode(target)?)
        .disable_statement_logging();
    if let Some(user) = &target.user {
        options = options.username(user);
    }
    if let Some(password) = &target.password {
        options = options.password(password);
    }
    if let Some(database) = &target.database {
        options = options.database(database);
    }
    if let Some(file) = target.param("sslrootcert") {
        options = options.ssl_root_cert(file);
    }
    if let Some(schema) = target.param("currentSchema") {
        options = options.options([("search_path", schema)]);
    }
    Ok(options)
}

/// TLS as `sslmode` says, else as `ssl=true` does.
fn ssl_mode(target: &Target) -> Result<PgSslMode> {
    match target.param("sslmode") {
        Some(mode) => mode.to_ascii_lowercase().parse().map_err(|_| {
            Error::config(format!(
                "sslmode {mode} is unknown; use disable, allow, prefer, require, verify-ca or verify-full"
            ))
        }),
        None if target.param("ssl").is_some_and(|v| !v.eq_ignore_ascii_case("false")) => Ok(PgSslMode::VerifyFull),
        None => Ok(PgSslMode::Prefer),
    }
}

#[async_trait]
impl Session for PostgresSession {
    fn dialect(&self) -> &'static dyn Dialect {
        &PostgresDialect
    }

    fn server_version(&self) -> &str {
        &self.version
    }

    async fn run(&mut self, sql: &str) -> Result<u64> {
        let outcome = self.connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        outcome.map(|done| done.rows_affected()).map_err(|e| self.failed(e))
    }

    async fn execute(&mut self, sql: &Arc<str>, params: &[Param<'_>]) -> Result<u64> {
        let query = sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), arguments(params)?);
        let outcome = self.connection.execute(query).await;
        outcome.map(|done| done.rows_affected()).map_err(|e| self.failed(e))
    }

    async fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Vec<Value>>> {
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments(params)?);
        let mut out = Vec::new();
        let mut rows = self.connection.fetch(query);
        let failure = loop {
            match rows.try_next().await {
                Ok(Some(row)) => out.push((0..row.len()).map(|n| plain(&row, n)).collect::<Result<_>>()?),
                Ok(None) => return Ok(out),
                Err(error) => break error,
            }
        };
        drop(rows);
        Err(self.failed(failure))
    }

    async fn read(&mut self, sql: &Arc<str>, params: &[Param<'_>], layout: &Layout, max_weight: usize) -> Result<Page> {
        postgres_rows::read(self, sql, params, layout, max_weight).await
    }

    async fn stream(
        &mut self,
        sql: &Arc<str>,
        params: &[Param<'_>],
        layout: &Layout,
        page_weight: usize,
        pages: &mpsc::Sender<Page>,
    ) -> Result<()> {
        postgres_rows::stream(self, sql, params, layout, page_weight, pages).await
    }

    async fn begin(&mut self) -> Result<()> {
        self.run("BEGIN").await?;
        self.in_transaction = true;
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        self.run("COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }

    async fn rollback(&mut self) -> Result<()> {
        if self.in_transaction && !self.lost {
            self.in_transaction = false;
            self.run("ROLLBACK").await?;
        }
        Ok(())
    }

    async fn table(&mut self, id: &TableId) -> Result<Option<TableMeta>> {
        postgres_catalog::table(self, id).await
    }

    async fn tables(&mut self, filter: &TableFilter) -> Result<Vec<TableName>> {
        postgres_catalog::tables(self, filter).await
    }

    async fn describe(&mut self, sql: &str) -> Result<Vec<ColumnMeta>> {
        postgres_catalog::describe(self, sql).await
    }

    fn is_lost(&self) -> bool {
        self.lost
    }

    async fn close(self: Box<Self>) {
        // the server notices a cut connection by itself
        let _ = timeout(CLOSE_WITHIN, self.connection.close()).await;
    }
}

/// Encodes all parameters into the one buffer that is sent.
pub(super) fn arguments(params: &[Param<'_>]) -> Result<PgArguments> {
    let bytes = params.iter().map(|p| match p {
        Param::Text(text) => text.len() + 4,
        Param::Bytes(bytes) => bytes.len() + 4,
        _ => 12,
    });
    let mut out = PgArguments::default();
    out.reserve(params.len(), bytes.sum());
    for param in params {
        out.add(param).map_err(|e| Error::record("a value cannot be sent to the database").caused_by(e))?;
    }
    Ok(out)
}

impl Type<Postgres> for Param<'_> {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Param<'_> {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Bool(v) => <bool as Encode<Postgres>>::encode(*v, buf),
            Self::I64(v) => <i64 as Encode<Postgres>>::encode(*v, buf),
            Self::U64(v) => <&str as Encode<Postgres>>::encode(itoa::Buffer::new().format(*v), buf),
            Self::F32(v) => <f32 as Encode<Postgres>>::encode(*v, buf),
            Self::F64(v) => <f64 as Encode<Postgres>>::encode(*v, buf),
            Self::Text(v) => <&str as Encode<Postgres>>::encode(v, buf),
            Self::Bytes(v) => <&[u8] as Encode<Postgres>>::encode(v, buf),
        }
    }

    /// PostgreSQL has no unsigned integers: they are sent as text, for a cast to numeric.
    fn produces(&self) -> Option<PgTypeInfo> {
        Some(match self {
            Self::Null | Self::Text(_) | Self::U64(_) => <str as Type<Postgres>>::type_info(),
            Self::Bool(_) => <bool as Type<Postgres>>::type_info(),
            Self::I64(_) => <i64 as Type<Postgres>>::type_info(),
            Self::F32(_) => <f32 as Type<Postgres>>::type_info(),
            Self::F64(_) => <f64 as Type<Postgres>>::type_info(),
            Self::Bytes(_) => <[u8] as Type<Postgres>>::type_info(),
        })
    }
}

/// The bytes of a column as they came; `None` for NULL.
pub(super) fn raw(row: &PgRow, index: usize) -> Result<Option<&[u8]>> {
    let value = row.try_get_raw(index).map_err(|e| Error::fatal("a column is missing in the answer").caused_by(e))?;
    Ok(value.as_bytes().ok())
}

/// One value of a small result, see [`Session::query`].
fn plain(row: &PgRow, index: usize) -> Result<Value> {
    let column = row.column(index);
    let value = row.try_get_raw(index).map_err(|e| Error::fatal("a column is missing in the answer").caused_by(e))?;
    let Ok(bytes) = value.as_bytes() else { return Ok(Value::Null) };
    let short = |e: BoxDynError| Error::fatal(format!("column {} cannot be read", column.name())).caused_by(e);
    Ok(match column.type_info().name() {
        "BOOL" => Value::Bool(<bool as Decode<Postgres>>::decode(value).map_err(short)?),
        "INT2" => Value::I64(i64::from(<i16 as Decode<Postgres>>::decode(value).map_err(short)?)),
        "INT4" => Value::I64(i64::from(<i32 as Decode<Postgres>>::decode(value).map_err(short)?)),
        "INT8" => Value::I64(<i64 as Decode<Postgres>>::decode(value).map_err(short)?),
        "FLOAT4" => Value::F64(f64::from(<f32 as Decode<Postgres>>::decode(value).map_err(short)?)),
        "FLOAT8" => Value::F64(<f64 as Decode<Postgres>>::decode(value).map_err(short)?),
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN" => Value::Text(String::from_utf8_lossy(bytes).into()),
        _ => Value::Bytes(bytes.into()),
    })
}

//! MariaDB and MySQL through sqlx's own driver.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector_api::{Error, Result, Value};
use futures_util::TryStreamExt;
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlRow, MySqlSslMode, MySqlTypeInfo};
use sqlx::types::Type;
use sqlx::{Arguments, AssertSqlSafe, Column, ConnectOptions as _, Connection, Decode, Executor, MySql, Row, TypeInfo};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Layout, Page, Param, Session, failure, mysql_catalog, mysql_describe, mysql_rows};
use crate::catalog::{ColumnMeta, TableFilter, TableMeta, TableName};
use crate::dialect::Dialect;
use crate::dialect::mysql::MySql as MySqlDialect;
use crate::dialect::mysql::wire::{WireDateTime, WireTime};
use crate::ident::TableId;
use crate::url::Target;

/// How long a goodbye may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// One connection to MariaDB or MySQL.
pub(super) struct MySqlSession {
    pub(super) connection: MySqlConnection,
    place: String,
    version: String,
    in_transaction: bool,
    lost: bool,
}

impl MySqlSession {
    /// Connects to one host. sqlx sets the session's time zone to +00:00 and its character set to utf8mb4.
    pub(super) async fn connect(target: &Target, host: &str, port: u16) -> Result<Self> {
        let place = target.place();
        let options = options(target, host, port)?;
        let connection = options.connect().await.map_err(|e| failure::classify(&MySqlDialect, &place, e))?;
        let mut session = Self { connection, place, version: String::new(), in_transaction: false, lost: false };
        let version = session.query("SELECT VERSION()", &[]).await?;
        if let Some(Value::Text(text)) = version.into_iter().flatten().next() {
            session.version = text.into();
        }
        Ok(session)
    }

    pub(super) fn failed(&mut self, error: sqlx::Error) -> Error {
        self.lost |= failure::loses_connection(&error);
        failure::classify(&MySqlDialect, &self.place, error)
    }
}

fn options(target: &Target, host: &str, port: u16) -> Result<MySqlConnectOptions> {
    let mut options = MySqlConnectOptions::new()
        .host(host)
        .port(port)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
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
    for name in ["serverSslCert", "sslCa", "ssl-ca"] {
        if let Some(file) = target.param(name) {
            options = options.ssl_ca(file);
        }
    }
    Ok(options)
}

/// TLS as `sslMode` of either JDBC driver says, else as the older `useSSL` and its companions do.
fn ssl_mode(target: &Target) -> Result<MySqlSslMode> {
    let is_true = |name: &str| target.param(name).is_some_and(|v| v.eq_ignore_ascii_case("true"));
    if let Some(mode) = target.param("sslMode").or_else(|| target.param("ssl-mode")) {
        return match mode.to_ascii_lowercase().replace('_', "-").as_str() {
            "disable" | "disabled" => Ok(MySqlSslMode::Disabled),
            "preferred" => Ok(MySqlSslMode::Preferred),
            "required" | "trust" => Ok(MySqlSslMode::Required),
            "verify-ca" => Ok(MySqlSslMode::VerifyCa),
            "verify-identity" | "verify-full" => Ok(MySqlSslMode::VerifyIdentity),
            _ => Err(Error::config(format!(
                "sslMode {mode} is unknown; use DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY"
            ))),
        };
    }
    Ok(match target.param("useSSL") {
        Some(v) if v.eq_ignore_ascii_case("false") => MySqlSslMode::Disabled,
        Some(_) if is_true("verifyServerCertificate") => MySqlSslMode::VerifyCa,
        Some(_) if is_true("requireSSL") => MySqlSslMode::Required,
        _ => MySqlSslMode::Preferred,
    })
}

#[async_trait]
impl Session for MySqlSession {
    fn dialect(&self) -> &'static dyn Dialect {
        &MySqlDialect
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
        mysql_rows::read(self, sql, params, layout, max_weight).await
    }

    async fn stream(
        &mut self,
        sql: &Arc<str>,
        params: &[Param<'_>],
        layout: &Layout,
        page_weight: usize,
        pages: &mpsc::Sender<Page>,
    ) -> Result<()> {
        mysql_rows::stream(self, sql, params, layout, page_weight, pages).await
    }

    async fn begin(&mut self) -> Result<()> {
        self.run("START TRANSACTION").await?;
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
        mysql_catalog::table(self, id).await
    }

    async fn tables(&mut self, filter: &TableFilter) -> Result<Vec<TableName>> {
        mysql_catalog::tables(self, filter).await
    }

    async fn describe(&mut self, sql: &str) -> Result<Vec<ColumnMeta>> {
        mysql_describe::describe(self, sql).await
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
pub(super) fn arguments(params: &[Param<'_>]) -> Result<MySqlArguments> {
    let bytes = params.iter().map(|p| match p {
        Param::Text(text) => text.len() + 5,
        Param::Bytes(bytes) => bytes.len() + 5,
        _ => 8,
    });
    let mut out = MySqlArguments::default();
    out.reserve(params.len(), bytes.sum());
    for param in params {
        out.add(param).map_err(|e| Error::record("a value cannot be sent to the database").caused_by(e))?;
    }
    Ok(out)
}

impl Type<MySql> for Param<'_> {
    fn type_info() -> MySqlTypeInfo {
        <str as Type<MySql>>::type_info()
    }
}

impl Encode<'_, MySql> for Param<'_> {
    fn encode_by_ref(&self, buf: &mut Vec<u8>) -> Result<IsNull, BoxDynError> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Bool(v) => <i8 as Encode<MySql>>::encode(i8::from(*v), buf),
            Self::I64(v) => <i64 as Encode<MySql>>::encode(*v, buf),
            Self::U64(v) => <u64 as Encode<MySql>>::encode(*v, buf),
            Self::F32(v) => <f32 as Encode<MySql>>::encode(*v, buf),
            Self::F64(v) => <f64 as Encode<MySql>>::encode(*v, buf),
            Self::Text(v) => <&str as Encode<MySql>>::encode(v, buf),
            Self::Bytes(v) => <&[u8] as Encode<MySql>>::encode(v, buf),
        }
    }

    fn produces(&self) -> Option<MySqlTypeInfo> {
        Some(match self {
            Self::Null | Self::Text(_) => <str as Type<MySql>>::type_info(),
            Self::Bool(_) => <i8 as Type<MySql>>::type_info(),
            Self::I64(_) => <i64 as Type<MySql>>::type_info(),
            Self::U64(_) => <u64 as Type<MySql>>::type_info(),
            Self::F32(_) => <f32 as Type<MySql>>::type_info(),
            Self::F64(_) => <f64 as Type<MySql>>::type_info(),
            Self::Bytes(_) => <[u8] as Type<MySql>>::type_info(),
        })
    }
}

/// The bytes of a column as they came; `None` for NULL.
pub(super) fn raw(row: &MySqlRow, index: usize) -> Result<Option<&[u8]>> {
    let value = row.try_get_raw(index).map_err(|e| Error::fatal("a column is missing in the answer").caused_by(e))?;
    // sqlx takes zero dates for NULL, so ask the bytes themselves
    Ok(<&[u8] as Decode<MySql>>::decode(value).ok())
}

/// One value of a small result, see [`Session::query`].
fn plain(row: &MySqlRow, index: usize) -> Result<Value> {
    let Some(bytes) = raw(row, index)? else { return Ok(Value::Null) };
    let info = row.column(index).type_info();
    let short = || Error::fatal(format!("column {} holds a value that is cut short", row.column(index).name()));
    let text = |text: String| Value::Text(text.into());
    Ok(match info.name() {
        "DATE" => text(WireDateTime::read(bytes).ok_or_else(short)?.date_text()),
        "DATETIME" | "TIMESTAMP" => text(WireDateTime::read(bytes).ok_or_else(short)?.text()),
        "TIME" => text(WireTime::read(bytes).ok_or_else(short)?.text()),
        "FLOAT" => Value::F64(f64::from(f32::from_le_bytes(bytes.try_into().map_err(|_| short())?))),
        "DOUBLE" => Value::F64(f64::from_le_bytes(bytes.try_into().map_err(|_| short())?)),
        name if name == "BOOLEAN" || name == "YEAR" || name.contains("INT") => {
            integer(bytes, name.ends_with("UNSIGNED")).ok_or_else(short)?
        }
        "DECIMAL" | "ENUM" | "SET" | "JSON" => text(String::from_utf8_lossy(bytes).into_owned()),
        "BIT" | "GEOMETRY" => Value::Bytes(bytes.into()),
        _ if <str as Type<MySql>>::compatible(info) => text(String::from_utf8_lossy(bytes).into_owned()),
        _ => Value::Bytes(bytes.into()),
    })
}

/// A little-endian integer of 1, 2, 4 or 8 bytes. Above `i64` it is text.
fn integer(bytes: &[u8], unsigned: bool) -> Option<Value> {
    let mut wide = [0u8; 8];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let value = u64::from_le_bytes(wide);
    if !unsigned {
        let shift = 64 - 8 * u32::try_from(bytes.len()).ok()?;
        return Some(Value::I64((value.checked_shl(shift)? as i64) >> shift));
    }
    Some(i64::try_from(value).map_or_else(|_| Value::Text(value.to_string().into()), Value::I64))
}

#[cfg(test)]
mod tests {
    use connector_api::Value;

    use super::integer;

    #[test]
    fn integers_of_every_width_keep_their_sign() {
        assert_eq!(integer(&[0xff], false), Some(Value::I64(-1)));
        assert_eq!(integer(&[0xff], true), Some(Value::I64(255)));
        assert_eq!(integer(&[0, 0x80], false), Some(Value::I64(-32768)));
        assert_eq!(integer(&[0xff; 8], true), Some(Value::Text("18446744073709551615".into())));
        assert_eq!(integer(&[0xff; 8], false), Some(Value::I64(-1)));
        assert_eq!(integer(&[0; 9], false), None);
    }
}

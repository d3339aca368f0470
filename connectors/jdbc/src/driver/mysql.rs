//! MariaDB and MySQL through sqlx's driver: decodes rows from the bytes of the binary protocol.

use std::sync::Arc;

use connector_api::{Result, SchemaType, Value};
use sqlx::encode::{Encode, IsNull};
use sqlx::error::{BoxDynError, DatabaseError};
use sqlx::mysql::{
    MySqlColumn, MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlQueryResult,
    MySqlRow, MySqlRows, MySqlSslMode, MySqlTypeInfo, ServerKey,
};
use sqlx::types::Type;
use sqlx::{Column, Decode, MySql, Row, TypeInfo};

use super::backend::DatabaseBackend;
use super::certificates::certificates;
use super::session::{SqlxSession, cannot_be_sent, encoded_size, missing_column, truncated_value};
use super::{ConnectOptions, SqlParam};
use crate::dialect::Dialect;
use crate::dialect::mysql::decode::{self, WireFormat};
use crate::dialect::mysql::wire_format::{WireDateTime, WireTime};
use crate::dialect::mysql::{MySqlDialect, bulk};
use crate::dialect::read::{ReadColumn, ValueDecoding};
use crate::url::{self, ConnectionTarget, TlsMode};

/// One connection to MariaDB or MySQL. sqlx sets its time zone to +00:00 and its character set to
/// utf8mb4.
pub(super) type MySqlSession = SqlxSession<MySql>;

impl DatabaseBackend for MySql {
    type ColumnFormat = WireFormat;
    type Opened = ();

    const DIALECT: &'static dyn Dialect = &MySqlDialect;
    const BEGIN: &'static str = "START TRANSACTION";
    const VERSION: &'static str = "SELECT VERSION()";
    const IDENTITY: &'static str =
        "SELECT VERSION(), CONNECTION_ID(), CONCAT(@@hostname, ':', @@port)";
    // the server's default is a day, or a year
    const SETUP: &'static [&'static str] = &["SET SESSION lock_wait_timeout = 30"];

    fn watch_query(id: i64) -> String {
        format!(
            "SELECT CONCAT(@@hostname, ':', @@port), ID = CONNECTION_ID(), COMMAND, STATE \
             FROM information_schema.PROCESSLIST WHERE ID IN (CONNECTION_ID(), {id})"
        )
    }

    /// A session that waits for its client is not working on anything.
    fn busy_state(command: &str, state: &str) -> Option<String> {
        let waits = command == "Sleep"
            || matches!(
                state,
                "Writing to net" | "Sending to client" | "Reading from net"
            );
        (!waits && !command.is_empty()).then(|| format!("{command}, {state}"))
    }

    /// As after `LOCK TABLES … WRITE` or during `ALTER TABLE`.
    fn waits_for_lock(state: &str) -> bool {
        state.contains("Waiting for") && state.contains(" lock")
    }

    fn options(
        target: &ConnectionTarget,
        host: &str,
        port: u16,
        how: ConnectOptions,
    ) -> Result<MySqlConnectOptions> {
        Ok(options(target, host, port)?.max_message_size(how.max_message))
    }

    fn opened(_target: &ConnectionTarget) {}

    fn check((): &()) -> Result<()> {
        Ok(())
    }

    fn executes_rows(connection: &MySqlConnection, version: &str) -> bool {
        connection.takes_rows() && bulk::is_sound(version)
    }

    async fn execute_rows(
        session: &mut MySqlSession,
        sql: &Arc<str>,
        width: usize,
        params: &[SqlParam<'_>],
    ) -> Result<Option<u64>> {
        let Some(rows) = rows_of(width, params)? else {
            return Ok(None);
        };
        let call = session.connection.execute_rows(sql, &rows);
        match session.watchdog.watch(call).await {
            Ok(Err(sqlx::Error::Database(error))) if lacks_command(error.as_ref()) => {
                session.executes_rows = false;
                Ok(None)
            }
            outcome => {
                let done = session.finish(outcome)?;
                Ok(Some(done.rows_affected()))
            }
        }
    }

    fn affected(done: &MySqlQueryResult) -> u64 {
        done.rows_affected()
    }

    fn codes(error: &dyn DatabaseError) -> (String, String) {
        let number = error
            .try_downcast_ref::<MySqlDatabaseError>()
            .map(|e| e.number().to_string());
        (
            number.unwrap_or_default(),
            error.code().unwrap_or_default().into_owned(),
        )
    }

    fn loses_connection(code: &str, _sqlstate: &str) -> bool {
        matches!(
            code.parse(),
            Ok(1053 | 1152..=1161 | 1184 | 1927 | 2006 | 2013)
        )
    }

    /// `ER_UNKNOWN_STMT_HANDLER` (behind poolers) and `ER_NEED_REPREPARE`.
    fn is_stale(error: &dyn DatabaseError) -> bool {
        error
            .try_downcast_ref::<MySqlDatabaseError>()
            .is_some_and(|error| matches!(error.number(), 1243 | 1615))
    }

    fn fits(column: &MySqlColumn, read: &ReadColumn) -> bool {
        match (&read.read, column.type_info().name()) {
            (ValueDecoding::Timestamp(timestamp), "TIMESTAMP") => timestamp.is_instant,
            (ValueDecoding::Timestamp(timestamp), "DATETIME") => !timestamp.is_instant,
            _ => true,
        }
    }

    fn column_format(column: &MySqlColumn, read: &ReadColumn) -> WireFormat {
        wire(column.type_info().name(), &read.read)
    }

    fn value(
        row: &MySqlRow,
        index: usize,
        read: &ReadColumn,
        format: WireFormat,
    ) -> Result<(Value, usize)> {
        Ok(match raw(row, index)? {
            Some(bytes) => (decode::value(read, format, bytes)?, bytes.len()),
            None => (Value::Null, 0),
        })
    }

    fn timestamp(row: &MySqlRow, index: usize, _read: &ReadColumn) -> Result<Option<i64>> {
        Ok(raw(row, index)?.and_then(decode::cursor_micros))
    }

    fn small_value(row: &MySqlRow, index: usize) -> Result<Value> {
        small_value(row, index)
    }
}

fn options(target: &ConnectionTarget, host: &str, port: u16) -> Result<MySqlConnectOptions> {
    let tls = target.tls()?;
    let mut options = MySqlConnectOptions::new()
        .host(host)
        .port(port)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .ssl_mode(match tls.mode {
            TlsMode::Off => MySqlSslMode::Disabled,
            TlsMode::IfOffered => MySqlSslMode::Preferred,
            TlsMode::Encrypted => MySqlSslMode::Required,
            TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
            TlsMode::VerifyFull => MySqlSslMode::VerifyIdentity,
        });
    options = options.server_key(match &tls.server_key {
        url::ServerKey::Refused => ServerKey::Refused,
        url::ServerKey::Sent => ServerKey::Sent,
        url::ServerKey::File(file) => ServerKey::Known(certificates(file)?),
    });
    if let Some(user) = &target.user {
        options = options.username(user);
    }
    if let Some(password) = &target.password {
        options = options.password(password);
    }
    if let Some(database) = &target.database {
        options = options.database(database);
    }
    if let Some(authority) = tls.authority {
        options = options.ssl_ca_from_pem(certificates(&authority)?);
    }
    if let (Some(certificate), Some(key)) = (tls.certificate, tls.key) {
        options = options.ssl_client_cert_from_pem(certificates(&certificate)?);
        options = options.ssl_client_key_from_pem(certificates(&key)?);
    }
    Ok(options)
}

impl Type<MySql> for SqlParam<'_> {
    fn type_info() -> MySqlTypeInfo {
        <str as Type<MySql>>::type_info()
    }
}

impl Encode<'_, MySql> for SqlParam<'_> {
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

/// Encodes rows of `width` parameters each; `None` if two values of one parameter have different
/// types.
fn rows_of(width: usize, params: &[SqlParam<'_>]) -> Result<Option<MySqlRows>> {
    let mut rows = MySqlRows::new(width, encoded_size(params));
    for param in params {
        if !rows.add(param).map_err(cannot_be_sent)? {
            return Ok(None);
        }
    }
    Ok(Some(rows))
}

/// True for `ER_UNKNOWN_COM_ERROR` and `ER_UNSUPPORTED_PS`: the other side (a pooler) does not know
/// the command, or not for this statement.
fn lacks_command(error: &dyn DatabaseError) -> bool {
    error
        .try_downcast_ref::<MySqlDatabaseError>()
        .is_some_and(|error| matches!(error.number(), 1047 | 1295))
}

/// Returns the raw bytes of a column; `None` for NULL.
fn raw(row: &MySqlRow, index: usize) -> Result<Option<&[u8]>> {
    let value = row.try_get_raw(index).map_err(missing_column)?;
    // sqlx treats zero dates as NULL, so look at the bytes themselves
    Ok(<&[u8] as Decode<MySql>>::decode(value).ok())
}

/// Returns the binary protocol's encoding of a column, by sqlx's type name.
fn wire(name: &str, read: &ValueDecoding) -> WireFormat {
    match name {
        "YEAR" => WireFormat::UnsignedInt,
        // a TINYINT of display width 1; sqlx's name omits the sign, but unsigned ones are read as
        // INT16
        "BOOLEAN" if *read == ValueDecoding::Int(SchemaType::Int16) => WireFormat::UnsignedInt,
        "BOOLEAN" => WireFormat::Int,
        "FLOAT" => WireFormat::F32,
        "DOUBLE" => WireFormat::F64,
        "DATE" => WireFormat::Date,
        "DATETIME" | "TIMESTAMP" => WireFormat::DateTime,
        "TIME" => WireFormat::Time,
        name if name.ends_with("INT UNSIGNED") => WireFormat::UnsignedInt,
        name if name.ends_with("INT") => WireFormat::Int,
        _ => WireFormat::Bytes,
    }
}

/// Decodes one value of a small result, see [`Session::query`].
fn small_value(row: &MySqlRow, index: usize) -> Result<Value> {
    let Some(bytes) = raw(row, index)? else {
        return Ok(Value::Null);
    };
    let info = row.column(index).type_info();
    let short = || truncated_value(row.column(index));
    let text = |text: String| Value::Text(text.into());
    Ok(match info.name() {
        "DATE" => text(WireDateTime::read(bytes).ok_or_else(short)?.date_text()),
        "DATETIME" | "TIMESTAMP" => text(WireDateTime::read(bytes).ok_or_else(short)?.text()),
        "TIME" => text(WireTime::read(bytes).ok_or_else(short)?.text()),
        "FLOAT" => Value::F64(f64::from(f32::from_le_bytes(
            bytes.try_into().map_err(|_| short())?,
        ))),
        "DOUBLE" => Value::F64(f64::from_le_bytes(bytes.try_into().map_err(|_| short())?)),
        name if name == "BOOLEAN" || name == "YEAR" || name.contains("INT") => {
            integer(bytes, name.ends_with("UNSIGNED")).ok_or_else(short)?
        }
        "DECIMAL" | "ENUM" | "SET" | "JSON" => text(String::from_utf8_lossy(bytes).into_owned()),
        "BIT" | "GEOMETRY" => Value::Bytes(bytes.into()),
        _ if <str as Type<MySql>>::compatible(info) => {
            text(String::from_utf8_lossy(bytes).into_owned())
        }
        _ => Value::Bytes(bytes.into()),
    })
}

/// Decodes a little-endian integer of 1, 2, 4 or 8 bytes. Above `i64` it is text.
fn integer(bytes: &[u8], unsigned: bool) -> Option<Value> {
    let mut wide = [0u8; 8];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let value = u64::from_le_bytes(wide);
    if !unsigned {
        let shift = 64 - 8 * u32::try_from(bytes.len()).ok()?;
        return Some(Value::I64(value.checked_shl(shift)?.cast_signed() >> shift));
    }
    Some(i64::try_from(value).map_or_else(|_| Value::Text(value.to_string().into()), Value::I64))
}

#[cfg(test)]
mod tests {
    use connector_api::Value;

    use super::{SqlParam, integer, rows_of};

    #[test]
    fn integers_of_every_width_keep_their_sign() {
        assert_eq!(integer(&[0xff], false), Some(Value::I64(-1)));
        assert_eq!(integer(&[0xff], true), Some(Value::I64(255)));
        assert_eq!(integer(&[0, 0x80], false), Some(Value::I64(-32768)));
        assert_eq!(
            integer(&[0xff; 8], true),
            Some(Value::Text("18446744073709551615".into()))
        );
        assert_eq!(integer(&[0xff; 8], false), Some(Value::I64(-1)));
        assert_eq!(integer(&[0; 9], false), None);
    }

    #[test]
    fn rows_whose_values_have_two_types_in_one_column_are_not_sent_together() {
        let (one, text) = (SqlParam::I64(1), SqlParam::Text("a".into()));
        for mixed in [
            [one.clone(), text.clone()],
            [one.clone(), SqlParam::U64(2)],
            [SqlParam::F64(1.0), one.clone()],
            [SqlParam::Bytes([1][..].into()), one.clone()],
        ] {
            assert!(rows_of(1, &mixed).unwrap().is_none(), "{mixed:?}");
            assert!(rows_of(2, &mixed).unwrap().is_some(), "{mixed:?}");
        }
        let nulls = [SqlParam::Null, one, SqlParam::Null];
        assert!(rows_of(1, &nulls).unwrap().is_some());
    }
}

//! PostgreSQL through sqlx's driver: decodes rows from the bytes of the binary protocol.

use connector_api::{Error, Result, SchemaType, Value};
use sqlx::encode::{Encode, IsNull};
use sqlx::error::{BoxDynError, DatabaseError};
use sqlx::postgres::types::Oid;
use sqlx::postgres::{
    LoginMethod, LoginMethods, PgArgumentBuffer, PgColumn, PgConnectOptions, PgConnection,
    PgDatabaseError, PgQueryResult, PgRow, PgSslMode, PgTypeInfo,
};
use sqlx::types::Type;
use sqlx::{Column, Decode, Postgres, Row, TypeInfo};

use super::backend::DatabaseBackend;
use super::certificates::certificates;
use super::session::{SqlxSession, missing_column, truncated_value};
use super::{ConnectOptions, CopyRows, SqlParam};
use crate::dialect::Dialect;
use crate::dialect::postgres::{PostgresDialect, decode};
use crate::dialect::read::{ReadColumn, ValueDecoding};
use crate::url::{ConnectionTarget, LoginKind, TlsMode};

/// One connection to PostgreSQL. sqlx sets its time zone to UTC and its character set to UTF-8.
pub(super) type PostgresSession = SqlxSession<Postgres>;

impl DatabaseBackend for Postgres {
    /// How a column is read determines its encoding.
    type ColumnFormat = ();
    type Opened = ();

    const DIALECT: &'static dyn Dialect = &PostgresDialect;
    const BEGIN: &'static str = "BEGIN";
    const VERSION: &'static str = "SELECT pg_catalog.version()";
    const IDENTITY: &'static str = "SELECT pg_catalog.version(), pg_catalog.pg_backend_pid(), \
                             pg_catalog.pg_postmaster_start_time()::pg_catalog.text";

    const HAS_POOLERS: bool = true;
    // not in place of the user's own
    const SETUP: &'static [&'static str] = &[
        "SELECT pg_catalog.set_config('lock_timeout', '30s', false) \
         WHERE pg_catalog.current_setting('lock_timeout') = '0'",
    ];
    const SETTINGS: Option<(&'static str, &'static str)> = Some(("lock_timeout", "30s"));

    fn is_pooled(connection: &mut PgConnection, number: i64) -> bool {
        let pooled = i64::from(connection.server_process_id()) != number;
        if pooled {
            connection.keep_no_statements();
        }
        pooled
    }

    fn local_setting(sql: &str) -> Option<String> {
        local_setting(sql)
    }

    /// PgBouncer's own texts; it has no translations.
    fn refused_by_pooler(error: &dyn DatabaseError) -> Option<String> {
        let text = error.message();
        if text.contains("not allowed in statement pooling mode") {
            return Some(
                "the pooler at connection.url has pool_mode=statement, which allows no \
                 transactions; use pool_mode=transaction or session for this database, or connect \
                 to the server itself"
                    .to_owned(),
            );
        }
        text.contains("unsupported startup parameter").then(|| {
            format!(
                "the pooler at connection.url refuses a setting of the connection ({text}); add it \
                 to the pooler's ignore_startup_parameters, or leave it out of connection.url"
            )
        })
    }

    fn watch_query(id: i64) -> String {
        format!(
            "SELECT pg_catalog.pg_postmaster_start_time()::pg_catalog.text, \
             CASE WHEN pid = pg_catalog.pg_backend_pid() THEN 1 ELSE 0 END, state, wait_event \
             FROM pg_catalog.pg_stat_activity WHERE pid IN (pg_catalog.pg_backend_pid(), {id})"
        )
    }

    /// A session that waits for its client is not working on anything.
    fn busy_state(state: &str, waits_for: &str) -> Option<String> {
        let works = state == "active" && !waits_for.starts_with("Client");
        works.then(|| {
            if waits_for.is_empty() {
                state.to_owned()
            } else {
                format!("{state}, waits for {waits_for}")
            }
        })
    }

    fn waits_for_lock(state: &str) -> bool {
        state.contains("waits for Lock")
    }

    fn options(
        target: &ConnectionTarget,
        host: &str,
        port: u16,
        how: ConnectOptions,
    ) -> Result<PgConnectOptions> {
        Ok(options(target, host, port)?.max_message_size(how.max_message))
    }

    fn opened(_target: &ConnectionTarget) {}

    fn check((): &()) -> Result<()> {
        Ok(())
    }

    async fn copy(
        session: &mut PostgresSession,
        sql: &str,
        rows: &mut dyn CopyRows,
    ) -> Result<u64> {
        let copied = async {
            let Some(first) = rows.next_part() else {
                return Ok(0);
            };
            let mut copy = session.connection.copy_in_raw(sql).await?;
            copy.send(first.as_bytes()).await?;
            while let Some(part) = rows.next_part() {
                copy.send(part.as_bytes()).await?;
            }
            copy.finish().await
        };
        let copied = session.watchdog.watch(copied).await;
        session.finish(copied)
    }

    /// Refuses U+0000: texts in a message end at their first NUL, and the server would report what
    /// follows as a protocol violation, as if the connection were broken.
    fn check_sql(sql: &str) -> Result<()> {
        match sql.contains('\0') {
            true => Err(Error::config(
                "a statement with the character U+0000 is not sent to PostgreSQL",
            )),
            false => Ok(()),
        }
    }

    fn affected(done: &PgQueryResult) -> u64 {
        done.rows_affected()
    }

    fn codes(error: &dyn DatabaseError) -> (String, String) {
        (String::new(), error.code().unwrap_or_default().into_owned())
    }

    fn loses_connection(_code: &str, sqlstate: &str) -> bool {
        sqlstate.starts_with("08") || sqlstate.starts_with("57P")
    }

    /// The error's routine distinguishes, in any language, a plan with a changed result type from
    /// unsupported features. 26000 and 42P05 come from poolers, which route a connection to
    /// changing servers.
    fn is_stale(error: &dyn DatabaseError) -> bool {
        match error.code().as_deref() {
            Some("26000" | "42P05") => true,
            Some("0A000") => {
                let routine = error
                    .try_downcast_ref::<PgDatabaseError>()
                    .and_then(PgDatabaseError::routine);
                routine == Some("RevalidateCachedQuery")
            }
            _ => false,
        }
    }

    /// A policy for rows refuses with the SQLSTATE of a missing privilege, but from a routine of its
    /// own. With a context the error comes from inside of a trigger, or from reading one value
    /// (regclass, hstore), instead of from the statement.
    fn is_about_a_row(error: &dyn DatabaseError) -> bool {
        let Some(error) = error.try_downcast_ref::<PgDatabaseError>() else {
            return false;
        };
        match error.code() {
            "42501" => error.routine() == Some("ExecWithCheckOptions"),
            "42P01" | "XX000" => error.r#where().is_some_and(|context| !context.is_empty()),
            _ => false,
        }
    }

    fn fits(column: &PgColumn, read: &ReadColumn) -> bool {
        let name = column.type_info().name();
        match &read.read {
            ValueDecoding::Bool => matches!(name, "BOOL" | "BIT"),
            ValueDecoding::Int(SchemaType::Int16) => name == "INT2",
            ValueDecoding::Int(SchemaType::Int32) => name == "INT4",
            ValueDecoding::Int(_) => name == "INT8",
            ValueDecoding::F32 => name == "FLOAT4",
            ValueDecoding::F64 => name == "FLOAT8",
            ValueDecoding::Text => matches!(name, "TEXT" | "VARCHAR" | "CHAR" | "NAME"),
            ValueDecoding::Bytes if read.bits => matches!(name, "BIT" | "VARBIT"),
            ValueDecoding::Bytes => name == "BYTEA",
            ValueDecoding::BitInt => name == "BIT",
            ValueDecoding::Date(_) => name == "DATE",
            ValueDecoding::Time(_) => name == "TIME",
            ValueDecoding::Timestamp(timestamp) => {
                name == if timestamp.is_instant {
                    "TIMESTAMPTZ"
                } else {
                    "TIMESTAMP"
                }
            }
            ValueDecoding::Decimal
            | ValueDecoding::Scaled(_)
            | ValueDecoding::DecimalInt(_)
            | ValueDecoding::DecimalF64
            | ValueDecoding::YearDate(..) => true,
        }
    }

    fn column_format(_column: &PgColumn, _read: &ReadColumn) {}

    fn value(row: &PgRow, index: usize, read: &ReadColumn, (): ()) -> Result<(Value, usize)> {
        Ok(match raw(row, index)? {
            Some(bytes) => (decode::value(read, bytes)?, bytes.len()),
            None => (Value::Null, 0),
        })
    }

    fn timestamp(row: &PgRow, index: usize, _read: &ReadColumn) -> Result<Option<i64>> {
        Ok(raw(row, index)?.and_then(decode::cursor_micros))
    }

    fn small_value(row: &PgRow, index: usize) -> Result<Value> {
        small_value(row, index)
    }
}

/// Returns a session's setting as one of the current transaction.
fn local_setting(sql: &str) -> Option<String> {
    let rest = sql.strip_prefix("SET ")?;
    let rest = rest.strip_prefix("SESSION ").unwrap_or(rest);
    Some(match rest.strip_prefix("CHARACTERISTICS AS ") {
        Some(transaction) => format!("SET {transaction}"),
        None if rest.starts_with("TRANSACTION ") => format!("SET {rest}"),
        None if rest.starts_with("LOCAL ") || rest.starts_with("CONSTRAINTS ") => return None,
        None => format!("SET LOCAL {rest}"),
    })
}

fn options(target: &ConnectionTarget, host: &str, port: u16) -> Result<PgConnectOptions> {
    let name = target
        .param("ApplicationName")
        .or_else(|| target.param("application_name"))
        .unwrap_or("rowferry");
    let tls = target.tls()?;
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(host)
        .port(port)
        .application_name(name);
    options = options.ssl_mode(match tls.mode {
        TlsMode::Off => PgSslMode::Disable,
        TlsMode::IfOffered => PgSslMode::Prefer,
        TlsMode::Encrypted => PgSslMode::Require,
        TlsMode::VerifyCa => PgSslMode::VerifyCa,
        TlsMode::VerifyFull => PgSslMode::VerifyFull,
    });
    options = options.login_methods(LoginMethods::of(target.logins()?.into_iter().map(
        |login| match login {
            LoginKind::None => LoginMethod::None,
            LoginKind::Password => LoginMethod::Password,
            LoginKind::Md5 => LoginMethod::Md5,
            LoginKind::Scram => LoginMethod::ScramSha256,
        },
    )));
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
        options = options.ssl_root_cert_from_pem(certificates(&authority)?);
    }
    if let (Some(certificate), Some(key)) = (tls.certificate, tls.key) {
        options = options.ssl_client_cert_from_pem(certificates(&certificate)?);
        options = options.ssl_client_key_from_pem(certificates(&key)?);
    }
    let settings = target.options()?;
    // poolers refuse the parameter, also if it is empty
    Ok(match settings.is_empty() {
        true => options,
        false => options.options(settings),
    })
}

impl Type<Postgres> for SqlParam<'_> {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for SqlParam<'_> {
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

    /// PostgreSQL has no unsigned integers: they are sent as text, to be cast to numeric.
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

/// Returns the raw bytes of a column; `None` for NULL.
fn raw(row: &PgRow, index: usize) -> Result<Option<&[u8]>> {
    let value = row.try_get_raw(index).map_err(missing_column)?;
    Ok(value.as_bytes().ok())
}

/// Decodes one value of a small result, see [`Session::query`].
fn small_value(row: &PgRow, index: usize) -> Result<Value> {
    let column = row.column(index);
    let value = row.try_get_raw(index).map_err(missing_column)?;
    let Ok(bytes) = value.as_bytes() else {
        return Ok(Value::Null);
    };
    let short = |e: BoxDynError| truncated_value(column).caused_by(e);
    Ok(match column.type_info().name() {
        "BOOL" => Value::Bool(<bool as Decode<Postgres>>::decode(value).map_err(short)?),
        "INT2" => Value::I64(i64::from(
            <i16 as Decode<Postgres>>::decode(value).map_err(short)?,
        )),
        "INT4" => Value::I64(i64::from(
            <i32 as Decode<Postgres>>::decode(value).map_err(short)?,
        )),
        "INT8" => Value::I64(<i64 as Decode<Postgres>>::decode(value).map_err(short)?),
        "OID" => Value::I64(i64::from(
            <Oid as Decode<Postgres>>::decode(value).map_err(short)?.0,
        )),
        "FLOAT4" => Value::F64(f64::from(
            <f32 as Decode<Postgres>>::decode(value).map_err(short)?,
        )),
        "FLOAT8" => Value::F64(<f64 as Decode<Postgres>>::decode(value).map_err(short)?),
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN" => {
            Value::Text(String::from_utf8_lossy(bytes).into())
        }
        _ => Value::Bytes(bytes.into()),
    })
}

//! SQLite through sqlx's driver, which runs a thread for each connection.

use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::Duration;

use connector_api::{Error, Heartbeat, Result, Value};
use sqlx::encode::{Encode, IsNull};
use sqlx::error::{BoxDynError, DatabaseError};
use sqlx::sqlite::{
    SqliteArgumentsBuffer, SqliteColumn, SqliteConnectOptions, SqliteConnection, SqliteJournalMode,
    SqliteQueryResult, SqliteRow, SqliteSynchronous, SqliteTypeInfo,
};
use sqlx::types::Type;
use sqlx::{Decode, Row, Sqlite, TypeInfo, ValueRef};

use super::backend::DatabaseBackend;
use super::session::{SqlxSession, missing_column, truncated_value};
use super::{AccessMode, ConnectOptions, SqlParam};
use crate::dialect::Dialect;
use crate::dialect::read::ReadColumn;
use crate::dialect::sqlite::decode::{self, StorageValue};
use crate::dialect::sqlite::{SqliteDialect, first_words, is_one_statement};
use crate::url::{ConnectionTarget, truth};

/// How long a statement waits for another connection's lock, unless the URL sets it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// SQLite calls the progress handler after that many of its steps: every few microseconds, unless a
/// step builds a long value.
const STEPS: i32 = 1_000;

/// Lower bound of the length limit: it applies to reading the file's own catalog, too.
const LEAST_LENGTH: usize = 1 << 20;

pub(super) type SqliteSession = SqlxSession<Sqlite>;

impl DatabaseBackend for Sqlite {
    /// Each value has its own storage class.
    type ColumnFormat = ();
    /// The file that was opened: another one may later have its name.
    type Opened = Option<FileId>;

    const DIALECT: &'static dyn Dialect = &SqliteDialect;
    /// Takes the write lock at once: a transaction that reads before it writes may fail to get the
    /// lock later.
    const BEGIN: &'static str = "BEGIN IMMEDIATE";
    const VERSION: &'static str = "SELECT sqlite_version()";

    /// Beats as SQLite makes progress, and interrupts a statement that nobody waits for any more,
    /// which would occupy its thread for ever.
    async fn watch_progress(
        connection: &mut SqliteConnection,
        progress: &Heartbeat,
        wanted: Weak<()>,
    ) {
        let progress = progress.clone();
        if let Ok(mut handle) = connection.lock_handle().await {
            handle.set_progress_handler(STEPS, move || {
                progress.beat();
                wanted.strong_count() > 0
            });
        }
    }

    fn options(
        target: &ConnectionTarget,
        _host: &str,
        _port: u16,
        how: ConnectOptions,
    ) -> Result<SqliteConnectOptions> {
        let options = options(target, how.access)?;
        // a sink's values came through Kafka, which has limits of its own
        let is_read = how.access == AccessMode::Existing;
        let bytes = i32::try_from(how.max_message.max(LEAST_LENGTH)).unwrap_or(i32::MAX);
        Ok(if is_read {
            options.max_length(bytes)
        } else {
            options
        })
    }

    fn opened(target: &ConnectionTarget) -> Option<FileId> {
        // the path as written: a link may later point elsewhere
        FileId::of(&path(target))
    }

    /// Fails if the file was replaced or removed: the connection would read and write one that
    /// nobody sees.
    fn check(opened: &Option<FileId>) -> Result<()> {
        match opened {
            Some(file) if FileId::of(&file.path).as_ref() != Some(file) => {
                Err(Error::retry(format!(
                    "{} was replaced or removed while it was open; it is opened again",
                    file.path.display()
                )))
            }
            _ => Ok(()),
        }
    }

    /// Refuses several statements in one text, because sqlx runs all of them: a query could hide a
    /// write after a semicolon.
    fn check_query(sql: &str) -> Result<()> {
        if first_words(sql).any(|word| word.eq_ignore_ascii_case("PRAGMA")) {
            return Err(Error::config("query is a PRAGMA: it must be a SELECT"));
        }
        if is_one_statement(sql) {
            return Ok(());
        }
        Err(Error::config(
            "query and query.suffix contain more than one statement: keep only the SELECT",
        ))
    }

    /// Refuses statements that open files other than those the URL names.
    fn check_sql(sql: &str) -> Result<()> {
        first_words(sql).try_for_each(check_verb)
    }

    /// Refuses several statements in one text, because SQLite runs all of them: one could hide
    /// another that ends the transaction, or a PRAGMA. Memory PRAGMAs (`hard_heap_limit`) affect
    /// all databases of this process, including the metadata store.
    fn check_statement(sql: &str) -> Result<()> {
        let mut words = first_words(sql);
        let verb = words.next().unwrap_or_default();
        check_verb(verb)?;
        if verb.eq_ignore_ascii_case("PRAGMA") {
            return Err(Error::config("PRAGMA is not allowed for SQLite"));
        }
        match words.next() {
            Some(next) => Err(Error::config(format!(
                "a text with more than one statement is not allowed for SQLite: the next begins \
                 with {next}"
            ))),
            None => Ok(()),
        }
    }

    fn affected(done: &SqliteQueryResult) -> u64 {
        done.rows_affected()
    }

    fn codes(error: &dyn DatabaseError) -> (String, String) {
        (error.code().unwrap_or_default().into_owned(), String::new())
    }

    /// True for `SQLITE_TOOBIG` (18).
    fn is_too_long(code: &str) -> bool {
        code.parse::<u32>().is_ok_and(|code| code & 0xff == 18)
    }

    /// After an I/O error the connection's view of the file is unusable.
    fn loses_connection(code: &str, _sqlstate: &str) -> bool {
        code.parse::<u32>().is_ok_and(|code| code & 0xff == 10)
    }

    fn column_format(_column: &SqliteColumn, _read: &ReadColumn) {}

    fn value(row: &SqliteRow, index: usize, read: &ReadColumn, (): ()) -> Result<(Value, usize)> {
        let stored = stored(row, index)?;
        let weight = match stored {
            StorageValue::Text(bytes) | StorageValue::Blob(bytes) => bytes.len(),
            StorageValue::Null => 0,
            StorageValue::Integer(_) | StorageValue::Real(_) => 8,
        };
        Ok((decode::value(read, stored)?, weight))
    }

    fn timestamp(row: &SqliteRow, index: usize, _read: &ReadColumn) -> Result<Option<i64>> {
        Ok(decode::cursor_micros(stored(row, index)?))
    }

    fn small_value(row: &SqliteRow, index: usize) -> Result<Value> {
        Ok(match stored(row, index)? {
            StorageValue::Null => Value::Null,
            StorageValue::Integer(n) => Value::I64(n),
            StorageValue::Real(n) => Value::F64(n),
            StorageValue::Text(text) => Value::Text(String::from_utf8_lossy(text).into()),
            StorageValue::Blob(bytes) => Value::Bytes(bytes.into()),
        })
    }
}

/// Errors: `Config` for statements that access other files.
fn check_verb(word: &str) -> Result<()> {
    let reaches = ["ATTACH", "DETACH", "VACUUM"]
        .iter()
        .any(|verb| word.eq_ignore_ascii_case(verb));
    if reaches {
        return Err(Error::config(format!(
            "{word} is not allowed for SQLite: it accesses other files than the URL's"
        )));
    }
    Ok(())
}

/// Distinguishes files of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl FileId {
    #[cfg(unix)]
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            path: path.to_owned(),
            device: found.dev(),
            inode: found.ino(),
        })
    }

    /// On other platforms an open file can neither be removed nor replaced.
    #[cfg(not(unix))]
    fn of(path: &Path) -> Option<Self> {
        path.exists().then(|| Self {
            path: path.to_owned(),
            device: 0,
            inode: 0,
        })
    }
}

/// Returns the file's path. A name beginning with `file:` would be read as a URI, whose options
/// could reach further.
fn path(target: &ConnectionTarget) -> PathBuf {
    let path = target.database.as_deref().unwrap_or_default();
    if path.starts_with("file:") {
        Path::new(".").join(path)
    } else {
        path.into()
    }
}

/// Returns the file's path if it may be used. Errors: `Config`.
fn allowed_path(target: &ConnectionTarget) -> Result<PathBuf> {
    let path = path(target);
    target
        .files
        .as_ref()
        .map_or(Ok(path.clone()), |files| files.admit(&path))
}

/// True if connecting would create the file.
/// Errors: `Config` if its folder is missing, it may not be used, or an option is invalid.
pub(super) fn would_create(target: &ConnectionTarget) -> Result<bool> {
    with_parameters(SqliteConnectOptions::new(), target)?;
    let path = allowed_path(target)?;
    let creates = target.param("mode").is_none_or(|mode| mode == "rwc");
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    match (path.exists(), folder.is_dir()) {
        (true, _) => Ok(false),
        (false, true) => Ok(creates),
        (false, false) => Err(Error::config(format!(
            "the folder of the SQLite file {} does not exist; correct the path in connection.url, \
             or create the folder",
            path.display()
        ))),
    }
}

fn options(target: &ConnectionTarget, access: AccessMode) -> Result<SqliteConnectOptions> {
    let path = allowed_path(target)?;
    let mode = target.param("mode").unwrap_or("rwc");
    let create = access == AccessMode::Create && mode == "rwc";
    if !path.exists() && !create {
        return Err(Error::config(format!(
            "the SQLite file {} does not exist; correct the path in connection.url (relative paths \
             start at the worker's working directory), or create the database",
            path.display()
        )));
    }
    would_create(target)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        .read_only(mode == "ro")
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(false);
    with_parameters(options, target)
}

/// Adds the URL's options. Errors: `Config` for a value that its option cannot have.
fn with_parameters(
    mut options: SqliteConnectOptions,
    target: &ConnectionTarget,
) -> Result<SqliteConnectOptions> {
    for (name, value) in &target.params {
        let wrong = |words: &str| {
            Error::config(format!(
                "connection.url: {name}={value} is invalid; write {words}"
            ))
        };
        options = match name.to_ascii_lowercase().as_str() {
            "busy_timeout" => {
                let millis = value
                    .parse::<u32>()
                    .ok()
                    .filter(|n| i32::try_from(*n).is_ok());
                let millis = millis.ok_or_else(|| wrong("milliseconds, at most 2147483647"))?;
                options.busy_timeout(Duration::from_millis(u64::from(millis)))
            }
            "foreign_keys" => {
                options.foreign_keys(flag(value).ok_or_else(|| wrong("true or false"))?)
            }
            "journal_mode" => options.journal_mode(
                value
                    .parse::<SqliteJournalMode>()
                    .map_err(|_| wrong("delete, truncate, persist, memory, wal or off"))?,
            ),
            "synchronous" => options.synchronous(
                value
                    .parse::<SqliteSynchronous>()
                    .map_err(|_| wrong("off, normal, full or extra"))?,
            ),
            "mode" if !matches!(value.as_str(), "ro" | "rw" | "rwc") => {
                return Err(wrong("ro, rw or rwc"));
            }
            _ => options,
        };
    }
    Ok(options)
}

fn flag(text: &str) -> Option<bool> {
    truth(text).filter(|_| !text.is_empty())
}

/// Returns a value in its storage class.
fn stored(row: &SqliteRow, index: usize) -> Result<StorageValue<'_>> {
    let value = row.try_get_raw(index).map_err(missing_column)?;
    if value.is_null() {
        return Ok(StorageValue::Null);
    }
    let short = |e: BoxDynError| truncated_value(row.column(index)).caused_by(e);
    let class = value.type_info().into_owned();
    Ok(match class.name() {
        "INTEGER" => StorageValue::Integer(<i64 as Decode<Sqlite>>::decode(value).map_err(short)?),
        "REAL" => StorageValue::Real(<f64 as Decode<Sqlite>>::decode(value).map_err(short)?),
        "TEXT" => StorageValue::Text(<&[u8] as Decode<Sqlite>>::decode(value).map_err(short)?),
        _ => StorageValue::Blob(<&[u8] as Decode<Sqlite>>::decode(value).map_err(short)?),
    })
}

impl Type<Sqlite> for SqlParam<'_> {
    fn type_info() -> SqliteTypeInfo {
        <str as Type<Sqlite>>::type_info()
    }
}

impl Encode<'_, Sqlite> for SqlParam<'_> {
    fn encode_by_ref(&self, buf: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Bool(v) => <i64 as Encode<Sqlite>>::encode(i64::from(*v), buf),
            Self::I64(v) => <i64 as Encode<Sqlite>>::encode(*v, buf),
            Self::U64(v) => match i64::try_from(*v) {
                Ok(v) => <i64 as Encode<Sqlite>>::encode(v, buf),
                Err(_) => Err("SQLite has no integers beyond 9223372036854775807".into()),
            },
            // a column has 64 bits: the float with the same shortest text, so that 0.1 stays 0.1
            Self::F32(v) => {
                <Self as Encode<Sqlite>>::encode(Self::F64(v.to_string().parse()?), buf)
            }
            Self::F64(v) if v.is_nan() => Err("SQLite would store NaN as NULL".into()),
            Self::F64(v) => <f64 as Encode<Sqlite>>::encode(*v, buf),
            Self::Text(v) => <&str as Encode<Sqlite>>::encode(v, buf),
            Self::Bytes(v) => <&[u8] as Encode<Sqlite>>::encode(v, buf),
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Sqlite;
    use sqlx::sqlite::SqliteConnectOptions;

    use super::with_parameters;
    use crate::driver::backend::DatabaseBackend;
    use crate::url::ConnectionTarget;

    #[test]
    fn an_option_of_the_url_takes_its_own_values_only() {
        for (name, right, wrong) in [
            (
                "busy_timeout",
                &["0", "2147483647"][..],
                &["", "-1", "1.5", "5s", "2147483648"][..],
            ),
            (
                "foreign_keys",
                &["true", "OFF", "1", "no"],
                &["", "2", "maybe"],
            ),
            ("journal_mode", &["wal", "DELETE", "off"], &["", "wall"]),
            ("synchronous", &["off", "FULL", "extra"], &["", "yes"]),
            ("mode", &["ro", "rw", "rwc"], &["", "RO", "memory_"]),
            ("Foreign_Keys", &["true"], &["nope"]),
        ] {
            let tried = |value: &str| {
                let url = format!("jdbc:sqlite:/x.db?{name}={value}");
                let target = ConnectionTarget::parse(&url).unwrap();
                with_parameters(SqliteConnectOptions::new(), &target).map(drop)
            };
            for value in right {
                assert!(tried(value).is_ok(), "{name}={value}");
            }
            for value in wrong {
                let error = tried(value).unwrap_err();
                let text = format!("connection.url: {name}={value} is invalid; write ");
                assert!(error.message().starts_with(&text), "{error}");
            }
        }
    }

    #[test]
    fn statements_that_run_alone_hide_no_other() {
        for sql in [
            "INSERT INTO t VALUES (';PRAGMA x');",
            "UPDATE [a;b] SET c = 1",
            "WITH a AS (SELECT 1) DELETE FROM t /* ; */ ; -- COMMIT",
        ] {
            assert!(Sqlite::check_statement(sql).is_ok(), "{sql}");
        }
        for (sql, want) in [
            ("SELECT 1 AS [']; COMMIT; --']", "begins with COMMIT"),
            (
                "SELECT 1 AS [\"]; PRAGMA hard_heap_limit=1 --\"]",
                "begins with PRAGMA",
            ),
            ("/**/pragma hard_heap_limit=1", "PRAGMA is not allowed"),
            (";ATTACH 'x' AS y", "ATTACH is not allowed"),
        ] {
            let error = Sqlite::check_statement(sql).unwrap_err();
            assert!(error.message().contains(want), "{sql}: {error}");
        }
    }
}

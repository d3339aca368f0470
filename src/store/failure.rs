//! Failures of the store: what is wrong, where, and how to fix it.

use connector_api::{Error, ErrorKind};
use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

/// What is wrong with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreTrouble {
    /// Its disk is full.
    Full,
    /// Its database is unreachable, does not answer, or asks to retry.
    Unreachable,
    /// Another program holds it.
    InUse,
    /// Another worker has changed it meanwhile, and it is this worker's alone.
    Foreign,
    /// Another worker that shares it has changed it meanwhile: read it and try again.
    Changed,
    /// Its contents cannot be read.
    Damaged,
    /// Its file is missing or empty, although files that belong to it still exist.
    Lost,
    /// The URL, the account, the key or a privilege has to be corrected.
    Refused,
    /// Any other error of its database.
    Broken,
}

/// A change or query that failed.
#[derive(Clone, Debug)]
pub struct StoreFailure {
    /// The kind of failure.
    pub trouble: StoreTrouble,
    /// Description and remedy, without secrets or row values.
    pub text: String,
    /// The change may or may not have been kept; [`super::Store::settle`] reports which once the
    /// store can be read. If false, it was not kept.
    pub in_doubt: bool,
}

impl StoreFailure {
    pub(super) fn new(trouble: StoreTrouble, text: impl Into<String>) -> Self {
        Self {
            trouble,
            text: text.into(),
            in_doubt: false,
        }
    }

    /// Converts a database error. Its text quotes only statements of ours, which hold no values.
    pub(super) fn of(error: &sqlx::Error, place: &str) -> Self {
        let trouble = match error {
            sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => {
                StoreTrouble::Unreachable
            }
            sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => StoreTrouble::Refused,
            sqlx::Error::Database(cause) => of_database(&**cause),
            _ => StoreTrouble::Broken,
        };
        Self::from_cause(trouble, place, &error.to_string())
    }

    /// Builds the text: the store, the cause, the remedy.
    pub(super) fn from_cause(trouble: StoreTrouble, place: &str, cause: &str) -> Self {
        let cure = match trouble {
            StoreTrouble::Full => "free space on its disk",
            StoreTrouble::Unreachable => {
                "check that its database is up and can be reached from here"
            }
            StoreTrouble::InUse => {
                "another worker or program uses it: stop that one, or give this worker its own \
                 store (--data-dir); several workers can share a store on MariaDB, MySQL or \
                 PostgreSQL if all of them have rowferry.store.shared=true"
            }
            StoreTrouble::Foreign => {
                "another worker has changed it in the meantime, so this worker changes nothing \
                 more until it is restarted: stop the other worker if it still runs, then restart \
                 this one, which loads the stored state"
            }
            StoreTrouble::Changed => "try again",
            StoreTrouble::Damaged => {
                "stop the worker and replace the file with a backup; or save what can be read with \
                 `sqlite3 FILE .recover | sqlite3 NEW` and use that file; or move the file away, \
                 start with an empty store and create the connectors again: they continue where \
                 they were, because positions are stored in Kafka and in the target databases"
            }
            StoreTrouble::Lost => {
                "restore the file from a backup, or correct rowferry.store.url or \
                 rowferry.data.dir (--data-dir) if the store is elsewhere; a store with another \
                 name needs its own folder. To start without connectors, move the other files of \
                 the store away: connectors that are created again continue where they were, \
                 because positions are stored in Kafka and in the target databases"
            }
            StoreTrouble::Refused => "check the URL, the account and its privileges",
            StoreTrouble::Broken => "the log of its database may have details",
        };
        Self::new(
            trouble,
            format!("the metadata store of rowferry.store.url ({place}) fails: {cause}; {cure}"),
        )
    }

    pub(super) fn silent(place: &str) -> Self {
        Self::from_cause(
            StoreTrouble::Unreachable,
            place,
            "it did not answer in time",
        )
    }
}

/// For fail points, which return connector errors.
impl From<Error> for StoreFailure {
    fn from(error: Error) -> Self {
        let trouble = if error.kind() == ErrorKind::Retry {
            StoreTrouble::Unreachable
        } else {
            StoreTrouble::Broken
        };
        Self::new(
            trouble,
            format!("the metadata store of rowferry.store.url: {error}"),
        )
    }
}

impl From<StoreFailure> for Error {
    fn from(failure: StoreFailure) -> Self {
        let kind = match failure.trouble {
            StoreTrouble::Full
            | StoreTrouble::Unreachable
            | StoreTrouble::InUse
            | StoreTrouble::Changed => ErrorKind::Retry,
            StoreTrouble::Refused | StoreTrouble::Lost => ErrorKind::Config,
            StoreTrouble::Foreign | StoreTrouble::Damaged | StoreTrouble::Broken => {
                ErrorKind::Fatal
            }
        };
        Self::new(kind, failure.text)
    }
}

fn of_database(error: &dyn DatabaseError) -> StoreTrouble {
    if error.try_downcast_ref::<SqliteError>().is_some() {
        return error
            .code()
            .and_then(|code| code.parse().ok())
            .map_or(StoreTrouble::Broken, of_sqlite);
    }
    if let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() {
        return of_mysql(error.number());
    }
    let Some(error) = error.try_downcast_ref::<PgDatabaseError>() else {
        return StoreTrouble::Broken;
    };
    // The plan was made before the table changed; missing features have the same code.
    if error.code() == "0A000" && error.routine() == Some("RevalidateCachedQuery") {
        return StoreTrouble::Unreachable;
    }
    of_postgres(error.code())
}

/// Source: <https://sqlite.org/rescode.html>; the lowest byte of an extended code is the primary
/// code.
fn of_sqlite(code: i32) -> StoreTrouble {
    match code & 0xff {
        // BUSY, LOCKED
        5 | 6 => StoreTrouble::InUse,
        // FULL
        13 => StoreTrouble::Full,
        // CORRUPT, NOTADB
        11 | 26 => StoreTrouble::Damaged,
        // PERM, READONLY, CANTOPEN, AUTH
        3 | 8 | 14 | 23 => StoreTrouble::Refused,
        _ => StoreTrouble::Broken,
    }
}

/// Source: the error references of MariaDB and MySQL.
fn of_mysql(number: u16) -> StoreTrouble {
    match number {
        // disk full, table full
        1021 | 1114 => StoreTrouble::Full,
        // access denied, unknown database, no privilege, read-only
        1044 | 1045 | 1049 | 1142 | 1227 | 1290 | 1698 | 1792 | 1836 => StoreTrouble::Refused,
        // too many connections, shutting down, lock waits, deadlocks, statements to prepare again,
        // interrupted, killed
        1040 | 1053 | 1203 | 1205 | 1213 | 1243 | 1615 | 1317 | 1927 | 3024 => {
            StoreTrouble::Unreachable
        }
        // crashed table, broken index
        126 | 127 | 145 | 1034 | 1035 | 1194 | 1712 => StoreTrouble::Damaged,
        _ => StoreTrouble::Broken,
    }
}

/// Source: appendix A of the PostgreSQL manual.
fn of_postgres(code: &str) -> StoreTrouble {
    match code {
        "53100" => StoreTrouble::Full,
        // The last two: a pooler has switched servers, and the new one does not know the prepared
        // statement.
        "40001" | "40P01" | "55P03" | "26000" | "42P05" => StoreTrouble::Unreachable,
        "25006" | "3D000" | "42501" => StoreTrouble::Refused,
        "XX001" | "XX002" => StoreTrouble::Damaged,
        _ if code.starts_with("28") => StoreTrouble::Refused,
        _ if code.starts_with("08") || code.starts_with("53") || code.starts_with("57") => {
            StoreTrouble::Unreachable
        }
        _ => StoreTrouble::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_databases_are_distinguished() {
        assert_eq!(
            [of_sqlite(13), of_sqlite(261), of_sqlite(779), of_sqlite(10)],
            {
                [
                    StoreTrouble::Full,
                    StoreTrouble::InUse,
                    StoreTrouble::Damaged,
                    StoreTrouble::Broken,
                ]
            }
        );
        assert_eq!([of_mysql(1114), of_mysql(1213), of_mysql(1045)], {
            [
                StoreTrouble::Full,
                StoreTrouble::Unreachable,
                StoreTrouble::Refused,
            ]
        });
        assert_eq!(
            [
                of_postgres("53100"),
                of_postgres("57P01"),
                of_postgres("28P01"),
                of_postgres("23505")
            ],
            {
                [
                    StoreTrouble::Full,
                    StoreTrouble::Unreachable,
                    StoreTrouble::Refused,
                    StoreTrouble::Broken,
                ]
            }
        );
    }
}

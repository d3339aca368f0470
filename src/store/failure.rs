//! Why the store did not do what was asked: what is wrong, where, and how to mend it.

use connector_api::{Error, ErrorKind};
use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

/// What is wrong with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreTrouble {
    /// There is no room on its disk.
    Full,
    /// Its database cannot be reached, does not answer, or asks to try again.
    Unreachable,
    /// Another program holds it.
    InUse,
    /// Another worker has changed it meanwhile.
    Foreign,
    /// What is in it cannot be read.
    Damaged,
    /// Its file is gone or holds nothing, and what belongs to it is still there.
    Lost,
    /// The URL, the account, the key or a privilege has to be corrected.
    Refused,
    /// Anything else that its database says.
    Broken,
}

/// A change or a question that failed.
#[derive(Clone, Debug)]
pub struct StoreFailure {
    /// What is wrong.
    pub trouble: StoreTrouble,
    /// The same in words, with what mends it. No secrets, no values.
    pub text: String,
    /// Whether a change was kept is not known; [`super::Store::settle`] tells once the store can be read. Otherwise it was
    /// not kept.
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

    /// What the database says about our own statements, which hold no values.
    pub(super) fn of(error: &sqlx::Error, place: &str) -> Self {
        let trouble = match error {
            sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => {
                StoreTrouble::Unreachable
            }
            sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => StoreTrouble::Refused,
            sqlx::Error::Database(cause) => of_database(&**cause),
            _ => StoreTrouble::Broken,
        };
        Self::told(trouble, place, &error.to_string())
    }

    /// A text of one pattern: the store, the cause, the cure.
    pub(super) fn told(trouble: StoreTrouble, place: &str, cause: &str) -> Self {
        let cure = match trouble {
            StoreTrouble::Full => "make room on the disk that holds it",
            StoreTrouble::Unreachable => "see that its database is up and can be reached from here",
            StoreTrouble::InUse => {
                "it is in use by another worker or program: end that, or give this worker a store of its own (--data-dir)"
            }
            StoreTrouble::Foreign => {
                "another worker has changed it meanwhile, so this one changes nothing more until it is restarted: end the \
                 other one if it still runs, then restart this one, which takes up what is stored"
            }
            StoreTrouble::Damaged => {
                "end the worker and put a copy of the file, made before, in its place; or save what can be read with \
                 `sqlite3 FILE .recover | sqlite3 NEW` and put that in its place; or move the file away, start with an \
                 empty store and create the connectors again: they go on where they were, since positions are in Kafka \
                 and in the target databases"
            }
            StoreTrouble::Lost => {
                "put the file back from a copy, or correct rowferry.store.url or rowferry.data.dir (--data-dir) if the store \
                 is elsewhere; give a store of another name a folder of its own. To start anew, without connectors, move \
                 what is beside it away: connectors created again go on where they were, since positions are in Kafka and \
                 in the target databases"
            }
            StoreTrouble::Refused => "check the URL, the account and what it may do",
            StoreTrouble::Broken => "the log of its database may say more",
        };
        Self::new(
            trouble,
            format!("the metadata store of rowferry.store.url ({place}) fails: {cause}; {cure}"),
        )
    }

    pub(super) fn silent(place: &str) -> Self {
        Self::told(
            StoreTrouble::Unreachable,
            place,
            "it did not answer in time",
        )
    }
}

/// For fail points, which give errors of connectors.
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
            StoreTrouble::Full | StoreTrouble::Unreachable | StoreTrouble::InUse => {
                ErrorKind::Retry
            }
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
    // a plan of before the table changed; other features that are missing have that code too
    if error.code() == "0A000" && error.routine() == Some("RevalidateCachedQuery") {
        return StoreTrouble::Unreachable;
    }
    of_postgres(error.code())
}

/// Source: <https://sqlite.org/rescode.html>; the lowest byte of an extended code is the primary one.
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

/// Source: the MariaDB and MySQL error references.
fn of_mysql(number: u16) -> StoreTrouble {
    match number {
        // disk full, a table is full
        1021 | 1114 => StoreTrouble::Full,
        // access denied, unknown database, no privilege, read-only
        1044 | 1045 | 1049 | 1142 | 1227 | 1290 | 1698 | 1792 | 1836 => StoreTrouble::Refused,
        // too many connections, shutting down, lock waits, deadlocks, statements to prepare anew, interrupted, killed
        1040 | 1053 | 1203 | 1205 | 1213 | 1243 | 1615 | 1317 | 1927 | 3024 => {
            StoreTrouble::Unreachable
        }
        // a crashed table, an index that is broken
        126 | 127 | 145 | 1034 | 1035 | 1194 | 1712 => StoreTrouble::Damaged,
        _ => StoreTrouble::Broken,
    }
}

/// Source: PostgreSQL's appendix A.
fn of_postgres(code: &str) -> StoreTrouble {
    match code {
        "53100" => StoreTrouble::Full,
        // the last two: a pooler has come to another server, which does not know what was prepared
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
    fn codes_of_databases_are_told_apart() {
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

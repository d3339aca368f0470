//! Where the store is: parses its URL, and holds the connect options and the migrations.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous};

use super::failure::{StoreFailure, StoreTrouble};
use super::files;

/// How long to wait for a worker that is just ending and still locks the store.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(3);

/// The location of the store.
pub(super) struct StoreLocation {
    pub(super) kind: StoreKind,
    /// The location for texts: without user and password.
    pub(super) shown: String,
}

/// The database that the URL names.
pub(super) enum StoreKind {
    Memory(Box<SqliteConnectOptions>),
    File(Box<SqliteConnectOptions>, PathBuf),
    MySql(Box<MySqlConnectOptions>),
    Postgres(Box<PgConnectOptions>),
}

/// True if the URL names a database that several workers can share. Errors: `Config` for an invalid
/// URL.
pub fn is_shareable(url: &str) -> connector_api::Result<bool> {
    let is_file = url.starts_with("sqlite:");
    Ok(!is_file && StoreLocation::parse(url)?.is_server())
}

/// True if both URLs name the same database server and database. Errors: `Config` for an invalid URL.
pub fn is_same_place(one: &str, other: &str) -> connector_api::Result<bool> {
    if one.starts_with("sqlite:") || other.starts_with("sqlite:") {
        return Ok(one == other);
    }
    Ok(StoreLocation::parse(one)?.shown == StoreLocation::parse(other)?.shown)
}

impl StoreLocation {
    /// Parses the URL and creates the folder of an SQLite file. Errors: `Refused`.
    pub(super) fn parse(url: &str) -> Result<Self, StoreFailure> {
        let (scheme, _) = url.split_once(':').unwrap_or_default();
        match scheme {
            "sqlite" => Self::sqlite(url),
            "mysql" | "mariadb" => {
                tls_is_read(
                    url,
                    &[
                        "sslmode", "ssl-mode", "sslca", "ssl-ca", "sslcert", "ssl-cert", "sslkey",
                        "ssl-key",
                    ],
                )?;
                let options = MySqlConnectOptions::from_str(url).map_err(bad_url)?;
                let shown = server(
                    "mysql",
                    options.get_host(),
                    options.get_port(),
                    options.get_database(),
                );
                Ok(Self {
                    kind: StoreKind::MySql(Box::new(options)),
                    shown,
                })
            }
            "postgres" | "postgresql" => {
                let read = [
                    "sslmode",
                    "ssl-mode",
                    "sslrootcert",
                    "ssl-root-cert",
                    "ssl-ca",
                    "sslcert",
                    "ssl-cert",
                    "sslkey",
                    "ssl-key",
                ];
                tls_is_read(url, &read)?;
                let options = PgConnectOptions::from_str(url).map_err(bad_url)?;
                let shown = server(
                    "postgres",
                    options.get_host(),
                    options.get_port(),
                    options.get_database(),
                );
                Ok(Self {
                    kind: StoreKind::Postgres(Box::new(options)),
                    shown,
                })
            }
            _ => Err(bad_url("it names no supported database")),
        }
    }

    /// Options: WAL, so that a write is one append; `synchronous=FULL`, so that an acknowledged
    /// config survives a power loss (WAL with NORMAL may lose the last commits); exclusive locking,
    /// so that no second worker runs the same connectors; `secure_delete`, so that deleted data is
    /// not left in free pages.
    fn sqlite(url: &str) -> Result<Self, StoreFailure> {
        let options = SqliteConnectOptions::from_str(url).map_err(bad_url)?;
        let in_memory = url.contains(":memory:");
        let options = options
            .create_if_missing(true)
            .busy_timeout(BUSY_TIMEOUT)
            .locking_mode(if in_memory {
                SqliteLockingMode::Normal
            } else {
                SqliteLockingMode::Exclusive
            })
            .journal_mode(if in_memory {
                SqliteJournalMode::Memory
            } else {
                SqliteJournalMode::Wal
            })
            .synchronous(SqliteSynchronous::Full)
            .pragma("secure_delete", "ON");
        if in_memory {
            return Ok(Self {
                kind: StoreKind::Memory(Box::new(options)),
                shown: "SQLite in memory".to_owned(),
            });
        }
        let path = options.get_filename().to_owned();
        if let Some(folder) = path.parent() {
            files::private_folder(folder)?;
        }
        let shown = format!("SQLite file {}", path.display());
        Ok(Self {
            kind: StoreKind::File(Box::new(options), path),
            shown,
        })
    }

    /// Returns the folder of the store's file.
    pub(super) fn folder(&self) -> Option<&Path> {
        match &self.kind {
            StoreKind::File(_, path) => path.parent(),
            _ => None,
        }
    }

    /// True if a key file created for a store is beside the store's file. A key file named by
    /// `rowferry.secrets.key` does not count: a user put it there, so it says nothing about the
    /// store.
    pub(super) fn has_own_key(&self, configured: Option<&str>) -> bool {
        let Some(key) = self.folder().map(|folder| folder.join(files::KEY_FILE)) else {
            return false;
        };
        let same = |named: &str| match (Path::new(named).canonicalize(), key.canonicalize()) {
            (Ok(named), Ok(key)) => named == key,
            _ => false,
        };
        key.exists()
            && !configured
                .and_then(|text| text.strip_prefix(super::key::FILE))
                .is_some_and(same)
    }

    /// True if the store's contents live in the connection.
    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self.kind, StoreKind::Memory(_))
    }

    /// True if the store is on a database server.
    pub(super) fn is_server(&self) -> bool {
        matches!(self.kind, StoreKind::MySql(_) | StoreKind::Postgres(_))
    }

    /// Returns the migrations in order; the first has number 1.
    pub(super) fn migrations(&self) -> Migrator {
        let scripts = match self.kind {
            StoreKind::Memory(_) | StoreKind::File(..) => [
                include_str!("../../migrations/sqlite/0001_connectors.sql"),
                include_str!("../../migrations/sqlite/0002_last_change.sql"),
                include_str!("../../migrations/sqlite/0003_workers.sql"),
                include_str!("../../migrations/sqlite/0004_draining_workers.sql"),
            ],
            StoreKind::MySql(_) => [
                include_str!("../../migrations/mysql/0001_connectors.sql"),
                include_str!("../../migrations/mysql/0002_last_change.sql"),
                include_str!("../../migrations/mysql/0003_workers.sql"),
                include_str!("../../migrations/mysql/0004_draining_workers.sql"),
            ],
            StoreKind::Postgres(_) => [
                include_str!("../../migrations/postgres/0001_connectors.sql"),
                include_str!("../../migrations/postgres/0002_last_change.sql"),
                include_str!("../../migrations/postgres/0003_workers.sql"),
                include_str!("../../migrations/postgres/0004_draining_workers.sql"),
            ],
        };
        let migration = |(version, script): (i64, &'static str)| {
            let description = Cow::Borrowed("rowferry metadata");
            Migration::new(
                version,
                description,
                MigrationType::Simple,
                script.into_sql_str(),
                false,
            )
        };
        Migrator::with_migrations((1..).zip(scripts).map(migration).collect())
    }
}

fn server(scheme: &str, host: &str, port: u16, database: Option<&str>) -> String {
    format!("{scheme}://{host}:{port}/{}", database.unwrap_or_default())
}

/// Refuses TLS parameters that would not be read: the connection would silently be unencrypted.
fn tls_is_read(url: &str, read: &[&str]) -> Result<(), StoreFailure> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    for name in query
        .split('&')
        .map(|pair| pair.split('=').next().unwrap_or(pair))
    {
        let lower = name.to_ascii_lowercase();
        let asks = ["ssl", "tls", "trust", "keystore", "channel", "gssenc"]
            .iter()
            .any(|part| lower.contains(part));
        if asks && !read.contains(&name) {
            return Err(bad_url(format!(
                "{name} is not supported here, but {}",
                read.join(", ")
            )));
        }
    }
    Ok(())
}

fn bad_url(why: impl std::fmt::Display) -> StoreFailure {
    let text = format!(
        "rowferry.store.url cannot be used: {why}; write sqlite:PATH, mysql://USER:PASSWORD@HOST/DATABASE or \
         postgres://USER:PASSWORD@HOST/DATABASE"
    );
    StoreFailure::new(StoreTrouble::Refused, text)
}

/// Returns the file that the URL of an SQLite store names.
pub fn file_of_url(url: &str) -> Option<PathBuf> {
    let options = url
        .starts_with("sqlite:")
        .then(|| SqliteConnectOptions::from_str(url).ok())??;
    Some(options.get_filename().to_owned())
}

/// Returns the URL of a store in an SQLite file.
pub fn url_of_file(path: &str) -> String {
    let path = path
        .replace('%', "%25")
        .replace('?', "%3F")
        .replace('#', "%23");
    format!("sqlite:{path}")
}

#[cfg(test)]
mod tests {
    use super::StoreLocation;

    #[test]
    fn tls_is_asked_for_in_words_that_are_read_or_refused() {
        for url in [
            "mysql://h/d?useSSL=true",
            "mysql://h/d?sslMode=REQUIRED",
            "mysql://h/d?ssl-mode=REQUIRED&sslrootcert=x",
            "postgres://h/d?ssl=true",
            "postgres://h/d?sslmode=require&channel_binding=require",
        ] {
            assert!(StoreLocation::parse(url).is_err(), "{url}");
        }
        for url in [
            "mysql://h/d?ssl-mode=REQUIRED&ssl-ca=/ca.pem",
            "postgres://h/d?sslmode=require",
            "mysql://h/d",
        ] {
            assert!(StoreLocation::parse(url).is_ok(), "{url}");
        }
    }
}

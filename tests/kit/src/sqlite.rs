//! SQLite files in the scratch folder, and connections of the tests to them.

use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row};

use crate::lab::Scratch;

/// The place of a database; the first writer creates the file.
pub struct SqliteFile {
    path: PathBuf,
}

impl SqliteFile {
    /// `<name>.db` in the scratch folder.
    pub fn new(scratch: &Scratch, name: &str) -> Self {
        Self {
            path: scratch.folder("sqlite", None).join(format!("{name}.db")),
        }
    }

    /// The database in that file.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `jdbc:sqlite:…`
    pub fn jdbc_url(&self) -> String {
        format!("jdbc:sqlite:{}", self.path.display())
    }

    /// A connection; makes the file if need be.
    pub async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(true);
        options
            .connect()
            .await
            .unwrap_or_else(|error| panic!("connect to {}: {error}", self.path.display()))
    }
}

/// Sends SQL statements, separated by `;`, that must succeed.
pub async fn run(connection: &mut SqliteConnection, sql: &str) {
    let sent = connection
        .execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
        .await;
    sent.unwrap_or_else(|error| panic!("{error} in: {}", sql.get(..2000).unwrap_or(sql)));
}

/// The rows of a query that must succeed, every cell as SQLite's text.
pub async fn rows(connection: &mut SqliteConnection, sql: &str) -> Vec<Vec<Option<String>>> {
    let fetched = sqlx::query(AssertSqlSafe(sql.to_owned()))
        .fetch_all(connection)
        .await;
    let rows = fetched.unwrap_or_else(|error| panic!("{error} in: {sql}"));
    let cell = |row: &SqliteRow, n: usize| row.try_get_unchecked(n).expect("a text");
    rows.iter()
        .map(|row| (0..row.len()).map(|n| cell(row, n)).collect())
        .collect()
}

/// The first column of a query's rows, which must be text.
pub async fn texts(connection: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let fetched = sqlx::query(AssertSqlSafe(sql.to_owned()))
        .fetch_all(connection)
        .await;
    let rows = fetched.unwrap_or_else(|error| panic!("{error} in: {sql}"));
    rows.iter().map(|row| row.get(0)).collect()
}

//! The three databases behind one face.

use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Executor, MySqlConnection, PgConnection, Row, SqliteConnection};
use testkit::{MariaDb, Postgres, SqliteFile};

use super::values::{Column, Flavour};
use crate::lab;

enum Connection {
    MariaDb(MySqlConnection),
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// A database of its own, and how connectors reach it.
pub struct Database {
    connection: Connection,
    url: String,
}

impl Database {
    /// One of each.
    pub async fn all(name: &str) -> [Self; 3] {
        let file = SqliteFile::new(lab().scratch(), name);
        [
            Self {
                connection: Connection::MariaDb(lab().mariadb().create_database(name).await),
                url: lab().mariadb().jdbc_url(name),
            },
            Self {
                connection: Connection::Postgres(lab().postgres().create_database(name).await),
                url: lab().postgres().jdbc_url(name),
            },
            Self {
                connection: Connection::Sqlite(file.connect().await),
                url: file.jdbc_url(),
            },
        ]
    }

    pub fn flavour(&self) -> Flavour {
        match self.connection {
            Connection::MariaDb(_) => Flavour::MariaDb,
            Connection::Postgres(_) => Flavour::Postgres,
            Connection::Sqlite(_) => Flavour::Sqlite,
        }
    }

    pub fn name(&self) -> &'static str {
        match self.flavour() {
            Flavour::MariaDb => "mariadb",
            Flavour::Postgres => "postgres",
            Flavour::Sqlite => "sqlite",
        }
    }

    /// A connector's config with this database's connection.
    pub fn with_connection(&self, mut config: Value) -> Value {
        config["connection.url"] = self.url.clone().into();
        let account = match self.flavour() {
            Flavour::MariaDb => Some((MariaDb::USER, MariaDb::PASSWORD)),
            Flavour::Postgres => Some((Postgres::USER, Postgres::PASSWORD)),
            Flavour::Sqlite => None,
        };
        if let Some((user, password)) = account {
            config["connection.user"] = user.into();
            config["connection.password"] = password.into();
        }
        config
    }

    pub fn create_table(&self, table: &str, columns: &[Column]) -> String {
        let line = |c: &Column| {
            format!(
                "{} {}{}",
                c.name,
                c.sql_type(self.flavour()),
                if c.required { " NOT NULL" } else { "" }
            )
        };
        let lines: Vec<_> = columns.iter().map(line).collect();
        format!(
            "CREATE TABLE {table} (id INTEGER PRIMARY KEY, {})",
            lines.join(", ")
        )
    }

    /// A statement that must succeed.
    pub async fn run(&mut self, sql: &str) {
        let text = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let done = match &mut self.connection {
            Connection::MariaDb(c) => c.execute(text).await.map(drop),
            Connection::Postgres(c) => c.execute(text).await.map(drop),
            Connection::Sqlite(c) => c.execute(text).await.map(drop),
        };
        done.unwrap_or_else(|error| panic!("{}: {error} in: {sql}", self.name()));
    }

    async fn texts(&mut self, sql: &str) -> sqlx::Result<Vec<Vec<Option<String>>>> {
        let query = AssertSqlSafe(sql.to_owned());
        macro_rules! texts {
            ($connection:expr) => {{
                let rows = sqlx::query(query).fetch_all($connection).await?;
                rows.iter()
                    .map(|row| (0..row.len()).map(|n| row.try_get(n)).collect())
                    .collect()
            }};
        }
        match &mut self.connection {
            Connection::MariaDb(c) => texts!(c),
            Connection::Postgres(c) => texts!(c),
            Connection::Sqlite(c) => {
                let rows = sqlx::query(query).fetch_all(c).await?;
                // floats come as numbers
                let number = |row: &SqliteRow, n| {
                    row.try_get(n)
                        .map(|n: Option<f64>| n.map(|n| format!("{n:?}")))
                };
                let text = |row: &SqliteRow, n: usize| row.try_get(n).or_else(|_| number(row, n));
                rows.iter()
                    .map(|row| (0..row.len()).map(|n| text(row, n)).collect())
                    .collect()
            }
        }
    }

    /// How many rows a table has; 0 while there is none.
    pub async fn count(&mut self, table: &str) -> i64 {
        let sql = match self.flavour() {
            Flavour::MariaDb => format!("SELECT CAST(COUNT(*) AS CHAR) FROM `{table}`"),
            Flavour::Postgres | Flavour::Sqlite => {
                format!("SELECT CAST(COUNT(*) AS TEXT) FROM \"{table}\"")
            }
        };
        match self.texts(&sql).await {
            Ok(rows) => rows[0][0].as_deref().unwrap_or_default().parse().unwrap(),
            Err(sqlx::Error::Database(_)) => 0,
            Err(error) => panic!("{error} in: {sql}"),
        }
    }

    /// The rows by id, in canonical texts.
    pub async fn rows(&mut self, table: &str, columns: &[Column]) -> Vec<Vec<String>> {
        let shown: Vec<_> = columns.iter().map(|c| c.shown(self.flavour())).collect();
        let quote = if self.flavour() == Flavour::Postgres {
            '"'
        } else {
            '`'
        };
        let sql = format!(
            "SELECT {} FROM {quote}{table}{quote} ORDER BY id",
            shown.join(",")
        );
        let rows = self
            .texts(&sql)
            .await
            .unwrap_or_else(|error| panic!("{}: {error} in: {sql}", self.name()));
        let canonical = |row: &Vec<Option<String>>| {
            columns
                .iter()
                .zip(row)
                .map(|(column, shown)| column.canonical(shown.as_deref()))
                .collect()
        };
        rows.iter().map(canonical).collect()
    }
}

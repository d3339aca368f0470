//! Writers whose transactions overlap, on either database.

use std::time::Duration;

use connector_api::Config;
use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor, Row};
use testkit::{MariaDb, Postgres, Random};

use crate::lab;
use crate::source::config;

/// The database of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    MariaDb,
    Postgres,
}

impl Server {
    /// Config of a source over this database, with more keys.
    pub fn config(self, database: &str, keys: &[(&str, &str)]) -> Config {
        let (url, user, password) = match self {
            Self::MariaDb => (
                lab().mariadb().jdbc_url(database),
                MariaDb::USER,
                MariaDb::PASSWORD,
            ),
            Self::Postgres => (
                lab().postgres().jdbc_url(database),
                Postgres::USER,
                Postgres::PASSWORD,
            ),
        };
        config(&url, user, password, keys)
    }

    /// SQL type of timestamps with microseconds.
    pub fn timestamp_type(self) -> &'static str {
        match self {
            Self::MariaDb => "DATETIME(6)",
            Self::Postgres => "TIMESTAMPTZ",
        }
    }
}

/// A connection to either.
pub enum Sql {
    MariaDb(MySqlConnection),
    Postgres(PgConnection),
}

impl Sql {
    pub async fn connect(server: Server, database: &str) -> Self {
        match server {
            Server::MariaDb => Self::MariaDb(lab().mariadb().connect(database).await),
            Server::Postgres => Self::Postgres(lab().postgres().connect(database).await),
        }
    }

    pub async fn create_database(server: Server, database: &str) -> Self {
        match server {
            Server::MariaDb => Self::MariaDb(lab().mariadb().create_database(database).await),
            Server::Postgres => Self::Postgres(lab().postgres().create_database(database).await),
        }
    }

    /// Sends a statement that must succeed.
    pub async fn run(&mut self, sql: &str) {
        let text = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let sent = match self {
            Self::MariaDb(connection) => connection.execute(text).await.map(drop),
            Self::Postgres(connection) => connection.execute(text).await.map(drop),
        };
        sent.unwrap_or_else(|error| panic!("{error} in: {sql}"));
    }

    /// Rows of two numbers and a text.
    pub async fn rows(&mut self, sql: &str) -> Vec<(i64, i64, String)> {
        let text = AssertSqlSafe(sql.to_owned());
        let rows = match self {
            Self::MariaDb(connection) => {
                let rows = sqlx::query(text).fetch_all(connection).await;
                rows.map(|rows| {
                    rows.iter()
                        .map(|r| (r.get(0), r.get(1), r.get(2)))
                        .collect()
                })
            }
            Self::Postgres(connection) => {
                let rows = sqlx::query(text).fetch_all(connection).await;
                rows.map(|rows| {
                    rows.iter()
                        .map(|r| (r.get(0), r.get(1), r.get(2)))
                        .collect()
                })
            }
        };
        rows.unwrap_or_else(|error| panic!("{error} in: {sql}"))
    }
}

/// How a writer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// Transactions of 1 to 5 inserts, some of them slow, a tenth rolled back.
    Transactions,
    /// Single inserts, as fast as they go.
    Autocommit,
    /// Transactions of 1 to 3 updates of own rows, some of them slow, a tenth rolled back.
    Updates,
    /// Single inserts of stamped rows, with pauses, so that often no transaction is open.
    Stamped,
}

impl Writing {
    /// Whether rows have stamps.
    pub fn has_stamps(self) -> bool {
        matches!(self, Self::Updates | Self::Stamped)
    }
}

/// One writer, until it has written that many rows.
pub async fn write(
    server: Server,
    database: String,
    writing: Writing,
    writer: u64,
    of: u64,
    rows: u64,
    seed: u64,
) {
    let mut sql = Sql::connect(server, &database).await;
    let mut random = Random::from_seed(seed.wrapping_add(writer.wrapping_mul(0x9e37)));
    let mut written = 0;
    while written < rows {
        if writing == Writing::Autocommit {
            sql.run("INSERT INTO t (n) VALUES (1)").await;
            written += 1;
            continue;
        }
        if writing == Writing::Stamped {
            let id = ROWS + 1 + written * of + writer;
            sql.run(&format!(
                "INSERT INTO t VALUES ({id}, 0, CURRENT_TIMESTAMP(6))"
            ))
            .await;
            tokio::time::sleep(Duration::from_millis(random.below(30))).await;
            written += 1;
            continue;
        }
        sql.run("BEGIN").await;
        let statements = 1 + random.below(if writing == Writing::Updates { 3 } else { 5 });
        for _ in 0..statements {
            match writing {
                Writing::Updates => {
                    // rows of its own, so that writers never wait for each other
                    let id = random.below(ROWS / of) * of + writer + 1;
                    sql.run(&format!(
                        "UPDATE t SET v = v + 1, ts = CURRENT_TIMESTAMP(6) WHERE id = {id}"
                    ))
                    .await;
                }
                _ => sql.run("INSERT INTO t (n) VALUES (1)").await,
            }
            let pause = match random.below(100) {
                0..2 => 300 + random.below(500),
                2..20 => random.below(50),
                _ => 0,
            };
            if pause > 0 {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        }
        sql.run(if random.below(10) == 0 {
            "ROLLBACK"
        } else {
            "COMMIT"
        })
        .await;
        written += statements;
    }
}

/// Rows of the table that is updated.
pub const ROWS: u64 = 600;

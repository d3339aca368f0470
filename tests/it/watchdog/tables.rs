//! The tables of one case: in MariaDB or in PostgreSQL, read by pages or all at once.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use testkit::{Postgres, Rest, for_condition, mariadb, postgres, unique};

use crate::lab;
use crate::pipeline::Pipeline;

enum Sql {
    MariaDb(MySqlConnection),
    Postgres {
        from: PgConnection,
        to: PgConnection,
    },
}

/// A source table `t` and the table that its rows arrive in.
pub struct Tables {
    pub pipeline: Pipeline,
    sql: Sql,
    /// Keys of the source beside those of the pipeline.
    source: Value,
}

impl Tables {
    pub async fn of_mariadb() -> Self {
        let (pipeline, connection) = Pipeline::new(lab().mariadb(), "still", "t").await;
        let mut tables = Self {
            pipeline,
            sql: Sql::MariaDb(connection),
            source: json!({}),
        };
        tables
            .run("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, at TEXT)")
            .await;
        tables
    }

    pub async fn of_postgres() -> Self {
        let mut tables = Self::empty().await;
        tables
            .run("CREATE TABLE t (id SERIAL PRIMARY KEY, at TEXT)")
            .await;
        tables
    }

    /// In PostgreSQL; read once by one statement.
    pub async fn without_key() -> Self {
        let mut tables = Self::empty().await;
        tables.run("CREATE TABLE t (id SERIAL, at TEXT)").await;
        tables.source = json!({"mode": "bulk", "incrementing.column.name": null, "poll.interval.ms": "3600000"});
        tables
    }

    async fn empty() -> Self {
        let name = unique("still");
        let copy = format!("{name}_copy");
        let (from, to) = (
            lab().postgres().create_database(&name).await,
            lab().postgres().create_database(&copy).await,
        );
        Self {
            pipeline: Pipeline {
                name,
                table: "t",
                copy,
            },
            sql: Sql::Postgres { from, to },
            source: json!({}),
        }
    }

    /// Sends a statement to the source's database.
    pub async fn run(&mut self, sql: &str) {
        match &mut self.sql {
            Sql::MariaDb(connection) => mariadb::run(connection, sql).await,
            Sql::Postgres { from, .. } => drop(postgres::texts(from, sql).await),
        }
    }

    /// Creates both connectors with these keys besides.
    pub async fn create(&self, rest: &Rest, mut source: Value, mut sink: Value) {
        let mut add = |of_source: &Value, of_sink: &Value| {
            source
                .as_object_mut()
                .unwrap()
                .extend(of_source.as_object().unwrap().clone());
            sink.as_object_mut()
                .unwrap()
                .extend(of_sink.as_object().unwrap().clone());
        };
        add(&self.source, &json!({}));
        if matches!(self.sql, Sql::Postgres { .. }) {
            let place = |database: &str| {
                json!({"connection.url": lab().postgres().jdbc_url(database), "connection.user": Postgres::USER,
                    "connection.password": Postgres::PASSWORD})
            };
            add(&place(&self.pipeline.name), &place(&self.pipeline.copy));
        }
        self.pipeline
            .create(rest, lab().mariadb(), source, sink)
            .await;
    }

    async fn arrived(&mut self) -> i64 {
        let topic = self.pipeline.topic();
        match &mut self.sql {
            Sql::MariaDb(connection) => self.pipeline.arrived(connection).await,
            Sql::Postgres { to, .. } => {
                let made = format!("SELECT 1::text WHERE to_regclass('\"{topic}\"') IS NOT NULL");
                if postgres::texts(to, &made).await.is_empty() {
                    return 0;
                }
                let count =
                    postgres::texts(to, &format!("SELECT COUNT(*)::text FROM \"{topic}\"")).await;
                count[0][0]
                    .as_deref()
                    .and_then(|count| count.parse().ok())
                    .unwrap()
            }
        }
    }

    pub async fn wait_arrived(&mut self, rows: i64, within: Duration) {
        let what = format!("{rows} rows in the table of {}", self.pipeline.topic());
        for_condition(&what, within, async || self.arrived().await >= rows).await;
    }

    /// Panics unless the table that arrived holds the source's rows, no more and no fewer. Returns how many.
    pub async fn assert_same(&mut self) -> i64 {
        let topic = self.pipeline.topic();
        match &mut self.sql {
            Sql::MariaDb(connection) => self.pipeline.assert_same(connection).await,
            Sql::Postgres { from, to } => {
                let rows =
                    |table: &str| format!("SELECT id::text, at FROM \"{table}\" ORDER BY id, at");
                let (want, have) = (
                    postgres::texts(from, &rows("t")).await,
                    postgres::texts(to, &rows(&topic)).await,
                );
                assert_eq!(have, want, "{topic}");
                i64::try_from(want.len()).unwrap()
            }
        }
    }
}

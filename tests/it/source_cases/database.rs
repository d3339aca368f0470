//! The database of a case: made, filled and dropped over one connection, time zone UTC.

use serde_json::Value;
use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};

use super::play::Failure;
use crate::lab;

/// A connection to it.
pub(super) enum Database {
    MariaDb(MySqlConnection),
    Postgres(PgConnection),
}

impl Database {
    /// Makes the database of that name.
    pub(super) async fn create(recording: &Value, name: &str) -> Result<Self, Failure> {
        let mut database = if recording["database"] == "mariadb" {
            let mut connection = lab().mariadb().connect("mysql").await;
            to_mariadb(&mut connection, "SET sql_mode = DEFAULT").await?;
            let charset = "CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci";
            to_mariadb(
                &mut connection,
                &format!("CREATE DATABASE `{name}` {charset}"),
            )
            .await?;
            to_mariadb(&mut connection, &format!("USE `{name}`")).await?;
            Self::MariaDb(connection)
        } else {
            let mut connection = lab().postgres().connect("postgres").await;
            to_postgres(
                &mut connection,
                &format!("CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'"),
            )
            .await?;
            let mut connection = lab().postgres().connect(name).await;
            to_postgres(&mut connection, "SET TIME ZONE 'UTC'").await?;
            Self::Postgres(connection)
        };
        for statement in recording["session"].as_array().into_iter().flatten() {
            database.send(statement.as_str().expect("SQL")).await?;
        }
        Ok(database)
    }

    /// Sends one statement.
    pub(super) async fn send(&mut self, sql: &str) -> Result<(), Failure> {
        match self {
            Self::MariaDb(connection) => to_mariadb(connection, sql).await,
            Self::Postgres(connection) => to_postgres(connection, sql).await,
        }
    }

    /// Sends the statements in one transaction.
    pub(super) async fn send_together(&mut self, statements: &[&str]) -> Result<(), Failure> {
        self.send("BEGIN").await?;
        for statement in statements {
            self.send(statement).await?;
        }
        self.send("COMMIT").await
    }

    /// Drops it, and those it made beside itself.
    pub(super) async fn drop(mut self, name: &str) -> Result<(), Failure> {
        match &mut self {
            Self::MariaDb(connection) => {
                let sql = "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE CONCAT(?, '%')";
                let names: Vec<(String,)> = sqlx::query_as(sql)
                    .bind(name)
                    .fetch_all(&mut *connection)
                    .await
                    .map_err(|e| e.to_string())?;
                for (name,) in names {
                    to_mariadb(connection, &format!("DROP DATABASE `{name}`")).await?;
                }
            }
            Self::Postgres(_) => {
                drop(self);
                let mut connection = lab().postgres().connect("postgres").await;
                to_postgres(
                    &mut connection,
                    &format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"),
                )
                .await?;
            }
        }
        Ok(())
    }
}

async fn to_mariadb(connection: &mut MySqlConnection, sql: &str) -> Result<(), Failure> {
    let sent = connection
        .execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
        .await;
    sent.map(drop).map_err(|error| format!("{error} in: {sql}"))
}

async fn to_postgres(connection: &mut PgConnection, sql: &str) -> Result<(), Failure> {
    let sent = connection
        .execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
        .await;
    sent.map(drop).map_err(|error| format!("{error} in: {sql}"))
}

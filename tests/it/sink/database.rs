//! The databases that a sink writes to, behind one face, so that a test runs on each.

use connector_api::Config;
use sqlx::{AssertSqlSafe, Executor, MySqlConnection, PgConnection, Row};
use testkit::{MariaDb, Postgres, unique};

use super::records::{self, Task, Topic};
use crate::lab;

/// A database of one test.
pub struct Database {
    /// `mariadb`, `postgres`: for texts of failed tests.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// `jdbc:…`.
    pub url: String,
    connection: Connection,
}

enum Connection {
    MariaDb(MySqlConnection),
    Postgres(PgConnection),
}

/// A new database on each kind of server.
pub async fn all() -> Vec<Database> {
    vec![mariadb().await, postgres().await]
}

/// A new MariaDB database.
pub async fn mariadb() -> Database {
    let (name, server) = (unique("sink"), lab().mariadb());
    let connection = Connection::MariaDb(server.create_database(&name).await);
    Database { kind: "mariadb", url: server.jdbc_url(&name), name, connection }
}

/// A new PostgreSQL database.
pub async fn postgres() -> Database {
    let (name, server) = (unique("sink"), lab().postgres());
    let connection = Connection::Postgres(server.create_database(&name).await);
    Database { kind: "postgres", url: server.jdbc_url(&name), name, connection }
}

impl Database {
    /// The configuration of a sink into it.
    pub fn config(&self, keys: &[(&str, &str)]) -> Config {
        let mut config = records::config(&self.url, keys);
        let (user, password) = self.account();
        config.set("connection.user", user);
        config.set("connection.password", password);
        config
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        match self.connection {
            Connection::MariaDb(_) => lab().mariadb().port(),
            Connection::Postgres(_) => lab().postgres().port(),
        }
    }

    /// The URL with another port, such as a proxy's.
    pub fn url_at(&self, port: u16) -> String {
        self.url.replace(&format!(":{}/", self.port()), &format!(":{port}/"))
    }

    /// User and password.
    pub fn account(&self) -> (&'static str, &'static str) {
        match self.connection {
            Connection::MariaDb(_) => (MariaDb::USER, MariaDb::PASSWORD),
            Connection::Postgres(_) => (Postgres::USER, Postgres::PASSWORD),
        }
    }

    /// A task that holds the topic's partition.
    pub async fn open(&self, topic: &Topic, tolerate: bool, keys: &[(&str, &str)]) -> Task {
        let mut task = records::open(&self.config(keys), tolerate).await;
        task.assign(&topic.partitions()).await.unwrap();
        task
    }

    /// Sends statements, separated by `;`, that must succeed.
    pub async fn run(&mut self, sql: &str) {
        let sent = match &mut self.connection {
            Connection::MariaDb(c) => c.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.map(drop),
            Connection::Postgres(c) => c.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.map(drop),
        };
        sent.unwrap_or_else(|error| panic!("{}: {error} in: {sql}", self.kind));
    }

    /// Rows as text: `columns` of what `rest` says (`FROM t ORDER BY a`), separated by `|`, NULLs left out.
    pub async fn select(&mut self, columns: &str, rest: &str) -> Vec<String> {
        let sql = format!("SELECT CONCAT_WS('|', {columns}) {rest}");
        match &mut self.connection {
            Connection::MariaDb(c) => {
                let rows = sqlx::query(AssertSqlSafe(sql.clone()))
                    .fetch_all(c)
                    .await
                    .unwrap_or_else(|e| panic!("{e} in: {sql}"));
                rows.iter().map(|row| row.get(0)).collect()
            }
            Connection::Postgres(c) => {
                let rows = sqlx::query(AssertSqlSafe(sql.clone()))
                    .fetch_all(c)
                    .await
                    .unwrap_or_else(|e| panic!("{e} in: {sql}"));
                rows.iter().map(|row| row.get(0)).collect()
            }
        }
    }
}

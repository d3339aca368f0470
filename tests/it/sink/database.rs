//! The databases that a sink writes to, behind one face, so that a test runs on each.

use std::fmt;

use connector_api::{Config, Error, SinkRecord};
use sqlx::{AssertSqlSafe, Executor, MySqlConnection, PgConnection, SqliteConnection};
use testkit::{MariaDb, Postgres, SqliteFile, mariadb, postgres, sqlite, unique};

use super::records::{self, Task, Topic};
use crate::lab;

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    MariaDb,
    Postgres,
    Sqlite,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

use Server::{MariaDb as M, Postgres as P, Sqlite as S};

/// Every database.
pub const ALL: &[Server] = &[M, P, S];

/// Those that are servers.
pub const SERVERS: &[Server] = &[M, P];

/// A new database of one test.
pub struct Database {
    /// What it is: for texts of failed tests, too.
    pub server: Server,
    /// Its name; of a file, its path.
    pub name: String,
    /// `jdbc:…`.
    pub url: String,
    /// The configuration of a sink into it.
    pub config: Config,
    sql: Sql,
}

enum Sql {
    MariaDb(MySqlConnection),
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// A new database of every kind.
pub async fn all() -> Vec<Database> {
    each(ALL).await
}

/// A new database on every server.
pub async fn servers() -> Vec<Database> {
    each(SERVERS).await
}

async fn each(of: &[Server]) -> Vec<Database> {
    let mut all = Vec::new();
    for server in of {
        all.push(Database::new(*server, &[]).await);
    }
    all
}

impl Database {
    /// A new one, and the configuration of a sink with these keys.
    pub async fn new(server: Server, keys: &[(&str, &str)]) -> Self {
        let name = unique("sink");
        let (url, sql) = match server {
            M => (
                lab().mariadb().jdbc_url(&name),
                Sql::MariaDb(lab().mariadb().create_database(&name).await),
            ),
            P => (
                lab().postgres().jdbc_url(&name),
                Sql::Postgres(lab().postgres().create_database(&name).await),
            ),
            S => {
                let file = SqliteFile::new(lab().scratch(), &name);
                (
                    format!("{}?busy_timeout=2000", file.jdbc_url()),
                    Sql::Sqlite(file.connect().await),
                )
            }
        };
        let mut config = records::config(&url, keys);
        let (user, password) = account(server);
        config.set("connection.user", user);
        config.set("connection.password", password);
        Self {
            server,
            name,
            url,
            config,
            sql,
        }
    }

    /// The configuration with more or other keys.
    pub fn config(&self, keys: &[(&str, &str)]) -> Config {
        let mut config = self.config.clone();
        keys.iter()
            .for_each(|(key, value)| config.set(*key, *value));
        config
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        match self.server {
            M => lab().mariadb().port(),
            P => lab().postgres().port(),
            S => panic!("a file has no port"),
        }
    }

    /// The URL with another port, such as a proxy's.
    pub fn url_at(&self, port: u16) -> String {
        self.url
            .replace(&format!(":{}/", self.port()), &format!(":{port}/"))
    }

    /// User and password.
    pub fn account(&self) -> (&'static str, &'static str) {
        account(self.server)
    }

    /// A task that holds the topic's partition.
    pub async fn open(&self, topic: &Topic, tolerate: bool, keys: &[(&str, &str)]) -> Task {
        let mut task = records::open(&self.config(keys), tolerate).await;
        task.assign(&topic.partitions()).await.expect("assign");
        task
    }

    /// Puts batches of one topic, one after the other, with a task of its own.
    pub async fn put(&self, topic: &Topic, batches: &[&[SinkRecord]]) -> Result<(), Error> {
        let mut task = self.open(topic, false, &[]).await;
        let mut outcome = Ok(());
        for batch in batches {
            if outcome.is_ok() {
                let report = task.put(batch, &topic.next()).await;
                outcome = report
                    .map(|report| assert!(report.rejected.is_empty(), "{:?}", report.rejected));
            }
        }
        task.close().await;
        outcome
    }

    /// The same, which must succeed.
    pub async fn write(&self, topic: &Topic, batches: &[&[SinkRecord]]) {
        if let Err(error) = self.put(topic, batches).await {
            panic!("{}: {error}", self.server);
        }
    }

    /// Sends statements, separated by `;`, that must succeed.
    pub async fn run(&mut self, sql: &str) {
        let text = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let sent = match &mut self.sql {
            Sql::MariaDb(c) => c.execute(text).await.map(drop),
            Sql::Postgres(c) => c.execute(text).await.map(drop),
            Sql::Sqlite(c) => c.execute(text).await.map(drop),
        };
        sent.unwrap_or_else(|error| panic!("{}: {error} in: {sql}", self.server));
    }

    /// The rows of a query, cells as the server's text with `|` between, NULL as `-`.
    pub async fn rows(&mut self, sql: &str) -> Vec<String> {
        let rows = match &mut self.sql {
            Sql::MariaDb(connection) => mariadb::texts(connection, sql).await,
            Sql::Postgres(connection) => postgres::texts(connection, sql).await,
            Sql::Sqlite(connection) => sqlite::rows(connection, sql).await,
        };
        let row = |cells: &Vec<Option<String>>| {
            cells
                .iter()
                .map(|cell| cell.as_deref().unwrap_or("-"))
                .collect::<Vec<_>>()
                .join("|")
        };
        rows.iter().map(row).collect()
    }

    /// Rows as text: `columns` of what `rest` says (`FROM t ORDER BY a`), separated by `|`, NULLs left out.
    pub async fn select(&mut self, columns: &str, rest: &str) -> Vec<String> {
        self.rows(&format!("SELECT CONCAT_WS('|', {columns}) {rest}"))
            .await
    }

    /// Name, type, NULL or NOT NULL, and default of each column in order.
    pub async fn columns(&mut self, table: &str) -> Vec<String> {
        let sql = match self.server {
            M => format!(
                "SELECT CONCAT(COLUMN_NAME, ' ', COLUMN_TYPE, IF(IS_NULLABLE='YES', ' NULL', ' NOT NULL'), \
                 IF(COLUMN_DEFAULT IS NULL OR COLUMN_DEFAULT='NULL', '', CONCAT(' DEFAULT ', COLUMN_DEFAULT))) \
                 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA=DATABASE() AND TABLE_NAME='{table}' \
                 ORDER BY ORDINAL_POSITION"
            ),
            P => format!(
                "SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || \
                 CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE ' NULL' END || \
                 coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') FROM pg_attribute a \
                 JOIN pg_class c ON c.oid=a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid=a.attrelid AND d.adnum=a.attnum \
                 WHERE c.relname='{table}' AND a.attnum>0 AND NOT a.attisdropped ORDER BY a.attnum"
            ),
            S => format!(
                "SELECT name || ' ' || type || iif(\"notnull\", ' NOT NULL', ' NULL') || \
                 coalesce(' DEFAULT ' || dflt_value, '') FROM pragma_table_info('{table}') ORDER BY cid"
            ),
        };
        self.rows(&sql).await
    }

    /// The names of the columns in order.
    pub async fn names(&mut self, table: &str) -> Vec<String> {
        let columns = self.columns(table).await;
        columns
            .iter()
            .filter_map(|column| column.split(' ').next())
            .map(str::to_owned)
            .collect()
    }

    /// The columns of the primary key in key order.
    pub async fn key(&mut self, table: &str) -> Vec<String> {
        let sql = match self.server {
            M => format!(
                "SELECT COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA=DATABASE() \
                 AND TABLE_NAME='{table}' AND CONSTRAINT_NAME='PRIMARY' ORDER BY ORDINAL_POSITION"
            ),
            P => format!(
                "SELECT a.attname::text FROM pg_constraint k JOIN pg_class c ON c.oid=k.conrelid \
                 CROSS JOIN LATERAL unnest(k.conkey) WITH ORDINALITY u(num, pos) \
                 JOIN pg_attribute a ON a.attrelid=k.conrelid AND a.attnum=u.num \
                 WHERE c.relname='{table}' AND k.contype='p' ORDER BY u.pos"
            ),
            S => format!("SELECT name FROM pragma_table_info('{table}') WHERE pk > 0 ORDER BY pk"),
        };
        self.rows(&sql).await
    }

    /// Whether a table is there.
    pub async fn has(&mut self, table: &str) -> bool {
        !self.columns(table).await.is_empty()
    }
}

fn account(server: Server) -> (&'static str, &'static str) {
    match server {
        M => (MariaDb::USER, MariaDb::PASSWORD),
        P => (Postgres::USER, Postgres::PASSWORD),
        S => ("", ""),
    }
}

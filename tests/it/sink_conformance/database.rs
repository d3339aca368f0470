//! The databases that rows run on, and a sink's task on a new one.

use connector_api::{Config, Error, SinkRecord};
use sqlx::{MySqlConnection, PgConnection};
use testkit::{MariaDb, Postgres, mariadb, postgres, unique};

use crate::lab;
use crate::sink::records::{self, Task, Topic};

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    MariaDb,
    Postgres,
}

use Server::{MariaDb as M, Postgres as P};

/// Every database.
pub(super) const ALL: &[Server] = &[M, P];

enum Sql {
    MariaDb(MySqlConnection),
    Postgres(PgConnection),
}

/// A new database and the configuration of a sink into it.
pub(super) struct Bench {
    pub(super) server: Server,
    pub(super) config: Config,
    sql: Sql,
}

impl Bench {
    pub(super) async fn new(server: Server, keys: &[(&str, &str)]) -> Self {
        let name = unique("rows");
        let (url, user, password, sql) = match server {
            M => {
                let sql = Sql::MariaDb(lab().mariadb().create_database(&name).await);
                (lab().mariadb().jdbc_url(&name), MariaDb::USER, MariaDb::PASSWORD, sql)
            }
            P => {
                let sql = Sql::Postgres(lab().postgres().create_database(&name).await);
                (lab().postgres().jdbc_url(&name), Postgres::USER, Postgres::PASSWORD, sql)
            }
        };
        let mut config = records::config(&url, &[("connection.user", user), ("connection.password", password)]);
        keys.iter().for_each(|(key, value)| config.set(*key, *value));
        Self { server, config, sql }
    }

    /// A task with the partitions of these topics.
    pub(super) async fn open(&self, topics: &[&Topic]) -> Task {
        let mut task = records::open(&self.config, false).await;
        for topic in topics {
            task.assign(&topic.partitions()).await.expect("assign");
        }
        task
    }

    /// Puts batches of one topic, one after the other, with a task of its own.
    pub(super) async fn put(&self, topic: &Topic, batches: &[&[SinkRecord]]) -> Result<(), Error> {
        let mut task = self.open(&[topic]).await;
        let mut outcome = Ok(());
        for batch in batches {
            if outcome.is_ok() {
                let report = task.put(batch, &topic.next()).await;
                outcome = report.map(|report| assert!(report.rejected.is_empty(), "{:?}", report.rejected));
            }
        }
        task.close().await;
        outcome
    }

    /// The same, which must succeed.
    pub(super) async fn write(&self, topic: &Topic, batches: &[&[SinkRecord]]) {
        if let Err(error) = self.put(topic, batches).await {
            panic!("{:?}: {error}", self.server);
        }
    }

    /// A statement that must succeed.
    pub(super) async fn run(&mut self, sql: &str) {
        match &mut self.sql {
            Sql::MariaDb(connection) => mariadb::run(connection, sql).await,
            Sql::Postgres(connection) => drop(postgres::texts(connection, sql).await),
        }
    }

    /// The rows of a query, cells as the server's text with `|` between, NULL as `-`.
    pub(super) async fn rows(&mut self, sql: &str) -> Vec<String> {
        let rows = match &mut self.sql {
            Sql::MariaDb(connection) => mariadb::texts(connection, sql).await,
            Sql::Postgres(connection) => postgres::texts(connection, sql).await,
        };
        let row = |cells: &Vec<Option<String>>| {
            cells.iter().map(|cell| cell.as_deref().unwrap_or("-")).collect::<Vec<_>>().join("|")
        };
        rows.iter().map(row).collect()
    }

    /// Name, type, NULL or NOT NULL, and default of each column in order.
    pub(super) async fn columns(&mut self, table: &str) -> Vec<String> {
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
        };
        self.rows(&sql).await
    }

    /// The names of the columns in order.
    pub(super) async fn names(&mut self, table: &str) -> Vec<String> {
        let columns = self.columns(table).await;
        columns.iter().filter_map(|column| column.split(' ').next()).map(str::to_owned).collect()
    }

    /// The columns of the primary key in key order.
    pub(super) async fn key(&mut self, table: &str) -> Vec<String> {
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
        };
        self.rows(&sql).await
    }

    /// Whether a table is there.
    pub(super) async fn has(&mut self, table: &str) -> bool {
        !self.columns(table).await.is_empty()
    }
}

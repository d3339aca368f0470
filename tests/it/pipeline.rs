//! One table on its way: a database with a source table, a connector each way, and the table it arrives in.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::mysql::MySqlConnection;
use testkit::mariadb::count;
use testkit::{MariaDb, MariaTable, Rest, assert_same, for_condition, unique};

/// Names of a pipeline from `<name>.<table>` over the topic `<name>-<table>` to `<name>_copy.<name>-<table>`.
pub struct Pipeline {
    /// Source database, topic prefix, and first part of both connectors' names.
    pub name: String,
    /// The source table.
    pub table: &'static str,
    /// The database the sink writes to.
    pub copy: String,
}

impl Pipeline {
    /// Makes both databases; the connection is to the source's.
    pub async fn new(server: &MariaDb, name: &str, table: &'static str) -> (Self, MySqlConnection) {
        let name = unique(name);
        let copy = format!("{name}_copy");
        server.create_database(&copy).await;
        let connection = server.create_database(&name).await;
        (Self { name, table, copy }, connection)
    }

    /// The topic.
    pub fn topic(&self) -> String {
        format!("{}-{}", self.name, self.table)
    }

    /// Name of the source connector.
    pub fn source_name(&self) -> String {
        format!("{}-source", self.name)
    }

    /// Name of the sink connector.
    pub fn sink_name(&self) -> String {
        format!("{}-sink", self.name)
    }

    /// A source in incrementing mode that polls often, with more or other keys.
    pub fn source(&self, server: &MariaDb, more: Value) -> Value {
        let config = json!({
            "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector",
            "connection.url": server.jdbc_url(&self.name),
            "connection.user": MariaDb::USER,
            "connection.password": MariaDb::PASSWORD,
            "mode": "incrementing",
            "incrementing.column.name": "id",
            "table.whitelist": self.table,
            "topic.prefix": format!("{}-", self.name),
            "poll.interval.ms": "200",
            "tasks.max": "1",
        });
        merged(config, more)
    }

    /// A sink that creates its table, with more or other keys.
    pub fn sink(&self, server: &MariaDb, more: Value) -> Value {
        let config = json!({
            "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector",
            "connection.url": server.jdbc_url(&self.copy),
            "connection.user": MariaDb::USER,
            "connection.password": MariaDb::PASSWORD,
            "auto.create": "true",
            "topics": self.topic(),
            "tasks.max": "1",
        });
        merged(config, more)
    }

    /// Creates both connectors.
    pub async fn create(&self, rest: &Rest, server: &MariaDb, source: Value, sink: Value) {
        rest.create(&self.source_name(), &self.source(server, source))
            .await;
        rest.create(&self.sink_name(), &self.sink(server, sink))
            .await;
    }

    /// The source table.
    pub fn from(&self) -> MariaTable<'_> {
        MariaTable {
            database: &self.name,
            table: self.table,
        }
    }

    /// How many rows have arrived.
    pub async fn arrived(&self, connection: &mut MySqlConnection) -> i64 {
        count(
            connection,
            &format!("SELECT COUNT(*) FROM `{}`.`{}`", self.copy, self.topic()),
        )
        .await
    }

    /// Waits until that many rows have arrived.
    pub async fn wait_arrived(
        &self,
        connection: &mut MySqlConnection,
        rows: i64,
        within: Duration,
    ) {
        let mut last = 0;
        let what = format!("{rows} rows in the table of {}", self.topic());
        let arrived = for_condition(&what, within, async || {
            last = self.arrived(connection).await;
            last >= rows
        });
        arrived.await;
    }

    /// Panics unless the table that arrived holds the source's rows, no more and no fewer.
    pub async fn assert_same(&self, connection: &mut MySqlConnection) -> i64 {
        let topic = self.topic();
        assert_same(
            connection,
            &self.from(),
            &MariaTable {
                database: &self.copy,
                table: &topic,
            },
        )
        .await
    }

    /// Waits until source and copy hold the same rows as seen through the source's columns.
    pub async fn wait_same(&self, connection: &mut MySqlConnection, within: Duration) -> i64 {
        let topic = self.topic();
        let (from, to) = (
            self.from(),
            MariaTable {
                database: &self.copy,
                table: &topic,
            },
        );
        self.wait_arrived(connection, 1, within).await;
        let canonical = from.canonical(connection).await;
        let end = std::time::Instant::now() + within;
        while from.checksum(connection, &canonical).await
            != to.checksum(connection, &canonical).await
            && std::time::Instant::now() < end
        {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.assert_same(connection).await
    }

    /// Deletes both connectors.
    pub async fn remove(&self, rest: &Rest) {
        rest.remove(&self.source_name()).await;
        rest.remove(&self.sink_name()).await;
    }
}

/// `config` with the members of `more` added or replaced; a null takes one away.
fn merged(mut config: Value, more: Value) -> Value {
    let all = config.as_object_mut().expect("an object");
    for (key, value) in more.as_object().expect("an object") {
        all.insert(key.clone(), value.clone());
        if value.is_null() {
            all.remove(key);
        }
    }
    config
}

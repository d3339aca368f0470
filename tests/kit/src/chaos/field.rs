//! Where a run takes place: servers, relays before them, one worker with its connectors, and how its tables are reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt;
use serde_json::{Value, json};
use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor, Row};

use super::faults::{Possible, Server};
use super::tables::{TABLES, Table, merge, sink, sources};
use crate::relay::Relay;
use crate::{Kafka, MariaDb, Postgres, Rowferry, Scratch, Settings, SmallDisk, mariadb, unique};

/// How long one statement of ours may take, on a server that may be frozen or away.
const PATIENCE: Duration = Duration::from_secs(60);

/// The servers of a run. They live as long as the process.
#[derive(Clone, Copy)]
pub struct Servers {
    /// Holds the tables that are read.
    pub source: &'static MariaDb,
    /// Holds one copy of them.
    pub mariadb: &'static MariaDb,
    /// Holds the other copy.
    pub postgres: &'static Postgres,
    /// The broker.
    pub kafka: &'static Kafka,
    /// They belong to the run alone, which may kill them.
    pub own: bool,
}

/// Relays before the servers.
pub(crate) struct Relays {
    source: Relay,
    mariadb: Relay,
    postgres: Relay,
    broker: Relay,
}

/// Servers, relays, worker and names.
pub struct Field {
    servers: Servers,
    relays: Relays,
    worker: Rowferry,
    disk: Option<SmallDisk>,
    /// Databases, topics and connectors begin with it.
    name: String,
}

impl Field {
    /// A run on servers that others use, too: they are neither killed nor stalled.
    pub async fn on_shared(scratch: &Scratch, servers: Servers, seed: u64) -> Arc<Self> {
        Self::start(scratch, servers, seed, false).await
    }

    /// A run on servers of its own. With a disk, the worker's metadata store is on a small one that can be filled.
    pub async fn on_own(scratch: &Scratch, seed: u64, with_disk: bool) -> Arc<Self> {
        // A binary log makes rows visible only once they survive the death of the process.
        let logged = ["--log-bin", "--server-id=1", "--binlog-format=ROW"];
        let servers = tokio::task::block_in_place(|| Servers {
            source: Box::leak(Box::new(MariaDb::start_with_options(
                scratch,
                "chaos-source",
                &logged,
            ))),
            mariadb: Box::leak(Box::new(MariaDb::start(scratch, "chaos-mariadb"))),
            postgres: Box::leak(Box::new(Postgres::start(scratch, "chaos-postgres"))),
            kafka: Box::leak(Box::new(Kafka::start(scratch, "chaos-kafka"))),
            own: true,
        });
        Self::start(scratch, servers, seed, with_disk).await
    }

    async fn start(scratch: &Scratch, servers: Servers, seed: u64, with_disk: bool) -> Arc<Self> {
        let relays = Relays::before(&servers, seed).await;
        let name = unique("chaos");
        let disk = with_disk
            .then(|| SmallDisk::mount(scratch, &name, 16))
            .flatten();
        let brokers = format!("127.0.0.1:{}", relays.broker.port());
        let worker = Rowferry::start(scratch, settings(&name, brokers));
        Arc::new(Self {
            servers,
            relays,
            worker,
            disk,
            name,
        })
    }

    pub(crate) fn possible(&self) -> Possible {
        Possible {
            servers: self.servers.own,
            disk: self.disk.is_some(),
        }
    }

    /// The worker.
    pub fn worker(&self) -> &Rowferry {
        &self.worker
    }

    pub(crate) fn servers(&self) -> &Servers {
        &self.servers
    }

    pub(crate) fn disk(&self) -> Option<&SmallDisk> {
        self.disk.as_ref()
    }

    pub(crate) fn relay(&self, server: Server) -> &Relay {
        match server {
            Server::Source => &self.relays.source,
            Server::MariaDb => &self.relays.mariadb,
            Server::Postgres => &self.relays.postgres,
            Server::Broker => &self.relays.broker,
        }
    }

    /// Makes databases and tables, and creates the connectors.
    pub(crate) async fn set_up(&self) {
        let mut connection = self.servers.source.create_database(&self.name).await;
        for table in TABLES {
            mariadb::run(&mut connection, &table.create()).await;
        }
        self.servers.mariadb.create_database(&self.copy()).await;
        self.servers.postgres.create_database(&self.copy()).await;
        for (name, config) in self.connectors() {
            self.worker.rest().create(&name, &config).await;
        }
    }

    fn copy(&self) -> String {
        format!("{}_copy", self.name)
    }

    /// The topic of a table, which is also the name of its copies.
    pub(crate) fn topic(&self, table: Table) -> String {
        format!("{}-{}", self.name, table.name)
    }

    /// All connectors with their configs.
    pub(crate) fn connectors(&self) -> Vec<(String, Value)> {
        let mut connectors = Vec::new();
        for (part, kind, more) in sources() {
            let tables: Vec<Table> = TABLES
                .into_iter()
                .filter(|table| table.kind == kind)
                .collect();
            let names: Vec<&str> = tables.iter().map(|table| table.name).collect();
            let mut config = json!({
                "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector",
                "connection.url": format!("jdbc:mariadb://127.0.0.1:{}/{}", self.relays.source.port(), self.name),
                "connection.user": MariaDb::USER, "connection.password": MariaDb::PASSWORD,
                "incrementing.column.name": "id", "table.whitelist": names.join(","),
                "topic.prefix": format!("{}-", self.name), "poll.interval.ms": "200", "batch.max.rows": "500",
            });
            merge(&mut config, more);
            connectors.push((format!("{}-{part}", self.name), config));
            let topics: Vec<String> = tables.iter().map(|table| self.topic(*table)).collect();
            let (maria, postgres) = (self.relays.mariadb.port(), self.relays.postgres.port());
            for (target, url, user) in [
                (
                    "mariadb",
                    format!("jdbc:mariadb://127.0.0.1:{maria}/{}", self.copy()),
                    MariaDb::USER,
                ),
                (
                    "postgres",
                    format!("jdbc:postgresql://127.0.0.1:{postgres}/{}", self.copy()),
                    Postgres::USER,
                ),
            ] {
                let mut config = json!({
                    "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "connection.url": url,
                    "connection.user": user, "connection.password": MariaDb::PASSWORD, "topics": topics.join(","),
                    "auto.create": "true", "consumer.override.max.poll.records": "500",
                });
                merge(&mut config, sink(kind));
                connectors.push((format!("{}-{part}-{target}", self.name), config));
            }
        }
        connectors
    }

    /// A connection to the source's database.
    pub(crate) async fn connect_source(&self) -> Option<MySqlConnection> {
        let connecting = self.servers.source.try_connect(&self.name);
        tokio::time::timeout(PATIENCE, connecting)
            .await
            .ok()
            .and_then(Result::ok)
    }

    async fn connect_mariadb(&self) -> MySqlConnection {
        let copy = self.copy();
        let connecting = self.servers.mariadb.connect(&copy);
        tokio::time::timeout(PATIENCE, connecting)
            .await
            .expect("a connection to the target MariaDB")
    }

    async fn connect_postgres(&self) -> PgConnection {
        let copy = self.copy();
        let connecting = self.servers.postgres.connect(&copy);
        tokio::time::timeout(PATIENCE, connecting)
            .await
            .expect("a connection to the target PostgreSQL")
    }

    /// Hands over id and text of each row of a table, of its source or of a copy; none where it does not exist.
    pub(crate) async fn each_row(
        &self,
        place: Server,
        table: Table,
        mut visit: impl FnMut(i64, &str),
    ) {
        let topic = self.topic(table);
        let sql = match place {
            Server::Source => table.rows_of_mariadb(&format!("`{}`", table.name)),
            Server::MariaDb => table.rows_of_mariadb(&format!("`{topic}`")),
            Server::Postgres => table.rows_of_postgres(&format!("\"{topic}\"")),
            Server::Broker => return,
        };
        let sql = AssertSqlSafe(sql);
        let outcome = match place {
            Server::Postgres => {
                let mut connection = self.connect_postgres().await;
                let mut rows = sqlx::query(sql).fetch(&mut connection);
                loop {
                    match rows.try_next().await {
                        Ok(Some(row)) => visit(row.get(0), row.get(1)),
                        end => break end.map(drop),
                    }
                }
            }
            _ => {
                let mut connection = match place {
                    Server::Source => self
                        .connect_source()
                        .await
                        .expect("a connection to the source"),
                    _ => self.connect_mariadb().await,
                };
                let mut rows = sqlx::query(sql).fetch(&mut connection);
                loop {
                    match rows.try_next().await {
                        Ok(Some(row)) => visit(row.get(0), row.get(1)),
                        end => break end.map(drop),
                    }
                }
            }
        };
        match outcome {
            Err(sqlx::Error::Database(error))
                if matches!(error.code().as_deref(), Some("42S02" | "42P01")) => {}
            outcome => {
                outcome.unwrap_or_else(|error| panic!("{error} in a query of {topic} on {place}"));
            }
        }
    }

    /// How many rows each table has and the sum of their versions, on one server: equal where the rows are, most likely.
    pub(crate) async fn sums(&self, place: Server) -> Vec<String> {
        let mut sums = Vec::new();
        for table in TABLES {
            let topic = self.topic(table);
            let sum = "COUNT(*), COALESCE(SUM(version), 0)";
            let row = match place {
                Server::Postgres => {
                    let sql = format!("SELECT concat_ws('|', {sum}) FROM \"{topic}\"");
                    let row = self
                        .connect_postgres()
                        .await
                        .fetch_one(AssertSqlSafe(sql))
                        .await;
                    row.map(|row| row.get::<String, _>(0))
                }
                Server::MariaDb => {
                    let sql = format!("SELECT CAST(CONCAT_WS('|', {sum}) AS CHAR) FROM `{topic}`");
                    let row = self
                        .connect_mariadb()
                        .await
                        .fetch_one(AssertSqlSafe(sql))
                        .await;
                    row.map(|row| row.get::<String, _>(0))
                }
                _ => {
                    let sql = format!(
                        "SELECT CAST(CONCAT_WS('|', {sum}) AS CHAR) FROM `{}`",
                        table.name
                    );
                    let mut connection = self
                        .connect_source()
                        .await
                        .expect("a connection to the source");
                    let row = connection.fetch_one(AssertSqlSafe(sql)).await;
                    row.map(|row| row.get::<String, _>(0))
                }
            };
            sums.push(row.unwrap_or_else(|_| "no table".to_owned()));
        }
        sums
    }

    /// Watches the worker's resident memory.
    pub(crate) fn watch_memory(self: &Arc<Self>) -> Watch {
        let (peak, ended): (Arc<AtomicU64>, Arc<AtomicBool>) = Default::default();
        let (field, seen, end) = (Arc::clone(self), Arc::clone(&peak), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let status =
                    std::fs::read_to_string(format!("/proc/{}/status", field.worker.pid()))
                        .unwrap_or_default();
                let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let kilobytes =
                    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
                seen.fetch_max(kilobytes.unwrap_or(0) * 1024, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        Watch {
            peak,
            ended,
            thread: Some(thread),
        }
    }
}

/// A look at the worker's memory, until it is dropped.
pub(crate) struct Watch {
    peak: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    /// It holds the field, whose disk is unmounted with its last holder.
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watch {
    /// Most bytes seen so far.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ended = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

impl Relays {
    async fn before(servers: &Servers, seed: u64) -> Self {
        let (behind, advertised) = servers.kafka.proxied();
        Self {
            source: Relay::start(servers.source.port(), seed).await,
            mariadb: Relay::start(servers.mariadb.port(), seed.wrapping_add(1)).await,
            postgres: Relay::start(servers.postgres.port(), seed.wrapping_add(2)).await,
            broker: Relay::start_on(advertised, behind, seed.wrapping_add(3)).await,
        }
    }
}

/// A worker whose consumers are declared dead soon after a kill, and whose tasks are not stalled for long.
fn settings(name: &str, brokers: String) -> Settings {
    Settings::serve(name, brokers)
        .with("task.progress.timeout.ms", "45000")
        .with("consumer.session.timeout.ms", "6000")
        .with("consumer.heartbeat.interval.ms", "1000")
}

//! Whole connectors on a worker: topics, tasks, pauses, restarts, offsets set by hand.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testkit::{Entry, Rest, Usage, unique, wait_until};

use testkit::mariadb::run as mariadb;

use super::fixture::{DATABASES, Fixture, SERVERS};
use crate::pipeline::Pipeline;
use crate::{SOON, lab};

/// A connector over a fixture's database.
pub(super) struct Connector<'a> {
    pub(super) rest: &'a Rest,
    pub(super) fixture: Fixture,
    pub(super) name: String,
}

impl Connector<'_> {
    /// Over a new database; nothing is created yet.
    pub(super) async fn new(server: super::fixture::Server, keys: &[(&str, &str)]) -> Self {
        let mut fixture = Fixture::new(server, keys).await;
        let name = unique("conform");
        fixture.set(&[
            ("topic.prefix", &format!("{name}-")),
            ("poll.interval.ms", "200"),
        ]);
        Self {
            rest: lab().worker().rest(),
            fixture,
            name,
        }
    }

    pub(super) async fn create(&self) {
        let class = "io.confluent.connect.jdbc.JdbcSourceConnector";
        let mut config: BTreeMap<_, _> = self
            .fixture
            .config()
            .iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        config.insert("connector.class".to_owned(), class.to_owned());
        self.rest.create(&self.name, &json!(config)).await;
    }

    async fn records(&self, table: &str, count: usize) -> Vec<Entry> {
        let records = lab()
            .kafka()
            .topics()
            .wait_for(&format!("{}-{table}", self.name), count, SOON)
            .await;
        assert_eq!(records.len(), count, "{}", self.name);
        records
    }

    pub(super) async fn ids(&self, table: &str, count: usize) -> Vec<i64> {
        let id = |entry: &Entry| entry.json()["payload"]["id"].as_i64().expect("an id");
        self.records(table, count).await.iter().map(id).collect()
    }

    async fn put(&self, verb: &str) {
        let answer = self
            .rest
            .put_empty(&format!("/connectors/{}/{verb}", self.name))
            .await;
        assert!(answer.status < 300, "{verb}: {}", answer.text);
    }

    /// The tables of each task.
    async fn tables(&self) -> Vec<String> {
        let answer = self
            .rest
            .get(&format!("/connectors/{}/tasks", self.name))
            .await;
        let tasks = answer.body.as_array().cloned().unwrap_or_default();
        tasks
            .iter()
            .map(|task| {
                task["config"]["tables"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect()
    }

    async fn stop(&self) {
        self.put("stop").await;
        let path = format!("/connectors/{}/status", self.name);
        let stopped = wait_until("stopped", SOON, async || {
            let status = self.rest.get(&path).await.body;
            (status["connector"]["state"] == "STOPPED" && status["tasks"] == json!([]))
                .then_some(())
        });
        stopped.await;
    }

    async fn offsets(&self) -> Value {
        self.rest
            .get(&format!("/connectors/{}/offsets", self.name))
            .await
            .expect(200)
            .body
    }

    pub(super) async fn remove(self) {
        self.rest.remove(&self.name).await;
    }
}

const IDS: [(&str, &str); 2] = [("mode", "incrementing"), ("incrementing.column.name", "id")];
const TABLE: &str = "CREATE TABLE test (id {serial}, name VARCHAR(10))";

#[tokio::test]
async fn each_new_or_dropped_table_changes_the_tasks_once() {
    for server in DATABASES {
        let keys = [
            &IDS[..],
            &[
                ("table.blacklist", "none"),
                ("tasks.max", "5"),
                ("table.poll.interval.ms", "300"),
            ],
        ]
        .concat();
        let mut connector = Connector::new(server, &keys).await;
        connector
            .fixture
            .sql("CREATE TABLE a (id INT PRIMARY KEY); INSERT INTO a VALUES (1)")
            .await;
        connector.create().await;
        assert_eq!(connector.ids("a", 1).await, [1]);
        connector
            .fixture
            .sql("CREATE TABLE b (id INT PRIMARY KEY); INSERT INTO b VALUES (7)")
            .await;
        assert_eq!(connector.ids("b", 1).await, [7]);
        assert_eq!(connector.tables().await.len(), 2);
        connector.fixture.sql("DROP TABLE a").await;
        wait_until("one task left", SOON, async || {
            (connector.tables().await.len() == 1).then_some(())
        })
        .await;
        connector.fixture.sql("INSERT INTO b VALUES (8)").await;
        assert_eq!(connector.ids("b", 2).await, [7, 8]);
        connector.remove().await;
    }
}

#[tokio::test]
async fn a_worker_runs_an_incrementing_source() {
    for server in DATABASES {
        let mut connector = Connector::new(server, &IDS).await;
        connector.fixture.sql(TABLE).await;
        connector
            .fixture
            .sql("INSERT INTO test (name) VALUES ('a'), ('b'), ('c')")
            .await;
        connector.create().await;
        assert_eq!(connector.ids("test", 3).await, [1, 2, 3]);
        connector
            .fixture
            .sql("INSERT INTO test (name) VALUES ('d'), ('e')")
            .await;
        assert_eq!(connector.ids("test", 5).await, [1, 2, 3, 4, 5]);
        connector.remove().await;
    }
}

#[tokio::test]
async fn timestamp_mode_reads_updates() {
    for server in DATABASES {
        let keys = [
            ("mode", "timestamp"),
            ("timestamp.column.name", "updated_at"),
        ];
        let mut connector = Connector::new(server, &keys).await;
        connector
            .fixture
            .sql("CREATE TABLE test (id INT PRIMARY KEY, updated_at {stamp} NOT NULL)")
            .await;
        for id in 1..=3 {
            connector
                .fixture
                .sql(&format!(
                    "INSERT INTO test VALUES ({id}, '2024-01-01 00:00:0{id}')"
                ))
                .await;
        }
        connector.create().await;
        assert_eq!(connector.ids("test", 3).await, [1, 2, 3]);
        connector
            .fixture
            .sql("INSERT INTO test VALUES (4, '2024-01-01 00:00:04'), (5, '2024-01-01 00:00:05')")
            .await;
        assert_eq!(connector.ids("test", 5).await[3..], [4, 5]);
        connector
            .fixture
            .sql("UPDATE test SET updated_at = '2024-01-01 00:00:06' WHERE id = 2")
            .await;
        assert_eq!(connector.ids("test", 6).await[5..], [2]);
        connector.remove().await;
    }
}

#[tokio::test]
async fn a_connector_that_is_created_again_continues_from_its_offsets() {
    for server in DATABASES {
        let mut connector = Connector::new(server, &IDS).await;
        connector.fixture.sql(TABLE).await;
        connector
            .fixture
            .sql("INSERT INTO test (name) VALUES ('a'), ('b'), ('c')")
            .await;
        connector.create().await;
        connector.records("test", 3).await;
        connector.rest.remove(&connector.name).await;
        connector
            .fixture
            .sql("INSERT INTO test (name) VALUES ('d'), ('e')")
            .await;
        connector.create().await;
        assert_eq!(connector.ids("test", 5).await, [1, 2, 3, 4, 5]);
        connector.remove().await;
    }
}

#[tokio::test]
async fn two_tables_are_read_by_two_tasks() {
    for server in DATABASES {
        let keys = [
            &IDS[..],
            &[("table.whitelist", "t1,t2"), ("tasks.max", "2")],
        ]
        .concat();
        let mut connector = Connector::new(server, &keys).await;
        connector
            .fixture
            .sql("CREATE TABLE t1 (id INT PRIMARY KEY); INSERT INTO t1 VALUES (1), (2), (3)")
            .await;
        connector
            .fixture
            .sql("CREATE TABLE t2 (id INT PRIMARY KEY); INSERT INTO t2 VALUES (4), (5), (6), (7)")
            .await;
        connector.create().await;
        assert_eq!(connector.ids("t1", 3).await, [1, 2, 3]);
        assert_eq!(connector.ids("t2", 4).await, [4, 5, 6, 7]);
        assert_eq!(connector.tables().await.len(), 2);
        connector.remove().await;
    }
}

#[tokio::test]
async fn a_new_column_is_in_later_records() {
    for server in DATABASES {
        let mut connector = Connector::new(server, &IDS).await;
        connector.fixture.sql(TABLE).await;
        connector
            .fixture
            .sql("INSERT INTO test (name) VALUES ('a'), ('b')")
            .await;
        connector.create().await;
        connector.records("test", 2).await;
        connector
            .fixture
            .sql("ALTER TABLE test ADD email VARCHAR(20)")
            .await;
        let fields = |entry: &Entry| {
            entry.json()["schema"]["fields"]
                .as_array()
                .map_or(0, Vec::len)
        };
        // a page that is being read when the column comes has the columns of before
        let mut records = Vec::new();
        for count in 3..9 {
            connector
                .fixture
                .sql("INSERT INTO test (name, email) VALUES ('c', 'c@x')")
                .await;
            records = connector.records("test", count).await;
            if records.last().is_some_and(|last| fields(last) == 3) {
                break;
            }
        }
        let last = records.last().expect("records");
        assert_eq!((fields(&records[0]), fields(last)), (2, 3));
        assert_eq!(last.json()["payload"]["email"], "c@x");
        connector.remove().await;
    }
}

#[tokio::test]
async fn a_paused_connector_reads_nothing() {
    for server in DATABASES {
        let mut connector = Connector::new(server, &IDS).await;
        connector.fixture.sql(TABLE).await;
        connector
            .fixture
            .sql("INSERT INTO test (name) VALUES ('a')")
            .await;
        connector.create().await;
        connector.records("test", 1).await;
        connector.put("pause").await;
        connector
            .rest
            .wait_state(&connector.name, "PAUSED", SOON)
            .await;
        connector
            .fixture
            .sql("INSERT INTO test (name) VALUES ('b')")
            .await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        connector.records("test", 1).await;
        connector.put("resume").await;
        connector
            .rest
            .wait_state(&connector.name, "RUNNING", SOON)
            .await;
        assert_eq!(connector.ids("test", 2).await, [1, 2]);
        connector.remove().await;
    }
}

/// 150 MB of rows through a worker that may grow by 100 MB.
#[tokio::test]
async fn a_query_result_larger_than_memory_is_streamed() {
    for server in SERVERS {
        let series = match server {
            super::fixture::Server::MariaDb => {
                "SELECT seq AS id, REPEAT('x', 10000) AS text FROM seq_1_to_15000"
            }
            _ => "SELECT n AS id, repeat('x', 10000) AS text FROM generate_series(1, 15000) AS n",
        };
        let keys = [("mode", "bulk"), ("query", series)];
        let mut connector = Connector::new(server, &keys).await;
        connector.fixture.set(&[
            ("poll.interval.ms", "3600000"),
            ("producer.override.compression.type", "zstd"),
        ]);
        let worker = lab().own_worker(&unique("streams"));
        let before = Usage::of(worker.pid()).peak;
        connector.rest = worker.rest();
        connector.create().await;
        let topic = format!("{}-", connector.name);
        let topics = lab().kafka().topics();
        let end = topics.committed_end(&topic);
        // 15,000 records, and the marks of the transactions they are in
        wait_until("15,000 records", SOON * 2, async || {
            (end() >= 15_000).then_some(())
        })
        .await;
        let grown = (Usage::of(worker.pid()).peak - before) >> 20;
        assert!(grown < 100, "the worker grew by {grown} MB");
        drop(worker);
    }
}

#[tokio::test]
async fn offsets_of_the_java_connectors_are_taken_over() {
    for server in DATABASES {
        for protocol in [0, 1] {
            let mut connector = Connector::new(server, &IDS).await;
            connector.fixture.sql(TABLE).await;
            connector
                .fixture
                .sql("INSERT INTO test (name) VALUES ('a'), ('b'), ('c')")
                .await;
            let key = match protocol {
                0 => json!([connector.name, {"table": "test"}]).to_string(),
                _ => json!([connector.name, {"protocol": "1", "table": connector.fixture.full("test")}]).to_string(),
            };
            let topics = lab().kafka().topics();
            let offsets = unique("java-offsets");
            topics.create(&offsets, 3).await;
            topics.produce(&offsets, &[(Some(&key), Some("{\"incrementing\":2}"))]);
            connector
                .fixture
                .set(&[("offsets.storage.topic", &offsets)]);
            connector.create().await;
            assert_eq!(connector.ids("test", 1).await, [3], "protocol {protocol}");
            connector.remove().await;
        }
    }
}

#[tokio::test]
async fn offsets_set_by_hand_move_a_connector() {
    for server in DATABASES {
        let mut connector = Connector::new(server, &IDS).await;
        connector.fixture.sql(TABLE).await;
        connector
            .fixture
            .sql("INSERT INTO test (name) VALUES ('a'), ('b'), ('c')")
            .await;
        connector.create().await;
        connector.records("test", 3).await;
        let path = format!("/connectors/{}/offsets", connector.name);
        let partition = json!({"table": connector.fixture.full("test"), "protocol": "1"});
        let change = |offset: Value| {
            json!({"offsets": [{"partition": partition, "offset": offset}]}).to_string()
        };
        let patch = async |offset: Value| {
            connector
                .rest
                .send("PATCH", &path, Some(("application/json", change(offset))))
                .await
        };
        assert_eq!(
            patch(json!({"incrementing": 1})).await.status,
            400,
            "not stopped"
        );
        connector.stop().await;
        let refused = patch(json!({"incrementing": "two"})).await.expect(400);
        assert!(
            refused.message().contains("incrementing"),
            "{}",
            refused.text
        );
        patch(json!({"incrementing": 1})).await.expect(200);
        assert_eq!(
            connector.offsets().await["offsets"][0]["offset"],
            json!({"incrementing": 1})
        );
        assert_eq!(
            connector.offsets().await["offsets"]
                .as_array()
                .map(Vec::len),
            Some(1)
        );
        connector.put("resume").await;
        assert_eq!(connector.ids("test", 5).await, [1, 2, 3, 2, 3]);
        connector.stop().await;
        connector.rest.delete(&path).await.expect(200);
        assert_eq!(connector.offsets().await, json!({"offsets": []}));
        connector.put("resume").await;
        assert_eq!(connector.ids("test", 8).await[5..], [1, 2, 3]);
        connector.remove().await;
    }
}

/// Times beyond a day and dates with parts of zero travel as text, and are what they were in a column of their type.
#[tokio::test]
async fn values_beyond_their_types_arrive_as_they_were() {
    let (pipeline, mut sql) = Pipeline::new(lab().mariadb(), "beyond", "spans").await;
    mariadb(&mut sql, "SET sql_mode = ''").await;
    mariadb(
        &mut sql,
        "CREATE TABLE spans (id INT PRIMARY KEY, t TIME(3) NOT NULL, d DATE, dt DATETIME(3))",
    )
    .await;
    mariadb(
        &mut sql,
        "INSERT INTO spans VALUES (1, '10:00:00', '2024-01-01', '2024-01-01 10:00:00')",
    )
    .await;
    mariadb(
        &mut sql,
        "INSERT INTO spans VALUES (2, '-838:59:59', '2024-02-00', '2024-00-15 10:00:00.5')",
    )
    .await;
    mariadb(&mut sql, "INSERT INTO spans VALUES (3, '24:00:00.001', NULL, NULL), (4, '838:59:59', '0000-01-01', NULL)")
        .await;
    pipeline
        .create(lab().worker().rest(), lab().mariadb(), json!({}), json!({}))
        .await;
    pipeline.wait_arrived(&mut sql, 4, SOON).await;
    assert_eq!(pipeline.assert_same(&mut sql).await, 4);
    pipeline.remove(lab().worker().rest()).await;
}

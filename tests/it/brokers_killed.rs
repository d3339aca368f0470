//! Brokers that are killed one after the other under load, with one worker and with two: each row arrives once,
//! through three brokers of the present version, and through one of Kafka 2.7 with ZooKeeper.

use std::time::Duration;

use serde_json::json;
use sqlx::MySqlConnection;
use testkit::mariadb::run;
use testkit::{Kafka, OldKafka, Rowferry, Settings, Topics, rows_sql, unique};

use crate::crash::assert_once_in_topic;
use crate::lab;
use crate::pipeline::Pipeline;
use crate::workers::Group;

const LONG: Duration = Duration::from_secs(180);
/// Rows that are written before a broker is killed, and again while it is away.
const ROWS: u64 = 3_000;

/// A table on its way through one worker, or two that share the work.
struct Load {
    workers: Vec<Rowferry>,
    pipeline: Pipeline,
    connection: MySqlConnection,
    rows: u64,
}

impl Load {
    async fn start(name: &str, workers: Vec<Rowferry>) -> Self {
        let server = lab().mariadb();
        let (pipeline, mut connection) = Pipeline::new(server, name, "t").await;
        run(&mut connection, &rows_sql::create("t")).await;
        let source = json!({"batch.max.rows": "200"});
        let sink = json!({"insert.mode": "insert", "pk.mode": "none", "batch.size": "200"});
        pipeline
            .create(workers[0].rest(), server, source, sink)
            .await;
        Self {
            workers,
            pipeline,
            connection,
            rows: 0,
        }
    }

    async fn write(&mut self) {
        let rows = rows_sql::fill("t", self.rows + 1, self.rows + ROWS);
        run(&mut self.connection, &rows).await;
        self.rows += ROWS;
    }

    /// Waits until the first of the last rows have arrived: others are on their way.
    async fn under_way(&mut self) {
        let first = (self.rows - ROWS + 1) as i64;
        self.pipeline
            .wait_arrived(&mut self.connection, first, LONG)
            .await;
    }

    /// Waits until all rows have arrived, and compares them.
    async fn finish(mut self, topics: &Topics) {
        let rows = self.rows as i64;
        self.pipeline
            .wait_arrived(&mut self.connection, rows, LONG)
            .await;
        assert_eq!(self.pipeline.assert_same(&mut self.connection).await, rows);
        assert_once_in_topic(topics, &self.pipeline.topic(), rows);
        assert!(self.workers.iter().all(Rowferry::is_running));
    }
}

/// One worker alone, and two that share a store.
async fn loads(name: &str, brokers: &str) -> [Load; 2] {
    let alone = Settings::serve(&unique(name), brokers.to_owned());
    let alone = Rowferry::start(lab().scratch(), alone);
    let mut group = Group::on_mariadb(name).await;
    let mut member = || {
        let settings = group.settings().with("bootstrap.servers", brokers);
        Rowferry::start(lab().scratch(), settings)
    };
    let several = vec![member(), member()];
    [
        Load::start(&format!("{name}_one"), vec![alone]).await,
        Load::start(&format!("{name}_two"), several).await,
    ]
}

/// Kills a broker, and starts it again.
type Act<'a> = (&'a dyn Fn(), &'a dyn Fn());

/// Kills and restarts one broker after the other while rows are on their way.
async fn kills(loads: [Load; 2], topics: &Topics, brokers: &[Act<'_>]) {
    let [mut one, mut two] = loads;
    for (kill, restart) in brokers {
        for load in [&mut one, &mut two] {
            load.write().await;
            load.under_way().await;
            load.write().await;
        }
        kill();
        for load in [&mut one, &mut two] {
            load.write().await;
        }
        restart();
    }
    one.finish(topics).await;
    two.finish(topics).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_brokers_that_are_killed_one_after_the_other_lose_and_double_no_row() {
    let name = unique("three_killed");
    let cluster = Kafka::start_cluster(lab().scratch(), &name, 3);
    let servers: Vec<_> = cluster.iter().map(Kafka::brokers).collect();
    let loads = loads("three_killed", &servers.join(",")).await;
    let acts: Vec<_> = cluster
        .iter()
        .map(|broker| (|| broker.kill(), || broker.restart()))
        .collect();
    let acts: Vec<Act<'_>> = acts
        .iter()
        .map(|(kill, restart)| (kill as &dyn Fn(), restart as &dyn Fn()))
        .collect();
    kills(loads, &Topics::new(&servers.join(",")), &acts).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes on a busy machine: scripts/chaos workers"]
async fn a_broker_of_kafka_2_7_with_zookeeper_that_is_killed_loses_and_doubles_no_row() {
    let broker = OldKafka::start(lab().scratch(), &unique("old_killed"));
    let loads = loads("old_killed", &broker.brokers()).await;
    let (kill, restart) = (|| broker.kill(), || broker.restart());
    let act: Act<'_> = (&kill, &restart);
    kills(loads, &broker.topics(), &[act, act]).await;
}

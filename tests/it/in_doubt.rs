//! Commits whose outcome nobody knows: the answer is lost, comes too late, never comes, or the request reaches the broker
//! long after its producer has been given up. A new producer settles it; nothing is lost and nothing comes twice. Rows F6,
//! F7 and F8 of the failure matrix, and clients that have to stop while Kafka does not answer.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::mysql::MySqlConnection;
use testkit::mariadb::{count, run};
use testkit::{Api, Fault, KafkaProxy, Line, Random, Rowferry, Settings, for_condition, unique};

use crate::pipeline::Pipeline;
use crate::{SOON, lab};

const LONG: Duration = Duration::from_secs(180);

/// A pipeline whose worker knows Kafka through a proxy alone.
struct Bench {
    proxy: KafkaProxy,
    worker: Rowferry,
    pipeline: Pipeline,
    connection: MySqlConnection,
    rows: i64,
}

impl Bench {
    /// Each 20 rows are a transaction; the sink inserts without a key, so that a row delivered twice is two rows.
    async fn new(name: &str, more: serde_json::Value) -> Self {
        let (server, proxy) = (lab().mariadb(), KafkaProxy::start(lab().kafka()).await);
        let worker = Rowferry::start(
            lab().scratch(),
            Settings::serve(&unique(name), proxy.brokers()),
        );
        let (pipeline, mut connection) = Pipeline::new(server, name, "t").await;
        run(
            &mut connection,
            "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v INT)",
        )
        .await;
        let mut source = json!({"transaction.boundary": "poll", "batch.max.rows": "20"});
        source
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        pipeline
            .create(
                worker.rest(),
                server,
                source,
                json!({"insert.mode": "insert", "pk.mode": "none"}),
            )
            .await;
        let mut bench = Self {
            proxy,
            worker,
            pipeline,
            connection,
            rows: 0,
        };
        bench.insert(20).await;
        bench.arrived(LONG).await;
        bench
    }

    async fn insert(&mut self, rows: i64) {
        let values = vec!["(1)"; usize::try_from(rows).unwrap()].join(",");
        run(
            &mut self.connection,
            &format!("INSERT INTO t (v) VALUES {values}"),
        )
        .await;
        self.rows += rows;
    }

    async fn arrived(&mut self, within: Duration) {
        self.pipeline
            .wait_arrived(&mut self.connection, self.rows, within)
            .await;
    }

    /// The `client.id` of the source's producer.
    fn producer(&self) -> String {
        format!("connector-producer-{}-0", self.pipeline.source_name())
    }

    /// Each row once: in the topic, as readers of committed records see it, and in the table.
    async fn assert_whole(&mut self) {
        self.arrived(LONG).await;
        self.pipeline.assert_same(&mut self.connection).await;
        let entries = lab().kafka().topics().read(&self.pipeline.topic());
        let ids: BTreeSet<_> = entries
            .iter()
            .map(|entry| entry.json()["payload"]["id"].as_i64())
            .collect();
        assert_eq!(
            (entries.len(), ids.len()),
            (self.rows as usize, self.rows as usize)
        );
        let target = format!(
            "SELECT COUNT(*) FROM `{}`.`{}`",
            self.pipeline.copy,
            self.pipeline.topic()
        );
        assert_eq!(count(&mut self.connection, &target).await, self.rows);
    }
}

/// Of each round's transactions one loses the answer to its commit, or the request itself.
async fn lost_answers(name: &str, rounds: u64) {
    let mut random = Random::new();
    let mut bench = Bench::new(
        name,
        json!({"producer.override.request.timeout.ms": "3000"}),
    )
    .await;
    let producer = bench.producer();
    for round in 0..rounds {
        let fault = random.pick(&[
            Fault::CutAnswer,
            Fault::CutAnswer,
            Fault::SwallowAnswer,
            Fault::CutRequest,
        ]);
        let nth = 1 + random.below(5) as usize;
        let trap = bench
            .proxy
            .trap(Api::EndTxn, Some(&producer), nth, false, *fault);
        bench.insert(120).await;
        trap.wait_sprung(LONG).await;
        bench.arrived(LONG).await;
        println!("round {round}: {fault:?} of commit {nth}");
    }
    bench.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_whose_answer_is_lost_are_looked_up() {
    lost_answers("answers", 6).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes"]
async fn fifty_commits_whose_answer_is_lost_are_looked_up() {
    lost_answers("fifty", 50).await;
}

/// Commits that reach the broker only after other producers have committed other transactions.
async fn late_requests(name: &str, rounds: u64, late: Duration) {
    let mut bench = Bench::new(
        name,
        json!({"producer.override.request.timeout.ms": "3000"}),
    )
    .await;
    let producer = bench.producer();
    for _ in 0..rounds {
        let trap = bench
            .proxy
            .trap(Api::EndTxn, Some(&producer), 2, false, Fault::Strand);
        bench.insert(100).await;
        trap.wait_sprung(LONG).await;
        let sprung = Instant::now();
        bench.arrived(LONG).await;
        while sprung.elapsed() < late {
            bench.insert(20).await;
            bench.arrived(LONG).await;
        }
        trap.release();
        bench.insert(100).await;
        bench.arrived(LONG).await;
    }
    bench.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_arrives_after_its_successors_tears_nothing() {
    late_requests("late", 3, Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "half an hour"]
async fn commits_that_arrive_70_s_later_tear_nothing() {
    late_requests("later", 20, Duration::from_secs(70)).await;
}

/// No byte passes for longer than transactions and records may take.
async fn silence(name: &str, silent: Duration, timeout_ms: u64) {
    let keys = json!({"producer.override.transaction.timeout.ms": timeout_ms.to_string()});
    let mut bench = Bench::new(name, keys).await;
    bench.insert(500).await;
    bench.proxy.line(Line::Silent);
    bench.insert(500).await;
    tokio::time::sleep(silent).await;
    bench.proxy.line(Line::Open);
    let healed = Instant::now();
    bench.arrived(Duration::from_secs(40)).await;
    println!(
        "all rows {:.1} s after {silent:?} of silence",
        healed.elapsed().as_secs_f32()
    );
    for name in [bench.pipeline.source_name(), bench.pipeline.sink_name()] {
        let status = bench
            .worker
            .rest()
            .get(&format!("/connectors/{name}/status"))
            .await
            .body;
        assert_eq!(status["tasks"][0]["state"], "RUNNING", "{status}");
    }
    assert!(
        !bench.worker.log().contains("task failed"),
        "nothing has failed over a broker that was away"
    );
    bench.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_gone_for_longer_than_a_transaction_lasts_loses_and_doubles_nothing() {
    silence("silent", Duration::from_secs(16), 10_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes"]
async fn a_network_that_is_gone_for_90_s_loses_and_doubles_nothing() {
    silence("silence", Duration::from_secs(90), 20_000).await;
}

/// librdkafka does not keep to its time-outs: the call never comes back, its producer is given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_never_returns_is_given_up() {
    let mut bench = Bench::new(
        "given_up",
        json!({"producer.override.request.timeout.ms": "3000"}),
    )
    .await;
    bench.worker.fail_at("producer.commit", "1*return(hang)");
    bench.insert(100).await;
    for_condition("a commit that hangs", SOON, async || {
        bench.worker.reached("producer.commit") > 0
    })
    .await;
    bench.arrived(SOON).await;
    bench.assert_whole().await;
}

/// Both connectors work, Kafka falls silent, and they have to go.
#[tokio::test(flavor = "multi_thread")]
async fn tasks_end_in_time_while_kafka_does_not_answer() {
    let mut bench = Bench::new("leaving", json!({})).await;
    bench.proxy.line(Line::Silent);
    bench.insert(500).await;
    let (rest, names) = (
        bench.worker.rest(),
        [bench.pipeline.source_name(), bench.pipeline.sink_name()],
    );
    for name in &names {
        // the answer shows that the old task has ended
        let began = Instant::now();
        rest.post(&format!("/connectors/{name}/tasks/0/restart"), &json!({}))
            .await
            .expect(204);
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "{:?}",
            began.elapsed()
        );
    }
    for name in &names {
        rest.delete(&format!("/connectors/{name}"))
            .await
            .expect(204);
    }
    assert_eq!(bench.worker.stop(Duration::from_secs(20)), Some(0));
    let log = bench.worker.log();
    assert!(
        !log.contains("did not stop in time") && !log.contains("cut off"),
        "{log}"
    );
}

/// All that a consumer asks.
const CONSUMERS: [Api; 11] = [
    Api::ApiVersions,
    Api::Metadata,
    Api::FindCoordinator,
    Api::JoinGroup,
    Api::SyncGroup,
    Api::Heartbeat,
    Api::OffsetFetch,
    Api::OffsetCommit,
    Api::ListOffsets,
    Api::Fetch,
    Api::LeaveGroup,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_receives_nothing_while_others_do_is_replaced_and_an_idle_one_is_not() {
    let mut bench = Bench::new("deaf", json!({})).await;
    let consumer = format!("connector-consumer-{}-0", bench.pipeline.sink_name());
    // nothing comes for longer than a consumer may be silent
    tokio::time::sleep(Duration::from_secs(20)).await;
    let replaced = |bench: &Bench| bench.worker.log().contains("a new one is opened");
    assert!(!replaced(&bench), "it was idle");
    let swallow = |api| {
        bench
            .proxy
            .trap(api, Some(&consumer), 1, true, Fault::SwallowAnswer)
    };
    let traps = CONSUMERS.map(swallow);
    for_condition("a new consumer", SOON, async || replaced(&bench)).await;
    traps.iter().for_each(|trap| trap.release());
    bench.insert(100).await;
    bench.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_answered_once_the_task_is_up_again() {
    let bench = Bench::new("restarted", json!({})).await;
    let (rest, status) = (bench.worker.rest(), |name: &str| {
        format!("/connectors/{name}/status")
    });
    for name in [bench.pipeline.source_name(), bench.pipeline.sink_name()] {
        for path in ["tasks/0/restart", "restart?includeTasks=true"] {
            let answer = rest
                .post(&format!("/connectors/{name}/{path}"), &json!({}))
                .await;
            assert!(answer.status < 300, "{answer:?}");
            let shown = rest.get(&status(&name)).await.body;
            assert_eq!(
                (&shown["connector"]["state"], &shown["tasks"][0]["state"]),
                (&json!("RUNNING"), &json!("RUNNING"))
            );
        }
    }
}

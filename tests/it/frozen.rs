//! Frozen servers (`kill -STOP`) under tasks that have work: the status, `/health` and the progress say so, and
//! once the server goes on so does every task, without a row lost or doubled.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use testkit::mariadb::run;
use testkit::{Kafka, MariaDb, Postgres, Rowferry, Settings, for_condition, postgres, unique};

use crate::pipeline::Pipeline;
use crate::{SOON, lab};

const LONG: Duration = Duration::from_secs(150);
const FIELDS: [&str; 2] = ["waiting_for", "since"];

/// The status of a connector's task.
async fn task(worker: &Rowferry, name: &str) -> Value {
    worker
        .rest()
        .get(&format!("/connectors/{name}/status"))
        .await
        .expect(200)
        .body["tasks"][0]
        .take()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Waits until the task's warning says what it waits for, and `/health` lists it with the same.
async fn reported(worker: &Rowferry, name: &str, what: &str) -> Value {
    let mut listed = Value::Null;
    for_condition(
        &format!("{name} to say that it waits for {what}"),
        LONG,
        async || {
            let task = task(worker, name).await;
            if !text(&task["warning"]).contains("stalled: since") {
                return false;
            }
            let health = worker.rest().get("/health").await.body;
            let still = health["standing_still"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let own = still
                .into_iter()
                .find(|one| one["connector"] == *name && one["waiting_for"] == *what);
            listed = own.unwrap_or_default();
            !listed.is_null()
        },
    )
    .await;
    listed
}

/// Waits until the task runs and says nothing any more, and `/health` neither.
async fn at_work(worker: &Rowferry, names: &[String]) {
    for name in names {
        for_condition(&format!("{name} to work"), LONG, async || {
            let task = task(worker, name).await;
            task["state"] == "RUNNING" && task["warning"].is_null()
        })
        .await;
    }
    for_condition("a healthy worker", SOON, async || {
        worker.rest().get("/health").await.body["status"] == "healthy"
    })
    .await;
}

async fn failed_over_it(worker: &Rowferry, name: &str) {
    for_condition(&format!("{name} to fail"), LONG, async || {
        text(&task(worker, name).await["trace"]).contains("the task was stalled: since")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_whose_broker_is_frozen_says_so_fails_and_continues() {
    let name = unique("frozen_broker");
    let (kafka, server) = (Kafka::start(lab().scratch(), &name), lab().mariadb());
    let settings =
        Settings::serve(&name, kafka.brokers()).with("task.progress.timeout.ms", "30000");
    let worker = Rowferry::start(lab().scratch(), settings);
    let (pipeline, mut connection) = Pipeline::new(server, "iced", "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, at TEXT)",
    )
    .await;
    run(&mut connection, "INSERT INTO t (at) VALUES ('a')").await;
    let insert = json!({"insert.mode": "insert", "pk.mode": "none"});
    pipeline
        .create(worker.rest(), server, json!({}), insert)
        .await;
    pipeline.wait_arrived(&mut connection, 1, LONG).await;
    let names = [pipeline.source_name(), pipeline.sink_name()];
    kafka.freeze();
    // the source has a row to write, the sink has read all there was
    run(&mut connection, "INSERT INTO t (at) VALUES ('b')").await;
    for name in &names {
        reported(&worker, name, "kafka").await;
    }
    let path = format!("/v1/connectors/{}/progress", names[1]);
    let progress = worker.rest().get(&path).await.expect(200).body["tasks"][0].take();
    assert_eq!(progress["waiting_for"], "kafka", "{progress}");
    let again = worker.rest().get(&path).await.expect(200).body["tasks"][0].take();
    assert_eq!(
        FIELDS.map(|field| &again[field]),
        FIELDS.map(|field| &progress[field]),
        "each poll starts it again"
    );
    failed_over_it(&worker, &names[1]).await;
    kafka.thaw();
    pipeline.wait_arrived(&mut connection, 2, LONG).await;
    at_work(&worker, &names).await;
    assert_eq!(pipeline.assert_same(&mut connection).await, 2);
    assert_eq!(kafka.topics().read(&pipeline.topic()).len(), 2);
    pipeline.remove(worker.rest()).await;
}

/// A table in MariaDB that goes over a topic into PostgreSQL.
struct Across {
    worker: Rowferry,
    from: MariaDb,
    into: Postgres,
    pipeline: Pipeline,
    source: MySqlConnection,
    target: PgConnection,
    rows: usize,
}

impl Across {
    async fn new(name: &str, timeout_ms: Option<&str>) -> Self {
        let name = unique(name);
        let from = MariaDb::start(lab().scratch(), &format!("{name}-from"));
        let into = Postgres::start(lab().scratch(), &format!("{name}-into"));
        let mut settings = Settings::serve(&name, lab().kafka().brokers());
        if let Some(ms) = timeout_ms {
            settings = settings.with("task.progress.timeout.ms", ms);
        }
        let worker = Rowferry::start(lab().scratch(), settings);
        let (pipeline, mut source) = Pipeline::new(&from, "across", "t").await;
        let target = into.create_database(&pipeline.copy).await;
        run(
            &mut source,
            "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, at TEXT)",
        )
        .await;
        let sink = json!({
            "connection.url": into.jdbc_url(&pipeline.copy), "connection.user": Postgres::USER,
            "connection.password": Postgres::PASSWORD, "insert.mode": "insert", "pk.mode": "none",
        });
        pipeline.create(worker.rest(), &from, json!({}), sink).await;
        let mut across = Self {
            worker,
            from,
            into,
            pipeline,
            source,
            target,
            rows: 0,
        };
        across.insert().await;
        across.all_arrive().await;
        across
    }

    fn names(&self) -> [String; 2] {
        [self.pipeline.source_name(), self.pipeline.sink_name()]
    }

    async fn insert(&mut self) {
        self.rows += 2;
        run(&mut self.source, "INSERT INTO t (at) VALUES ('a'), ('b')").await;
    }

    /// Each row is in the target once.
    async fn all_arrive(&mut self) {
        let sql = format!(
            r#"SELECT id::text FROM "{}" ORDER BY id"#,
            self.pipeline.topic()
        );
        let (rows, target) = (self.rows, &mut self.target);
        let mut ids = Vec::new();
        for_condition(&format!("{rows} rows"), LONG, async || {
            let made = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone()))
                .fetch_all(&mut *target)
                .await
                .is_ok();
            ids = if made {
                postgres::texts(target, &sql).await
            } else {
                Vec::new()
            };
            ids.len() >= rows
        })
        .await;
        assert_eq!(
            ids,
            (1..=rows)
                .map(|id| vec![Some(id.to_string())])
                .collect::<Vec<_>>()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_whose_database_is_frozen_say_so_fail_and_continue() {
    let mut across = Across::new("frozen_databases", Some("15000")).await;
    let [source, sink] = across.names();
    across.into.freeze();
    across.insert().await;
    reported(&across.worker, &sink, "database").await;
    failed_over_it(&across.worker, &sink).await;
    across.into.thaw();
    across.all_arrive().await;
    across.insert().await;
    across.from.freeze();
    reported(&across.worker, &source, "source").await;
    failed_over_it(&across.worker, &source).await;
    across.from.thaw();
    across.insert().await;
    across.all_arrive().await;
    at_work(&across.worker, &[source, sink]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_open_against_frozen_databases_say_so_over_all_their_starts() {
    // with the default limit a start fails before its own warning would appear
    let mut across = Across::new("frozen_at_start", None).await;
    let [source, sink] = across.names();
    across.insert().await;
    across.all_arrive().await;
    across.worker.kill();
    across.from.freeze();
    across.into.freeze();
    across.worker.restart();
    for (name, what) in [(&source, "source"), (&sink, "database")] {
        let first = reported(&across.worker, name, what).await;
        assert_eq!(
            reported(&across.worker, name, what).await["since"],
            first["since"],
            "each answer starts it again"
        );
    }
    across.from.thaw();
    across.into.thaw();
    across.insert().await;
    across.all_arrive().await;
    at_work(&across.worker, &[source, sink]).await;
}

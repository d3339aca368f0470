//! What a worker keeps, takes up again and reports: restarts, outages, history.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::mariadb::run;
use testkit::{Kafka, MariaDb, Rest, Rowferry, Settings, for_condition, unique};

use crate::lab;
use crate::pipeline::Pipeline;

const SOON: Duration = Duration::from_secs(60);

pub(crate) async fn table(server: &MariaDb, database: &str) -> Value {
    let mut connection = server.create_database(database).await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY); INSERT INTO t VALUES (1), (2)",
    )
    .await;
    source(server, database)
}

fn source(server: &MariaDb, database: &str) -> Value {
    json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector", "connection.url": server.jdbc_url(database),
        "connection.user": MariaDb::USER, "connection.password": MariaDb::PASSWORD, "mode": "incrementing",
        "incrementing.column.name": "id", "table.whitelist": "t", "topic.prefix": format!("{database}-"),
        "poll.interval.ms": "200"})
}

async fn state(rest: &Rest, name: &str) -> Value {
    rest.get(&format!("/connectors/{name}/status")).await.body["connector"]["state"].clone()
}

/// The sink's consumer refreshes its metadata once an hour, so that it cannot find the topic alone.
#[tokio::test]
async fn a_sink_reads_a_topic_as_soon_as_a_source_of_the_worker_has_created_it() {
    let server = lab().mariadb();
    let (pipeline, mut connection) = Pipeline::new(server, "created", "t").await;
    let filled = "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2)";
    run(&mut connection, filled).await;
    let worker = lab().worker();
    let rest = worker.rest();
    let sink = json!({"consumer.override.metadata.max.age.ms": "3600000"});
    rest.create(&pipeline.sink_name(), &pipeline.sink(server, sink))
        .await;
    rest.wait_state(&pipeline.sink_name(), "RUNNING", SOON)
        .await;
    let source = pipeline.source(server, json!({}));
    rest.create(&pipeline.source_name(), &source).await;
    pipeline.wait_arrived(&mut connection, 2, SOON).await;
    pipeline.remove(rest).await;
}

#[tokio::test]
async fn a_killed_worker_resumes_what_was_requested() {
    let (database, name) = (unique("kept"), unique("kept"));
    let config = table(lab().mariadb(), &database).await;
    let worker = lab().own_worker(&name);
    let rest = worker.rest();
    for connector in ["runs", "paused", "stopped", "deleted"] {
        rest.create(connector, &config).await;
        rest.wait_state(connector, "RUNNING", SOON).await;
    }
    rest.put_empty("/connectors/paused/pause").await.expect(202);
    rest.put_empty("/connectors/stopped/stop").await.expect(204);
    rest.remove("deleted").await;
    worker.kill();
    worker.restart();
    rest.wait_state("runs", "RUNNING", SOON).await;
    rest.wait_state("paused", "PAUSED", SOON).await;
    assert_eq!(state(rest, "stopped").await, "STOPPED");
    rest.get("/connectors/deleted").await.expect(404);
    let mut stored: Value = rest.get("/connectors/runs/config").await.expect(200).body;
    stored.as_object_mut().unwrap().remove("name");
    assert_eq!(stored, config, "the config comes back as it was given");
    rest.put_empty("/connectors/stopped/resume")
        .await
        .expect(202);
    rest.wait_state("stopped", "RUNNING", SOON).await;
    assert_eq!(worker.stop(Duration::from_secs(30)), Some(0));
}

#[tokio::test]
async fn a_database_that_goes_away_is_named_and_taken_up_again() {
    let server = MariaDb::start(lab().scratch(), &unique("away"));
    let config = table(&server, "away").await;
    let worker = lab().own_worker(&unique("away"));
    let rest = worker.rest();
    rest.create("s", &config).await;
    rest.wait_state("s", "RUNNING", SOON).await;
    server.kill();
    rest.put_empty("/connectors/s/stop").await.expect(204);
    for_condition("it is stopped", SOON, async || {
        state(rest, "s").await == "STOPPED"
    })
    .await;
    rest.put_empty("/connectors/s/resume").await.expect(202);
    for_condition("it says why it fails", SOON, async || {
        let status = rest.get("/connectors/s/status").await.body;
        let trace = status["connector"]["trace"].as_str().unwrap_or_default();
        status["connector"]["state"] == "FAILED"
            && trace.contains(&server.port().to_string())
            && trace.contains("restarted automatically")
    })
    .await;
    server.restart();
    rest.wait_state("s", "RUNNING", SOON).await;
    assert_eq!(state(rest, "s").await, "RUNNING");
}

#[tokio::test]
async fn a_worker_without_its_broker_answers_says_so_and_recovers() {
    let port = testkit::free_port();
    let name = unique("nobroker");
    let database = unique("nobroker");
    let config = table(lab().mariadb(), &database).await;
    let worker = Rowferry::start(
        lab().scratch(),
        Settings::serve(&name, format!("127.0.0.1:{port}")),
    );
    let rest = worker.rest();
    let health = rest.get("/health").await.expect(503).body;
    assert_eq!(health["status"], "starting");
    assert!(
        health["message"]
            .as_str()
            .unwrap()
            .contains("bootstrap.servers"),
        "{health}"
    );
    rest.create("s", &config).await;
    for_condition("the status says what to do", SOON, async || {
        rest.get("/connectors/s/status")
            .await
            .text
            .contains("bootstrap.servers")
    })
    .await;
    let kafka = Kafka::start_on(lab().scratch(), &name, port);
    rest.wait_state("s", "RUNNING", SOON).await;
    for_condition("it is healthy", SOON, async || {
        rest.get("/health").await.status == 200
    })
    .await;
    kafka
        .topics()
        .wait_for(&format!("{database}-t"), 2, SOON)
        .await;

    kafka.kill();
    for_condition("it is no longer healthy", SOON, async || {
        let health = rest.get("/health").await;
        let why = health.body["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        health.status == 500
            && health.body["status"] == "unhealthy"
            && why.contains(&port.to_string())
    })
    .await;
    rest.get("/connectors").await.expect(200);
    kafka.restart();
    for_condition("it is healthy again", SOON, async || {
        rest.get("/health").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn configs_are_kept_with_what_changed_and_can_be_restored() {
    let database = unique("history");
    let config = table(lab().mariadb(), &database).await;
    let rest = lab().worker().rest();
    let name = unique("history");
    rest.create(&name, &config).await;
    let url = format!("/connectors/{name}/config");
    let patch = json!({"poll.interval.ms": "900", "connection.password": "CANARY", "mode": null});
    rest.send("PATCH", &url, Some(("application/json", patch.to_string())))
        .await
        .expect(400);
    let patch = json!({"poll.interval.ms": "900"});
    rest.send("PATCH", &url, Some(("application/json", patch.to_string())))
        .await
        .expect(200);
    let path = format!("/v1/connectors/{name}/history");
    let history = rest.get(&path).await.expect(200).body;
    assert_eq!(
        history[1]["changes"],
        json!([{"key": "poll.interval.ms", "from": "200", "to": "900"}])
    );
    assert!(
        !history.to_string().contains(MariaDb::PASSWORD),
        "{history}"
    );
    rest.send("POST", &format!("{path}/1/restore"), None)
        .await
        .expect(200);
    assert_eq!(
        rest.get(&format!("/connectors/{name}/config")).await.body["poll.interval.ms"],
        "200"
    );
    rest.remove(&name).await;
    assert_eq!(rest.get(&path).await.body[3]["deleted"], true);
    rest.send("POST", &format!("{path}/2/restore"), None)
        .await
        .expect(201);
    rest.wait_state(&name, "RUNNING", SOON).await;
    rest.send("POST", &format!("{path}/99/restore"), None)
        .await
        .expect(404);
    rest.remove(&name).await;
}

/// 208 connectors are created, changed, paused and deleted from 16 sides at once, while all sides patch one more and
/// fight over another.
#[tokio::test(flavor = "multi_thread")]
async fn many_clients_at_once_leave_the_store_consistent() {
    let database = unique("many");
    let config = table(lab().mariadb(), &database).await;
    let settings = Settings::serve(&unique("many"), lab().kafka().brokers());
    let worker = Rowferry::start(
        lab().scratch(),
        settings.with("rowferry.history.versions", "1000"),
    );
    let shared = json!({"name": "shared", "config": config, "initial_state": "STOPPED"});
    worker.rest().post("/connectors", &shared).await.expect(201);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (rest, config) = (Rest::new(worker.rest().base()), config.clone());
            tokio::spawn(async move {
                for number in 0..13 {
                    one_of_many(&rest, &config, &format!("c{client}-{number}"), number).await;
                    let patch = json!({format!("key.{client}.{number}"): "x"}).to_string();
                    let patch = Some(("application/json", patch));
                    rest.send("PATCH", "/connectors/shared/config", patch)
                        .await
                        .expect(200);
                    let fought = match number % 2 {
                        0 => rest.put("/connectors/fought/config", &config).await,
                        _ => rest.delete("/connectors/fought").await,
                    };
                    assert!(
                        [200, 201, 204, 404].contains(&fought.status),
                        "{}",
                        fought.text
                    );
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let _ = worker.rest().delete("/connectors/fought").await;
    let before = listing(worker.rest()).await;
    assert_eq!(before.as_object().unwrap().len(), CLIENTS * 6 + 1);
    let patched = before["shared"]["info"]["config"]
        .as_object()
        .unwrap()
        .keys()
        .filter(|key| key.starts_with("key."));
    assert_eq!(
        patched.count(),
        CLIENTS * 13,
        "two patches at once both count"
    );
    let history = worker
        .rest()
        .get("/v1/connectors/shared/history")
        .await
        .expect(200)
        .body;
    assert_eq!(
        history.as_array().unwrap().len(),
        1 + CLIENTS * 13,
        "one version for each change"
    );
    worker.kill();
    worker.restart();
    // A client of its own: the other's connections ended with the worker.
    let rest = Rest::new(worker.rest().base());
    for_condition("all are back as they were", SOON, async || {
        listing(&rest).await == before
    })
    .await;
}

const CLIENTS: usize = 16;

/// The life of a connector: created, changed, and deleted or paused.
async fn one_of_many(rest: &Rest, config: &Value, name: &str, number: usize) {
    let body = json!({"name": name, "config": config, "initial_state": "STOPPED"});
    rest.post("/connectors", &body).await.expect(201);
    let mut other = config.clone();
    other["poll.interval.ms"] = json!(number.to_string());
    rest.put(&format!("/connectors/{name}/config"), &other)
        .await
        .expect(200);
    if number.is_multiple_of(2) {
        rest.remove(name).await;
    } else {
        rest.put_empty(&format!("/connectors/{name}/pause"))
            .await
            .expect(202);
    }
}

async fn listing(rest: &Rest) -> Value {
    rest.get("/connectors?expand=info&expand=status")
        .await
        .expect(200)
        .body
}

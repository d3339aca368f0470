//! The REST API when it is asked for something wrong, and what a restart of the worker keeps.

use serde_json::{Value, json};
use testkit::mariadb::run;
use testkit::{MariaDb, Rowferry, Settings, for_condition};

use crate::pipeline::Pipeline;
use crate::{SOON, lab};

/// Method, path, body, status, and what the message is or contains (with a leading `~`).
type Case<'a> = (&'a str, &'a str, Option<Value>, u16, &'a str);

#[tokio::test]
async fn an_unknown_connector_is_404_on_every_route() {
    let not_found = "Connector nobody not found";
    let unknown = "Unknown connector nobody";
    let cases: &[Case] = &[
        ("GET", "/connectors/nobody", None, 404, not_found),
        ("GET", "/connectors/nobody/config", None, 404, not_found),
        ("GET", "/connectors/nobody/tasks", None, 404, not_found),
        ("GET", "/connectors/nobody/offsets", None, 404, not_found),
        (
            "GET",
            "/connectors/nobody/status",
            None,
            404,
            "No status found for connector nobody",
        ),
        (
            "GET",
            "/connectors/nobody/tasks/0/status",
            None,
            404,
            "No status found for task nobody-0",
        ),
        ("DELETE", "/connectors/nobody", None, 404, not_found),
        ("PUT", "/connectors/nobody/pause", None, 404, unknown),
        ("PUT", "/connectors/nobody/resume", None, 404, unknown),
        ("PUT", "/connectors/nobody/stop", None, 404, unknown),
        (
            "POST",
            "/connectors/nobody/restart",
            None,
            404,
            "Unknown connector: nobody",
        ),
        (
            "POST",
            "/connectors/nobody/tasks/0/restart",
            None,
            404,
            "Unknown connector: nobody",
        ),
        ("GET", "/nowhere", None, 404, "HTTP 404 Not Found"),
        (
            "DELETE",
            "/connectors",
            None,
            405,
            "HTTP 405 Method Not Allowed",
        ),
    ];
    check(cases).await;
}

#[tokio::test]
async fn a_wrong_body_is_refused_with_a_reason() {
    let source = "io.confluent.connect.jdbc.JdbcSourceConnector";
    let class = |class: &str| json!({"name": "wrong", "config": {"connector.class": class}});
    let named = json!({"name": "wrong", "config": {"name": "other", "connector.class": source}});
    let cases: &[Case] = &[
        (
            "POST",
            "/connectors",
            Some(class("no.such.Connector")),
            400,
            "~no.such.Connector",
        ),
        (
            "POST",
            "/connectors",
            Some(json!({"name": "wrong", "config": {"tasks.max": "1"}})),
            400,
            "~contains no connector type",
        ),
        (
            "POST",
            "/connectors",
            Some(named),
            400,
            "Connector name configuration (other) doesn't match connector name in the URL (wrong)",
        ),
        (
            "POST",
            "/connectors",
            Some(json!({"name": "wrong"})),
            400,
            "~config",
        ),
        ("POST", "/connectors", Some(json!([])), 400, "~"),
        (
            "POST",
            "/connectors",
            Some(class(source)),
            400,
            "~Connector configuration is invalid",
        ),
        (
            "PUT",
            "/connectors/wrong/config",
            Some(json!({"connector.class": "no.such.Connector"})),
            400,
            "~no.such.Connector",
        ),
        (
            "PUT",
            "/connectors/wrong/config",
            Some(json!("text")),
            400,
            "~",
        ),
    ];
    check(cases).await;
    let rest = lab().worker().rest();
    for body in [
        "{\"name\": ",
        "",
        "not json",
        "{'name':'x'}",
        "{\"name\":\"x\",\"config\":{},}",
    ] {
        let answer = rest
            .send(
                "POST",
                "/connectors",
                Some(("application/json", body.to_owned())),
            )
            .await;
        assert_eq!(
            (answer.status, &answer.body["error_code"]),
            (400, &json!(400)),
            "{body:?}: {}",
            answer.text
        );
        assert!(!answer.message().is_empty(), "{body:?}");
    }
    let answer = rest
        .send("POST", "/connectors", Some(("text/plain", "{}".to_owned())))
        .await;
    assert_eq!(
        (answer.status, answer.message()),
        (415, "HTTP 415 Unsupported Media Type")
    );
    rest.get("/connectors/wrong").await.expect(404);
}

#[tokio::test]
async fn a_name_that_is_taken_is_a_conflict() {
    let (pipeline, mut connection) = Pipeline::new(lab().mariadb(), "taken", "t").await;
    run(&mut connection, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let (rest, name) = (lab().worker().rest(), pipeline.source_name());
    let body = json!({"name": name, "config": pipeline.source(lab().mariadb(), json!({}))});
    rest.post("/connectors", &body).await.expect(201);
    let answer = rest.post("/connectors", &body).await.expect(409);
    assert_eq!(answer.message(), format!("Connector {name} already exists"));
    rest.remove(&name).await;
}

async fn check(cases: &[Case<'_>]) {
    for (method, path, body, status, message) in cases {
        let body = body
            .as_ref()
            .map(|body| ("application/json", body.to_string()));
        let answer = lab().worker().rest().send(method, path, body).await;
        assert_eq!(answer.status, *status, "{method} {path}: {}", answer.text);
        assert_eq!(
            answer.body["error_code"], *status,
            "{method} {path}: {}",
            answer.text
        );
        match message.strip_prefix('~') {
            Some(part) => assert!(
                answer.message().contains(part),
                "{method} {path}: {}",
                answer.text
            ),
            None => assert_eq!(answer.message(), *message, "{method} {path}"),
        }
    }
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_named() {
    let server = MariaDb::start(lab().scratch(), "mariadb-down");
    let (pipeline, mut connection) = Pipeline::new(&server, "down", "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)",
    )
    .await;
    let worker = lab().own_worker("database-down");
    pipeline
        .create(
            worker.rest(),
            &server,
            json!({"connection.backoff.ms": "500"}),
            json!({}),
        )
        .await;
    pipeline.wait_same(&mut connection, SOON).await;

    // At create: refused, naming the address.
    worker.stop(SOON);
    server.kill();
    worker.restart();
    let address = format!("127.0.0.1:{}", server.port());
    let body = json!({"name": "late", "config": pipeline.source(&server, json!({"connection.attempts": "1"}))});
    let answer = worker.rest().post("/connectors", &body).await.expect(400);
    assert!(
        answer.message().contains("Could not connect to database")
            && names(answer.message(), &address),
        "{}",
        answer.text
    );

    // At start of the worker: the status names the address, and the connectors continue automatically later.
    let path = format!("/connectors/{}/status", pipeline.source_name());
    for_condition("the status names the address", SOON, async || {
        names(&worker.rest().get(&path).await.text, &address)
    })
    .await;
    server.restart();
    let mut connection = server.connect(&pipeline.name).await;
    run(&mut connection, "INSERT INTO t VALUES (2)").await;
    assert_eq!(pipeline.wait_same(&mut connection, SOON * 2).await, 2);
}

/// Whether a text names host and port, in whatever form.
fn names(text: &str, address: &str) -> bool {
    let (host, port) = address.split_once(':').unwrap();
    text.contains(host) && text.contains(port)
}

#[tokio::test]
async fn a_broker_that_does_not_answer_is_named() {
    let (pipeline, mut connection) = Pipeline::new(lab().mariadb(), "no_broker", "t").await;
    run(&mut connection, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let worker = Rowferry::start(
        lab().scratch(),
        Settings::serve("broker-down", "127.0.0.1:1".to_owned()),
    );
    let rest = worker.rest();
    rest.create(
        &pipeline.source_name(),
        &pipeline.source(lab().mariadb(), json!({})),
    )
    .await;
    let path = format!("/connectors/{}/status", pipeline.source_name());
    for_condition("the status names the broker", SOON, async || {
        rest.get(&path).await.text.contains("127.0.0.1:1")
    })
    .await;
    assert_eq!(worker.stop(SOON), Some(0));
}

#[tokio::test]
async fn connectors_and_their_states_survive_a_restart() {
    let (pipeline, mut connection) = Pipeline::new(lab().mariadb(), "kept", "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2)",
    )
    .await;
    let worker = lab().own_worker("restarted");
    let rest = worker.rest();
    pipeline
        .create(rest, lab().mariadb(), json!({}), json!({}))
        .await;
    pipeline.wait_same(&mut connection, SOON).await;
    let (source, sink) = (pipeline.source_name(), pipeline.sink_name());
    rest.put_empty(&format!("/connectors/{sink}/pause"))
        .await
        .expect(202);
    rest.wait_state(&sink, "PAUSED", SOON).await;
    let before = rest
        .get(&format!("/connectors/{source}/config"))
        .await
        .expect(200)
        .body;

    assert_eq!(worker.stop(SOON), Some(0));
    worker.restart();
    assert_eq!(
        rest.get(&format!("/connectors/{source}/config"))
            .await
            .expect(200)
            .body,
        before
    );
    rest.wait_state(&sink, "PAUSED", SOON).await;
    rest.wait_state(&source, "RUNNING", SOON).await;
    run(&mut connection, "INSERT INTO t VALUES (3)").await;
    lab()
        .kafka()
        .topics()
        .wait_for(&pipeline.topic(), 3, SOON)
        .await;
    assert_eq!(pipeline.arrived(&mut connection).await, 2);
    rest.put_empty(&format!("/connectors/{sink}/resume"))
        .await
        .expect(202);
    assert_eq!(pipeline.wait_same(&mut connection, SOON).await, 3);
}

#[tokio::test]
async fn stop_pause_restart_and_delete_do_what_they_say() {
    let (pipeline, mut connection) = Pipeline::new(lab().mariadb(), "verbs", "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2)",
    )
    .await;
    let rest = lab().worker().rest();
    pipeline
        .create(rest, lab().mariadb(), json!({}), json!({}))
        .await;
    pipeline.wait_same(&mut connection, SOON).await;
    let source = pipeline.source_name();
    let path = |rest: &str| format!("/connectors/{source}{rest}");

    rest.put_empty(&path("/stop")).await.expect(204);
    for_condition("the source is stopped", SOON, async || {
        let status = rest.get(&path("/status")).await.body;
        status["connector"]["state"] == "STOPPED" && status["tasks"] == json!([])
    })
    .await;
    let offsets = rest.get(&path("/offsets")).await.expect(200).body;
    assert_eq!(offsets["offsets"][0]["offset"], json!({"incrementing": 2}));
    rest.put_empty(&path("/resume")).await.expect(202);
    rest.wait_state(&source, "RUNNING", SOON).await;
    rest.post(&path("/restart?includeTasks=true"), &json!({}))
        .await
        .expect(202);
    rest.post(&path("/tasks/0/restart"), &json!({}))
        .await
        .expect(204);
    rest.wait_state(&source, "RUNNING", SOON).await;
    let tasks = rest.get(&path("/tasks")).await.expect(200).body;
    assert_eq!(tasks[0]["id"], json!({"connector": source, "task": 0}));
    let changed = rest
        .put(
            &path("/config"),
            &pipeline.source(lab().mariadb(), json!({"poll.interval.ms": "150"})),
        )
        .await;
    assert_eq!(
        changed.expect(200).body["config"]["poll.interval.ms"],
        "150"
    );
    run(&mut connection, "INSERT INTO t VALUES (3)").await;
    assert_eq!(pipeline.wait_same(&mut connection, SOON).await, 3);
    pipeline.remove(rest).await;
    rest.get(&path("")).await.expect(404);
}

#[tokio::test]
async fn the_root_health_and_plugins_answer() {
    let rest = lab().worker().rest();
    let root = rest.get("/").await.expect(200).body;
    assert!(
        root["version"].is_string()
            && root["commit"].is_string()
            && root["kafka_cluster_id"].is_string(),
        "{root}"
    );
    rest.get("/health").await.expect(200);
    let plugins = rest.get("/connector-plugins").await.expect(200).body;
    let classes: Vec<&str> = plugins
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|plugin| plugin["class"].as_str())
        .collect();
    for class in [
        "io.confluent.connect.jdbc.JdbcSourceConnector",
        "io.confluent.connect.jdbc.JdbcSinkConnector",
    ] {
        assert!(classes.contains(&class), "{classes:?}");
    }
}

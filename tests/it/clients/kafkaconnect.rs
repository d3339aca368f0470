//! `kafkaconnect` of the package of the same name, all commands.

use serde_json::{Value, json};
use testkit::{MariaDb, for_condition};

use super::{Client, worker_and_source, written};
use crate::{SOON, lab};

#[tokio::test(flavor = "multi_thread")]
async fn kafkaconnect_runs_all_its_commands() {
    let (worker, config) = worker_and_source("kafkaconnect").await;
    let (rest, brokers) = (worker.rest(), lab().kafka().brokers());
    let client = Client::new(
        "kafkaconnect",
        &["--broker", &brokers, "--connect", worker.rest().base()],
    );
    assert_eq!(client.json(&["list"]), json!([]));
    uploaded(&client, &config);
    rest.wait_state("up", "RUNNING", SOON).await;
    let topic = format!("{}t", config["topic.prefix"].as_str().unwrap());
    sink_created(&client, &config, &topic);
    rest.wait_state("down", "RUNNING", SOON).await;
    connectors_that_are_not_here(&client);

    assert_eq!(client.json(&["list"]), json!(["down", "up"]));
    assert_eq!(client.json(&["info", "up"])["type"], "source");
    assert_eq!(
        client.json(&["status", "up"])["tasks"][0]["state"],
        "RUNNING"
    );
    assert_eq!(client.json(&["config", "up"])["mode"], "incrementing");
    assert_eq!(client.json(&["tasks", "up"])[0]["id"]["task"], 0);
    for_condition("the topic is listed", SOON, async || {
        client.json(&["topics", "up"])["up"]["topics"] == json!([topic])
    })
    .await;
    assert!(
        client
            .json(&["plugins"])
            .as_array()
            .unwrap()
            .iter()
            .all(|plugin| plugin["class"].is_string())
    );
    client.silent(&["restart", "up"]);
    rest.wait_state("up", "RUNNING", SOON).await;
    client.silent(&["pause", "up"]);
    rest.wait_state("up", "PAUSED", SOON).await;
    client.silent(&["resume", "up"]);
    rest.wait_state("up", "RUNNING", SOON).await;
    client.silent(&["delete", "up"]);
    client.silent(&["delete", "down"]);
    assert!(client.call(&["status", "up"]).ends_with("not found."));
    assert_eq!(client.json(&["list"]), json!([]));
    assert!(client.call(&["help", "upload"]).contains("--dry-run"));
    client.assert_whole();
}

fn uploaded(client: &Client, config: &Value) {
    let file = written("kafkaconnect", config);
    assert_eq!(
        client.json(&["upload", &file, "--name", "up", "--dry-run"])["error_count"],
        0
    );
    let (_, info) = after_first_line(&client.call(&["upload", &file, "--name", "up"]));
    assert_eq!(info["name"], "up");
    let mut wrong = config.clone();
    wrong["tasks.max"] = json!("none");
    let (_, infos) = after_first_line(&client.call(&[
        "upload",
        &written("kafkaconnect", &wrong),
        "--name",
        "up",
    ]));
    assert!(infos["error_count"].as_u64().unwrap() > 0, "{infos}");
}

fn sink_created(client: &Client, source: &Value, topic: &str) {
    let config = json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "connection.url": source["connection.url"],
        "connection.user": MariaDb::USER, "connection.password": MariaDb::PASSWORD, "topics": topic,
        "auto.create": "true", "name": "down"});
    let file = written("kafkaconnect", &config);
    assert_eq!(
        client.json(&["create", "jdbc-sink", &file, "--dry-run"])["error_count"],
        0
    );
    let (said, info) = after_first_line(&client.call(&["create", "jdbc-sink", &file]));
    assert_eq!(said, "Creating the down connector...");
    assert_eq!(info["type"], "sink");
}

/// Its other commands create connectors that Rowferry does not have, and show the worker's answer.
fn connectors_that_are_not_here(client: &Client) {
    let of = |class: &str| {
        written(
            "kafkaconnect",
            &json!({"name": "no", "connector.class": class, "topics": "t"}),
        )
    };
    let (s3, mirror) = (
        of("io.confluent.connect.s3.S3SinkConnector"),
        of("a.MirrorSourceConnector"),
    );
    let refused = |arguments: &[&str]| {
        let printed = client.call(arguments);
        assert!(
            printed.contains("Failed to find any class that implements Connector"),
            "{printed}"
        );
    };
    refused(&[
        "create",
        "s3-sink",
        "--dry-run",
        "--aws-access-key-id",
        "key",
        "--aws-secret-access-key",
        "secret",
        &s3,
    ]);
    refused(&[
        "create",
        "influxdb-sink",
        "--database",
        "d",
        "--validate",
        "t",
    ]);
    refused(&[
        "create",
        "mirrormaker2",
        "--name",
        "no",
        "-h",
        &mirror,
        "-c",
        &mirror,
        "-m",
        &mirror,
        "--dry-run",
    ]);
}

/// The sentence and the JSON below it.
fn after_first_line(printed: &str) -> (String, Value) {
    let (line, rest) = printed.split_once('\n').expect("two lines");
    (
        line.to_owned(),
        serde_json::from_str(rest).unwrap_or_else(|error| panic!("{error}: {rest}")),
    )
}

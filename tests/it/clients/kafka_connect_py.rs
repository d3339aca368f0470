//! `kc` of the package kafka-connect-py, all commands; and the methods of its class that no command calls.

use std::process::Command;

use serde_json::{Value, json};
use testkit::{for_condition, python_program};

use super::{Client, worker_and_source, written};
use crate::SOON;

#[tokio::test(flavor = "multi_thread")]
async fn kafka_connect_py_runs_all_its_commands() {
    let (worker, config) = worker_and_source("kc").await;
    let (rest, kc) = (
        worker.rest(),
        Client::new("kc", &["--url", worker.rest().base()]),
    );
    assert!(
        kc.json(&["info"])["version"]
            .as_str()
            .unwrap()
            .starts_with("4.")
    );
    assert_eq!(kc.json(&["list"]), json!([]));
    created_and_changed(&kc, &config);
    rest.wait_state("kc-a", "RUNNING", SOON).await;
    rest.wait_state("kc-b", "RUNNING", SOON).await;
    looked_at(&kc);
    restarted(&kc);
    rest.wait_state("kc-a", "RUNNING", SOON).await;
    rest.wait_state("kc-b", "RUNNING", SOON).await;

    kc.silent(&["pause", "kc-a"]);
    rest.wait_state("kc-a", "PAUSED", SOON).await;
    assert_eq!(kc.json(&["list", "--state", "PAUSED"]), json!(["kc-a"]));
    kc.silent(&["resume", "kc-a"]);
    rest.wait_state("kc-a", "RUNNING", SOON).await;
    kc.silent(&["pause", "--all", "--pattern", "kc-", "--state", "RUNNING"]);
    rest.wait_state("kc-a", "PAUSED", SOON).await;
    rest.wait_state("kc-b", "PAUSED", SOON).await;
    kc.silent(&["resume", "--all"]);
    rest.wait_state("kc-b", "RUNNING", SOON).await;

    for_condition("the topic is listed", SOON, async || {
        kc.json(&["list-topics", "kc-a"])["kc-a"]["topics"]
            == json!([format!("{}t", text(&config, "topic.prefix"))])
    })
    .await;
    assert_eq!(kc.json(&["reset-topics", "kc-a"]), Value::Null);
    assert_eq!(
        kc.json(&["list-topics", "kc-a"]),
        json!({"kc-a": {"topics": []}})
    );

    in_its_library(rest.base(), &config);
    for_condition("all are stopped", SOON, async || {
        ["kc-a", "kc-b"]
            .iter()
            .all(|name| kc.json(&["status", name])["connector"]["state"] == "STOPPED")
    })
    .await;
    kc.silent(&["delete", "kc-a"]);
    assert_eq!(kc.json(&["list"]), json!(["kc-b"]));
    assert!(kc.call(&["get", "kc-a"]).starts_with("404 Client Error"));
    kc.silent(&["delete", "--all"]);
    assert_eq!(kc.json(&["list"]), json!([]));
    kc.assert_whole();
}

fn text<'a>(config: &'a Value, key: &str) -> &'a str {
    config[key].as_str().unwrap()
}

fn created_and_changed(kc: &Client, config: &Value) {
    let body = json!({"name": "kc-a", "config": config});
    assert_eq!(
        kc.json(&["create", "--config-data", &body.to_string()])["name"],
        "kc-a"
    );
    let again = kc.call(&["create", "--config-data", &body.to_string()]);
    assert!(again.starts_with("409 Client Error"), "{again}");
    let file = written("kc", &json!({"name": "kc-b", "config": config}));
    assert_eq!(
        kc.json(&["create", "--config-file", &file])["config"]["name"],
        "kc-b"
    );
    let mut other = config.clone();
    other["poll.interval.ms"] = json!("300");
    let updated = kc.json(&["update", "kc-b", "--config-file", &written("kc", &other)]);
    assert_eq!(updated["config"]["poll.interval.ms"], "300");
    let bad = kc.call(&[
        "update",
        "kc-b",
        "--config-data",
        r#"{"connector.class": "no.such.Class"}"#,
    ]);
    assert!(bad.starts_with("400 Client Error"), "{bad}");
    let mut stored = kc.json(&["config", "kc-a"]);
    stored.as_object_mut().unwrap().remove("name");
    assert_eq!(&stored, config, "the config comes back as it was given");
}

fn looked_at(kc: &Client) {
    assert_eq!(
        kc.json(&["list", "--pattern", ".*-b", "--state", "RUNNING"]),
        json!(["kc-b"])
    );
    assert_eq!(
        kc.json(&["list", "--expand", "status"])["kc-a"]["status"]["tasks"][0]["state"],
        "RUNNING"
    );
    assert_eq!(
        kc.json(&["list", "--expand", "info", "--state", "RUNNING"])["kc-b"]["info"]["type"],
        "source"
    );
    assert_eq!(
        kc.json(&["get", "kc-a"])["tasks"],
        json!([{"connector": "kc-a", "task": 0}])
    );
    assert_eq!(
        kc.json(&["status", "kc-a"])["connector"]["state"],
        "RUNNING"
    );
    assert_eq!(
        kc.json(&["list-tasks", "kc-a"])[0]["id"],
        json!({"connector": "kc-a", "task": 0})
    );
    assert_eq!(kc.json(&["task-status", "kc-a", "0"])["state"], "RUNNING");
    let plugins = kc.json(&["list-plugins"]);
    assert!(
        plugins
            .as_array()
            .unwrap()
            .iter()
            .any(|plugin| plugin["type"] == "sink"),
        "{plugins}"
    );
    // This client sends the config as JSON within JSON text, which no Connect worker accepts.
    let refused = kc.call(&[
        "validate-config",
        "JdbcSourceConnector",
        "--config-data",
        "{}",
    ]);
    assert!(refused.starts_with("400 Client Error"), "{refused}");
}

fn restarted(kc: &Client) {
    assert_eq!(kc.json(&["restart", "kc-a"])["name"], "kc-a");
    assert_eq!(
        kc.json(&["restart", "kc-a", "--include-tasks", "--only-failed"])["name"],
        "kc-a"
    );
    assert_eq!(
        kc.json(&["restart", "kc-a", "--include-tasks"])["tasks"][0]["id"],
        0
    );
    let all = kc.json(&["restart", "--all", "--include-tasks", "--pattern", "kc-"]);
    assert_eq!(all.as_object().unwrap().len(), 2);
    assert_eq!(kc.json(&["restart-task", "kc-a", "0"]), Value::Null);
}

/// What the class can do and the command line cannot.
fn in_its_library(base: &str, config: &Value) {
    let script = "
import json, sys
from kafka_connect import KafkaConnect
connect = KafkaConnect(url=sys.argv[1])
config = json.loads(sys.argv[2])
infos = connect.validate_connector_config('JdbcSourceConnector', {**config, 'name': 'x'})
assert infos['error_count'] == 0, infos
infos = connect.validate_connector_config('JdbcSourceConnector', {'connector.class': 'JdbcSourceConnector'})
assert infos['error_count'] > 0, infos
connect.stop_connector('kc-a')
connect.stop_all_connectors(pattern='kc-')
";
    let output = Command::new(python_program("python"))
        .args(["-c", script, base, &config.to_string()])
        .output();
    let output = output.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

//! Details of the REST API in which clients written for Kafka Connect rely on its server (Jersey and Jackson). What is
//! expected here was seen at Apache Kafka Connect 4.1.1.

use serde_json::json;
use testkit::{MariaDb, unique};

use crate::lab;

fn stopped_sink(name: &str) -> serde_json::Value {
    json!({"connector.class": "JdbcSink", "topics": name, "connection.url": lab().mariadb().jdbc_url("mysql"),
        "connection.user": MariaDb::USER, "connection.password": MariaDb::PASSWORD})
}

#[tokio::test]
async fn every_logger_that_is_known_is_listed_and_follows_root() {
    let rest = lab().worker().rest();
    rest.get("/connectors").await.expect(200);
    let listed = rest.get("/admin/loggers").await.expect(200).body;
    let listed = listed.as_object().unwrap();
    for logger in ["root", "rowferry.app", "sqlx"] {
        assert!(listed.contains_key(logger), "{logger}: {listed:?}");
    }
    let one = rest
        .get("/admin/loggers/rowferry.app")
        .await
        .expect(200)
        .body;
    assert_eq!(one, listed["rowferry.app"]);
    rest.get("/admin/loggers/rowferry.nowhere")
        .await
        .expect(404);
    // A level that nothing has, so that all of them change and this test disturbs nobody.
    let level = json!({"level": one["level"]});
    let changed = rest
        .put("/admin/loggers/rowferry.app", &level)
        .await
        .expect(200)
        .body;
    assert_eq!(changed, json!([]), "it has that level already");
}

#[tokio::test]
async fn the_last_of_repeated_members_counts() {
    let rest = lab().worker().rest();
    let name = unique("repeated");
    let config = stopped_sink("c").to_string();
    let config = format!(r#"{{"topics":"a",{}"#, config.trim_start_matches('{'));
    let body = format!(
        r#"{{"name":"other","initial_state":"RUNNING","config":{{}},"name":"{name}","initial_state":"STOPPED","config":{config}}}"#
    );
    let made = rest
        .send("POST", "/connectors", Some(("application/json", body)))
        .await
        .expect(201)
        .body;
    assert_eq!(
        (&made["name"], &made["config"]["topics"]),
        (&json!(name), &json!("c")),
        "{made}"
    );
    let status = rest
        .get(&format!("/connectors/{name}/status"))
        .await
        .expect(200)
        .body;
    assert_eq!(status["connector"]["state"], "STOPPED");
    rest.remove(&name).await;
}

#[tokio::test]
async fn matrix_parameters_are_no_part_of_a_path() {
    let rest = lab().worker().rest();
    let name = unique("matrix");
    let config = stopped_sink(&name);
    let body = json!({"name": name, "initial_state": "STOPPED", "config": config});
    rest.post("/connectors;v=1", &body).await.expect(201);
    let status = rest
        .get(&format!("/connectors;v=1/{name};a=b;c/status;"))
        .await
        .expect(200)
        .body;
    assert_eq!(status["name"], json!(name));
    let listed = rest
        .get("/connectors;x?expand=status")
        .await
        .expect(200)
        .body;
    assert!(listed[&name]["status"].is_object(), "{listed}");
    let escaped = rest
        .get(&format!("/connectors/{name}%3Bx/status"))
        .await
        .expect(404);
    assert_eq!(
        escaped.message(),
        format!("No status found for connector {name};x")
    );
    rest.remove(&name).await;
}

#[tokio::test]
async fn a_restart_of_a_stopped_connector_says_what_it_restarts_and_leaves_it_stopped() {
    let rest = lab().worker().rest();
    let name = unique("stopped");
    let body = json!({"name": name, "initial_state": "STOPPED", "config": stopped_sink(&name)});
    rest.post("/connectors", &body).await.expect(201);
    for (parameters, status, state) in [
        ("", 204, ""),
        ("?includeTasks=true", 202, "RESTARTING"),
        ("?includeTasks=true&onlyFailed=true", 202, "STOPPED"),
        ("?onlyFailed=true", 202, "STOPPED"),
    ] {
        let path = format!("/connectors/{name}/restart{parameters}");
        let answer = rest.post(&path, &json!({})).await.expect(status).body;
        if status == 202 {
            assert_eq!(
                answer["connector"]["state"], state,
                "{parameters}: {answer}"
            );
            assert_eq!(answer["tasks"], json!([]));
        }
        let now = rest
            .get(&format!("/connectors/{name}/status"))
            .await
            .expect(200)
            .body;
        assert_eq!(now["connector"]["state"], "STOPPED", "after {parameters}");
    }
    rest.remove(&name).await;
}

#[tokio::test]
async fn a_dead_letter_topic_that_the_sink_itself_would_read_is_refused() {
    let rest = lab().worker().rest();
    let config = json!({"connector.class": "JdbcSink", "name": "x", "topics.regex": "a.*",
        "connection.url": "jdbc:mysql://127.0.0.1:1/none", "errors.deadletterqueue.topic.name": "abc"});
    let answer = rest
        .put("/connector-plugins/JdbcSink/config/validate", &config)
        .await
        .expect(200)
        .body;
    let key = answer["configs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["value"]["name"] == "topics.regex")
        .unwrap();
    let want = "The DLQ topic 'abc' may not be matched by the regex for the topics ('topics.regex=a.*') consumed by the connector";
    assert_eq!(key["value"]["errors"], json!([want]));
}

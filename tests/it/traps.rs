//! What other tools rely on in Kafka Connect's answers and break without: kcctl, Kafka UI, AKHQ, Redpanda Console,
//! Strimzi, the Terraform provider and Ansible's module.

use serde_json::{Value, json};
use testkit::mariadb::run;
use testkit::{Rest, for_condition};

use crate::pipeline::Pipeline;
use crate::{SOON, lab};

const CONNECTOR_STATES: [&str; 6] = [
    "RUNNING",
    "FAILED",
    "PAUSED",
    "UNASSIGNED",
    "RESTARTING",
    "STOPPED",
];
const TYPES: [&str; 9] = [
    "BOOLEAN", "CLASS", "DOUBLE", "INT", "LIST", "LONG", "PASSWORD", "SHORT", "STRING",
];

/// A pipeline on the shared worker whose connectors run.
async fn running(name: &str) -> Pipeline {
    let (pipeline, mut connection) = Pipeline::new(lab().mariadb(), name, "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2)",
    )
    .await;
    let rest = lab().worker().rest();
    pipeline
        .create(rest, lab().mariadb(), json!({}), json!({}))
        .await;
    rest.wait_state(&pipeline.source_name(), "RUNNING", SOON)
        .await;
    rest.wait_state(&pipeline.sink_name(), "RUNNING", SOON)
        .await;
    pipeline
}

/// kcctl refuses verbs to workers before 3.7.
#[tokio::test]
async fn the_version_is_a_level_of_kafka_connects_api() {
    let root = lab().worker().rest().get("/").await.expect(200).body;
    let mut numbers = root["version"]
        .as_str()
        .unwrap()
        .split('.')
        .map(|part| part.parse::<u32>().unwrap());
    assert!(
        (numbers.next(), numbers.next()) >= (Some(3), Some(7)),
        "{root}"
    );
    assert!(root["rowferry_version"].is_string());
}

/// Strimzi compares each; kafka-connect-py looks at some.
#[tokio::test]
async fn each_verb_succeeds_with_its_own_status_with_and_without_a_body() {
    let pipeline = running("codes").await;
    let (rest, name) = (lab().worker().rest(), pipeline.source_name());
    let path = format!("/connectors/{name}/offsets");
    let partition = testkit::wait_until("an offset is stored", SOON, async || {
        let stored = rest.get(&path).await.expect(200).body;
        stored["offsets"][0].get("partition").cloned()
    })
    .await;
    let bodies = [
        None,
        Some(("application/json", String::new())),
        Some(("application/json", "{}".to_owned())),
    ];
    for body in bodies {
        for (method, path, status) in [
            ("PUT", "pause", 202),
            ("PUT", "resume", 202),
            ("POST", "restart", 204),
            ("POST", "restart?includeTasks=false&onlyFailed=False", 204),
            ("POST", "restart?includeTasks=True", 202),
            ("POST", "restart?onlyFailed=TRUE", 202),
            ("POST", "tasks/0/restart", 204),
            ("PUT", "topics/reset", 202),
            ("PUT", "stop", 204),
        ] {
            let answer = rest
                .send(method, &format!("/connectors/{name}/{path}"), body.clone())
                .await;
            assert_eq!(
                answer.status, status,
                "{method} {path} {body:?}: {}",
                answer.text
            );
            assert_eq!(
                answer.text.is_empty(),
                !path.contains('?') || status == 204,
                "{path}: {}",
                answer.text
            );
            if path == "pause" || path == "resume" {
                let state = if path == "pause" { "PAUSED" } else { "RUNNING" };
                rest.wait_state(&name, state, SOON).await;
            }
        }
        for_condition("it is stopped", SOON, async || {
            let status = status(rest, &name).await;
            status["tasks"] == json!([]) && status["connector"]["state"] == "STOPPED"
        })
        .await;
        let offsets = json!({"offsets": [{"partition": partition, "offset": {"incrementing": 0}}]});
        let body = Some(("application/json", offsets.to_string()));
        let changed = rest.send("PATCH", &path, body).await.expect(200);
        assert!(changed.body["message"].is_string());
        rest.delete(&path).await.expect(200);
        rest.put_empty(&format!("/connectors/{name}/resume"))
            .await
            .expect(202);
        rest.wait_state(&name, "RUNNING", SOON).await;
    }
    rest.put("/admin/loggers/some.logger", &json!({"level": "WARN"}))
        .await
        .expect(200);
    rest.put(
        "/admin/loggers/some.logger?scope=cluster",
        &json!({"level": "INFO"}),
    )
    .await
    .expect(204);
    pipeline.remove(rest).await;
}

async fn status(rest: &Rest, name: &str) -> Value {
    rest.get(&format!("/connectors/{name}/status")).await.body
}

/// Kafka UI shows an empty page when a part is missing or a state is none it knows; the Terraform provider reads
/// `connector` as a map of texts.
#[tokio::test]
async fn listings_have_every_part_and_only_states_that_clients_know() {
    let pipeline = running("listed").await;
    let rest = lab().worker().rest();
    for path in [
        "/connectors?expand=info&expand=status",
        "/connectors/?expand=status&expand=info",
    ] {
        let listed = rest.get(path).await.expect(200).body;
        for (name, parts) in listed.as_object().unwrap() {
            let (info, status) = (&parts["info"], &parts["status"]);
            assert!(
                info["config"]["connector.class"].is_string() && info["name"] == **name,
                "{parts}"
            );
            let connector = status["connector"].as_object().unwrap();
            assert!(connector.values().all(Value::is_string), "{status}");
            assert!(
                CONNECTOR_STATES
                    .iter()
                    .any(|state| connector["state"] == *state),
                "{status}"
            );
            assert!(
                ["source", "sink", "unknown"]
                    .iter()
                    .any(|kind| status["type"] == *kind && info["type"] == *kind)
            );
            let ids = |tasks: &Value, key: &str| {
                tasks
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|t| t[key].clone())
                    .collect::<Vec<_>>()
            };
            assert_eq!(
                ids(&info["tasks"], "task"),
                ids(&status["tasks"], "id"),
                "{parts}"
            );
        }
    }
    // Tools find a sink's lag by the name of its consumer group.
    let group = format!("connect-{}", pipeline.sink_name());
    for_condition("the consumer group is there", SOON, async || {
        lab().kafka().topics().groups().contains(&group)
    })
    .await;
    for name in [pipeline.source_name(), pipeline.sink_name()] {
        let topics = rest
            .get(&format!("/connectors/{name}/topics"))
            .await
            .expect(200)
            .body;
        assert_eq!(
            topics.as_object().unwrap().keys().collect::<Vec<_>>(),
            [&name]
        );
        rest.put_empty(&format!("/connectors/{name}/stop"))
            .await
            .expect(204);
        for_condition("a stopped connector has no tasks", SOON, async || {
            let parts = rest
                .get("/connectors?expand=info&expand=status")
                .await
                .expect(200)
                .body[&name]
                .clone();
            let none = json!([]);
            parts["status"]["connector"]["state"] == "STOPPED"
                && parts["status"]["tasks"] == none
                && parts["info"]["tasks"] == none
        })
        .await;
    }
    pipeline.remove(rest).await;
}

/// AKHQ validates every plug-in with nothing but its class and a topic, and draws a form of the answer; Redpanda
/// Console makes radio buttons of recommended values.
#[tokio::test]
async fn validation_draws_whole_forms_whatever_is_missing() {
    let rest = lab().worker().rest();
    for plugin in rest
        .get("/connector-plugins")
        .await
        .expect(200)
        .body
        .as_array()
        .unwrap()
    {
        let class = plugin["class"].as_str().unwrap();
        let simple = class.rsplit('.').next().unwrap();
        for name in [class, simple] {
            let body = json!({"connector.class": name, "topics": "getPlugins"});
            let path = format!("/connector-plugins/{name}/config/validate");
            let infos = rest.put(&path, &body).await.expect(200).body;
            assert!(infos["error_count"].as_u64().unwrap() > 0, "{infos}");
            // Every connector has the keys of Kafka Connect itself, beside its own.
            assert!(infos["configs"].as_array().unwrap().len() > 20, "{infos}");
            infos["configs"]
                .as_array()
                .unwrap()
                .iter()
                .for_each(assert_field);
        }
        let keys = rest
            .get(&format!("/connector-plugins/{class}/config"))
            .await
            .expect(200)
            .body;
        keys.as_array().unwrap().iter().for_each(assert_definition);
    }
}

fn assert_field(field: &Value) {
    let (definition, value) = (&field["definition"], &field["value"]);
    if !definition.is_null() {
        assert_definition(definition);
        assert_eq!(definition["name"], value["name"]);
    }
    assert!(
        value["name"].is_string() && value["visible"].is_boolean(),
        "{value}"
    );
    for list in ["recommended_values", "errors"] {
        assert!(
            value[list]
                .as_array()
                .is_some_and(|items| items.iter().all(Value::is_string)),
            "{value}"
        );
    }
}

fn assert_definition(definition: &Value) {
    let one_of = |key: &str, values: &[&str]| {
        assert!(
            values.iter().any(|value| definition[key] == *value),
            "{definition}"
        );
    };
    one_of("type", &TYPES);
    one_of("importance", &["HIGH", "MEDIUM", "LOW"]);
    one_of("width", &["NONE", "SHORT", "MEDIUM", "LONG"]);
    assert!(
        definition["documentation"]
            .as_str()
            .is_some_and(|text| text.len() > 10),
        "{definition}"
    );
    assert!(
        definition["required"].is_boolean()
            && definition["order"].is_i64()
            && definition["dependents"].is_array()
    );
    assert!(definition["group"].is_string() || definition["group"].is_null());
    assert!(definition["display_name"].is_string() && definition.get("default_value").is_some());
}

/// Redpanda Console cuts a trace at its first colon and leaves out lines that end in a bracket; kcctl needs one.
#[tokio::test]
async fn a_failed_part_says_why_in_a_trace_that_tools_can_show() {
    let (pipeline, mut connection) = Pipeline::new(lab().mariadb(), "traced", "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)",
    )
    .await;
    let rest = lab().worker().rest();
    let name = pipeline.sink_name();
    rest.create(
        &name,
        &pipeline.sink(
            lab().mariadb(),
            json!({"value.converter.schemas.enable": "true"}),
        ),
    )
    .await;
    lab()
        .kafka()
        .topics()
        .produce(&pipeline.topic(), &[(None, Some("no JSON at all"))]);
    let status = rest.wait_state(&name, "FAILED", SOON).await;
    let trace = status["tasks"][0]["trace"].as_str().unwrap();
    let (kind, message) = trace.lines().next().unwrap().split_once(": ").unwrap();
    assert!(
        kind.starts_with("org.apache.kafka.") && kind.ends_with("Exception"),
        "{trace}"
    );
    assert!(
        message.contains(&pipeline.topic()) && !message.contains("no JSON at all"),
        "{trace}"
    );
    assert!(
        trace
            .lines()
            .all(|line| !line.ends_with(')') && !line.to_lowercase().ends_with("exception")),
        "{trace}"
    );
    rest.remove(&name).await;
}

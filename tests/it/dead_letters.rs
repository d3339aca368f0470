//! What becomes of records that cannot be written, and of offsets that are gone: the dead-letter topic's headers, the
//! texts of failed tasks.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testkit::mariadb::{count, run};
use testkit::{MariaDb, unique};

use crate::{SOON, lab};

const SCHEMA: &str = r#"{"type":"struct","fields":[{"field":"id","type":"int32"},{"field":"name","type":"string"}]}"#;

fn record(id: i32, name: &str) -> String {
    format!(r#"{{"schema":{SCHEMA},"payload":{{"id":{id},"name":"{name}"}}}}"#)
}

/// A sink of a topic into a table of a new database that takes names of five characters.
async fn sink(topic: &str, more: Value) -> (Value, sqlx::MySqlConnection) {
    let (server, database) = (lab().mariadb(), unique("letters"));
    let mut connection = server.create_database(&database).await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(5))",
    )
    .await;
    let mut config = json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "connection.url": server.jdbc_url(&database),
        "connection.user": MariaDb::USER, "connection.password": MariaDb::PASSWORD, "topics": topic, "table.name.format": "t",
        "insert.mode": "upsert", "pk.mode": "record_value", "pk.fields": "id", "tasks.max": "1",
    });
    config
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    (config, connection)
}

#[tokio::test]
async fn a_refused_record_is_in_the_dead_letter_topic_with_every_header() {
    let (topics, rest, topic, dead) = (
        lab().kafka().topics(),
        lab().worker().rest(),
        unique("refused"),
        unique("dead"),
    );
    topics.create(&topic, 1).await;
    let records = [record(1, "a"), record(2, "too long"), record(3, "c")];
    topics.produce(
        &topic,
        &records
            .each_ref()
            .map(|r| (Some("\"k\""), Some(r.as_str()))),
    );
    let more = json!({
        "key.converter": "org.apache.kafka.connect.json.JsonConverter", "key.converter.schemas.enable": "false",
        "errors.tolerance": "all", "errors.deadletterqueue.topic.name": dead,
        "errors.deadletterqueue.topic.replication.factor": "1", "errors.deadletterqueue.context.headers.enable": "true",
    });
    let (config, mut connection) = sink(&topic, more).await;
    let name = unique("tolerant");
    rest.create(&name, &config).await;
    let letters = topics.wait_for(&dead, 1, SOON).await;
    let [letter] = letters.as_slice() else {
        panic!("{letters:?}")
    };
    assert_eq!(
        (letter.key_text(), letter.text()),
        ("\"k\"", records[1].as_str())
    );
    let text = |value: &Option<Vec<u8>>| String::from_utf8(value.clone().unwrap()).unwrap();
    let headers: BTreeMap<_, _> = letter
        .headers
        .iter()
        .map(|(key, value)| (key.as_str(), text(value)))
        .collect();
    let get = |key: &str| {
        headers
            .get(format!("__connect.errors.{key}").as_str())
            .map_or("", String::as_str)
    };
    for (key, want) in [
        ("topic", topic.as_str()),
        ("partition", "0"),
        ("offset", "1"),
        ("connector.name", &name),
        ("task.id", "0"),
        ("stage", "TASK_PUT"),
        ("class.name", "org.apache.kafka.connect.sink.SinkTask"),
        ("exception.class.name", "java.sql.SQLException"),
    ] {
        assert_eq!(get(key), want, "{key}");
    }
    let (message, trace) = (get("exception.message"), get("exception.stacktrace"));
    assert!(
        message.contains("column 'name'")
            && message.contains(&format!("topic {topic}, partition 0, offset 1")),
        "{message}"
    );
    assert!(
        trace.contains(message) && !message.contains("too long'"),
        "{trace}"
    );
    assert_eq!(headers.len(), 10, "{headers:?}");
    rest.wait_state(&name, "RUNNING", SOON).await;
    assert_eq!(count(&mut connection, "SELECT COUNT(*) FROM t").await, 2);
    rest.remove(&name).await;
}

#[tokio::test]
async fn offsets_do_not_pass_a_record_that_the_dead_letter_topic_does_not_take() {
    let (topics, rest, topic, dead) = (
        lab().kafka().topics(),
        lab().worker().rest(),
        unique("refused"),
        unique("dead"),
    );
    topics.create(&topic, 1).await;
    topics
        .create_with(&dead, 1, &[("max.message.bytes", "200")])
        .await;
    let records = [
        record(1, "a"),
        record(2, &"too long".repeat(50)),
        record(3, "c"),
    ];
    topics.produce(
        &topic,
        &records.each_ref().map(|r| (None, Some(r.as_str()))),
    );
    let more = json!({"errors.tolerance": "all", "errors.deadletterqueue.topic.name": dead, "errors.log.enable": "true"});
    let (config, mut connection) = sink(&topic, more).await;
    let name = unique("unheard");
    rest.create(&name, &config).await;
    let status = rest.wait_state(&name, "FAILED", SOON).await;
    let trace = status["tasks"][0]["trace"].as_str().unwrap();
    assert_names_the_record(trace, &dead, &topic, 1);
    assert_eq!(count(&mut connection, "SELECT COUNT(*) FROM t").await, 0);
    assert_eq!(
        count(
            &mut connection,
            "SELECT MAX(next_offset) FROM rowferry_offsets"
        )
        .await,
        -1
    );
    rest.remove(&name).await;
}

fn assert_names_the_record(trace: &str, dead: &str, topic: &str, offset: i64) {
    let place = format!("topic {topic}, partition 0, offset {offset}");
    let want = format!(
        "the dead-letter topic {dead} cannot be written with the record of {place}; the offset does not advance"
    );
    assert!(trace.contains(&want), "{trace}");
}

/// Refused by the producer itself or by the broker, decoded or not, and not the first letter.
#[tokio::test]
async fn a_record_that_is_too_large_for_the_dead_letter_topic_is_named_by_the_failed_task() {
    let (topics, rest) = (lab().kafka().topics(), lab().worker().rest());
    for (broker, decodes) in [(true, true), (true, false), (false, true), (false, false)] {
        let (topic, dead) = (unique("large"), unique("dead"));
        topics.create(&topic, 1).await;
        topics
            .create_with(
                &dead,
                1,
                &[("max.message.bytes", if broker { "1000" } else { "1000000" })],
            )
            .await;
        let refused = |numbers: u64| {
            // Text that compression makes hardly smaller.
            let text: String = (1..=numbers)
                .map(|n| (n * 2_654_435_761 % 1_000_000_007).to_string())
                .collect();
            if decodes {
                record(2, &text)
            } else {
                format!("{{{text}")
            }
        };
        let records = [record(1, "a"), refused(2), refused(400), refused(3)];
        topics.produce(
            &topic,
            &records.each_ref().map(|r| (None, Some(r.as_str()))),
        );
        let mut more =
            json!({"errors.tolerance": "all", "errors.deadletterqueue.topic.name": dead});
        if !broker {
            more["producer.override.max.request.size"] = json!("2000");
        }
        let (config, _connection) = sink(&topic, more).await;
        let name = unique("too-large");
        rest.create(&name, &config).await;
        let status = rest.wait_state(&name, "FAILED", SOON).await;
        assert_names_the_record(
            status["tasks"][0]["trace"].as_str().unwrap(),
            &dead,
            &topic,
            2,
        );
        rest.remove(&name).await;
    }
}

#[tokio::test]
async fn a_task_that_fails_names_the_record_the_table_and_the_column() {
    let (topics, rest, topic) = (
        lab().kafka().topics(),
        lab().worker().rest(),
        unique("refused"),
    );
    topics.create(&topic, 1).await;
    let records = [record(1, "a"), record(2, "much too long")];
    topics.produce(
        &topic,
        &records.each_ref().map(|r| (None, Some(r.as_str()))),
    );
    let (config, mut connection) = sink(&topic, json!({})).await;
    let name = unique("strict");
    rest.create(&name, &config).await;
    let status = rest.wait_state(&name, "FAILED", SOON).await;
    let trace = status["tasks"][0]["trace"].as_str().unwrap();
    for part in [
        &format!("topic {topic}, partition 0, offset 1"),
        ".t",
        "column 'name'",
        "Data too long",
    ] {
        assert!(trace.contains(part), "no {part} in: {trace}");
    }
    assert!(!trace.contains("much too long"), "{trace}");
    assert_eq!(count(&mut connection, "SELECT COUNT(*) FROM t").await, 0);
    rest.remove(&name).await;
}

#[tokio::test]
async fn an_offset_that_is_gone_stops_the_task_with_the_choice_spelled_out() {
    let (topics, rest, topic) = (
        lab().kafka().topics(),
        lab().worker().rest(),
        unique("retained"),
    );
    topics.create(&topic, 1).await;
    let records: Vec<String> = (1..=6).map(|id| record(id, "a")).collect();
    let produce = |records: &[String]| {
        topics.produce(
            &topic,
            &records
                .iter()
                .map(|r| (None, Some(r.as_str())))
                .collect::<Vec<_>>(),
        );
    };
    produce(&records[..2]);
    let (config, mut connection) = sink(&topic, json!({})).await;
    let name = unique("left-behind");
    rest.create(&name, &config).await;
    let rows = "SELECT COUNT(*) FROM t";
    testkit::for_condition("two rows", SOON, async || {
        count(&mut connection, rows).await == 2
    })
    .await;
    rest.put_empty(&format!("/connectors/{name}/stop"))
        .await
        .expect(204);
    testkit::for_condition("no tasks", SOON, async || {
        rest.get(&format!("/connectors/{name}/status")).await.body["tasks"]
            .as_array()
            .is_some_and(Vec::is_empty)
    })
    .await;
    produce(&records[2..]);
    topics.delete_before(&topic, 4).await;
    rest.put_empty(&format!("/connectors/{name}/resume"))
        .await
        .expect(202);
    let status = rest.wait_state(&name, "FAILED", SOON).await;
    let trace = status["tasks"][0]["trace"].as_str().unwrap();
    for part in [
        "offset",
        &format!("topic {topic}, partition 0 holds 4 to 6, not 2"),
        "PATCH /connectors/NAME/offsets",
    ] {
        assert!(trace.contains(part), "no {part} in: {trace}");
    }
    assert_eq!(count(&mut connection, rows).await, 2, "nothing was skipped");
    // the choice: from the first record that is there
    rest.put_empty(&format!("/connectors/{name}/stop"))
        .await
        .expect(204);
    testkit::for_condition("offsets reset", SOON, async || {
        rest.delete(&format!("/connectors/{name}/offsets"))
            .await
            .status
            == 200
    })
    .await;
    rest.put_empty(&format!("/connectors/{name}/resume"))
        .await
        .expect(202);
    testkit::for_condition("four rows", SOON, async || {
        count(&mut connection, rows).await == 4
    })
    .await;
    rest.remove(&name).await;
}

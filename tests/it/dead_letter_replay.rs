//! Dead letters over REST and on the command line: listed, looked at, replayed after the cause was corrected,
//! deleted; and those of sources, which Kafka Connect does not have.

use serde_json::{Value, json};
use testkit::mariadb::{count, run};
use testkit::{MariaDb, unique};

use crate::command_line::rowferry;
use crate::{SOON, lab};

const SCHEMA: &str = r#"{"type":"struct","fields":[{"field":"id","type":"int32"},{"field":"name","type":"string"}]}"#;

fn record(id: i32, name: &str) -> String {
    format!(r#"{{"schema":{SCHEMA},"payload":{{"id":{id},"name":"{name}"}}}}"#)
}

fn letters_to(dead: &str) -> Value {
    json!({"errors.tolerance": "all", "errors.deadletterqueue.topic.name": dead,
        "errors.deadletterqueue.topic.replication.factor": "1", "errors.deadletterqueue.context.headers.enable": "true"})
}

fn with(mut config: Value, more: &Value) -> Value {
    let more = more.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(more);
    config
}

#[tokio::test]
async fn letters_of_a_sink_are_listed_replayed_after_a_correction_and_deleted() {
    let (topics, rest, topic, dead) = (
        lab().kafka().topics(),
        lab().worker().rest(),
        unique("refused"),
        unique("dead"),
    );
    topics.create(&topic, 1).await;
    let records = [
        record(1, "a"),
        record(2, "too long"),
        record(3, "c"),
        record(4, "far too long"),
        "no json".to_owned(),
    ];
    topics.produce(
        &topic,
        &records.each_ref().map(|r| (None, Some(r.as_str()))),
    );
    let (server, database) = (lab().mariadb(), unique("replay"));
    let mut connection = server.create_database(&database).await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(5))",
    )
    .await;
    let config = json!({
        "connector.class": "JdbcSink", "connection.url": server.jdbc_url(&database),
        "connection.user": MariaDb::USER, "connection.password": MariaDb::PASSWORD, "topics": topic, "table.name.format": "t",
        "insert.mode": "upsert", "pk.mode": "record_value", "pk.fields": "id",
    });
    let name = unique("replayed");
    rest.create(&name, &with(config, &letters_to(&dead))).await;
    topics.wait_for(&dead, 3, SOON).await;

    let path = format!("/v1/connectors/{name}/dlq");
    let page = rest.get(&format!("{path}?limit=2")).await.expect(200).body;
    assert_eq!(
        (
            page["topic"].as_str(),
            page["letters"].as_array().map(Vec::len),
            page["end"].as_bool()
        ),
        (Some(dead.as_str()), Some(2), Some(false)),
        "{page}"
    );
    // Rows that the database refuses are known only after the whole batch is decoded.
    let mut letters = page["letters"].as_array().unwrap().clone();
    let next = format!("{path}?from={}", page["next"].as_str().unwrap());
    let page = rest.get(&next).await.expect(200).body;
    assert_eq!(page["end"], true, "{page}");
    letters.extend(page["letters"].as_array().unwrap().clone());
    let mut stages: Vec<_> = letters
        .iter()
        .map(|letter| {
            let reason = &letter["reason"];
            assert_eq!(
                (&reason["connector"], &reason["topic"]),
                (&json!(name), &json!(topic))
            );
            assert!(letter["value"].is_null(), "a list has no rows: {letter}");
            (
                reason["offset"].as_i64().unwrap(),
                reason["stage"].as_str().unwrap(),
            )
        })
        .collect();
    stages.sort_unstable();
    assert_eq!(
        stages,
        [(1, "TASK_PUT"), (3, "TASK_PUT"), (4, "VALUE_CONVERTER")]
    );
    let of = |offset: i64| {
        let letter = letters
            .iter()
            .find(|letter| letter["reason"]["offset"] == offset);
        letter.unwrap()["offset"].as_i64().unwrap()
    };
    let one = rest
        .get(&format!("{path}/0/{}", of(1)))
        .await
        .expect(200)
        .body;
    assert_eq!(one["value"], json!({"text": records[1]}), "{one}");
    rest.get(&format!("{path}/0/99")).await.expect(404);

    // The table is corrected, and one value.
    run(&mut connection, "ALTER TABLE t MODIFY name VARCHAR(50)").await;
    let (out, errors, code) = rowferry(&[
        "dlq",
        "replay",
        &name,
        &of(1).to_string(),
        &of(3).to_string(),
    ]);
    assert_eq!((out.lines().count(), code), (2, Some(0)), "{out}{errors}");
    let file = lab().scratch().path().join(unique("corrected"));
    std::fs::write(&file, record(5, "corrected")).unwrap();
    let file = file.display().to_string();
    let (out, errors, code) =
        rowferry(&["dlq", "replay", &name, &of(4).to_string(), "--value", &file]);
    assert_eq!((out.lines().count(), code), (1, Some(0)), "{out}{errors}");
    testkit::for_condition("the rows", SOON, async || {
        count(
            &mut connection,
            "SELECT COUNT(*) FROM t WHERE id IN (1,2,3,4,5)",
        )
        .await
            == 5
    })
    .await;
    let again = topics.wait_for(&topic, 8, SOON).await;
    let headers: Vec<_> = again[5]
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(headers, ["rowferry.replayed.from"], "the reasons are gone");

    let (out, _, code) = rowferry(&["dlq", "replay", &name, "99"]);
    assert_eq!((out.as_str(), code), ("", Some(1)));
    let (out, errors, _) = rowferry(&["dlq", "list", &name]);
    assert_eq!(
        out.lines().count(),
        4,
        "replayed letters are kept: {out}{errors}"
    );
    let (_, errors, code) = rowferry(&["dlq", "drop", &name, "--all"]);
    assert!(
        errors.contains("3 dead letters") && code == Some(78),
        "it asks: {errors}"
    );
    let (out, errors, code) = rowferry(&["dlq", "drop", &name, "--all", "--yes"]);
    assert_eq!((out.as_str(), code), ("3 deleted\n", Some(0)), "{errors}");
    let page = rest.get(&path).await.expect(200).body;
    assert_eq!(page["letters"], json!([]), "{page}");
    rest.remove(&name).await;
}

#[tokio::test]
async fn letters_go_only_to_topics_that_the_sink_reads() {
    let (topics, rest, topic, dead) = (
        lab().kafka().topics(),
        lab().worker().rest(),
        unique("read"),
        unique("dead"),
    );
    topics.create(&topic, 1).await;
    topics.create(&dead, 1).await;
    topics.produce(&dead, &[(None, Some("forged"))]);
    let config = json!({"connector.class": "JdbcSink", "connection.url": lab().mariadb().jdbc_url("mysql"), "topics": topic,
        "connection.user": MariaDb::USER, "connection.password": MariaDb::PASSWORD});
    let name = unique("wary");
    let body = json!({"name": name, "config": with(config, &letters_to(&dead)), "initial_state": "STOPPED"});
    rest.post("/connectors", &body).await.expect(201);
    let (out, errors, code) = rowferry(&["dlq", "replay", &name, "0", "--topic", &dead]);
    assert!(
        out.is_empty() && code == Some(1) && errors.contains("does not read topic"),
        "{errors}"
    );
    rest.remove(&name).await;
    let plain = json!({"connector.class": "JdbcSink", "connection.url": lab().mariadb().jdbc_url("mysql"), "topics": topic,
        "connection.user": MariaDb::USER, "connection.password": MariaDb::PASSWORD});
    let body = json!({"name": name, "config": plain, "initial_state": "STOPPED"});
    rest.post("/connectors", &body).await.expect(201);
    let refused = rest
        .get(&format!("/v1/connectors/{name}/dlq"))
        .await
        .expect(400);
    assert!(
        refused
            .message()
            .contains("errors.deadletterqueue.topic.name"),
        "{}",
        refused.message()
    );
    rest.remove(&name).await;
}

#[tokio::test]
async fn a_source_sends_what_its_transforms_refuse_to_its_dead_letter_topic_and_it_can_be_replayed()
{
    let (topics, rest, prefix, dead) = (
        lab().kafka().topics(),
        lab().worker().rest(),
        unique("letters"),
        unique("dead"),
    );
    let (server, database) = (lab().mariadb(), unique("refusing"));
    let mut connection = server.create_database(&database).await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, n VARCHAR(20))",
    )
    .await;
    run(
        &mut connection,
        "INSERT INTO t (n) VALUES ('10'), ('ten'), ('30')",
    )
    .await;
    let config = json!({
        "connector.class": "JdbcSource", "connection.url": server.jdbc_url(&database), "connection.user": MariaDb::USER,
        "connection.password": MariaDb::PASSWORD, "mode": "incrementing", "incrementing.column.name": "id",
        "table.whitelist": "t", "topic.prefix": format!("{prefix}-"), "poll.interval.ms": "200",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "false",
    });
    let cast = json!({"transforms": "cast", "transforms.cast.type": "org.apache.kafka.connect.transforms.Cast$Value",
        "transforms.cast.spec": "n:int32"});
    let name = unique("refusing");
    let refusing = with(with(config.clone(), &cast), &letters_to(&dead));
    rest.create(&name, &refusing).await;
    let topic = format!("{prefix}-t");
    let records = topics.wait_for(&topic, 2, SOON).await;
    assert_eq!(
        (records[0].json(), records[1].json()),
        (json!({"id": 1, "n": 10}), json!({"id": 3, "n": 30}))
    );
    let letters = topics.wait_for(&dead, 1, SOON).await;
    assert_eq!(letters[0].json()["payload"], json!({"id": 2, "n": "ten"}));
    let page = rest
        .get(&format!("/v1/connectors/{name}/dlq"))
        .await
        .expect(200)
        .body;
    let reason = &page["letters"][0]["reason"];
    assert_eq!(
        (
            &reason["stage"],
            &reason["topic"],
            &reason["offset"],
            &reason["connector"]
        ),
        (
            &json!("TRANSFORMATION"),
            &json!(topic),
            &Value::Null,
            &json!(name)
        ),
        "{page}"
    );
    let used = rest
        .get(&format!("/connectors/{name}/topics"))
        .await
        .expect(200)
        .body;
    assert_eq!(
        used[&name]["topics"],
        json!([topic]),
        "the dead letters are no topic of the connector"
    );

    let (_, errors, code) = rowferry(&["dlq", "replay", &name, "--all"]);
    assert!(
        code == Some(1) && errors.contains("TRANSFORMATION"),
        "nothing is corrected yet: {errors}"
    );
    let corrected = with(config, &letters_to(&dead));
    rest.put(&format!("/connectors/{name}/config"), &corrected)
        .await
        .expect(200);
    let at = page["letters"][0]["offset"].to_string();
    let (out, errors, code) = rowferry(&["dlq", "replay", &name, &at]);
    assert_eq!(
        (out.as_str(), code),
        (
            format!("0:{at} is in topic {topic} again\n").as_str(),
            Some(0)
        ),
        "{errors}"
    );
    let records = topics.wait_for(&topic, 3, SOON).await;
    assert_eq!(records[2].json(), json!({"id": 2, "n": "ten"}));
    rest.remove(&name).await;
}

#[tokio::test]
async fn records_of_a_topic_are_shown_as_they_come_and_found_by_their_key() {
    let (topics, rest, topic) = (
        lab().kafka().topics(),
        lab().worker().rest(),
        unique("shown"),
    );
    topics.create(&topic, 2).await;
    let (server, database) = (lab().mariadb(), unique("shown"));
    drop(server.create_database(&database).await);
    let config = json!({
        "connector.class": "JdbcSink", "connection.url": server.jdbc_url(&database), "connection.user": MariaDb::USER,
        "connection.password": MariaDb::PASSWORD, "topics": topic, "auto.create": "true",
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    });
    let name = unique("shown");
    rest.create(&name, &config).await;
    let records: Vec<String> = (0..30).map(|id| record(id, "n")).collect();
    let keys: Vec<String> = (0..30).map(|id| format!("k{}", id % 10)).collect();
    let all: Vec<_> = keys
        .iter()
        .zip(&records)
        .map(|(k, r)| (Some(k.as_str()), Some(r.as_str())))
        .collect();
    topics.produce(&topic, &all);
    testkit::for_condition("the rows", SOON, async || {
        let used = rest.get(&format!("/connectors/{name}/topics")).await.body;
        used[&name]["topics"] == json!([topic])
    })
    .await;
    let (out, errors, code) = rowferry(&["tail", &name, "--once", "-n", "5", "-o", "json"]);
    assert_eq!((out.lines().count(), code), (5, Some(0)), "{out}{errors}");
    let (out, errors, code) = rowferry(&["tail", &name, "--once", "--key", "k3", "-o", "json"]);
    assert_eq!(code, Some(0), "{errors}");
    let mut found: Vec<i64> = out
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            assert_eq!(record["key"], json!({"data": "k3"}));
            record["value"]["data"]["id"].as_i64().unwrap()
        })
        .collect();
    found.sort_unstable();
    assert_eq!(found, [3, 13, 23]);
    rest.get(&format!("/v1/connectors/{name}/records?topic=other"))
        .await
        .expect(404);
    rest.get(&format!("/v1/connectors/{name}/records?limit=0"))
        .await
        .expect(400);
    rest.remove(&name).await;
}

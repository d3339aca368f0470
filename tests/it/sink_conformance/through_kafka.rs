//! Hand-written records through a topic, the converters and the sink.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{MariaDb, for_condition, mariadb, unique};

use crate::lab;

const PATIENCE: Duration = Duration::from_secs(90);

fn sink(database: &str, topic: &str, more: &Value) -> Value {
    let mut config = json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector",
        "connection.url": lab().mariadb().jdbc_url(database),
        "connection.user": MariaDb::USER,
        "connection.password": MariaDb::PASSWORD,
        "topics": topic,
        "table.name.format": "t",
        "tasks.max": "1",
    });
    let all = config.as_object_mut().expect("an object");
    all.extend(more.as_object().expect("an object").clone());
    config
}

/// Waits until the table holds these rows.
async fn wait_rows(database: &str, want: &[&str]) {
    let mut sql = lab().mariadb().connect(database).await;
    for_condition(&format!("{want:?} in {database}"), PATIENCE, async || {
        let there = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA=DATABASE() AND TABLE_NAME='t'";
        if mariadb::count(&mut sql, there).await == 0 {
            return false;
        }
        let rows = mariadb::texts(&mut sql, "SELECT id, name, born FROM t ORDER BY id").await;
        let row = |cells: &Vec<Option<String>>| {
            cells.iter().map(|cell| cell.as_deref().unwrap_or("-")).collect::<Vec<_>>().join("|")
        };
        rows.iter().map(row).collect::<Vec<_>>() == want
    })
    .await;
}

#[tokio::test]
async fn plain_json_lands_in_a_table_that_is_there() {
    let (name, rest) = (unique("plain"), lab().worker().rest());
    let mut sql = lab().mariadb().create_database(&name).await;
    mariadb::run(
        &mut sql,
        "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20), born DATE, note TEXT)",
    )
    .await;
    let topics = lab().kafka().topics();
    topics.create(&name, 1).await;
    let records = [
        r#"{"id": 1, "name": "Ann", "born": "1990-02-28", "note": null}"#,
        r#"{"born": 1, "id": "2"}"#,
        r#"{"name":"Ed","ID":3}"#,
    ];
    topics.produce(&name, &records.map(|record| (None, Some(record))));
    let converter = "org.apache.kafka.connect.json.JsonConverter";
    let more = json!({"value.converter": converter, "value.converter.schemas.enable": "false"});
    rest.create(&name, &sink(&name, &name, &more)).await;
    wait_rows(&name, &["1|Ann|1990-02-28", "2|-|1970-01-02", "3|Ed|-"]).await;
    rest.remove(&name).await;
}

#[tokio::test]
async fn change_events_of_debezium_land_as_rows() {
    let (name, rest) = (unique("events"), lab().worker().rest());
    lab().mariadb().create_database(&name).await;
    let topics = lab().kafka().topics();
    topics.create(&name, 1).await;
    let row = r#"[{"type":"int32","optional":false,"field":"id"},{"type":"string","optional":true,"field":"name"},
        {"type":"int32","optional":true,"name":"io.debezium.time.Date","version":1,"field":"born"}]"#;
    let part = |field: &str| {
        format!(
            r#"{{"type":"struct","fields":{row},"optional":true,"name":"s.db.t.Value","field":"{field}"}}"#
        )
    };
    let schema = format!(
        r#"{{"type":"struct","fields":[{},{},{{"type":"string","optional":false,"field":"op"}}],"optional":false,
        "name":"s.db.t.Envelope"}}"#,
        part("before"),
        part("after")
    );
    let event = |payload: &str| format!(r#"{{"schema":{schema},"payload":{payload}}}"#);
    let key = |id: i32| {
        let schema = r#"{"type":"struct","fields":[{"type":"int32","field":"id"}]}"#;
        format!(r#"{{"schema":{schema},"payload":{{"id":{id}}}}}"#)
    };
    let records = [
        (
            key(1),
            Some(event(
                r#"{"before":null,"after":{"id":1,"name":"Ann","born":19782},"op":"c"}"#,
            )),
        ),
        (key(2), Some(event(r#"{"op":"r","after":{"id":2}}"#))),
        (
            key(3),
            Some(event(r#"{"op":"c","after":{"name":"Ed","id":3}}"#)),
        ),
        (
            key(1),
            Some(event(
                r#"{"op":"u","before":null,"after":{"id":1,"name":"Anna","born":1}}"#,
            )),
        ),
        (
            key(2),
            Some(event(r#"{"op":"d","before":{"id":2},"after":null}"#)),
        ),
        (key(2), None),
    ];
    let records: Vec<_> = records
        .iter()
        .map(|(key, value)| (Some(key.as_str()), value.as_deref()))
        .collect();
    topics.produce(&name, &records);
    let more = json!({"insert.mode": "upsert", "pk.mode": "record_key", "delete.enabled": "true"});
    rest.create(&name, &sink(&name, &name, &more)).await;
    wait_rows(&name, &["1|Anna|1970-01-02", "3|Ed|-"]).await;
    rest.remove(&name).await;
}

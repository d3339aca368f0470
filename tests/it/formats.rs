//! Records that others wrote: typed by hand into kcat, compressed by a Java producer.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::mariadb::{count, rows};
use testkit::{MariaDb, for_condition, unique};

use crate::{SOON, lab};

/// A person, as someone who has read a tutorial types it: optional members left out, in another order.
fn typed_by_hand(id: u64, name: &str) -> String {
    let payload = json!({"name": name, "id": id});
    let fields = json!([{"field": "id", "type": "int32"}, {"type": "string", "optional": true, "field": "name"}]);
    json!({"payload": payload, "schema": {"fields": fields, "type": "struct"}}).to_string()
}

/// A sink for one topic into a database of its own; the database's name.
async fn sink_for(topic: &str, more: Value) -> String {
    let (server, worker) = (lab().mariadb(), lab().worker());
    let database = unique("formats");
    server.create_database(&database).await;
    let mut config = json!({
        "connector.class": "JdbcSink", "connection.url": server.jdbc_url(&database), "connection.user": MariaDb::USER,
        "connection.password": MariaDb::PASSWORD, "topics": topic, "auto.create": "true", "tasks.max": "1",
    });
    config
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    worker
        .rest()
        .create(&format!("{database}-sink"), &config)
        .await;
    database
}

async fn wait_rows(database: &str, table: &str, wanted: i64) -> Vec<(i64, Option<String>)> {
    let mut connection = lab().mariadb().connect(database).await;
    let sql = format!("SELECT COUNT(*) FROM `{table}`");
    for_condition(&format!("{wanted} rows of {table}"), SOON, async || {
        count(&mut connection, &sql).await >= wanted
    })
    .await;
    let found = rows(
        &mut connection,
        &format!("SELECT CAST(id AS SIGNED), CAST(name AS CHAR) FROM `{table}` ORDER BY id"),
    )
    .await;
    found
        .iter()
        .map(|row| (sqlx::Row::get(row, 0), sqlx::Row::get(row, 1)))
        .collect()
}

#[tokio::test]
async fn a_record_typed_into_kcat_becomes_a_row() {
    let (topic, brokers) = (unique("typed"), lab().kafka().brokers());
    lab().kafka().topics().create(&topic, 1).await;
    let database = sink_for(&topic, json!({})).await;
    let mut kcat = Command::new("kcat");
    kcat.args(["-P", "-b", &brokers, "-t", &topic])
        .stdin(Stdio::piped());
    let mut kcat = kcat.spawn().unwrap();
    let lines = [typed_by_hand(1, "Ann"), typed_by_hand(2, "Zoë 😀")].join("\n");
    kcat.stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    assert!(kcat.wait().unwrap().success());
    let found = wait_rows(&database, &topic, 2).await;
    assert_eq!(
        found,
        [(1, Some("Ann".to_owned())), (2, Some("Zoë 😀".to_owned()))]
    );
}

#[tokio::test]
async fn topics_of_a_java_producer_are_read_whatever_the_codec() {
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    let topics = codecs.map(|codec| unique(&format!("java_{codec}")));
    for topic in &topics {
        lab().kafka().topics().create(topic, 1).await;
    }
    let database = sink_for(&topics.join(","), json!({})).await;
    let lines: Vec<String> = (1..=200)
        .map(|id| typed_by_hand(id, &format!("name {id}")))
        .collect();
    for (codec, topic) in codecs.iter().zip(&topics) {
        lab().kafka().console_produce(topic, codec, &lines);
    }
    for topic in &topics {
        let found = wait_rows(&database, topic, 200).await;
        assert_eq!(
            (found.len(), found[199].clone()),
            (200, (200, Some("name 200".to_owned()))),
            "{topic}"
        );
    }
}

#[tokio::test]
async fn a_bad_record_is_named_and_goes_to_the_dead_letter_topic_when_asked() {
    let (topic, dead) = (unique("bad"), unique("dead"));
    let topics = lab().kafka().topics();
    topics.create(&topic, 1).await;
    let good = typed_by_hand(1, "good");
    topics.produce(
        &topic,
        &[
            (None, Some(&good)),
            (None, Some("{no json")),
            (None, Some(&typed_by_hand(2, "after"))),
        ],
    );
    let tolerant = json!({"errors.tolerance": "all", "errors.deadletterqueue.topic.name": dead,
        "errors.deadletterqueue.topic.replication.factor": "1", "errors.deadletterqueue.context.headers.enable": "true"});
    let database = sink_for(&topic, tolerant).await;
    assert_eq!(wait_rows(&database, &topic, 2).await.len(), 2);
    let letters = topics.wait_for(&dead, 1, SOON).await;
    assert_eq!(letters[0].text(), "{no json");
    assert!(letters[0].headers.iter().any(|(name, value)| {
        name == "__connect.errors.offset" && value.as_deref() == Some(b"1".as_slice())
    }));

    let strict = sink_for(&topic, json!({})).await;
    let status = lab()
        .worker()
        .rest()
        .wait_state(&format!("{strict}-sink"), "FAILED", SOON)
        .await;
    let trace = status["tasks"][0]["trace"].as_str().unwrap_or_default();
    assert!(trace.contains(&topic), "the trace names the topic: {trace}");
}

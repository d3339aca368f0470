//! Constraints that PostgreSQL checks when a transaction is committed: what they refuse is found, and what they are
//! there for (rows that need rows which come later) goes on working beside it.

use connector_api::{Error, ErrorKind, PutReport, SchemaType, SinkRecord, TopicOffset, Value};
use serde_json::json;
use testkit::{Postgres, unique};

use super::database::{Database, Server};
use super::records::{self, Task, Topic, int, optional};
use crate::{SOON, lab};

const KEYS: [(&str, &str); 3] = [
    ("insert.mode", "upsert"),
    ("pk.mode", "record_value"),
    ("pk.fields", "id"),
];

const FAMILY: &str = "CREATE TABLE parent (id INT PRIMARY KEY, best INT); \
     CREATE TABLE child (id INT PRIMARY KEY, parent INT CONSTRAINT has_parent REFERENCES parent DEFERRABLE INITIALLY DEFERRED); \
     ALTER TABLE parent ADD CONSTRAINT has_best FOREIGN KEY (best) REFERENCES child DEFERRABLE INITIALLY DEFERRED; \
     INSERT INTO parent VALUES (0, NULL)";

fn child(topic: &Topic, id: i32, parent: i32) -> SinkRecord {
    topic.value(
        &[int("id"), int("parent")],
        [Value::I32(id), Value::I32(parent)],
    )
}

fn parent(topic: &Topic, id: i32, best: Option<i32>) -> SinkRecord {
    let best = best.map_or(Value::Null, Value::I32);
    topic.value(
        &[int("id"), optional("best", SchemaType::Int32)],
        [Value::I32(id), best],
    )
}

/// Puts a batch as the runtime does: again after an error that may pass.
async fn put(
    task: &mut Task,
    batch: &[SinkRecord],
    next: &[TopicOffset],
) -> Result<PutReport, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match task.put(batch, next).await {
            Err(error) if error.kind() == ErrorKind::Retry && tries < 3 => {}
            outcome => return outcome,
        }
    }
}

fn indices(report: &PutReport) -> Vec<usize> {
    report
        .rejected
        .iter()
        .map(|rejected| rejected.index)
        .collect()
}

#[tokio::test]
async fn records_refused_at_commit_are_found_or_named() {
    for mode in ["insert", "upsert"] {
        let mut database = Database::new(Server::Postgres, &KEYS).await;
        database.run(FAMILY).await;
        let topic = Topic::new("child");
        let parent = |n: i32| if [7, 500, 999].contains(&n) { 9 } else { 0 };
        let batch: Vec<_> = (0..1000).map(|n| child(&topic, n, parent(n))).collect();
        // a failure is none of those that max.retries counts while the record is still to be found
        let keys = [("insert.mode", mode), ("max.retries", "0")];
        let mut strict = database.open(&topic, false, &keys).await;
        let error = put(&mut strict, &batch, &topic.next()).await.unwrap_err();
        let reported = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Record, "{reported}");
        for part in [
            "topic child, partition 0, offset 7:",
            "child: the database refused",
            "has_parent",
        ] {
            assert!(
                reported.contains(part),
                "{mode}: no '{part}' in: {reported}"
            );
        }
        strict.close().await;
        assert_eq!(
            database.rows("SELECT COUNT(*) FROM child").await,
            ["0"],
            "{mode}"
        );

        let mut task = database.open(&topic, true, &keys).await;
        let report = put(&mut task, &batch, &topic.next()).await.unwrap();
        assert_eq!(indices(&report), [7, 500, 999], "{mode}");
        let reported = report.rejected[1].error.to_string();
        assert!(
            reported.contains("offset 500:") && reported.contains("has_parent"),
            "{reported}"
        );
        assert_eq!(
            database
                .rows("SELECT COUNT(*), MIN(parent), MAX(parent) FROM child")
                .await,
            ["997|0|0"],
            "{mode}"
        );
        assert_eq!(
            database
                .rows("SELECT next_offset FROM rowferry_offsets")
                .await,
            ["1000"],
            "{mode}"
        );
        // the next batch is none the worse for it
        let more = [child(&topic, 1000, 0), child(&topic, 1001, 9)];
        let report = task.put(&more, &topic.next()).await.unwrap();
        assert_eq!(indices(&report), [1], "{mode}");
        assert_eq!(
            database.rows("SELECT COUNT(*) FROM child").await,
            ["998"],
            "{mode}"
        );
        task.close().await;
    }
}

#[tokio::test]
async fn rows_that_need_later_ones_land_beside_a_refused_one() {
    let mut database = Database::new(Server::Postgres, &KEYS).await;
    database.run(FAMILY).await;
    let (children, parents) = (Topic::new("child"), Topic::new("parent"));
    let mut task = records::open(&database.config, true).await;
    task.assign(&[children.partitions(), parents.partitions()].concat())
        .await
        .unwrap();
    // children first; some of them need parents that need them
    let mut batch: Vec<_> = (0..200).map(|n| child(&children, n, 1 + n % 20)).collect();
    batch.push(child(&children, 200, 77));
    batch.push(child(&children, 201, 50));
    batch.extend((1..=20).map(|n| parent(&parents, n, (n % 3 == 0).then_some(n))));
    batch.push(parent(&parents, 50, Some(201)));
    batch.push(parent(&parents, 51, Some(888)));
    batch.push(child(&children, 202, 51));
    let next = [children.next(), parents.next()].concat();
    let report = put(&mut task, &batch, &next).await.unwrap();
    let refused = [200, batch.len() - 2, batch.len() - 1];
    assert_eq!(
        indices(&report),
        refused,
        "without a parent, without a child, and what needs it"
    );
    assert_eq!(
        database.rows("SELECT COUNT(*), MAX(id) FROM child").await,
        ["201|201"]
    );
    assert_eq!(
        database.rows("SELECT COUNT(*), MAX(id) FROM parent").await,
        ["22|50"]
    );
    assert_eq!(
        database
            .rows("SELECT SUM(next_offset) FROM rowferry_offsets")
            .await,
        [batch.len().to_string()]
    );
    task.close().await;
}

#[tokio::test]
async fn unique_values_may_change_places_beside_one_that_is_taken() {
    let mut database = Database::new(Server::Postgres, &KEYS).await;
    database
        .run("CREATE TABLE t (id INT PRIMARY KEY, n INT CONSTRAINT own_n UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        .await;
    database
        .run("INSERT INTO t SELECT i, i FROM generate_series(1, 100) i")
        .await;
    let topic = Topic::new("t");
    let row = |id, n| topic.value(&[int("id"), int("n")], [Value::I32(id), Value::I32(n)]);
    let mut task = database.open(&topic, true, &[]).await;
    let batch = [
        row(1, 2),
        row(2, 1),
        row(3, 99),
        row(4, 5),
        row(5, 6),
        row(6, 4),
    ];
    let report = put(&mut task, &batch, &topic.next()).await.unwrap();
    assert_eq!(indices(&report), [2]);
    let seen = database
        .rows("SELECT id, n FROM t WHERE id < 7 ORDER BY id")
        .await;
    assert_eq!(seen, ["1|2", "2|1", "3|3", "4|5", "5|6", "6|4"]);
    task.close().await;
}

#[tokio::test]
async fn statements_of_the_users_are_sifted_too() {
    let mut database = Database::new(Server::Postgres, &[]).await;
    database.run(FAMILY).await;
    let topic = Topic::new("orders");
    let keys = [
        ("insert.mode", "statement"),
        ("statement", "INSERT INTO child VALUES (:id, :parent)"),
    ];
    let batch: Vec<_> = (0..50)
        .map(|n| child(&topic, n, i32::from(n == 33) * 9))
        .collect();
    let mut strict = database.open(&topic, false, &keys).await;
    let reported = put(&mut strict, &batch, &topic.next())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        reported.contains("topic orders, partition 0, offset 33")
            && reported.contains("has_parent"),
        "{reported}"
    );
    strict.close().await;
    let mut task = database.open(&topic, true, &keys).await;
    let report = put(&mut task, &batch, &topic.next()).await.unwrap();
    assert_eq!(indices(&report), [33]);
    assert_eq!(database.rows("SELECT COUNT(*) FROM child").await, ["49"]);
    task.close().await;
}

#[tokio::test]
async fn a_record_refused_at_commit_goes_to_the_dead_letter_topic_or_fails_the_task() {
    let (topics, rest) = (lab().kafka().topics(), lab().worker().rest());
    let (topic, dead) = (unique("refused"), unique("dead"));
    let mut database = Database::new(Server::Postgres, &[]).await;
    database.run(FAMILY).await;
    topics.create(&topic, 1).await;
    let record = |id: i32| format!(r#"{{"id":{id},"parent":{}}}"#, i32::from(id == 3) * 9);
    let records: Vec<_> = (0..6).map(record).collect();
    topics.produce(
        &topic,
        &records
            .iter()
            .map(|r| (None, Some(r.as_str())))
            .collect::<Vec<_>>(),
    );
    let mut config = json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "connection.url": database.url,
        "connection.user": Postgres::USER, "connection.password": Postgres::PASSWORD, "topics": topic,
        "table.name.format": "child", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false", "tasks.max": "1",
    });
    let strict = unique("strict");
    rest.create(&strict, &config).await;
    let status = rest.wait_state(&strict, "FAILED", SOON).await;
    let trace = status["tasks"][0]["trace"].as_str().unwrap();
    for part in [
        &format!("topic {topic}, partition 0, offset 3"),
        "child",
        "has_parent",
    ] {
        assert!(trace.contains(part), "no {part} in: {trace}");
    }
    rest.remove(&strict).await;
    assert_eq!(database.rows("SELECT COUNT(*) FROM child").await, ["0"]);

    let more = json!({
        "errors.tolerance": "all", "errors.deadletterqueue.topic.name": dead,
        "errors.deadletterqueue.topic.replication.factor": "1",
    });
    config
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let tolerant = unique("tolerant");
    rest.create(&tolerant, &config).await;
    testkit::for_condition("five rows", SOON, async || {
        database.rows("SELECT COUNT(*) FROM child").await == ["5"]
    })
    .await;
    let letters = topics.wait_for(&dead, 1, SOON).await;
    assert_eq!(
        letters
            .iter()
            .map(|letter| letter.text())
            .collect::<Vec<_>>(),
        [&records[3]]
    );
    rest.wait_state(&tolerant, "RUNNING", SOON).await;
    let stored = format!("SELECT next_offset FROM rowferry_offsets WHERE sink='{tolerant}'");
    assert_eq!(database.rows(&stored).await, ["6"]);
    rest.remove(&tolerant).await;
}

//! Disks without room: what is written waits for room, visibly, and nothing is lost or doubled.

use serde_json::json;
use testkit::mariadb::{count, run};
use testkit::{MariaDb, Rowferry, Settings, SmallDisk, for_condition, unique};

use crate::{SOON, lab};

#[tokio::test]
async fn a_full_disk_of_the_database_is_waited_for_visibly() {
    const ROWS: i64 = 12_000;
    let Some(disk) = SmallDisk::mount(lab().scratch(), "mariadb-small", 256) else {
        return;
    };
    let server = MariaDb::start(lab().scratch(), "mariadb-small");
    let (topics, rest, topic) = (
        lab().kafka().topics(),
        lab().worker().rest(),
        unique("full"),
    );
    let mut connection = server.create_database("small").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT NOT NULL, name VARCHAR(1000))",
    )
    .await;
    topics.create(&topic, 1).await;
    let rows: Vec<String> = (0..ROWS)
        .map(|id| json!({"id": id, "name": "x".repeat(900)}).to_string())
        .collect();
    let produce = |rows: &[String]| {
        topics.produce(
            &topic,
            &rows
                .iter()
                .map(|row| (None, Some(row.as_str())))
                .collect::<Vec<_>>(),
        );
    };
    produce(&rows[..1]);
    let config = json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "connection.url": server.jdbc_url("small"),
        "connection.user": MariaDb::USER, "connection.password": MariaDb::PASSWORD, "topics": topic,
        "table.name.format": "t", "consumer.override.max.poll.records": "500",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "false",
    });
    rest.create(&topic, &config).await;
    let arrived = "SELECT COUNT(*) FROM t";
    for_condition("the first row", SOON, async || {
        count(&mut connection, arrived).await == 1
    })
    .await;
    disk.fill(4 << 20);
    produce(&rows[1..]);
    for_condition("a warning about the full table", SOON, async || {
        let task = &rest.get(&format!("/connectors/{topic}/status")).await.body["tasks"][0];
        assert_eq!(task["state"], "RUNNING", "{task}");
        task["warning"]
            .as_str()
            .is_some_and(|text| text.contains("full") && text.contains("1114"))
    })
    .await;
    assert!(count(&mut connection, arrived).await < ROWS);
    disk.free();
    for_condition("all rows", SOON, async || {
        count(&mut connection, arrived).await >= ROWS
    })
    .await;
    rest.remove(&topic).await;
    let once = "SELECT COUNT(*) = COUNT(DISTINCT id) FROM t";
    assert_eq!(
        (
            count(&mut connection, arrived).await,
            count(&mut connection, once).await
        ),
        (ROWS, 1)
    );
    server.stop();
}

#[tokio::test]
async fn a_config_that_the_metadata_store_has_no_room_for_is_refused_and_taken_later() {
    let Some(disk) = SmallDisk::mount(lab().scratch(), "store-small", 2) else {
        return;
    };
    let settings = Settings::serve("full-store", lab().kafka().brokers());
    let folder = disk.path().join("data").display().to_string();
    let worker = Rowferry::start(lab().scratch(), settings.with("rowferry.data.dir", &folder));
    let rest = worker.rest();
    let config = |more: usize| {
        json!({"connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "connection.url": "jdbc:sqlite:full.db",
               "topics": unique("none"), "fields.whitelist": "x".repeat(more)})
    };
    rest.create("before", &config(1)).await;
    disk.fill(0);
    // the store's journal may have room of its own for some
    let mut known = vec!["before".to_owned()];
    let refused = loop {
        let name = format!("after-{}", known.len());
        let answer = rest
            .put(&format!("/connectors/{name}/config"), &config(200_000))
            .await;
        if answer.status != 201 {
            break answer;
        }
        known.push(name);
        assert!(known.len() < 20, "4 MB went into 2");
    };
    assert!(
        refused.status == 507 && refused.message().contains("full"),
        "{} {}",
        refused.status,
        refused.message()
    );
    let mut listed: Vec<String> =
        serde_json::from_value(rest.get("/connectors").await.expect(200).body).unwrap();
    listed.sort();
    known.sort();
    assert_eq!(listed, known);
    disk.free();
    rest.put("/connectors/last/config", &config(200_000))
        .await
        .expect(201);
    rest.wait_state("last", "RUNNING", SOON).await;
    rest.wait_state("before", "RUNNING", SOON).await;
    worker.stop(SOON);
}

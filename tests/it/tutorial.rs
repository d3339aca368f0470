//! The two JSON bodies that tutorials for Kafka Connect print, unchanged apart from host, port and password.

use serde_json::json;
use testkit::mariadb::run;
use testkit::{MariaDb, MariaTable, assert_same, for_condition};

use crate::{SOON, lab};

#[tokio::test]
async fn the_tutorial_bodies_work_unchanged() {
    let server = lab().mariadb();
    let worker = lab().own_worker("tutorial");
    let mut connection = server.connect("mysql").await;
    run(
        &mut connection,
        "CREATE DATABASE IF NOT EXISTS mydb CHARACTER SET utf8mb4; USE mydb",
    )
    .await;
    run(
        &mut connection,
        "CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100), email VARCHAR(100))",
    )
    .await;
    run(
        &mut connection,
        "INSERT INTO users (name, email) VALUES ('Ann', 'ann@example.com'), ('Bob', NULL)",
    )
    .await;

    let (url, password) = (server.jdbc_url("mydb"), MariaDb::PASSWORD);
    let source = json!({"name": "my-source-connect", "config": {
        "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector", "connection.url": url, "connection.user": "root",
        "connection.password": password, "mode": "incrementing", "incrementing.column.name": "id",
        "table.whitelist": "users", "topic.prefix": "my_topic_", "tasks.max": "1"}});
    let sink = json!({"name": "my-sink-connect", "config": {
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "connection.url": url, "connection.user": "root",
        "connection.password": password, "auto.create": "true", "auto.evolve": "true", "delete.enabled": "false",
        "tasks.max": "1", "topics": "my_topic_users"}});

    let created = worker.rest().post("/connectors", &source).await.expect(201);
    assert_eq!(created.body["name"], "my-source-connect");
    assert_eq!(created.body["type"], "source");
    assert_eq!(created.body["config"]["table.whitelist"], "users");
    worker.rest().post("/connectors", &sink).await.expect(201);

    let (users, copy) = (table("users"), table("my_topic_users"));
    let copied = "SELECT COUNT(*) FROM my_topic_users";
    for_condition("two users in the copy", SOON, async || {
        testkit::mariadb::count(&mut connection, copied).await == 2
    })
    .await;
    run(
        &mut connection,
        "INSERT INTO users (name, email) VALUES ('Özgür 😀', 'o@example.com')",
    )
    .await;
    for_condition("the third user", SOON, async || {
        testkit::mariadb::count(&mut connection, copied).await == 3
    })
    .await;
    assert_eq!(assert_same(&mut connection, &users, &copy).await, 3);

    let status = worker
        .rest()
        .wait_state("my-sink-connect", "RUNNING", SOON)
        .await;
    assert_eq!(status["connector"]["state"], "RUNNING");
    let mut names = worker
        .rest()
        .get("/connectors")
        .await
        .expect(200)
        .body
        .as_array()
        .unwrap()
        .clone();
    names.sort_by_key(ToString::to_string);
    assert_eq!(
        names,
        [json!("my-sink-connect"), json!("my-source-connect")]
    );
}

fn table(table: &'static str) -> MariaTable<'static> {
    MariaTable {
        database: "mydb",
        table,
    }
}

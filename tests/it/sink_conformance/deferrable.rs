//! Keys that no upsert may name: DEFERRABLE constraints of PostgreSQL, and keys of more columns than their index.

use connector_api::{ErrorKind, SchemaType, Value};

use super::{Database, Server, id_key, int, optional, structure, t};
use crate::sink::database::ALL;
use crate::sink::records::Topic;

const UPSERT: [(&str, &str); 3] = [
    ("insert.mode", "upsert"),
    ("pk.mode", "record_key"),
    ("delete.enabled", "true"),
];

#[tokio::test]
async fn rows_are_upserted_by_a_key_whose_constraint_is_deferrable() {
    for constraint in [
        "PRIMARY KEY (id) DEFERRABLE",
        "PRIMARY KEY (id) DEFERRABLE INITIALLY DEFERRED",
        "UNIQUE (id) DEFERRABLE INITIALLY DEFERRED",
        "PRIMARY KEY (id), UNIQUE (id) DEFERRABLE",
    ] {
        let mut database = Database::new(Server::Postgres, &UPSERT).await;
        database
            .run(&format!(
                "CREATE TABLE t (id INT NOT NULL, name TEXT, {constraint})"
            ))
            .await;
        database
            .run("INSERT INTO t VALUES (1, 'old'), (9, 'gone')")
            .await;
        let topic = Topic::new("t");
        let fields = [int("id"), optional("name", SchemaType::String)];
        let row =
            |id, name| topic.record(id_key(id), structure(&fields, [Value::I32(id), t(name)]));
        let gone = topic.record(id_key(9), connector_api::Datum::NONE);
        database
            .write(
                &topic,
                &[
                    &[row(1, "a"), row(2, "b"), gone, row(3, "c"), row(2, "d")],
                    &[row(3, "e")],
                ],
            )
            .await;
        assert_eq!(
            database.rows("SELECT id, name FROM t ORDER BY id").await,
            ["1|a", "2|d", "3|e"],
            "{constraint}"
        );
    }
}

#[tokio::test]
async fn a_constraint_that_becomes_deferrable_while_the_task_runs_does_not_fail_it() {
    let mut database = Database::new(Server::Postgres, &UPSERT).await;
    database
        .run("CREATE TABLE t (id INT PRIMARY KEY, name TEXT)")
        .await;
    let topic = Topic::new("t");
    let mut task = database.open(&topic, false, &[]).await;
    let fields = [int("id"), optional("name", SchemaType::String)];
    for (n, change) in [
        "SELECT 1",
        "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id) DEFERRABLE",
        "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id)",
    ]
    .into_iter()
    .enumerate()
    {
        database.run(change).await;
        let row = topic.record(
            id_key(1),
            structure(&fields, [Value::I32(1), t(&format!("state {n}"))]),
        );
        while let Err(error) = task.put(std::slice::from_ref(&row), &topic.next()).await {
            assert_eq!(error.kind(), ErrorKind::Retry, "{change}: {error}");
        }
        assert_eq!(
            database.rows("SELECT id, name FROM t").await,
            [format!("1|state {n}")],
            "{change}"
        );
    }
    task.close().await;
}

#[tokio::test]
async fn a_key_of_more_columns_than_its_index_is_upserted() {
    for server in ALL {
        let keys = [
            ("insert.mode", "upsert"),
            ("pk.mode", "record_value"),
            ("pk.fields", "id,part"),
        ];
        let mut database = Database::new(*server, &keys).await;
        database
            .run("CREATE TABLE t (id INT PRIMARY KEY, part INT, name VARCHAR(10))")
            .await;
        database.run("INSERT INTO t VALUES (1, 1, 'old')").await;
        let topic = Topic::new("t");
        let fields = [int("id"), int("part"), optional("name", SchemaType::String)];
        let row = |id, name| topic.value(&fields, [Value::I32(id), Value::I32(1), t(name)]);
        database
            .write(&topic, &[&[row(1, "a"), row(2, "b"), row(1, "c")]])
            .await;
        assert_eq!(
            database
                .rows("SELECT id, part, name FROM t ORDER BY id")
                .await,
            ["1|1|c", "2|1|b"],
            "{server}"
        );
    }
}

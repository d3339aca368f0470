//! Tables that change while rows are written.

use serde_json::json;
use testkit::mariadb::{count, run};
use testkit::{Rowferry, unique};

use crate::crash::{LONG, assert_runs, quick_rejoin};
use crate::lab;
use crate::pipeline::Pipeline;
use crate::sink::database::{Database, Server};
use crate::sink::records::{Topic, int, optional, text};
use connector_api::{SchemaType, Value};

/// Changes of the source's table that a copy can follow; rows are written between them and after them.
const CHANGES: [&str; 8] = [
    "ALTER TABLE t ADD COLUMN a VARCHAR(20)",
    "ALTER TABLE t ADD COLUMN b INT DEFAULT 7",
    "ALTER TABLE t ADD COLUMN c DATETIME(3) FIRST",
    "ALTER TABLE t MODIFY COLUMN note VARCHAR(500)",
    "ALTER TABLE t MODIFY COLUMN n BIGINT",
    "ALTER TABLE t DROP COLUMN a",
    "ALTER TABLE t ADD INDEX (n)",
    "ALTER TABLE t ADD COLUMN d DECIMAL(20,5)",
];

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_come_go_and_grow_while_rows_are_written_lose_no_row_and_fail_no_task() {
    let (server, topics) = (lab().mariadb(), lab().kafka().topics());
    let worker = Rowferry::start(
        lab().scratch(),
        quick_rejoin(&unique("columns"), lab().kafka().brokers()),
    );
    let (pipeline, mut connection) = Pipeline::new(server, "columns", "t").await;
    topics.create(&pipeline.topic(), 3).await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, n INT, note VARCHAR(100))",
    )
    .await;
    let sink = json!({"insert.mode": "upsert", "pk.mode": "record_key", "auto.evolve": "widen", "tasks.max": "3"});
    pipeline
        .create(
            worker.rest(),
            server,
            json!({"batch.max.rows": "100"}),
            sink,
        )
        .await;
    let mut rows = 0;
    for change in CHANGES.iter().map(Some).chain([None]) {
        run(
            &mut connection,
            "INSERT INTO t (n, note) SELECT seq, SHA1(seq) FROM seq_1_to_300",
        )
        .await;
        rows += 300;
        // in the middle of the copying of rows from before
        pipeline
            .wait_arrived(&mut connection, rows - 250, LONG)
            .await;
        if let Some(change) = change {
            run(&mut connection, change).await;
        }
    }
    pipeline.wait_arrived(&mut connection, rows, LONG).await;
    for name in [pipeline.source_name(), pipeline.sink_name()] {
        let status = worker
            .rest()
            .get(&format!("/connectors/{name}/status"))
            .await
            .body;
        assert!(
            status["tasks"]
                .as_array()
                .unwrap()
                .iter()
                .all(|task| task["state"] == "RUNNING"),
            "{status}"
        );
    }
    let copy = format!("`{}`.`{}`", pipeline.copy, pipeline.topic());
    let differing = format!(
        "SELECT COUNT(*) FROM t LEFT JOIN {copy} c USING (id) WHERE NOT (t.n <=> c.n AND t.note <=> c.note AND t.c <=> c.c \
         AND t.d <=> c.d)"
    );
    assert_eq!(count(&mut connection, &differing).await, 0);
    assert_runs(&worker, &pipeline).await;
}

/// MariaDB commits what is open at every ALTER TABLE: none may come between a batch's first row and its commit.
#[tokio::test]
async fn a_table_that_is_extended_for_a_batch_commits_no_part_of_it() {
    for server in [Server::MariaDb, Server::Postgres] {
        let mut database = Database::new(server, &[("auto.evolve", "true")]).await;
        let topic = Topic::new("t");
        let old = [int("id"), text("name")];
        let new = [int("id"), text("name"), optional("age", SchemaType::Int64)];
        let mut task = database.open(&topic, false, &[]).await;
        let row = |id| [Value::I32(id), Value::Text("a".into())];
        task.put(&[topic.value(&old, row(1))], &topic.next())
            .await
            .unwrap();
        let batch = [
            topic.value(&old, row(2)),
            topic.value(
                &new,
                [Value::I32(3), Value::Text("b".into()), Value::I64(7)],
            ),
            topic.value(&old, row(4)),
        ];
        task.hold(&batch, &topic.next()).await.unwrap();
        let seen = database
            .select(
                "next_offset, (SELECT COUNT(*) FROM t)",
                "FROM rowferry_offsets",
            )
            .await;
        assert_eq!(seen, ["1|1"], "{server}");
        // the task's process dies here
        drop(task);
        let mut task = database.open(&topic, false, &[]).await;
        task.put(&batch, &topic.next()).await.unwrap();
        let seen = database
            .select("COUNT(*), COUNT(DISTINCT id)", "FROM t")
            .await;
        assert_eq!(seen, ["4|4"], "{server}");
        task.close().await;
    }
}

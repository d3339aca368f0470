//! What SQLite makes of a config's query in a running task is bounded.

use serde_json::{Value, json};
use testkit::sqlite::run;
use testkit::{Rest, Rowferry, Settings, SqliteFile, Usage, for_condition, unique};

use crate::{SOON, lab};

fn file(name: &str) -> SqliteFile {
    SqliteFile::new(lab().scratch(), &unique(name))
}

async fn task(rest: &Rest, name: &str) -> Value {
    rest.get(&format!("/connectors/{name}/status"))
        .await
        .expect(200)
        .body["tasks"][0]
        .take()
}

/// Waits until a source has committed the row with that id.
async fn wait_read(rest: &Rest, name: &str, id: i64) {
    for_condition(&format!("{name} to read row {id}"), SOON, async || {
        let offsets = rest
            .get(&format!("/connectors/{name}/offsets"))
            .await
            .expect(200)
            .body;
        offsets["offsets"][0]["offset"]["incrementing"] == id
    })
    .await;
}

fn source(file: &SqliteFile, prefix: &str, more: &Value) -> Value {
    let mut config = json!({"connector.class": "JdbcSource", "connection.url": file.jdbc_url(), "topic.prefix": prefix,
        "poll.interval.ms": "100", "mode": "incrementing", "incrementing.column.name": "id"});
    config
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_too_large_fails_its_sqlite_task_in_little_memory_and_is_read_once_it_is_smaller()
 {
    let (worker, file) = (
        Rowferry::start(lab().scratch(), Settings::dev(&unique("large"))),
        file("large"),
    );
    let (rest, mut sql) = (worker.rest(), file.connect().await);
    run(&mut sql, "CREATE TABLE t (id INTEGER PRIMARY KEY, size INT); INSERT INTO t VALUES (1, 10), (2, 100000)").await;
    let query = "SELECT * FROM (SELECT id, zeroblob(size) AS b FROM t) AS q";
    rest.create(
        "large",
        &source(
            &file,
            "large",
            &json!({"query": query, "max.row.bytes": "2000000"}),
        ),
    )
    .await;
    wait_read(rest, "large", 2).await;
    Usage::reset_peak(worker.pid());
    run(&mut sql, "INSERT INTO t VALUES (3, 900000000)").await;
    rest.wait_state("large", "FAILED", SOON).await;
    let trace = task(rest, "large").await["trace"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(trace.contains("max.row.bytes"), "{trace}");
    assert!(
        Usage::of(worker.pid()).peak < 400 << 20,
        "{}",
        Usage::of(worker.pid()).peak
    );
    run(&mut sql, "UPDATE t SET size = 200000 WHERE id = 3").await;
    rest.post("/connectors/large/tasks/0/restart", &json!({}))
        .await
        .expect(204);
    wait_read(rest, "large", 3).await;
    assert_eq!(worker.stop(SOON), Some(0));
}

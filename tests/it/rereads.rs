//! Reading a table, or a range of its keys, again through a running source: each of these rows a second time, nothing else,
//! whatever dies meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use connector_api::{OffsetValue, Reread, RereadState, SourceTask, TaskRequest, Value};
use serde_json::{Value as Json, json};
use sqlx::Executor;
use testkit::mariadb::{count, run};
use testkit::{MariaDb, Postgres, Rest, Rowferry, Settings, for_condition, unique, wait_until};

use crate::command_line::on;
use crate::pipeline::Pipeline;
use crate::source::{PLENTY, Stored, config, open};
use crate::{SOON, lab};

/// Polls until the reread has ended; the first columns of the rows in their order.
async fn read_again(task: &mut dyn SourceTask, stored: &mut Stored) -> Vec<String> {
    let mut seen = Vec::new();
    let end = tokio::time::Instant::now() + PLENTY;
    while task.progress().rereads[0].state == RereadState::Running {
        let batch = tokio::time::timeout_at(end, task.poll())
            .await
            .expect("the reread ends")
            .unwrap();
        take(&batch, stored, &mut seen);
        tokio::time::sleep(
            batch
                .idle_for
                .unwrap_or_default()
                .min(Duration::from_millis(20)),
        )
        .await;
    }
    // The position that deletes the stored place.
    stored.note(&task.poll().await.unwrap());
    seen
}

fn take(batch: &connector_api::SourceBatch, stored: &mut Stored, seen: &mut Vec<String>) {
    stored.note(batch);
    for record in &batch.records {
        let Value::Struct(row) = &record.value.value else {
            panic!("no struct")
        };
        let text = |value: &Value| match value {
            Value::Text(text) => text.to_string(),
            value => value.as_i64().unwrap().to_string(),
        };
        seen.push(format!("{} {}", text(&row[0]), text(&row[1])));
    }
}

/// Polls until a poll finds nothing more.
async fn poll_all(task: &mut dyn SourceTask, stored: &mut Stored, rows: usize) -> Vec<String> {
    let mut seen = Vec::new();
    let end = tokio::time::Instant::now() + PLENTY;
    while seen.len() < rows {
        let batch = tokio::time::timeout_at(end, task.poll())
            .await
            .expect("all rows")
            .unwrap();
        take(&batch, stored, &mut seen);
    }
    seen
}

fn texts(values: &[&str]) -> Vec<OffsetValue> {
    values
        .iter()
        .map(|text| OffsetValue::Text((*text).to_owned()))
        .collect()
}

fn wanted(table: &str, from: &[&str], to: &[&str]) -> TaskRequest {
    TaskRequest::Reread(Reread {
        table: table.to_owned(),
        from: texts(from),
        to: texts(to),
    })
}

fn has_place(stored: &Stored) -> bool {
    let last = stored
        .0
        .iter()
        .rev()
        .find(|(partition, _)| partition.get("reread").is_some());
    last.is_some_and(|(_, offset)| offset.is_some())
}

#[tokio::test]
async fn a_range_of_a_key_of_several_columns_is_read_again_in_every_mode_and_resumes() {
    let (database, server) = (unique("reread"), lab().postgres());
    let mut sql = server.create_database(&database).await;
    sql.execute("CREATE TABLE t (shop text, n int, id bigserial UNIQUE, at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (shop, n))").await.unwrap();
    sql.execute("INSERT INTO t (shop, n) SELECT s, n FROM unnest(ARRAY['a','b','c']) s, generate_series(1, 4) n").await.unwrap();
    let url = server.jdbc_url(&database);
    for mode in [
        &[("mode", "timestamp"), ("timestamp.column.name", "at")][..],
        &[("mode", "incrementing"), ("incrementing.column.name", "id")],
        &[
            ("mode", "timestamp+incrementing"),
            ("timestamp.column.name", "at"),
            ("incrementing.column.name", "id"),
        ],
    ] {
        let keys: Vec<_> = mode
            .iter()
            .copied()
            .chain([("batch.max.rows", "1")])
            .collect();
        let config = config(&url, Postgres::USER, Postgres::PASSWORD, &keys);
        let mut stored = Stored::default();
        let mut task = open(&config, &stored).await;
        poll_all(&mut *task, &mut stored, 12).await;
        let table = task.progress().tables[0].table.clone();
        let positions = task
            .request(&wanted(&table, &["a", "3"], &["b"]))
            .await
            .unwrap();
        stored
            .0
            .extend(positions.into_iter().map(|p| (p.partition, p.offset)));
        assert!(
            task.request(&wanted(&table, &[], &[])).await.is_err(),
            "two at a time"
        );
        // The task dies in the middle; its successor continues with the next row.
        let mut seen = poll_all(&mut *task, &mut stored, 2).await;
        drop(task);
        let mut task = open(&config, &stored).await;
        seen.extend(read_again(&mut *task, &mut stored).await);
        assert_eq!(seen, ["a 3", "a 4", "b 1", "b 2", "b 3", "b 4"], "{mode:?}");
        let progress = task.progress().rereads.remove(0);
        assert_eq!((progress.rows, progress.state), (6, RereadState::Done));
        assert!(!has_place(&stored), "{:?}", stored.0);
        task.close().await;
        let task = open(&config, &stored).await;
        assert!(task.progress().rereads.is_empty());
    }
}

#[tokio::test]
async fn a_range_that_makes_no_sense_is_refused_and_changes_nothing() {
    let database = unique("reread");
    let mut sql = lab().mariadb().create_database(&database).await;
    run(
        &mut sql,
        "CREATE TABLE t (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, n INT)",
    )
    .await;
    run(
        &mut sql,
        "CREATE TABLE u (id INT NOT NULL AUTO_INCREMENT, n INT, KEY (id))",
    )
    .await;
    run(
        &mut sql,
        "INSERT INTO t (n) VALUES (1), (2), (3); INSERT INTO u (n) VALUES (1)",
    )
    .await;
    let url = lab().mariadb().jdbc_url(&database);
    let keys = [
        ("mode", "incrementing"),
        ("incrementing.column.name", "id"),
        ("table.whitelist", "t,u"),
    ];
    let mut stored = Stored::default();
    let mut task = open(
        &config(&url, MariaDb::USER, MariaDb::PASSWORD, &keys),
        &stored,
    )
    .await;
    poll_all(&mut *task, &mut stored, 4).await;
    let [t, u] = ["t", "u"].map(|table| format!("{database}.{table}"));
    for (request, part) in [
        (wanted(&t, &["1", "2"], &[]), "2 values"),
        (wanted(&t, &["x"], &[]), "column id has numbers"),
        (wanted(&t, &["3"], &["2"]), "no row in that range"),
        (wanted(&t, &["9"], &[]), "no row in that range"),
        (wanted(&u, &[], &[]), "no primary key"),
        (wanted("elsewhere.t", &[], &[]), "does not read table"),
        (TaskRequest::CancelReread(t.clone()), "not being read again"),
    ] {
        let error = task.request(&request).await.unwrap_err().to_string();
        assert!(error.contains(part), "{request:?}: {error}");
    }
    assert!(task.progress().rereads.is_empty());
    task.request(&wanted(&t, &["2"], &[])).await.unwrap();
    let cancelled = task
        .request(&TaskRequest::CancelReread(t.clone()))
        .await
        .unwrap();
    assert!(cancelled[0].offset.is_none());
    assert_eq!(task.progress().rereads[0].state, RereadState::Cancelled);
    task.request(&wanted(&t, &["2"], &["2"])).await.unwrap();
    assert_eq!(read_again(&mut *task, &mut stored).await, ["2 2"]);
    // A table whose definition no longer allows it ends that alone.
    task.request(&wanted(&t, &[], &[])).await.unwrap();
    run(&mut sql, "ALTER TABLE t DROP PRIMARY KEY, ADD KEY (id)").await;
    assert!(read_again(&mut *task, &mut stored).await.is_empty());
    let RereadState::Failed(why) = task.progress().rereads.remove(0).state else {
        panic!("it has not failed")
    };
    assert!(why.contains("no primary key any more"), "{why}");
    run(&mut sql, "INSERT INTO t (n) VALUES (4)").await;
    assert_eq!(poll_all(&mut *task, &mut stored, 1).await, ["4 4"]);
    task.close().await;
}

async fn rereads(rest: &Rest, name: &str) -> Vec<Json> {
    let path = format!("/v1/connectors/{name}/rereads");
    let answer = rest.try_send("GET", &path, None).await;
    answer
        .ok()
        .and_then(|answer| answer.body.as_array().cloned())
        .unwrap_or_default()
}

fn cli(worker: &Rowferry, args: &[&str]) -> (String, Option<i32>) {
    let (out, errors, code) = on(worker.rest().base(), args);
    (out + &*errors, code)
}

#[tokio::test]
async fn rows_are_read_again_exactly_once_though_the_worker_is_killed_and_the_table_is_written_to()
{
    let settings = Settings::serve(&unique("reread"), lab().kafka().brokers());
    let worker = Rowferry::start(lab().scratch(), settings);
    let server = lab().mariadb();
    let (pipeline, mut sql) = Pipeline::new(server, "reread", "t").await;
    run(
        &mut sql,
        "CREATE TABLE t (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40))",
    )
    .await;
    run(
        &mut sql,
        "INSERT INTO t (name) SELECT CONCAT('row ', seq) FROM seq_1_to_12000",
    )
    .await;
    let (rest, name) = (worker.rest(), pipeline.source_name());
    let more =
        json!({"batch.max.rows": "100", "poll.interval.ms": "50", "transaction.boundary": "poll"});
    rest.create(&name, &pipeline.source(server, more)).await;
    let (topics, topic) = (lab().kafka().topics(), pipeline.topic());
    let path = format!("/connectors/{name}/offsets");
    wait_until("all rows", SOON, async || {
        let offset = rest.get(&path).await.body["offsets"][0]["offset"]["incrementing"].as_i64();
        (offset == Some(12_000)).then_some(())
    })
    .await;
    let asked = json!({"table": "t", "from": 1001, "to": [11_000]});
    let begun = rest
        .post(&format!("/v1/connectors/{name}/rereads"), &asked)
        .await
        .expect(202)
        .body;
    assert_eq!(
        (&begun["table"], &begun["from"]),
        (&json!(format!("{}.t", pipeline.name)), &json!([1001]))
    );
    let end = topics.committed_end(&topic);
    for_condition("rows come again", SOON, async || end() > 13_000).await;
    worker.kill();
    run(&mut sql, "INSERT INTO t (name) VALUES ('new 1'), ('new 2'); UPDATE t SET name = 'changed' WHERE id = 10999").await;
    let last = count(&mut sql, "SELECT MAX(id) FROM t").await;
    worker.restart();
    let rest = worker.rest();
    wait_until(
        "no place of a reread is stored any more",
        SOON * 2,
        async || {
            let offsets = rest.get(&path).await.body["offsets"].as_array().cloned()?;
            let alone =
                offsets.len() == 1 && offsets[0]["offset"]["incrementing"].as_i64() == Some(last);
            alone.then_some(())
        },
    )
    .await;
    let mut times: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    topics.each(&topic, |entry| {
        let row = entry.json()["payload"].clone();
        let name = row["name"].as_str().unwrap().to_owned();
        times
            .entry(row["id"].as_i64().unwrap())
            .or_default()
            .push(name);
    });
    assert_eq!(times.len(), 12_002);
    for (id, names) in times {
        let count = if (1001..=11_000).contains(&id) { 2 } else { 1 };
        assert_eq!(names.len(), count, "{id}: {names:?}");
    }
    let (text, code) = cli(
        &worker,
        &["reread", "start", &name, "t", "--to", "3", "--wait"],
    );
    assert_eq!(
        (code, text.contains("3 rows have been read again")),
        (Some(0), true),
        "{text}"
    );
    let seen = rereads(rest, &name).await;
    assert_eq!(
        (&seen[0]["state"], &seen[0]["rows"], &seen[0]["percent"]),
        (&json!("done"), &json!(3), &json!(100.0))
    );
    refusals(&worker, rest, &name).await;
    rest.remove(&name).await;
}

/// What is refused, in words that say what to do.
async fn refusals(worker: &Rowferry, rest: &Rest, name: &str) {
    let path = format!("/v1/connectors/{name}/rereads");
    for (body, status, part) in [
        (json!({"table": "x"}), 400, "does not read a table x"),
        (json!({"table": "t", "from": [1, 2]}), 400, "2 values"),
        (
            json!({"table": "t", "from": [true]}),
            400,
            "'from' must be a number",
        ),
        (
            json!({"table": "t", "from": 9, "to": 8}),
            400,
            "nothing to read again",
        ),
    ] {
        let answer = rest.post(&path, &body).await.expect(status);
        assert!(answer.message().contains(part), "{}", answer.message());
    }
    let (text, code) = cli(worker, &["reread", "cancel", name, "t"]);
    assert_eq!(
        (code, text.contains("not being read again")),
        (Some(1), true),
        "{text}"
    );
    rest.put_empty(&format!("/connectors/{name}/pause"))
        .await
        .expect(202);
    let answer = rest.post(&path, &json!({"table": "t"})).await.expect(409);
    assert!(
        answer.message().contains("it is paused: resume it first"),
        "{}",
        answer.message()
    );
    let missing = rest
        .post("/v1/connectors/no-such/rereads", &json!({"table": "t"}))
        .await;
    assert_eq!(missing.status, 404);
}

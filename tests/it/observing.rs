//! What a person sees of a running connector on the command line: its log, one row on its way, what going back means,
//! and the form of the output where there is no terminal.

use serde_json::{Value, json};
use testkit::mariadb::{count, run};
use testkit::{MariaDb, unique};

use crate::command_line::{local, printed, program, rowferry};
use crate::{SOON, lab};

const SCHEMA: &str = r#"{"type":"struct","fields":[{"field":"id","type":"int32"},{"field":"name","type":"string"}]}"#;

/// A sink with three records, all of them written.
async fn sink(name: &str, topic: &str) -> (String, sqlx::MySqlConnection) {
    let (server, database) = (lab().mariadb(), unique("seen"));
    let mut connection = server.create_database(&database).await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(50))",
    )
    .await;
    let topics = lab().kafka().topics();
    topics.create(topic, 1).await;
    let records: Vec<String> = (0..3)
        .map(|id| format!(r#"{{"schema":{SCHEMA},"payload":{{"id":{id},"name":"n{id}"}}}}"#))
        .collect();
    let records: Vec<_> = records
        .iter()
        .zip(["k0", "k1", "k2"])
        .map(|(record, key)| (Some(key), Some(record.as_str())))
        .collect();
    topics.produce(topic, &records);
    let config = json!({
        "connector.class": "JdbcSink", "connection.url": server.jdbc_url(&database), "connection.user": MariaDb::USER,
        "connection.password": MariaDb::PASSWORD, "topics": topic, "table.name.format": "t", "insert.mode": "upsert",
        "pk.mode": "record_value", "pk.fields": "id", "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    });
    lab().worker().rest().create(name, &config).await;
    testkit::for_condition("the rows", SOON, async || {
        count(&mut connection, "SELECT COUNT(*) FROM t").await == 3
    })
    .await;
    (database, connection)
}

#[tokio::test]
async fn log_lines_of_a_connector_are_its_own_and_its_level_changes_for_a_time() {
    let (rest, name) = (lab().worker().rest(), unique("logging"));
    let file = lab().scratch().path().join(&name).display().to_string();
    std::fs::write(&file, "a\nb\n").unwrap();
    let config =
        json!({"connector.class": "FileStreamSource", "file": file, "topic": unique("logged")});
    let body = json!({"name": name, "config": config, "initial_state": "STOPPED"});
    rest.post("/connectors", &body).await.expect(201);
    let path = format!("/v1/connectors/{name}/logs");
    let debug = async || {
        let page = rest
            .get(&format!("{path}?limit=500"))
            .await
            .expect(200)
            .body;
        let lines = page["lines"].as_array().unwrap().clone();
        lines
            .into_iter()
            .filter(|line| line["level"] == "DEBUG")
            .count()
    };
    let (out, errors, code) =
        rowferry(&["logs", &name, "--set-level", "TRACE", "--seconds", "600"]);
    assert_eq!(code, Some(0), "{out}{errors}");
    rest.put_empty(&format!("/connectors/{name}/resume"))
        .await
        .expect(202);
    testkit::for_condition("lines of the task at level DEBUG", SOON, async || {
        debug().await > 0
    })
    .await;
    let page = rest
        .get(&format!("{path}?limit=500"))
        .await
        .expect(200)
        .body;
    for line in page["lines"].as_array().unwrap() {
        assert!(line["count"].as_u64().unwrap() >= 1, "{line}");
    }
    let next = page["next"].as_u64().unwrap();
    assert!(next > 0, "{page}");
    let (out, errors, code) = rowferry(&["logs", &name, "-n", "5"]);
    assert!(
        !out.is_empty() && out.lines().count() <= 5 && code == Some(0),
        "{out}{errors}"
    );
    rest.put(&format!("{path}/level"), &json!({"level": "LOUD"}))
        .await
        .expect(404);
    rest.put(
        &format!("{path}/level"),
        &json!({"level": "DEBUG", "seconds": 0}),
    )
    .await
    .expect(400);
    rest.get("/v1/connectors/nobody/logs").await.expect(404);
    rest.remove(&name).await;
}

#[tokio::test]
async fn a_row_is_traced_and_a_sink_goes_back_after_saying_what_that_means() {
    let (name, topic) = (unique("traced"), unique("traced"));
    let (_database, mut connection) = sink(&name, &topic).await;
    let rest = lab().worker().rest();
    let next = async || {
        let offsets = rest.get(&format!("/connectors/{name}/offsets")).await.body;
        offsets["offsets"][0]["offset"]["kafka_offset"].as_i64()
    };
    testkit::for_condition("the committed offset", SOON, async || {
        next().await == Some(3)
    })
    .await;
    let (out, errors, code) = rowferry(&["trace", &name, "--key", "k1"]);
    assert!(
        code == Some(0)
            && out.contains("  0:1  ")
            && out.contains(&format!("sink {name} has passed it")),
        "{out}{errors}"
    );
    assert!(!out.contains("n2"), "only this row: {out}");
    let (_, _, code) = rowferry(&["trace", &name, "--key", "k9"]);
    assert_eq!(code, Some(1));

    let (out, errors, code) = rowferry(&["offsets", "rewind", &name, "--by", "2", "--dry-run"]);
    assert!(
        code == Some(0)
            && out.contains("about 2 records are read again")
            && out.contains("older values"),
        "{out}{errors}"
    );
    assert_eq!(next().await, Some(3), "nothing has changed");
    run(&mut connection, "DELETE FROM t").await;
    let (_, errors, code) = rowferry(&[
        "offsets",
        "rewind",
        &name,
        "--to-time",
        "2020-01-01T00:00:00Z",
        "--yes",
    ]);
    assert_eq!(code, Some(0), "{errors}");
    testkit::for_condition("the rows again", SOON, async || {
        count(&mut connection, "SELECT COUNT(*) FROM t").await == 3
    })
    .await;
    let (_, errors, code) = rowferry(&["offsets", "rewind", &name, "--to-value", "1", "--yes"]);
    assert!(code == Some(78) && errors.contains("--to-time"), "{errors}");
    rest.remove(&name).await;
}

/// A file that does not exist.
fn nowhere() -> String {
    let path = lab().scratch().path().join("nowhere");
    path.display().to_string()
}

/// Replaces what differs from run to run by words of the same width.
fn steady(text: &str, words: &[(&str, &str)]) -> String {
    words.iter().fold(text.to_owned(), |text, (from, to)| {
        text.replace(*from, &format!("{to:from$}", from = from.len()))
    })
}

#[tokio::test]
async fn output_without_a_terminal_is_as_documented() {
    let name = unique("outputs");
    let base = lab().worker().rest().base().to_owned();
    let id = base.strip_prefix("http://").unwrap().to_owned();
    let config =
        json!({"connector.class": "FileStreamSource", "file": nowhere(), "topic": "lines"});
    let body = json!({"name": name, "config": config, "initial_state": "STOPPED"});
    lab()
        .worker()
        .rest()
        .post("/connectors", &body)
        .await
        .expect(201);
    let file = nowhere();
    let words = [
        (name.as_str(), "N"),
        (id.as_str(), "W"),
        (file.as_str(), "F"),
    ];
    let out = |args: &[&str]| {
        let (out, errors, code) = rowferry(args);
        assert_eq!(code, Some(0), "{args:?}: {errors}");
        steady(&out, &words)
    };
    let padded = |word: &str, like: &str| format!("{word:width$}", width = like.len());
    let (n, w, f) = (padded("N", &name), padded("W", &id), padded("F", &file));
    assert_eq!(
        out(&["status", &name]),
        format!("  connector  STOPPED    {w}\n")
    );
    let described = out(&["describe", &name]);
    assert_eq!(
        described,
        format!(
            "{n} (source)\n  connector  STOPPED    {w}\n\nconfig\n  connector.class = FileStreamSource\n  file = {f}\n  \
             name = {n}\n  topic = lines\n\ntopics\n  none used yet\n\noffsets\n"
        )
    );
    let yaml = out(&["describe", &name, "-o", "yaml"]);
    assert_eq!(
        yaml,
        format!(
            "name: \"{n}\"\nconfig:\n  connector.class: \"FileStreamSource\"\n  file: \"{f}\"\n  name: \"{n}\"\n  topic: \"lines\"\n\
             tasks: []\ntype: \"source\"\n"
        )
    );
    let parsed: Value =
        serde_json::from_str(&rowferry(&["describe", &name, "-o", "json"]).0).unwrap();
    assert_eq!(
        (&parsed["name"], &parsed["type"]),
        (&json!(name), &json!("source"))
    );
    let listed = out(&["get", "connectors", "-o", "wide"]);
    let row = listed.lines().find(|line| line.starts_with(&n)).unwrap();
    assert!(
        row.contains("source") && row.contains("STOPPED") && row.contains("FileStreamSource"),
        "{row}"
    );
    assert!(!listed.contains('\u{1b}'), "no colours");
    let (_, errors, code) = rowferry(&["describe", &name[..name.len() - 1]]);
    assert!(code == Some(1) && errors.contains("not found"), "{errors}");
    lab().worker().rest().remove(&name).await;
}

#[tokio::test]
async fn a_database_is_tested_from_the_worker() {
    let server = lab().mariadb();
    let database = unique("reachable");
    drop(server.create_database(&database).await);
    let url = server.jdbc_url(&database);
    let test = |password: &str| {
        rowferry(&[
            "conn",
            "test",
            &url,
            "--db-user",
            MariaDb::USER,
            "--db-password",
            password,
        ])
    };
    let (out, errors, code) = test(MariaDb::PASSWORD);
    assert!(code == Some(0) && out.lines().count() == 2, "{out}{errors}");
    let (out, errors, code) = test("wrong");
    assert!(
        code == Some(1) && out.contains("Access denied") && !out.contains("wrong"),
        "{out}{errors}"
    );
}

#[test]
fn completions_and_man_pages_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let (out, errors, code) = local(&["completions", shell]);
        assert!(
            code == Some(0) && out.contains("rowferry"),
            "{shell}: {errors}"
        );
    }
    let (out, errors, code) = local(&["man"]);
    assert!(code == Some(0) && out.contains(".TH rowferry"), "{errors}");
}

#[tokio::test]
async fn a_shell_completes_the_names_of_connectors() {
    let name = unique("completed");
    let config =
        json!({"connector.class": "FileStreamSource", "file": nowhere(), "topic": "lines"});
    let body = json!({"name": name, "config": config, "initial_state": "STOPPED"});
    lab()
        .worker()
        .rest()
        .post("/connectors", &body)
        .await
        .expect(201);
    let mut command = program(&["--", "rowferry", "status", &name[..6]]);
    command
        .env("COMPLETE", "fish")
        .env("ROWFERRY_SERVER", lab().worker().rest().base());
    let (out, errors, _) = printed(&mut command);
    assert!(out.lines().any(|line| line == name), "{out} {errors}");
    lab().worker().rest().remove(&name).await;
}

//! The pages of docs/ that answer a question, done as they say: their configs, with the databases of this run, and their
//! commands in the order of the page.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use testkit::mariadb::{count, run};
use testkit::{MariaDb, Postgres, for_condition, project_folder, unique};

use crate::command_line::{Printed, printed, program};
use crate::{SOON, lab};

/// A page with words of its examples replaced, and the folder in which its commands run.
struct Page {
    text: String,
    folder: PathBuf,
}

impl Page {
    fn open(name: &str, words: &[(&str, &str)]) -> Self {
        let path = project_folder().join("docs").join(name);
        let text = std::fs::read_to_string(path).unwrap();
        let replaced = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
        let folder = lab().scratch().path().join(unique("page"));
        std::fs::create_dir_all(&folder).unwrap();
        Self {
            text: words.iter().fold(text, replaced),
            folder,
        }
    }

    /// The blocks of this language.
    fn blocks(&self, language: &str) -> Vec<String> {
        let (mut found, mut open) = (Vec::new(), None);
        for line in self.text.lines() {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(of), None) => open = Some((of == language, String::new())),
                (Some(_), Some((is_wanted, block))) => {
                    found.extend(is_wanted.then(|| block.clone()));
                    open = None;
                }
                (None, Some((_, block))) => block.push_str(&format!("{line}\n")),
                (None, None) => {}
            }
        }
        found
    }

    /// Commands in the text, by the words after the name of the program.
    fn mentioned(&self) -> Vec<Vec<String>> {
        let lines = self.text.lines();
        let spans = lines.flat_map(|line| line.split('`').skip(1).step_by(2));
        spans
            .filter_map(|span| span.strip_prefix("rowferry "))
            .map(words)
            .collect()
    }

    /// Runs a command with this worker.
    fn run(&self, args: &[String]) -> Printed {
        let mut command = program(args);
        command.current_dir(&self.folder);
        printed(command.env("ROWFERRY_SERVER", lab().worker().rest().base()))
    }

    /// Runs the one command in the text that begins with these words, with more arguments; it succeeds.
    fn does(&self, start: &str, more: &[&str]) -> String {
        let start = words(start);
        let found = self
            .mentioned()
            .into_iter()
            .find(|args| args.starts_with(&start));
        let mut args = found.unwrap_or_else(|| panic!("no command {start:?}"));
        args.extend(more.iter().map(|word| (*word).to_owned()));
        let (out, errors, code) = self.run(&args);
        assert_eq!(code, Some(0), "{args:?}: {out}{errors}");
        out
    }

    /// Runs all commands of the blocks without a language; they succeed.
    fn does_blocks(&self) {
        for block in self.blocks("") {
            for line in block.lines().map(str::trim) {
                let line = line.strip_prefix("rowferry ").unwrap();
                let (line, to) = line.split_once(" > ").unwrap_or((line, ""));
                let (out, errors, code) = self.run(&words(line));
                assert_eq!(code, Some(0), "{line}: {out}{errors}");
                if !to.is_empty() {
                    std::fs::write(self.folder.join(to), out).unwrap();
                }
            }
        }
    }

    /// Writes the connector of a block as a file, with the keys of this run.
    fn write(&self, file: &str, block: &str, keys: &Value) -> Value {
        let mut connector: Value = serde_json::from_str(block).unwrap();
        let config = connector["config"].as_object_mut().unwrap();
        config.extend(keys.as_object().unwrap().clone());
        std::fs::write(self.folder.join(file), connector.to_string()).unwrap();
        connector
    }
}

/// The words of a command; quotes hold blanks together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (n, part) in line.split('\'').enumerate() {
        let mut pieces = if n % 2 == 0 {
            part.split(' ').collect()
        } else {
            vec![part]
        };
        words.last_mut().unwrap().push_str(pieces.remove(0));
        words.extend(pieces.into_iter().map(str::to_owned));
    }
    words.retain(|word| !word.is_empty());
    words
}

fn mariadb(database: &str) -> Value {
    json!({"connection.url": lab().mariadb().jdbc_url(database), "connection.user": MariaDb::USER,
        "connection.password": MariaDb::PASSWORD})
}

fn postgres(database: &str) -> Value {
    json!({"connection.url": lab().postgres().jdbc_url(database), "connection.user": Postgres::USER,
        "connection.password": Postgres::PASSWORD})
}

async fn rows_of(connection: &mut sqlx::PgConnection, sql: &str) -> Vec<Vec<Option<String>>> {
    // The table may not be there yet.
    if testkit::postgres::texts(
        connection,
        &format!(
            "SELECT 1 WHERE to_regclass('{}') IS NOT NULL",
            sql.split("FROM ")
                .nth(1)
                .and_then(|rest| rest.split(' ').next())
                .unwrap()
        ),
    )
    .await
    .is_empty()
    {
        return Vec::new();
    }
    testkit::postgres::texts(connection, sql).await
}

#[tokio::test]
async fn a_database_is_copied_and_kept_in_step_as_the_pages_say() {
    let shop = unique("shop");
    let page = Page::open("copy-a-database.md", &[("shop", &shop)]);
    let mut sql = lab().mariadb().create_database(&shop).await;
    run(&mut sql, "CREATE TABLE customers (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(30) NOT NULL);
        CREATE TABLE orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, customer INT, price DECIMAL(8,2));
        INSERT INTO customers (name) VALUES ('Ann'), ('Bob'); INSERT INTO orders (customer, price) VALUES (1, 1.5), (2, 20)").await;
    let copy = unique("page_copy");
    let mut target = lab().postgres().create_database(&copy).await;
    let blocks = page.blocks("json");
    page.write("source.json", &blocks[0], &mariadb(&shop));
    page.write("sink.json", &blocks[1], &postgres(&copy));
    page.does_blocks();
    page.does(&format!("progress {shop}-source"), &[]);
    page.does(&format!("progress {shop}-source --wait"), &[]);
    page.does(&format!("lag {shop}-sink"), &[]);
    let orders = format!("SELECT id, customer, price FROM {shop}_orders ORDER BY id");
    for_condition("the copy of both tables", SOON, async || {
        let customers = format!("SELECT name FROM {shop}_customers ORDER BY id");
        rows_of(&mut target, &customers).await.len() == 2
            && rows_of(&mut target, &orders).await.len() == 2
    })
    .await;
    let types = format!(
        "SELECT data_type FROM information_schema.columns WHERE table_name = '{shop}_orders' AND column_name = 'price'"
    );
    let types = testkit::postgres::texts(&mut target, &types).await;
    assert_eq!(
        types,
        [[Some("numeric".to_owned())]],
        "the types of the original"
    );

    let step = Page::open(
        "keep-two-in-step.md",
        &[("NAME", &format!("{shop}-source"))],
    );
    run(
        &mut sql,
        "INSERT INTO orders (customer, price) VALUES (1, 3)",
    )
    .await;
    for_condition("the new row", SOON, async || {
        rows_of(&mut target, &orders).await.len() == 3
    })
    .await;
    step.does("lag", &[]);
    step.does("top", &["--once"]);
    for name in ["source", "sink"] {
        lab()
            .worker()
            .rest()
            .remove(&format!("{shop}-{name}"))
            .await;
    }
}

const SCHEMA: &str = r#"{"type":"struct","fields":[{"field":"id","type":"int32"},{"field":"name","type":"string"}]}"#;

fn record(id: i32, name: &str) -> String {
    format!(r#"{{"schema":{SCHEMA},"payload":{{"id":{id},"name":"{name}"}}}}"#)
}

#[tokio::test]
async fn a_failed_sink_is_repaired_as_the_page_says() {
    let (name, topic) = (unique("page_sink"), unique("page_sink"));
    let (server, topics) = (lab().mariadb(), lab().kafka().topics());
    let mut sql = server.create_database(&name).await;
    run(
        &mut sql,
        "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(5))",
    )
    .await;
    topics.create(&topic, 1).await;
    let rest = lab().worker().rest();
    let mut config = mariadb(&name);
    let keys = json!({"connector.class": "JdbcSink", "topics": topic, "table.name.format": "t", "insert.mode": "upsert",
        "pk.mode": "record_value", "pk.fields": "id", "errors.deadletterqueue.topic.replication.factor": "1"});
    config
        .as_object_mut()
        .unwrap()
        .extend(keys.as_object().unwrap().clone());
    topics.produce(&topic, &[(None, Some(&record(1, "far too long")))]);
    rest.create(&name, &config).await;
    let failed = async |why: &str| {
        for_condition(why, SOON, async || {
            let status = rest.get(&format!("/connectors/{name}/status")).await.body;
            status["tasks"][0]["state"] == "FAILED"
        })
        .await;
    };
    failed("a value that is too long").await;
    // N is the offset after the record that is skipped.
    let page = Page::open(
        "my-sink-failed.md",
        &[
            ("NAME", &name),
            (" T ", &format!(" {topic} ")),
            ("offset N", "offset 2"),
        ],
    );

    let (out, errors, code) = page.run(&words(&format!("status {name}")));
    assert!(
        code == Some(1) && out.contains("partition 0") && out.contains("name"),
        "{out}{errors}"
    );
    assert!(
        !page.does("logs", &[]).contains("far"),
        "the log shows no values"
    );
    run(&mut sql, "ALTER TABLE t MODIFY name VARCHAR(50)").await;
    page.does("restart", &[]);
    for_condition("the row", SOON, async || {
        count(&mut sql, "SELECT COUNT(*) FROM t").await == 1
    })
    .await;

    topics.produce(&topic, &[(None, Some("no json"))]);
    failed("a record that is no JSON").await;
    page.does("offsets set", &["--yes"]);
    topics.produce(&topic, &[(None, Some(&record(2, "two")))]);
    for_condition("the row after it", SOON, async || {
        count(&mut sql, "SELECT COUNT(*) FROM t").await == 2
    })
    .await;

    topics.produce(
        &topic,
        &[
            (None, Some("no json either")),
            (None, Some(&record(3, "three"))),
        ],
    );
    failed("a record that is no JSON either").await;
    page.does("patch connector", &[]);
    for_condition("the others", SOON, async || {
        count(&mut sql, "SELECT COUNT(*) FROM t").await == 3
    })
    .await;
    let letters = Page::open("dead-letters.md", &[("NAME", &name), ("0:15", "0:0")]);
    assert!(letters.does("dlq list", &[]).contains(&topic));
    assert!(letters.does("dlq show", &[]).contains("no json either"));
    std::fs::write(letters.folder.join("corrected.json"), record(4, "four")).unwrap();
    letters.does(&format!("dlq replay {name} 0:0 --value"), &[]);
    for_condition("the corrected one", SOON, async || {
        count(&mut sql, "SELECT COUNT(*) FROM t").await == 4
    })
    .await;
    letters.does(&format!("dlq drop {name}"), &["--yes"]);
    page.does("progress", &[]);
    page.does("lag", &[]);
    page.does("tail", &["--once"]);
    rest.remove(&name).await;
}

#[tokio::test]
async fn a_connector_moves_from_another_worker_as_the_page_says() {
    let name = unique("page_moved");
    let base = lab().worker().rest().base().to_owned();
    let config = json!({"connector.class": "FileStreamSource", "file": lab().scratch().path().join(&name), "topic": name});
    let body = json!({"name": name, "config": config, "initial_state": "STOPPED"});
    lab()
        .worker()
        .rest()
        .post("/connectors", &body)
        .await
        .expect(201);
    let page = Page::open(
        "from-kafka-connect.md",
        &[("http://old:8083", &base), ("NAME", &name)],
    );
    page.does_blocks();
    lab().worker().rest().remove(&name).await;
    page.does("apply -f", &[]);
    let moved = lab()
        .worker()
        .rest()
        .get(&format!("/connectors/{name}/config"))
        .await
        .expect(200);
    assert_eq!(moved.body["connector.class"], "FileStreamSource");
    lab().worker().rest().remove(&name).await;
}

#[tokio::test]
async fn change_events_of_debezium_are_written_as_the_page_says() {
    let (shop, copy) = (unique("debezium"), unique("page_debezium"));
    let page = Page::open(
        "from-debezium.md",
        &[
            ("shop.public", &format!("{shop}.public")),
            ("orders-sink", &shop),
        ],
    );
    let topic = format!("{shop}.public.orders");
    let (topics, rest) = (lab().kafka().topics(), lab().worker().rest());
    topics.create(&topic, 1).await;
    let row = r#"{"type":"struct","optional":true,"fields":[{"field":"id","type":"int32","optional":false},{"field":"name","type":"string","optional":true}],"field":"PART"}"#;
    let schema = format!(
        r#"{{"type":"struct","name":"{topic}.Envelope","fields":[{},{},{{"field":"op","type":"string","optional":false}}]}}"#,
        row.replace("PART", "before"),
        row.replace("PART", "after")
    );
    let key = |id: i32| {
        format!(
            r#"{{"schema":{{"type":"struct","name":"{topic}.Key","fields":[{{"field":"id","type":"int32","optional":false}}]}},"payload":{{"id":{id}}}}}"#
        )
    };
    let event = |payload: &str| format!(r#"{{"schema":{schema},"payload":{payload}}}"#);
    let events: BTreeMap<usize, (String, Option<String>)> = [
        (
            key(1),
            Some(event(
                r#"{"before":null,"after":{"id":1,"name":"Ann"},"op":"c"}"#,
            )),
        ),
        (
            key(2),
            Some(event(
                r#"{"before":null,"after":{"id":2,"name":"Bob"},"op":"r"}"#,
            )),
        ),
        (
            key(1),
            Some(event(
                r#"{"before":{"id":1,"name":"Ann"},"after":{"id":1,"name":"Anna"},"op":"u"}"#,
            )),
        ),
        (
            key(2),
            Some(event(
                r#"{"before":{"id":2,"name":"Bob"},"after":null,"op":"d"}"#,
            )),
        ),
        (key(2), None),
    ]
    .into_iter()
    .enumerate()
    .collect();
    let records: Vec<_> = events
        .values()
        .map(|(key, value)| (Some(key.as_str()), value.as_deref()))
        .collect();
    topics.produce(&topic, &records);
    let mut sql = lab().mariadb().create_database(&copy).await;
    let block = page.blocks("json").remove(0);
    let connector = page.write("sink.json", &block, &mariadb(&copy));
    rest.post("/connectors", &connector).await.expect(201);
    let path = format!("/connectors/{shop}/offsets");
    for_condition("all events", SOON, async || {
        let offsets = rest.get(&path).await.body;
        offsets["offsets"][0]["offset"]["kafka_offset"].as_i64() == Some(5)
    })
    .await;
    let tables = testkit::mariadb::texts(&mut sql, "SHOW TABLES").await;
    let table = tables[0][0].clone().unwrap();
    let rows = testkit::mariadb::texts(&mut sql, &format!("SELECT id, name FROM `{table}`")).await;
    assert_eq!(
        rows,
        [[Some("1".to_owned()), Some("Anna".to_owned())]],
        "{table}"
    );
    rest.remove(&shop).await;
}

//! Tables that others change under a running task so that it must not write them, or that fail over something behind them.

use connector_api::{ErrorKind, Schema, SchemaType, Value};
use testkit::mariadb::{count, run};
use testkit::{for_condition, unique};

use super::{Database, Server, field, int, t};
use crate::sink::records::Topic;
use crate::{SOON, lab};

const MODES: [&[(&str, &str)]; 4] = [
    &[("insert.mode", "insert")],
    &[
        ("insert.mode", "upsert"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
    ],
    &[
        ("insert.mode", "update"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
    ],
    &[
        ("insert.mode", "statement"),
        ("statement", "INSERT INTO t (id, name) VALUES (:id, :name)"),
    ],
];

#[tokio::test]
async fn a_table_that_gets_an_engine_without_transactions_takes_no_row_of_a_running_task() {
    for keys in MODES {
        let mut database = Database::new(Server::MariaDb, keys).await;
        database
            .run("CREATE TABLE t (id INT, name VARCHAR(9))")
            .await;
        let update = keys[0].1 == "update";
        if update {
            database
                .run("INSERT INTO t VALUES (1, 'old'), (2, 'old')")
                .await;
        }
        let topic = Topic::new("t");
        let mut task = database.open(&topic, false, &[]).await;
        let fields = [int("id"), field("name", Schema::of(SchemaType::String))];
        let row = |id| topic.value(&fields, [Value::I32(id), t("new")]);
        task.put(&[row(1)], &topic.next()).await.unwrap();
        database.run("ALTER TABLE t ENGINE=MyISAM").await;
        let (second, next) = ([row(2)], topic.next());
        for _ in 0..2 {
            let error = task.put(&second, &next).await.unwrap_err();
            assert!(
                error.kind() == ErrorKind::Config
                    && error
                        .message()
                        .contains("has the storage engine MyISAM, which cannot roll back")
                    && error.message().contains("ENGINE=InnoDB"),
                "{keys:?}: {error}"
            );
            let names = database.rows("SELECT id FROM t WHERE name = 'new'").await;
            assert_eq!(names, ["1"], "{keys:?}");
        }
        database.run("ALTER TABLE t ENGINE=InnoDB").await;
        task.put(&second, &next).await.unwrap();
        let rows = database.rows("SELECT id, name FROM t ORDER BY id").await;
        assert_eq!(rows, ["1|new", "2|new"], "{keys:?}");
        task.close().await;
    }
}

#[tokio::test]
async fn a_table_that_a_trigger_misses_is_not_taken_for_the_sinks_own() {
    for keys in &MODES[..3] {
        let mut database = Database::new(Server::MariaDb, keys).await;
        database
            .run(
                "CREATE TABLE t (id INT, name VARCHAR(9)); CREATE TABLE audit (id INT); \
                 CREATE TRIGGER copy BEFORE INSERT ON t FOR EACH ROW INSERT INTO audit VALUES (NEW.id); \
                 CREATE TRIGGER again BEFORE UPDATE ON t FOR EACH ROW INSERT INTO audit VALUES (NEW.id); \
                 INSERT INTO t VALUES (1, 'old'); DROP TABLE audit",
            )
            .await;
        let topic = Topic::new("t");
        let fields = [int("id"), field("name", Schema::of(SchemaType::String))];
        let row = topic.value(&fields, [Value::I32(1), t("new")]);
        let error = database
            .put(&topic, &[std::slice::from_ref(&row)])
            .await
            .unwrap_err();
        assert!(
            error.kind() == ErrorKind::Record
                && error.message().contains(".audit' doesn't exist")
                && error.message().contains("trigger"),
            "{keys:?}: {:?} {error}",
            error.kind()
        );
        let mut task = database.open(&topic, true, &[]).await;
        let report = task
            .put(std::slice::from_ref(&row), &topic.next())
            .await
            .unwrap();
        assert_eq!(report.rejected.len(), 1, "{keys:?}");
        task.close().await;
        database.run("CREATE TABLE audit (id INT)").await;
        database.write(&topic, &[&[row]]).await;
        assert_eq!(
            database.rows("SELECT id FROM audit").await,
            ["1"],
            "{keys:?}"
        );
    }
}

/// The engine of a table is changed after the task has begun its transaction: that waits for it.
#[tokio::test]
async fn a_table_of_a_batch_keeps_its_engine_until_the_batch_is_committed() {
    let statement = "INSERT INTO a (id) VALUES (:id); INSERT INTO b (id) VALUES (:id)";
    for keys in [
        &[("insert.mode", "insert")][..],
        &[("insert.mode", "statement"), ("statement", statement)],
    ] {
        let mut database = Database::new(Server::MariaDb, keys).await;
        let lock = unique("held");
        database
            .run(&format!(
                "CREATE TABLE a (id INT); CREATE TABLE b (id INT); \
                 CREATE TRIGGER waits BEFORE INSERT ON a FOR EACH ROW SET @got = GET_LOCK('{lock}', 60); \
                 DO GET_LOCK('{lock}', 0)"
            ))
            .await;
        let (a, b) = (Topic::new("a"), Topic::new("b"));
        let mut task = database.open(&a, false, &[]).await;
        task.assign(&[a.partitions(), b.partitions()].concat())
            .await
            .unwrap();
        let row = |topic: &Topic| topic.value(&[int("id")], [Value::I32(1)]);
        let records = match keys.len() {
            1 => vec![row(&a), row(&b)],
            _ => vec![row(&a)],
        };
        let next = [a.next(), b.next()].concat();
        let name = database.name.clone();
        let mut other = lab().mariadb().connect(&name).await;
        let mut watcher = lab().mariadb().connect(&name).await;
        let state = |what: &str| {
            format!(
                "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = '{name}' AND STATE LIKE '{what}'"
            )
        };
        let put = async { task.put(&records, &next).await };
        let rest = async {
            for_condition("the first row to wait", SOON, async || {
                count(&mut watcher, &state("User lock")).await == 1
            })
            .await;
            let alter = run(&mut other, "ALTER TABLE b ENGINE=MyISAM");
            let release = async {
                for_condition("the change to wait", SOON, async || {
                    count(&mut watcher, &state("Waiting for table metadata lock")).await == 1
                })
                .await;
                database.run(&format!("DO RELEASE_LOCK('{lock}')")).await;
            };
            tokio::join!(alter, release)
        };
        let (outcome, _) = tokio::join!(put, rest);
        outcome.unwrap();
        for table in ["a", "b"] {
            let rows = database.rows(&format!("SELECT id FROM {table}")).await;
            assert_eq!(rows, ["1"], "{keys:?} {table}");
        }
        task.close().await;
    }
}

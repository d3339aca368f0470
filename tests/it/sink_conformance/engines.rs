//! Tables that others change under a running task so that it must not write them, or that fail over something behind them.

use connector_api::{ErrorKind, Schema, SchemaType, Value};

use super::{Database, Server, field, int, t};
use crate::sink::records::Topic;

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

//! EV: columns that are added.

use connector_api::{ErrorKind, Schema, SchemaType, SinkConnector, Value};
use connector_jdbc::sink::JdbcSink;

use super::{Database, Server, field, int, optional, preset, single, structure, t, text};
use crate::sink::database::ALL;
use crate::sink::records::{Topic, array};

const EVOLVE: [(&str, &str); 1] = [("auto.evolve", "true")];

#[tokio::test]
async fn columns_are_added_with_null_or_their_default() {
    for server in ALL {
        let mut database = Database::new(*server, &EVOLVE).await;
        database.run("CREATE TABLE t (id INT)").await;
        database.run("INSERT INTO t VALUES (0)").await;
        let topic = Topic::new("t");
        let level = field(
            "newcol2",
            preset(Schema::of(SchemaType::Int32), Value::I32(42)),
        );
        let fields = [int("id"), optional("newcol1", SchemaType::Int32), level];
        database
            .write(
                &topic,
                &[&[topic.value(&fields, [Value::I32(1), Value::Null, Value::I32(7)])]],
            )
            .await;
        assert_eq!(
            database
                .rows("SELECT id, newcol1, newcol2 FROM t ORDER BY id")
                .await,
            ["0|-|42", "1|-|7"]
        );
    }
}

#[tokio::test]
async fn a_table_that_the_sink_created_gains_columns_with_its_records() {
    for server in ALL {
        let mut database = Database::new(
            *server,
            &[
                &EVOLVE[..],
                &[("pk.mode", "record_key"), ("pk.fields", "id")],
            ]
            .concat(),
        )
        .await;
        let topic = Topic::new("books");
        let key = |id| single(Schema::of(SchemaType::Int64), Value::I64(id));
        let old = [text("author"), text("title")];
        let new = [
            &old[..],
            &[
                optional("year", SchemaType::Int32),
                field("review", preset(Schema::of(SchemaType::String), t(""))),
            ],
        ]
        .concat();
        let first = topic.record(key(1), structure(&old, [t("a"), t("b")]));
        let second = topic.record(
            key(2),
            structure(&new, [t("c"), t("d"), Value::I32(1999), t("good")]),
        );
        database.write(&topic, &[&[first], &[second]]).await;
        let select = "SELECT id, author, year, review FROM books ORDER BY id";
        assert_eq!(database.rows(select).await, ["1|a|-|", "2|c|1999|good"]);
        assert_eq!(
            database.names("books").await,
            ["author", "title", "id", "year", "review"]
        );
    }
}

#[tokio::test]
async fn a_column_is_added_to_a_table_that_existed_before() {
    for server in ALL {
        let mut database = Database::new(*server, &EVOLVE).await;
        database
            .run("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20))")
            .await;
        let topic = Topic::new("t");
        let fields = [
            int("id"),
            text("name"),
            optional("email", SchemaType::String),
        ];
        database
            .write(
                &topic,
                &[&[topic.value(&fields, [Value::I32(1), t("a"), t("a@b.c")])]],
            )
            .await;
        assert_eq!(
            database.rows("SELECT id, name, email FROM t").await,
            ["1|a|a@b.c"]
        );
    }
}

#[tokio::test]
async fn names_that_differ_only_in_letter_case_are_the_same_column() {
    for server in ALL {
        let mut database = Database::new(*server, &EVOLVE).await;
        let quoted = if *server == Server::MariaDb {
            "`aAa` INT, `BbB` INT"
        } else {
            "\"aAa\" INT, \"BbB\" INT"
        };
        database.run(&format!("CREATE TABLE t ({quoted})")).await;
        let topic = Topic::new("t");
        database
            .write(
                &topic,
                &[&[topic.value(&[int("AaA"), int("bBb")], [1, 2].map(Value::I32))]],
            )
            .await;
        assert_eq!(database.names("t").await, ["aAa", "BbB"]);
        assert_eq!(database.rows("SELECT * FROM t").await, ["1|2"]);
    }
}

#[tokio::test]
async fn fields_that_differ_only_in_letter_case_are_columns_or_a_refused_record() {
    for server in ALL {
        for made in [false, true] {
            let mut database = Database::new(*server, &EVOLVE).await;
            if made {
                database.run("CREATE TABLE t (id INT)").await;
            }
            let topic = Topic::new("t");
            let two = [
                optional("ID", SchemaType::Int32),
                optional("id", SchemaType::Int32),
            ];
            let row = topic.value(&two, [2, 1].map(Value::I32));
            let written = database.put(&topic, &[&[row]]).await;
            if *server == Server::Postgres {
                written.unwrap();
                assert_eq!(
                    database.rows("SELECT id, \"ID\" FROM t").await,
                    ["1|2"],
                    "{made}"
                );
                continue;
            }
            let error = written.unwrap_err();
            let says = "the fields ID and id differ in letter case only";
            assert!(
                error.kind() == ErrorKind::Record
                    && error.message().contains(says)
                    && error.message().contains("field.exclude.list=id"),
                "{server} {made}: {error}"
            );
            let row = topic.value(&two[1..], [Value::I32(1)]);
            database.write(&topic, &[&[row]]).await;
            assert_eq!(database.rows("SELECT id FROM t").await, ["1"]);
        }
    }
}

#[tokio::test]
async fn a_column_of_another_letter_case_takes_one_of_two_fields_at_most() {
    let mut database = Database::new(Server::Postgres, &[]).await;
    database.run("CREATE TABLE t (id INT)").await;
    let topic = Topic::new("t");
    for (names, missing) in [(["id", "ID"], "name='ID'"), (["Id", "ID"], "name='Id'")] {
        let fields = names.map(|name| optional(name, SchemaType::Int32));
        let row = topic.value(&fields, [1, 2].map(Value::I32));
        let error = database.put(&topic, &[&[row]]).await.unwrap_err();
        assert!(
            error.kind() == ErrorKind::Record
                && error.message().contains("is missing fields")
                && error.message().contains(missing),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_required_field_without_default_is_not_added() {
    for server in ALL {
        let mut database = Database::new(*server, &EVOLVE).await;
        database.run("CREATE TABLE t (id INT)").await;
        let topic = Topic::new("t");
        let row = topic.value(&[int("id"), int("needed")], [1, 2].map(Value::I32));
        let error = database.put(&topic, &[&[row]]).await.unwrap_err();
        let reported = "to add missing field SinkRecordField{schema=Schema{INT32}, name='needed', isPrimaryKey=false}, as the \
                    field is not optional and does not have a default value";
        assert!(
            error.kind() == ErrorKind::Record && error.message().contains(reported),
            "{error}"
        );
        assert_eq!(database.names("t").await, ["id"]);
    }
}

#[tokio::test]
async fn array_columns_are_added_on_postgres() {
    let mut database = Database::new(Server::Postgres, &EVOLVE).await;
    database.run("CREATE TABLE t (id INT)").await;
    let topic = Topic::new("t");
    let list = Value::Array([Value::I32(1)].into());
    database
        .write(
            &topic,
            &[&[topic.value(
                &[int("id"), array("n", SchemaType::Int32)],
                [Value::I32(1), list],
            )]],
        )
        .await;
    assert_eq!(
        database.columns("t").await,
        ["id integer NULL", "n integer[] NULL"]
    );
}

#[tokio::test]
async fn the_column_of_plain_texts_is_added() {
    let keys = [
        &EVOLVE[..],
        &[("string.output.value.column.name", "payload")],
    ]
    .concat();
    for server in ALL {
        let mut database = Database::new(*server, &keys).await;
        database.run("CREATE TABLE t (id INT)").await;
        let topic = Topic::new("t");
        let row = topic.record(
            connector_api::Datum::NONE,
            single(Schema::of(SchemaType::String), t("x")),
        );
        database.write(&topic, &[&[row]]).await;
        assert_eq!(database.rows("SELECT id, payload FROM t").await, ["-|x"]);
    }
}

#[tokio::test]
async fn a_task_without_auto_create_does_not_start_without_its_tables() {
    for server in ALL {
        let mut database = Database::new(
            *server,
            &[("schema.evolution", "validate-only"), ("topics", "t")],
        )
        .await;
        let Err(error) = JdbcSink.open(&database.config, false).await else {
            panic!("it started")
        };
        assert!(
            error.kind() == ErrorKind::Config
                && error.message().contains("Could not find table: t"),
            "{error}"
        );
        assert!(!database.has("t").await);
        database.run("CREATE TABLE t (id INT)").await;
        let topic = Topic::new("t");
        database
            .write(&topic, &[&[topic.value(&[int("id")], [Value::I32(1)])]])
            .await;
        assert_eq!(database.rows("SELECT id FROM t").await, ["1"]);
    }
}

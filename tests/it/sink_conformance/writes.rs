//! UD: rows that are written.

use std::sync::Arc;

use connector_api::{Datum, ErrorKind, Header, Schema, SchemaType, Value};

use super::{Database, Server, decimal, field, id_key, int, optional, preset, structure, t, text};
use crate::sink::database::ALL;
use crate::sink::records::{Topic, array};

/// Upsert by the value's `id`.
const BY_ID: [(&str, &str); 3] = [
    ("insert.mode", "upsert"),
    ("pk.mode", "record_value"),
    ("pk.fields", "id"),
];

#[tokio::test]
async fn an_upsert_changes_the_row_of_its_key_and_a_record_of_key_fields_alone_changes_nothing() {
    let keys = [
        ("insert.mode", "upsert"),
        ("pk.mode", "record_value"),
        ("pk.fields", "actor_id"),
    ];
    for server in ALL {
        let mut database = Database::new(*server, &keys).await;
        let topic = Topic::new("actor");
        let names = [
            optional("first_name", SchemaType::String),
            optional("last_name", SchemaType::String),
        ];
        let fields = [
            &[int("actor_id")],
            &names[..],
            &[optional("score", SchemaType::Int32)],
        ]
        .concat();
        let row = |name: &str, score| {
            topic.value(&fields, [Value::I32(1), t(name), t("x"), Value::I32(score)])
        };
        // a lone key needs columns that may be absent
        let lone = topic.value(&[int("actor_id")], [Value::I32(1)]);
        database
            .write(&topic, &[&[row("a", 1)], &[row("b", 2)], &[lone]])
            .await;
        assert_eq!(
            database
                .rows("SELECT actor_id, first_name, score FROM actor")
                .await,
            ["1|b|2"]
        );
        let mut database = Database::new(
            *server,
            &[("insert.mode", "upsert"), ("pk.mode", "record_value")],
        )
        .await;
        let pair = || topic.value(&[int("id"), text("name")], [Value::I32(1), t("a")]);
        database.write(&topic, &[&[pair()], &[pair()]]).await;
        assert_eq!(database.rows("SELECT id, name FROM actor").await, ["1|a"]);
    }
}

#[tokio::test]
async fn each_insert_mode_writes_a_batch() {
    let fields = [int("id"), text("name"), int("n")];
    for server in ALL {
        for (mode, want) in [
            ("insert", vec!["1|Alice|100", "2|Bob|200"]),
            (
                "upsert",
                vec!["0|old|0", "1|Alice Updated|150", "2|Bob|200"],
            ),
            ("update", vec!["0|Zero|5"]),
        ] {
            let mut database =
                Database::new(*server, &[&BY_ID[1..], &[("insert.mode", mode)]].concat()).await;
            database
                .run("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(50), n INT)")
                .await;
            let topic = Topic::new("t");
            let row =
                |id, name: &str, n| topic.value(&fields, [Value::I32(id), t(name), Value::I32(n)]);
            if mode != "insert" {
                database.run("INSERT INTO t VALUES (0, 'old', 0)").await;
            }
            let batch = match mode {
                "insert" => vec![row(1, "Alice", 100), row(2, "Bob", 200)],
                "upsert" => vec![
                    row(1, "Alice", 100),
                    row(2, "Bob", 200),
                    row(1, "Alice Updated", 150),
                ],
                _ => vec![row(0, "Zero", 5), row(9, "Nobody", 9)],
            };
            database.write(&topic, &[&batch]).await;
            assert_eq!(
                database.rows("SELECT id, name, n FROM t ORDER BY id").await,
                want,
                "{server:?} {mode}"
            );
        }
    }
}

#[tokio::test]
async fn topic_partition_and_offset_are_written() {
    for server in ALL {
        let mut database = Database::new(*server, &[("pk.mode", "kafka")]).await;
        database
            .run(
                "CREATE TABLE t (__connect_topic VARCHAR(50), __connect_partition INT, __connect_offset BIGINT, id INT, \
                 PRIMARY KEY (__connect_topic, __connect_partition, __connect_offset))",
            )
            .await;
        let topic = Topic::new("t");
        database
            .write(&topic, &[&[topic.value(&[int("id")], [Value::I32(7)])]])
            .await;
        let select = "SELECT __connect_topic, __connect_partition, __connect_offset, id FROM t";
        assert_eq!(database.rows(select).await, ["t|0|0|7"]);
    }
}

#[tokio::test]
async fn only_the_listed_fields_are_written() {
    for server in ALL {
        for (keys, want) in [
            ([("fields.whitelist", "id,name")], "1|a|-"),
            ([("field.include.list", "id,t:name")], "1|a|-"),
            ([("field.include.list", "id,other:name")], "1|-|-"),
            ([("field.exclude.list", "email")], "1|a|-"),
            ([("field.exclude.list", "t:name,other:email")], "1|-|e"),
        ] {
            let mut database = Database::new(*server, &keys).await;
            database
                .run("CREATE TABLE t (id INT, name VARCHAR(10), email VARCHAR(10))")
                .await;
            let topic = Topic::new("t");
            let row = topic.value(
                &[int("id"), text("name"), text("email")],
                [Value::I32(1), t("a"), t("e")],
            );
            database.write(&topic, &[&[row]]).await;
            assert_eq!(
                database.rows("SELECT id, name, email FROM t").await,
                [want],
                "{keys:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_same_record_twice_is_one_row() {
    for server in ALL {
        for (mode, fields) in [("record_key", ""), ("record_value", "id"), ("kafka", "")] {
            let keys = [
                ("insert.mode", "upsert"),
                ("pk.mode", mode),
                ("pk.fields", fields),
            ];
            let mut database = Database::new(*server, &keys).await;
            let topic = Topic::new("t");
            let one = topic.record(
                id_key(1),
                structure(&[int("id"), text("name")], [Value::I32(1), t("a")]),
            );
            database.write(&topic, &[&[one.clone(), one]]).await;
            assert_eq!(
                database.rows("SELECT COUNT(*) FROM t").await,
                ["1"],
                "{server:?} {mode}"
            );
        }
    }
}

#[tokio::test]
async fn an_insert_of_an_existing_key_fails_and_the_batch_is_rolled_back() {
    for server in ALL {
        let mut database = Database::new(*server, &[("pk.mode", "record_key")]).await;
        let topic = Topic::new("t");
        let row = |name: &str| topic.record(id_key(1), structure(&[text("name")], [t(name)]));
        let error = database
            .put(&topic, &[&[row("a"), row("b")]])
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Record, "{error}");
        assert_eq!(database.rows("SELECT COUNT(*) FROM t").await, ["0"]);
    }
}

#[tokio::test]
async fn equal_records_without_key_are_all_written() {
    let fields = [
        field("i8", Schema::of(SchemaType::Int8)),
        field("i16", Schema::of(SchemaType::Int16)),
        int("i32"),
        field("i64", Schema::of(SchemaType::Int64)),
        field("f32", Schema::of(SchemaType::Float32)),
        field("f64", Schema::of(SchemaType::Float64)),
        field("yes", Schema::of(SchemaType::Boolean)),
        text("txt"),
        field("raw", Schema::of(SchemaType::Bytes)),
        field("amount", Schema::decimal(3)),
        field("d", Schema::date()),
        field("tm", Schema::time()),
        field("ts", Schema::timestamp()),
    ];
    let values = [
        Value::I8(i8::MIN),
        Value::I16(i16::MAX),
        Value::I32(i32::MIN),
        Value::I64(i64::MAX),
        Value::F32(0.5),
        Value::F64(-1.0e300),
        Value::Bool(true),
        t("é😀"),
        Value::Bytes([0, 255].into()),
        decimal("1234.567"),
        Value::I32(19_000),
        Value::I32(1),
        Value::I64(1_700_000_000_123),
    ];
    for server in ALL {
        let mut database = Database::new(*server, &[]).await;
        let topic = Topic::new("t");
        let batch: Vec<_> = (0..80)
            .map(|_| topic.record(Datum::NONE, structure(&fields, values.clone())))
            .collect();
        database.write(&topic, &[&batch]).await;
        let (raw, yes) = match server {
            Server::MariaDb | Server::Sqlite => ("HEX(raw)", "yes"),
            Server::Postgres => ("upper(encode(raw,'hex'))", "yes::int"),
        };
        let select = format!(
            "SELECT i8,i16,i32,i64,f32,f64,{yes},txt,{raw},amount,d,ts,COUNT(*) FROM t GROUP BY 1,2,3,4,5,6,7,8,9,10,11,12"
        );
        let seen = database.rows(&select).await;
        let f64_text = match server {
            Server::MariaDb => "-1e300",
            Server::Postgres => "-1e+300",
            Server::Sqlite => "-1.0e+300",
        };
        let want = format!(
            "-128|32767|-2147483648|9223372036854775807|0.5|{f64_text}|1|é😀|00FF|1234.567|2022-01-08|2023-11-14 22:13:20.123|80"
        );
        assert_eq!(seen, [want]);
    }
}

#[tokio::test]
async fn records_of_two_schemas_share_a_batch() {
    for server in ALL {
        let mut database = Database::new(*server, &[("auto.evolve", "true")]).await;
        let topic = Topic::new("t");
        let a = |id| topic.value(&[int("id")], [Value::I32(id)]);
        let b = |id| {
            topic.value(
                &[int("id"), optional("extra", SchemaType::String)],
                [Value::I32(id), t("x")],
            )
        };
        database
            .write(&topic, &[&[a(1), a(2), a(3), b(4), a(5)]])
            .await;
        assert_eq!(
            database.rows("SELECT id, extra FROM t ORDER BY id").await,
            ["1|-", "2|-", "3|-", "4|x", "5|-"]
        );
    }
}

#[tokio::test]
async fn absent_values_are_null() {
    for server in ALL {
        let mut database = Database::new(
            *server,
            &[("pk.mode", "record_value"), ("pk.fields", "a,b")],
        )
        .await;
        database
            .run("CREATE TABLE t (a VARCHAR(10), b VARCHAR(10), n INT, d DOUBLE PRECISION, PRIMARY KEY (a, b))")
            .await;
        let topic = Topic::new("t");
        let fields = [
            text("a"),
            text("b"),
            optional("n", SchemaType::Int32),
            optional("d", SchemaType::Float64),
        ];
        database
            .write(
                &topic,
                &[&[topic.value(&fields, [t("x"), t("y"), Value::Null, Value::Null])]],
            )
            .await;
        assert_eq!(database.rows("SELECT a, b, n, d FROM t").await, ["x|y|-|-"]);
    }
}

#[tokio::test]
async fn the_last_record_of_a_key_in_a_batch_wins() {
    for server in ALL {
        let mut database = Database::new(*server, &BY_ID).await;
        let topic = Topic::new("t");
        let row =
            |id, name: &str| topic.value(&[int("id"), text("name")], [Value::I32(id), t(name)]);
        let batch = [row(1, "v1"), row(1, "v2"), row(2, "Charlie"), row(1, "v3")];
        database.write(&topic, &[&batch]).await;
        assert_eq!(
            database.rows("SELECT id, name FROM t ORDER BY id").await,
            ["1|v3", "2|Charlie"]
        );
    }
}

#[tokio::test]
async fn equal_records_without_key_are_not_deduplicated() {
    for server in ALL {
        let mut database = Database::new(*server, &[]).await;
        let topic = Topic::new("t");
        let row = || topic.value(&[int("id")], [Value::I32(1)]);
        database.write(&topic, &[&[row(), row()]]).await;
        assert_eq!(database.rows("SELECT COUNT(*) FROM t").await, ["2"]);
    }
}

#[tokio::test]
async fn an_update_of_a_missing_row_creates_the_table_and_no_row() {
    for server in ALL {
        let mut database = Database::new(
            *server,
            &[("insert.mode", "update"), ("pk.mode", "record_key")],
        )
        .await;
        let topic = Topic::new("t");
        database
            .write(
                &topic,
                &[&[topic.record(id_key(1), structure(&[text("name")], [t("a")]))]],
            )
            .await;
        assert_eq!(database.rows("SELECT COUNT(*) FROM t").await, ["0"]);
    }
}

#[tokio::test]
async fn a_null_stays_null_where_defaults_must_not_replace_it() {
    for (replace, want) in [("false", "1|-"), ("true", "1|x")] {
        for server in ALL {
            let mut database =
                Database::new(*server, &[("replace.null.with.default", replace)]).await;
            let topic = Topic::new("t");
            let name = field(
                "name",
                preset(Schema::of(SchemaType::String).optional(true), t("x")),
            );
            database
                .write(
                    &topic,
                    &[&[topic.value(&[int("id"), name], [Value::I32(1), Value::Null])]],
                )
                .await;
            assert_eq!(database.rows("SELECT id, name FROM t").await, [want]);
        }
    }
}

#[tokio::test]
async fn texts_and_lists_are_written_into_types_of_postgres() {
    let mut database = Database::new(Server::Postgres, &[]).await;
    database
        .run("CREATE TABLE t (u uuid, j json, b jsonb, n int[], s text[])")
        .await;
    let topic = Topic::new("t");
    let fields = [
        text("u"),
        text("j"),
        text("b"),
        array("n", SchemaType::Int32),
        array("s", SchemaType::String),
    ];
    let values = [
        t("6f1d6f5e-0f2e-4b53-8d9b-0d3c1a6b7c11"),
        t("{\"a\": 1}"),
        t("{\"a\": 1}"),
        Value::Array([10, 6221].map(Value::I32).into()),
        Value::Array([t("a,b"), t("c\"d")].into()),
    ];
    database
        .write(&topic, &[&[topic.value(&fields, values)]])
        .await;
    let want =
        "6f1d6f5e-0f2e-4b53-8d9b-0d3c1a6b7c11|{\"a\": 1}|{\"a\": 1}|{10,6221}|{\"a,b\",\"c\\\"d\"}";
    assert_eq!(database.rows("SELECT u, j, b, n, s FROM t").await, [want]);
}

/// Many rows share a statement that takes whole columns; one alone has one of its own.
#[tokio::test]
async fn rows_of_every_type_of_postgres_are_the_same_written_together_or_alone() {
    const COLUMNS: &[(&str, &str)] = &[
        ("uuid", "6f1d6f5e-0f2e-4b53-8d9b-0d3c1a6b7c11"),
        ("json", "{\"a\": \"it's \\\\ \\\"quoted\\\"\"}"),
        ("jsonb", "[1, null]"),
        ("smallint", "-32768"),
        ("bigint", "9223372036854775807"),
        ("numeric", "12345678901234567890.123456789"),
        ("numeric(6,2)", "1234.565"),
        ("real", "0.1"),
        ("double precision", "NaN"),
        ("money", "12.34"),
        ("boolean", "true"),
        ("char(3)", "a"),
        ("varchar(9)", "{,\"\\é😀"),
        ("text", "NULL"),
        ("name", "n"),
        ("date", "0001-01-01 BC"),
        ("time(3)", "23:59:59.9996"),
        ("timetz", "12:00:00+05:30"),
        ("timestamp", "infinity"),
        ("timestamptz", "2024-02-29 12:00:00.123456+01"),
        ("interval", "1 year -2 days 3:04:05"),
        ("inet", "10.0.0.0/8"),
        ("macaddr", "08:00:2b:01:02:03"),
        ("bit(4)", "1010"),
        ("varbit", "101"),
        ("point", "(1,2)"),
        ("box", "(3,4),(1,2)"),
        ("int4range", "[1,5)"),
        ("tsvector", "'a':1 'b'"),
        ("mood", "it's, \"fine\""),
        ("positive", "7"),
        ("int[]", "{1,NULL,3}"),
        ("text[]", "{\"a,b\",\"NULL\",NULL}"),
        ("box[]", "{(3,4),(1,2);(1,1),(0,0)}"),
        ("int[][]", "{{1,2},{3,4}}"),
    ];
    let mut database = Database::new(Server::Postgres, &[]).await;
    database.run("CREATE TYPE mood AS ENUM ('it''s, \"fine\"'); CREATE DOMAIN positive AS INT CHECK (VALUE > 0)").await;
    let columns: Vec<_> = COLUMNS
        .iter()
        .enumerate()
        .map(|(n, column)| format!("c{n} {}", column.0))
        .collect();
    let fields: Vec<_> = (0..COLUMNS.len())
        .map(|n| optional(&format!("c{n}"), SchemaType::String))
        .collect();
    let topic = Topic::new("t");
    let row = |full: bool| {
        let value = |column: &(&str, &str)| if full { t(column.1) } else { Value::Null };
        topic.record(
            Datum::NONE,
            structure(&fields, COLUMNS.iter().map(value).collect::<Vec<_>>()),
        )
    };
    let batch = [row(true), row(false), row(true)];
    for table in ["together", "alone"] {
        database
            .run(&format!("CREATE TABLE {table} ({})", columns.join(", ")))
            .await;
        database.config.set("table.name.format", table);
        database.config.set("name", table);
        if table == "together" {
            database.write(&topic, &[&batch]).await;
        } else {
            database
                .write(
                    &topic,
                    &batch.iter().map(std::slice::from_ref).collect::<Vec<_>>(),
                )
                .await;
        }
    }
    let (together, alone) = (
        database.rows("SELECT r::text FROM together r").await,
        database.rows("SELECT r::text FROM alone r").await,
    );
    assert_eq!(together, alone);
    assert!(
        together.len() == 3 && together[0] == together[2] && together[0] != together[1],
        "{together:?}"
    );
    assert!(
        together[0].contains("1234.57") && together[0].contains("2024-02-29"),
        "{together:?}"
    );
}

/// Rules do not see rows that are copied in.
#[tokio::test]
async fn the_rules_of_a_table_of_postgres_are_obeyed() {
    let mut database = Database::new(Server::Postgres, &[]).await;
    database
        .run("CREATE TABLE t (id INT); CREATE TABLE log (id INT)")
        .await;
    database
        .run("CREATE RULE noted AS ON INSERT TO t DO ALSO INSERT INTO log VALUES (NEW.id)")
        .await;
    let topic = Topic::new("t");
    let batch = [1, 2, 3].map(|id| topic.value(&[int("id")], [Value::I32(id)]));
    database.write(&topic, &[&batch]).await;
    assert_eq!(
        database
            .rows("SELECT t.id FROM t JOIN log USING (id) ORDER BY id")
            .await,
        ["1", "2", "3"]
    );
}

#[tokio::test]
async fn dates_in_utc_keep_their_day() {
    for server in ALL {
        let keys = [
            ("db.timezone", "America/New_York"),
            ("date.timezone", "UTC"),
        ];
        let mut database = Database::new(*server, &keys).await;
        let topic = Topic::new("t");
        database
            .write(
                &topic,
                &[&[topic.value(&[field("d", Schema::date())], [Value::I32(0)])]],
            )
            .await;
        assert_eq!(database.rows("SELECT d FROM t").await, ["1970-01-01"]);
    }
}

#[tokio::test]
async fn rows_are_written_through_a_view() {
    let mut database = Database::new(Server::Postgres, &[("table.types", "VIEW")]).await;
    database.run("CREATE TABLE base (id INT, name TEXT, n INT); CREATE VIEW t AS SELECT id, name, n FROM base").await;
    let topic = Topic::new("t");
    let whole = topic.value(
        &[int("id"), text("name"), int("n")],
        [Value::I32(1), t("a"), Value::I32(2)],
    );
    let part = topic.value(&[int("id")], [Value::I32(2)]);
    database.write(&topic, &[&[whole, part]]).await;
    assert_eq!(
        database
            .rows("SELECT id, name, n FROM base ORDER BY id")
            .await,
        ["1|a|2", "2|-|-"]
    );
}

#[tokio::test]
async fn headers_and_the_place_in_kafka_are_columns_beside_the_value() {
    let keys = [
        ("headers.columns", "trace,tenant:tenant_id"),
        ("kafka.columns", "topic:src,offset,timestamp:written_at"),
    ];
    for server in ALL {
        let mut database = Database::new(*server, &keys).await;
        let topic = Topic::new("t");
        let mut record = topic.value(&[int("id")], [Value::I32(1)]);
        let header = |key: &str, value: &str| Header {
            key: key.into(),
            datum: Datum::new(Arc::new(Schema::of(SchemaType::String)), t(value)),
        };
        record.record.headers = vec![header("tenant", "a"), header("tenant", "b")];
        database.write(&topic, &[&[record]]).await;
        let names = [
            "id",
            "src",
            "__connect_offset",
            "written_at",
            "trace",
            "tenant_id",
        ];
        assert_eq!(database.names("t").await, names);
        let select = "SELECT id, src, __connect_offset, trace, tenant_id FROM t";
        assert_eq!(database.rows(select).await, ["1|t|0|-|b"]);
    }
}

#[tokio::test]
async fn headers_can_be_the_key() {
    let keys = [
        ("insert.mode", "upsert"),
        ("pk.mode", "record_header"),
        ("pk.fields", "id"),
    ];
    for server in ALL {
        let mut database = Database::new(*server, &keys).await;
        let topic = Topic::new("t");
        let row = |id: &str, n| {
            let mut record = topic.value(&[int("n")], [Value::I32(n)]);
            let datum = Datum::new(Arc::new(Schema::of(SchemaType::String)), t(id));
            record.record.headers = vec![Header {
                key: "id".into(),
                datum,
            }];
            record
        };
        database
            .write(&topic, &[&[row("a", 1), row("b", 2), row("a", 3)]])
            .await;
        assert_eq!(database.key("t").await, ["id"]);
        assert_eq!(
            database.rows("SELECT id, n FROM t ORDER BY id").await,
            ["a|3", "b|2"]
        );
    }
}

//! DD: tables that the sink makes.

use connector_api::{Decimal, Schema, SchemaType, Value};

use super::{
    Database, Server, decimal, event, field, id_key, int, optional, preset, single, structure, t,
    text,
};
use crate::sink::database::{ALL, SERVERS};
use crate::sink::records::{Topic, array};

#[tokio::test]
async fn a_table_has_types_nullability_defaults_and_key_of_its_schema() {
    let fields = [
        int("c1"),
        field("c2", Schema::of(SchemaType::Int64)),
        text("c3"),
        optional("c4", SchemaType::String),
        field("c5", preset(Schema::date(), Value::I32(11_396))),
        field("c6", preset(Schema::time(), Value::I32(0))),
        field(
            "c7",
            preset(Schema::timestamp(), Value::I64(984_614_400_000)),
        ),
        field("c8", Schema::decimal(4).optional(true)),
        field(
            "c9",
            preset(Schema::of(SchemaType::Boolean), Value::Bool(true)),
        ),
    ];
    let values = [
        Value::I32(1),
        Value::I64(2),
        t("x"),
        Value::Null,
        Value::I32(0),
        Value::I32(0),
        Value::I64(0),
    ];
    let values: Vec<_> = values
        .into_iter()
        .chain([Value::Null, Value::Bool(false)])
        .collect();
    for server in SERVERS {
        let mut database =
            Database::new(*server, &[("pk.mode", "record_value"), ("pk.fields", "c1")]).await;
        let topic = Topic::new("t");
        database
            .write(
                &topic,
                &[&[topic.record(
                    connector_api::Datum::NONE,
                    structure(&fields, values.clone()),
                )]],
            )
            .await;
        let want: &[&str] = match server {
            Server::MariaDb => &[
                "c1 int(11) NOT NULL",
                "c2 bigint(20) NOT NULL",
                "c3 text NOT NULL",
                "c4 text NULL",
                "c5 date NULL DEFAULT '2001-03-15'",
                "c6 time(3) NULL DEFAULT '00:00:00.000'",
                "c7 datetime(3) NULL DEFAULT '2001-03-15 00:00:00.000'",
                "c8 decimal(65,4) NULL",
                "c9 tinyint(4) NULL DEFAULT 1",
            ],
            _ => &[
                "c1 integer NOT NULL",
                "c2 bigint NOT NULL",
                "c3 text NOT NULL",
                "c4 text NULL",
                "c5 date NULL DEFAULT '2001-03-15'::date",
                "c6 time without time zone NULL DEFAULT '00:00:00'::time without time zone",
                "c7 timestamp without time zone NULL DEFAULT '2001-03-15 00:00:00'::timestamp without time zone",
                "c8 numeric NULL",
                "c9 boolean NULL DEFAULT true",
            ],
        };
        assert_eq!(database.columns("t").await, want);
        assert_eq!(database.key("t").await, ["c1"]);
    }
}

#[tokio::test]
async fn a_key_struct_of_two_fields_is_a_primary_key_of_two_columns() {
    for server in ALL {
        let mut database = Database::new(
            *server,
            &[("pk.mode", "record_value"), ("pk.fields", "pk1,pk2")],
        )
        .await;
        let topic = Topic::new("t");
        let row = topic.value(
            &[int("pk1"), int("pk2"), int("col1")],
            [1, 2, 3].map(Value::I32),
        );
        database.write(&topic, &[&[row]]).await;
        assert!(
            database
                .columns("t")
                .await
                .iter()
                .all(|column| column.ends_with(" NOT NULL"))
        );
        assert_eq!(database.key("t").await, ["pk1", "pk2"]);
    }
}

#[tokio::test]
async fn every_type_has_its_column() {
    let types = [
        (
            Schema::of(SchemaType::Int8),
            Value::I8(1),
            "tinyint(4)",
            "smallint",
        ),
        (
            Schema::of(SchemaType::Int16),
            Value::I16(1),
            "smallint(6)",
            "smallint",
        ),
        (
            Schema::of(SchemaType::Int32),
            Value::I32(1),
            "int(11)",
            "integer",
        ),
        (
            Schema::of(SchemaType::Int64),
            Value::I64(1),
            "bigint(20)",
            "bigint",
        ),
        (
            Schema::of(SchemaType::Float32),
            Value::F32(1.5),
            "float",
            "real",
        ),
        (
            Schema::of(SchemaType::Float64),
            Value::F64(1.5),
            "double",
            "double precision",
        ),
        (
            Schema::of(SchemaType::Boolean),
            Value::Bool(true),
            "tinyint(4)",
            "boolean",
        ),
        (Schema::of(SchemaType::String), t("x"), "text", "text"),
        (
            Schema::of(SchemaType::Bytes),
            Value::Bytes([1].into()),
            "varbinary(1024)",
            "bytea",
        ),
        (
            Schema::decimal(2),
            decimal("1.25"),
            "decimal(65,2)",
            "numeric",
        ),
        (Schema::date(), Value::I32(1), "date", "date"),
        (
            Schema::time(),
            Value::I32(1),
            "time(3)",
            "time without time zone",
        ),
        (
            Schema::timestamp(),
            Value::I64(1),
            "datetime(3)",
            "timestamp without time zone",
        ),
    ];
    for server in SERVERS {
        let mut database = Database::new(*server, &[]).await;
        let topic = Topic::new("t");
        let fields: Vec<_> = types
            .iter()
            .enumerate()
            .map(|(n, of)| field(&format!("f{n}"), of.0.clone()))
            .collect();
        let values: Vec<_> = types.iter().map(|of| of.1.clone()).collect();
        database
            .write(
                &topic,
                &[&[topic.record(connector_api::Datum::NONE, structure(&fields, values))]],
            )
            .await;
        let name = |of: &(Schema, Value, &'static str, &'static str)| match server {
            Server::MariaDb => of.2,
            _ => of.3,
        };
        let want: Vec<_> = types
            .iter()
            .enumerate()
            .map(|(n, of)| format!("f{n} {} NOT NULL", name(of)))
            .collect();
        assert_eq!(database.columns("t").await, want);
    }
    let mut database = Database::new(Server::Postgres, &[]).await;
    let topic = Topic::new("t");
    let list = Value::Array([Value::I8(1), Value::Null].into());
    database
        .write(
            &topic,
            &[&[topic.value(&[array("a", SchemaType::Int8)], [list])]],
        )
        .await;
    assert_eq!(database.columns("t").await, ["a smallint[] NULL"]);
    assert_eq!(database.rows("SELECT a::text FROM t").await, ["{1,NULL}"]);
}

#[tokio::test]
async fn a_missing_table_is_created_and_filled() {
    for server in ALL {
        let mut database = Database::new(*server, &[]).await;
        let topic = Topic::new("t");
        let fields = [
            int("id"),
            text("name"),
            field("amount", Schema::of(SchemaType::Float64)),
        ];
        database
            .write(
                &topic,
                &[&[topic.value(&fields, [Value::I32(1), t("Alice"), Value::F64(99.99)])]],
            )
            .await;
        assert_eq!(
            database.rows("SELECT id, name, amount FROM t").await,
            ["1|Alice|99.99"]
        );
        assert!(database.key("t").await.is_empty());
    }
}

#[tokio::test]
async fn names_that_are_not_quoted_are_folded_on_postgres() {
    for (quoting, table) in [("never", "testtopic"), ("always", "TestTopic")] {
        let mut database =
            Database::new(Server::Postgres, &[("quote.sql.identifiers", quoting)]).await;
        let topic = Topic::new("TestTopic");
        database
            .write(&topic, &[&[topic.value(&[int("id")], [Value::I32(1)])]])
            .await;
        assert!(database.has(table).await, "{quoting}");
    }
}

#[tokio::test]
async fn columns_keep_the_order_of_the_value_and_then_of_names() {
    for server in ALL {
        let mut database =
            Database::new(*server, &[("pk.mode", "record_value"), ("pk.fields", "f4")]).await;
        let topic = Topic::new("t");
        let row = topic.value(
            &["f4", "f2", "f1", "f3"].map(int),
            [1, 2, 3, 4].map(Value::I32),
        );
        database.write(&topic, &[&[row]]).await;
        assert_eq!(database.names("t").await, ["f4", "f2", "f1", "f3"]);
        let mut database = Database::new(*server, &[("pk.mode", "record_key")]).await;
        let key = structure(&["f1", "f3", "f2"].map(int), [1, 2, 3].map(Value::I32));
        let row = topic.record(key, structure(&[int("v")], [Value::I32(1)]));
        database.write(&topic, &[&[row]]).await;
        assert_eq!(database.names("t").await, ["v", "f1", "f2", "f3"]);
    }
}

#[tokio::test]
async fn topic_partition_and_offset_are_the_key_with_pk_mode_kafka() {
    for server in ALL {
        for (names, want) in [
            (
                "",
                [
                    "__connect_topic",
                    "__connect_partition",
                    "__connect_offset",
                    "id",
                ],
            ),
            (
                "the_topic,the_partition,the_offset",
                ["id", "the_offset", "the_partition", "the_topic"],
            ),
        ] {
            let mut database =
                Database::new(*server, &[("pk.mode", "kafka"), ("pk.fields", names)]).await;
            let topic = Topic::new("t");
            database
                .write(&topic, &[&[topic.value(&[int("id")], [Value::I32(1)])]])
                .await;
            assert_eq!(database.names("t").await, want);
            assert_eq!(database.key("t").await.len(), 3);
            assert!(
                database
                    .columns("t")
                    .await
                    .iter()
                    .all(|column| column.ends_with(" NOT NULL"))
            );
        }
    }
}

#[tokio::test]
async fn every_type_is_read_back_with_a_time_zone() {
    let keys = [("pk.mode", "kafka"), ("db.timezone", "America/Los_Angeles")];
    for server in ALL {
        let mut database = Database::new(*server, &keys).await;
        let topic = Topic::part("t", 1);
        for _ in 0..42 {
            topic.value(&[int("n")], [Value::I32(0)]);
        }
        let fields = [
            text("first"),
            field("bool", Schema::of(SchemaType::Boolean)),
            field("short", Schema::of(SchemaType::Int16)),
            field("byte", Schema::of(SchemaType::Int8)),
            field("long", Schema::of(SchemaType::Int64)),
            field("float", Schema::of(SchemaType::Float32)),
            field("double", Schema::of(SchemaType::Float64)),
            field("modified", Schema::timestamp()),
        ];
        let values = [
            t("Christina"),
            Value::Bool(true),
            Value::I16(8),
            Value::I8(3),
            Value::I64(4_242_424_242),
            Value::F32(2356.25),
            Value::F64(-2_436_546.56),
            Value::I64(1_474_661_402_123),
        ];
        database
            .write(&topic, &[&[topic.value(&fields, values)]])
            .await;
        let select = match server {
            Server::MariaDb | Server::Sqlite => {
                "SELECT __connect_partition, __connect_offset, `first`, `bool`, `short`, `byte`, `long`, \
                                `float`, `double`, modified FROM t"
            }
            Server::Postgres => {
                "SELECT __connect_partition, __connect_offset, \"first\", bool::int, short, byte, long, \
                                 float, double, modified FROM t"
            }
        };
        let want = "1|42|Christina|1|8|3|4242424242|2356.25|-2436546.56|2016-09-23 13:10:02.123";
        assert_eq!(database.rows(select).await, [want], "{server:?}");
    }
}

#[tokio::test]
async fn a_deletion_as_first_record_creates_the_whole_table() {
    for server in ALL {
        let mut database = Database::new(
            *server,
            &[("delete.enabled", "true"), ("pk.mode", "record_key")],
        )
        .await;
        let topic = Topic::new("t");
        let gone = event(&topic, 1, "d", Some(vec![Value::I32(1), t("a")]), None);
        database.write(&topic, &[&[gone]]).await;
        assert_eq!(database.names("t").await, ["id", "name"]);
        assert_eq!(database.rows("SELECT COUNT(*) FROM t").await, ["0"]);
    }
}

#[tokio::test]
async fn defaults_are_part_of_the_table() {
    for server in ALL {
        let mut database = Database::new(*server, &[]).await;
        let topic = Topic::new("t");
        let fields = [
            int("id"),
            field("n", preset(Schema::of(SchemaType::Int32), Value::I32(5))),
            field("d", preset(Schema::decimal(1), decimal("1.5"))),
            field(
                "s",
                preset(Schema::of(SchemaType::String), t("it's \\ 50%")),
            ),
        ];
        let row = topic.value(
            &fields,
            [Value::I32(1), Value::Null, Value::Null, Value::Null],
        );
        database.write(&topic, &[&[row]]).await;
        database.run("INSERT INTO t (id) VALUES (2)").await;
        let want = ["1|5|1.5|it's \\ 50%", "2|5|1.5|it's \\ 50%"];
        assert_eq!(
            database.rows("SELECT id, n, d, s FROM t ORDER BY id").await,
            want
        );
    }
}

/// The parameters with which Debezium carries a column's type.
fn of_source(schema: Schema, ty: &str, length: Option<&str>) -> Schema {
    let schema = schema.param("__debezium.source.column.type", ty);
    length.map_or(schema.clone(), |length| {
        schema.param("__debezium.source.column.length", length)
    })
}

#[tokio::test]
async fn small_integers_are_as_wide_as_their_values() {
    let mut database = Database::new(Server::MariaDb, &[]).await;
    let topic = Topic::new("t");
    let fields = [
        field(
            "a",
            of_source(Schema::of(SchemaType::Int8), "TINYINT", None),
        ),
        field(
            "b",
            of_source(Schema::of(SchemaType::Int16), "TINYINT", None),
        ),
        field(
            "c",
            of_source(Schema::of(SchemaType::Int16), "TINYINT UNSIGNED", None),
        ),
    ];
    database
        .write(
            &topic,
            &[&[topic.value(&fields, [Value::I8(100), Value::I16(255), Value::I16(255)])]],
        )
        .await;
    let want = [
        "a tinyint(4) NOT NULL",
        "b smallint(6) NOT NULL",
        "c tinyint(3) unsigned NOT NULL",
    ];
    assert_eq!(database.columns("t").await, want);
    assert_eq!(
        database.rows("SELECT a, b, c FROM t").await,
        ["100|255|255"]
    );
}

#[tokio::test]
async fn enums_and_sets_with_quotes_and_commas_in_their_items() {
    let mut database = Database::new(Server::MariaDb, &[]).await;
    let topic = Topic::new("t");
    let items = |schema: Schema, items: &str| schema.param("allowed", items);
    let fields = [
        field(
            "e",
            items(
                of_source(Schema::of(SchemaType::String), "ENUM", None),
                "a\\,b,it's,back\\\\slash",
            ),
        ),
        field(
            "s",
            items(
                of_source(Schema::of(SchemaType::String), "SET", None),
                "x,it's,back\\\\slash",
            ),
        ),
    ];
    database
        .write(
            &topic,
            &[&[topic.value(&fields, [t("a,b"), t("it's,back\\slash")])]],
        )
        .await;
    let columns = database.columns("t").await;
    assert!(
        columns[0].starts_with("e enum('a,b','it''s',")
            && columns[1].starts_with("s set('x','it''s',"),
        "{columns:?}"
    );
    assert_eq!(
        database.rows("SELECT e, s FROM t").await,
        ["a,b|it's,back\\slash"]
    );
}

#[tokio::test]
async fn bits_of_several_bytes_keep_their_order() {
    let mut database = Database::new(Server::MariaDb, &[]).await;
    let topic = Topic::new("t");
    let bits = |length: &str| {
        let schema = Schema {
            name: Some("io.debezium.data.Bits".into()),
            ..Schema::of(SchemaType::Bytes)
        };
        of_source(schema.param("length", length), "BIT", Some(length))
    };
    let fields = [field("a", bits("9")), field("b", bits("64"))];
    let values = [
        Value::Bytes([0x55, 0x01].into()),
        Value::Bytes([0xff; 8].into()),
    ];
    database
        .write(&topic, &[&[topic.value(&fields, values)]])
        .await;
    assert_eq!(
        database.columns("t").await,
        ["a bit(9) NOT NULL", "b bit(64) NOT NULL"]
    );
    assert_eq!(
        database.rows("SELECT a+0, b+0 FROM t").await,
        ["341|18446744073709551615"]
    );
}

#[tokio::test]
async fn characters_of_topics_that_no_table_name_has_become_underscores() {
    let keys = [
        ("table.name.format", "kafka_topic_${topic}"),
        ("table.name.normalize", "true"),
    ];
    for server in ALL {
        let mut database = Database::new(*server, &keys).await;
        for (topic, table) in [
            ("--some_topic", "kafka_topic___some_topic"),
            (
                "this.is.topic.with.dots",
                "kafka_topic_this_is_topic_with_dots",
            ),
            ("orders_topic_#3", "kafka_topic_orders_topic__3"),
        ] {
            let topic = Topic::new(topic);
            database
                .write(&topic, &[&[topic.value(&[int("id")], [Value::I32(1)])]])
                .await;
            assert!(database.has(table).await, "{table}");
        }
    }
}

#[tokio::test]
async fn topics_are_mapped_to_tables() {
    for server in ALL {
        let mut database = Database::new(
            *server,
            &[("topics.to.tables.mapping", "some_topic:same_table")],
        )
        .await;
        let topic = Topic::new("some_topic");
        database
            .write(&topic, &[&[topic.value(&[int("id")], [Value::I32(1)])]])
            .await;
        assert!(database.has("same_table").await && !database.has("some_topic").await);
        let other = Topic::new("other");
        let error = database
            .put(&other, &[&[other.value(&[int("id")], [Value::I32(1)])]])
            .await
            .unwrap_err();
        assert!(
            error.message().contains("not in topics.to.tables.mapping"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_plain_text_is_a_row_of_one_column() {
    for server in ALL {
        let mut database =
            Database::new(*server, &[("string.output.value.column.name", "payload")]).await;
        let topic = Topic::new("t");
        let row = topic.record(
            id_key(1),
            single(Schema::of(SchemaType::String), t("hello world")),
        );
        database.write(&topic, &[&[row]]).await;
        assert_eq!(database.names("t").await, ["payload"]);
        assert_eq!(
            database.rows("SELECT payload FROM t").await,
            ["hello world"]
        );
    }
}

#[tokio::test]
async fn a_name_that_is_too_long_is_cut_and_found_again() {
    let mut database = Database::new(Server::Postgres, &[]).await;
    let topic = Topic::new(&"t".repeat(80));
    let row = |id| topic.value(&[int("id")], [Value::I32(id)]);
    database.write(&topic, &[&[row(1)]]).await;
    database.write(&topic, &[&[row(2)]]).await;
    let select = format!("SELECT id FROM {} ORDER BY id", "t".repeat(63));
    assert_eq!(database.rows(&select).await, ["1", "2"]);
}

#[tokio::test]
async fn a_decimal_of_unknown_precision_keeps_all_digits_in_a_new_table() {
    for server in ALL {
        let mut database = Database::new(*server, &[]).await;
        let topic = Topic::new("t");
        // the second as PostgreSQL's numeric without a scale
        let unbounded = Schema::decimal(127).param("connect.decimal.precision", "0");
        let fields = [field("a", Schema::decimal(2)), field("b", unbounded)];
        let far = Decimal::parse("1.5")
            .and_then(|n| n.rescaled(127))
            .expect("a scale");
        let values = [
            decimal("123456789012345678.90"),
            Value::Decimal(Box::new(far)),
        ];
        database
            .write(&topic, &[&[topic.value(&fields, values)]])
            .await;
        let rows = database.rows("SELECT a, b FROM t").await;
        assert!(
            rows[0].starts_with("123456789012345678.90|1.5"),
            "{server}: {rows:?}"
        );
        if *server == Server::Sqlite {
            assert_eq!(rows, ["123456789012345678.90|1.5"]);
        }
    }
}

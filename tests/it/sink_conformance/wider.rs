//! Columns that are made wider, types that records carry, and tasks that change one table together.

use connector_api::{ErrorKind, Schema, SchemaType, Value, logical};

use super::{Database, Server, decimal, field, int, optional, t, text};
use crate::sink::database::SERVERS;
use crate::sink::records::{self, Topic};

const WIDEN: [(&str, &str); 1] = [("auto.evolve", "widen")];

#[tokio::test]
async fn columns_grow_with_the_schemas_of_their_records() {
    for server in SERVERS {
        let mut database = Database::new(*server, &WIDEN).await;
        let float = if *server == Server::MariaDb {
            "FLOAT"
        } else {
            "REAL"
        };
        database
            .run(&format!(
                "CREATE TABLE t (i INT NOT NULL DEFAULT 5, s SMALLINT, f {float}, d DECIMAL(5,1), n INT NOT NULL, \
                 old INT NOT NULL)"
            ))
            .await;
        database
            .run("INSERT INTO t (s, f, d, n, old) VALUES (1, 0.5, 1.5, 1, 1)")
            .await;
        let topic = Topic::new("t");
        let fields = [
            field("i", Schema::of(SchemaType::Int64)),
            field("s", Schema::of(SchemaType::Int32)),
            field("f", Schema::of(SchemaType::Float64)),
            field("d", Schema::decimal(3).param(logical::PRECISION, "9")),
            optional("n", SchemaType::Int32),
        ];
        let values = [
            Value::I64(1 << 40),
            Value::I32(100_000),
            Value::F64(0.1),
            decimal("123456.789"),
            Value::Null,
        ];
        database
            .write(&topic, &[&[topic.value(&fields, values)]])
            .await;
        let want: &[&str] = match server {
            Server::MariaDb => &[
                "i bigint(20) NOT NULL DEFAULT 5",
                "s int(11) NULL",
                "f double NULL",
                "d decimal(9,3) NULL",
                "n int(11) NULL",
                "old int(11) NULL",
            ],
            _ => &[
                "i bigint NOT NULL DEFAULT 5",
                "s integer NULL",
                "f double precision NULL",
                "d numeric(9,3) NULL",
                "n integer NULL",
                "old integer NULL",
            ],
        };
        assert_eq!(database.columns("t").await, want);
        let rows = database
            .rows("SELECT i, s, f, d, n, old FROM t ORDER BY i")
            .await;
        assert_eq!(
            rows,
            [
                "5|1|0.5|1.500|1|1",
                "1099511627776|100000|0.1|123456.789|-|-"
            ]
        );
    }
}

#[tokio::test]
async fn columns_grow_with_the_length_of_values() {
    let long = "é".repeat(70_000);
    for server in SERVERS {
        let mut database = Database::new(*server, &WIDEN).await;
        database
            .run("CREATE TABLE t (id INT, a VARCHAR(5), b TEXT)")
            .await;
        let topic = Topic::new("t");
        let fields = [
            int("id"),
            text("a"),
            text("b"),
            field("raw", Schema::of(SchemaType::Bytes).optional(true)),
        ];
        let row = |id, a: &str, b: &str, raw: usize| {
            topic.value(
                &fields,
                [
                    Value::I32(id),
                    t(a),
                    t(b),
                    Value::Bytes(vec![7; raw].into()),
                ],
            )
        };
        database
            .write(
                &topic,
                &[
                    &[row(1, "fits", "x", 1), row(2, "fits not", &long, 2000)],
                    &[row(3, &long, "", 70_000)],
                ],
            )
            .await;
        let octets = if *server == Server::MariaDb {
            "LENGTH"
        } else {
            "octet_length"
        };
        let select =
            format!("SELECT id, CHAR_LENGTH(a), CHAR_LENGTH(b), {octets}(raw) FROM t ORDER BY id");
        assert_eq!(
            database.rows(&select).await,
            ["1|4|1|1", "2|8|70000|2000", "3|70000|0|70000"]
        );
        let columns = database.columns("t").await;
        match server {
            Server::MariaDb => assert_eq!(
                columns[1..],
                ["a longtext NULL", "b longtext NULL", "raw longblob NULL"]
            ),
            _ => assert_eq!(columns[1..3], ["a text NULL", "b text NULL"]),
        }
    }
}

#[tokio::test]
async fn nothing_grows_unless_it_is_asked_for() {
    let mut database = Database::new(Server::MariaDb, &[("auto.evolve", "true")]).await;
    database.run("CREATE TABLE t (a VARCHAR(5) NOT NULL)").await;
    let topic = Topic::new("t");
    let error = database
        .put(
            &topic,
            &[&[topic.value(&[text("a")], [t("much too long")])]],
        )
        .await
        .unwrap_err();
    assert!(
        error.kind() == ErrorKind::Record && error.message().contains("'a'"),
        "{error}"
    );
    assert_eq!(database.columns("t").await, ["a varchar(5) NOT NULL"]);
}

#[tokio::test]
async fn four_tasks_create_extend_and_widen_one_table_together() {
    for server in SERVERS {
        let mut database = Database::new(*server, &WIDEN).await;
        let tasks: Vec<_> = (0..4)
            .map(|partition| {
                let config = database.config.clone();
                tokio::spawn(async move {
                    let topic = Topic::part("t", partition);
                    let mut task = records::open(&config, false).await;
                    task.assign(&topic.partitions()).await.unwrap();
                    for round in 0..6 {
                        let extra = optional(["a", "b", "c"][round % 3], SchemaType::String);
                        let ty = if round < 3 {
                            SchemaType::Int32
                        } else {
                            SchemaType::Int64
                        };
                        let id = if round < 3 {
                            Value::I32(1)
                        } else {
                            Value::I64(1 << 40)
                        };
                        let row = [field("id", Schema::of(ty)), extra];
                        let batch = [topic.value(&row, [id, t(&"x".repeat(20_000 * round))])];
                        while let Err(error) = task.put(&batch, &topic.next()).await {
                            assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                        }
                    }
                    task.close().await;
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(
            database.rows("SELECT COUNT(*), MAX(id) FROM t").await,
            ["24|1099511627776"],
            "{server:?}"
        );
    }
}

#[tokio::test]
async fn numbers_grow_with_the_digits_before_their_point() {
    for server in SERVERS {
        let mut database = Database::new(*server, &WIDEN).await;
        database
            .run("CREATE TABLE t (id INT, d DECIMAL(10,2), e DECIMAL(5,1), s SMALLINT, i INT)")
            .await;
        database
            .run("INSERT INTO t VALUES (0, 12345678.25, 9999.9, -32768, 2147483647)")
            .await;
        let topic = Topic::new("t");
        // no schema says how many digits its values have
        let fields = [
            int("id"),
            field("d", Schema::decimal(4)),
            field("e", Schema::decimal(1)),
            field("s", Schema::of(SchemaType::String)),
            field("i", Schema::of(SchemaType::Float64)),
        ];
        let row = |id, d, e, s, i| {
            let values = [Value::I32(id), decimal(d), decimal(e), t(s), Value::F64(i)];
            topic.value(&fields, values)
        };
        database
            .write(
                &topic,
                &[
                    &[
                        row(1, "87654321.1234", "1.5", "1", 1.0),
                        row(2, "-123456789012345.6789", "12345.5", "40000", 1.0),
                    ],
                    &[row(3, "0.0001", "-99999.9", "-1", 9e15)],
                ],
            )
            .await;
        let (wide, long) = match server {
            Server::MariaDb => ("decimal", ["mediumint(9)", "bigint(20)"]),
            _ => ("numeric", ["integer", "bigint"]),
        };
        assert_eq!(
            database.columns("t").await[1..],
            [
                format!("d {wide}(19,4) NULL"),
                format!("e {wide}(6,1) NULL"),
                format!("s {} NULL", long[0]),
                format!("i {} NULL", long[1]),
            ]
        );
        assert_eq!(
            database
                .rows("SELECT id, d, e, s, i FROM t ORDER BY id")
                .await,
            [
                "0|12345678.2500|9999.9|-32768|2147483647",
                "1|87654321.1234|1.5|1|1",
                "2|-123456789012345.6789|12345.5|40000|1",
                "3|0.0001|-99999.9|-1|9000000000000000",
            ]
        );
    }
}

#[tokio::test]
async fn a_decimal_that_has_the_most_digits_already_keeps_those_before_its_point() {
    for (server, ty, whole) in [
        (Server::MariaDb, "DECIMAL(65,2)", 63),
        (Server::Postgres, "NUMERIC(1000,2)", 998),
    ] {
        let mut database = Database::new(server, &WIDEN).await;
        database.run(&format!("CREATE TABLE t (d {ty})")).await;
        let digits = "9".repeat(whole);
        database
            .run(&format!("INSERT INTO t VALUES ({digits}.25)"))
            .await;
        let topic = Topic::new("t");
        let row = topic.value(&[field("d", Schema::decimal(4))], [decimal("1.2500")]);
        database.write(&topic, &[&[row]]).await;
        let seen = database
            .rows("SELECT CAST(d AS CHAR(70)) FROM t ORDER BY d DESC")
            .await;
        let old: String = format!("{digits}.25").chars().take(70).collect();
        let new = if server == Server::MariaDb {
            "1.25"
        } else {
            "1.2500"
        };
        assert_eq!(seen.len(), 2);
        assert!(
            old.starts_with(seen[0].trim_end_matches(['2', '5', '.'])),
            "{seen:?}"
        );
        assert_eq!(seen[1].trim_end(), new);
    }
}

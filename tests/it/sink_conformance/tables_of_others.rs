//! Tables that somebody else has made: with types of a schema of their own, and with columns that the database computes.

use connector_api::{Datum, Schema, SchemaType, Value};

use super::{Database, Server, field, int, structure, t};
use crate::sink::database::ALL;
use crate::sink::records::Topic;
use crate::source_conformance::SHADOWS;

const MODES: [&[(&str, &str)]; 3] = [
    &[("insert.mode", "insert"), ("pk.mode", "none")],
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
];

#[tokio::test]
async fn types_of_a_schema_outside_the_search_path_are_written() {
    for keys in MODES {
        let mut database = Database::new(Server::Postgres, keys).await;
        for sql in [
            r#"CREATE SCHEMA "My Types""#,
            r#"CREATE TYPE "My Types"."Mood" AS ENUM ('sad', 'well')"#,
            r#"CREATE TYPE "My Types".pair AS (a int, b text)"#,
            r#"CREATE DOMAIN "My Types".kind AS "My Types"."Mood""#,
            r#"CREATE TYPE "My Types".span AS RANGE (subtype = float8)"#,
            r#"CREATE TABLE t (id INT PRIMARY KEY, mood "My Types"."Mood", kind "My Types".kind, pair "My Types".pair,
               span "My Types".span)"#,
        ] {
            database.run(sql).await;
        }
        if keys[0].1 == "update" {
            database.run("INSERT INTO t (id) VALUES (1), (2)").await;
        }
        let topic = Topic::new("t");
        let fields: Vec<_> = ["mood", "kind", "pair", "span"]
            .map(|name| field(name, Schema::of(SchemaType::String)))
            .into();
        let fields = [vec![int("id")], fields].concat();
        let row = |id: i32| {
            topic.value(
                &fields,
                [Value::I32(id), t("well"), t("sad"), t("(7,x)"), t("[1,2)")],
            )
        };
        // several records, so that statements of many rows are used too
        database.put(&topic, &[&[row(1), row(2)]]).await.unwrap();
        let seen = database
            .rows("SELECT mood || ' ' || kind || ' ' || pair::text || ' ' || span::text FROM t")
            .await;
        assert_eq!(seen, ["well sad (7,x) [1,2)"; 2], "{keys:?}");
    }
}

#[tokio::test]
async fn types_and_functions_named_like_the_systems_are_not_taken_for_them() {
    for keys in MODES {
        for own in [true, false] {
            let mut database = Database::new(
                Server::Postgres,
                &[keys, &[("auto.create", "true")]].concat(),
            )
            .await;
            database.run(SHADOWS).await;
            let url = format!("{}?currentSchema=x,pg_catalog", database.url);
            database.config.set("connection.url", url);
            let (date, text) = if own {
                ("x.date", "x.text")
            } else {
                ("pg_catalog.date", "pg_catalog.text")
            };
            if own || keys[0].1 == "update" {
                database
                    .run(&format!(
                        "CREATE TABLE x.t (id INT PRIMARY KEY, d {date}, s {text}, u x.uuid)"
                    ))
                    .await;
                database
                    .run(
                        "INSERT INTO x.t (id) SELECT n FROM generate_series(1, 2) n WHERE '{mode}' = 'update'"
                            .replace("{mode}", keys[0].1)
                            .as_str(),
                    )
                    .await;
            }
            let topic = Topic::new("t");
            let day = if own {
                Schema::of(SchemaType::String)
            } else {
                Schema::date()
            };
            let fields = [
                int("id"),
                field("d", day),
                field("s", Schema::of(SchemaType::String)),
                int("u"),
            ];
            let day = if own { t("(7,y)") } else { Value::I32(1) };
            let row = |id: i32| {
                topic.value(
                    &fields,
                    [Value::I32(id), day.clone(), t("one"), Value::I32(7)],
                )
            };
            database.put(&topic, &[&[row(1), row(2)]]).await.unwrap();
            let seen = database
                .rows("SELECT d::pg_catalog.text || ' ' || s::pg_catalog.text || ' ' || u::pg_catalog.text FROM x.t")
                .await;
            let want = if own {
                "(7,y) one 7"
            } else {
                "1970-01-02 one 7"
            };
            assert_eq!(seen, [want; 2], "{keys:?} {own}");
        }
    }
}

#[tokio::test]
async fn columns_that_the_database_computes_are_left_to_it() {
    for server in ALL {
        for keys in MODES {
            let mut database = Database::new(*server, keys).await;
            database
                .run("CREATE TABLE t (id INT PRIMARY KEY, a INT, twice INT GENERATED ALWAYS AS (a * 2) STORED)")
                .await;
            if keys[0].1 == "update" {
                database.run("INSERT INTO t (id) VALUES (1), (2)").await;
            }
            let topic = Topic::new("t");
            let fields = [int("id"), int("a"), int("twice")];
            let row = |id, a| topic.value(&fields, [Value::I32(id), Value::I32(a), Value::I32(99)]);
            database
                .put(&topic, &[&[row(1, 4), row(2, 5)]])
                .await
                .unwrap();
            assert_eq!(
                database.rows("SELECT twice FROM t ORDER BY id").await,
                ["8", "10"],
                "{server} {keys:?}"
            );
        }
    }
}

#[tokio::test]
async fn bits_of_debezium_make_a_column_of_bits() {
    for (server, shown) in [
        (Server::MariaDb, "CONCAT(b9+0, ' ', b64+0)"),
        (
            Server::Postgres,
            "b9::INT || ' ' || (b64 = CAST(-9223372036854775803 AS BIT(64)))",
        ),
    ] {
        debezium_bits(server, shown).await;
    }
}

async fn debezium_bits(server: Server, shown: &str) {
    let mut database = Database::new(server, MODES[1]).await;
    let topic = Topic::new("t");
    let bits = |length: &str| {
        let named = Schema {
            name: Some("io.debezium.data.Bits".into()),
            ..Schema::of(SchemaType::Bytes)
        };
        named.param("length", length)
    };
    let fields = [int("id"), field("b9", bits("9")), field("b64", bits("64"))];
    let low_first = |n: u64, bytes: usize| Value::Bytes(n.to_le_bytes()[..bytes].into());
    let record = topic.value(
        &fields,
        [
            Value::I32(1),
            low_first(341, 2),
            low_first((1 << 63) + 5, 8),
        ],
    );
    database.put(&topic, &[&[record]]).await.unwrap();
    let want = match server {
        Server::Postgres => "341 true",
        _ => "341 9223372036854775813",
    };
    let seen = database.rows(&format!("SELECT {shown} FROM t")).await;
    assert_eq!(seen, [want]);
}

/// Of a table `t (id INT PRIMARY KEY, a INT, b INT NOT NULL DEFAULT 0)` that has taken a record with `id` and `a`: what
/// somebody does to it (MariaDB, PostgreSQL, SQLite), and the columns that the next record has besides `id`.
const CHANGES: &[([&str; 3], &[&str])] = &[
    (["ALTER TABLE t ADD c INT"; 3], &["a", "c"]),
    (
        ["ALTER TABLE t ADD c INT NOT NULL DEFAULT 5"; 3],
        &["a", "c"],
    ),
    (["ALTER TABLE t RENAME COLUMN a TO c"; 3], &["c"]),
    (["ALTER TABLE t DROP COLUMN b"; 3], &["a"]),
    (
        ["DROP TABLE t; CREATE TABLE t (c BIGINT, id BIGINT PRIMARY KEY)"; 3],
        &["c"],
    ),
    (
        [
            "ALTER TABLE t MODIFY a BIGINT, ADD c INT",
            "ALTER TABLE t ALTER a TYPE BIGINT, ADD c INT",
            "ALTER TABLE t RENAME TO o; CREATE TABLE t (id INT PRIMARY KEY, a TEXT, c INT)",
        ],
        &["a", "c"],
    ),
];

#[tokio::test]
async fn a_table_that_somebody_changes_takes_the_next_record_that_fits_it() {
    for (n, server) in ALL.iter().enumerate() {
        for keys in &MODES[..2] {
            for tolerate in [false, true] {
                for (sql, columns) in CHANGES {
                    let mut database = Database::new(*server, keys).await;
                    database
                        .run("CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT NOT NULL DEFAULT 0)")
                        .await;
                    let topic = Topic::new("t");
                    let no_ddl = [("auto.create", "false"), ("auto.evolve", "false")];
                    let mut task = database.open(&topic, tolerate, &no_ddl).await;
                    let row = |id: i32, names: &[&str]| {
                        let fields: Vec<_> = std::iter::once("id")
                            .chain(names.iter().copied())
                            .map(int)
                            .collect();
                        let values = std::iter::once(id)
                            .chain(names.iter().map(|_| 7))
                            .map(Value::I32);
                        topic.record(Datum::NONE, structure(&fields, values.collect::<Vec<_>>()))
                    };
                    task.put(&[row(1, &["a"])], &topic.next()).await.unwrap();
                    database.run(sql[n]).await;
                    let case = format!("{server} {keys:?} tolerate {tolerate}: {}", sql[n]);
                    let report = task
                        .put(&[row(2, columns), row(3, columns)], &topic.next())
                        .await;
                    let rejected = report
                        .unwrap_or_else(|error| panic!("{case}: {error}"))
                        .rejected;
                    assert!(rejected.is_empty(), "{case}: {rejected:?}");
                    let sql = format!(
                        "SELECT COUNT(*) FROM t WHERE id > 1 AND {} = 7",
                        columns.join(" = 7 AND ")
                    );
                    assert_eq!(database.rows(&sql).await, ["2"], "{case}");
                    task.close().await;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_table_that_is_made_by_hand_later_is_found_after_records_were_refused() {
    for server in ALL {
        let mut database = Database::new(*server, &[("auto.create", "false")]).await;
        let topic = Topic::new("t");
        let mut task = database.open(&topic, true, &[]).await;
        let row = |id| topic.value(&[int("id")], [Value::I32(id)]);
        let refused = task.put(&[row(1)], &topic.next()).await.unwrap().rejected;
        assert_eq!(refused.len(), 1, "{server}");
        database.run("CREATE TABLE t (id INT)").await;
        let refused = task
            .put(&[row(2), row(3)], &topic.next())
            .await
            .unwrap()
            .rejected;
        assert!(refused.is_empty(), "{server}: {refused:?}");
        // what does not fit is refused as before, and nothing of the others is lost
        let wrong = topic.value(&[int("id"), int("more")], [Value::I32(4), Value::I32(4)]);
        let refused = task
            .put(&[row(5), wrong, row(6)], &topic.next())
            .await
            .unwrap()
            .rejected;
        assert_eq!(
            refused.iter().map(|r| r.index).collect::<Vec<_>>(),
            [1],
            "{server}"
        );
        assert_eq!(
            database.rows("SELECT id FROM t ORDER BY id").await,
            ["2", "3", "5", "6"],
            "{server}"
        );
        task.close().await;
    }
}

#[tokio::test]
async fn debeziums_types_in_lists_are_converted() {
    let named = |name: &str, ty| Schema {
        name: Some(name.into()),
        ..Schema::of(ty)
    };
    let number = || {
        let fields = vec![int("scale"), field("value", Schema::of(SchemaType::Bytes))];
        Schema::structure(Some("io.debezium.data.VariableScaleDecimal"), fields).optional(true)
    };
    let exact = |scale: i32, unscaled: i32| {
        Value::Struct(
            [
                Value::I32(scale),
                Value::Bytes(unscaled.to_be_bytes().into()),
            ]
            .into(),
        )
    };
    let list = |items: Vec<Value>| Value::Array(items.into());
    let fields = [
        int("id"),
        field("numbers", Schema::array(number())),
        field("grid", Schema::array(Schema::array(number()))),
        field(
            "days",
            Schema::array(named("io.debezium.time.Date", SchemaType::Int32)),
        ),
        field(
            "docs",
            Schema::array(named("io.debezium.data.Json", SchemaType::String)),
        ),
    ];
    for made in [true, false] {
        let keys = [
            ("insert.mode", "insert"),
            ("pk.mode", "none"),
            ("debezium.types", "true"),
        ];
        let mut database = Database::new(Server::Postgres, &keys).await;
        if !made {
            database.run("CREATE TABLE t (id INT, numbers NUMERIC[], grid NUMERIC[], days DATE[], docs JSONB[])").await;
        }
        let topic = Topic::new("t");
        let values = [
            Value::I32(1),
            list(vec![exact(2, 12_345), Value::Null, exact(5, -7)]),
            list(vec![list(vec![exact(0, 1)]), list(vec![exact(1, 25)])]),
            list(vec![Value::I32(10_611)]),
            list(vec![t(r#"{"a": 1}"#)]),
        ];
        database
            .put(&topic, &[&[topic.value(&fields, values)]])
            .await
            .unwrap();
        let seen = database
            .rows("SELECT numbers::text, grid::text, days::text, docs[1]::text FROM t")
            .await;
        assert_eq!(
            seen,
            [r#"{123.45,NULL,-0.00007}|{{1},{2.5}}|{1999-01-20}|{"a": 1}"#],
            "{made}"
        );
    }
}

#[tokio::test]
async fn rows_keep_their_numbers_in_a_key_that_the_server_numbers() {
    for server in ALL {
        let number = match server {
            Server::MariaDb => "BIGINT PRIMARY KEY AUTO_INCREMENT",
            Server::Postgres => "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
            Server::Sqlite => "INTEGER PRIMARY KEY AUTOINCREMENT",
        };
        for keys in MODES {
            let mut database = Database::new(*server, keys).await;
            database
                .run(&format!("CREATE TABLE t (id {number}, name VARCHAR(20))"))
                .await;
            // numbered 1 and 2
            database
                .run("INSERT INTO t (name) VALUES ('x'), ('y')")
                .await;
            let topic = Topic::new("t");
            let fields = [int("id"), field("name", Schema::of(SchemaType::String))];
            let of = |id, name: &str| topic.value(&fields, [Value::I32(id), t(name)]);
            let (batch, want) = match keys[0].1 {
                "update" => ([of(1, "a"), of(2, "b"), of(9, "c")], vec!["1|a", "2|b"]),
                "upsert" => (
                    [of(2, "b"), of(0, "c"), of(7, "d")],
                    vec!["0|c", "1|x", "2|b", "7|d"],
                ),
                _ => (
                    [of(8, "b"), of(0, "c"), of(7, "d")],
                    vec!["0|c", "1|x", "2|y", "7|d", "8|b"],
                ),
            };
            // several rows in one statement, and one alone
            database.write(&topic, &[&batch[..2], &batch[2..]]).await;
            assert_eq!(
                database.rows("SELECT id, name FROM t ORDER BY id").await,
                want,
                "{server} {keys:?}"
            );
            if keys[0].1 != "insert" {
                let bare = topic.value(&[int("id")], [Value::I32(1)]);
                database.write(&topic, &[&[bare]]).await;
                assert_eq!(
                    database.rows("SELECT id, name FROM t ORDER BY id").await,
                    want,
                    "{server} {keys:?}"
                );
            }
        }
    }
}

/// What somebody does to a table `t (id INT, mail VARCHAR(20), a INT)` with these keys (MariaDB, PostgreSQL, SQLite, where
/// it can be done), and what the next upserts of `(id, mail, a)` by `id` leave; nothing: they are refused and change nothing.
struct Rekeyed {
    keys: &'static str,
    sql: [&'static str; 3],
    upserts: &'static [(i32, &'static str, i32)],
    want: &'static [&'static str],
}

const REMADE: &str = "ALTER TABLE t RENAME TO o; CREATE TABLE t (id INT, mail VARCHAR(20), a INT";

const REKEYED: &[Rekeyed] = &[
    Rekeyed {
        keys: "PRIMARY KEY (id)",
        sql: [
            "ALTER TABLE t DROP PRIMARY KEY",
            "ALTER TABLE t DROP CONSTRAINT t_pkey",
            ")",
        ],
        upserts: &[(1, "x", 7), (2, "y", 7)],
        want: &["1|x|7", "2|y|7"],
    },
    Rekeyed {
        keys: "PRIMARY KEY (id)",
        sql: ["CREATE UNIQUE INDEX u ON t (mail)"; 3],
        upserts: &[(3, "x", 7)],
        want: &[],
    },
    Rekeyed {
        keys: "PRIMARY KEY (id)",
        sql: ["CREATE UNIQUE INDEX u ON t (mail)"; 3],
        upserts: &[(3, "z", 7), (1, "v", 7)],
        want: &["1|v|7", "2|y|1", "3|z|7"],
    },
    Rekeyed {
        keys: "PRIMARY KEY (id)",
        sql: [
            "ALTER TABLE t DROP PRIMARY KEY, ADD UNIQUE (id)",
            "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD UNIQUE (id)",
            ", UNIQUE (id))",
        ],
        upserts: &[(1, "v", 7), (2, "w", 7)],
        want: &["1|v|7", "2|w|7"],
    },
    Rekeyed {
        keys: "PRIMARY KEY (id)",
        sql: [
            "CREATE UNIQUE INDEX u ON t (mail(1))",
            "CREATE UNIQUE INDEX u ON t (substr(mail, 1, 1))",
            "",
        ],
        upserts: &[(3, "xxx", 7)],
        want: &[],
    },
    Rekeyed {
        keys: "CHECK (id > 0)",
        sql: [
            "ALTER TABLE t ADD PRIMARY KEY (id)",
            "ALTER TABLE t ADD PRIMARY KEY (id)",
            ", PRIMARY KEY (id))",
        ],
        upserts: &[(1, "x", 7), (3, "z", 7)],
        want: &["1|x|7", "2|y|1", "3|z|7"],
    },
];

#[tokio::test]
async fn unique_indexes_that_somebody_changes_decide_about_the_next_upsert() {
    for (n, server) in ALL.iter().enumerate() {
        for change in REKEYED.iter().filter(|change| !change.sql[n].is_empty()) {
            for tolerate in [false, true] {
                let mut database = Database::new(*server, MODES[1]).await;
                database
                    .run(&format!(
                        "CREATE TABLE t (id INT, mail VARCHAR(20), a INT, {})",
                        change.keys
                    ))
                    .await;
                let topic = Topic::new("t");
                let mut task = database.open(&topic, tolerate, &[]).await;
                let fields = [
                    int("id"),
                    field("mail", Schema::of(SchemaType::String)),
                    int("a"),
                ];
                let row =
                    |id, mail, a| topic.value(&fields, [Value::I32(id), t(mail), Value::I32(a)]);
                task.put(&[row(1, "x", 1), row(2, "y", 1)], &topic.next())
                    .await
                    .unwrap();
                match (server, change.sql[n]) {
                    (Server::Sqlite, sql) if !sql.starts_with("CREATE") => {
                        database
                            .run(&format!("{REMADE}{sql}; INSERT INTO t SELECT * FROM o"))
                            .await;
                    }
                    (_, sql) => database.run(sql).await,
                }
                let case = format!(
                    "{server} tolerate {tolerate}: {}, {}",
                    change.keys, change.sql[n]
                );
                let next: Vec<_> = change
                    .upserts
                    .iter()
                    .map(|(id, mail, a)| row(*id, mail, *a))
                    .collect();
                let outcome = task.put(&next, &topic.next()).await;
                let seen = database.rows("SELECT id, mail, a FROM t ORDER BY id").await;
                match outcome {
                    Err(error) if change.want.is_empty() && !tolerate => {
                        assert_eq!(
                            error.kind(),
                            connector_api::ErrorKind::Record,
                            "{case}: {error}"
                        );
                    }
                    outcome => {
                        let refused = outcome
                            .unwrap_or_else(|error| panic!("{case}: {error}"))
                            .rejected
                            .len();
                        assert_eq!(
                            refused,
                            usize::from(change.want.is_empty()),
                            "{case}: {seen:?}"
                        );
                    }
                }
                let want = if change.want.is_empty() {
                    &["1|x|1", "2|y|1"]
                } else {
                    change.want
                };
                assert_eq!(seen, want, "{case}");
                task.close().await;
            }
        }
    }
}

#[tokio::test]
async fn rows_are_changed_beside_a_number_that_the_server_gives() {
    for server in ALL {
        let number = match server {
            Server::MariaDb => "BIGINT NOT NULL UNIQUE AUTO_INCREMENT",
            Server::Postgres => "BIGINT GENERATED ALWAYS AS IDENTITY",
            Server::Sqlite => "INTEGER",
        };
        for mode in ["upsert", "update"] {
            let keys = [
                ("insert.mode", "upsert"),
                ("pk.mode", "record_value"),
                ("pk.fields", "k"),
            ];
            let mut database = Database::new(*server, &keys).await;
            database
                .run(&format!(
                    "CREATE TABLE t (n {number}, k INT PRIMARY KEY, name VARCHAR(20))"
                ))
                .await;
            let topic = Topic::new("t");
            let fields = [
                int("n"),
                int("k"),
                field("name", Schema::of(SchemaType::String)),
            ];
            let of =
                |n, k, name: &str| topic.value(&fields, [Value::I32(n), Value::I32(k), t(name)]);
            database
                .write(
                    &topic,
                    &[&[of(70, 1, "a"), of(80, 2, "b")], &[of(90, 3, "c")]],
                )
                .await;
            database.config.set("insert.mode", mode);
            database
                .write(
                    &topic,
                    &[&[of(70, 1, "d"), of(80, 2, "e")], &[of(90, 3, "f")]],
                )
                .await;
            let alone = topic.value(&[int("n"), int("k")], [Value::I32(90), Value::I32(3)]);
            database.write(&topic, &[&[alone]]).await;
            let want = ["1|70|d", "2|80|e", "3|90|f"];
            assert_eq!(
                database.rows("SELECT k, n, name FROM t ORDER BY k").await,
                want,
                "{server} {mode}"
            );
        }
    }
}

#[tokio::test]
async fn a_statement_is_read_again_once_its_table_has_changed() {
    for (n, server) in ALL.iter().enumerate() {
        for tolerate in [false, true] {
            let keys = [
                ("insert.mode", "statement"),
                (
                    "statement",
                    "INSERT INTO t (id, a) VALUES (:value.id, :value.a)",
                ),
                ("pk.mode", "none"),
            ];
            let mut database = Database::new(*server, &keys).await;
            database
                .run("CREATE TABLE t (id INT PRIMARY KEY, a INT)")
                .await;
            let topic = Topic::new("t");
            let mut task = database.open(&topic, tolerate, &[]).await;
            let fields = [int("id"), field("a", Schema::of(SchemaType::String))];
            let row = |id, a| topic.value(&fields, [Value::I32(id), t(a)]);
            task.put(&[row(1, "7")], &topic.next()).await.unwrap();
            let sql = [
                "ALTER TABLE t MODIFY a VARCHAR(9)",
                "ALTER TABLE t ALTER a TYPE VARCHAR(9)",
                "ALTER TABLE t RENAME TO o; CREATE TABLE t (id INT PRIMARY KEY, a TEXT)",
            ];
            database.run(sql[n]).await;
            let report = task.put(&[row(2, "x"), row(3, "y")], &topic.next()).await;
            let rejected = report
                .unwrap_or_else(|error| panic!("{server} {tolerate}: {error}"))
                .rejected;
            assert!(rejected.is_empty(), "{server} {tolerate}: {rejected:?}");
            assert_eq!(
                database
                    .rows("SELECT a FROM t WHERE id > 1 ORDER BY id")
                    .await,
                ["x", "y"],
                "{server}"
            );
            // what is still refused is refused for itself
            let report = task.put(&[row(4, "z"), row(4, "z")], &topic.next()).await;
            match report {
                Ok(report) => assert!(
                    tolerate && report.rejected.len() == 1,
                    "{server}: {report:?}"
                ),
                Err(error) => {
                    assert!(
                        !tolerate && error.kind() == connector_api::ErrorKind::Record,
                        "{server}: {error}"
                    );
                }
            }
            task.close().await;
        }
    }
}

/// What a pooler does between two transactions: the server behind the connection knows no statement of before.
#[tokio::test]
async fn statements_that_the_server_has_dropped_are_prepared_again_without_a_retry() {
    let by_statement = [
        ("insert.mode", "statement"),
        (
            "statement",
            "INSERT INTO t (id, a) VALUES (:value.id, :value.a)",
        ),
        ("pk.mode", "none"),
    ];
    for keys in [MODES[0], MODES[1], &by_statement[..]] {
        let mut database = Database::new(Server::Postgres, keys).await;
        for sql in [
            "CREATE TABLE t (id INT PRIMARY KEY, a INT)",
            // each statement of a batch drops the connection's statements behind its back
            "CREATE FUNCTION forget() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN DEALLOCATE ALL; RETURN NULL; END $$",
            "CREATE TRIGGER forget AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION forget()",
        ] {
            database.run(sql).await;
        }
        let topic = Topic::new("t");
        let mut task = database.open(&topic, false, &[("max.retries", "0")]).await;
        let row = |id: i32| topic.value(&[int("id"), int("a")], [Value::I32(id), Value::I32(id)]);
        for id in 1..5 {
            let put = task.put(&[row(id)], &topic.next()).await;
            assert!(put.is_ok(), "{keys:?}: {}", put.unwrap_err());
        }
        assert_eq!(
            database.rows("SELECT COUNT(*) FROM t").await,
            ["4"],
            "{keys:?}"
        );
        task.close().await;
    }
}

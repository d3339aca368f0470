//! Debezium's values that need a form of their own in each database: bits, dates as texts, geometries, and PostgreSQL's
//! hstore as a map.

use connector_api::{ErrorKind, Schema, SchemaType, Value};

use super::meanings::{columns_of, debezium, named, of};
use super::{Database, Server, field, int, optional, t};
use crate::sink::database::ALL;
use crate::sink::records::Topic;

use Server::{MariaDb as M, Postgres as P, Sqlite as S};

const DEBEZIUM: [(&str, &str); 1] = [("debezium.types", "true")];

fn bits(length: &str) -> Schema {
    named("io.debezium.data.Bits", SchemaType::Bytes).param("length", length)
}

fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.into())
}

#[tokio::test]
async fn bits_are_numbers_of_sqlite_and_of_columns_of_integers() {
    let mut database = Database::new(S, &DEBEZIUM).await;
    let topic = Topic::new("t");
    let fields = [
        field("a", bits("9")),
        field("b", bits("63")),
        field("c", bits("64")),
    ];
    let values = [
        bytes(&[0x55, 0x01]),
        bytes(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        bytes(&[0xff; 8]),
    ];
    database
        .write(&topic, &[&[topic.value(&fields, values)]])
        .await;
    assert_eq!(
        database.rows("SELECT a, b, typeof(c), hex(c) FROM t").await,
        ["341|9223372036854775807|blob|FFFFFFFFFFFFFFFF"]
    );
    for server in ALL {
        let mut database = Database::new(*server, &[]).await;
        database
            .run("CREATE TABLE t (id INT, x BIGINT, y NUMERIC(20,0))")
            .await;
        let fields = [int("id"), field("x", bits("9")), field("y", bits("9"))];
        let row =
            |id, bits: &[u8]| topic.value(&fields, [Value::I32(id), bytes(bits), bytes(&[1])]);
        database
            .write(&topic, &[&[row(1, &[0x55, 0x01]), row(2, &[])]])
            .await;
        assert_eq!(
            database.rows("SELECT id, x, y FROM t ORDER BY id").await,
            ["1|341|1", "2|0|1"],
            "{server}"
        );
        let error = database
            .put(&topic, &[&[row(3, &[0xff; 8])]])
            .await
            .unwrap_err();
        assert!(
            error.kind() == ErrorKind::Record && error.message().contains("column x: its bits"),
            "{server}: {error}"
        );
    }
}

#[tokio::test]
async fn a_number_of_any_scale_is_a_number_and_no_text() {
    let name = "io.debezium.data.VariableScaleDecimal";
    let members = vec![int("scale"), field("value", Schema::of(SchemaType::Bytes))];
    let number = Schema::structure(Some(name), members).optional(true);
    for server in ALL {
        let (date, time, stamp, zoned) = columns_of(*server);
        let mut cases: Vec<(&str, i32, Option<&str>)> = [date, time, stamp, zoned]
            .map(|ty| (ty, 20_240_322, None))
            .into();
        cases.extend([("INT", 7, Some("7")), ("DECIMAL(10,2)", 7, Some("7"))]);
        match server {
            M => cases.extend([
                ("YEAR", 2024, None),
                ("BIT(8)", 1, None),
                ("ENUM('a','7')", 1, None),
                ("ENUM('a','7')", 7, Some("7")),
            ]),
            P => cases.extend([("INTERVAL", 7, None), ("BIT(8)", 1, None)]),
            S => {}
        }
        for (ty, n, want) in cases {
            let mut database = Database::new(*server, &DEBEZIUM).await;
            database
                .run(&format!("CREATE TABLE t (id INT PRIMARY KEY, x {ty})"))
                .await;
            let topic = Topic::new("t");
            let value = Value::Struct([Value::I32(0), bytes(&n.to_be_bytes())].into());
            let fields = [int("id"), field("x", number.clone())];
            let record = topic.value(&fields, [Value::I32(1), value]);
            let outcome = database.put(&topic, &[&[record]]).await;
            match (want, outcome) {
                (Some(want), Ok(())) => {
                    let seen = database.rows("SELECT x FROM t").await;
                    assert!(seen[0].starts_with(want), "{server} {ty}: {seen:?}");
                }
                (None, Err(error)) => assert!(
                    error.kind() == ErrorKind::Record && error.message().contains("column x"),
                    "{server} {ty}: {error}"
                ),
                (_, outcome) => panic!("{server} {ty}: {outcome:?}"),
            }
        }
    }
}

#[tokio::test]
async fn dates_as_texts_become_columns_of_dates() {
    for server in ALL {
        let mut database = Database::new(*server, &DEBEZIUM).await;
        let topic = Topic::new("t");
        let fields = [
            field("d", debezium("IsoDate", SchemaType::String)),
            field("c", debezium("IsoTime", SchemaType::String)),
            field("s", debezium("IsoTimestamp", SchemaType::String)),
            field("n", debezium("Date", SchemaType::Int32)),
            field("z", debezium("ZonedTimestamp", SchemaType::String)),
        ];
        let values = [
            t("2024-02-29Z"),
            t("01:02:03.5Z"),
            t("2024-02-29T01:02:03.5Z"),
            Value::I32(1),
            t("2024-02-29T01:02:03.5Z"),
        ];
        database
            .write(&topic, &[&[topic.value(&fields, values)]])
            .await;
        let (types, rows) = match server {
            M => (
                "date|time(6)|datetime(6)|date|datetime(6)",
                "CAST({} AS CHAR)",
            ),
            P => (
                "date|time without time zone|timestamp without time zone|date|timestamp without time zone",
                "{}::text",
            ),
            S => ("DATE|TIME|TIMESTAMP|DATE|TIMESTAMP", "CAST({} AS TEXT)"),
        };
        let columns = database.columns("t").await;
        for (column, ty) in columns.iter().zip(types.split('|')) {
            assert!(
                column.contains(&format!(" {ty}")),
                "{server}: {column}: {ty}"
            );
        }
        let shown: Vec<_> = ["d", "c", "s", "n", "z"]
            .iter()
            .map(|name| rows.replace("{}", name))
            .collect();
        let seen = database
            .rows(&format!("SELECT {} FROM t", shown.join(", ")))
            .await;
        let cells: Vec<_> = seen[0].split('|').collect();
        for (cell, start) in cells.iter().zip([
            "2024-02-29",
            "01:02:03.5",
            "2024-02-29 01:02:03.5",
            "1970-01-02",
            "2024-02-29 01:02:03.5",
        ]) {
            assert!(cell.starts_with(start), "{server}: {seen:?}");
        }
    }
}

/// The Well-Known Binary of `POINT(1 2)`.
fn wkb() -> Vec<u8> {
    let mut out = vec![1, 1, 0, 0, 0];
    out.extend(1f64.to_le_bytes());
    out.extend(2f64.to_le_bytes());
    out
}

fn geometry(name: &str) -> Schema {
    let members = vec![
        field("x", of(SchemaType::Float64)),
        field("y", of(SchemaType::Float64)),
        optional("wkb", SchemaType::Bytes),
        optional("srid", SchemaType::Int32),
    ];
    let members = if name == "Point" {
        members
    } else {
        members[2..].to_vec()
    };
    let name = format!("io.debezium.data.geometry.{name}");
    Schema::structure(Some(&name), members).optional(true)
}

fn point() -> Value {
    Value::Struct(
        [
            Value::F64(1.0),
            Value::F64(2.0),
            bytes(&wkb()),
            Value::I32(4326),
        ]
        .into(),
    )
}

fn shape() -> Value {
    Value::Struct([bytes(&wkb()), Value::I32(4326)].into())
}

#[tokio::test]
async fn geometries_arrive_in_spatial_columns_of_mariadb() {
    for exists in [false, true] {
        let mut database = Database::new(M, &[]).await;
        if exists {
            database
                .run("CREATE TABLE t (id INT, p POINT, g GEOMETRY, n GEOMETRY NULL)")
                .await;
        }
        let topic = Topic::new("t");
        let fields = [
            int("id"),
            field("p", geometry("Point")),
            field("g", geometry("Geometry")),
            field("n", geometry("Geometry")),
        ];
        let values = [Value::I32(1), point(), shape(), Value::Null];
        database
            .write(&topic, &[&[topic.value(&fields, values)]])
            .await;
        assert_eq!(
            database
                .rows("SELECT ST_AsText(p), ST_SRID(p), ST_AsText(g), ST_SRID(g), n FROM t")
                .await,
            ["POINT(1 2)|4326|POINT(1 2)|4326|-"],
            "{exists}"
        );
    }
}

#[tokio::test]
async fn a_point_arrives_in_a_point_of_postgresql() {
    let mut database = Database::new(P, &[]).await;
    database
        .run("CREATE TABLE t (id INT, p POINT, g POINT)")
        .await;
    let topic = Topic::new("t");
    let fields = [
        int("id"),
        field("p", geometry("Point")),
        field("g", geometry("Geometry")),
    ];
    let values = [Value::I32(1), point(), shape()];
    database
        .write(&topic, &[&[topic.value(&fields, values)]])
        .await;
    assert_eq!(
        database.rows("SELECT p::text, g::text FROM t").await,
        ["(1,2)|(1,2)"]
    );
}

#[tokio::test]
async fn a_geometry_without_a_spatial_column_is_refused_with_the_column_and_the_keys() {
    for server in ALL {
        for exists in [false, true] {
            if *server == M && !exists {
                continue;
            }
            let mut database = Database::new(*server, &[]).await;
            if exists {
                database.run("CREATE TABLE t (id INT, g VARCHAR(99))").await;
            }
            let topic = Topic::new("t");
            let fields = [int("id"), field("g", geometry("Geometry"))];
            let record = topic.value(&fields, [Value::I32(1), shape()]);
            let error = database.put(&topic, &[&[record]]).await.unwrap_err();
            let text = error.to_string();
            assert_eq!(error.kind(), ErrorKind::Record, "{server}: {text}");
            for part in [
                "column g",
                "io.debezium.data.geometry.Geometry",
                "nested.mode",
                "field.exclude.list",
            ] {
                assert!(text.contains(part), "{server} {exists}: {part}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_map_or_json_object_arrives_in_an_hstore() {
    for mode in ["insert", "upsert"] {
        let keys = [
            ("insert.mode", mode),
            ("pk.mode", "record_value"),
            ("pk.fields", "id"),
        ];
        let mut database = Database::new(P, &keys).await;
        // an extension may be in a schema outside the search path
        database
            .run("CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext")
            .await;
        database
            .run("CREATE TABLE t (id INT PRIMARY KEY, m ext.hstore, j ext.hstore, p ext.hstore)")
            .await;
        let topic = Topic::new("t");
        let map = Schema::map(
            of(SchemaType::String),
            of(SchemaType::String).optional(true),
        );
        let json = named("io.debezium.data.Json", SchemaType::String);
        let fields = [
            int("id"),
            field("m", map.optional(true)),
            field("j", json.optional(true)),
            optional("p", SchemaType::String),
        ];
        let entries = [(t("a"), t("x\"\\,=>")), (t("b"), Value::Null)];
        let row = |id, map| {
            let values = [
                Value::I32(id),
                map,
                t(r#"{"k": "v", "n": null}"#),
                t("\"q\"=>\"1\""),
            ];
            topic.value(&fields, values)
        };
        let batch = [row(1, Value::Map(entries.into())), row(2, Value::Null)];
        database.write(&topic, &[&batch]).await;
        assert_eq!(
            database
                .rows("SELECT id, ext.hstore_to_json(m)::text, ext.hstore_to_json(j)::text, ext.hstore_to_json(p)::text FROM t ORDER BY id")
                .await,
            [
                r#"1|{"a": "x\"\\,=>", "b": null}|{"k": "v", "n": null}|{"q": "1"}"#,
                r#"2|-|{"k": "v", "n": null}|{"q": "1"}"#
            ],
            "{mode}"
        );
    }
}

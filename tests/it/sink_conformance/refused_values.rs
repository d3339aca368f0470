//! The errors of values that a column does not take: they name the field of the record, its type, the type of the column,
//! and a setting that helps, and do not contain the value.

use connector_api::{ErrorKind, Schema, SchemaType, Value};

use super::meanings::{named, of};
use super::{Database, Server, field, int, t};
use crate::sink::database::ALL;
use crate::sink::records::Topic;

use Server::{MariaDb as M, Postgres as P, Sqlite as S};

/// A column's type, a value that it does not take, and how the error calls the type found.
type Refused = (&'static str, Schema, Value, &'static str);

const SECRET: &str = "s3cret-value";

fn refused(server: Server) -> Vec<Refused> {
    let text = |ty| (ty, of(SchemaType::String), t(SECRET), "STRING");
    let mut cases = match server {
        M => vec![
            text("uuid"),
            text("int(11)"),
            text("decimal(9,2)"),
            text("date"),
            text("time"),
            text("datetime"),
            text("year(4)"),
            text("bit(4)"),
        ],
        P => vec![
            text("uuid"),
            text("integer"),
            text("numeric(9,2)"),
            text("boolean"),
            text("bytea"),
            text("time without time zone"),
            // these texts are PostgreSQL's own
            text("date"),
            text("inet"),
            text("jsonb"),
            text("interval"),
        ],
        S => vec![
            text("INTEGER"),
            text("DATE"),
            text("DATETIME"),
            text("NUMERIC"),
        ],
    };
    let number = of(SchemaType::Int64);
    let date = match server {
        M | P => "date",
        S => "DATE",
    };
    cases.push((date, number, Value::I64(77_112_233), "INT64"));
    let json = named("io.debezium.data.Json", SchemaType::Float64);
    let integer = match server {
        M => "int(11)",
        P => "integer",
        S => "INTEGER",
    };
    cases.push((
        integer,
        json,
        Value::F64(0.5),
        "FLOAT64 (io.debezium.data.Json)",
    ));
    cases
}

#[tokio::test]
async fn a_refused_value_names_the_field_both_types_and_what_helps() {
    for server in ALL {
        for (ty, schema, value, found) in refused(*server) {
            for mode in ["insert", "statement"] {
                // PostgreSQL folds the column's name, so it differs from the field's
                let statement = "INSERT INTO t (id, xvalue) VALUES (:id, :xValue)";
                let keys = [
                    ("insert.mode", mode),
                    ("pk.mode", "none"),
                    ("quote.sql.identifiers", "never"),
                    ("statement", statement),
                ];
                let keys = if mode == "insert" {
                    &keys[..3]
                } else {
                    &[keys[0], keys[1], keys[3]][..]
                };
                let mut database = Database::new(*server, keys).await;
                database
                    .run(&format!("CREATE TABLE t (id INT, xvalue {ty})"))
                    .await;
                let topic = Topic::new("t");
                let fields = [int("id"), field("xValue", schema.clone().optional(true))];
                let record = topic.value(&fields, [Value::I32(1), value.clone()]);
                let outcome = database.put(&topic, &[&[record]]).await;
                let case = format!("{server} {mode} {found} into {ty}");
                let Err(error) = outcome else {
                    panic!("{case}: {:?}", database.rows("SELECT xvalue FROM t").await);
                };
                let text = error.to_string();
                assert_eq!(error.kind(), ErrorKind::Record, "{case}: {text}");
                let line = match mode {
                    "insert" => {
                        format!("The field xValue is {found}, and the column's type is {ty}. ")
                    }
                    // the server describes a parameter's type without its length
                    _ => format!(
                        "The parameter :xValue is {found}, and the column's type is {}",
                        ty.split('(').next().unwrap_or_default()
                    ),
                };
                for part in [&*line, "xvalue", "errors.tolerance=all"] {
                    assert!(text.contains(part), "{case}: {part}: {text}");
                }
                let key = if mode == "insert" {
                    "field.exclude.list"
                } else {
                    "statement"
                };
                assert!(text.contains(key), "{case}: {text}");
                assert!(
                    !text.contains(SECRET) && !text.contains("77112233"),
                    "{case}: {text}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_value_that_breaks_the_promise_of_its_schema_is_named_with_its_field() {
    for server in ALL {
        let database = Database::new(*server, &[("debezium.types", "true")]).await;
        let topic = Topic::new("t");
        let moment = named("io.debezium.time.Timestamp", SchemaType::Int64);
        let fields = [int("id"), field("at", moment)];
        let record = topic.value(&fields, [Value::I32(1), Value::Bool(true)]);
        let error = database.put(&topic, &[&[record]]).await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Record, "{server}: {text}");
        for part in [
            "field at",
            "BOOLEAN",
            "io.debezium.time.Timestamp",
            "errors.tolerance=all",
        ] {
            assert!(text.contains(part), "{server}: {part}: {text}");
        }
    }
}

#[tokio::test]
async fn a_field_of_the_timestamp_list_is_found_by_its_name_in_the_record() {
    for server in ALL {
        let keys = [
            ("timestamp.fields.list", "createdAt"),
            ("timestamp.precision.mode", "microseconds"),
            ("quote.sql.identifiers", "never"),
        ];
        let mut database = Database::new(*server, &keys).await;
        let ty = match server {
            M => "DATETIME(6)",
            P => "TIMESTAMP",
            S => "DATETIME",
        };
        database
            .run(&format!("CREATE TABLE t (id INT, createdat {ty})"))
            .await;
        let topic = Topic::new("t");
        let fields = [int("id"), field("createdAt", of(SchemaType::Int64))];
        let record = topic.value(&fields, [Value::I32(1), Value::I64(1_711_123_112_345_000)]);
        database.put(&topic, &[&[record]]).await.unwrap();
        let shown = match server {
            M => "CAST(createdat AS CHAR)",
            P => "createdat::text",
            S => "CAST(createdat AS TEXT)",
        };
        let rows = database.rows(&format!("SELECT {shown} FROM t")).await;
        assert!(
            rows.len() == 1 && rows[0].starts_with("2024-03-22 15:58:32.345"),
            "{server}: {rows:?}"
        );
    }
}

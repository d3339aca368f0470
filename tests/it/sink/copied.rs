//! Rows that are written to PostgreSQL by COPY are the rows that statements would have written, in both modes that use it.

use std::sync::Arc;

use connector_api::{Datum, Decimal, Field, Schema, SchemaType, SinkRecord, Value};

use super::database::{Database, Server};
use super::records::{Topic, int, text};

const UPSERT: [(&str, &str); 3] = [
    ("insert.mode", "upsert"),
    ("pk.mode", "record_value"),
    ("pk.fields", "id"),
];

/// Rows of a batch that is large enough for upserts to try COPY.
const ROWS: i32 = 120;

/// Types outside the search path, and what the columns of a table are.
const TYPES: &str = "CREATE SCHEMA other; CREATE TYPE other.mood AS ENUM ('so so', 'Happy'); \
    CREATE DOMAIN other.price AS numeric(12,3) CHECK (VALUE < 1000000)";

/// A column's type, the schema of its values, and these.
fn columns() -> Vec<(&'static str, Schema, Vec<Value>)> {
    let of = Schema::of;
    let t = |text: &str| Value::Text(text.into());
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.into());
    let decimal = |digits: &str| Value::Decimal(Box::new(Decimal::parse(digits).expect("digits")));
    let list = |items: &[Value]| Value::Array(items.into());
    let odd = "it's \\ \"so\" \t tab \n line \r \\N \\. \\x41 {a,\"b\"} zażółć 😀";
    vec![
        (
            "int2",
            of(SchemaType::Int16),
            vec![Value::I16(i16::MIN), Value::I16(7)],
        ),
        (
            "int4",
            of(SchemaType::Int32),
            vec![Value::I32(i32::MIN), Value::I32(i32::MAX)],
        ),
        (
            "int8",
            of(SchemaType::Int64),
            vec![Value::I64(i64::MIN), Value::I64(i64::MAX)],
        ),
        (
            "numeric",
            Schema::decimal(20),
            vec![
                decimal("-123456789012345678.12345678901234567890"),
                decimal("0.00000000000000000000"),
            ],
        ),
        (
            "numeric(10,2)",
            Schema::decimal(3),
            vec![decimal("-1.005"), decimal("99999999.990")],
        ),
        (
            "numeric",
            of(SchemaType::Float64),
            vec![Value::F64(0.1), Value::F64(1e-7), Value::F64(1e22)],
        ),
        (
            "float4",
            of(SchemaType::Float32),
            vec![
                Value::F32(0.1),
                Value::F32(f32::NAN),
                Value::F32(f32::INFINITY),
            ],
        ),
        (
            "float8",
            of(SchemaType::Float64),
            vec![
                Value::F64(f64::MIN_POSITIVE),
                Value::F64(f64::NEG_INFINITY),
                Value::F64(-0.0),
                Value::F64(f64::MAX),
            ],
        ),
        ("float8", of(SchemaType::Float32), vec![Value::F32(0.1)]),
        (
            "bool",
            of(SchemaType::Boolean),
            vec![Value::Bool(true), Value::Bool(false)],
        ),
        (
            "date",
            Schema::date(),
            vec![
                Value::I32(0),
                Value::I32(-719_162),
                Value::I32(2_932_896),
                Value::I32(i32::MAX),
            ],
        ),
        (
            "time(3)",
            Schema::time(),
            vec![Value::I32(0), Value::I32(86_399_999)],
        ),
        (
            "timestamp",
            Schema::timestamp(),
            vec![
                Value::I64(-1),
                Value::I64(253_402_300_799_999),
                Value::I64(1_711_846_800_007),
            ],
        ),
        (
            "timestamptz",
            Schema::timestamp(),
            vec![Value::I64(-1), Value::I64(1_711_846_800_007)],
        ),
        (
            "text",
            of(SchemaType::String),
            vec![t(odd), t(""), t("\\N"), t("\\.")],
        ),
        (
            "varchar(9)",
            of(SchemaType::String),
            vec![t("zażółć"), t("nine char   ")],
        ),
        ("char(5)", of(SchemaType::String), vec![t("ab"), t("abcde")]),
        (
            "bytea",
            of(SchemaType::Bytes),
            vec![bytes(&[0, 9, 10, 13, 92, 255]), bytes(&[])],
        ),
        (
            "uuid",
            of(SchemaType::String),
            vec![t("6B29FC40-CA47-1067-B31D-00DD010662DA")],
        ),
        (
            "json",
            of(SchemaType::String),
            vec![t("{\"a\": [1, \"\\n\\\\\"]}")],
        ),
        (
            "jsonb",
            of(SchemaType::String),
            vec![t("{\"b\":1,  \"a\":\"\\t\"}"), t("null")],
        ),
        ("xml", of(SchemaType::String), vec![t("<a b=\"c\">d</a>")]),
        ("inet", of(SchemaType::String), vec![t("10.0.0.1/8")]),
        ("bit(4)", of(SchemaType::String), vec![t("0101")]),
        ("varbit", of(SchemaType::String), vec![t("010")]),
        (
            "interval",
            of(SchemaType::String),
            vec![t("1 year 2 days 03:04:05.6")],
        ),
        ("int4range", of(SchemaType::String), vec![t("[1,5)")]),
        (
            "int4[]",
            Schema::array(of(SchemaType::Int32).optional(true)),
            vec![list(&[Value::I32(1), Value::Null]), list(&[])],
        ),
        (
            "text[]",
            Schema::array(of(SchemaType::String)),
            vec![list(&[t(odd), t("NULL"), t("")])],
        ),
        (
            "numeric[]",
            Schema::array(Schema::decimal(1)),
            vec![list(&[decimal("1.5")])],
        ),
        (
            "other.mood",
            of(SchemaType::String),
            vec![t("so so"), t("Happy")],
        ),
        (
            "other.mood[]",
            Schema::array(of(SchemaType::String)),
            vec![list(&[t("so so")])],
        ),
        (
            "other.price",
            Schema::decimal(3),
            vec![decimal("999999.999")],
        ),
    ]
}

/// Row `n`: each column has one of its values, or NULL.
fn typed_row(columns: &[(&'static str, Schema, Vec<Value>)], n: i32) -> Vec<Value> {
    let of_column = |(at, (_, _, values)): (usize, &(&str, Schema, Vec<Value>))| {
        let turn = usize::try_from(n).expect("a row's number") + at;
        values
            .get(turn % (values.len() + 1))
            .cloned()
            .unwrap_or(Value::Null)
    };
    let given = columns.iter().enumerate().map(of_column);
    [Value::I32(n)].into_iter().chain(given).collect()
}

#[tokio::test]
async fn values_of_every_type_are_the_same_by_copy_and_by_statements() {
    let columns = columns();
    let mut fields = vec![int("id")];
    let mut definition = String::from("id int PRIMARY KEY");
    for (n, (ty, schema, _)) in columns.iter().enumerate() {
        fields.push(Field::new(format!("c{n}"), schema.clone().optional(true)));
        definition.push_str(&format!(", c{n} {ty}"));
    }
    definition.push_str(
        ", preset text DEFAULT 'left out', twice int GENERATED ALWAYS AS (id * 2) STORED",
    );
    let schema = Arc::new(Schema::structure(None, fields));
    for zone in ["UTC", "Europe/Berlin"] {
        let keys = [&UPSERT[..], &[("db.timezone", zone)]].concat();
        let mut database = Database::new(Server::Postgres, &keys).await;
        database.run(TYPES).await;
        let ways = [
            ("by_statements", "upsert", "1"),
            ("by_insert", "insert", "3000"),
            ("by_upsert", "upsert", "3000"),
        ];
        let mut seen = Vec::new();
        for (table, mode, batch_size) in ways {
            database
                .run(&format!("CREATE TABLE {table} ({definition})"))
                .await;
            let topic = Topic::new(table);
            let row = |n| {
                let values = typed_row(&columns, n).into();
                topic.record(
                    Datum::NONE,
                    Datum::new(Arc::clone(&schema), Value::Struct(values)),
                )
            };
            let batch: Vec<_> = (0..ROWS).map(row).collect();
            let keys = [("insert.mode", mode), ("batch.size", batch_size)];
            let mut task = database.open(&topic, false, &keys).await;
            task.put(&batch, &topic.next())
                .await
                .unwrap_or_else(|error| panic!("{table}: {error}"));
            task.close().await;
            seen.push(
                database
                    .rows(&format!("SELECT t::text FROM {table} t ORDER BY id"))
                    .await,
            );
        }
        assert_eq!(
            seen[0].len(),
            usize::try_from(ROWS).expect("a number of rows")
        );
        for (n, by_statements) in seen[0].iter().enumerate() {
            assert_eq!(by_statements, &seen[1][n], "insert, {zone}");
            assert_eq!(by_statements, &seen[2][n], "upsert, {zone}");
        }
    }
}

fn row(topic: &Topic, id: i32, name: &str) -> SinkRecord {
    topic.value(
        &[int("id"), text("name")],
        [Value::I32(id), Value::Text(name.into())],
    )
}

fn rows(topic: &Topic, ids: std::ops::Range<i32>, name: &str) -> Vec<SinkRecord> {
    ids.map(|id| row(topic, id, name)).collect()
}

/// Each name and how many rows have it.
const NAMES: &str = "SELECT name, COUNT(*) FROM t GROUP BY name ORDER BY name";

/// An account without the privileges of an UPDATE, which every upsert by a statement needs, shows how rows were written.
#[tokio::test]
async fn upserts_of_new_rows_are_copied_and_those_of_others_are_statements() {
    let mut database = Database::new(Server::Postgres, &UPSERT).await;
    let user = format!("{}_copier", database.name);
    database
        .run(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, name text); CREATE ROLE {user} LOGIN PASSWORD 'pw'; \
             GRANT SELECT, INSERT ON t TO {user}; GRANT ALL ON SCHEMA public TO {user}"
        ))
        .await;
    let login = [
        ("connection.user", user.as_str()),
        ("connection.password", "pw"),
    ];
    let topic = Topic::new("t");
    let mut task = database.open(&topic, false, &login).await;
    for first in [0, ROWS] {
        let new = rows(&topic, first..first + ROWS, "new");
        task.put(&new, &topic.next()).await.unwrap();
    }
    assert_eq!(database.rows(NAMES).await, ["new|240"]);
    let one = rows(&topic, 1000..1001, "alone");
    let error = task.put(&one, &topic.next()).await.unwrap_err().to_string();
    assert!(error.contains("permission denied"), "{error}");
    task.close().await;
}

#[tokio::test]
async fn a_batch_of_new_and_old_rows_is_upserted_whatever_was_tried() {
    let mut database = Database::new(Server::Postgres, &UPSERT).await;
    database
        .run("CREATE TABLE t (id int PRIMARY KEY, name text)")
        .await;
    let topic = Topic::new("t");
    let mut task = database.open(&topic, false, &[]).await;
    for (ids, name, want) in [
        (0..ROWS, "a", vec!["a|120"]),
        (ROWS - 1..ROWS + 99, "b", vec!["a|119", "b|100"]),
        (0..ROWS, "c", vec!["b|99", "c|120"]),
        (500..500 + ROWS, "d", vec!["b|99", "c|120", "d|120"]),
    ] {
        let batch = rows(&topic, ids, name);
        task.put(&batch, &topic.next()).await.unwrap();
        assert_eq!(database.rows(NAMES).await, want);
    }
    // the last one of a key wins, also where none of the rows exists
    let mut batch = rows(&topic, 1000..1000 + ROWS, "e");
    batch.extend(rows(&topic, 1000..1000 + ROWS, "f"));
    let mut other = database.open(&Topic::part("t", 1), false, &[]).await;
    other.put(&batch, &[]).await.unwrap();
    assert_eq!(
        database.rows(NAMES).await,
        ["b|99", "c|120", "d|120", "f|120"]
    );
    other.close().await;
    task.close().await;
}

#[tokio::test]
async fn rows_that_the_database_or_the_converter_refuses_are_found_among_copied_ones() {
    for mode in ["insert", "upsert"] {
        let keys = [&UPSERT[..], &[("insert.mode", mode)]].concat();
        let mut database = Database::new(Server::Postgres, &keys).await;
        database
            .run(
                "CREATE TABLE t (id int PRIMARY KEY, name text CHECK (name <> 'bad'), choice date); \
                 INSERT INTO t VALUES (7, 'old', NULL)",
            )
            .await;
        let topic = Topic::new("t");
        let mut task = database.open(&topic, true, &[]).await;
        // more than is sent at once, so that the refused value comes when rows have been sent
        let long = "x".repeat(1000);
        let mut batch = rows(&topic, 100..1000, &long);
        batch[3] = row(&topic, 103, "bad");
        batch[800] = row(&topic, 900, "NUL \0");
        batch[899] = row(&topic, 7, "changed");
        let report = task.put(&batch, &topic.next()).await.unwrap();
        let rejected: Vec<_> = report.rejected.iter().map(|r| r.index).collect();
        let (want, last) = match mode {
            "insert" => (vec![3, 800, 899], "old"),
            _ => (vec![3, 800], "changed"),
        };
        assert_eq!(rejected, want, "{mode}");
        let sql = "SELECT COUNT(*), COUNT(*) FILTER (WHERE length(name) = 1000), MIN(name) FROM t";
        assert_eq!(
            database.rows(sql).await,
            [format!("898|897|{last}")],
            "{mode}"
        );
        // the session goes on
        task.put(&rows(&topic, 2000..2000 + ROWS, "after"), &topic.next())
            .await
            .unwrap();
        let sql = "SELECT COUNT(*) FROM t WHERE name = 'after'";
        assert_eq!(database.rows(sql).await, ["120"], "{mode}");
        task.close().await;
    }
}

#[tokio::test]
async fn a_unique_index_that_others_drop_lets_no_copy_add_rows_of_a_key() {
    let mut database = Database::new(Server::Postgres, &UPSERT).await;
    database
        .run("CREATE TABLE t (id int PRIMARY KEY, name text)")
        .await;
    let topic = Topic::new("t");
    let mut task = database.open(&topic, false, &[]).await;
    let new = rows(&topic, 0..ROWS, "new");
    task.put(&new, &topic.next()).await.unwrap();
    database.run("ALTER TABLE t DROP CONSTRAINT t_pkey").await;
    let again = rows(&topic, 0..ROWS, "again");
    task.put(&again, &topic.next()).await.unwrap();
    assert_eq!(database.rows(NAMES).await, ["again|120"]);
    task.close().await;
}

/// PostgreSQL runs triggers of UPDATE statements for every upsert.
#[tokio::test]
async fn triggers_of_a_table_see_the_statements_of_an_upsert() {
    let mut database = Database::new(Server::Postgres, &UPSERT).await;
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, name text); CREATE TABLE seen (what text); \
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN INSERT INTO seen VALUES (TG_OP); RETURN NULL; END $$; \
             CREATE TRIGGER noted AFTER UPDATE ON t FOR EACH STATEMENT EXECUTE FUNCTION note()",
        )
        .await;
    let topic = Topic::new("t");
    let mut task = database.open(&topic, false, &[]).await;
    let seen = "SELECT DISTINCT what, (SELECT COUNT(*) FROM t) FROM seen";
    task.put(&rows(&topic, 0..ROWS, "new"), &topic.next())
        .await
        .unwrap();
    assert_eq!(database.rows(seen).await, ["UPDATE|120"]);
    // also of a trigger that others make between two batches
    database
        .run("DROP TRIGGER noted ON t; TRUNCATE seen; ALTER TABLE t ADD CHECK (name <> 'x')")
        .await;
    task.put(&rows(&topic, ROWS..2 * ROWS, "new"), &topic.next())
        .await
        .unwrap();
    assert_eq!(database.rows("SELECT COUNT(*) FROM seen").await, ["0"]);
    database
        .run("CREATE TRIGGER noted AFTER UPDATE ON t FOR EACH STATEMENT EXECUTE FUNCTION note()")
        .await;
    task.put(&rows(&topic, 300..300 + ROWS, "new"), &topic.next())
        .await
        .unwrap();
    assert_eq!(database.rows(seen).await, ["UPDATE|360"]);
    task.close().await;
}

//! Statements that are executed for many rows at once (MariaDB's bulk protocol) have the same outcome as one statement per
//! row.

use std::sync::Arc;

use connector_api::{Datum, Decimal, ErrorKind, Field, Schema, SchemaType, SinkRecord, Value};

use super::database::{Database, Server};
use super::records::{Topic, int, optional, text};

#[tokio::test]
async fn values_of_every_type_are_stored_as_by_single_statements() {
    const COLUMNS: &str = "id INT PRIMARY KEY, big BIGINT UNSIGNED, tiny TINYINT, flag TINYINT(1), real4 FLOAT, real8 DOUBLE, \
        exact DECIMAL(65,30), day DATE, clock TIME(3), moment DATETIME(3), stamp TIMESTAMP(3) NULL, letters VARCHAR(80), \
        long_text LONGTEXT, bytes VARBINARY(300), long_bytes LONGBLOB, choice ENUM('a','b'), document JSON, \
        twice INT AS (tiny * 2) STORED";
    let field = |name: &str, schema: Schema| Field::new(name, schema.optional(true));
    let of = |name: &str, ty: SchemaType| optional(name, ty);
    let fields = vec![
        int("id"),
        field("big", Schema::decimal(0)),
        of("tiny", SchemaType::Int8),
        of("flag", SchemaType::Boolean),
        of("real4", SchemaType::Float32),
        of("real8", SchemaType::Float64),
        field("exact", Schema::decimal(30)),
        field("day", Schema::date()),
        field("clock", Schema::time()),
        field("moment", Schema::timestamp()),
        field("stamp", Schema::timestamp()),
        of("letters", SchemaType::String),
        of("long_text", SchemaType::String),
        of("bytes", SchemaType::Bytes),
        of("long_bytes", SchemaType::Bytes),
        of("choice", SchemaType::String),
        of("document", SchemaType::String),
    ];
    let schema = Arc::new(Schema::structure(None, fields));
    let t = |text: &str| Value::Text(text.into());
    let decimal = |digits: &str| Value::Decimal(Box::new(Decimal::parse(digits).expect("digits")));
    let binary: Vec<u8> = (0..=255).collect();
    let full = [
        decimal("18446744073709551615"),
        Value::I8(-128),
        Value::Bool(true),
        Value::F32(0.1),
        Value::F64(f64::MIN_POSITIVE),
        decimal("-12345678901234567890123456789012345.123456789012345678901234567890"),
        Value::I32(2_932_896),
        Value::I32(86_399_999),
        Value::I64(253_402_300_799_999),
        Value::I64(2_147_483_647_999),
        t("it's \\ \"so\" \0 zażółć"),
        t(&"é😀".repeat(200_000)),
        Value::Bytes(binary.as_slice().into()),
        Value::Bytes(binary.repeat(4000).into()),
        t("b"),
        t("{\"a\":[1]}"),
    ];
    let mut some = vec![Value::Null; 16];
    some[10] = t("");
    some[12] = Value::Bytes([][..].into());
    let rows = [
        vec![Value::Null; 16],
        full.to_vec(),
        vec![Value::Null; 16],
        some,
        full.to_vec(),
    ];
    let mut database = Database::new(Server::MariaDb, &[("insert.mode", "insert")]).await;
    // batch.size=1: statements of one row
    for (table, batch_size) in [("one", "1"), ("many", "3000")] {
        database
            .run(&format!("CREATE TABLE {table} ({COLUMNS})"))
            .await;
        let topic = Topic::new(table);
        let batch: Vec<_> = (0..)
            .zip(&rows)
            .map(|(id, row)| {
                let values = [&[Value::I32(id)], row.as_slice()].concat();
                let value = Datum::new(Arc::clone(&schema), Value::Struct(values.into()));
                topic.record(Datum::NONE, value)
            })
            .collect();
        let keys = [("batch.size", batch_size)];
        let mut task = database.open(&topic, false, &keys).await;
        task.put(&batch, &topic.next()).await.unwrap();
        task.close().await;
        let sql = format!(
            "SELECT COUNT(*), SUM(LENGTH(long_text)), SUM(LENGTH(long_bytes)), MIN(twice) FROM {table}"
        );
        assert_eq!(
            database.rows(&sql).await,
            ["5|2400000|2048000|-256"],
            "{table}"
        );
    }
    let sql = "SELECT COUNT(*) FROM (SELECT * FROM one INTERSECT SELECT * FROM many) same";
    assert_eq!(database.rows(sql).await, ["5"]);
}

const UPSERT: [(&str, &str); 3] = [
    ("insert.mode", "upsert"),
    ("pk.mode", "record_value"),
    ("pk.fields", "id"),
];

fn row(topic: &Topic, id: i32, name: &str) -> SinkRecord {
    topic.value(
        &[int("id"), text("name")],
        [Value::I32(id), Value::Text(name.into())],
    )
}

#[tokio::test]
async fn triggers_see_every_row_and_their_errors_are_those_of_one_record() {
    for mode in ["insert", "upsert"] {
        let keys = [&UPSERT[..], &[("insert.mode", mode)]].concat();
        let mut database = Database::new(Server::MariaDb, &keys).await;
        database
            .run(
                "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(9)); CREATE TABLE seen (n INT AUTO_INCREMENT PRIMARY KEY, id INT);
                 CREATE TRIGGER before_row BEFORE INSERT ON t FOR EACH ROW SET NEW.name = UPPER(NEW.name);
                 CREATE TRIGGER after_row AFTER INSERT ON t FOR EACH ROW INSERT INTO seen (id) VALUES (NEW.id)",
            )
            .await;
        let topic = Topic::new("t");
        let mut task = database.open(&topic, true, &[]).await;
        let mut batch: Vec<_> = (0..700).map(|id| row(&topic, id, "abc")).collect();
        batch[321] = row(&topic, 321, "much too long");
        let report = task.put(&batch, &topic.next()).await.unwrap();
        let rejected: Vec<_> = report.rejected.iter().map(|r| r.index).collect();
        assert_eq!(rejected, [321], "{mode}");
        let sql = "SELECT (SELECT COUNT(*) FROM t WHERE BINARY name='ABC'), (SELECT COUNT(DISTINCT id) FROM seen), \
                   (SELECT COUNT(*) FROM seen)";
        assert_eq!(database.rows(sql).await, ["699|699|699"], "{mode}");
        task.close().await;
    }
}

#[tokio::test]
async fn statements_are_prepared_again_after_ddl_of_others() {
    let mut database = Database::new(Server::MariaDb, &UPSERT).await;
    database
        .run("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(9))")
        .await;
    let topic = Topic::new("t");
    let mut task = database.open(&topic, false, &[]).await;
    for (n, ddl) in [
        "SELECT 1",
        "ALTER TABLE t ADD COLUMN more INT DEFAULT 7",
        "ALTER TABLE t MODIFY name VARCHAR(99) NOT NULL DEFAULT 'x'",
        "ALTER TABLE t ENGINE=InnoDB",
        "CREATE OR REPLACE TABLE t (name VARCHAR(9), id INT PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 3",
        "FLUSH TABLES",
    ]
    .into_iter()
    .enumerate()
    {
        database.run(ddl).await;
        let name = format!("n{n}");
        let batch: Vec<_> = (0..300).map(|id| row(&topic, id % 200, &name)).collect();
        if let Err(error) = task.put(&batch, &topic.next()).await {
            assert_eq!(error.kind(), ErrorKind::Retry, "{ddl}: {error}");
            task.put(&batch, &topic.next()).await.unwrap();
        }
        let sql = "SELECT COUNT(*), MIN(name), MAX(name) FROM t";
        assert_eq!(database.rows(sql).await, [format!("200|{name}|{name}")], "{ddl}");
    }
    task.close().await;
}

#[tokio::test]
async fn wide_rows_large_values_and_defaults_are_taken() {
    let mut database = Database::new(Server::MariaDb, &UPSERT).await;
    let topic = Topic::new("t");
    let mut fields = vec![int("id")];
    fields.extend((0..300).map(|n| optional(&format!("c{n}"), SchemaType::String)));
    let with_default = Schema {
        default: Some(Value::I32(7)),
        ..Schema::of(SchemaType::Int32).optional(true)
    };
    fields.push(Field::new("preset", with_default));
    let schema = Arc::new(Schema::structure(None, fields));
    let record = |id: i32, value: Value| {
        let mut values = vec![Value::I32(id)];
        values.extend((0..300).map(|_| value.clone()));
        values.push(Value::Null);
        let value = Datum::new(Arc::clone(&schema), Value::Struct(values.into()));
        topic.record(Datum::NONE, value)
    };
    let short = Value::Text("ab".into());
    let batch: Vec<_> = (0..400)
        .map(|id| {
            record(
                id,
                if id % 3 == 0 {
                    Value::Null
                } else {
                    short.clone()
                },
            )
        })
        .collect();
    database.write(&topic, &[&batch]).await;
    let sql = "SELECT COUNT(*), COUNT(c0), COUNT(c299), SUM(preset) FROM t";
    assert_eq!(database.rows(sql).await, ["400|266|266|2800"]);

    // 80 MB in rows of 1 MB: more than one packet takes
    let mut database = Database::new(Server::MariaDb, &UPSERT).await;
    let fields = [int("id"), optional("body", SchemaType::Bytes)];
    database
        .run("CREATE TABLE t (id INT PRIMARY KEY, body LONGBLOB)")
        .await;
    let body = |id: i32| Value::Bytes(vec![id as u8; 1 << 20].into());
    let batch: Vec<_> = (0..80)
        .map(|id| topic.value(&fields, [Value::I32(id), body(id)]))
        .collect();
    database.write(&topic, &[&batch]).await;
    let sql = "SELECT COUNT(*), SUM(LENGTH(body)), SUM(ORD(body) = id) FROM t";
    assert_eq!(database.rows(sql).await, ["80|83886080|80"]);
}

#[tokio::test]
async fn updates_of_many_rows_change_those_that_exist_in_the_order_of_their_records() {
    let keys = [&UPSERT[..], &[("insert.mode", "update")]].concat();
    let mut database = Database::new(Server::MariaDb, &keys).await;
    database
        .run(
            "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(9), changes INT DEFAULT 0); \
             CREATE TRIGGER counted BEFORE UPDATE ON t FOR EACH ROW SET NEW.changes = OLD.changes + 1; \
             INSERT INTO t (id, name) SELECT seq, 'old' FROM seq_0_to_599",
        )
        .await;
    let topic = Topic::new("t");
    let mut task = database.open(&topic, true, &[]).await;
    // rows 600 and above do not exist; the last change of row 5 counts
    let mut batch: Vec<_> = (0..700).map(|id| row(&topic, id, "new")).collect();
    batch[321] = row(&topic, 321, "much too long");
    batch.push(row(&topic, 5, "last"));
    let report = task.put(&batch, &topic.next()).await.unwrap();
    let rejected: Vec<_> = report.rejected.iter().map(|r| r.index).collect();
    assert_eq!(rejected, [321]);
    let sql = "SELECT name, COUNT(*), MIN(changes) > 0 FROM t GROUP BY name ORDER BY name";
    assert_eq!(
        database.rows(sql).await,
        ["last|1|1", "new|598|1", "old|1|0"]
    );
    task.close().await;
}

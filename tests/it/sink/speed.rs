//! How fast the sink task is beside LOAD DATA LOCAL INFILE of the same rows, in one run.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{Config, Datum, Decimal, Field, Schema, SchemaType, SinkRecord, Value};
use testkit::mariadb::{count, run};
use testkit::{MariaDb, Usage, unique};

use super::records::{self, Topic};
use crate::lab;

/// Rows of a measurement; `ROWFERRY_ROWS` sets another number.
fn row_count() -> i64 {
    std::env::var("ROWFERRY_ROWS")
        .ok()
        .and_then(|rows| rows.parse().ok())
        .unwrap_or(300_000)
}

fn fields() -> Vec<Field> {
    let f = |name: &str, schema: Schema| Field::new(name, schema);
    vec![
        f("id", Schema::of(SchemaType::Int64)),
        f("customer", Schema::of(SchemaType::Int32)),
        f("name", Schema::of(SchemaType::String).optional(true)),
        f("email", Schema::of(SchemaType::String).optional(true)),
        f("street", Schema::of(SchemaType::String).optional(true)),
        f("note", Schema::of(SchemaType::String).optional(true)),
        f("amount", Schema::decimal(2).optional(true)),
        f("rate", Schema::of(SchemaType::Float64).optional(true)),
        f("active", Schema::of(SchemaType::Boolean)),
        f("day", Schema::date()),
        f("changed", Schema::timestamp()),
    ]
}

fn row(n: i64) -> Vec<Value> {
    let text = |t: String| Value::Text(t.into());
    vec![
        Value::I64(n),
        Value::I32((n % 100_000) as i32),
        text(format!("Customer number {n}")),
        text(format!("customer{n}@example.com")),
        text(format!("{n} Long Street, Some Town, 4{:04}", n % 10_000)),
        text(format!(
            "a note of some length about row {n}, as people write them into such columns"
        )),
        Value::Decimal(Box::new(Decimal::new(i128::from(n) * 7 % 10_000_000, 2))),
        Value::F64(n as f64 / 3.0),
        Value::Bool(n % 2 == 0),
        Value::I32((n % 20_000) as i32),
        Value::I64(1_700_000_000_000 + n * 1000),
    ]
}

const COLUMNS: &str = "id BIGINT PRIMARY KEY, customer INT NOT NULL, name TEXT, email TEXT, street TEXT, note TEXT, \
                       amount DECIMAL(65,2), rate DOUBLE, active TINYINT NOT NULL, day DATE NOT NULL, changed DATETIME(3) NOT NULL";

#[tokio::test]
#[ignore = "a measurement, see scripts/bench"]
async fn rows_a_second_beside_load_data() {
    let mariadb = lab().mariadb();
    let database = unique("speed");
    let mut sql = mariadb.create_database(&database).await;
    run(
        &mut sql,
        &format!("CREATE TABLE loaded ({COLUMNS}); CREATE TABLE t ({COLUMNS})"),
    )
    .await;

    let file = rows_file(&database);
    let began = Instant::now();
    let status = Command::new("mariadb")
        .args([
            "--local-infile=1",
            "-h127.0.0.1",
            &format!("-P{}", mariadb.port()),
            "-uroot",
        ])
        .env("MYSQL_PWD", MariaDb::PASSWORD)
        .args([
            "-e",
            &format!(
                "LOAD DATA LOCAL INFILE '{}' INTO TABLE loaded",
                file.display()
            ),
            &database,
        ])
        .status()
        .unwrap();
    assert!(status.success());
    let load = began.elapsed();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(
        count(&mut sql, "SELECT COUNT(*) FROM loaded").await,
        row_count()
    );
    println!(
        "LOAD DATA: {:.0} rows/s",
        row_count() as f64 / load.as_secs_f64()
    );

    let modes = [
        ("insert", 500),
        ("insert", 2000),
        ("insert", 10_000),
        ("upsert", 2000),
        ("upsert", 2000),
        ("update", 2000),
    ];
    for (mode, batch) in modes {
        if mode == "insert" {
            run(
                &mut sql,
                &format!("DROP TABLE t; CREATE TABLE t ({COLUMNS})"),
            )
            .await;
        }
        let before = count(&mut sql, "SELECT COUNT(*) FROM t").await;
        measure(
            &records::config(&mariadb.jdbc_url(&database), &[]),
            mode,
            batch,
            before,
            load,
        )
        .await;
    }
    assert_eq!(count(&mut sql, "SELECT COUNT(*) FROM t").await, row_count());
}

#[tokio::test]
#[ignore = "a measurement, see scripts/bench"]
async fn rows_a_second_beside_copy() {
    let mut database = super::database::Database::new(super::database::Server::Postgres, &[]).await;
    let columns = COLUMNS
        .replace("DATETIME", "TIMESTAMP")
        .replace("TINYINT", "BOOLEAN")
        .replace("DOUBLE", "DOUBLE PRECISION");
    database
        .run(&format!(
            "CREATE TABLE loaded ({columns}); CREATE TABLE t ({columns})"
        ))
        .await;
    let file = rows_file(&database.name);
    let (user, password) = database.account();
    let began = Instant::now();
    let status = Command::new("psql")
        .args([
            "-h127.0.0.1",
            &format!("-p{}", database.port()),
            "-U",
            user,
            "-q",
        ])
        .env("PGPASSWORD", password)
        .args([
            "-c",
            &format!("\\copy loaded from '{}'", file.display()),
            &database.name,
        ])
        .status()
        .unwrap();
    assert!(status.success());
    let load = began.elapsed();
    std::fs::remove_file(&file).unwrap();
    println!(
        "COPY: {:.0} rows/s",
        row_count() as f64 / load.as_secs_f64()
    );
    let rows = row_count();
    for (mode, batch, before) in [
        ("insert", 2000, 0),
        ("insert", 10_000, 0),
        ("upsert", 10_000, 0),
        ("upsert", 2000, rows),
        ("upsert", 10_000, rows),
        ("update", 2000, rows),
    ] {
        if before == 0 {
            database.run("TRUNCATE t").await;
        }
        measure(&database.config(&[]), mode, batch, before, load).await;
    }
}

/// Writes the rows in batches and prints how fast, beside what loading them took.
async fn measure(config: &Config, mode: &str, batch: usize, before: i64, load: Duration) {
    let topic = Topic::new("t");
    let schema = Arc::new(Schema::structure(None, fields()));
    let record = |n| {
        topic.record(
            Datum::NONE,
            Datum::new(Arc::clone(&schema), Value::Struct(row(n).into())),
        )
    };
    let records: Vec<SinkRecord> = (0..row_count()).map(record).collect();
    let mut config = config.clone();
    let name = format!("{mode}{batch}-{before}");
    for (key, value) in [
        ("insert.mode", mode),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
        ("name", &name),
    ] {
        config.set(key, value);
    }
    let mut task = records::open(&config, false).await;
    task.assign(&topic.partitions()).await.unwrap();
    let (began, cpu) = (Instant::now(), Usage::of(std::process::id()).cpu);
    for batch in records.chunks(batch) {
        let mut next = topic.next();
        next[0].offset = batch.last().unwrap().at.offset + 1;
        task.put(batch, &next).await.unwrap();
    }
    let (took, cpu) = (began.elapsed(), Usage::of(std::process::id()).cpu - cpu);
    task.close().await;
    println!(
        "{mode}, batches of {batch}, {before} rows before: {:.0} rows/s, {:.2} of loading, {:.2} µs CPU a row",
        row_count() as f64 / took.as_secs_f64(),
        load.as_secs_f64() / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / row_count() as f64
    );
}

/// The rows as tab-separated text.
fn rows_file(name: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("{name}.tsv"));
    let mut text = String::new();
    for n in 0..row_count() {
        let r = row(n);
        let (Value::Decimal(amount), Value::F64(rate)) = (&r[6], &r[7]) else {
            panic!()
        };
        let t = |v: &Value| v.as_str().unwrap().to_owned();
        let (day, second) = (n % 20_000, n);
        writeln!(
            text,
            "{n}\t{}\t{}\t{}\t{}\t{}\t{amount}\t{rate}\t{}\t{}\t{}",
            n % 100_000,
            t(&r[2]),
            t(&r[3]),
            t(&r[4]),
            t(&r[5]),
            i32::from(n % 2 == 0),
            format_args!(
                "{:04}-{:02}-{:02}",
                1970 + day / 372,
                day / 31 % 12 + 1,
                day % 28 + 1
            ),
            format_args!(
                "2023-11-{:02} {:02}:{:02}:{:02}.000",
                1 + second / 86400 % 28,
                second / 3600 % 24,
                second / 60 % 60,
                second % 60
            ),
        )
        .unwrap();
    }
    std::fs::write(&file, text).unwrap();
    file
}

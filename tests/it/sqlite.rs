//! SQLite files as source and target: tasks are driven here, and one worker that is killed.

use std::time::Duration;

use connector_api::{
    ConfigReport, Decimal, ErrorKind, Plugin, SchemaType, SinkConnector, SourceConnector, Value,
};
use connector_jdbc::sink::JdbcSink;
use connector_jdbc::source::JdbcSource;
use serde_json::json;
use testkit::sqlite::{run, texts};
use testkit::{Rowferry, Settings, SqliteFile, Usage, for_condition, unique};

use crate::sink::records::{self, Topic, int, optional, text};
use crate::source::{PLENTY, QUIET, Stored, config, open, poll};
use crate::{SOON, lab};

fn file(name: &str) -> SqliteFile {
    SqliteFile::new(lab().scratch(), &unique(name))
}

#[tokio::test]
async fn every_mode_reads_each_row_once() {
    const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, ts DATETIME NOT NULL)";
    // points in time in every form that SQLite's date functions take, in order
    const ROWS: [&str; 6] = [
        "1, 'a', '2024-01-01'",
        "2, 'b', '2024-01-01 00:00:00.000001'",
        "3, 'c', 1704067201000",
        "4, 'd', julianday('2024-01-01 00:00:02')",
        "5, 'e', '2024-01-01T01:00:03+01:00'",
        "6, 'f', '2024-01-01T00:00:04Z'",
    ];
    let stamp = ("timestamp.column.name", "ts");
    let query = [
        ("query", "SELECT id, name AS label, ts FROM t"),
        ("table.whitelist", ""),
    ];
    for (mode, keys) in [
        ("incrementing", vec![]),
        ("timestamp", vec![stamp]),
        ("timestamp+incrementing", vec![stamp]),
        (
            "incrementing",
            [&query[..], &[("incrementing.column.name", "id")]].concat(),
        ),
        ("timestamp", [&query[..], &[stamp]].concat()),
    ] {
        let file = file("modes");
        let mut sql = file.connect().await;
        run(&mut sql, TABLE).await;
        let keys = [
            &[
                ("mode", mode),
                ("batch.max.rows", "2"),
                ("poll.interval.ms", "20"),
            ],
            &keys[..],
        ]
        .concat();
        let config = config(&file.jdbc_url(), "", "", &keys);
        let mut stored = Stored::default();
        for (n, rows) in ROWS.chunks(3).enumerate() {
            for row in rows {
                run(&mut sql, &format!("INSERT INTO t VALUES ({row})")).await;
            }
            // the second half after a restart
            let mut task = open(&config, &stored).await;
            let seen = poll(&mut *task, &mut stored, PLENTY, |seen| seen.len() >= 3).await;
            let want: Vec<i64> = (1..=3).map(|id| id + 3 * n as i64).collect();
            assert_eq!(seen, want, "{keys:?}");
            assert_eq!(
                poll(&mut *task, &mut stored, QUIET, |_| false).await,
                [0i64; 0],
                "{keys:?}"
            );
            task.close().await;
        }
    }
}

#[tokio::test]
async fn bulk_reads_tables_of_every_kind_of_key() {
    for definition in [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)",
        "CREATE TABLE t (id INT, a TEXT, PRIMARY KEY (a, id)) WITHOUT ROWID",
        "CREATE TABLE t (id INT, a TEXT)",
        "CREATE TABLE x (id INT PRIMARY KEY, a TEXT); CREATE VIEW t AS SELECT id, a FROM x",
    ] {
        let file = file("bulk");
        let mut sql = file.connect().await;
        run(&mut sql, definition).await;
        let table = if definition.contains("VIEW") {
            "x"
        } else {
            "t"
        };
        let series =
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)";
        run(
            &mut sql,
            &format!("{series} INSERT INTO {table} SELECT i, 'row ' || i FROM n"),
        )
        .await;
        let keys = [
            ("mode", "bulk"),
            ("table.types", "TABLE,VIEW"),
            ("poll.interval.ms", "60000"),
        ];
        let config = config(&file.jdbc_url(), "", "", &keys);
        let mut stored = Stored::default();
        let mut task = open(&config, &stored).await;
        let mut seen = poll(&mut *task, &mut stored, PLENTY, |seen| seen.len() >= 1200).await;
        seen.sort_unstable();
        assert_eq!(seen, (1..=1200).collect::<Vec<i64>>(), "{definition}");
        task.close().await;
    }
}

#[tokio::test]
async fn declared_types_and_values_make_the_fields() {
    let file = file("types");
    let mut sql = file.connect().await;
    let columns = [
        ("id INTEGER PRIMARY KEY", "1", Value::I64(1)),
        ("i8 TINYINT", "-128", Value::I8(-128)),
        ("i16 SMALLINT", "32767", Value::I16(32_767)),
        ("i32 INT NOT NULL", "-2147483648", Value::I32(i32::MIN)),
        ("i64 BIGINT", "9223372036854775807", Value::I64(i64::MAX)),
        ("b BOOLEAN", "1", Value::Bool(true)),
        ("f REAL", "0.1", Value::F64(0.1)),
        ("g FLOAT", "3", Value::F64(3.0)),
        (
            "d DECIMAL(10,2)",
            "1234.5",
            Value::Decimal(Box::new(Decimal::new(123_450, 2))),
        ),
        ("n NUMERIC", "2.5", Value::F64(2.5)),
        (
            "t VARCHAR(3)",
            "'longer 😀'",
            Value::Text("longer 😀".into()),
        ),
        ("x BLOB", "x'00ff'", Value::Bytes([0, 255].into())),
        ("day DATE", "'1977-02-13'", Value::I32(2600)),
        ("clock TIME", "'23:03:20.5'", Value::I32(83_000_500)),
        (
            "at TIMESTAMP",
            "'1977-02-13 23:03:20'",
            Value::I64(224_723_000_000),
        ),
        (
            "millis DATETIME",
            "224723000000",
            Value::I64(224_723_000_000),
        ),
        ("untyped", "7", Value::I64(7)),
        ("made INTEGER AS (id + 1)", "", Value::I64(2)),
    ];
    let definitions: Vec<_> = columns.iter().map(|c| c.0).collect();
    let given: Vec<_> = columns.iter().filter(|c| !c.1.is_empty()).collect();
    let names: Vec<_> = given
        .iter()
        .map(|c| c.0.split(' ').next().unwrap())
        .collect();
    let values: Vec<_> = given.iter().map(|c| c.1).collect();
    run(
        &mut sql,
        &format!("CREATE TABLE t ({})", definitions.join(", ")),
    )
    .await;
    run(
        &mut sql,
        &format!(
            "INSERT INTO t ({}) VALUES ({})",
            names.join(","),
            values.join(",")
        ),
    )
    .await;
    let config = config(&file.jdbc_url(), "", "", &[("mode", "incrementing")]);
    let mut task = open(&config, &Stored::default()).await;
    let batch = loop {
        let batch = task.poll().await.unwrap();
        if !batch.records.is_empty() {
            break batch;
        }
    };
    let Value::Struct(row) = &batch.records[0].value.value else {
        panic!("no struct")
    };
    for ((definition, _, want), seen) in columns.iter().zip(row) {
        assert_eq!(seen, want, "{definition}");
    }
    let schema = batch.records[0].value.schema.as_ref().unwrap();
    let required: Vec<_> = schema
        .fields
        .iter()
        .filter(|f| !f.schema.optional)
        .map(|f| &*f.name)
        .collect();
    assert_eq!(required, ["id", "i32"]);
    assert_eq!(
        batch.records[0].key.schema.as_ref().unwrap().fields[0].name,
        "id".into()
    );
    task.close().await;
}

#[tokio::test]
async fn values_that_cannot_be_read_are_reported() {
    let file = file("misfit");
    let mut sql = file.connect().await;
    run(
        &mut sql,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 'geheim')",
    )
    .await;
    let table = config(&file.jdbc_url(), "", "", &[("mode", "incrementing")]);
    let mut task = open(&table, &Stored::default()).await;
    let error = loop {
        if let Err(error) = task.poll().await {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Record);
    assert!(
        error.message().contains("column n has a TEXT") && !error.message().contains("geheim"),
        "{error}"
    );
    task.close().await;

    let mode = ("mode", "bulk");
    for (keys, want) in [
        (
            vec![
                mode,
                ("table.whitelist", ""),
                ("query", "SELECT 1; ATTACH 'x' AS y"),
            ],
            "more than one statement",
        ),
        (
            vec![mode, ("query.suffix", "; DELETE FROM t")],
            "more than one statement",
        ),
        (
            vec![mode, ("connection.url", "jdbc:sqlite:/no/such/file.db")],
            "does not exist",
        ),
        (
            vec![mode, ("connection.url", "jdbc:sqlite::memory:")],
            "in memory",
        ),
    ] {
        let config = config(&file.jdbc_url(), "", "", &keys);
        let outcome = async {
            let plan = JdbcSource.plan(&config, 1).await?;
            let mut task = JdbcSource.open(&plan.tasks[0], &Stored::default()).await?;
            loop {
                task.poll().await?;
            }
        };
        let error: connector_api::Error = match outcome.await {
            Err(error) => error,
            Ok(()) => continue,
        };
        assert!(
            error.kind() == ErrorKind::Config && error.message().contains(want),
            "{error}"
        );
    }
    assert_eq!(
        texts(&mut sql, "SELECT CAST(COUNT(*) AS TEXT) FROM t").await,
        ["1"]
    );
    let mut report = ConfigReport::default();
    JdbcSource
        .probe(
            &config("jdbc:sqlite:/no/such.db", "", "", &[mode]),
            &mut report,
        )
        .await;
    assert!(
        report.errors[0].key == "connection.url"
            && report.errors[0].message.contains("does not exist")
    );
}

#[tokio::test]
async fn a_file_that_was_replaced_is_read_again() {
    let (file, other) = (file("replaced"), file("other"));
    let mut sql = file.connect().await;
    run(
        &mut sql,
        "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)",
    )
    .await;
    let config = config(
        &file.jdbc_url(),
        "",
        "",
        &[("mode", "incrementing"), ("poll.interval.ms", "20")],
    );
    let mut stored = Stored::default();
    let mut task = open(&config, &stored).await;
    assert_eq!(
        poll(&mut *task, &mut stored, PLENTY, |seen| !seen.is_empty()).await,
        [1]
    );
    let mut sql = other.connect().await;
    run(
        &mut sql,
        "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2)",
    )
    .await;
    drop(sql);
    std::fs::rename(other.path(), file.path()).unwrap();
    let batch = loop {
        match task.poll().await {
            Ok(batch) if batch.records.is_empty() => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(batch) => break batch,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
        }
    };
    assert_eq!(batch.records.len(), 1);
    task.close().await;
}

#[tokio::test]
async fn a_file_is_made_filled_evolved_and_sifted() {
    let file = file("sink");
    let keys = [
        ("insert.mode", "upsert"),
        ("auto.evolve", "true"),
        ("delete.enabled", "true"),
        ("pk.mode", "record_key"),
        ("pk.fields", "code"),
    ];
    let config = records::config(&file.jdbc_url(), &keys);
    let mut report = ConfigReport::default();
    JdbcSink.probe(&config, &mut report).await;
    assert!(
        report.errors.is_empty() && !file.path().exists(),
        "validation makes no file"
    );
    let topic = Topic::new("t");
    let mut task = records::open(&config, true).await;
    task.assign(&topic.partitions()).await.unwrap();
    let (old, new) = (
        vec![optional("n", SchemaType::Int32)],
        vec![
            optional("n", SchemaType::Int32),
            optional("f", SchemaType::Float32),
            optional("x", SchemaType::Bytes),
        ],
    );
    let batch = [
        topic.keyed("a", &old, Some(vec![Value::Null])),
        topic.keyed("b", &old, Some(vec![Value::I32(2)])),
        topic.keyed(
            "c",
            &new,
            Some(vec![
                Value::I32(3),
                Value::F32(0.1),
                Value::Bytes([0, 255].into()),
            ]),
        ),
        topic.keyed("b", &old, None),
        topic.keyed("d", &old, Some(vec![Value::I32(4)])),
    ];
    let report = task.put(&batch, &topic.next()).await.unwrap();
    assert!(report.rejected.is_empty());
    let mut sql = file.connect().await;
    let rows = "SELECT code || '|' || coalesce(n, '') || '|' || coalesce(f, '') || '|' || coalesce(hex(x), '') FROM t \
                ORDER BY code";
    assert_eq!(
        texts(&mut sql, rows).await,
        ["a|||", "c|3|0.1|00FF", "d|4||"]
    );
    run(&mut sql, "CREATE UNIQUE INDEX other ON t (n)").await;
    let second = [
        topic.keyed("a", &old, Some(vec![Value::I32(1)])),
        topic.keyed("d", &old, Some(vec![Value::I32(3)])),
        topic.keyed("é", &old, Some(vec![Value::I32(5)])),
        topic.keyed(
            "f",
            &new,
            Some(vec![Value::I32(6), Value::F32(f32::NAN), Value::Null]),
        ),
    ];
    let report = task.put(&second, &topic.next()).await.unwrap();
    assert_eq!(
        report.rejected.iter().map(|r| r.index).collect::<Vec<_>>(),
        [1, 3]
    );
    assert!(
        report.rejected[0]
            .error
            .to_string()
            .contains("UNIQUE constraint failed: t.n")
    );
    assert_eq!(
        texts(&mut sql, rows).await,
        ["a|1||", "c|3|0.1|00FF", "d|4||", "é|5||"]
    );
    let ledger = "SELECT sink || topic || partition_id || '|' || next_offset || '|' || epoch FROM rowferry_offsets";
    assert_eq!(texts(&mut sql, ledger).await, ["sink-testt0|9|1"]);
    task.close().await;
}

#[tokio::test]
async fn no_digit_of_a_decimal_is_lost() {
    let file = file("decimals");
    let config = records::config(&file.jdbc_url(), &[]);
    let decimal = |name: &str, precision: &str, scale| {
        let schema = connector_api::Schema::decimal(scale)
            .param(connector_api::logical::PRECISION, precision);
        connector_api::Field::new(name, schema)
    };
    let value = |text: &str| Value::Decimal(Box::new(Decimal::parse(text).unwrap()));
    let fields = [
        decimal("small", "15", 2),
        decimal("large", "40", 10),
        decimal("unknown", "0", 3),
    ];
    let topic = Topic::new("t");
    let mut task = records::open(&config, true).await;
    task.assign(&topic.partitions()).await.unwrap();
    let large = "-123456789012345678901234567890.1234567890";
    let batch = [
        topic.value(
            &fields,
            [value("-1234567890123.45"), value(large), value("0.001")],
        ),
        topic.value(
            &fields,
            [
                value("1.00"),
                value("1.0000000000"),
                value("1234567890123456.001"),
            ],
        ),
    ];
    let report = task.put(&batch, &topic.next()).await.unwrap();
    assert!(report.rejected.is_empty(), "{:?}", report.rejected);
    let mut sql = file.connect().await;
    let rows = "SELECT small || '|' || large || '|' || unknown FROM t";
    assert_eq!(
        texts(&mut sql, rows).await,
        [
            format!("-1234567890123.45|{large}|0.001"),
            "1|1.0000000000|1234567890123456.001".to_owned()
        ]
    );
    task.close().await;
}

#[tokio::test]
async fn a_new_owner_fences_the_old_one_and_a_lock_is_waited_for() {
    let file = file("fence");
    let config = records::config(
        &format!("{}?busy_timeout=50", file.jdbc_url()),
        &[("insert.mode", "insert")],
    );
    let topic = Topic::new("t");
    let mut old = records::open(&config, false).await;
    old.assign(&topic.partitions()).await.unwrap();
    old.put(
        &[topic.value(
            &[int("id"), text("s")],
            [Value::I32(1), Value::Text("x".into())],
        )],
        &topic.next(),
    )
    .await
    .unwrap();
    let mut sql = file.connect().await;
    run(&mut sql, "BEGIN IMMEDIATE").await;
    let batch = [topic.value(
        &[int("id"), text("s")],
        [Value::I32(2), Value::Text("y".into())],
    )];
    let error = old.put(&batch, &topic.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    run(&mut sql, "COMMIT").await;
    old.put(&batch, &topic.next()).await.unwrap();
    let mut new = records::open(&config, false).await;
    assert_eq!(new.assign(&topic.partitions()).await.unwrap(), topic.next());
    let error = old.put(&batch, &topic.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert_eq!(
        texts(&mut sql, "SELECT CAST(id AS TEXT) FROM t ORDER BY id").await,
        ["1", "2"]
    );
    old.close().await;
    new.close().await;
}

#[tokio::test]
async fn update_mode_changes_rows_that_are_there() {
    let file = file("update");
    let mut sql = file.connect().await;
    run(
        &mut sql,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 1)",
    )
    .await;
    let keys = [
        ("insert.mode", "update"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
    ];
    let topic = Topic::new("t");
    let mut task = records::open(&records::config(&file.jdbc_url(), &keys), false).await;
    task.assign(&topic.partitions()).await.unwrap();
    let row = |id, n| topic.value(&[int("id"), int("n")], [Value::I32(id), Value::I32(n)]);
    task.put(&[row(1, 7), row(2, 8)], &topic.next())
        .await
        .unwrap();
    assert_eq!(
        texts(&mut sql, "SELECT id || '|' || n FROM t").await,
        ["1|7"]
    );
    task.close().await;
}

/// From one file into another over a worker that is killed twice.
#[tokio::test]
async fn rows_arrive_once_though_the_worker_is_killed() {
    const ROWS: i64 = 20_000;
    let (from, to) = (file("from"), file("to"));
    let mut sql = from.connect().await;
    run(&mut sql, "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, at TIMESTAMP)").await;
    let fill = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) \
         INSERT INTO t SELECT i, 'name ' || i, datetime(1700000000 + i, 'unixepoch') FROM n"
    );
    run(&mut sql, &fill).await;
    let settings = testkit::Settings::serve("sqlite-killed", lab().kafka().brokers())
        .with("consumer.session.timeout.ms", "3000")
        .with("consumer.heartbeat.interval.ms", "500");
    let worker = testkit::Rowferry::start(lab().scratch(), settings);
    let name = unique("killed_file");
    let source = json!({"connector.class": JdbcSource.class(), "connection.url": from.jdbc_url(), "mode": "incrementing",
        "table.whitelist": "t", "topic.prefix": format!("{name}-"), "poll.interval.ms": "200", "batch.max.rows": "500"});
    let sink = json!({"connector.class": JdbcSink.class(), "connection.url": format!("{}?journal_mode=wal", to.jdbc_url()),
        "topics": format!("{name}-t"), "batch.size": "500"});
    worker
        .rest()
        .create(&format!("{name}-source"), &source)
        .await;
    worker.rest().create(&format!("{name}-sink"), &sink).await;
    let mut copy = to.connect().await;
    let count = format!("SELECT CAST(COUNT(*) AS TEXT) FROM `{name}-t`");
    let there = "SELECT name FROM sqlite_schema WHERE type = 'table'";
    let mut arrived = async |wanted: i64| {
        for_condition(&format!("{wanted} rows"), SOON * 2, async || {
            let made = texts(&mut copy, there)
                .await
                .iter()
                .any(|table| *table == format!("{name}-t"));
            made && texts(&mut copy, &count).await[0].parse::<i64>().unwrap() >= wanted
        })
        .await;
    };
    for kill in 1..=2 {
        arrived(kill * 2000).await;
        worker.kill();
        worker.restart();
    }
    arrived(ROWS).await;
    let same = |table: &str| {
        format!(
            "SELECT id || '|' || name || '|' || substr(at, 1, 19) FROM `{table}` ORDER BY id, name"
        )
    };
    assert_eq!(
        texts(&mut copy, &same(&format!("{name}-t"))).await,
        texts(&mut sql, &same("t")).await
    );
    worker.stop(SOON);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_makes_huge_values_or_never_ends_costs_neither_memory_nor_a_thread() {
    let worker = Rowferry::start(
        lab().scratch(),
        Settings::dev(&unique("huge")).with("sqlite.allowed.paths", "/"),
    );
    let (file, rest) = (file("huge"), worker.rest());
    run(&mut file.connect().await, "CREATE TABLE t (a INT)").await;
    Usage::reset_peak(worker.pid());
    let config = |query: &str| {
        json!({"connector.class": "JdbcSource", "name": "huge", "mode": "bulk", "topic.prefix": "huge_", "query": query,
            "connection.url": file.jdbc_url(), "connection.attempts": "1"})
    };
    for value in [
        "zeroblob(1000000000)",
        "hex(zeroblob(400000000))",
        "randomblob(900000000)",
        "printf('%.*c', 900000000, 'x')",
    ] {
        let config = config(&format!("select {value} a"));
        let answer = rest
            .put("/connector-plugins/JdbcSource/config/validate", &config)
            .await
            .expect(200);
        assert!(
            answer.text.contains("max.row.bytes"),
            "{value}: {}",
            answer.text
        );
    }
    assert!(
        Usage::of(worker.pid()).peak < 400 << 20,
        "{}",
        Usage::of(worker.pid()).peak
    );
    let endless =
        "with recursive c(x) as (select 1 union all select x+1 from c) select count(*) from c";
    let _timed_out = rest
        .put(
            "/connector-plugins/JdbcSource/config/validate",
            &config(endless),
        )
        .await;
    for_condition("no thread of SQLite at work", SOON, async || {
        let used = cpu_ticks(worker.pid());
        tokio::time::sleep(Duration::from_secs(1)).await;
        cpu_ticks(worker.pid()) - used < 50
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_aggregates_that_add_up_beyond_a_values_limit_end_in_bounded_memory() {
    let worker = Rowferry::start(
        lab().scratch(),
        Settings::dev(&unique("added")).with("sqlite.allowed.paths", "/"),
    );
    let (file, rest) = (file("added"), worker.rest());
    run(&mut file.connect().await, "CREATE TABLE t (a INT)").await;
    let bounded = |what: &str| {
        let peak = Usage::of(worker.pid()).peak;
        assert!(
            peak < 900 << 20,
            "{what}: {peak} bytes of resident memory at the peak"
        );
    };
    let config = |query: &str| {
        json!({"connector.class": "JdbcSource", "mode": "bulk", "topic.prefix": "added_", "query": query,
            "connection.url": file.jdbc_url(), "connection.attempts": "1"})
    };
    let long = "printf('%.*c', 60000000, 'x')";
    // Two values end when the row is read, twelve already while the statement is validated.
    let row_of = |columns: usize| {
        let values: Vec<String> = (0..columns).map(|n| format!("{long} a{n}")).collect();
        config(&format!("select {}", values.join(", ")))
    };
    rest.create("added", &row_of(2)).await;
    let refused = async || {
        rest.get("/connectors/added/status")
            .await
            .text
            .contains("max.row.bytes")
    };
    for_condition("max.row.bytes", SOON, refused).await;
    bounded("two values");
    rest.remove("added").await;
    let answer = rest
        .put("/connectors/added/config", &row_of(12))
        .await
        .expect(400);
    assert!(answer.text.contains("out of memory"), "{}", answer.text);
    bounded("twelve values");
    let numbers = "with recursive c(x) as (select 1 union all select x + 1 from c)";
    // What is too long is noticed when the aggregate is complete, and these never are: the statement ends by the bound
    // of memory, or is interrupted once nobody waits for it any more, whichever is first.
    for aggregate in [
        "group_concat(",
        "json_group_array(",
        "json_group_object(x, ",
    ] {
        let query = format!("{numbers} select {aggregate}{long}) a from c");
        let answer = rest
            .put("/connectors/added/config", &config(&query))
            .await
            .expect(400);
        let ended = ["out of memory", "No answer"]
            .iter()
            .any(|text| answer.text.contains(text));
        assert!(ended, "{aggregate}: {}", answer.text);
        bounded(aggregate);
    }
    // there is memory again for what others ask
    rest.create("added", &config("select 1 a")).await;
    rest.wait_state("added", "RUNNING", SOON).await;
    worker.stop(SOON);
}

/// A statement that SQLite still executes is progress, however short the limit is, and it is interrupted with its task.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_tasks_endless_query_is_shown_as_work_and_is_interrupted_with_its_task() {
    let limit = Duration::from_secs(3);
    let worker = Rowferry::start(
        lab().scratch(),
        Settings::dev(&unique("endless")).with("sqlite.allowed.paths", "/"),
    );
    let (file, rest) = (file("endless"), worker.rest());
    let mut sql = file.connect().await;
    run(
        &mut sql,
        "CREATE TABLE bound (n INT); INSERT INTO bound VALUES (10)",
    )
    .await;
    let query = "with recursive c(x) as (select 1 union all select x + 1 from c where x < (select n from bound)) \
                 select count(*) a from c";
    let config = json!({"connector.class": "JdbcSource", "mode": "bulk", "topic.prefix": "endless_", "query": query,
        "connection.url": file.jdbc_url(), "poll.interval.ms": "100",
        "task.progress.timeout.ms": limit.as_millis().to_string()});
    rest.create("endless", &config).await.expect(201);
    rest.wait_state("endless", "RUNNING", SOON).await;
    run(&mut sql, "UPDATE bound SET n = 1000000000000000").await;
    let is_at_work = async || {
        let progress = rest.get("/v1/connectors/endless/progress").await;
        progress.text.contains("is working on a statement")
    };
    for_condition("the statement is shown as work", SOON, is_at_work).await;
    let began = std::time::Instant::now();
    for_condition("twice the limit has passed", SOON, async || {
        let status = rest.get("/connectors/endless/status").await.body;
        assert_eq!(status["tasks"][0]["state"], "RUNNING", "{status}");
        assert!(status["tasks"][0]["warning"].is_null(), "{status}");
        began.elapsed() > 2 * limit
    })
    .await;
    rest.remove("endless").await;
    for_condition("no thread of SQLite at work", SOON, async || {
        let used = cpu_ticks(worker.pid());
        tokio::time::sleep(Duration::from_secs(1)).await;
        cpu_ticks(worker.pid()) - used < 50
    })
    .await;
    worker.stop(SOON);
}

/// Hundredths of seconds that a process has computed.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

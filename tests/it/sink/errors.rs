//! Errors of the sink. Tests named `erNN_…` are the conformance cases of that number (peers' own tests); those about
//! sources are in `source.rs`, those about the REST API's texts in `rest_conversations`.

use std::time::{Duration, Instant};

use connector_api::{
    Config, ConfigReport, Datum, Error, ErrorKind, Plugin, Schema, SchemaType, SinkConnector,
    SinkRecord, Value,
};
use connector_jdbc::sink::JdbcSink;
use testkit::for_condition;

use super::database::{self, Database, Server};
use super::records::{self, Topic, int, optional, text};
use crate::SOON;

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

fn primitive(topic: &Topic, key: i64) -> SinkRecord {
    let mut record = row(topic, 1, "a");
    record.record.key = Datum::new(Schema::of(SchemaType::Int64).into(), Value::I64(key));
    record
}

/// What a task without tolerance says about one record, on every database; and a tolerant one rejects it.
async fn refused(
    setup: &str,
    keys: &[(&str, &str)],
    record: impl Fn(&Topic) -> SinkRecord,
    parts: &[&str],
) {
    for mut database in database::all().await {
        if !setup.is_empty() {
            database.run(setup).await;
        }
        let topic = Topic::new("t");
        let record = record(&topic);
        let mut task = database.open(&topic, false, keys).await;
        let error = task
            .put(std::slice::from_ref(&record), &topic.next())
            .await
            .unwrap_err();
        let reported = error.to_string();
        assert_eq!(
            error.kind(),
            ErrorKind::Record,
            "{}: {reported}",
            database.server
        );
        for part in parts.iter().chain(&["topic t, partition 0, offset 0"]) {
            assert!(
                reported.contains(part),
                "{}: no '{part}' in: {reported}",
                database.server
            );
        }
        task.close().await;
        let mut tolerant = database.open(&topic, true, keys).await;
        let report = tolerant.put(&[record], &topic.next()).await.unwrap();
        assert_eq!(report.rejected.len(), 1, "{}", database.server);
        tolerant.close().await;
    }
}

/// Puts batches one after the other into a tolerant task; the indices rejected, and the task's database.
async fn rejected(
    database: &mut Database,
    keys: &[(&str, &str)],
    topic: &Topic,
    puts: &[&[SinkRecord]],
) -> Vec<Vec<usize>> {
    let mut task = database.open(topic, true, keys).await;
    let mut out = Vec::new();
    for batch in puts {
        let report = task.put(batch, &topic.next()).await.unwrap();
        out.push(report.rejected.iter().map(|r| r.index).collect());
    }
    task.close().await;
    out
}

fn problems(keys: &[(&str, &str)]) -> ConfigReport {
    let mut config = Config::from([("connection.url", "jdbc:mysql://h/d"), ("topics", "t")]);
    keys.iter()
        .for_each(|(key, value)| config.set(*key, *value));
    let mut report = ConfigReport::default();
    JdbcSink.check(&config, &mut report);
    report
}

#[test]
fn deletes_need_the_records_key() {
    let report = problems(&[("delete.enabled", "true"), ("pk.mode", "kafka")]);
    let reported: Vec<_> = report
        .errors
        .iter()
        .map(|p| (p.key.as_str(), p.message.as_str()))
        .collect();
    let text = "Deletes are only supported for pk.mode record_key";
    assert_eq!(
        reported.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
        ["delete.enabled", "pk.mode"]
    );
    assert!(
        reported.iter().all(|(_, message)| message.contains(text)),
        "{reported:?}"
    );
}

#[tokio::test]
async fn a_record_for_the_table_of_offsets_is_refused() {
    refused(
        "",
        &[("table.name.format", "rowferry_offsets")],
        |topic| row(topic, 1, "a"),
        &["holds the offsets of sinks", "table.name.format"],
    )
    .await;
}

#[tokio::test]
async fn a_wrong_password_is_an_error_of_the_url_and_is_not_shown() {
    for database in database::servers().await {
        let mut config = database.config(&[]);
        // the account is unknown, since the tests' PostgreSQL trusts the one it has
        config.set("connection.user", "nobody_there");
        config.set("connection.password", "S3cret-word");
        let mut report = ConfigReport::default();
        JdbcSink.probe(&config, &mut report).await;
        let [problem] = report.errors.as_slice() else {
            panic!("{}: {:?}", database.server, report.errors)
        };
        assert_eq!(problem.key, "connection.url");
        assert!(
            problem.message.contains("Could not connect to database"),
            "{}",
            problem.message
        );
        assert!(!problem.message.contains("S3cret"), "{}", problem.message);
    }
}

#[tokio::test]
async fn records_need_a_value_and_field_options_need_fields() {
    let needs = "requires records with a non-null Struct or String value and non-null Struct or String schema";
    refused("", &[], |topic| topic.keyed("k", &[], None), &[needs]).await;
    let plain = |topic: &Topic| {
        topic.record(
            Datum::NONE,
            Datum::new(
                Schema::of(SchemaType::String).into(),
                Value::Text("hello".into()),
            ),
        )
    };
    let text = "field-level options that are not applicable to String values: fields.whitelist";
    refused("", &[("fields.whitelist", "a")], plain, &[text]).await;
}

#[tokio::test]
async fn a_primitive_key_has_one_column() {
    let text = "Need exactly one PK column defined since the key schema for records is a primitive type, defined columns are: [pk1, pk2]";
    refused(
        "",
        &[("pk.mode", "record_key"), ("pk.fields", "pk1,pk2")],
        |t| primitive(t, 1),
        &[text],
    )
    .await;
}

#[tokio::test]
async fn a_record_without_fields_creates_no_table() {
    let text = "No fields found using key and value schemas for table: t";
    refused("", &[], |topic| topic.value(&[], []), &[text]).await;
}

#[tokio::test]
async fn a_missing_table_is_not_created_without_auto_create() {
    let text = "is missing and auto-creation is disabled";
    refused(
        "",
        &[("auto.create", "false")],
        |topic| row(topic, 1, "a"),
        &[text, "\"t\""],
    )
    .await;
}

#[tokio::test]
async fn a_missing_column_is_not_added_without_auto_evolve() {
    let extra = |topic: &Topic| {
        topic.value(
            &[int("id"), optional("extra", SchemaType::Int32)],
            [Value::I32(1), Value::Null],
        )
    };
    let text = "and auto-evolution is disabled";
    refused(
        "CREATE TABLE t (id INT)",
        &[],
        extra,
        &["is missing fields", "name='extra'", text],
    )
    .await;
}

#[tokio::test]
async fn a_batch_is_retried_as_often_as_max_retries_allows() {
    for mut database in database::all().await {
        database
            .run("CREATE TABLE t (id INT, name VARCHAR(9), CHECK (id < 10))")
            .await;
        let topic = Topic::new("t");
        let mut task = database
            .open(
                &topic,
                false,
                &[("max.retries", "2"), ("retry.backoff.ms", "150")],
            )
            .await;
        let (batch, began) = ([row(&topic, 11, "a")], Instant::now());
        let mut kinds = Vec::new();
        for _ in 0..3 {
            kinds.push(task.put(&batch, &topic.next()).await.unwrap_err().kind());
        }
        assert_eq!(
            kinds,
            [ErrorKind::Retry, ErrorKind::Retry, ErrorKind::Record],
            "{}",
            database.server
        );
        assert!(
            began.elapsed() >= Duration::from_millis(300),
            "{:?}",
            began.elapsed()
        );
        task.close().await;
    }
}

#[tokio::test]
async fn a_batch_of_bad_records_is_rejected_record_by_record() {
    for mut database in database::all().await {
        database
            .run("CREATE TABLE t (id INT, name VARCHAR(9), CHECK (id < 10))")
            .await;
        let topic = Topic::new("t");
        let batch: Vec<_> = (10..40).map(|id| row(&topic, id, "a")).collect();
        let seen = rejected(&mut database, &[], &topic, &[&batch]).await;
        assert_eq!(seen, [(0..30).collect::<Vec<_>>()], "{}", database.server);
    }
}

#[tokio::test]
async fn a_second_row_of_a_key_is_rejected_and_the_others_are_written() {
    for mut database in database::all().await {
        database
            .run("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(9))")
            .await;
        let topic = Topic::new("t");
        let batch = [
            row(&topic, 1, "a"),
            row(&topic, 1, "b"),
            row(&topic, 2, "c"),
        ];
        let seen = rejected(&mut database, &[], &topic, &[&batch]).await;
        assert_eq!(seen, [vec![1]], "{}", database.server);
        assert_eq!(
            database.select("id, name", "FROM t ORDER BY id").await,
            ["1|a", "2|c"],
            "{}",
            database.server
        );
        database.run("DELETE FROM t").await;
        let puts: Vec<_> = batch.iter().map(std::slice::from_ref).collect();
        let seen = rejected(&mut database, &[("name", "again")], &topic, &puts).await;
        assert_eq!(seen, [vec![], vec![0], vec![]], "{}", database.server);
        assert_eq!(
            database.select("id, name", "FROM t ORDER BY id").await,
            ["1|a", "2|c"],
            "{}",
            database.server
        );
    }
}

#[tokio::test]
async fn records_with_more_fields_than_the_table_or_view_are_rejected() {
    for mut database in database::all().await {
        database.run("CREATE TABLE base (id INT, name VARCHAR(9), x INT); CREATE VIEW v AS SELECT id FROM base").await;
        database.run("CREATE TABLE t (id INT)").await;
        let topic = Topic::new("t");
        let few = topic.value(&[int("id")], [Value::I32(0)]);
        let batch = [row(&topic, 1, "a"), few, row(&topic, 2, "b")];
        let seen = rejected(&mut database, &[], &topic, &[&batch]).await;
        assert_eq!(seen, [vec![0, 2]], "{}", database.server);
        if database.server == Server::Sqlite {
            continue; // its views take no rows
        }
        let keys = [
            ("table.name.format", "v"),
            ("table.types", "VIEW"),
            ("name", "to-view"),
        ];
        let seen = rejected(&mut database, &keys, &topic, &[&batch]).await;
        assert_eq!(seen, [vec![0, 2]], "{}", database.server);
        assert_eq!(
            database.select("id", "FROM base").await,
            ["0"],
            "{}",
            database.server
        );
    }
}

#[tokio::test]
async fn waiting_for_a_row_lock_is_shown_in_the_status() {
    let tests = database::all().await.into_iter().map(|mut database| {
        tokio::spawn(async move {
            database.run("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(9)); INSERT INTO t VALUES (1, 'a')").await;
            let topic = Topic::new("t");
            let mut task = database.open(&topic, false, &UPSERT).await;
            database.run("BEGIN; UPDATE t SET name = 'held' WHERE id = 1").await;
            let batch = [row(&topic, 1, "b")];
            let error = task.put(&batch, &topic.next()).await.unwrap_err();
            assert!(
                error.kind() == ErrorKind::Retry && error.to_string().to_lowercase().contains("lock"),
                "{}: {error}",
                database.server
            );
            database.run("COMMIT").await;
            task.put(&batch, &topic.next()).await.unwrap();
            assert_eq!(database.select("name", "FROM t").await, ["b"], "{}", database.server);
            task.close().await;
        })
    });
    for test in tests.collect::<Vec<_>>() {
        test.await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_is_opened_again() {
    for mut database in database::servers().await {
        let topic = Topic::new("t");
        let mut task = database.open(&topic, false, &[]).await;
        task.put(&[row(&topic, 1, "a")], &topic.next())
            .await
            .unwrap();
        let session = database
            .select("session_id", "FROM rowferry_offsets")
            .await
            .remove(0);
        let end = if database.server == Server::Postgres {
            format!("SELECT pg_terminate_backend({session})")
        } else {
            format!("KILL {session}")
        };
        database.run(&end).await;
        let batch = [row(&topic, 2, "b")];
        put_until_done(&mut task, &batch, &topic).await;
        assert_eq!(
            database.select("id", "FROM t ORDER BY id").await,
            ["1", "2"],
            "{}",
            database.server
        );
        task.close().await;
    }
}

async fn put_until_done(task: &mut records::Task, batch: &[SinkRecord], topic: &Topic) {
    let transient = |error: Error| assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    for_condition("the batch to be written", SOON, async || {
        match task.put(batch, &topic.next()).await {
            Ok(_) => true,
            Err(error) => {
                transient(error);
                false
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_upsert_without_key_names_what_is_missing() {
    let text =
        "in UPSERT mode requires key field names to be known, check the primary key configuration";
    refused(
        "",
        &[("insert.mode", "upsert")],
        |topic| row(topic, 1, "a"),
        &["Write to table", text],
    )
    .await;
}

#[tokio::test]
async fn an_update_of_an_unknown_table_fails() {
    let keys = [
        ("insert.mode", "update"),
        ("auto.create", "false"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
    ];
    refused(
        "",
        &keys,
        |topic| row(topic, 1, "a"),
        &["is missing and auto-creation is disabled"],
    )
    .await;
}

#[tokio::test]
async fn a_malformed_table_mapping_is_refused() {
    let config = Config::from([
        ("connection.url", "jdbc:mysql://h/d"),
        ("topics.to.tables.mapping", "asd:asd,asd"),
    ]);
    let error = JdbcSink.open(&config, false).await.err().unwrap();
    assert!(
        error.message().contains("Invalid topics to tables mapping"),
        "{error}"
    );
}

#[test]
fn key_fields_without_a_key_are_a_warning() {
    let report = problems(&[("pk.fields", "id")]);
    assert!(report.errors.is_empty());
    assert!(
        report
            .warnings
            .iter()
            .any(|problem| problem.key == "pk.fields"),
        "{:?}",
        report.warnings
    );
}

#[tokio::test]
async fn a_refused_value_is_in_no_error_text() {
    for mut database in database::all().await {
        database
            .run("CREATE TABLE t (id INT, name VARCHAR(30) PRIMARY KEY)")
            .await;
        let topic = Topic::new("t");
        let mut task = database
            .open(&topic, false, &[("trim.sensitive.log", "true")])
            .await;
        let batch = [row(&topic, 1, "top-secret"), row(&topic, 2, "top-secret")];
        let error = task.put(&batch, &topic.next()).await.unwrap_err();
        let reported = error.to_string();
        assert!(
            reported.contains("offset 1") && !reported.contains("top-secret"),
            "{}: {reported}",
            database.server
        );
        task.close().await;
    }
}

/// A batch that fails half-way would stay half written.
#[tokio::test]
async fn a_table_that_cannot_roll_back_is_refused_unless_rows_may_be_duplicated() {
    let mut database = Database::new(Server::MariaDb, &[]).await;
    for engine in ["MyISAM", "Aria", "MEMORY"] {
        database
            .run(&format!(
                "CREATE OR REPLACE TABLE t (id INT, name VARCHAR(9)) ENGINE={engine}"
            ))
            .await;
        let topic = Topic::new("t");
        let mend = format!(
            "ALTER TABLE `{}`.`t` ENGINE=InnoDB, or set delivery.guarantee=at_least_once",
            database.name
        );
        for (guarantee, refused) in [("at_least_once", false), ("exactly_once", true)] {
            let keys = [
                ("delivery.guarantee", guarantee),
                ("topics", "t"),
                ("name", engine),
            ];
            let mut report = ConfigReport::default();
            JdbcSink.probe(&database.config(&keys), &mut report).await;
            let (reported, silent) = if refused {
                (report.errors, report.warnings)
            } else {
                (report.warnings, report.errors)
            };
            let [problem] = reported.as_slice() else {
                panic!("{engine}, {guarantee}: {reported:?}")
            };
            assert!(
                silent.is_empty() && problem.key == "delivery.guarantee",
                "{silent:?}"
            );
            assert!(
                problem.message.contains(engine) && problem.message.contains(&mend),
                "{}",
                problem.message
            );
            let mut task = database.open(&topic, true, &keys).await;
            let batch = [row(&topic, 1, "a")];
            let outcome = task.put(&batch, &topic.next()).await;
            if let Err(error) = outcome {
                assert!(
                    refused && error.kind() == ErrorKind::Config && error.message().contains(&mend),
                    "{error}"
                );
                database.run("ALTER TABLE t ENGINE=InnoDB").await;
                task.put(&batch, &topic.next()).await.unwrap();
            }
            task.close().await;
        }
        assert_eq!(
            database.select("COUNT(*)", "FROM t").await,
            ["2"],
            "{engine}"
        );
    }
}

/// A full disk passes once somebody makes room; nothing is skipped meanwhile.
#[tokio::test]
async fn a_full_table_is_waited_for() {
    let mut database = Database::new(Server::MariaDb, &[]).await;
    database.run("SET max_heap_table_size = 16384; CREATE TABLE t (id INT, name CHAR(200)) ENGINE = MEMORY").await;
    let topic = Topic::new("t");
    let mut task = database
        .open(&topic, true, &[("delivery.guarantee", "at_least_once")])
        .await;
    let mut id = 0;
    let error = loop {
        id += 1;
        if let Err(error) = task.put(&[row(&topic, id, "a")], &topic.next()).await {
            break error;
        }
    };
    assert!(
        error.kind() == ErrorKind::Retry && error.to_string().contains("full"),
        "{error}"
    );
    database.run("DELETE FROM t").await;
    let batch = [row(&topic, id, "a")];
    put_until_done(&mut task, &batch, &topic).await;
    assert_eq!(database.select("id", "FROM t").await, [id.to_string()]);
    task.close().await;
}

/// 10,000 records with 7 bad ones: each is found, and the others are written.
#[tokio::test]
async fn few_bad_records_among_many_are_found() {
    for mut database in database::all().await {
        database
            .run("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(9), CHECK (id <> 5003), CHECK (LENGTH(name) < 10))")
            .await;
        let topic = Topic::new("t");
        let bad = [0, 17, 499, 500, 5003, 7777, 9999];
        let name = |id: i32| {
            if bad.contains(&id) && id != 5003 {
                "much too long"
            } else {
                "fits"
            }
        };
        let batch: Vec<_> = (0..10_000).map(|id| row(&topic, id, name(id))).collect();
        let mut task = records::open(&database.config(&UPSERT), true).await;
        task.assign(&topic.partitions()).await.unwrap();
        let report = task.put(&batch, &topic.next()).await.unwrap();
        let seen: Vec<_> = report
            .rejected
            .iter()
            .map(|r| i32::try_from(r.index).unwrap())
            .collect();
        assert_eq!(seen, bad, "{}", database.server);
        for rejected in &report.rejected {
            let reported = rejected.error.to_string();
            let place = format!("topic t, partition 0, offset {}", rejected.index);
            assert!(
                reported.contains(&place) && reported.contains("table") && reported.contains("t:"),
                "{}: {reported}",
                database.server
            );
        }
        assert_eq!(
            database.select("COUNT(*)", "FROM t").await,
            ["9993"],
            "{}",
            database.server
        );
        task.close().await;
    }
}

/// Of a table `t (id INT PRIMARY KEY, x TEXT)` of PostgreSQL: what refuses the record of id 2 with x = 'bad', and the column
/// type of x.
const REFUSALS: &[(&str, &str, &str)] = &[
    (
        "P0001",
        "TEXT",
        "CREATE FUNCTION f() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN IF NEW.x = 'bad' THEN RAISE EXCEPTION 'no'; \
      END IF; RETURN NEW; END $$; CREATE TRIGGER f BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
    ),
    (
        "P0004",
        "TEXT",
        "CREATE FUNCTION f() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN ASSERT NEW.x <> 'bad'; \
      RETURN NEW; END $$; CREATE TRIGGER f BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
    ),
    (
        "42P01",
        "TEXT",
        "CREATE FUNCTION f() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN IF NEW.x = 'bad' THEN \
      INSERT INTO missing VALUES (1); END IF; RETURN NEW; END $$; \
      CREATE TRIGGER f BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
    ),
];

#[tokio::test]
async fn a_record_that_postgresql_refuses_by_a_rule_of_its_own_is_rejected_alone() {
    let modes: [&[(&str, &str)]; 2] = [
        &[("insert.mode", "insert"), ("pk.mode", "none")],
        &[
            ("insert.mode", "update"),
            ("pk.mode", "record_value"),
            ("pk.fields", "id"),
        ],
    ];
    for (code, ty, sql) in REFUSALS {
        for keys in modes {
            let mut database = Database::new(Server::Postgres, keys).await;
            database
                .run(&format!(
                    "CREATE TABLE t (id INT PRIMARY KEY, x {ty}); {sql}"
                ))
                .await;
            if keys[0].1 == "update" {
                let rows = "INSERT INTO t SELECT n, 'pg_class' FROM generate_series(1, 3) n";
                database.run(rows).await;
            }
            let topic = Topic::new("t");
            let mut task = database.open(&topic, true, &[]).await;
            let fields = [int("id"), text("x")];
            let row = |id, x: &str| topic.value(&fields, [Value::I32(id), Value::Text(x.into())]);
            let batch = [row(1, "pg_type"), row(2, "bad"), row(3, "pg_type")];
            let report = task.put(&batch, &topic.next()).await;
            let rejected = report
                .unwrap_or_else(|error| panic!("{code} {keys:?}: {error}"))
                .rejected;
            let seen: Vec<usize> = rejected.iter().map(|r| r.index).collect();
            assert_eq!(seen, [1], "{code} {keys:?}: {rejected:?}");
            let shown = rejected[0].error.to_string();
            assert!(shown.contains(code), "{shown}");
            assert_eq!(
                database
                    .rows("SELECT count(*) FROM t WHERE x::text = 'pg_type'")
                    .await,
                ["2"],
                "{code} {keys:?}"
            );
            task.close().await;
        }
    }
}

/// A trigger on definitions raises what a trigger on rows raises.
#[tokio::test]
async fn a_definition_that_an_event_trigger_refuses_fails_the_task_and_rejects_no_record() {
    let mut database = Database::new(Server::Postgres, &UPSERT).await;
    let topic = Topic::new("t");
    let mut task = database
        .open(&topic, true, &[("auto.evolve", "true")])
        .await;
    task.put(&[row(&topic, 1, "a")], &topic.next())
        .await
        .unwrap();
    database
        .run(
            "CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$; \
             CREATE EVENT TRIGGER no ON ddl_command_start WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE') \
             EXECUTE FUNCTION no()",
        )
        .await;
    let fields = [int("id"), text("name"), optional("more", SchemaType::Int32)];
    let more = topic.value(
        &fields,
        [Value::I32(2), Value::Text("b".into()), Value::I32(7)],
    );
    let error = task.put(&[more], &topic.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("P0001"), "{error}");
    task.close().await;
}

/// SQLite's RAISE(ROLLBACK) ends the transaction, with the savepoints of the search for the record.
#[tokio::test]
async fn a_record_over_which_a_trigger_ends_the_transaction_is_rejected_alone() {
    let mut database = Database::new(Server::Sqlite, &UPSERT).await;
    for sql in [
        "CREATE TABLE t (id INT PRIMARY KEY, name TEXT)",
        "CREATE TRIGGER r BEFORE INSERT ON t WHEN NEW.name = 'bad' BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
    ] {
        database.run(sql).await;
    }
    let topic = Topic::new("t");
    let mut task = database.open(&topic, true, &[]).await;
    let batch: Vec<_> = (0..20)
        .map(|n| row(&topic, n, if n % 8 == 5 { "bad" } else { "good" }))
        .collect();
    let report = task.put(&batch, &topic.next()).await.unwrap();
    let rejected: Vec<_> = report.rejected.iter().map(|r| r.index).collect();
    assert_eq!(rejected, [5, 13]);
    assert_eq!(database.rows("SELECT count(*) FROM t").await, ["18"]);
    task.close().await;
}

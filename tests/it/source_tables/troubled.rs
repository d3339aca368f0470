//! A row that is too large, an offset that cannot be read, a privilege that is taken away, a topic that there cannot be:
//! what is reported about one table, and how the others continue.

use connector_api::{
    ConfigReport, ErrorKind, OffsetValue, SourceConnector, SourceOffset, SourceTask,
};
use connector_jdbc::source::JdbcSource;
use serde_json::json;
use testkit::mariadb::run;
use testkit::{MariaDb, unique, wait_until};

use super::{poll_until, poll_until_warned, two_tables};
use crate::pipeline::Pipeline;
use crate::source::{PLENTY, Stored, config, open};
use crate::{SOON, lab};

/// Polls until all these rows have come, in any order.
async fn poll_until_all(task: &mut dyn SourceTask, wanted: &[&str]) {
    let mut seen = Vec::new();
    while let Some(missing) = wanted
        .iter()
        .find(|row| !seen.iter().any(|other| other == *row))
    {
        seen.extend(poll_until(task, missing).await);
    }
}

/// The second of three rows of `a` has more bytes than `max.row.bytes`: the row before it comes, and `b` is read on. Where
/// the bytes are fewer, or the limit higher, `a` is read on.
#[tokio::test]
async fn a_row_beyond_max_row_bytes_stops_its_table_alone_behind_the_rows_before_it() {
    let database = unique("large");
    let mut maria = lab().mariadb().create_database(&database).await;
    let mut postgres = lab().postgres().create_database(&database).await;
    let file = testkit::SqliteFile::new(lab().scratch(), &database);
    let mut sqlite = file.connect().await;
    for table in ["a", "b"] {
        let create = |large: &str| {
            format!(
                "CREATE TABLE {table} (id INTEGER NOT NULL PRIMARY KEY, t {large}); INSERT INTO {table} VALUES (1, 'x')"
            )
        };
        run(&mut maria, &create("LONGTEXT")).await;
        crate::source::run(&mut postgres, &create("TEXT")).await;
        testkit::sqlite::run(&mut sqlite, &create("TEXT")).await;
    }
    let large =
        |value: &str| format!("INSERT INTO a VALUES (2, {value}); INSERT INTO a VALUES (3, 'y')");
    run(&mut maria, &large("REPEAT('x', 3000000)")).await;
    crate::source::run(&mut postgres, &large("REPEAT('x', 3000000)")).await;
    testkit::sqlite::run(&mut sqlite, &large("CAST(zeroblob(3000000) AS TEXT)")).await;
    for (url, user, password) in [
        (
            lab().mariadb().jdbc_url(&database),
            MariaDb::USER,
            MariaDb::PASSWORD,
        ),
        (
            lab().postgres().jdbc_url(&database),
            testkit::Postgres::USER,
            testkit::Postgres::PASSWORD,
        ),
        (file.jdbc_url(), "", ""),
    ] {
        let keys = [
            ("table.whitelist", "a,b"),
            ("mode", "incrementing"),
            ("incrementing.column.name", "id"),
            ("table.poll.interval.ms", "500"),
            ("max.row.bytes", "1048576"),
        ];
        let mut one = config(&url, user, password, &keys);
        let mut task = open(&one, &Stored::default()).await;
        poll_until_all(&mut *task, &["p-a 1", "p-b 1"]).await;
        poll_until_warned(
            &mut *task,
            &["a is not read any more", "1048576 bytes of max.row.bytes"],
        )
        .await;
        let more = "INSERT INTO b VALUES (2, 'x')";
        match user {
            MariaDb::USER => run(&mut maria, more).await,
            "" => testkit::sqlite::run(&mut sqlite, more).await,
            _ => crate::source::run(&mut postgres, more).await,
        }
        let seen = poll_until(&mut *task, "p-b 2").await;
        assert!(
            !seen.iter().any(|row| row == "p-a 2" || row == "p-a 3"),
            "{url}: {seen:?}"
        );
        task.close().await;
        // alone it fails its task, behind the row before it
        one.set("table.whitelist", "a");
        let mut task = open(&one, &Stored::default()).await;
        poll_until(&mut *task, "p-a 1").await;
        let failed = wait_until("the task fails", PLENTY, async || task.poll().await.err()).await;
        assert!(
            failed.kind() == ErrorKind::Record && failed.message().contains("max.row.bytes"),
            "{url}: {failed}"
        );
        task.close().await;
        one.set("max.row.bytes", "8388608");
        let mut task = open(&one, &Stored::default()).await;
        poll_until(&mut *task, "p-a 3").await;
        task.close().await;
    }
}

/// What is stored of `a` cannot be read: nobody knows where to go on, and it is not read from its beginning.
#[tokio::test]
async fn a_table_whose_stored_offset_cannot_be_read_stops_alone() {
    let (mut task, mut sql, database) = two_tables(&[("incrementing.column.name", "id")]).await;
    let mut stored = Stored::default();
    let end = tokio::time::Instant::now() + PLENTY;
    while stored.0.len() < 2 {
        stored.note(
            &tokio::time::timeout_at(end, task.poll())
                .await
                .expect("both tables are read")
                .unwrap(),
        );
    }
    task.close().await;
    for (partition, offset) in &mut stored.0 {
        if format!("{partition:?}").contains(&format!("{database}.a")) {
            *offset = Some(SourceOffset(vec![(
                "incrementing".to_owned(),
                OffsetValue::Text("1".to_owned()),
            )]));
        }
    }
    run(
        &mut sql,
        "INSERT INTO a (n) VALUES (2); INSERT INTO b (n) VALUES (2)",
    )
    .await;
    let keys = [
        ("table.whitelist", "a,b"),
        ("mode", "incrementing"),
        ("incrementing.column.name", "id"),
        ("table.poll.interval.ms", "100"),
    ];
    let mut config = config(
        &lab().mariadb().jdbc_url(&database),
        MariaDb::USER,
        MariaDb::PASSWORD,
        &keys,
    );
    let mut task = open(&config, &stored).await;
    let name = format!("{database}.a");
    poll_until_warned(
        &mut *task,
        &[
            &name,
            "is not read any more",
            "PATCH /connectors/NAME/offsets",
        ],
    )
    .await;
    let mut seen = poll_until(&mut *task, "p-b 2").await;
    run(&mut sql, "INSERT INTO b (n) VALUES (3)").await;
    seen.extend(poll_until(&mut *task, "p-b 3").await);
    assert!(!seen.iter().any(|row| row.starts_with("p-a")), "{seen:?}");
    task.close().await;
    // alone it fails its task
    config.set("table.whitelist", "a");
    let plan = JdbcSource.plan(&config, 1).await.unwrap();
    let refused = JdbcSource
        .open(&plan.tasks[0], &stored)
        .await
        .err()
        .expect("refused");
    assert!(
        refused.kind() == ErrorKind::Config && refused.message().contains(&name),
        "{refused}"
    );
}

/// The privilege to read `a` is taken away and given back, before the task starts and while it reads.
#[tokio::test]
async fn a_table_that_may_not_be_read_stops_alone_and_a_pattern_takes_the_others() {
    let name = unique("denied");
    let mut root = lab().postgres().create_database(&name).await;
    let tables = "CREATE TABLE a (id INT PRIMARY KEY); CREATE TABLE b (id INT PRIMARY KEY); INSERT INTO a VALUES (1); \
                  INSERT INTO b VALUES (1)";
    crate::source::run(&mut root, tables).await;
    let role = format!("CREATE ROLE {name} LOGIN PASSWORD 'pw'; GRANT SELECT ON b TO {name}");
    crate::source::run(&mut root, &role).await;
    let keys = [
        ("table.whitelist", ""),
        ("table.include.list", "public\\..*"),
        ("mode", "incrementing"),
        ("incrementing.column.mapping", ".*:id"),
        ("table.poll.interval.ms", "500"),
    ];
    let config = config(&lab().postgres().jdbc_url(&name), &name, "pw", &keys);
    let mut report = ConfigReport::default();
    JdbcSource.probe(&config, &mut report).await;
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    assert!(
        report
            .warnings
            .iter()
            .any(|p| p.message.contains("GRANT SELECT")),
        "{:?}",
        report.warnings
    );
    let mut task = open(&config, &Stored::default()).await;
    poll_until(&mut *task, "p-b 1").await;
    poll_until_warned(&mut *task, &["a is not read any more", "42501"]).await;
    crate::source::run(&mut root, &format!("GRANT SELECT ON a TO {name}")).await;
    poll_until(&mut *task, "p-a 1").await;
    crate::source::run(
        &mut root,
        &format!("REVOKE SELECT ON a FROM {name}; INSERT INTO b VALUES (2)"),
    )
    .await;
    poll_until(&mut *task, "p-b 2").await;
    poll_until_warned(&mut *task, &["a is not read any more", "42501"]).await;
    task.close().await;
}

/// Over REST: a transform names a topic that there cannot be, for the rows of `b` alone.
#[tokio::test]
async fn a_transform_that_makes_an_illegal_topic_is_the_error_of_its_records() {
    let server = lab().mariadb();
    let rest = lab().worker().rest();
    let (pipeline, mut sql) = Pipeline::new(server, "illegal", "a").await;
    for table in ["a", "b"] {
        run(
            &mut sql,
            &format!(
                "CREATE TABLE {table} (id INT PRIMARY KEY); INSERT INTO {table} VALUES (1), (2)"
            ),
        )
        .await;
    }
    let keys = json!({"table.whitelist": "a,b", "errors.tolerance": "all", "transforms": "route",
        "transforms.route.type": "RegexRouter", "transforms.route.regex": "(.*)-b", "transforms.route.replacement": "$1 b"});
    let name = pipeline.source_name();
    rest.create(&name, &pipeline.source(server, keys.clone()))
        .await;
    let topics = lab().kafka().topics();
    let topic = format!("{}-a", pipeline.name);
    topics.wait_for(&topic, 2, SOON).await;
    run(
        &mut sql,
        "INSERT INTO b VALUES (3); INSERT INTO a VALUES (3)",
    )
    .await;
    topics.wait_for(&topic, 3, SOON).await;
    assert_eq!(
        rest.get(&format!("/connectors/{name}/status")).await.body["tasks"][0]["state"],
        "RUNNING"
    );
    let mut strict = pipeline.source(server, keys);
    strict["errors.tolerance"] = json!("none");
    rest.put(&format!("/connectors/{name}/config"), &strict)
        .await
        .expect(200);
    run(&mut sql, "INSERT INTO b VALUES (4)").await;
    let status = rest.wait_state(&name, "FAILED", SOON).await;
    let trace = status["tasks"][0]["trace"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    for part in [
        "the transform route sets the topic",
        " b\"",
        "ASCII letters",
        "errors.tolerance=all",
    ] {
        assert!(trace.contains(part), "{trace}");
    }
    rest.remove(&name).await;
}

//! Several tables of one source task: an error of one does not affect the others.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use connector_api::{
    ConfigReport, ErrorKind, Result, SourceConnector, SourceOffset, SourcePartition,
    SourcePosition, SourceTask, StoredOffsets, Value, async_trait,
};
use connector_jdbc::source::JdbcSource;
use serde_json::json;
use sqlx::mysql::MySqlConnection;
use testkit::mariadb::{count, rows, run};
use testkit::{MariaDb, for_condition, unique, wait_until};

use crate::pipeline::Pipeline;
use crate::source::{PLENTY, Stored, config, open};
use crate::{SOON, lab};

mod locked;
mod troubled;

/// A task over the tables `a` and `b`, and a connection to their database.
async fn two_tables(keys: &[(&str, &str)]) -> (Box<dyn SourceTask>, MySqlConnection, String) {
    let database = unique("tables");
    let mut sql = lab().mariadb().create_database(&database).await;
    for table in ["a", "b"] {
        run(
            &mut sql,
            &format!("CREATE TABLE {table} (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, n INT)"),
        )
        .await;
        run(&mut sql, &format!("INSERT INTO {table} (n) VALUES (1)")).await;
    }
    let url = lab().mariadb().jdbc_url(&database);
    let own = [
        ("table.whitelist", "a,b"),
        ("mode", "incrementing"),
        ("table.poll.interval.ms", "500"),
    ];
    let keys: Vec<_> = own.iter().chain(keys).copied().collect();
    let config = config(&url, MariaDb::USER, MariaDb::PASSWORD, &keys);
    (open(&config, &Stored::default()).await, sql, database)
}

/// Polls until that row of that table comes; every row that came until then, as `topic id`.
async fn poll_until(task: &mut dyn SourceTask, wanted: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let end = tokio::time::Instant::now() + PLENTY;
    while !seen.iter().any(|row| row == wanted) {
        let batch = tokio::time::timeout_at(end, task.poll()).await;
        let batch = batch
            .unwrap_or_else(|_| panic!("{wanted} did not come: {seen:?}, {:?}", task.progress()))
            .unwrap();
        for record in &batch.records {
            let Value::Struct(row) = &record.value.value else {
                panic!("no struct")
            };
            seen.push(format!("{} {}", record.topic, row[0].as_i64().unwrap()));
        }
        assert!(
            tokio::time::Instant::now() < end,
            "{wanted} did not come: {seen:?}, {:?}",
            task.progress()
        );
        tokio::time::sleep(
            batch
                .idle_for
                .unwrap_or_default()
                .min(Duration::from_millis(50)),
        )
        .await;
    }
    seen
}

/// Polls until a warning has all these parts.
pub async fn poll_until_warned(task: &mut dyn SourceTask, parts: &[&str]) {
    let end = tokio::time::Instant::now() + PLENTY;
    while !task
        .progress()
        .warnings
        .iter()
        .any(|warning| parts.iter().all(|part| warning.contains(part)))
    {
        assert!(
            tokio::time::Instant::now() < end,
            "no warning of {parts:?}: {:?}",
            task.progress()
        );
        let batch = tokio::time::timeout_at(end, task.poll())
            .await
            .unwrap()
            .unwrap();
        tokio::time::sleep(
            batch
                .idle_for
                .unwrap_or_default()
                .min(Duration::from_millis(50)),
        )
        .await;
    }
}

#[tokio::test]
async fn a_dropped_table_stops_alone_and_is_read_again_when_it_is_back() {
    let (mut task, mut sql, database) = two_tables(&[]).await;
    poll_until(&mut *task, "p-a 1").await;
    run(&mut sql, "DROP TABLE b").await;
    poll_until_warned(
        &mut *task,
        &[
            &format!("{database}.b"),
            "does not exist any more",
            "create it again",
        ],
    )
    .await;
    run(&mut sql, "INSERT INTO a (n) VALUES (2)").await;
    poll_until(&mut *task, "p-a 2").await;
    run(
        &mut sql,
        "CREATE TABLE b (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY); INSERT INTO b VALUES (7)",
    )
    .await;
    poll_until(&mut *task, "p-b 7").await;
    run(&mut sql, "INSERT INTO a (n) VALUES (3)").await;
    poll_until(&mut *task, "p-a 3").await;
    assert_eq!(task.progress().warnings, [""; 0]);
    task.close().await;
}

#[tokio::test]
async fn a_dropped_column_of_the_mode_stops_its_table_alone_and_another_one_none() {
    let (mut task, mut sql, database) = two_tables(&[("incrementing.column.name", "id")]).await;
    poll_until(&mut *task, "p-b 1").await;
    run(
        &mut sql,
        "ALTER TABLE a DROP COLUMN n; INSERT INTO a VALUES (2)",
    )
    .await;
    run(&mut sql, "ALTER TABLE b RENAME COLUMN id TO number").await;
    poll_until(&mut *task, "p-a 2").await;
    poll_until_warned(
        &mut *task,
        &[
            &format!("{database}.b"),
            "Incrementing column: id does not exist",
        ],
    )
    .await;
    run(&mut sql, "INSERT INTO a VALUES (3)").await;
    poll_until(&mut *task, "p-a 3").await;
    task.close().await;
}

#[tokio::test]
async fn a_task_fails_with_its_last_table() {
    let (mut task, mut sql, database) = two_tables(&[]).await;
    run(&mut sql, "DROP TABLE a, b").await;
    let failed = wait_until("the task fails", PLENTY, async || task.poll().await.err()).await;
    assert_eq!(failed.kind(), ErrorKind::Config);
    assert!(
        failed.message().contains(&format!("table {database}.")),
        "{failed}"
    );
    task.close().await;
}

/// Another session holds `a` locked, so that reading it takes for ever; then the statement is killed.
#[tokio::test]
async fn a_table_that_cannot_be_read_for_now_starves_no_other() {
    let (mut task, mut sql, database) = two_tables(&[]).await;
    poll_until(&mut *task, "p-a 1").await;
    let mut locker = lab().mariadb().connect(&database).await;
    run(
        &mut locker,
        "LOCK TABLES a WRITE; INSERT INTO a (n) VALUES (2)",
    )
    .await;
    for n in 2..5 {
        run(&mut sql, "INSERT INTO b (n) VALUES (2)").await;
        let seen = poll_until(&mut *task, &format!("p-b {n}")).await;
        assert!(!seen.contains(&"p-a 2".to_owned()));
    }
    let waiting = format!(
        "SELECT id FROM information_schema.processlist WHERE db = '{database}' AND state LIKE '%metadata lock%'"
    );
    let found: i64 = wait_until("a read that waits", SOON, async || {
        Some(
            count(
                &mut sql,
                &format!("SELECT COALESCE(MIN(id), 0) FROM ({waiting}) w"),
            )
            .await,
        )
        .filter(|id| *id > 0)
    })
    .await;
    run(&mut sql, &format!("KILL QUERY {found}")).await;
    poll_until_warned(&mut *task, &[&format!("{database}.a"), "trying again"]).await;
    run(&mut sql, "INSERT INTO b (n) VALUES (2)").await;
    poll_until(&mut *task, "p-b 5").await;
    run(&mut locker, "UNLOCK TABLES").await;
    poll_until(&mut *task, "p-a 2").await;
    task.close().await;
}

/// `a` is locked when the task starts.
#[tokio::test]
async fn a_table_that_is_locked_when_the_task_starts_starves_no_other() {
    let (task, mut sql, database) = two_tables(&[]).await;
    task.close().await;
    let mut locker = lab().mariadb().connect(&database).await;
    run(&mut locker, "LOCK TABLES a WRITE").await;
    let url = lab().mariadb().jdbc_url(&database);
    let keys = [
        ("table.whitelist", "a,b"),
        ("mode", "incrementing"),
        ("incrementing.column.name", "id"),
    ];
    let config = config(&url, MariaDb::USER, MariaDb::PASSWORD, &keys);
    let opened = tokio::time::timeout(PLENTY, async { open(&config, &Stored::default()).await });
    let mut task = opened.await.expect("the task starts");
    assert!(
        !poll_until(&mut *task, "p-b 1")
            .await
            .contains(&"p-a 1".to_owned())
    );
    run(&mut sql, "INSERT INTO b (n) VALUES (2)").await;
    poll_until(&mut *task, "p-b 2").await;
    run(&mut locker, "UNLOCK TABLES").await;
    poll_until(&mut *task, "p-a 1").await;
    task.close().await;
}

/// A row of `a` cannot be read: its table stops, and continues once the row is fixed.
#[tokio::test]
async fn a_row_that_cannot_be_read_stops_its_table_alone() {
    let (mut task, mut sql, database) = two_tables(&[]).await;
    poll_until(&mut *task, "p-a 1").await;
    run(&mut sql, "ALTER TABLE a ADD COLUMN big BIGINT UNSIGNED; INSERT INTO a (big) VALUES (18446744073709551615)")
        .await;
    poll_until_warned(
        &mut *task,
        &[&format!("{database}.a"), "is not read any more"],
    )
    .await;
    run(&mut sql, "INSERT INTO b (n) VALUES (2)").await;
    poll_until(&mut *task, "p-b 2").await;
    run(&mut sql, "UPDATE a SET big = 1 WHERE id = 2").await;
    poll_until(&mut *task, "p-a 2").await;
    wait_until("no warning", PLENTY, async || {
        task.poll().await.unwrap();
        task.progress().warnings.is_empty().then_some(())
    })
    .await;
    task.close().await;
}

/// Tables of names that no topic can have, beside one whose name is fine.
#[tokio::test]
async fn a_table_whose_name_makes_no_topic_stops_alone() {
    let database = unique("topics");
    let mut sql = lab().mariadb().create_database(&database).await;
    let mut postgres = lab().postgres().create_database(&database).await;
    let tables = ["fine", "order items", "größe"];
    for table in tables {
        let create =
            format!("(id INT NOT NULL PRIMARY KEY); INSERT INTO {{}}{table}{{}} VALUES (1)");
        run(
            &mut sql,
            &format!("CREATE TABLE `{table}` {}", create.replace("{}", "`")),
        )
        .await;
        let create = format!("CREATE TABLE \"{table}\" {}", create.replace("{}", "\""));
        crate::source::run(&mut postgres, &create).await;
    }
    let keys = [
        ("table.whitelist", "fine,order items,größe"),
        ("mode", "incrementing"),
        ("incrementing.column.name", "id"),
    ];
    for config in [
        config(
            &lab().mariadb().jdbc_url(&database),
            MariaDb::USER,
            MariaDb::PASSWORD,
            &keys,
        ),
        config(
            &lab().postgres().jdbc_url(&database),
            testkit::Postgres::USER,
            testkit::Postgres::PASSWORD,
            &keys,
        ),
    ] {
        let mut report = ConfigReport::default();
        JdbcSource.probe(&config, &mut report).await;
        assert_eq!(
            (report.errors.len(), report.warnings.len()),
            (0, 2),
            "{:?}",
            report.warnings
        );
        let mut task = open(&config, &Stored::default()).await;
        poll_until(&mut *task, "p-fine 1").await;
        for table in &tables[1..] {
            poll_until_warned(&mut *task, &[table, "is not read any more", "RegexRouter"]).await;
        }
        task.close().await;
        // what transforms make of the name is theirs
        let mut routed = config.clone();
        routed.set("transforms", "route");
        let mut task = open(&routed, &Stored::default()).await;
        poll_until(&mut *task, "p-order items 1").await;
        task.close().await;
        let mut alone = config.clone();
        alone.set("table.whitelist", "order items");
        let plan = JdbcSource.plan(&alone, 1).await.unwrap();
        let refused = JdbcSource
            .open(&plan.tasks[0], &Stored::default())
            .await
            .err()
            .expect("refused");
        assert!(
            refused.kind() == ErrorKind::Config && refused.message().contains("p-order items"),
            "{refused}"
        );
    }
}

/// The task's connections are cut again and again while it reads.
#[tokio::test]
async fn cut_connections_lose_and_double_no_row() {
    let (mut task, mut sql, database) =
        two_tables(&[("batch.max.rows", "100"), ("connection.backoff.ms", "50")]).await;
    run(&mut sql, "INSERT INTO a (n) SELECT seq FROM seq_2_to_50000").await;
    let mut killer = lab().mariadb().connect(&database).await;
    let own = count(&mut killer, "SELECT CAST(CONNECTION_ID() AS SIGNED)").await;
    let other = count(&mut sql, "SELECT CAST(CONNECTION_ID() AS SIGNED)").await;
    let (mut seen, mut cuts) = (Vec::new(), 0);
    let end = tokio::time::Instant::now() + SOON;
    while seen.len() < 50_000 {
        assert!(
            tokio::time::Instant::now() < end,
            "{} rows and {cuts} cuts",
            seen.len()
        );
        match task.poll().await {
            Ok(batch) => {
                let rows = batch
                    .records
                    .iter()
                    .filter(|record| &*record.topic == "p-a");
                seen.extend(rows.map(|record| match &record.value.value {
                    Value::Struct(row) => row[0].as_i64().unwrap(),
                    other => panic!("no struct: {other:?}"),
                }));
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
        }
        if seen.len() / 5_000 > cuts {
            cuts += 1;
            let sessions = format!(
                "SELECT id FROM information_schema.processlist WHERE db = '{database}' AND id NOT IN ({own}, {other})"
            );
            for row in rows(&mut killer, &sessions).await {
                let id: i64 = sqlx::Row::get(&row, 0);
                let _gone_already = sqlx::query(sqlx::AssertSqlSafe(format!("KILL {id}")))
                    .execute(&mut killer)
                    .await;
            }
        }
    }
    assert!(cuts >= 9);
    assert_eq!(seen, (1..=50_000).collect::<Vec<i64>>());
    task.close().await;
}

/// Over REST: the status names the missing table, and the table monitor finds the new one.
#[tokio::test]
async fn tables_come_and_go_while_the_others_are_read() {
    let server = lab().mariadb();
    let rest = lab().worker().rest();
    let (pipeline, mut sql) = Pipeline::new(server, "monitor", "a").await;
    run(
        &mut sql,
        "CREATE TABLE a (id INT PRIMARY KEY); INSERT INTO a VALUES (1)",
    )
    .await;
    run(
        &mut sql,
        "CREATE TABLE b (id INT PRIMARY KEY); INSERT INTO b VALUES (1)",
    )
    .await;
    let keys =
        json!({"table.whitelist": "a,b,c", "table.poll.interval.ms": "3000", "tasks.max": "1"});
    let name = pipeline.source_name();
    rest.create(&name, &pipeline.source(server, keys)).await;
    let topics = lab().kafka().topics();
    let topic = |table: &str| format!("{}-{table}", pipeline.name);
    topics.wait_for(&topic("b"), 1, SOON).await;
    run(&mut sql, "DROP TABLE b").await;
    let status = format!("/connectors/{name}/status");
    for_condition("a warning or a new plan", SOON, async || {
        let task = &rest.get(&status).await.body["tasks"][0];
        let warned = task["warning"]
            .as_str()
            .is_some_and(|text| text.contains(".b is not read any more"));
        let tasks = rest.get(&format!("/connectors/{name}/tasks")).await.text;
        assert_eq!(task["state"], "RUNNING");
        warned || !tasks.contains("`b`")
    })
    .await;
    run(
        &mut sql,
        "CREATE TABLE c (id INT PRIMARY KEY); INSERT INTO c VALUES (1), (2)",
    )
    .await;
    topics.wait_for(&topic("c"), 2, SOON).await;
    run(&mut sql, "INSERT INTO a VALUES (2)").await;
    assert_eq!(topics.wait_for(&topic("a"), 2, SOON).await.len(), 2);
    let progress = rest
        .get(&format!("/v1/connectors/{name}/progress"))
        .await
        .expect(200)
        .body;
    let tables = progress["tasks"][0]["tables"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let tables: Vec<_> = tables
        .iter()
        .map(|t| t["table"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        tables,
        [
            format!("{}.a", pipeline.name),
            format!("{}.c", pipeline.name)
        ]
    );
    rest.remove(&name).await;
}

/// The server stores names in small letters.
#[tokio::test]
async fn names_in_any_letters_mean_their_tables_on_a_server_that_does_not_tell_them_apart() {
    let name = unique("mariadb-letters");
    let server =
        MariaDb::start_with_options(lab().scratch(), &name, &["--lower-case-table-names=1"]);
    let mut sql = server.create_database("Shop").await;
    let columns = "(id INT PRIMARY KEY, changed DATETIME(3) NOT NULL DEFAULT '2024-01-01')";
    run(&mut sql, "CREATE DATABASE Crm").await;
    for table in ["Users", "Orders", "Crm.Clients"] {
        run(
            &mut sql,
            &format!("CREATE TABLE {table} {columns}; INSERT INTO {table} (id) VALUES (1)"),
        )
        .await;
    }
    let (white, black) = ("table.whitelist", "table.blacklist");
    let (incrementing, timestamp) = (("mode", "incrementing"), ("mode", "timestamp"));
    let id = ("incrementing.column.name", "ID");
    for (keys, want) in [
        (
            vec![
                incrementing,
                id,
                (white, "USERS,`Shop`.`Orders`,CRM.clients"),
            ],
            "clients orders users",
        ),
        (
            vec![incrementing, id, (white, ""), (black, "SHOP.ORDERS")],
            "users",
        ),
        (
            vec![
                timestamp,
                (white, ""),
                ("table.include.list", r"SHOP\..*|Crm\..*"),
                ("table.exclude.list", r".*\.ORDERS"),
                (
                    "timestamp.columns.mapping",
                    r"Shop\.Users:[Changed],CRM\.CLIENTS:[changed]",
                ),
            ],
            "clients users",
        ),
    ] {
        let config = config(
            &server.jdbc_url("SHOP"),
            MariaDb::USER,
            MariaDb::PASSWORD,
            &keys,
        );
        let mut report = ConfigReport::default();
        JdbcSource.probe(&config, &mut report).await;
        assert_eq!(
            (report.errors, report.warnings),
            (vec![], vec![]),
            "{keys:?}"
        );
        let mut task = open(&config, &Stored::default()).await;
        let mut topics = BTreeSet::new();
        let end = tokio::time::Instant::now() + PLENTY;
        while topics.len() < want.split(' ').count() {
            let batch = tokio::time::timeout_at(end, task.poll()).await;
            let batch = batch
                .unwrap_or_else(|_| panic!("{keys:?}: {topics:?}"))
                .unwrap();
            topics.extend(
                batch
                    .records
                    .iter()
                    .map(|record| record.topic.trim_start_matches("p-").to_owned()),
            );
            tokio::time::sleep(
                batch
                    .idle_for
                    .unwrap_or_default()
                    .min(Duration::from_millis(50)),
            )
            .await;
            assert!(
                tokio::time::Instant::now() < end,
                "{keys:?}: {topics:?}, {:?}",
                task.progress()
            );
        }
        assert_eq!(
            topics.into_iter().collect::<Vec<_>>().join(" "),
            want,
            "{keys:?}"
        );
        task.close().await;
    }
    server.stop();
}

/// Two tables that cannot be opened, and one that can.
#[tokio::test]
async fn stored_offsets_are_read_once_however_many_tables_cannot_be_opened() {
    struct Counted(AtomicUsize);
    #[async_trait]
    impl StoredOffsets for Counted {
        async fn read(&self, partitions: &[SourcePartition]) -> Result<Vec<Option<SourceOffset>>> {
            Ok(vec![None; partitions.len()])
        }

        async fn all(&self) -> Result<Vec<SourcePosition>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Vec::new())
        }
    }
    let database = unique("once");
    let mut sql = lab().mariadb().create_database(&database).await;
    for (table, id) in [("a", "id"), ("b", "other"), ("c", "another")] {
        run(
            &mut sql,
            &format!("CREATE TABLE {table} ({id} INT PRIMARY KEY)"),
        )
        .await;
    }
    let capture = [
        ("delete.capture", "key_sweep"),
        ("mode", "incrementing"),
        ("incrementing.column.name", "id"),
    ];
    for (keys, want) in [(&capture[..], 1), (&capture[1..], 0)] {
        let keys = [keys, &[("table.whitelist", "a,b,c")]].concat();
        let config = config(
            &lab().mariadb().jdbc_url(&database),
            MariaDb::USER,
            MariaDb::PASSWORD,
            &keys,
        );
        let plan = JdbcSource.plan(&config, 1).await.unwrap();
        let counted = Counted(AtomicUsize::new(0));
        let task = JdbcSource.open(&plan.tasks[0], &counted).await.unwrap();
        assert_eq!(
            task.progress().warnings.len(),
            2,
            "{:?}",
            task.progress().warnings
        );
        assert_eq!(counted.0.load(Ordering::Relaxed), want);
        task.close().await;
    }
}

//! Rows arrive: many, of every type, changed and deleted.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use testkit::mariadb::{count, rows, run};
use testkit::{for_condition, rows_sql};

use crate::pipeline::Pipeline;
use crate::{SOON, lab};

#[tokio::test]
async fn a_hundred_thousand_rows_arrive_once() {
    let (server, worker) = (lab().mariadb(), lab().worker());
    let (pipeline, mut connection) = Pipeline::new(server, "many", "t").await;
    run(&mut connection, &rows_sql::create("t")).await;
    run(&mut connection, &rows_sql::fill("t", 1, 100_000)).await;
    pipeline
        .create(
            worker.rest(),
            server,
            json!({"batch.max.rows": "1000"}),
            json!({}),
        )
        .await;
    pipeline
        .wait_arrived(&mut connection, 100_000, SOON * 2)
        .await;
    assert_eq!(pipeline.assert_same(&mut connection).await, 100_000);
    let (mut records, mut keys) = (0, HashSet::new());
    lab().kafka().topics().each(&pipeline.topic(), |entry| {
        records += 1;
        keys.insert(entry.key);
    });
    assert_eq!((records, keys.len()), (100_000, 100_000));
    pipeline.remove(worker.rest()).await;
}

#[tokio::test]
async fn an_update_is_seen_in_timestamp_mode() {
    let (server, worker) = (lab().mariadb(), lab().worker());
    let (pipeline, mut connection) = Pipeline::new(server, "updates", "t").await;
    let stamp = "changed DATETIME(6) NOT NULL DEFAULT NOW(6) ON UPDATE NOW(6)";
    run(
        &mut connection,
        &format!("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(50), {stamp})"),
    )
    .await;
    run(
        &mut connection,
        "INSERT INTO t (id, name) SELECT seq, CONCAT('name ', seq) FROM seq_1_to_500",
    )
    .await;
    let source = json!({"mode": "timestamp", "timestamp.column.name": "changed", "incrementing.column.name": null});
    let sink = json!({"insert.mode": "upsert", "pk.mode": "record_key", "pk.fields": "id"});
    pipeline.create(worker.rest(), server, source, sink).await;
    pipeline.wait_same(&mut connection, SOON).await;
    run(
        &mut connection,
        "UPDATE t SET name = CONCAT(name, ' again') WHERE id % 7 = 0",
    )
    .await;
    run(
        &mut connection,
        "INSERT INTO t (id, name) VALUES (501, NULL)",
    )
    .await;
    assert_eq!(pipeline.wait_same(&mut connection, SOON).await, 501);
    pipeline.remove(worker.rest()).await;
}

#[tokio::test]
async fn updates_and_tombstones_reach_the_target() {
    let (server, worker) = (lab().mariadb(), lab().worker());
    let (pipeline, mut connection) = Pipeline::new(server, "deletes", "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50), at TIMESTAMP(3) NOT NULL)",
    )
    .await;
    run(
        &mut connection,
        "INSERT INTO t (name, at) SELECT CONCAT('n', seq), NOW(3) FROM seq_1_to_20",
    )
    .await;
    let source = json!({"mode": "timestamp+incrementing", "timestamp.column.name": "at"});
    let sink = json!({"insert.mode": "upsert", "pk.mode": "record_key", "delete.enabled": "true"});
    pipeline.create(worker.rest(), server, source, sink).await;
    pipeline.wait_same(&mut connection, SOON).await;

    run(
        &mut connection,
        "UPDATE t SET name = 'changed', at = NOW(3) WHERE id = 7",
    )
    .await;
    pipeline.wait_same(&mut connection, SOON).await;

    let topics = lab().kafka().topics();
    let key = topics
        .read(&pipeline.topic())
        .into_iter()
        .find(|entry| entry.json()["payload"]["id"] == 7)
        .unwrap()
        .key;
    let key = String::from_utf8(key.unwrap()).unwrap();
    run(&mut connection, "DELETE FROM t WHERE id = 7").await;
    topics.produce(&pipeline.topic(), &[(Some(&key), None)]);
    assert_eq!(pipeline.wait_same(&mut connection, SOON).await, 19);
    pipeline.remove(worker.rest()).await;
}

#[tokio::test]
async fn several_tables_are_split_over_tasks() {
    let (server, worker) = (lab().mariadb(), lab().worker());
    let (pipeline, mut connection) = Pipeline::new(server, "tables", "t0").await;
    for table in ["t0", "t1", "t2"] {
        run(&mut connection, &rows_sql::create(table)).await;
        run(&mut connection, &rows_sql::fill(table, 1, 300)).await;
    }
    let topics = ["t0", "t1", "t2"].map(|table| format!("{}-{table}", pipeline.name));
    let source = json!({"table.whitelist": "t0,t1,t2", "tasks.max": "2"});
    pipeline
        .create(
            worker.rest(),
            server,
            source,
            json!({"topics": topics.join(","), "tasks.max": "2"}),
        )
        .await;
    for topic in &topics {
        let sql = format!("SELECT COUNT(*) FROM `{}`.`{topic}`", pipeline.copy);
        for_condition(&format!("300 rows of {topic}"), SOON, async || {
            count(&mut connection, &sql).await == 300
        })
        .await;
    }
    let status = worker
        .rest()
        .wait_state(&pipeline.source_name(), "RUNNING", SOON)
        .await;
    assert_eq!(status["tasks"].as_array().unwrap().len(), 2);
    pipeline.remove(worker.rest()).await;
}

/// Column name and type, and its values in SQL; one row of each, the shorter lists filled with NULL.
const COLUMNS: &[(&str, &[&str])] = &[
    ("TINYINT", &["-128", "127", "0"]),
    ("TINYINT UNSIGNED", &["0", "255", "1"]),
    ("SMALLINT", &["-32768", "32767", "0"]),
    ("SMALLINT UNSIGNED", &["0", "65535", "1"]),
    ("MEDIUMINT", &["-8388608", "8388607", "0"]),
    ("MEDIUMINT UNSIGNED", &["0", "16777215", "1"]),
    ("INT", &["-2147483648", "2147483647", "0"]),
    ("INT UNSIGNED", &["0", "4294967295", "1"]),
    (
        "BIGINT",
        &["-9223372036854775808", "9223372036854775807", "0"],
    ),
    ("BIGINT UNSIGNED", &["0", "9223372036854775807", "1"]),
    ("BOOLEAN", &["TRUE", "FALSE", "-5"]),
    ("BIT(1)", &["b'0'", "b'1'"]),
    (
        "DECIMAL(65,0)",
        &[
            "-99999999999999999999999999999999999999999999999999999999999999999",
            "0",
            "7",
        ],
    ),
    (
        "DECIMAL(65,30)",
        &[
            "99999999999999999999999999999999999.999999999999999999999999999999",
            "-0.000000000000000000000000000001",
        ],
    ),
    (
        "DECIMAL(10,2)",
        &["-99999999.99", "99999999.99", "0.00", "1.10"],
    ),
    ("FLOAT", &["-3.5e30", "1.5", "0", "1.17549e-30"]),
    (
        "DOUBLE",
        &[
            "-1.7976931348623157e308",
            "2.2250738585072014e-308",
            "0.1",
            "1e23",
        ],
    ),
    (
        "DATE",
        &[
            "'1000-01-01'",
            "'9999-12-31'",
            "'1970-01-01'",
            "'1582-10-15'",
        ],
    ),
    (
        "TIME(3)",
        &["'00:00:00.000'", "'23:59:59.999'", "'12:34:56.789'"],
    ),
    (
        "DATETIME",
        &[
            "'1000-01-01 00:00:00'",
            "'9999-12-31 23:59:59'",
            "'1969-12-31 23:59:59'",
        ],
    ),
    (
        "DATETIME(3)",
        &[
            "'1000-01-01 00:00:00.001'",
            "'9999-12-31 23:59:59.999'",
            "'2024-02-29 12:00:00.5'",
        ],
    ),
    (
        "TIMESTAMP(3) NULL",
        &[
            "'1970-01-01 00:00:01.001'",
            "'2038-01-19 03:14:07.999'",
            "'2024-03-31 02:30:00'",
        ],
    ),
    ("CHAR(10)", &["''", "'äöü'", "'😀𝄞'", "'a b'"]),
    (
        "VARCHAR(200)",
        &[
            "''",
            "'  both  '",
            "'😀 𝄞 中文 Ж'",
            r#"'quote '' " \\ \n \t \0 end'"#,
        ],
    ),
    ("TINYTEXT", &["''", "REPEAT('ü', 127)"]),
    ("TEXT", &["''", "REPEAT('😀', 1000)", "'</script>&'"]),
    ("MEDIUMTEXT", &["''", "REPEAT('x', 60000)"]),
    ("LONGTEXT", &["'l'", "REPEAT('ж', 20000)"]),
    ("BINARY(4)", &["0x00000000", "0xffffffff", "0x41"]),
    ("VARBINARY(300)", &["''", "0x00ff", "REPEAT(0xfe, 300)"]),
    ("TINYBLOB", &["''", "REPEAT(0x00, 255)"]),
    ("BLOB", &["''", "REPEAT(0x80, 1000)"]),
    ("MEDIUMBLOB", &["0x01", "REPEAT(0x22, 1000)"]),
    ("LONGBLOB", &["0x02", "REPEAT(0x5c, 1000)"]),
    ("ENUM('a','ß','😀')", &["'a'", "'ß'", "'😀'"]),
    ("SET('x','y','z')", &["''", "'x,z'", "'x,y,z'"]),
    ("JSON", &[r#"'{"a": [1, null, "ü"]}'"#, "'[]'"]),
    (
        "UUID",
        &[
            "'00000000-0000-0000-0000-000000000000'",
            "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
        ],
    ),
    (
        "INET6",
        &[
            "'::'",
            "'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'",
            "'::ffff:192.0.2.1'",
        ],
    ),
    ("INET4", &["'0.0.0.0'", "'255.255.255.255'"]),
];

/// Types whose column in the copy has another shape: type, values, and how each side is read to be compared.
const RESHAPED: &[(&str, &[&str], &str, &str)] = &[
    (
        "BIT(12)",
        &["b'0'", "b'111111111111'"],
        "LPAD(HEX(#), 4, '0')",
        "HEX(#)",
    ),
    (
        "BIT(64)",
        &["0", "b'1010'", "0xffffffffffffffff"],
        "LPAD(HEX(#), 16, '0')",
        "HEX(#)",
    ),
    (
        "YEAR",
        &["1901", "2155", "2024"],
        "CAST(# AS CHAR)",
        "CAST(YEAR(#) AS CHAR)",
    ),
    (
        "TIME(6)",
        &["'01:02:03.004005'"],
        "TIME_FORMAT(#, '%H:%i:%s.004')",
        "TIME_FORMAT(#, '%H:%i:%s.004')",
    ),
    (
        "POINT",
        &["POINT(1, 2)", "POINT(-0.5, 1e10)"],
        "HEX(ST_AsBinary(#))",
        "SUBSTR(HEX(#), 9)",
    ),
];

#[tokio::test]
async fn every_column_type_arrives_with_its_limits_and_nulls() {
    let (server, worker) = (lab().mariadb(), lab().worker());
    let (pipeline, mut connection) = Pipeline::new(server, "types", "t").await;
    let plain = COLUMNS.iter().map(|(kind, values)| (*kind, *values));
    let all: Vec<(&str, &[&str])> = plain
        .chain(RESHAPED.iter().map(|(kind, values, ..)| (*kind, *values)))
        .collect();
    let columns: String = all
        .iter()
        .enumerate()
        .map(|(i, (kind, _))| format!(", c{i} {kind}"))
        .collect();
    run(
        &mut connection,
        &format!("CREATE TABLE t (id INT PRIMARY KEY{columns})"),
    )
    .await;
    let rows_wanted = 1 + all.iter().map(|(_, values)| values.len()).max().unwrap();
    for row in 0..rows_wanted {
        let values: String = all
            .iter()
            .map(|(_, values)| format!(", {}", values.get(row).unwrap_or(&"NULL")))
            .collect();
        run(
            &mut connection,
            &format!("INSERT INTO t VALUES ({}{values})", row + 1),
        )
        .await;
    }
    // With the scheme of MySQL's driver BIT columns would be numbers of 8 bits.
    let url = server
        .jdbc_url(&pipeline.name)
        .replace("jdbc:mysql:", "jdbc:mariadb:");
    pipeline
        .create(
            worker.rest(),
            server,
            json!({"connection.url": url}),
            json!({}),
        )
        .await;
    pipeline
        .wait_arrived(&mut connection, rows_wanted as i64, SOON)
        .await;

    let copy = format!("`{}`.`{}`", pipeline.copy, pipeline.topic());
    let canonical = pipeline.from().canonical(&mut connection).await;
    let mut differing = Vec::new();
    for (i, (kind, _)) in all.iter().enumerate() {
        let reshaped = i.checked_sub(COLUMNS.len()).map(|i| RESHAPED[i]);
        let (here, there) = match reshaped {
            Some((.., here, there)) => (
                here.replace('#', &format!("c{i}")),
                there.replace('#', &format!("c{i}")),
            ),
            None => (canonical[i + 1].clone(), canonical[i + 1].clone()),
        };
        let sql = format!(
            "SELECT CAST(a.id AS CHAR), CAST(a.x AS CHAR), CAST(b.y AS CHAR) FROM (SELECT id, {here} x FROM t) a \
             JOIN (SELECT id, {there} y FROM {copy}) b USING (id) WHERE NOT a.x <=> b.y"
        );
        for row in rows(&mut connection, &sql).await {
            let text = |i| {
                sqlx::Row::get::<Option<String>, _>(&row, i).unwrap_or_else(|| "NULL".to_owned())
            };
            differing.push(format!(
                "{kind} in row {}: {:.200} became {:.200}",
                text(0),
                text(1),
                text(2)
            ));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    pipeline.remove(worker.rest()).await;
}

#[tokio::test]
async fn random_text_arrives_unchanged() {
    let mut random = testkit::Random::new();
    let (server, worker) = (lab().mariadb(), lab().worker());
    let (pipeline, mut connection) = Pipeline::new(server, "text", "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, a VARCHAR(100), b BLOB)",
    )
    .await;
    for _ in 0..500 {
        let (text, bytes) = (random.text(100), random.text(200).into_bytes());
        let insert = sqlx::query("INSERT INTO t (a, b) VALUES (?, ?)")
            .bind(text)
            .bind(bytes);
        insert.execute(&mut connection).await.unwrap();
    }
    pipeline
        .create(worker.rest(), server, json!({}), json!({}))
        .await;
    pipeline
        .wait_arrived(&mut connection, 500, Duration::from_secs(60))
        .await;
    assert_eq!(pipeline.assert_same(&mut connection).await, 500);
    pipeline.remove(worker.rest()).await;
}

//! Column types on their way from a table to a table (`column.types=carry`).

use std::time::Duration;

use serde_json::json;
use testkit::{Postgres, mariadb, postgres, unique};

use crate::lab;
use crate::pipeline::Pipeline;

const PATIENCE: Duration = Duration::from_secs(90);

/// Columns of most types, and one row. What follows `->` is the type on PostgreSQL.
const COLUMNS: &[(&str, &str, &str)] = &[
    (
        "id bigint(20) unsigned NOT NULL AUTO_INCREMENT",
        "1",
        "numeric(20,0)",
    ),
    ("a tinyint(4) NOT NULL DEFAULT 5", "-1", "smallint"),
    ("b smallint(5) unsigned NULL", "65535", "integer"),
    ("c int(11) NOT NULL", "7", "integer"),
    (
        "d decimal(12,4) NOT NULL DEFAULT 1.5000",
        "1.2500",
        "numeric(12,4)",
    ),
    (
        "e varchar(37) CHARACTER SET latin1 NOT NULL DEFAULT 'it''s'",
        "'x'",
        "character varying(37)",
    ),
    ("f mediumtext NULL", "'long'", "text"),
    ("g enum('a','b,c') NOT NULL DEFAULT 'a'", "'b,c'", "text"),
    ("h set('x','y') NULL", "'x,y'", "text"),
    (
        "i datetime(6) NOT NULL",
        "'2024-02-29 12:00:00.123000'",
        "timestamp(6) without time zone",
    ),
    (
        "j time(3) NULL",
        "'01:02:03.004'",
        "time(3) without time zone",
    ),
    ("k date NULL", "'2024-02-29'", "date"),
    ("l varbinary(99) NULL", "X'00FF'", "bytea"),
    ("m longblob NULL", "X'01'", "bytea"),
    ("n char(3) NULL", "'abc'", "character varying(3)"),
    (
        "o uuid NULL",
        "'6f1d6f5e-0f2e-4b53-8d9b-0d3c1a6b7c11'",
        "uuid",
    ),
    ("p double NOT NULL", "0.1", "double precision"),
    ("q inet6 NULL", "'::1'", "inet"),
    ("q4 inet4 NULL", "'192.0.2.1'", "inet"),
    ("r bit(1) NULL", "b'1'", "smallint"),
    ("s bit(12) NULL", "b'101'", "smallint"),
    ("u bit(64) NULL", "b'101'", "smallint"),
];

#[tokio::test]
async fn a_copied_table_has_the_columns_of_its_source() {
    let (server, rest) = (lab().mariadb(), lab().worker().rest());
    let (one, mut sql) = Pipeline::new(server, "carry", "t").await;
    let definitions: Vec<_> = COLUMNS.iter().map(|(definition, ..)| *definition).collect();
    let values: Vec<_> = COLUMNS.iter().map(|(_, value, _)| *value).collect();
    mariadb::run(
        &mut sql,
        &format!(
            "CREATE TABLE t ({}, PRIMARY KEY (id))",
            definitions.join(", ")
        ),
    )
    .await;
    mariadb::run(
        &mut sql,
        &format!("INSERT INTO t VALUES ({})", values.join(", ")),
    )
    .await;
    let sink = json!({"insert.mode": "upsert", "pk.mode": "record_key", "pk.fields": "id"});
    one.create(rest, server, json!({"column.types": "carry"}), sink.clone())
        .await;
    let other = unique("carry_pg");
    let mut target = lab().postgres().create_database(&other).await;
    let mut config = one.sink(server, sink);
    config["connection.url"] = json!(lab().postgres().jdbc_url(&other));
    config["connection.user"] = json!(Postgres::USER);
    rest.create(&other, &config).await;
    one.wait_arrived(&mut sql, 1, PATIENCE).await;
    one.assert_same(&mut sql).await;
    let columns = |database: &str, table: &str| {
        format!(
            "SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, CHARACTER_SET_NAME \
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA='{database}' AND TABLE_NAME='{table}' \
             ORDER BY ORDINAL_POSITION"
        )
    };
    let from = mariadb::texts(&mut sql, &columns(&one.name, "t")).await;
    let to = mariadb::texts(&mut sql, &columns(&one.copy, &one.topic())).await;
    assert_eq!(from, to);
    let of_table = format!(
        "SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a JOIN pg_class c ON c.oid=a.attrelid \
         WHERE c.relname='{}' AND a.attnum>0 ORDER BY a.attnum",
        one.topic()
    );
    let count = format!(
        "SELECT COUNT(*) FROM pg_class WHERE relname='{}'",
        one.topic()
    );
    testkit::for_condition("the table on PostgreSQL", PATIENCE, async || {
        postgres::texts(&mut target, &count).await[0][0].as_deref() == Some("1")
    })
    .await;
    let types: Vec<_> = postgres::texts(&mut target, &of_table)
        .await
        .into_iter()
        .filter_map(|mut row| row.remove(0))
        .collect();
    assert_eq!(
        types,
        COLUMNS.iter().map(|(.., ty)| *ty).collect::<Vec<_>>()
    );
    rest.remove(&other).await;
    one.remove(rest).await;
}

/// Types of PostgreSQL, each with a value. A copy on PostgreSQL has the same.
const POSTGRES_COLUMNS: &[(&str, &str)] = &[
    ("bigint", "1"),
    ("boolean", "true"),
    ("numeric(12,4)", "1.25"),
    ("character varying(9)", "'x'"),
    ("character(3)", "'abc'"),
    ("bit(1)", "B'1'"),
    ("bit(5)", "B'10101'"),
    ("bit(12)", "B'000000000101'"),
    ("bit varying(9)", "B'101'"),
    ("date", "'2024-02-29'"),
    ("time(3) without time zone", "'01:02:03.004'"),
    ("time with time zone", "'01:02:03+00'"),
    (
        "timestamp(3) without time zone",
        "'2024-02-29 12:00:00.123'",
    ),
    (
        "timestamp(3) with time zone",
        "'2024-02-29 12:00:00.123+00'",
    ),
    ("interval", "'1 day 02:00:00'"),
    ("json", "'{\"a\":  1}'"),
    ("jsonb", "'{\"a\": 1}'"),
    ("uuid", "'6f1d6f5e-0f2e-4b53-8d9b-0d3c1a6b7c11'"),
    ("inet", "'192.0.2.1/24'"),
    ("cidr", "'192.0.2.0/24'"),
    ("macaddr", "'08:00:2b:01:02:03'"),
    ("point", "'(1,2)'"),
    ("int4range", "'[1,5)'"),
    ("tsvector", "'a:1 b:2'"),
    ("xml", "'<a/>'"),
    ("money", "'1.50'"),
    ("integer[]", "'{1,NULL,3}'"),
    ("text[]", "'{\"a,b\",\"\"}'"),
    ("bytea", "'\\x00ff'"),
    ("real", "0.5"),
];

#[tokio::test]
async fn a_table_of_postgresql_is_copied_with_its_own_types() {
    let (server, rest) = (lab().postgres(), lab().worker().rest());
    let name = unique("carry_own");
    let (from, to) = (format!("{name}_a"), format!("{name}_b"));
    let mut source = server.create_database(&from).await;
    let mut target = server.create_database(&to).await;
    let columns: Vec<_> = POSTGRES_COLUMNS
        .iter()
        .enumerate()
        .map(|(n, (ty, _))| format!("c{n} {ty}"))
        .collect();
    let values: Vec<_> = POSTGRES_COLUMNS.iter().map(|(_, value)| *value).collect();
    let table = format!(
        "CREATE TABLE t (id INT PRIMARY KEY, {})",
        columns.join(", ")
    );
    postgres::texts(&mut source, &table).await;
    let rows = format!("INSERT INTO t VALUES (1, {})", values.join(", "));
    postgres::texts(&mut source, &rows).await;
    let config = json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector",
        "connection.url": server.jdbc_url(&from), "connection.user": Postgres::USER,
        "mode": "incrementing", "incrementing.column.name": "id", "table.whitelist": "t",
        "topic.prefix": format!("{name}_"), "poll.interval.ms": "100", "column.types": "carry",
    });
    rest.create(&from, &config).await;
    let topic = format!("{name}_t");
    let config = json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector",
        "connection.url": server.jdbc_url(&to), "connection.user": Postgres::USER,
        "topics": topic, "insert.mode": "insert", "auto.create": "true",
    });
    rest.create(&to, &config).await;
    let count = format!("SELECT COUNT(*)::text FROM pg_class WHERE relname='{topic}'");
    let arrived = format!("SELECT COUNT(*)::text FROM \"{topic}\"");
    testkit::for_condition("the row on PostgreSQL", PATIENCE, async || {
        postgres::texts(&mut target, &count).await[0][0].as_deref() == Some("1")
            && postgres::texts(&mut target, &arrived).await[0][0].as_deref() == Some("1")
    })
    .await;
    let row = |table: &str| format!("SELECT to_json(x)::text FROM (SELECT * FROM \"{table}\") x");
    let types = |table: &str| {
        format!(
            "SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a JOIN pg_class c ON c.oid=a.attrelid \
             WHERE c.relname='{table}' AND a.attnum>0 ORDER BY a.attnum"
        )
    };
    let seen = postgres::texts(&mut target, &types(&topic)).await;
    let want = postgres::texts(&mut source, &types("t")).await;
    assert_eq!(seen, want);
    assert_eq!(
        postgres::texts(&mut target, &row(&topic)).await,
        postgres::texts(&mut source, &row("t")).await
    );
    rest.remove(&from).await;
    rest.remove(&to).await;
}

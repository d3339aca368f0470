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

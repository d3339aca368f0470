//! Columns whose type does not fit the mode: refused, with the mode that fits, before a row is read twice or never.

use connector_api::{ConfigReport, SourceConnector};
use connector_jdbc::source::JdbcSource;

use super::fixture::{DATABASES, Fixture, Server};
use crate::source_tables::poll_until_warned;

const INC: (&str, &str) = ("mode", "incrementing");
const STAMP: (&str, &str) = ("mode", "timestamp");

/// Errors and warnings of a config's probe, each with its key.
pub async fn probed(fixture: &Fixture) -> (Vec<String>, Vec<String>) {
    let mut report = ConfigReport::default();
    JdbcSource.probe(&fixture.config(), &mut report).await;
    let reported = |problems: Vec<connector_api::config::ConfigProblem>| {
        problems
            .into_iter()
            .map(|p| format!("{}: {}", p.key, p.message))
            .collect()
    };
    (reported(report.errors), reported(report.warnings))
}

/// Columns of each server whose values do not count, with a value, and whether `timestamp` is the mode for them.
fn uncountable(server: Server) -> Vec<(&'static str, &'static str, bool)> {
    let common = [
        ("TIME", "'10:00:00'", false),
        ("VARCHAR(20)", "'7'", false),
        ("BOOLEAN", "TRUE", false),
    ];
    let dates = [
        ("{stamp}", "'2024-01-01 10:00:00'", true),
        ("DATE", "'2024-01-01'", true),
    ];
    let own: &[_] = match server {
        Server::MariaDb => &[
            ("TIMESTAMP", "'2024-01-01 10:00:00'", true),
            ("YEAR", "2024", false),
            ("FLOAT", "1.5", false),
            ("DOUBLE", "1.5", false),
            ("BIT(8)", "200", false),
            ("VARBINARY(9)", "'7'", false),
            ("ENUM('7')", "'7'", false),
        ],
        Server::Postgres => &[
            ("TIMESTAMPTZ", "'2024-01-01 10:00:00Z'", true),
            ("REAL", "1.5", false),
            ("UUID", "'00000000-0000-0000-0000-000000000007'", false),
            ("BYTEA", "'7'", false),
            ("INTERVAL", "'7 days'", false),
        ],
        Server::Sqlite => &[
            ("TIMESTAMP", "'2024-01-01'", true),
            ("REAL", "1.5", false),
            ("BLOB", "x'07'", false),
        ],
    };
    // MariaDB's BOOLEAN is a number
    let common = common
        .into_iter()
        .filter(|c| server != Server::MariaDb || c.0 != "BOOLEAN");
    common.chain(dates).chain(own.iter().copied()).collect()
}

/// Columns of each server that hold no points in time, with a value, and whether `incrementing` is the mode for them.
fn timeless(server: Server) -> Vec<(&'static str, &'static str, bool)> {
    let common = [
        ("INT", "7", true),
        ("SMALLINT", "7", true),
        ("TIME", "'10:00:00'", false),
    ];
    let own: &[_] = match server {
        Server::MariaDb => &[
            ("VARCHAR(30)", "'2024-01-01 10:00:00'", false),
            ("BIGINT", "1704103200000", true),
            ("DECIMAL(10,0)", "7", true),
            ("DOUBLE", "7", false),
            ("YEAR", "2024", false),
        ],
        Server::Postgres => &[
            ("TEXT", "'2024-01-01 10:00:00'", false),
            ("BIGINT", "1704103200000", true),
            ("NUMERIC(10,0)", "7", true),
            ("TIMETZ", "'10:00:00Z'", false),
            ("BOOLEAN", "TRUE", false),
        ],
        // any column may contain any value, so the values decide
        Server::Sqlite => &[
            ("VARCHAR(30)", "'new'", false),
            ("TEXT", "''", false),
            ("BOOLEAN", "1", false),
            ("BLOB", "x'07'", false),
            ("BIGINT", "7", false),
            ("REAL", "1704103200.5", false),
        ],
    };
    common.into_iter().chain(own.iter().copied()).collect()
}

/// A source over one row of that column is refused by its probe and by its task, and the texts have all these parts.
async fn refused(
    server: Server,
    keys: &[(&str, &str)],
    column: (&str, &str),
    key: &str,
    parts: &[&str],
) {
    let mut fixture = Fixture::new(server, keys).await;
    let (declared, value) = column;
    fixture
        .sql(&format!(
            "CREATE TABLE test (n INT, c {declared} NOT NULL); INSERT INTO test VALUES (1, {value})"
        ))
        .await;
    if keys.iter().any(|(_, value)| value.contains("seen")) {
        fixture
            .sql("CREATE VIEW seen AS SELECT n, c FROM test")
            .await;
    }
    let (errors, warnings) = probed(&fixture).await;
    let about = format!("{server:?} {declared} {keys:?}");
    assert_eq!(
        (errors.len(), warnings.len()),
        (1, 0),
        "{about}: {errors:?} {warnings:?}"
    );
    let at_start = fixture
        .try_open()
        .await
        .err()
        .unwrap_or_else(|| panic!("{about}: the task starts"));
    assert!(
        errors[0].starts_with(&format!("{key}: Invalid type for ")),
        "{about}: {errors:?}"
    );
    for text in [&errors[0], &at_start.to_string()] {
        for part in parts {
            assert!(text.contains(part), "{about}: {part} is not in {text}");
        }
    }
}

#[tokio::test]
async fn an_incrementing_column_that_does_not_count_is_refused_with_the_mode_that_fits() {
    let name = ("incrementing.column.name", "c");
    for server in DATABASES {
        for (declared, value, is_stamp) in uncountable(server) {
            let fits = if is_stamp {
                "mode=timestamp with timestamp.column.name=c"
            } else {
                "integer"
            };
            refused(
                server,
                &[INC, name],
                (declared, value),
                name.0,
                &["incrementing column: c of ", fits],
            )
            .await;
        }
    }
}

#[tokio::test]
async fn numbers_that_may_have_digits_after_the_point_are_refused_before_the_first_row() {
    let (name, query) = (
        ("incrementing.column.name", "c"),
        ("query", "SELECT n, c FROM test"),
    );
    for (server, declared) in [
        (Server::MariaDb, "DECIMAL(10,2)"),
        (Server::Postgres, "NUMERIC"),
        (Server::Postgres, "NUMERIC(10,2)"),
        (Server::Sqlite, "DECIMAL(10,2)"),
    ] {
        for keys in [
            &[INC, name][..],
            &[INC, name, query],
            &[INC, name, ("numeric.mapping", "best_fit")],
        ] {
            // a float where the digits are known: refused as such
            if keys.len() == 3 && keys[2].0 != "query" && declared != "NUMERIC" {
                continue;
            }
            let fixture = &mut Fixture::new(server, keys).await;
            fixture
                .sql(&format!("CREATE TABLE test (n INT, c {declared} NOT NULL); INSERT INTO test VALUES (1, 7)"))
                .await;
            let (errors, _) = probed(fixture).await;
            let about = format!("{server:?} {declared} {keys:?}");
            assert_eq!(errors.len(), 1, "{about}: {errors:?}");
            let at_start = fixture
                .try_open()
                .await
                .err()
                .unwrap_or_else(|| panic!("{about}: the task starts"));
            for text in [&errors[0], &at_start.to_string()] {
                assert!(
                    text.contains(
                        "Scale of Decimal value for incrementing column must be 0: c of "
                    ),
                    "{about}: {text}"
                );
                assert!(text.contains("BIGINT"), "{about}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_timestamp_column_that_holds_no_times_is_refused_with_the_mode_that_fits() {
    let name = ("timestamp.column.name", "c");
    for server in DATABASES {
        for (declared, value, counts) in timeless(server) {
            let fits = if counts {
                "mode=incrementing with incrementing.column.name=c"
            } else {
                "mode=incrementing"
            };
            refused(
                server,
                &[STAMP, name],
                (declared, value),
                name.0,
                &["timestamp column: ", "c", fits],
            )
            .await;
        }
    }
}

#[tokio::test]
async fn queries_views_and_mappings_are_refused_alike() {
    for server in DATABASES {
        let (stamp, text) = (
            ("{stamp}", "'2024-01-01 10:00:00'"),
            ("VARCHAR(9)", "'new'"),
        );
        let query = ("query", "SELECT n, c FROM test");
        let (by_id, by_stamp) = (
            ("incrementing.column.name", "c"),
            ("timestamp.column.name", "c"),
        );
        let view = ("table.whitelist", "seen");
        let types = ("table.types", "VIEW");
        let include = ("table.include.list", ".*test");
        let (ids, stamps) = (
            ("incrementing.column.mapping", ".*test:c"),
            ("timestamp.columns.mapping", ".*test:[c]"),
        );
        let nulls = ("validate.non.null", "false");
        for (keys, column, key) in [
            (vec![INC, query, by_id], stamp, by_id.0),
            (vec![STAMP, query, by_stamp], text, by_stamp.0),
            (vec![INC, view, types, by_id, nulls], stamp, by_id.0),
            (vec![STAMP, view, types, by_stamp, nulls], text, by_stamp.0),
            (vec![INC, include, ids], stamp, ids.0),
            (vec![STAMP, include, stamps], text, stamps.0),
            (
                vec![
                    ("mode", "timestamp+incrementing"),
                    by_id,
                    ("timestamp.column.name", "c"),
                ],
                stamp,
                by_id.0,
            ),
            // a granularity that makes numbers of date-times makes no ids of them
            (
                vec![INC, by_id, ("timestamp.granularity", "micros_long")],
                stamp,
                by_id.0,
            ),
        ] {
            refused(server, &keys, column, key, &["mode="]).await;
        }
    }
}

#[tokio::test]
async fn columns_that_fit_are_read_on_every_database() {
    let by_stamp = ("timestamp.column.name", "c");
    let by_id = ("incrementing.column.name", "c");
    for server in DATABASES {
        let mut fitting = vec![
            (
                STAMP,
                by_stamp,
                "{stamp}",
                "'2024-01-01 10:00:00'",
                "'2024-01-02 10:00:00'",
            ),
            (STAMP, by_stamp, "DATE", "'2024-01-01'", "'2024-01-02'"),
            (INC, by_id, "BIGINT", "7", "8"),
            (INC, by_id, "DECIMAL(20,0)", "7", "8"),
        ];
        match server {
            Server::MariaDb => fitting.push((INC, by_id, "TINYINT(1)", "7", "8")),
            Server::Postgres => fitting.push((
                STAMP,
                by_stamp,
                "TIMESTAMPTZ",
                "'2024-01-01Z'",
                "'2024-01-02Z'",
            )),
            Server::Sqlite => fitting.extend([
                (
                    STAMP,
                    by_stamp,
                    "TEXT",
                    "'2024-01-01 10:00:00'",
                    "'2024-01-02T10:00:00Z'",
                ),
                (STAMP, by_stamp, "INTEGER", "1704103200000", "1704189600000"),
                (
                    STAMP,
                    by_stamp,
                    "REAL",
                    "julianday('2024-01-01')",
                    "julianday('2024-01-02')",
                ),
                (STAMP, by_stamp, "", "'2024-01-01'", "'2024-01-02'"),
                (STAMP, by_stamp, "NUMERIC", "'2024-01-01'", "1704189600000"),
            ]),
        }
        for (mode, column, declared, first, second) in fitting {
            let mut fixture = Fixture::new(server, &[mode, column]).await;
            fixture
                .sql(&format!(
                    "CREATE TABLE test (id INT, c {declared} NOT NULL)"
                ))
                .await;
            fixture
                .sql(&format!(
                    "INSERT INTO test VALUES (1, {first}), (2, {second})"
                ))
                .await;
            assert_eq!(
                probed(&fixture).await,
                (vec![], vec![]),
                "{server:?} {declared}"
            );
            let mut task = fixture.open().await;
            if server == Server::Sqlite && declared == "NUMERIC" {
                // a text in a column of numbers cannot be carried, and is not what this is about
                task.close().await;
                continue;
            }
            assert_eq!(
                fixture.column(&mut *task, "id", 2).await,
                ["1", "2"],
                "{server:?} {declared}"
            );
            fixture.nothing_more(&mut *task).await;
            task.close().await;
        }
    }
}

#[tokio::test]
async fn a_table_that_changes_so_stops_alone_and_one_beside_others_is_warned_of() {
    for server in DATABASES {
        let keys = [
            INC,
            ("table.include.list", ".*"),
            ("incrementing.column.mapping", ".*:c"),
        ];
        let mut fixture = Fixture::new(server, &keys).await;
        fixture.set(&[("table.poll.interval.ms", "500")]);
        fixture
            .sql("CREATE TABLE good (id INT, c INT NOT NULL); INSERT INTO good VALUES (1, 1)")
            .await;
        fixture
            .sql("CREATE TABLE test (id INT, c INT NOT NULL); INSERT INTO test VALUES (2, 1)")
            .await;
        let mut task = fixture.open().await;
        let mut both = fixture.column(&mut *task, "id", 2).await;
        both.sort_unstable();
        assert_eq!(both, ["1", "2"], "{server:?}");
        fixture.sql("DROP TABLE test").await;
        fixture.sql("CREATE TABLE test (id INT, c {stamp} NOT NULL); INSERT INTO test VALUES (3, '2024-01-01')").await;
        poll_until_warned(
            &mut *task,
            &[
                "test",
                "Invalid type for incrementing column: c of",
                "mode=timestamp",
            ],
        )
        .await;
        fixture.sql("INSERT INTO good VALUES (4, 2)").await;
        assert_eq!(
            fixture.column(&mut *task, "id", 1).await,
            ["4"],
            "{server:?}"
        );
        task.close().await;
        let (errors, warnings) = probed(&fixture).await;
        assert_eq!(
            (errors.len(), warnings.len()),
            (0, 1),
            "{server:?}: {errors:?} {warnings:?}"
        );
        assert!(
            warnings[0].starts_with("incrementing.column.mapping: Invalid type"),
            "{warnings:?}"
        );
        fixture.set(&[
            ("table.include.list", ""),
            ("incrementing.column.mapping", ""),
        ]);
        fixture.set(&[
            ("table.whitelist", "good,test"),
            ("incrementing.column.name", "c"),
        ]);
        assert_eq!(
            probed(&fixture).await.0.len(),
            1,
            "{server:?}: what is named is refused"
        );
    }
}

#[tokio::test]
async fn an_invisible_column_of_the_mode_is_refused() {
    for (mode, key, declared) in [
        (INC, "incrementing.column.name", "BIGINT"),
        (STAMP, "timestamp.column.name", "DATETIME(3)"),
    ] {
        let mut fixture = Fixture::new(Server::MariaDb, &[mode, (key, "c")]).await;
        fixture
            .sql(
                &format!("CREATE TABLE test (id INT, c {declared} NOT NULL INVISIBLE DEFAULT '2024-01-01')")
                    .replace("BIGINT NOT NULL INVISIBLE DEFAULT '2024-01-01'", "BIGINT NOT NULL INVISIBLE DEFAULT 1"),
            )
            .await;
        let (errors, _) = probed(&fixture).await;
        assert!(
            errors.len() == 1 && errors[0].contains("INVISIBLE"),
            "{errors:?}"
        );
        assert!(fixture.try_open().await.is_err());
    }
}

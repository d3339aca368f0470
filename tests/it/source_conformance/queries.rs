//! Queries and names as their databases take them.

use connector_api::{ConfigReport, Plugin};
use connector_jdbc::source::JdbcSource;

use super::fixture::{DATABASES, Fixture};

const BY_ID: (&str, &str) = ("incrementing.column.name", "id");
const BY_STAMP: (&str, &str) = ("timestamp.column.name", "at");
const NULLS: (&str, &str) = ("validate.non.null", "false");

#[tokio::test]
async fn queries_with_common_table_expressions_and_comments_are_read_in_every_mode() {
    let queries = [
        "WITH a AS (SELECT id, at FROM test) SELECT * FROM a",
        "with a as (select id, at from test), b as (select * from a) select id, at from b where id > 0; -- end",
        "/* all\nof them */ -- SELECT nothing\n\tSELECT id, at FROM test",
        "SELECT id, at FROM test; -- all of them",
        "SELECT id, at FROM test -- all of them",
        "SELECT id, at /* ; */ FROM test WHERE '; --' <> '/*' ; /* end */ ;",
    ];
    let modes: [(&str, &[(&str, &str)]); 4] = [
        ("bulk", &[]),
        ("incrementing", &[BY_ID, NULLS]),
        ("timestamp", &[BY_STAMP, NULLS]),
        ("timestamp+incrementing", &[BY_ID, BY_STAMP, NULLS]),
    ];
    for server in DATABASES {
        for query in queries {
            for (mode, columns) in modes {
                for suffix in ["", "LIMIT 10"] {
                    let own = [("mode", mode), ("query", query), ("query.suffix", suffix)];
                    let keys = [&own[..], columns].concat();
                    let mut fixture = Fixture::new(server, &keys).await;
                    fixture.set(&[("poll.interval.ms", "60000")]);
                    fixture
                        .sql("CREATE TABLE test (id INT NOT NULL, at {stamp} NOT NULL)")
                        .await;
                    fixture
                        .sql("INSERT INTO test VALUES (1, '2024-01-01'), (2, '2024-01-02')")
                        .await;
                    let mut report = ConfigReport::default();
                    JdbcSource.check(&fixture.config(), &mut report);
                    assert_eq!(report.errors, [], "{server:?} {keys:?}");
                    let mut task = fixture.open().await;
                    assert_eq!(
                        fixture.column(&mut *task, "id", 2).await,
                        ["1", "2"],
                        "{server:?} {keys:?}"
                    );
                    task.close().await;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_query_that_writes_or_holds_several_statements_is_refused() {
    for server in DATABASES {
        for query in [
            "WITH gone AS (DELETE FROM test RETURNING *) SELECT * FROM gone",
            "SELECT id FROM test; DROP TABLE test",
            "-- SELECT\nDELETE FROM test",
        ] {
            let fixture = Fixture::new(server, &[("mode", "bulk"), ("query", query)]).await;
            let mut report = ConfigReport::default();
            JdbcSource.check(&fixture.config(), &mut report);
            let reported: Vec<_> = report
                .errors
                .iter()
                .map(|problem| (&*problem.key, &*problem.message))
                .collect();
            assert!(
                matches!(reported[..], [("query", text)] if text.starts_with("Only SELECT statements")),
                "{reported:?}"
            );
        }
    }
}

#[tokio::test]
async fn names_that_need_quotes_have_them_though_quoting_is_off() {
    let table = "CREATE TABLE {q}order{q} ({q}group{q} INT NOT NULL PRIMARY KEY, {q}select{q} {stamp} NOT NULL, \
                 {q}with space{q} INT)";
    for server in DATABASES {
        for (mode, columns) in [
            ("bulk", vec![]),
            ("incrementing", vec![("incrementing.column.name", "group")]),
            ("timestamp", vec![("timestamp.column.name", "select")]),
            (
                "timestamp+incrementing",
                vec![
                    ("incrementing.column.name", "group"),
                    ("timestamp.column.name", "select"),
                ],
            ),
        ] {
            for source in [
                ("table.whitelist", "order"),
                ("query", "SELECT * FROM {q}order{q}"),
            ] {
                let own = [
                    ("mode", mode),
                    source,
                    ("quote.sql.identifiers", "never"),
                    NULLS,
                ];
                let keys = [&own[..], &columns].concat();
                let mut fixture = Fixture::new(server, &keys).await;
                fixture.set(&[("poll.interval.ms", "60000")]);
                fixture.sql(table).await;
                fixture
                    .sql(
                        "INSERT INTO {q}order{q} VALUES (1, '2024-01-01', 7), (2, '2024-01-02', 8)",
                    )
                    .await;
                let mut task = fixture.open().await;
                assert_eq!(
                    fixture.column(&mut *task, "with space", 2).await,
                    ["7", "8"],
                    "{server:?} {keys:?}"
                );
                task.close().await;
            }
        }
    }
}

//! Columns have so many digits of a second: a row is read once nothing more can come with its stamp, and then at once.

use std::time::Duration;

use connector_api::Config;
use testkit::mariadb::{count, run};
use testkit::{MariaDb, for_condition, unique};

use super::writers::{Server, Sql};
use crate::lab;
use crate::source::{PLENTY, Stored, config, open, poll};

const TIMESTAMP: (&str, &str) = ("mode", "timestamp");
const STAMP: (&str, &str) = ("timestamp.column.name", "ts");

/// A source over table `t` of a new database, and a session there.
async fn over(server: Server, create: &str, keys: &[(&str, &str)]) -> (Config, Sql) {
    let database = unique("steps");
    let mut sql = Sql::create_database(server, &database).await;
    sql.run(create).await;
    let config = server.config(&database, &[&[TIMESTAMP], keys].concat());
    (config, sql)
}

const WHOLE: &str =
    "CREATE TABLE t (id INT PRIMARY KEY, ts DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP)";
const WHOLE_ON_POSTGRESQL: &str = "CREATE TABLE t (id INT PRIMARY KEY, \
     ts TIMESTAMP(0) NOT NULL DEFAULT timezone('UTC', clock_timestamp()))";
/// The finer one is NULL in every second row.
const TWO: &str = "CREATE TABLE t (id INT PRIMARY KEY, fine DATETIME(6) DEFAULT IF(id % 2, CURRENT_TIMESTAMP(6), NULL), \
     ts DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP)";

#[tokio::test]
async fn rows_that_come_later_with_the_stamp_of_another_are_not_missed() {
    const ROWS: i64 = 30;
    let two = [("timestamp.column.name", "fine,ts")];
    let query = [
        ("table.whitelist", ""),
        ("query", "SELECT id, COALESCE(ts, ts) AS ts FROM t"),
        STAMP,
    ];
    for (server, create, keys) in [
        (Server::MariaDb, WHOLE, &[STAMP][..]),
        (Server::MariaDb, WHOLE, &query[..]),
        (Server::MariaDb, TWO, &two[..]),
        // which rounds
        (Server::Postgres, WHOLE_ON_POSTGRESQL, &[STAMP][..]),
    ] {
        let (config, mut sql) = over(server, create, keys).await;
        let mut stored = Stored::default();
        let mut task = open(&config, &stored).await;
        let mut seen = Vec::new();
        for id in 1..=ROWS {
            sql.run(&format!("INSERT INTO t (id) VALUES ({id})")).await;
            seen.extend(
                poll(&mut *task, &mut stored, Duration::from_millis(100), |_| {
                    false
                })
                .await,
            );
        }
        let rest = ROWS.unsigned_abs() as usize - seen.len();
        seen.extend(poll(&mut *task, &mut stored, PLENTY, |seen| seen.len() >= rest).await);
        seen.sort_unstable();
        assert_eq!(seen, (1..=ROWS).collect::<Vec<_>>(), "{server:?} {create}");
        task.close().await;
    }
}

#[tokio::test]
async fn rows_of_the_second_in_which_a_source_begins_now_are_not_missed() {
    for (server, create) in [
        (Server::MariaDb, WHOLE),
        (Server::Postgres, WHOLE_ON_POSTGRESQL),
    ] {
        let (config, mut sql) = over(server, create, &[STAMP, ("timestamp.initial", "-1")]).await;
        let mut stored = Stored::default();
        let mut task = open(&config, &stored).await;
        sql.run("INSERT INTO t (id) VALUES (1)").await;
        let seen = poll(&mut *task, &mut stored, PLENTY, |seen| !seen.is_empty()).await;
        assert_eq!(seen, [1], "{server:?}");
        task.close().await;
    }
}

/// On a server of its own, where nobody else's transactions are waited for.
#[tokio::test]
async fn a_row_with_a_fine_stamp_is_read_before_its_second_is_over() {
    let server = MariaDb::start(lab().scratch(), &unique("mariadb-steps"));
    let query = [
        ("table.whitelist", ""),
        ("query", "SELECT id, COALESCE(ts, ts) AS ts FROM t"),
    ];
    for (digits, keys) in [(6, &[][..]), (3, &[][..]), (6, &query[..])] {
        let database = unique("fine");
        let mut sql = server.create_database(&database).await;
        let now = format!("CURRENT_TIMESTAMP({digits})");
        run(
            &mut sql,
            &format!(
                "CREATE TABLE t (id INT PRIMARY KEY, ts DATETIME({digits}) NOT NULL DEFAULT {now})"
            ),
        )
        .await;
        let keys = [&[TIMESTAMP, STAMP], keys].concat();
        let config = config(
            &server.jdbc_url(&database),
            MariaDb::USER,
            MariaDb::PASSWORD,
            &keys,
        );
        let mut stored = Stored::default();
        let mut task = open(&config, &stored).await;
        let mut id = 0;
        // a machine that is busy may need more than a second for a row now and then
        for_condition("a row within its second", PLENTY, async || {
            let begins = "SELECT MICROSECOND(NOW(6)) < 300000";
            for_condition("a second begins", PLENTY, async || {
                count(&mut sql, begins).await == 1
            })
            .await;
            id += 1;
            run(&mut sql, &format!("INSERT INTO t (id) VALUES ({id})")).await;
            assert_eq!(
                poll(&mut *task, &mut stored, PLENTY, |seen| !seen.is_empty()).await,
                [id]
            );
            let same = format!(
                "SELECT COUNT(*) FROM t WHERE id = {id} AND ts >= CAST(NOW(6) AS DATETIME(0))"
            );
            count(&mut sql, &same).await == 1
        })
        .await;
        task.close().await;
    }
    server.stop();
}

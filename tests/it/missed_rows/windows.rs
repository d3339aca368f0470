//! The windows in which a row can be overtaken, each opened by hand with two or three sessions.

use std::time::Duration;

use connector_api::{Config, OffsetValue, SourceTask};
use sqlx::mysql::MySqlConnection;
use testkit::mariadb::{count, run};
use testkit::{MariaDb, Postgres, for_condition, unique, wait_until};

use super::writers::{Server, Sql};
use crate::lab;
use crate::source::{PLENTY, QUIET, Stored, config, open, poll, run as run_any};

const INCREMENTING: (&str, &str) = ("mode", "incrementing");

fn mariadb_config(database: &str, keys: &[(&str, &str)]) -> Config {
    config(
        &lab().mariadb().jdbc_url(database),
        MariaDb::USER,
        MariaDb::PASSWORD,
        keys,
    )
}

/// An id that was taken and is in no row yet, not even an uncommitted one: an INSERT that waits for the row its foreign
/// key names. Gives the sessions that hold the lock and that wait.
async fn taken_id(database: &str) -> (MySqlConnection, tokio::task::JoinHandle<()>) {
    let mut locker = lab().mariadb().create_database(database).await;
    run(
        &mut locker,
        "CREATE TABLE parent (id INT PRIMARY KEY); INSERT INTO parent VALUES (1), (2), (3), (4)",
    )
    .await;
    let child = "CREATE TABLE t (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, FOREIGN KEY (id) REFERENCES parent (id))";
    run(&mut locker, child).await;
    run(
        &mut locker,
        "BEGIN; SELECT * FROM parent WHERE id = 1 FOR UPDATE",
    )
    .await;
    let mut waiting = lab().mariadb().connect(database).await;
    let insert = tokio::spawn(async move { run(&mut waiting, "INSERT INTO t VALUES ()").await });
    let mut fast = lab().mariadb().connect(database).await;
    let waits = format!(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{database}' AND info = 'INSERT INTO t VALUES ()'"
    );
    wait_until("the INSERT waits", PLENTY, async || {
        Some(count(&mut fast, &waits).await).filter(|n| *n > 0)
    })
    .await;
    // until the first id is taken for certain
    wait_until("an id is taken", PLENTY, async || {
        run(&mut fast, "INSERT INTO t VALUES ()").await;
        Some(count(&mut fast, "SELECT CAST(MAX(id) AS SIGNED) FROM t").await).filter(|id| *id > 1)
    })
    .await;
    (locker, insert)
}

#[tokio::test]
async fn an_id_that_is_allocated_before_its_row_is_written_is_waited_for() {
    let database = unique("gap");
    let (mut locker, insert) = taken_id(&database).await;
    let mut stored = Stored::default();
    let config = mariadb_config(&database, &[INCREMENTING]);
    let mut task = open(&config, &stored).await;
    let seen = poll(&mut *task, &mut stored, PLENTY, |seen| !seen.is_empty()).await;
    assert_eq!(seen, [2], "the row behind is not held up");
    assert!(
        poll(&mut *task, &mut stored, Duration::from_secs(4), |seen| {
            !seen.is_empty()
        })
        .await
        .is_empty()
    );
    run(&mut locker, "COMMIT").await;
    insert.await.unwrap();
    assert_eq!(
        poll(&mut *task, &mut stored, PLENTY, |seen| !seen.is_empty()).await,
        [1]
    );
    assert!(
        poll(&mut *task, &mut stored, QUIET, |_| false)
            .await
            .is_empty()
    );
    task.close().await;
}

/// The stored offset carries what is missing, beside the member that Kafka Connect's connector reads.
#[tokio::test]
async fn a_missing_id_survives_a_restart() {
    let database = unique("x10_restart");
    let (mut locker, insert) = taken_id(&database).await;
    let mut stored = Stored::default();
    let config = mariadb_config(&database, &[INCREMENTING]);
    let mut task = open(&config, &stored).await;
    assert_eq!(
        poll(&mut *task, &mut stored, PLENTY, |seen| !seen.is_empty()).await,
        [2]
    );
    task.close().await;
    let offset = stored.0.last().unwrap().1.clone().unwrap();
    assert_eq!(offset.get("incrementing"), Some(&OffsetValue::Long(2)));
    assert_eq!(offset.get("gaps"), Some(&OffsetValue::Text("1".into())));
    let mut task = open(&config, &stored).await;
    assert!(
        poll(&mut *task, &mut stored, QUIET, |_| false)
            .await
            .is_empty()
    );
    run(&mut locker, "COMMIT").await;
    insert.await.unwrap();
    assert_eq!(
        poll(&mut *task, &mut stored, PLENTY, |seen| !seen.is_empty()).await,
        [1]
    );
    let settled = |stored: &Stored| {
        stored
            .0
            .last()
            .is_some_and(|(_, o)| o.as_ref().is_some_and(|o| o.0.len() == 1))
    };
    poll_until_stored(&mut *task, &mut stored, settled).await;
    task.close().await;
}

/// Polls until what is stored is as wanted; no row may come.
async fn poll_until_stored(
    task: &mut dyn SourceTask,
    stored: &mut Stored,
    wanted: impl Fn(&Stored) -> bool,
) {
    let end = tokio::time::Instant::now() + PLENTY;
    while !wanted(stored) {
        assert!(
            tokio::time::Instant::now() < end,
            "stored: {:?}",
            stored.0.last()
        );
        assert!(
            poll(task, stored, Duration::from_millis(100), |_| false)
                .await
                .is_empty()
        );
    }
}

#[tokio::test]
async fn without_the_privilege_a_missing_id_is_queried_until_it_is_too_old() {
    let database = unique("x10_poor");
    let (mut locker, insert) = taken_id(&database).await;
    let mut root = lab().mariadb().connect(&database).await;
    let user = format!("u_{database}");
    run(
        &mut root,
        &format!("CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'pw'"),
    )
    .await;
    run(
        &mut root,
        &format!("GRANT SELECT ON `{database}`.* TO '{user}'@'127.0.0.1'"),
    )
    .await;
    let mut stored = Stored::default();
    // by another name the server is another one: what other tasks may see of it is not known to this one
    let url = lab()
        .mariadb()
        .jdbc_url(&database)
        .replace("127.0.0.1", "localhost");
    let config = config(&url, &user, "pw", &[INCREMENTING]);
    let mut task = open(&config, &stored).await;
    assert_eq!(
        poll(&mut *task, &mut stored, PLENTY, |seen| !seen.is_empty()).await,
        [2]
    );
    assert!(
        poll(&mut *task, &mut stored, QUIET, |_| false)
            .await
            .is_empty()
    );
    let warnings = task.progress().warnings;
    assert!(
        warnings
            .iter()
            .any(|w| w.contains("PROCESS") && w.contains("gap.max.age.ms")),
        "{warnings:?}"
    );
    run(&mut locker, "COMMIT").await;
    insert.await.unwrap();
    assert_eq!(
        poll(&mut *task, &mut stored, PLENTY, |seen| !seen.is_empty()).await,
        [1]
    );
    task.close().await;

    let mut hasty = config.clone();
    hasty.set("gap.max.age.ms", "100".to_owned());
    run(&mut root, "DELETE FROM t WHERE id = 1").await;
    let mut stored = Stored::default();
    let mut task = open(&hasty, &stored).await;
    assert_eq!(
        poll(&mut *task, &mut stored, PLENTY, |seen| !seen.is_empty()).await,
        [2]
    );
    poll_until_stored(&mut *task, &mut stored, |stored| {
        stored
            .0
            .last()
            .is_some_and(|(_, offset)| offset.as_ref().is_some_and(|offset| offset.0.len() == 1))
    })
    .await;
    task.close().await;
}

/// On PostgreSQL a statement takes an id from the sequence before its transaction has a transaction id, and may write
/// its row much later.
#[tokio::test]
async fn an_id_allocated_before_its_transaction_has_a_number_is_waited_for() {
    let database = unique("late_id");
    let mut slow = Sql::create_database(Server::Postgres, &database).await;
    let mut fast = lab().postgres().connect(&database).await;
    run_any(&mut fast, "CREATE TABLE t (id SERIAL PRIMARY KEY, n INT)").await;
    let insert = "DO $$ DECLARE taken INT := nextval('t_id_seq'); BEGIN PERFORM pg_sleep(5); \
                  INSERT INTO t VALUES (taken); END $$";
    let insert = tokio::spawn(async move { slow.run(insert).await });
    wait_until("an id is taken", PLENTY, async || {
        let last: (i64,) = sqlx::query_as("SELECT last_value + is_called::int FROM t_id_seq")
            .fetch_one(&mut fast)
            .await
            .unwrap();
        Some(()).filter(|()| last.0 > 1)
    })
    .await;
    run_any(&mut fast, "INSERT INTO t (n) VALUES (2)").await;
    let mut stored = Stored::default();
    let url = lab().postgres().jdbc_url(&database);
    let config = config(&url, Postgres::USER, Postgres::PASSWORD, &[INCREMENTING]);
    let mut task = open(&config, &stored).await;
    let mut seen = poll(&mut *task, &mut stored, PLENTY, |seen| seen.len() >= 2).await;
    seen.sort_unstable();
    assert_eq!(seen, [1, 2]);
    insert.await.unwrap();
    task.close().await;
}

/// The timestamp of a statement that waits for a table lock is from before the wait, and no list of transactions shows
/// the statement while it waits.
#[tokio::test]
async fn a_timestamp_of_a_statement_that_waits_for_a_table_lock_is_waited_for() {
    let database = unique("locked");
    let mut locker = lab().mariadb().create_database(&database).await;
    run(
        &mut locker,
        "CREATE TABLE t (id INT PRIMARY KEY, ts DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6))",
    )
    .await;
    run(
        &mut locker,
        "INSERT INTO t VALUES (2, CURRENT_TIMESTAMP(6) + INTERVAL 2 SECOND)",
    )
    .await;
    run(&mut locker, "LOCK TABLES t READ").await;
    let mut waiting = lab().mariadb().connect(&database).await;
    let insert =
        tokio::spawn(async move { run(&mut waiting, "INSERT INTO t (id) VALUES (1)").await });
    let mut stored = Stored::default();
    let config = mariadb_config(
        &database,
        &[("mode", "timestamp"), ("timestamp.column.name", "ts")],
    );
    let mut task = open(&config, &stored).await;
    let early = poll(&mut *task, &mut stored, Duration::from_secs(5), |seen| {
        !seen.is_empty()
    })
    .await;
    assert!(early.is_empty(), "row 2 overtook row 1: {early:?}");
    let mut sql = lab().mariadb().connect(&database).await;
    assert_eq!(
        count(
            &mut sql,
            "SELECT COUNT(*) FROM t WHERE ts < CURRENT_TIMESTAMP(6)"
        )
        .await,
        1,
        "row 2 is due"
    );
    run(&mut locker, "UNLOCK TABLES").await;
    insert.await.unwrap();
    assert_eq!(
        poll(&mut *task, &mut stored, PLENTY, |seen| seen.len() >= 2).await,
        [1, 2]
    );
    task.close().await;
}

/// The same once the wait is over, and its transaction stays open: it is listed as begun after the wait.
#[tokio::test]
async fn a_stamp_of_a_transaction_whose_first_statement_waited_for_a_table_is_waited_for() {
    let database = unique("waited");
    let mut locker = lab().mariadb().create_database(&database).await;
    run(
        &mut locker,
        "CREATE TABLE t (id INT PRIMARY KEY, ts DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6))",
    )
    .await;
    run(
        &mut locker,
        "INSERT INTO t VALUES (2, CURRENT_TIMESTAMP(6) + INTERVAL 1 SECOND)",
    )
    .await;
    let mut stored = Stored::default();
    let config = mariadb_config(
        &database,
        &[("mode", "timestamp"), ("timestamp.column.name", "ts")],
    );
    let mut task = open(&config, &stored).await;
    run(&mut locker, "LOCK TABLES t READ").await;
    let mut slow = lab().mariadb().connect(&database).await;
    let insert = tokio::spawn(async move {
        run(&mut slow, "BEGIN; INSERT INTO t (id) VALUES (1)").await;
        slow
    });
    let early = poll(&mut *task, &mut stored, Duration::from_secs(4), |seen| {
        !seen.is_empty()
    })
    .await;
    run(&mut locker, "UNLOCK TABLES").await;
    let mut slow = insert.await.unwrap();
    let later = poll(&mut *task, &mut stored, Duration::from_secs(3), |seen| {
        !seen.is_empty()
    })
    .await;
    assert!(
        early.is_empty() && later.is_empty(),
        "row 2 overtook row 1: {early:?} {later:?}"
    );
    run(&mut slow, "COMMIT").await;
    assert_eq!(
        poll(&mut *task, &mut stored, PLENTY, |seen| seen.len() >= 2).await,
        [1, 2]
    );
    task.close().await;
}

/// The same of a statement of an event, which takes its time before it writes.
#[tokio::test]
async fn a_stamp_of_an_event_that_has_not_written_yet_is_waited_for() {
    let server = MariaDb::start_with_options(
        lab().scratch(),
        &unique("mariadb-events"),
        &["--event-scheduler=ON"],
    );
    let mut sql = server.create_database("d").await;
    run(
        &mut sql,
        "CREATE TABLE t (id INT PRIMARY KEY, ts DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6))",
    )
    .await;
    let event = "CREATE EVENT e ON SCHEDULE AT CURRENT_TIMESTAMP DO INSERT INTO t (id) SELECT 1 FROM (SELECT SLEEP(4)) s";
    run(&mut sql, event).await;
    let runs = "SELECT COUNT(*) FROM information_schema.processlist WHERE command = 'Connect' AND info LIKE 'INSERT%'";
    for_condition("the event runs", PLENTY, async || {
        count(&mut sql, runs).await > 0
    })
    .await;
    let keys = [("mode", "timestamp"), ("timestamp.column.name", "ts")];
    let config = config(
        &server.jdbc_url("d"),
        MariaDb::USER,
        MariaDb::PASSWORD,
        &keys,
    );
    let mut stored = Stored::default();
    let mut task = open(&config, &stored).await;
    run(&mut sql, "INSERT INTO t (id) VALUES (2)").await;
    assert_eq!(
        poll(&mut *task, &mut stored, PLENTY, |seen| seen.len() >= 2).await,
        [1, 2]
    );
    task.close().await;
    server.stop();
}

/// A row that was rolled back leaves its id missing; what comes after it is not delayed by other sessions with a
/// transaction open.
#[tokio::test]
async fn a_rollback_holds_up_nothing_for_long() {
    let database = unique("rollback");
    let mut sql = lab().mariadb().create_database(&database).await;
    let mut other = lab().mariadb().connect(&database).await;
    run(&mut sql, "CREATE TABLE t (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, n INT); CREATE TABLE o (n INT)").await;
    run(&mut other, "BEGIN; INSERT INTO o VALUES (1)").await;
    run(
        &mut sql,
        "BEGIN; INSERT INTO t (n) VALUES (1); ROLLBACK; INSERT INTO t (n) VALUES (2), (3)",
    )
    .await;
    let mut stored = Stored::default();
    let mut task = open(&mariadb_config(&database, &[INCREMENTING]), &stored).await;
    assert_eq!(
        poll(&mut *task, &mut stored, PLENTY, |seen| seen.len() >= 2).await,
        [2, 3]
    );
    run(&mut other, "COMMIT").await;
    task.close().await;

    let mut sql = lab().postgres().create_database(&database).await;
    let mut other = lab().postgres().connect(&database).await;
    run_any(
        &mut sql,
        "CREATE TABLE t (id SERIAL PRIMARY KEY, n INT); CREATE TABLE o (n INT)",
    )
    .await;
    run_any(&mut other, "BEGIN; INSERT INTO o VALUES (1)").await;
    for part in [
        "BEGIN",
        "INSERT INTO t (n) VALUES (1)",
        "ROLLBACK",
        "INSERT INTO t (n) VALUES (2), (3)",
    ] {
        run_any(&mut sql, part).await;
    }
    let mut stored = Stored::default();
    let url = lab().postgres().jdbc_url(&database);
    let config = config(&url, Postgres::USER, Postgres::PASSWORD, &[INCREMENTING]);
    let mut task = open(&config, &stored).await;
    assert_eq!(
        poll(&mut *task, &mut stored, PLENTY, |seen| seen.len() >= 2).await,
        [2, 3]
    );
    run_any(&mut other, "COMMIT").await;
    task.close().await;
}

/// The kit's server keeps no log, so that its list of transactions does not show the values of parameters.
#[tokio::test]
async fn a_missing_id_is_forgotten_once_the_transactions_of_its_time_have_ended() {
    let database = unique("rolled_back");
    let mut session = lab().mariadb().create_database(&database).await;
    run(
        &mut session,
        "CREATE TABLE t (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY)",
    )
    .await;
    run(
        &mut session,
        "BEGIN; INSERT INTO t VALUES (); ROLLBACK; INSERT INTO t VALUES ()",
    )
    .await;
    let mut stored = Stored::default();
    let mut task = open(&mariadb_config(&database, &[INCREMENTING]), &stored).await;
    assert_eq!(
        poll(&mut *task, &mut stored, PLENTY, |seen| !seen.is_empty()).await,
        [2]
    );
    let settled = |stored: &Stored| {
        stored
            .0
            .last()
            .is_some_and(|(_, o)| o.as_ref().is_some_and(|o| o.0.len() == 1))
    };
    poll_until_stored(&mut *task, &mut stored, settled).await;
    task.close().await;
}

#[tokio::test]
async fn a_user_who_may_see_transactions_reads_stamps_without_a_warning() {
    let database = unique("sees");
    let mut session = lab().mariadb().create_database(&database).await;
    run(
        &mut session,
        "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, ts DATETIME NOT NULL)",
    )
    .await;
    run(
        &mut session,
        "INSERT INTO t VALUES (1, '2020-01-01 00:00:00')",
    )
    .await;
    let mut stored = Stored::default();
    let keys = [("mode", "timestamp"), ("timestamp.column.name", "ts")];
    let mut task = open(&mariadb_config(&database, &keys), &stored).await;
    assert_eq!(
        poll(&mut *task, &mut stored, PLENTY, |seen| !seen.is_empty()).await,
        [1]
    );
    let warnings = task.progress().warnings;
    assert!(
        !warnings.iter().any(|w| w.contains("not visible")),
        "{warnings:?}"
    );
    task.close().await;
}

/// In an XA transaction (or PostgreSQL's `PREPARE TRANSACTION`) whose session is gone, as after the crash of a transaction
/// manager. The source is restarted meanwhile.
#[tokio::test]
async fn rows_of_a_prepared_transaction_are_waited_for() {
    for server in [Server::MariaDb, Server::Postgres] {
        let database = unique("prepared");
        let mut slow = Sql::create_database(server, &database).await;
        let mut fast = Sql::connect(server, &database).await;
        let ty = server.timestamp_type();
        let (begin, prepare, commit) = match server {
            Server::MariaDb => ("XA START", "XA END '{x}'; XA PREPARE", "XA COMMIT"),
            Server::Postgres => ("BEGIN --", "PREPARE TRANSACTION", "COMMIT PREPARED"),
        };
        let xa = |verb: &str| format!("{} '{database}'", verb.replace("{x}", &database));
        let column = format!("{ty} NOT NULL DEFAULT CURRENT_TIMESTAMP(6)");
        slow.run(&format!("CREATE TABLE t (id INT PRIMARY KEY, ts {column})"))
            .await;
        slow.run("INSERT INTO t (id) VALUES (1)").await;
        let keys = [("mode", "timestamp"), ("timestamp.column.name", "ts")];
        let config = server.config(&database, &keys);
        let mut stored = Stored::default();
        let mut task = open(&config, &stored).await;
        let first = poll(&mut *task, &mut stored, PLENTY, |seen| !seen.is_empty()).await;
        assert_eq!(first, [1], "{server:?}");
        slow.run(&xa(begin)).await;
        slow.run("INSERT INTO t (id) VALUES (2)").await;
        slow.run(&xa(prepare)).await;
        drop(slow);
        fast.run("INSERT INTO t (id) VALUES (3)").await;
        for _restart in 0..2 {
            let early = poll(&mut *task, &mut stored, QUIET, |seen| !seen.is_empty()).await;
            assert_eq!(early, Vec::<i64>::new(), "{server:?}");
            task.close().await;
            task = open(&config, &stored).await;
        }
        fast.run(&xa(commit)).await;
        let seen = poll(&mut *task, &mut stored, PLENTY, |seen| seen.len() >= 2).await;
        assert_eq!(seen, [2, 3], "{server:?}");
        task.close().await;
    }
}

/// A transaction that nobody ends holds up the rows stamped after it for as long as `timestamp.horizon.max.wait.ms` says.
/// Its own rows come when it has ended, once, and nothing comes twice but after a restart.
#[tokio::test]
async fn rows_go_past_a_transaction_that_stays_open_when_they_may() {
    for server in [Server::MariaDb, Server::Postgres] {
        let database = unique("past");
        let mut slow = Sql::create_database(server, &database).await;
        let mut fast = Sql::connect(server, &database).await;
        let ty = server.timestamp_type();
        let column = format!("{ty} NOT NULL DEFAULT CURRENT_TIMESTAMP(6)");
        slow.run(&format!("CREATE TABLE t (id INT PRIMARY KEY, ts {column})"))
            .await;
        slow.run("BEGIN").await;
        slow.run("INSERT INTO t (id) VALUES (1)").await;
        fast.run("INSERT INTO t (id) VALUES (2)").await;
        let stamp = ("timestamp.column.name", "ts");
        let keys = [
            ("mode", "timestamp"),
            stamp,
            ("timestamp.horizon.max.wait.ms", "1500"),
        ];
        let config = server.config(&database, &keys);
        let mut stored = Stored::default();
        let mut task = open(&config, &stored).await;
        assert_eq!(
            poll(&mut *task, &mut stored, PLENTY, |seen| !seen.is_empty()).await,
            [2],
            "{server:?}"
        );
        while !task
            .progress()
            .warnings
            .iter()
            .any(|warning| warning.contains(keys[2].0))
        {
            // the status is that of the last turn
            assert!(
                poll(&mut *task, &mut stored, Duration::from_millis(50), |_| {
                    false
                })
                .await
                .is_empty()
            );
        }
        fast.run("INSERT INTO t (id) VALUES (3)").await;
        assert_eq!(
            poll(&mut *task, &mut stored, PLENTY, |seen| !seen.is_empty()).await,
            [3],
            "{server:?}"
        );
        task.close().await;
        // the offset has not moved, so that no row is missed whatever happens
        assert!(stored.0.is_empty(), "{:?}", stored.0);
        let mut task = open(&config, &stored).await;
        assert_eq!(
            poll(&mut *task, &mut stored, PLENTY, |seen| seen.len() >= 2).await,
            [2, 3],
            "{server:?}"
        );
        slow.run("COMMIT").await;
        fast.run("INSERT INTO t (id) VALUES (4)").await;
        // in any order, should another transaction of the server be open meanwhile
        let mut seen = poll(&mut *task, &mut stored, PLENTY, |seen| seen.len() >= 2).await;
        seen.sort_unstable();
        assert_eq!(seen, [1, 4], "{server:?}");
        let last = match server {
            Server::MariaDb => {
                "SELECT CAST(FLOOR(UNIX_TIMESTAMP(MAX(ts)) * 1000) AS SIGNED), 0, '' FROM t"
            }
            Server::Postgres => {
                "SELECT trunc(EXTRACT(EPOCH FROM MAX(ts)) * 1000)::int8, 0::int8, '' FROM t"
            }
        };
        let last = OffsetValue::Long(fast.rows(last).await[0].0);
        let millis = |stored: &Stored| {
            stored
                .0
                .last()
                .and_then(|(_, offset)| offset.as_ref()?.get("timestamp").cloned())
        };
        poll_until_stored(&mut *task, &mut stored, |stored| {
            millis(stored).as_ref() == Some(&last)
        })
        .await;
        assert!(
            poll(&mut *task, &mut stored, QUIET, |_| false)
                .await
                .is_empty()
        );
        task.close().await;
        let mut task = open(&config, &stored).await;
        assert!(
            poll(&mut *task, &mut stored, QUIET, |_| false)
                .await
                .is_empty(),
            "the offset is behind all rows"
        );
        task.close().await;
    }
}

//! The hour that comes twice in autumn and the one that is left out in spring, while rows are written and read: stamps of
//! the server's clock, in timestamp modes.
//!
//! The server's clock is set by hand: `init_connect` gives each session of the source a fixed time, and the
//! writer's session stamps its rows with times of its own.

use std::time::Duration;

use connector_api::{Config, SourceTask};
use futures_util::future::join_all;
use sqlx::mysql::MySqlConnection;
use testkit::mariadb::run;
use testkit::{MariaDb, unique};

use crate::lab;
use crate::source::{PLENTY, Stored, config, open, poll};

/// Berlin's, without the need for a database of zones.
const ZONE: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
/// Seconds from the beginning to the change, which is at 01:00 UTC both times.
const CHANGE: i64 = 5400;
/// A row every five minutes.
const EVERY: i64 = 300;
/// When the source reads, in seconds: each time a new task goes on.
const READINGS: [i64; 8] = [720, 2820, 4320, 5370, 5900, 7020, 8220, 12_907];

/// One of the changes.
#[derive(Clone, Copy, Debug)]
struct Season {
    /// 23:30 UTC before it, in seconds since 1970.
    begin: i64,
    /// Seconds that the clock is ahead of UTC before and after it.
    ahead: (i64, i64),
}

const SPRING: Season = Season {
    begin: 1_711_841_400,
    ahead: (3600, 7200),
};
const AUTUMN: Season = Season {
    begin: 1_729_985_400,
    ahead: (7200, 3600),
};

impl Season {
    /// What the clock shows.
    fn wall(self, at: i64) -> i64 {
        at + if at < CHANGE {
            self.ahead.0
        } else {
            self.ahead.1
        }
    }

    /// The least that the clock shows from then on.
    fn least(self, from: i64) -> i64 {
        if from < CHANGE {
            self.wall(from).min(self.wall(CHANGE))
        } else {
            self.wall(from)
        }
    }
}

/// A source over a table, and what it has read.
struct Reading {
    config: Config,
    /// Its stamps are instants, which no clock changes.
    is_instant: bool,
    stored: Stored,
    seen: Vec<i64>,
}

impl Reading {
    /// Goes on at that time, when these rows are there, and reads all that are settled by then.
    async fn go_on(&mut self, season: Season, now: i64, rows: &[i64]) {
        let settled =
            |at: &&i64| **at < now && (self.is_instant || season.wall(**at) < season.least(now));
        let mut wanted: Vec<_> = rows.iter().filter(settled).map(|at| at / EVERY).collect();
        let rest = wanted.len() - self.seen.len();
        let mut task = open(&self.config, &self.stored).await;
        let within = if rest == 0 {
            Duration::from_millis(200)
        } else {
            PLENTY
        };
        self.seen.extend(
            poll(&mut *task, &mut self.stored, within, |seen| {
                rest > 0 && seen.len() >= rest
            })
            .await,
        );
        let mut seen = self.seen.clone();
        seen.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(seen, wanted, "{season:?} at {now}: {:?}", self.config);
        let waits = now < CHANGE
            && rows
                .iter()
                .any(|at| *at < now && season.wall(*at) >= season.least(now));
        let end = tokio::time::Instant::now() + PLENTY;
        while reported(&*task) != (waits && !self.is_instant) {
            assert!(
                tokio::time::Instant::now() < end,
                "{season:?} at {now}: {:?}",
                task.progress().warnings
            );
            let more = poll(
                &mut *task,
                &mut self.stored,
                Duration::from_millis(50),
                |_| false,
            )
            .await;
            assert!(more.is_empty(), "{season:?} at {now}: {more:?} came again");
        }
        task.close().await;
    }
}

/// Whether the status says that rows wait for a clock.
fn reported(task: &dyn SourceTask) -> bool {
    task.progress()
        .warnings
        .iter()
        .any(|text| text.contains("be set back to"))
}

async fn through(season: Season, server: &MariaDb, sql: &mut MySqlConnection, user: &str) {
    let database = unique("clock");
    run(
        sql,
        &format!("CREATE DATABASE `{database}`; USE `{database}`"),
    )
    .await;
    for (table, ty) in [("walls", "DATETIME"), ("instants", "TIMESTAMP")] {
        run(sql, &format!("CREATE TABLE {table} (id INT PRIMARY KEY, ts {ty} NOT NULL DEFAULT CURRENT_TIMESTAMP)"))
            .await;
    }
    let (stamp, berlin) = (
        ("timestamp.column.name", "ts"),
        ("db.timezone", "Europe/Berlin"),
    );
    let walls = ("table.whitelist", "walls");
    let query = [
        ("table.whitelist", ""),
        ("query", "SELECT id, ts FROM walls"),
    ];
    let mut readings: Vec<_> = [
        vec![walls, ("mode", "timestamp"), berlin],
        vec![walls, ("mode", "timestamp")],
        vec![
            walls,
            ("mode", "timestamp+incrementing"),
            ("incrementing.column.name", "id"),
            berlin,
        ],
        vec![query[0], query[1], ("mode", "timestamp"), berlin],
        vec![
            ("table.whitelist", "instants"),
            ("mode", "timestamp"),
            berlin,
        ],
    ]
    .into_iter()
    .map(|mut keys| {
        keys.extend([stamp, ("gap.tracking", "off"), ("batch.max.rows", "3")]);
        let config = config(&server.jdbc_url(&database), user, "pw", &keys);
        Reading {
            config,
            is_instant: keys[0].1 == "instants",
            stored: Stored::default(),
            seen: Vec::new(),
        }
    })
    .collect();
    let mut rows = Vec::new();
    for now in READINGS {
        let before = rows.last().map_or(0, |last| last + EVERY);
        for at in (before..now).step_by(usize::try_from(EVERY).unwrap()) {
            run(sql, &format!("SET timestamp = {}", season.begin + at)).await;
            for table in ["walls", "instants"] {
                run(
                    sql,
                    &format!("INSERT INTO {table} (id) VALUES ({})", at / EVERY),
                )
                .await;
            }
            rows.push(at);
        }
        run(
            sql,
            &format!(
                "SET GLOBAL init_connect = 'SET timestamp = {}'",
                season.begin + now
            ),
        )
        .await;
        // Each waits for its own task, so they go on together.
        join_all(
            readings
                .iter_mut()
                .map(|reading| reading.go_on(season, now, &rows)),
        )
        .await;
    }
    assert!(
        readings
            .iter()
            .all(|reading| reading.seen.len() == rows.len())
    );
}

#[tokio::test]
async fn no_row_is_missed_or_doubled_when_the_servers_clock_changes() {
    let server = MariaDb::start_in_zone(lab().scratch(), &unique("mariadb-berlin"), ZONE);
    let mut sql = server.connect("mysql").await;
    run(&mut sql, "CREATE USER reader@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT SELECT ON *.* TO reader@'127.0.0.1'").await;
    run(&mut sql, "SET time_zone = SYSTEM").await;
    for season in [SPRING, AUTUMN] {
        through(season, &server, &mut sql, "reader").await;
    }
    server.stop();
}

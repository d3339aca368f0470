//! A source behind a pooler that gives each transaction another server process of PostgreSQL.

use testkit::pooler::{self, PoolMode};

use super::fixture::{Fixture, Server};
use crate::lab;

const BY_ID: (&str, &str) = ("incrementing.column.name", "id");
const BY_STAMP: (&str, &str) = ("timestamp.column.name", "at");

#[tokio::test]
async fn every_mode_reads_each_row_once_behind_a_pooler() {
    let modes: [(&str, &[(&str, &str)]); 5] = [
        ("bulk", &[("poll.interval.ms", "60000")]),
        ("incrementing", &[BY_ID]),
        ("timestamp", &[BY_STAMP]),
        ("timestamp+incrementing", &[BY_ID, BY_STAMP]),
        (
            "incrementing",
            &[BY_ID, ("query", "SELECT id, at, mood FROM test")],
        ),
    ];
    let port = pooler::start(lab().postgres().port(), PoolMode::Transaction).await;
    for (mode, keys) in modes {
        let own = [("mode", mode), ("batch.max.rows", "3")];
        let mut fixture = Fixture::new(Server::Postgres, &[&own[..], keys].concat()).await;
        let direct = format!(":{}/", lab().postgres().port());
        let url = lab().postgres().jdbc_url(&fixture.name);
        assert!(url.contains(&direct), "{url}");
        fixture.set(&[(
            "connection.url",
            &url.replace(&direct, &format!(":{port}/")),
        )]);
        // a type that the driver looks up
        fixture
            .sql(
                "CREATE TYPE mood AS ENUM ('sad', 'well'); \
                 CREATE TABLE test (id INT NOT NULL PRIMARY KEY, at {stamp} NOT NULL, mood mood); \
                 INSERT INTO test SELECT n, TIMESTAMP '2024-01-01' + n * INTERVAL '1 s', 'well' \
                 FROM generate_series(1, 10) n",
            )
            .await;
        let mut task = fixture.open().await;
        let mut seen = fixture.column(&mut *task, "id", 10).await;
        seen.sort_by_key(|id| id.parse::<i32>().unwrap());
        let want: Vec<_> = (1..=10).map(|id| id.to_string()).collect();
        assert_eq!(seen, want, "{mode} {keys:?}");
        if mode != "bulk" {
            fixture
                .sql("INSERT INTO test VALUES (11, '2024-01-02', 'sad')")
                .await;
            assert_eq!(
                fixture.column(&mut *task, "mood", 1).await,
                ["sad"],
                "{mode} {keys:?}"
            );
        }
        task.close().await;
    }
}

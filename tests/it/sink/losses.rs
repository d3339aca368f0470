//! Records that the server hangs up over: rows beyond its limit, and others that end connections, whatever the reason.

use connector_api::{ErrorKind, SinkRecord, Value};
use testkit::hostile::{Hostile, Mood, Protocol};
use testkit::{MariaDb, mariadb, unique};

use super::database::{self, Database, Server};
use super::records::{self, Task, Topic, int, text};
use crate::lab;

fn row(topic: &Topic, id: i32, name: &str) -> SinkRecord {
    topic.value(
        &[int("id"), text("name")],
        [Value::I32(id), Value::Text(name.into())],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_beyond_max_allowed_packet_is_a_bad_record_and_those_around_it_are_written() {
    const PACKET: usize = 1 << 20;
    let server = MariaDb::start_with_options(
        lab().scratch(),
        &unique("small-packets"),
        &["--max-allowed-packet=1M"],
    );
    let name = unique("packets");
    let mut sql = server.create_database(&name).await;
    let columns = "id INT PRIMARY KEY, name LONGTEXT";
    let statement = [
        ("insert.mode", "statement"),
        ("statement", "INSERT INTO t VALUES (:id, :name)"),
    ];
    let plain = [("insert.mode", "insert"), ("auto.create", "false")];
    for keys in [&plain, &statement] {
        mariadb::run(
            &mut sql,
            &format!(
                "CREATE OR REPLACE TABLE t ({columns}); DROP TABLE IF EXISTS rowferry_offsets"
            ),
        )
        .await;
        let (config, topic) = (
            records::config(&server.jdbc_url(&name), keys),
            Topic::new("t"),
        );
        // header, NULL flags, a number with its type, the text's type and length, and one byte less than the limit
        let longest = PACKET - 1 - 11 - 1 - 10 - 6;
        let names = [
            "a",
            &"x".repeat(longest),
            &"x".repeat(longest + 1),
            "b",
            &"y".repeat(5 << 20),
            "c",
        ];
        let mut batch: Vec<_> = (1..)
            .zip(names)
            .map(|(id, name)| row(&topic, id, name))
            .collect();
        // many that make one statement too large together
        batch.extend((7..60).map(|id| row(&topic, id, &"z".repeat(100_000))));
        let mut strict = records::open(&config, false).await;
        strict.assign(&topic.partitions()).await.unwrap();
        let error = strict.put(&batch, &topic.next()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Record, "{error}");
        for part in ["offset 2", "1048576 bytes", "max_allowed_packet is 1048575"] {
            assert!(error.message().contains(part), "no '{part}' in: {error}");
        }
        strict.close().await;
        let mut task = records::open(&config, true).await;
        task.assign(&topic.partitions()).await.unwrap();
        let report = task.put(&batch, &topic.next()).await.unwrap();
        assert_eq!(
            report.rejected.iter().map(|r| r.index).collect::<Vec<_>>(),
            [2, 4],
            "{keys:?}"
        );
        assert_eq!(
            mariadb::count(&mut sql, "SELECT COUNT(*) FROM t").await,
            57,
            "{keys:?}"
        );
        let found = format!("SELECT COUNT(*) FROM t WHERE id = 2 AND LENGTH(name) = {longest}");
        assert_eq!(mariadb::count(&mut sql, &found).await, 1);
        task.close().await;
    }
}

/// Puts the batch as the runtime does: again as long as the error asks for it. The outcome, and how often it was put.
async fn put_until_done(
    task: &mut Task,
    batch: &[SinkRecord],
    topic: &Topic,
) -> (connector_api::Result<Vec<usize>>, u32) {
    for tries in 1..=20 {
        match task.put(batch, &topic.next()).await {
            Err(error) if error.kind() == ErrorKind::Retry => println!("try {tries}: {error}"),
            outcome => {
                return (
                    outcome.map(|report| report.rejected.iter().map(|r| r.index).collect()),
                    tries,
                );
            }
        }
    }
    panic!("it is tried for ever");
}

fn protocol(database: &Database) -> Protocol {
    match database.server {
        Server::Postgres => Protocol::Postgres,
        _ => Protocol::MySql,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_ends_the_connection_each_time_is_found_by_halving() {
    for mut database in database::servers().await {
        let server = database.server;
        let relay = Hostile::start(protocol(&database), database.port()).await;
        relay.be(Mood::Severing(b"poison".to_vec()));
        let topic = Topic::new("t");
        let mut config = database.config(&[("auto.create", "true")]);
        config.set(
            "connection.url",
            format!("{}?sslMode=disable", database.url_at(relay.port())),
        );
        let name = |id: i32| {
            if [17, 401].contains(&id) {
                format!("poison {id}")
            } else {
                format!("name {id}")
            }
        };
        let batch: Vec<_> = (0..500).map(|id| row(&topic, id, &name(id))).collect();

        let mut strict = records::open(&config, false).await;
        strict.assign(&topic.partitions()).await.unwrap();
        let (outcome, _) = put_until_done(&mut strict, &batch, &topic).await;
        let error = outcome.unwrap_err();
        assert!(
            error.kind() == ErrorKind::Record && error.message().contains("offset 17"),
            "{server}: {error}"
        );
        strict.close().await;

        let mut task = records::open(&config, true).await;
        task.assign(&topic.partitions()).await.unwrap();
        let (outcome, tries) = put_until_done(&mut task, &batch, &topic).await;
        assert_eq!(outcome.unwrap(), [17, 401], "{server}");
        assert!(tries < 10, "{server}: {tries}");
        assert_eq!(
            database.rows("SELECT COUNT(*) FROM t").await,
            ["498"],
            "{server}"
        );
        // one without others around it, too
        let (alone, topic) = (Topic::part("t", 1), topic);
        task.assign(&alone.partitions()).await.unwrap();
        let (outcome, _) = put_until_done(&mut task, &[row(&alone, 900, "poison")], &alone).await;
        assert_eq!(outcome.unwrap(), [0], "{server}");
        drop(topic);
        task.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_record_is_rejected_when_a_server_ends_connections_at_random() {
    for mut database in database::servers().await {
        let server = database.server;
        let relay = Hostile::start(protocol(&database), database.port()).await;
        let topic = Topic::new("t");
        let mut config = database.config(&[("auto.create", "true")]);
        config.set(
            "connection.url",
            format!("{}?sslMode=disable", database.url_at(relay.port())),
        );
        let batch: Vec<_> = (0..500)
            .map(|id| row(&topic, id, &format!("name {id}")))
            .collect();
        let mut task = records::open(&config, true).await;
        task.assign(&topic.partitions()).await.unwrap();
        // the first tries fail over whichever rows there are, later ones over none
        relay.be(Mood::Severing(b"name ".to_vec()));
        for _ in 0..3 {
            let error = task.put(&batch, &topic.next()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Retry, "{server}: {error}");
        }
        // every record ends connections now: no record is the one
        let error = task.put(&batch, &topic.next()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retry, "{server}: {error}");
        relay.be(Mood::Honest);
        let (outcome, _) = put_until_done(&mut task, &batch, &topic).await;
        assert_eq!(outcome.unwrap(), [0usize; 0], "{server}");
        assert_eq!(
            database.rows("SELECT COUNT(*) FROM t").await,
            ["500"],
            "{server}"
        );
        task.close().await;
    }
}

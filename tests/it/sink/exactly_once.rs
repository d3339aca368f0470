//! Deaths at every step of a batch, owners that come and go: each record takes effect once.

use connector_api::{ErrorKind, SinkRecord, TopicOffset, Value};
use testkit::Random;
use testkit::proxy::{Cut, Proxy};

use super::database::{self, Database, Server};
use super::records::{self, Task, Topic, int};

/// What a task does, and how to see it afterwards: each record of a batch has its own `id`.
struct Case {
    keys: &'static [(&'static str, &'static str)],
    setup: &'static str,
}

/// Neither leaves a trace of its own by which a second write could be refused.
const CASES: [Case; 2] = [
    Case {
        keys: &[("pk.mode", "none")],
        setup: "CREATE TABLE t (id INT NOT NULL)",
    },
    Case {
        keys: &[
            ("insert.mode", "statement"),
            (
                "statement",
                "INSERT INTO t VALUES (:id); UPDATE total SET n = n + :id",
            ),
        ],
        setup: "CREATE TABLE t (id INT NOT NULL); CREATE TABLE total (n INT); INSERT INTO total VALUES (0)",
    },
];

#[tokio::test]
async fn a_death_at_any_step_of_a_batch_loses_and_doubles_nothing() {
    for case in CASES {
        for mut database in database::servers().await {
            database.run(case.setup).await;
            for cut in [Cut::Request, Cut::Answer, Cut::Stranded] {
                let steps = every_step(&mut database, &case, cut).await;
                assert!(
                    steps >= 4,
                    "{}: only {steps} steps were seen",
                    database.server
                );
            }
        }
    }
}

/// Cuts the connection at one step after the other, until a batch needs no more; how many there were.
async fn every_step(database: &mut Database, case: &Case, cut: Cut) -> usize {
    let mut random = Random::new();
    let proxy = Proxy::start(database.port()).await;
    let topic = Topic::new(&format!("t{cut:?}"));
    let keys = [case.keys, &[("table.name.format", "t")]].concat();
    let mut config = database.config(&keys);
    let direct = config.clone();
    config.set("connection.url", database.url_at(proxy.port()));
    let start = i32::try_from(
        database.select("COUNT(*)", "FROM t").await[0]
            .parse::<i64>()
            .unwrap(),
    )
    .unwrap();
    let mut next_id = start;
    let mut step = 0;
    loop {
        step += 1;
        let mut task = records::open(&config, false).await;
        task.assign(&topic.partitions()).await.unwrap();
        // the first batch also finds the table
        if random.below(2) == 0 {
            task.put(&batch(&topic, &mut next_id), &topic.next())
                .await
                .unwrap();
        }
        let (batch, next) = (batch(&topic, &mut next_id), topic.next());
        proxy.arm(step, cut);
        let outcome = task.put(&batch, &next).await;
        let finished = proxy.is_armed();
        match outcome {
            Ok(_) => {}
            // the process dies with its connection, and another goes on after what is stored
            Err(_) if random.below(2) == 0 => {
                drop(task);
                task = records::open(&direct, false).await;
                let stored = task.assign(&topic.partitions()).await.unwrap();
                if stored != next {
                    task.put(&batch, &next).await.unwrap();
                }
            }
            // or only the connection does
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                put_again(&mut task, &batch, &next).await;
            }
        }
        task.close().await;
        let seen = database
            .select("COUNT(*), COUNT(DISTINCT id), MAX(id)", "FROM t")
            .await;
        let place = format!(
            "{}, {cut:?} of step {step}, {:?}",
            database.server, case.keys
        );
        assert_eq!(
            seen,
            [format!("{next_id}|{next_id}|{}", next_id - 1)],
            "{place}"
        );
        if case.setup.contains("total") {
            assert_eq!(
                database.select("n", "FROM total").await,
                [(next_id * (next_id - 1) / 2).to_string()],
                "{place}"
            );
        }
        if finished {
            return step - 1;
        }
    }
}

/// Puts a batch whose connection was lost, as the runtime does: again and again while that may help. The locks of the
/// lost transaction are waited for once at most.
async fn put_again(task: &mut Task, batch: &[SinkRecord], next: &[TopicOffset]) {
    let mut outcome = task.put(batch, next).await;
    if outcome
        .as_ref()
        .is_err_and(|error| error.kind() == ErrorKind::Retry)
    {
        outcome = task.put(batch, next).await;
    }
    outcome.unwrap();
}

fn batch(topic: &Topic, next_id: &mut i32) -> Vec<SinkRecord> {
    let mut record = || {
        *next_id += 1;
        topic.value(&[int("id")], [Value::I32(*next_id - 1)])
    };
    vec![record(), record(), record()]
}

/// What was rejected is stored elsewhere between the two.
#[tokio::test]
async fn a_batch_is_seen_and_its_offsets_count_only_after_the_commit() {
    for mut database in database::all().await {
        database
            .run("CREATE TABLE t (id INT PRIMARY KEY, CHECK (id < 10))")
            .await;
        let topic = Topic::new("t");
        let config = database.config(&[]);
        let mut task = records::open(&config, true).await;
        task.assign(&topic.partitions()).await.unwrap();
        let batch = [1, 10].map(|id| topic.value(&[int("id")], [Value::I32(id)]));
        for times in 1..=2 {
            let report = task.hold(&batch, &topic.next()).await.unwrap();
            assert_eq!(
                report.rejected.iter().map(|r| r.index).collect::<Vec<_>>(),
                [1],
                "{}",
                database.server
            );
            let seen = database
                .select(
                    "next_offset, (SELECT COUNT(*) FROM t)",
                    "FROM rowferry_offsets",
                )
                .await;
            assert_eq!(seen, ["-1|0"], "{}", database.server);
            if times == 1 {
                task.rollback().await.unwrap();
            }
        }
        // a batch that is put again without a word about the first time takes the place of that one
        task.hold(&batch, &topic.next()).await.unwrap();
        task.commit().await.unwrap();
        let seen = database
            .select(
                "next_offset, (SELECT COUNT(*) FROM t)",
                "FROM rowferry_offsets",
            )
            .await;
        assert_eq!(seen, ["2|1"], "{}", database.server);
        task.close().await;
    }
}

#[tokio::test]
async fn two_clusters_under_one_name_do_not_hinder_each_other() {
    for mut database in database::all().await {
        let topic = Topic::new("t");
        let mut tasks = Vec::new();
        for cluster in ["a", "b"] {
            let mut config = database.config(&[]);
            config.set("task.cluster", cluster);
            let mut task = records::open(&config, false).await;
            assert_eq!(
                task.assign(&topic.partitions()).await.unwrap(),
                [],
                "{}",
                database.server
            );
            tasks.push(task);
        }
        for (n, task) in tasks.iter_mut().enumerate() {
            let batch = [topic.value(&[int("id")], [Value::I32(n as i32)])];
            task.put(&batch, &topic.next()).await.unwrap();
        }
        let seen = database
            .select(
                "cluster, sink, next_offset, epoch",
                "FROM rowferry_offsets ORDER BY cluster",
            )
            .await;
        assert_eq!(
            seen,
            ["a|sink-test|1|1", "b|sink-test|2|1"],
            "{}",
            database.server
        );
        for task in tasks {
            task.close().await;
        }
    }
}

/// A partition without a stored offset would resume from the consumer group's, which is older.
#[tokio::test]
async fn an_assignment_that_fails_halfway_returns_every_stored_offset_when_it_is_tried_again() {
    for mut database in database::all().await {
        let topics = [Topic::new("a"), Topic::new("b")];
        let both = topics.each_ref().map(Topic::partitions).concat();
        let mut task = records::open(&database.config(&[]), false).await;
        task.assign(&both).await.unwrap();
        for topic in &topics {
            let batch = [topic.value(&[int("id")], [Value::I32(1)])];
            task.put(&batch, &topic.next()).await.unwrap();
            task.commit().await.unwrap();
        }
        task.close().await;

        let mut task = records::open(&database.config(&[]), false).await;
        // The epoch of the second partition cannot be raised.
        database
            .run("UPDATE rowferry_offsets SET epoch = 9223372036854775807 WHERE topic = 'b'")
            .await;
        task.assign(&both).await.unwrap_err();
        database
            .run("UPDATE rowferry_offsets SET epoch = 5 WHERE topic = 'b'")
            .await;
        let stored = task.assign(&both).await.unwrap();
        let want = topics.each_ref().map(Topic::next).concat();
        assert_eq!(stored, want, "{}", database.server);
        task.close().await;
    }
}

#[tokio::test]
async fn offsets_from_before_clusters_were_distinguished_are_kept() {
    for mut database in database::servers().await {
        database
            .run(
                "CREATE TABLE rowferry_offsets (sink VARCHAR(255) NOT NULL, topic VARCHAR(249) NOT NULL, \
                 partition_id INT NOT NULL, next_offset BIGINT NOT NULL, epoch BIGINT NOT NULL, \
                 owner VARCHAR(255) NOT NULL, session_id BIGINT NULL, \
                 updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (sink, topic, partition_id)); \
                 INSERT INTO rowferry_offsets VALUES ('sink-test', 't', 0, 41, 7, 'me', NULL, CURRENT_TIMESTAMP), \
                 ('another', 't', 0, 5, 1, 'it', NULL, CURRENT_TIMESTAMP)",
            )
            .await;
        let mut config = database.config(&[]);
        config.set("task.cluster", "a");
        // several tasks may find the old table at once
        let claims = (0..4).map(|partition| {
            let config = config.clone();
            tokio::spawn(async move {
                let mut task = records::open(&config, false).await;
                let stored = task
                    .assign(&Topic::part("t", partition).partitions())
                    .await
                    .unwrap();
                task.close().await;
                stored.first().map(|at| at.offset)
            })
        });
        let mut stored = Vec::new();
        for claim in claims.collect::<Vec<_>>() {
            stored.push(claim.await.unwrap());
        }
        assert_eq!(stored, [Some(41), None, None, None], "{}", database.server);
        let seen = database
            .select(
                "cluster, sink, next_offset, epoch",
                "FROM rowferry_offsets WHERE next_offset >= 0 ORDER BY sink",
            )
            .await;
        assert_eq!(
            seen,
            ["|another|5|1", "a|sink-test|41|8"],
            "{}",
            database.server
        );
    }
}

/// On PostgreSQL, where a name without schema is another table after a change of URL or account.
#[tokio::test]
async fn offsets_are_found_whatever_the_search_path_is() {
    let mut database = Database::new(Server::Postgres, &[]).await;
    database
        .run("CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE public.t (id INT)")
        .await;
    let topic = Topic::new("t");
    let made = "SELECT relnamespace::regnamespace FROM pg_class WHERE relname = 'rowferry_offsets' ORDER BY 1";
    let holds_own = "INSERT INTO b.rowferry_offsets SELECT * FROM a.rowferry_offsets; UPDATE b.rowferry_offsets SET next_offset=7";
    for (path, before, want) in [
        ("a", "SELECT 1", None),
        ("b", "SELECT 1", Some(1)),
        (
            "b",
            "CREATE TABLE b.rowferry_offsets (LIKE a.rowferry_offsets INCLUDING ALL)",
            Some(2),
        ),
        ("a", "SELECT 1", Some(3)),
        ("b", holds_own, Some(7)),
        (
            "nowhere",
            "UPDATE b.rowferry_offsets SET updated_at=now() + interval '1 hour'",
            Some(8),
        ),
    ] {
        database.run(before).await;
        let mut config = database.config.clone();
        config.set(
            "connection.url",
            format!("{}?currentSchema={path},public", database.url),
        );
        let mut task = records::open(&config, false).await;
        let stored = task.assign(&topic.partitions()).await.unwrap();
        assert_eq!(stored.first().map(|at| at.offset), want, "{path} {before}");
        let next = TopicOffset {
            offset: want.unwrap_or(0) + 1,
            ..topic.next().remove(0)
        };
        task.put(&[topic.value(&[int("id")], [Value::I32(1)])], &[next])
            .await
            .unwrap();
        task.close().await;
        assert!(database.rows(made).await.len() <= 2);
    }
    assert_eq!(
        database
            .rows("SELECT next_offset FROM a.rowferry_offsets")
            .await,
        ["4"]
    );
    assert_eq!(
        database
            .rows("SELECT next_offset FROM b.rowferry_offsets")
            .await,
        ["9"]
    );
}

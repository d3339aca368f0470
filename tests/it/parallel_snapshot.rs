//! The first reading of a large table by several tasks: every row once, whatever dies meanwhile, and afterwards one task
//! with an offset as Kafka Connect's connector has it.

use std::collections::BTreeMap;
use std::time::Duration;

use connector_api::{SourceConnector, StoredOffsets};
use connector_jdbc::source::JdbcSource;
use serde_json::{Value, json};
use testkit::mariadb::{count, run, texts};
use testkit::{Random, Rowferry, Settings, for_condition, unique, wait_until};

use crate::deletes::place::{Place, Topic, key_of};
use crate::pipeline::Pipeline;
use crate::source_conformance::fixture::Server;
use crate::{SOON, lab};

/// Ids do not lie evenly: a third of them is in a tenth of the range.
const FILL: &str = "INSERT INTO t SELECT IF(seq <= 40000, seq, 40000 + (seq - 40000) * 5), CONCAT('row ', seq) \
                    FROM seq_1_to_120000";

fn keys(min_rows: &str) -> Value {
    json!({"tasks.max": "3", "snapshot.parallel.min.rows": min_rows, "batch.max.rows": "200", "poll.interval.ms": "100",
           "transaction.boundary": "poll"})
}

async fn tasks(worker: &Rowferry, name: &str) -> Vec<Value> {
    let answer = worker
        .rest()
        .try_send("GET", &format!("/connectors/{name}/tasks"), None)
        .await;
    answer
        .map(|a| a.body.as_array().cloned().unwrap_or_default())
        .unwrap_or_default()
}

/// Sums of a member of the table's progress over all tasks.
async fn progress(worker: &Rowferry, name: &str, member: &str) -> u64 {
    let body = worker
        .rest()
        .get(&format!("/v1/connectors/{name}/progress"))
        .await
        .expect(200)
        .body;
    let tables = body["tasks"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|task| &task["tables"][0]);
    tables.filter_map(|table| table[member].as_u64()).sum()
}

#[tokio::test]
async fn several_tasks_read_a_large_table_once_while_it_is_written_to_and_the_worker_is_killed() {
    let worker = Rowferry::start(
        lab().scratch(),
        Settings::serve(&unique("snapshot"), lab().kafka().brokers()),
    );
    let server = lab().mariadb();
    let (pipeline, mut sql) = Pipeline::new(server, "snapshot", "t").await;
    run(
        &mut sql,
        "CREATE TABLE t (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40))",
    )
    .await;
    run(&mut sql, FILL).await;
    // the id before the last belongs to a transaction that is still open when the table is cut into ranges
    let mut late = server.connect(&pipeline.name).await;
    run(&mut late, "BEGIN; INSERT INTO t (name) VALUES ('late')").await;
    run(
        &mut sql,
        "INSERT INTO t (name) VALUES ('early'); ANALYZE TABLE t",
    )
    .await;
    let name = pipeline.source_name();
    worker
        .rest()
        .create(&name, &pipeline.source(server, keys("50000")))
        .await;
    for_condition("three tasks", SOON, async || {
        tasks(&worker, &name).await.len() == 3
    })
    .await;
    let writer = tokio::spawn({
        let mut connection = server.connect(&pipeline.name).await;
        async move {
            for n in 0..200 {
                run(
                    &mut connection,
                    &format!("BEGIN; INSERT INTO t (name) VALUES ('new {n}'), ('other {n}')"),
                )
                .await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                run(
                    &mut connection,
                    if n % 10 == 0 { "ROLLBACK" } else { "COMMIT" },
                )
                .await;
            }
        }
    });
    let (topics, topic) = (lab().kafka().topics(), pipeline.topic());
    let end = topics.committed_end(&topic);
    for kill in 1..=2 {
        for_condition("rows arrive", SOON, async || end() > kill * 30_000).await;
        for_condition("progress of three tasks", SOON, async || {
            let estimated = progress(&worker, &name, "rows_estimated").await;
            let (rows, left) = (
                progress(&worker, &name, "rows").await,
                progress(&worker, &name, "rows_left").await,
            );
            (50_000..250_000).contains(&estimated) && rows > 0 && left < estimated
        })
        .await;
        worker.kill();
        worker.restart();
    }
    writer.await.unwrap();
    run(&mut late, "COMMIT").await;
    for_condition("one task", SOON * 2, async || {
        let tasks = tasks(&worker, &name).await;
        tasks.len() == 1 && tasks[0]["config"]["snapshot.part"].is_null()
    })
    .await;
    run(&mut sql, "INSERT INTO t (name) VALUES ('last')").await;
    let last = count(&mut sql, "SELECT MAX(id) FROM t").await;
    let path = format!("/connectors/{name}/offsets");
    wait_until(
        "the offset of the table alone, as Kafka Connect's",
        SOON,
        async || {
            let offsets = worker.rest().get(&path).await.body["offsets"].clone();
            let alone = offsets.as_array().is_some_and(|all| all.len() == 1);
            (alone && offsets[0]["offset"] == json!({"incrementing": last})).then_some(())
        },
    )
    .await;
    let mut reported: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    topics.each(&topic, |entry| {
        let row = entry.json()["payload"].clone();
        reported
            .entry(row["id"].as_i64().unwrap())
            .or_default()
            .push(row["name"].as_str().unwrap().to_owned());
    });
    let rows = texts(&mut sql, "SELECT id, name FROM t ORDER BY id").await;
    let rows: BTreeMap<i64, Vec<String>> = rows
        .into_iter()
        .map(|row| {
            (
                row[0].as_deref().unwrap().parse().unwrap(),
                vec![row[1].clone().unwrap()],
            )
        })
        .collect();
    assert_eq!((reported.len(), rows.len()), (rows.len(), 120_363));
    assert!(reported == rows, "a row came twice, or with other values");
    worker.rest().remove(&name).await;
}

/// A smaller table is read by its own task alone, in the order of ids.
#[tokio::test]
async fn a_small_table_is_read_by_one_task() {
    let server = lab().mariadb();
    let rest = lab().worker().rest();
    let (pipeline, mut sql) = Pipeline::new(server, "snapshot_small", "t").await;
    run(
        &mut sql,
        "CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40))",
    )
    .await;
    run(&mut sql, "INSERT INTO t SELECT seq, 'x' FROM seq_1_to_2000").await;
    let name = pipeline.source_name();
    rest.create(&name, &pipeline.source(server, keys("1000000")))
        .await;
    let found = lab()
        .kafka()
        .topics()
        .wait_for(&pipeline.topic(), 2000, SOON)
        .await;
    let ids: Vec<_> = found
        .iter()
        .map(|entry| entry.json()["payload"]["id"].as_i64().unwrap_or_default())
        .collect();
    assert_eq!(ids, (1..=2000).collect::<Vec<i64>>());
    assert_eq!(tasks(lab().worker(), &name).await.len(), 1);
    rest.remove(&name).await;
}

/// The tasks of a plan, polled here in turn; again and again all of them die and lose what was not committed.
#[tokio::test]
async fn ranges_are_read_once_whichever_task_dies_with_whichever_batch() {
    let mut random = Random::new();
    for server in [Server::MariaDb, Server::Postgres] {
        let mut place = Place::new(server).await;
        place
            .run("CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40))")
            .await;
        let rows: Vec<String> = (1..=20_000)
            .map(|n| format!("({}, 'row')", if n < 9000 { n } else { n * 3 }))
            .collect();
        for rows in rows.chunks(5000) {
            place
                .run(&format!("INSERT INTO t VALUES {}", rows.join(",")))
                .await;
        }
        place
            .run(if server == Server::Postgres {
                "ANALYZE t"
            } else {
                "ANALYZE TABLE t"
            })
            .await;
        let keys = [
            ("delete.capture", "none"),
            ("incrementing.column.name", "id"),
            ("snapshot.parallel.min.rows", "1000"),
            ("batch.max.rows", "150"),
        ];
        let (config, mut topic) = (place.source(&keys), Topic::default());
        let end = tokio::time::Instant::now() + SOON * 2;
        let mut most = 0;
        loop {
            assert!(
                tokio::time::Instant::now() < end,
                "{server:?}: {} records",
                topic.records.len()
            );
            let plan = JdbcSource
                .plan_on(&config, random.below(3) as usize + 2, &topic)
                .await
                .unwrap();
            most = most.max(plan.tasks.len());
            let over = plan.tasks.len() == 1 && plan.tasks[0].get("snapshot.part").is_none();
            let mut tasks = Vec::new();
            for task in &plan.tasks {
                tasks.push(JdbcSource.open(task, &topic).await.unwrap());
            }
            for _ in 0..random.below(60) + 20 {
                let at = random.below(tasks.len() as u64) as usize;
                let polled =
                    tokio::time::timeout(Duration::from_millis(50), tasks[at].poll()).await;
                let Ok(batch) = polled else { continue };
                if random.below(15) > 0 {
                    topic.commit(batch.unwrap());
                    continue;
                }
                // the task dies, and its last batch with it
                tasks.swap_remove(at).close().await;
                if tasks.is_empty() {
                    break;
                }
            }
            for task in tasks {
                task.close().await;
            }
            if over && topic.records.len() >= 20_000 {
                break;
            }
        }
        let mut ids: Vec<i64> = topic
            .records
            .iter()
            .map(|record| key_of(record).parse().unwrap())
            .collect();
        ids.sort_unstable();
        let want: Vec<i64> = place
            .column("SELECT id FROM t ORDER BY id")
            .await
            .iter()
            .map(|id| id.parse().unwrap())
            .collect();
        assert!(
            ids == want,
            "{server:?}: {} records of {} rows",
            ids.len(),
            want.len()
        );
        assert!(most > 1, "{server:?}: one task read it all");
    }
}

/// A task that has all ranges of one table and another table as well, since there may be but one task any more.
#[tokio::test]
async fn a_table_read_in_ranges_that_cannot_be_opened_stops_alone_and_is_read_once_when_it_can() {
    for server in [Server::MariaDb, Server::Postgres] {
        let mut place = Place::new(server).await;
        place
            .run("CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40))")
            .await;
        place
            .run("CREATE TABLE u (id BIGINT NOT NULL PRIMARY KEY)")
            .await;
        let rows: Vec<String> = (1..=3000).map(|n| format!("({n}, 'row')")).collect();
        place
            .run(&format!("INSERT INTO t VALUES {}", rows.join(",")))
            .await;
        place
            .run(if server == Server::Postgres {
                "ANALYZE t"
            } else {
                "ANALYZE TABLE t"
            })
            .await;
        let keys = [
            ("delete.capture", "none"),
            ("incrementing.column.name", "id"),
            ("table.whitelist", "t,u"),
            ("table.poll.interval.ms", "300"),
            ("snapshot.parallel.min.rows", "1000"),
            ("batch.max.rows", "100"),
        ];
        let (config, mut topic) = (place.source(&keys), Topic::default());
        // some of the ranges are begun by several tasks
        for _ in 0..2 {
            for task in JdbcSource.plan_on(&config, 4, &topic).await.unwrap().tasks {
                let mut task = JdbcSource.open(&task, &topic).await.unwrap();
                let had = topic.records.len();
                topic
                    .poll(&mut *task, Duration::from_millis(500), |topic| {
                        topic.records.len() >= had + 300
                    })
                    .await;
                task.close().await;
            }
        }
        let begun = topic.records.len();
        assert!((300..3000).contains(&begun), "{server:?}: {begun}");
        place.run("ALTER TABLE t RENAME COLUMN id TO number").await;
        place.run("INSERT INTO u VALUES (7001)").await;
        let mut task = topic.open(&config).await;
        let came = topic
            .poll(&mut *task, SOON, |topic| {
                topic.records.iter().any(|r| key_of(r) == "7001")
            })
            .await;
        assert!(came, "{server:?}: {:?}", task.progress().warnings);
        assert_eq!(topic.records.len(), begun + 1);
        let warnings = task.progress().warnings;
        assert!(
            warnings.len() == 1 && warnings[0].contains(".t is not read any more"),
            "{server:?}: {warnings:?}"
        );
        place.run("ALTER TABLE t RENAME COLUMN number TO id").await;
        let all = topic
            .poll(&mut *task, SOON, |topic| topic.records.len() > 3000)
            .await;
        assert!(
            all,
            "{server:?}: {} records, {:?}",
            topic.records.len(),
            task.progress().warnings
        );
        let settled = async |topic: &Topic| {
            let whole = |p: &connector_api::SourcePosition| {
                p.offset.as_ref().is_some_and(|o| o.0.len() == 1)
            };
            topic
                .all()
                .await
                .unwrap()
                .iter()
                .filter(|p| whole(p))
                .count()
                == 2
                && topic.all().await.unwrap().len() == 2
        };
        let end = tokio::time::Instant::now() + SOON;
        while !settled(&topic).await {
            assert!(tokio::time::Instant::now() < end, "{:?}", topic.all().await);
            topic
                .poll(&mut *task, Duration::from_millis(100), |_| false)
                .await;
        }
        task.close().await;
        let mut ids: Vec<i64> = topic
            .records
            .iter()
            .map(|record| key_of(record).parse().unwrap())
            .collect();
        ids.sort_unstable();
        assert!(
            ids == (1..=3000).chain([7001]).collect::<Vec<_>>(),
            "{server:?}: {} records",
            ids.len()
        );
    }
}

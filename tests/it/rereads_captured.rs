//! Rows that `mode=cdc` reads again over a worker and Kafka while the table is written to and the worker is killed, and a
//! request that comes while several tasks read a table for the first time.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use sqlx::{AssertSqlSafe, Executor};
use testkit::mariadb::run;
use testkit::{MariaDb, Postgres, Rest, Rowferry, Settings, for_condition, unique, wait_until};

use crate::pipeline::Pipeline;
use crate::{SOON, lab};

const ROWS: u64 = 12_000;

fn config(url: &str, (user, password): (&str, &str), database: &str) -> Json {
    json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector", "connection.url": url,
        "connection.user": user, "connection.password": password, "mode": "cdc", "table.whitelist": "t",
        "topic.prefix": format!("{database}-"), "batch.max.rows": "100", "transaction.boundary": "poll",
        "name": database, "slot.name": database,
    })
}

/// The partitions of the connector's offsets that have such a member.
async fn stored(rest: &Rest, name: &str, member: &str) -> Option<Vec<Json>> {
    let path = format!("/connectors/{name}/offsets");
    let answer = rest.try_send("GET", &path, None).await.ok()?;
    let offsets = answer.body["offsets"].as_array().cloned()?;
    let with = |offset: &Json| offset["partition"].get(member).is_some();
    Some(offsets.into_iter().filter(with).collect())
}

/// Changes rows while 1001 to 11000 are read again: of those ids that are divisible by 50, `n` grows.
async fn kill_while_rows_are_read_again(config: Json, write: impl AsyncFn(&str)) {
    let name = config["name"].as_str().unwrap().to_owned();
    let settings = Settings::serve(&unique("again"), lab().kafka().brokers());
    let worker = Rowferry::start(lab().scratch(), settings);
    worker.rest().create(&name, &config).await;
    let (topics, topic) = (lab().kafka().topics(), format!("{name}-t"));
    for_condition("the topic", SOON, async || topics.exists(&topic)).await;
    wait_until("the first read is complete", SOON, async || {
        let tables = stored(worker.rest(), &name, "table").await?;
        tables
            .iter()
            .any(|it| it["offset"]["snapshot"] == "done")
            .then_some(())
    })
    .await;
    let path = format!("/v1/connectors/{name}/rereads");
    let asked = json!({"table": "t", "from": 1001, "to": [11_000]});
    worker.rest().post(&path, &asked).await.expect(202);
    let end = topics.committed_end(&topic);
    let mut round = 0;
    let mut change = async || {
        round += 1;
        write(&format!(
            "UPDATE t SET n = n + 100000 WHERE id % 50 = 0 AND id % 7 = {}",
            round % 7
        ))
        .await;
        write(&format!("DELETE FROM t WHERE id = {}", round * 50 + 1)).await;
    };
    for kills in 1..=2 {
        for_condition("rows come again", SOON, async || {
            change().await;
            end() > i64::try_from(ROWS).unwrap() + kills * 3000
        })
        .await;
        worker.kill();
        change().await;
        worker.restart();
    }
    wait_until(
        "no place of a reread is stored any more",
        SOON * 2,
        async || {
            change().await;
            stored(worker.rest(), &name, "reread")
                .await?
                .is_empty()
                .then_some(())
        },
    )
    .await;
    write("UPDATE t SET n = 7 WHERE id = 1").await;
    let mut records: BTreeMap<i64, Vec<Option<i64>>> = BTreeMap::new();
    for_condition("the last change", SOON, async || {
        records.clear();
        topics.each(&topic, |entry| {
            let key: Json = serde_json::from_slice(entry.key.as_deref().unwrap()).unwrap();
            let n = entry
                .value
                .as_ref()
                .map(|_| entry.json()["payload"]["n"].as_i64().unwrap());
            records
                .entry(key["payload"]["id"].as_i64().unwrap())
                .or_default()
                .push(n);
        });
        records.get(&1).and_then(|all| all.last().copied()) == Some(Some(7))
    })
    .await;
    assert_eq!(records.len() as u64, ROWS);
    for (id, all) in records {
        let versions: Vec<_> = all.iter().flatten().collect();
        if id != 1 {
            assert!(versions.is_sorted(), "{id}: {all:?}");
        }
        let gone = all.iter().position(Option::is_none);
        assert!(
            gone.is_none_or(|at| at + 1 == all.len()),
            "{id} comes back: {all:?}"
        );
        if id % 50 > 1 {
            let count = if (1001..=11_000).contains(&id) { 2 } else { 1 };
            assert_eq!(all.len(), count, "{id}: {all:?}");
        }
    }
    worker.rest().remove(&name).await;
}

#[tokio::test]
async fn rows_of_a_captured_table_come_again_though_the_worker_is_killed_on_mariadb() {
    let server = MariaDb::start_durable(lab().scratch(), "again");
    let database = unique("again");
    let mut connection = server.create_database(&database).await;
    let table = "CREATE TABLE t (id INT PRIMARY KEY, n BIGINT NOT NULL)";
    run(&mut connection, table).await;
    let fill = format!("INSERT INTO t SELECT seq, seq FROM seq_1_to_{ROWS}");
    run(&mut connection, &fill).await;
    let account = (MariaDb::USER, MariaDb::PASSWORD);
    let config = config(&server.jdbc_url(&database), account, &database);
    let write = async |sql: &str| run(&mut server.connect(&database).await, sql).await;
    kill_while_rows_are_read_again(config, write).await;
}

#[tokio::test]
async fn rows_of_a_captured_table_come_again_though_the_worker_is_killed_on_postgresql() {
    let server = lab().postgres();
    let database = unique("again").replace('-', "_");
    let mut connection = server.create_database(&database).await;
    let fill = format!(
        "CREATE TABLE t (id INT PRIMARY KEY, n BIGINT NOT NULL); \
         INSERT INTO t SELECT n, n FROM generate_series(1, {ROWS}) n"
    );
    let send = async |connection: &mut sqlx::PgConnection, sql: &str| {
        let sent = connection
            .execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
            .await;
        sent.unwrap_or_else(|error| panic!("{sql}: {error}"));
    };
    send(&mut connection, &fill).await;
    let account = (Postgres::USER, Postgres::PASSWORD);
    let config = config(&server.jdbc_url(&database), account, &database);
    let write = async |sql: &str| send(&mut server.connect(&database).await, sql).await;
    kill_while_rows_are_read_again(config, write).await;
    let drop = format!("SELECT pg_drop_replication_slot('{database}')");
    for_condition("the slot is dropped", SOON, async || {
        connection
            .execute(sqlx::raw_sql(AssertSqlSafe(drop.clone())))
            .await
            .is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_table_that_several_tasks_still_read_is_read_again_afterwards() {
    let settings = Settings::serve(&unique("again"), lab().kafka().brokers());
    let worker = Rowferry::start(lab().scratch(), settings);
    let server = lab().mariadb();
    let (pipeline, mut sql) = Pipeline::new(server, "again", "t").await;
    run(
        &mut sql,
        "CREATE TABLE t (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40)); \
         INSERT INTO t (name) SELECT CONCAT('row ', seq) FROM seq_1_to_60000; ANALYZE TABLE t",
    )
    .await;
    let keys = json!({"tasks.max": "3", "snapshot.parallel.min.rows": "20000", "batch.max.rows": "200",
                      "poll.interval.ms": "100", "transaction.boundary": "poll"});
    let (rest, name) = (worker.rest(), pipeline.source_name());
    rest.create(&name, &pipeline.source(server, keys)).await;
    let path = format!("/v1/connectors/{name}/rereads");
    let asked = json!({"table": "t", "from": 20_001, "to": 20_500});
    wait_until(
        "the request is taken while ranges are read",
        SOON,
        async || {
            let ranges = stored(rest, &name, "range").await?;
            if ranges.is_empty() {
                return None;
            }
            let body = Some(("application/json", asked.to_string()));
            let answer = rest.try_send("POST", &path, body).await.ok()?;
            (answer.status == 202).then_some(())
        },
    )
    .await;
    worker.kill();
    worker.restart();
    let rest = worker.rest();
    wait_until("nothing is read again any more", SOON * 2, async || {
        let answer = rest.try_send("GET", &path, None).await.ok()?;
        // each task that reads ranges knows of it
        assert!(
            answer.body.as_array().is_none_or(|all| all.len() <= 1),
            "{}",
            answer.text
        );
        let again = stored(rest, &name, "reread").await?;
        let ranges = stored(rest, &name, "range").await?;
        (again.is_empty() && ranges.is_empty()).then_some(())
    })
    .await;
    let mut times: BTreeMap<i64, u32> = BTreeMap::new();
    lab().kafka().topics().each(&pipeline.topic(), |entry| {
        *times
            .entry(entry.json()["payload"]["id"].as_i64().unwrap())
            .or_default() += 1;
    });
    assert_eq!(times.len(), 60_000);
    for (id, times) in times {
        let want = if (20_001..=20_500).contains(&id) {
            2
        } else {
            1
        };
        assert_eq!(times, want, "{id}");
    }
    rest.remove(&name).await;
}

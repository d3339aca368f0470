//! Workers that lose only Kafka, or only the store: others take over, and no row is lost or doubled. And how
//! a change reaches the others.

use std::time::Duration;

use serde_json::json;
use testkit::mariadb::run;
use testkit::relay::{Relay, Trouble};
use testkit::{KafkaProxy, Line, MariaDb, Rowferry, for_condition, unique};

use crate::lab;
use crate::pipeline::Pipeline;
use crate::workers::{
    Group, count, create, id_of, idle_sink, on_different_workers, owners, seen_by, status, tasks_on,
};

const LONG: Duration = Duration::from_secs(90);
/// Less than the workers' look at the store of the test that uses it.
const AT_ONCE: Duration = Duration::from_secs(25);

/// A source and a sink that share the work of two workers.
struct Moving {
    pipeline: Pipeline,
    rows: i64,
}

impl Moving {
    async fn start(name: &str, worker: &Rowferry) -> (Self, sqlx::MySqlConnection) {
        let server = lab().mariadb();
        let (pipeline, mut connection) = Pipeline::new(server, name, "t").await;
        let table = "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, at TEXT)";
        run(&mut connection, table).await;
        let insert = json!({"insert.mode": "insert", "pk.mode": "none"});
        pipeline
            .create(worker.rest(), server, json!({}), insert)
            .await;
        let mut this = Self { pipeline, rows: 0 };
        this.more(&mut connection).await;
        this.arrived(&mut connection).await;
        (this, connection)
    }

    async fn more(&mut self, connection: &mut sqlx::MySqlConnection) {
        for _ in 0..10 {
            run(connection, "INSERT INTO t (at) VALUES ('a')").await;
            self.rows += 1;
        }
    }

    /// Waits until all rows have arrived, each once.
    async fn arrived(&self, connection: &mut sqlx::MySqlConnection) {
        self.pipeline
            .wait_arrived(connection, self.rows, LONG)
            .await;
        assert_eq!(self.pipeline.assert_same(connection).await, self.rows);
    }

    /// Waits until both connectors run on that worker, as it sees it.
    async fn all_on(&self, worker: &Rowferry) {
        for name in [self.pipeline.source_name(), self.pipeline.sink_name()] {
            tasks_on(worker, &name, "the worker that stays", |owners| {
                owners == [id_of(worker)]
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_alone_loses_the_store_hands_its_tasks_over_and_comes_back() {
    let mut group = Group::on_mariadb("cut_store").await;
    let relay = Relay::start(lab().mariadb().port(), 31).await;
    let (user, password, port) = (MariaDb::USER, MariaDb::PASSWORD, relay.port());
    let store = format!(
        "mysql://{user}:{password}@127.0.0.1:{port}/{}_store",
        group.name
    );
    let a = group.worker();
    let settings = group
        .settings()
        .with("rowferry.store.url", &store)
        .with("rowferry.store.patience.ms", "1000");
    let b = Rowferry::start(lab().scratch(), settings);
    let (mut moving, mut connection) = Moving::start("cut_store", &a).await;
    on_different_workers(&a, &moving.pipeline).await;
    relay.set(Trouble::Cut { least: 0, most: 0 });
    moving.more(&mut connection).await;
    moving.all_on(&a).await;
    moving.arrived(&mut connection).await;
    relay.set(Trouble::None);
    moving.more(&mut connection).await;
    on_different_workers(&a, &moving.pipeline).await;
    on_different_workers(&b, &moving.pipeline).await;
    moving.more(&mut connection).await;
    moving.arrived(&mut connection).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_loses_only_kafka_is_replaced_and_comes_back() {
    let mut group = Group::on_mariadb("cut_kafka").await;
    let a = group.worker();
    let proxy = KafkaProxy::start(lab().kafka()).await;
    let settings = group.settings().with("bootstrap.servers", &proxy.brokers());
    let b = Rowferry::start(lab().scratch(), settings);
    let (mut moving, mut connection) = Moving::start("cut_kafka", &a).await;
    on_different_workers(&a, &moving.pipeline).await;
    proxy.line(Line::Silent);
    moving.more(&mut connection).await;
    moving.all_on(&a).await;
    moving.arrived(&mut connection).await;
    proxy.line(Line::Open);
    moving.more(&mut connection).await;
    on_different_workers(&b, &moving.pipeline).await;
    moving.more(&mut connection).await;
    moving.arrived(&mut connection).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_workers_with_one_instance_id_the_older_ends_and_says_why() {
    let mut group = Group::on_postgres("same_instance").await;
    let same = |group: &mut Group| {
        let settings = group.settings().with("group.instance.id", "one");
        Rowferry::start(lab().scratch(), settings)
    };
    let older = same(&mut group);
    let name = unique("instance");
    create(&older, &name, &idle_sink(&name, 2)).await;
    tasks_on(&older, &name, "the first worker", |owners| {
        owners.len() == 2
    })
    .await;
    let newer = same(&mut group);
    assert_eq!(older.ended(LONG), Some(75), "{}", older.log());
    let log = older.log();
    assert!(log.contains("group.instance.id=one"), "{log}");
    tasks_on(&newer, &name, "the newer worker", |owners| {
        owners == [id_of(&newer), id_of(&newer)]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_that_is_deleted_while_its_worker_is_dead_leaves_nothing_behind() {
    let mut group = Group::on_mariadb("delete_dead").await;
    let (a, b) = (group.worker(), group.worker());
    let name = unique("orphan");
    create(&a, &name, &idle_sink(&name, 4)).await;
    tasks_on(&a, &name, "both workers", |owners| {
        count(owners, &a) == 2 && count(owners, &b) == 2
    })
    .await;
    b.kill();
    let path = format!("/connectors/{name}");
    a.rest().delete(&path).await.expect(204);
    for_condition("the work of the dead worker to move", LONG, async || {
        seen_by(&a)
            .await
            .iter()
            .any(|worker| worker.0 == id_of(&b) && worker.2 == 0)
            && a.rest().get("/v1/workers").await.body["workers"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| one["slots"] == 64))
    })
    .await;
    a.rest().get(&path).await.expect(404);
    create(&a, &name, &idle_sink(&name, 3)).await;
    tasks_on(&a, &name, "the worker that lives", |owners| {
        count(owners, &a) == 3
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_workers_that_start_at_once_on_an_empty_store_all_run() {
    let mut group = Group::on_postgres("start_at_once").await;
    let settings: Vec<_> = (0..3).map(|_| group.settings()).collect();
    let starts = settings.into_iter().map(|settings| {
        tokio::task::spawn_blocking(move || Rowferry::start(lab().scratch(), settings))
    });
    let mut workers = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        workers.push(start.await.expect("a worker"));
    }
    let name = unique("at_once");
    create(&workers[0], &name, &idle_sink(&name, 6)).await;
    for worker in &workers {
        tasks_on(worker, &name, "all workers", |owners| {
            workers.iter().all(|one| count(owners, one) == 2)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_go_on_after_the_topic_of_the_slots_was_deleted_and_no_row_is_lost_or_doubled() {
    let mut group = Group::on_postgres("no_slots").await;
    let (a, b) = (group.worker(), group.worker());
    let (mut moving, mut connection) = Moving::start("no_slots", &a).await;
    on_different_workers(&a, &moving.pipeline).await;
    let topic = format!("rowferry-slots-{}", group.name);
    let topics = lab().kafka().topics();
    topics.delete(&topic).await;
    moving.more(&mut connection).await;
    // The workers create it again, and share its slots.
    for_condition("the slots to be there again", LONG, async || {
        topics.exists(&topic)
            && a.rest().get("/v1/workers").await.body["workers"]
                .as_array()
                .is_some_and(|all| all.iter().all(|one| one["slots"] == 32))
    })
    .await;
    moving.more(&mut connection).await;
    moving.arrived(&mut connection).await;
    on_different_workers(&b, &moving.pipeline).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_ready_once_it_has_its_share_of_the_slots() {
    let mut group = Group::on_postgres("ready").await;
    let (a, b) = (group.worker(), group.worker());
    for worker in [&a, &b] {
        for_condition("the worker to be ready", LONG, async || {
            worker.rest().get("/readyz").await.status == 200
        })
        .await;
        let body = worker.rest().get("/v1/workers").await.expect(200).body;
        let all = body["workers"].as_array().cloned().unwrap_or_default();
        let own = all.iter().find(|one| one["answers"] == true);
        assert!(own.unwrap()["slots"].as_u64() > Some(0), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_reaches_the_other_workers_before_their_next_look_at_the_store() {
    let mut group = Group::on_mariadb("nudge").await;
    let slow = |group: &mut Group| {
        let settings = group.settings().with("rowferry.store.poll.ms", "600000");
        Rowferry::start(lab().scratch(), settings)
    };
    let (a, b) = (slow(&mut group), slow(&mut group));
    for_condition("both workers to have slots", LONG, async || {
        let body = a.rest().get("/v1/workers").await.body;
        let all = body["workers"].as_array().cloned().unwrap_or_default();
        all.len() == 2 && all.iter().all(|one| one["slots"] == 32)
    })
    .await;
    assert_eq!(seen_by(&b).await.len(), 2);
    let name = unique("nudged");
    create(&a, &name, &idle_sink(&name, 4)).await;
    // Only the first worker is asked, because a worker that is asked reads the store.
    for_condition("tasks on both workers", AT_ONCE, async || {
        let mut all = owners(&status(&a, &name).await).unwrap_or_default();
        all.sort_unstable();
        all.dedup();
        all.len() == 2
    })
    .await;
}

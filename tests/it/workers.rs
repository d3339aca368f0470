//! Several workers on one metadata store: they share the work, each answers every call, and what one that
//! ends had to do is done by the others.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::mariadb::run;
use testkit::{MariaDb, Postgres, Rowferry, Settings, for_condition, unique};

use crate::pipeline::Pipeline;
use crate::{SOON, lab};

const LONG: Duration = Duration::from_secs(90);
/// A key of its own, which all workers of a store need.
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// Workers of one group on one store.
struct Group {
    name: String,
    store: String,
    started: usize,
    session_ms: &'static str,
}

impl Group {
    /// A group whose store is a new database of the MariaDB server.
    async fn on_mariadb(name: &str) -> Self {
        let (name, server) = (unique(name), lab().mariadb());
        let database = format!("{name}_store");
        drop(server.create_database(&database).await);
        let (user, password, port) = (MariaDb::USER, MariaDb::PASSWORD, server.port());
        let store = format!("mysql://{user}:{password}@127.0.0.1:{port}/{database}");
        Self::on(name, store)
    }

    async fn on_postgres(name: &str) -> Self {
        let (name, server) = (unique(name), lab().postgres());
        let database = format!("{name}_store");
        drop(server.create_database(&database).await);
        let (user, password, port) = (Postgres::USER, Postgres::PASSWORD, server.port());
        let store = format!("postgres://{user}:{password}@127.0.0.1:{port}/{database}");
        Self::on(name, store)
    }

    fn on(name: String, store: String) -> Self {
        Self {
            name,
            store,
            started: 0,
            session_ms: "6000",
        }
    }

    fn settings(&mut self) -> Settings {
        self.started += 1;
        Settings::serve(
            &format!("{}_w{}", self.name, self.started),
            lab().kafka().brokers(),
        )
        .with("group.id", &self.name)
        .with("offset.storage.topic", &format!("{}-offsets", self.name))
        .with("rowferry.store.url", &self.store)
        .with("rowferry.store.shared", "true")
        .with("rowferry.secrets.key", KEY)
        .with("session.timeout.ms", self.session_ms)
    }

    /// The slots of a connector's tasks, as the store holds them.
    async fn slots(&self, connector: &str) -> Vec<i64> {
        let sql = format!("SELECT slot FROM tasks WHERE connector = '{connector}' ORDER BY task");
        let database = format!("{}_store", self.name);
        if self.store.starts_with("mysql") {
            let mut connection = lab().mariadb().connect(&database).await;
            let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&mut connection);
            return rows.await.expect("slots");
        }
        let mut connection = lab().postgres().connect(&database).await;
        let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&mut connection);
        rows.await.expect("slots")
    }

    /// Starts one more worker.
    fn worker(&mut self) -> Rowferry {
        let settings = self.settings();
        Rowferry::start(lab().scratch(), settings)
    }
}

/// The id by which a worker shows itself.
fn id_of(worker: &Rowferry) -> String {
    let base = worker.rest().base();
    base.rsplit('/').next().unwrap_or(base).to_owned()
}

async fn status(worker: &Rowferry, name: &str) -> Value {
    worker
        .rest()
        .get(&format!("/connectors/{name}/status"))
        .await
        .body
}

/// The workers of a connector's tasks, if all of them run.
fn owners(status: &Value) -> Option<Vec<String>> {
    let tasks = status["tasks"].as_array()?;
    let owner = |task: &Value| {
        (task["state"] == "RUNNING").then(|| task["worker_id"].as_str().unwrap_or("").to_owned())
    };
    tasks.iter().map(owner).collect()
}

/// Waits until all tasks of a connector run, as that worker sees it, on workers that the test accepts.
async fn tasks_on(
    asked: &Rowferry,
    name: &str,
    what: &str,
    is_right: impl Fn(&[String]) -> bool,
) -> Vec<String> {
    let mut last = Vec::new();
    for_condition(&format!("tasks of {name} on {what}"), LONG, async || {
        let Some(owners) = owners(&status(asked, name).await) else {
            return false;
        };
        last = owners;
        !last.is_empty() && is_right(&last)
    })
    .await;
    last
}

/// A sink of an empty topic: it has tasks and nothing to do.
fn idle_sink(topic: &str, tasks: usize) -> Value {
    json!({
        "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector",
        "topics": topic,
        "file": lab().scratch().path().join(format!("{topic}.txt")),
        "tasks.max": tasks.to_string(),
    })
}

fn count(owners: &[String], worker: &Rowferry) -> usize {
    let id = id_of(worker);
    owners.iter().filter(|owner| **owner == id).count()
}

async fn create(worker: &Rowferry, name: &str, config: &Value) {
    worker
        .rest()
        .put(&format!("/connectors/{name}/config"), config)
        .await
        .expect(201);
}

async fn a_second_worker_takes_half_and_the_other_half_never_stops(mut group: Group) {
    let first = group.worker();
    let name = unique("spread");
    create(&first, &name, &idle_sink(&name, 6)).await;
    tasks_on(&first, &name, "the only worker", |owners| {
        owners.len() == 6 && count(owners, &first) == 6
    })
    .await;
    let before = group.slots(&name).await;
    let second = group.worker();
    let spread = |owners: &[String]| count(owners, &first) == 3 && count(owners, &second) == 3;
    let seen = tasks_on(&second, &name, "both workers", spread).await;
    let after = group.slots(&name).await;
    let stayed: Vec<usize> = (0..6)
        .filter(|at| seen[*at] == id_of(&first) && before[*at] == after[*at])
        .collect();
    assert!(!stayed.is_empty(), "all tasks moved: {before:?} {after:?}");
    for task in stayed {
        let log = first.log();
        assert_eq!(
            starts(&log, &name, task),
            1,
            "task {task} started again: {log}"
        );
    }
}

/// How often a worker's log says that a task runs.
fn starts(log: &str, connector: &str, task: usize) -> usize {
    let of_task = |line: &&str| {
        line.contains("\"task is RUNNING\"")
            && line.contains(&format!("\"connector\":\"{connector}\""))
            && line.contains(&format!("\"task\":{task},"))
    };
    log.lines().filter(of_task).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_on_mariadb_takes_half_of_the_tasks_and_the_others_never_stop() {
    a_second_worker_takes_half_and_the_other_half_never_stops(Group::on_mariadb("newcomer").await)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_on_postgres_takes_half_of_the_tasks_and_the_others_never_stop() {
    a_second_worker_takes_half_and_the_other_half_never_stops(Group::on_postgres("newcomer").await)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_worker_answers_from_the_truth_at_once() {
    let mut group = Group::on_mariadb("truth").await;
    let (a, b) = (group.worker(), group.worker());
    for round in 0..40 {
        let name = format!("{}-{round}", unique("seen"));
        let path = format!("/connectors/{name}");
        let (write, read) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        create(write, &name, &idle_sink(&name, 1)).await;
        read.rest().get(&path).await.expect(200);
        let config = json!({"tasks.max": "2"});
        read.rest()
            .send(
                "PATCH",
                &format!("{path}/config"),
                Some(("application/json", config.to_string())),
            )
            .await
            .expect(200);
        let got = write
            .rest()
            .get(&format!("{path}/config"))
            .await
            .expect(200)
            .body;
        assert_eq!(got["tasks.max"], "2");
        read.rest()
            .put(&format!("{path}/pause"), &json!({}))
            .await
            .expect(202);
        write.rest().delete(&path).await.expect(204);
        read.rest().get(&path).await.expect(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_workers_that_create_the_same_connector_one_does() {
    let mut group = Group::on_postgres("same_name").await;
    let (a, b) = (group.worker(), group.worker());
    for round in 0..25 {
        let name = format!("{}-{round}", unique("twice"));
        let body = json!({"name": name, "config": idle_sink(&name, 1)});
        let (one, other) = tokio::join!(
            a.rest().post("/connectors", &body),
            b.rest().post("/connectors", &body)
        );
        let mut codes = [one.status, other.status];
        codes.sort_unstable();
        assert_eq!(codes, [201, 409], "{} {}", one.body, other.body);
        for worker in [&a, &b] {
            worker
                .rest()
                .get(&format!("/connectors/{name}"))
                .await
                .expect(200);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn states_and_restarts_reach_the_worker_that_runs_the_task() {
    let mut group = Group::on_mariadb("states").await;
    let (a, b) = (group.worker(), group.worker());
    let name = unique("verbs");
    create(&a, &name, &idle_sink(&name, 4)).await;
    tasks_on(&b, &name, "both workers", |owners| {
        owners.len() == 4 && count(owners, &a) == 2 && count(owners, &b) == 2
    })
    .await;
    let path = format!("/connectors/{name}");
    b.rest()
        .put(&format!("{path}/pause"), &json!({}))
        .await
        .expect(202);
    for worker in [&a, &b] {
        for_condition("all paused", SOON, async || {
            let status = status(worker, &name).await;
            let tasks = status["tasks"].as_array().cloned().unwrap_or_default();
            status["connector"]["state"] == "PAUSED"
                && tasks.len() == 4
                && tasks.iter().all(|task| task["state"] == "PAUSED")
        })
        .await;
    }
    a.rest()
        .put(&format!("{path}/resume"), &json!({}))
        .await
        .expect(202);
    let before = tasks_on(&b, &name, "both workers again", |owners| owners.len() == 4).await;
    for (task, runs_on) in before.iter().enumerate() {
        let (owner, asked) = if *runs_on == id_of(&a) {
            (&a, &b)
        } else {
            (&b, &a)
        };
        let restarts = || starts(&owner.log(), &name, task);
        let known = restarts();
        asked
            .rest()
            .post(&format!("{path}/tasks/{task}/restart"), &json!({}))
            .await
            .expect(204);
        for_condition("the task to run again", SOON, async || {
            restarts() > known && status(asked, &name).await["tasks"][task]["state"] == "RUNNING"
        })
        .await;
    }
    b.rest()
        .put(&format!("{path}/stop"), &json!({}))
        .await
        .expect(204);
    for worker in [&a, &b] {
        for_condition("stopped", SOON, async || {
            let status = status(worker, &name).await;
            status["connector"]["state"] == "STOPPED" && status["tasks"] == json!([])
        })
        .await;
    }
}

/// Freezes the worker of a task at a fail point in the middle of its transaction, until the other worker has
/// written the rows.
async fn a_frozen_worker_writes_nothing(name: &str, point: &str, of_source: bool) {
    let mut group = Group::on_mariadb(name).await;
    let (a, b) = (group.worker(), group.worker());
    let server = lab().mariadb();
    let (pipeline, mut connection) = Pipeline::new(server, name, "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, at TEXT)",
    )
    .await;
    run(&mut connection, "INSERT INTO t (at) VALUES ('a')").await;
    let insert = json!({"insert.mode": "insert", "pk.mode": "none"});
    pipeline.create(a.rest(), server, json!({}), insert).await;
    pipeline.wait_arrived(&mut connection, 1, LONG).await;
    let connector = if of_source {
        pipeline.source_name()
    } else {
        pipeline.sink_name()
    };
    let owner = tasks_on(&b, &connector, "any worker", |_| true).await;
    let (zombie, _) = if owner[0] == id_of(&a) {
        (&a, &b)
    } else {
        (&b, &a)
    };
    zombie.fail_at(point, "return(hang)");
    run(&mut connection, "INSERT INTO t (at) VALUES ('b'), ('c')").await;
    for_condition("the transaction to be open", SOON, async || {
        zombie.reached(point) > 0
    })
    .await;
    zombie.freeze();
    run(&mut connection, "INSERT INTO t (at) VALUES ('d')").await;
    pipeline.wait_arrived(&mut connection, 4, LONG).await;
    zombie.thaw();
    zombie.go_on_at(point);
    // It comes back as a worker that has lost everything, and takes its share again.
    for_condition("the frozen worker to be back", LONG, async || {
        let log = zombie.log();
        let got = log.matches("this worker has got slots").count();
        got >= 2 && owners(&status(zombie, &connector).await).is_some()
    })
    .await;
    run(&mut connection, "INSERT INTO t (at) VALUES ('e')").await;
    pipeline.wait_arrived(&mut connection, 5, LONG).await;
    assert_eq!(pipeline.assert_same(&mut connection).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_frozen_in_a_sinks_transaction_writes_nothing_when_it_wakes() {
    a_frozen_worker_writes_nothing("zombie_sink", "sink.before-commit", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_frozen_in_a_sources_transaction_writes_nothing_when_it_wakes() {
    a_frozen_worker_writes_nothing("zombie_source", "source.before-commit", true).await;
}

/// Rows that a pipeline moves while its worker ends.
async fn moves_rows_when_its_worker_ends(name: &str, end: impl Fn(&Rowferry)) {
    moves_rows_within_session(name, end, "6000").await;
}

async fn moves_rows_within_session(name: &str, end: impl Fn(&Rowferry), session_ms: &'static str) {
    let mut group = Group::on_mariadb(name).await;
    group.session_ms = session_ms;
    let (a, b) = (group.worker(), group.worker());
    let server = lab().mariadb();
    let (pipeline, mut connection) = Pipeline::new(server, name, "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, at TEXT)",
    )
    .await;
    run(&mut connection, "INSERT INTO t (at) VALUES ('a')").await;
    let insert = json!({"insert.mode": "insert", "pk.mode": "none"});
    pipeline.create(a.rest(), server, json!({}), insert).await;
    pipeline.wait_arrived(&mut connection, 1, LONG).await;
    let source = tasks_on(&b, &pipeline.source_name(), "any worker", |_| true).await;
    let (ends, stays) = if source[0] == id_of(&a) {
        (&a, &b)
    } else {
        (&b, &a)
    };
    for _ in 0..20 {
        run(&mut connection, "INSERT INTO t (at) VALUES ('b')").await;
    }
    end(ends);
    let began = Instant::now();
    for _ in 0..20 {
        run(&mut connection, "INSERT INTO t (at) VALUES ('c')").await;
    }
    for name in [pipeline.source_name(), pipeline.sink_name()] {
        let stay = id_of(stays);
        tasks_on(stays, &name, "the other worker", |owners| {
            owners == [stay.clone()]
        })
        .await;
    }
    pipeline.wait_arrived(&mut connection, 41, LONG).await;
    println!(
        "{name}: all rows {} ms after the worker had ended",
        began.elapsed().as_millis()
    );
    assert_eq!(pipeline.assert_same(&mut connection).await, 41);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_ran_goes_on_elsewhere_without_a_row_lost_or_doubled() {
    moves_rows_when_its_worker_ends("killed", Rowferry::kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopped_worker_ran_goes_on_elsewhere_without_a_row_lost_or_doubled() {
    moves_rows_when_its_worker_ends("stopped", stop_worker).await;
}

fn stop_worker(worker: &Rowferry) {
    let code = worker.stop(Duration::from_secs(30));
    assert_eq!(code, Some(0), "{}", worker.log());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: prints how long others take over, with the default session.timeout.ms"]
async fn take_over_times() {
    for _ in 0..5 {
        moves_rows_within_session("take_over_kill", Rowferry::kill, "10000").await;
        moves_rows_within_session("take_over_stop", stop_worker, "10000").await;
    }
}

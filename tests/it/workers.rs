//! Several workers on one metadata store: they share the work, each answers every call, and what one that
//! ends had to do is done by the others.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::mariadb::run;
use testkit::{MariaDb, Postgres, Rowferry, Settings, for_condition, unique};

use crate::command_line::{Printed, on, printed, program};
use crate::pipeline::Pipeline;
use crate::{SOON, lab};

const LONG: Duration = Duration::from_secs(90);
/// A key of its own, which all workers of a store need.
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// Workers of one group on one store.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) store: String,
    started: usize,
    session_ms: &'static str,
}

impl Group {
    /// A group whose store is a new database of the MariaDB server.
    pub(crate) async fn on_mariadb(name: &str) -> Self {
        let (name, server) = (unique(name), lab().mariadb());
        let database = format!("{name}_store");
        drop(server.create_database(&database).await);
        let (user, password, port) = (MariaDb::USER, MariaDb::PASSWORD, server.port());
        let store = format!("mysql://{user}:{password}@127.0.0.1:{port}/{database}");
        Self::on(name, store)
    }

    pub(crate) async fn on_postgres(name: &str) -> Self {
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

    pub(crate) fn settings(&mut self) -> Settings {
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
    pub(crate) fn worker(&mut self) -> Rowferry {
        let settings = self.settings();
        Rowferry::start(lab().scratch(), settings)
    }
}

/// The id by which a worker shows itself.
pub(crate) fn id_of(worker: &Rowferry) -> String {
    let base = worker.rest().base();
    base.rsplit('/').next().unwrap_or(base).to_owned()
}

pub(crate) async fn status(worker: &Rowferry, name: &str) -> Value {
    worker
        .rest()
        .get(&format!("/connectors/{name}/status"))
        .await
        .body
}

/// The workers of a connector's tasks, if all of them run.
pub(crate) fn owners(status: &Value) -> Option<Vec<String>> {
    let tasks = status["tasks"].as_array()?;
    let owner = |task: &Value| {
        (task["state"] == "RUNNING").then(|| task["worker_id"].as_str().unwrap_or("").to_owned())
    };
    tasks.iter().map(owner).collect()
}

/// Waits until all tasks of a connector run, as that worker sees it, on workers that the test accepts.
pub(crate) async fn tasks_on(
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
pub(crate) fn idle_sink(topic: &str, tasks: usize) -> Value {
    json!({
        "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector",
        "topics": topic,
        "file": lab().scratch().path().join(format!("{topic}.txt")),
        "tasks.max": tasks.to_string(),
    })
}

pub(crate) fn count(owners: &[String], worker: &Rowferry) -> usize {
    let id = id_of(worker);
    owners.iter().filter(|owner| **owner == id).count()
}

pub(crate) async fn create(worker: &Rowferry, name: &str, config: &Value) {
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
pub(crate) fn starts(log: &str, connector: &str, task: usize) -> usize {
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

/// Waits until the two tasks of a pipeline run on different workers, so that neither moves any more.
pub(crate) async fn on_different_workers(asked: &Rowferry, pipeline: &Pipeline) {
    for_condition("both workers to have a task", LONG, async || {
        let mut all = Vec::new();
        for name in [pipeline.source_name(), pipeline.sink_name()] {
            all.extend(owners(&status(asked, &name).await).unwrap_or_default());
        }
        all.len() == 2 && all[0] != all[1]
    })
    .await;
}

/// Rows that a pipeline moves while its worker ends.
async fn moves_rows_when_its_worker_ends(name: &str, end: impl Fn(&Rowferry)) -> Duration {
    moves_rows_within_session(name, end, "6000").await
}

/// Returns when all rows had arrived.
async fn moves_rows_within_session(
    name: &str,
    end: impl Fn(&Rowferry),
    session_ms: &'static str,
) -> Duration {
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
    let took = began.elapsed();
    println!(
        "{name}: all rows {} ms after the worker had ended",
        took.as_millis()
    );
    assert_eq!(pipeline.assert_same(&mut connection).await, 41);
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_ran_goes_on_elsewhere_without_a_row_lost_or_doubled() {
    let took = moves_rows_when_its_worker_ends("killed", Rowferry::kill).await;
    // 10 s are the session of the sink's own consumer.
    assert!(took < Duration::from_secs(25), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopped_worker_ran_goes_on_elsewhere_without_a_row_lost_or_doubled() {
    let took = moves_rows_when_its_worker_ends("stopped", stop_worker).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}

pub(crate) fn stop_worker(worker: &Rowferry) {
    let code = worker.stop(Duration::from_secs(30));
    assert_eq!(code, Some(0), "{}", worker.log());
}

/// What a worker shows of each worker of its group: state and number of tasks, by id.
pub(crate) async fn seen_by(worker: &Rowferry) -> Vec<(String, String, u64)> {
    let body = worker.rest().get("/v1/workers").await.expect(200).body;
    let of = |one: &Value| {
        let text = |member: &str| one[member].as_str().unwrap_or_default().to_owned();
        (text("id"), text("state"), one["tasks"].as_u64().unwrap())
    };
    body["workers"].as_array().unwrap().iter().map(of).collect()
}

pub(crate) fn run_rowferry(asked: &Rowferry, args: &[&str]) -> Printed {
    on(asked.rest().base(), args)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_worker_gives_its_tasks_away_takes_no_new_ones_and_comes_back() {
    let mut group = Group::on_postgres("drain").await;
    let a = group.worker();
    let (out, errors, code) = run_rowferry(&a, &["drain", "worker", &id_of(&a)]);
    assert_eq!(code, Some(1), "{out}{errors}");
    assert!(errors.contains("No other worker"), "{errors}");
    let b = group.worker();
    let name = unique("drained");
    create(&a, &name, &idle_sink(&name, 4)).await;
    tasks_on(&b, &name, "both workers", |owners| {
        count(owners, &a) == 2 && count(owners, &b) == 2
    })
    .await;
    for asked in [&a, &b] {
        let mut ready = [id_of(&a), id_of(&b)].map(|id| (id, "ready".to_owned(), 2));
        ready.sort();
        assert_eq!(seen_by(asked).await, ready);
    }
    let (out, errors, code) = run_rowferry(&b, &["drain", "worker", &id_of(&a)]);
    assert_eq!(code, Some(0), "{out}{errors}");
    assert!(
        out.contains("tasks left:") && out.contains("may be stopped"),
        "{out}"
    );
    tasks_on(&a, &name, "the other worker", |owners| {
        count(owners, &b) == 4
    })
    .await;
    let further = unique("further");
    create(&a, &further, &idle_sink(&further, 3)).await;
    tasks_on(&b, &further, "the worker that is not drained", |owners| {
        count(owners, &b) == 3
    })
    .await;
    for asked in [&a, &b] {
        let mut drained = [
            (id_of(&a), "drained".to_owned(), 0),
            (id_of(&b), "ready".to_owned(), 7),
        ];
        drained.sort();
        assert_eq!(seen_by(asked).await, drained);
    }
    let (table, ..) = run_rowferry(&a, &["get", "workers"]);
    assert!(
        table.contains("drained") && table.contains(&id_of(&b)),
        "{table}"
    );
    let (shown, ..) = run_rowferry(&a, &["describe", "worker", &id_of(&b)]);
    assert!(shown.contains(&further) && shown.contains(&name), "{shown}");
    let (out, errors, code) = run_rowferry(&a, &["drain", "worker", &id_of(&a), "--undo"]);
    assert_eq!(code, Some(0), "{out}{errors}");
    for_condition("the drained worker to get tasks again", LONG, async || {
        let mut tasks: Vec<u64> = seen_by(&b).await.iter().map(|worker| worker.2).collect();
        tasks.sort_unstable();
        tasks == [3, 4]
    })
    .await;
    b.rest()
        .send("PUT", "/v1/workers/nobody/drain", None)
        .await
        .expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_alone_is_the_only_one_of_its_group_and_cannot_be_drained() {
    let worker = lab().worker();
    let seen = seen_by(worker).await;
    assert_eq!(seen.len(), 1);
    assert_eq!((&*seen[0].0, &*seen[0].1), (&*id_of(worker), "ready"));
    let (out, errors, code) = run_rowferry(worker, &["drain", "worker", &id_of(worker)]);
    assert_eq!(code, Some(1), "{out}{errors}");
    assert!(errors.contains("rowferry.store.shared"), "{errors}");
}

/// Runs `rowferry store move` with the settings of a worker that is not running now.
fn move_store(from: &str, to: &str, more: &[&str]) -> Printed {
    let from = format!("rowferry.store.url={from}");
    let mut args = vec!["--set", from.as_str()];
    args.extend(more);
    move_store_of(to, &args)
}

fn move_store_of(to: &str, more: &[&str]) -> Printed {
    let mut command = program(&["store", "move", "--to", to]);
    command
        .args(["--brokers", &lab().kafka().brokers()])
        .args(["--set", &format!("rowferry.secrets.key={KEY}")])
        .args(more);
    printed(&mut command)
}

/// Configs and histories of connectors, as a worker shows them.
async fn configs(worker: &Rowferry, names: &[String]) -> Vec<(Value, Value)> {
    let mut all = Vec::new();
    for name in names {
        let (config, history) = (
            format!("/connectors/{name}/config"),
            format!("/v1/connectors/{name}/history"),
        );
        let shown = async |path: &str| worker.rest().get(path).await.expect(200).body;
        all.push((shown(&config).await, shown(&history).await));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_store_has_the_same_configs_and_histories_and_several_workers_go_on_with_it() {
    let mut group = Group::on_mariadb("move_store").await;
    let shared = group.settings();
    let folder = lab().scratch().path().join(format!("{}-alone", group.name));
    std::fs::create_dir_all(&folder).unwrap();
    let file = format!("sqlite:{}", folder.join("rowferry.db").display());
    let alone = Rowferry::start(
        lab().scratch(),
        shared
            .clone()
            .with("rowferry.store.url", &file)
            .with("rowferry.store.shared", "false"),
    );
    let names: Vec<String> = (0..20).map(|_| unique("carried")).collect();
    for name in &names {
        create(&alone, name, &idle_sink(name, 2)).await;
        let changed = json!({"tasks.max": "3"});
        let patch = Some(("application/json", changed.to_string()));
        let path = format!("/connectors/{name}/config");
        alone.rest().send("PATCH", &path, patch).await.expect(200);
    }
    alone
        .rest()
        .put(&format!("/connectors/{}/pause", names[0]), &json!({}))
        .await
        .expect(202);
    let before = configs(&alone, &names).await;
    let (out, errors, code) = move_store(&file, &group.store, &[]);
    assert_eq!(code, Some(69), "{out}{errors}");
    assert!(errors.contains("has to be stopped"), "{errors}");
    stop_worker(&alone);
    let settings_file = folder.join("worker.properties");
    let shown = settings_file.display().to_string();
    let text = format!("# a comment\nrowferry.store.url={file}\ntopic.tracking.enable=true\n");
    std::fs::write(&settings_file, text).unwrap();
    let (out, errors, code) = move_store_of(&group.store, &["--config", &shown]);
    assert_eq!(code, Some(0), "{out}{errors}");
    assert!(
        out.contains("20 connectors") && out.contains("rowferry.db.moved"),
        "{out}"
    );
    assert!(!out.contains(MariaDb::PASSWORD), "{out}");
    let text = std::fs::read_to_string(&settings_file).unwrap();
    let (comment, rest) = text.split_once('\n').unwrap();
    assert_eq!(comment, "# a comment");
    let url = format!("rowferry.store.url={}\n", group.store);
    assert_eq!(
        rest,
        format!("{url}topic.tracking.enable=true\nrowferry.store.shared=true\n")
    );
    // The settings file alone says where the store is now.
    let mut of_file = shared.clone();
    of_file
        .keys
        .retain(|(key, _)| !key.starts_with("rowferry.store."));
    of_file.args.extend(["--config".to_owned(), shown]);
    let (a, b) = (Rowferry::start(lab().scratch(), of_file), group.worker());
    assert_eq!(configs(&b, &names).await, before);
    assert_eq!(status(&a, &names[0]).await["connector"]["state"], "PAUSED");
    for name in &names[1..] {
        tasks_on(&b, name, "any workers", |owners| owners.len() == 3).await;
    }
    // What is set elsewhere is not written into the file.
    let text = std::fs::read_to_string(&settings_file).unwrap();
    assert!(text.contains("shared=true"), "{text}");
    // From one server to another, too; but not while workers run on it.
    let server = lab().postgres();
    let database = format!("{}_second", group.name);
    drop(server.create_database(&database).await);
    let (user, password, port) = (Postgres::USER, Postgres::PASSWORD, server.port());
    let second = format!("postgres://{user}:{password}@127.0.0.1:{port}/{database}");
    let (_, errors, code) = move_store(&group.store, &second, &[]);
    assert_eq!(code, Some(69), "{errors}");
    stop_worker(&a);
    stop_worker(&b);
    let (out, errors, code) = move_store(&group.store, &second, &[]);
    assert_eq!(code, Some(0), "{out}{errors}");
    let (_, errors, code) = move_store(&group.store, &second, &[]);
    assert_eq!(code, Some(78), "{errors}");
    assert!(errors.contains("is not empty"), "{errors}");
    group.store = second;
    let c = group.worker();
    assert_eq!(configs(&c, &names).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn moving_a_store_says_what_is_wrong() {
    let group = Group::on_postgres("move_refused").await;
    let missing = lab().scratch().path().join("nowhere").join("rowferry.db");
    let missing = format!("sqlite:{}", missing.display());
    for (from, to, more, expected) in [
        (
            &missing,
            &group.store,
            &[][..],
            "there is no metadata store",
        ),
        (&group.store, &missing, &[], "workers can share"),
        (&group.store, &group.store, &[], "already have the store"),
        (
            &missing,
            &group.store,
            &["--set", "rowferry.secrets.key="],
            "need the same key",
        ),
    ] {
        let (out, errors, code) = move_store(from, to, more);
        assert_eq!(code, Some(78), "{out}{errors}");
        assert!(errors.contains(expected), "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: prints how long others take over, with the default session.timeout.ms"]
async fn take_over_times() {
    for _ in 0..5 {
        moves_rows_within_session("take_over_kill", Rowferry::kill, "10000").await;
        moves_rows_within_session("take_over_stop", stop_worker, "10000").await;
    }
}

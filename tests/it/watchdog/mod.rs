//! Stalled tasks: if any call never returns, the status says so, and the task fails with the reason and is restarted. Once the
//! call returns, every record has arrived exactly once.

mod tables;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use regex::Regex;
use serde_json::{Value, json};
use testkit::mariadb::run;
use testkit::{Rest, Rowferry, SchemaRegistry, Settings, for_condition, project_folder, unique};

use self::tables::Tables;
use crate::pipeline::Pipeline;
use crate::{SOON, lab};

const LONG: Duration = Duration::from_secs(150);
/// Long enough for what is healthy on a machine with two busy cores.
const TIMEOUT_MS: &str = "8000";
/// Workers that share the names out.
const WORKERS: usize = 3;

/// Fail points at which no task can stall, or that other tests reach.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "store.",
        "the herder waits for the store, with limits of its own",
    ),
    (
        "source.plan",
        "plans have a limit of their own, see hanging.rs",
    ),
    ("rest.", "a request is no task's; see rest_limits::blocked"),
    (
        "admin.cluster-id",
        "asked once for each worker, within five seconds",
    ),
];

/// COPY is PostgreSQL's, and its cursors do not end with a page.
const OF_POSTGRES: &[&str] = &["database.copy", "database.stream"];

/// Points of tasks that end.
fn is_closing(name: &str) -> bool {
    [".close", ".leave", ".revoke"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Points that validation or planning reach too, so that connectors are there before.
fn is_asked_before(name: &str) -> bool {
    (name.starts_with("database.") || name == "offsets.read") && !OF_POSTGRES.contains(&name)
}

/// Every fail point in the code of tasks.
fn points() -> BTreeSet<String> {
    fn look(folder: &Path, names: &mut BTreeSet<String>, point: &Regex) {
        for path in std::fs::read_dir(folder)
            .unwrap()
            .flatten()
            .map(|entry| entry.path())
        {
            if path.is_dir() {
                look(&path, names, point);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                names.extend(point.captures_iter(&text).map(|found| found[1].to_owned()));
            }
        }
    }
    let point = Regex::new(r#"reach(?:_async)?\(\s*"([a-z.-]+)""#).unwrap();
    let mut names = BTreeSet::new();
    ["src", "connectors/jdbc/src"]
        .iter()
        .for_each(|folder| look(&project_folder().join(folder), &mut names, &point));
    names.retain(|name| !ELSEWHERE.iter().any(|(start, _)| name.starts_with(start)));
    names
}

/// One table on its way through a call that never returns.
struct Case<'a> {
    point: &'a str,
    worker: &'a Rowferry,
    tables: Tables,
    rows: i64,
    more: Value,
}

impl<'a> Case<'a> {
    async fn new(point: &'a str, worker: &'a Rowferry, registry: &SchemaRegistry) -> Self {
        let tables = match point {
            "database.stream" => Tables::without_key().await,
            _ if OF_POSTGRES.contains(&point) => Tables::of_postgres().await,
            _ => Tables::of_mariadb().await,
        };
        let mut more = json!({});
        if point.starts_with("schema-registry") {
            more["value.converter"] = json!("io.confluent.connect.avro.AvroConverter");
            more["value.converter.schema.registry.url"] = json!(registry.url());
        }
        Self {
            point,
            worker,
            tables,
            rows: 0,
            more,
        }
    }

    fn rest(&self) -> &'a Rest {
        self.worker.rest()
    }

    async fn insert(&mut self) {
        self.rows += 2;
        self.tables
            .run("INSERT INTO t (at) VALUES ('a'), ('b')")
            .await;
    }

    async fn create(&self) {
        let mut sink = self.more.clone();
        let own = json!({
            // without a key, so that a row delivered twice is two rows
            "insert.mode": "insert", "pk.mode": "none", "errors.tolerance": "all",
            "errors.deadletterqueue.topic.name": format!("{}-dead", self.tables.pipeline.name),
            "errors.deadletterqueue.topic.replication.factor": "1",
        });
        sink.as_object_mut()
            .unwrap()
            .extend(own.as_object().unwrap().clone());
        self.tables
            .create(self.rest(), self.more.clone(), sink)
            .await;
    }

    fn hang(&self) {
        self.worker.fail_at(self.point, "return(hang)");
    }

    fn connectors(&self) -> [String; 2] {
        [
            self.tables.pipeline.source_name(),
            self.tables.pipeline.sink_name(),
        ]
    }

    /// The status of a connector's task; null while there is none yet.
    async fn task(&self, name: &str) -> Value {
        let status = self
            .rest()
            .get(&format!("/connectors/{name}/status"))
            .await
            .expect(200)
            .body;
        status["tasks"].get(0).cloned().unwrap_or_default()
    }

    async fn restart_tasks(&self) {
        for name in self.connectors() {
            self.rest()
                .post(&format!("/connectors/{name}/tasks/0/restart"), &json!({}))
                .await
                .expect(204);
        }
    }

    /// A call that is under way from the start on, or from the next start of the tasks on.
    async fn begin(&mut self) {
        // a record that no converter reads
        if self.point.starts_with("dead-letters") || self.point == "producer.flush" {
            let topic = self.tables.pipeline.topic();
            let topics = lab().kafka().topics();
            topics.create(&topic, 1).await;
            topics.produce(&topic, &[(None, Some("no JSON"))]);
        }
        self.insert().await;
        if !is_asked_before(self.point) {
            self.hang();
            return self.create().await;
        }
        self.create().await;
        self.tables.wait_arrived(self.rows, LONG).await;
        self.hang();
        if self.point == "database.rollback" {
            self.worker.fail_at("sink.before-commit", "1*return(later)");
        }
        self.insert().await;
    }

    /// Warning, `/health`, and FAILED with the reason, in this order, of either connector.
    async fn stands_still(&self) {
        let (mut warned, mut listed, began) = (None, false, Instant::now());
        let what = format!(
            "{}: a task that has failed because it was stalled",
            self.point
        );
        for_condition(&what, LONG, async || {
            for name in self.connectors() {
                let task = self.task(&name).await;
                let text = |member: &str| task[member].as_str().unwrap_or_default().to_owned();
                if text("warning").contains("stalled: since") {
                    warned.get_or_insert_with(|| name.clone());
                    let health = self.rest().get("/health").await.expect(200).body;
                    let still = health["standing_still"]
                        .as_array()
                        .cloned()
                        .unwrap_or_default();
                    listed |= health["status"] == "degraded"
                        && still.iter().any(|task| task["connector"] == *name);
                }
                if text("trace").contains("the task was stalled: since")
                    && text("state") == "FAILED"
                {
                    assert!(
                        warned.is_some() && listed,
                        "{what}: warned {warned:?}, listed {listed}, {task}"
                    );
                    return true;
                }
            }
            false
        })
        .await;
        let (reached, took) = (
            self.worker.reached(self.point),
            began.elapsed().as_secs_f32(),
        );
        assert!(reached > 0, "{what}");
        println!(
            "{}: FAILED after {took:.1} s, reached {reached} times",
            self.point
        );
    }

    /// Everything is there, once.
    async fn everything_arrives(mut self) {
        // a table without a key is read once, as it is then
        if self.point == "database.stream" {
            self.insert().await;
        }
        self.worker.go_on_at(self.point);
        self.worker.go_on_at("sink.before-commit");
        if self.point != "database.stream" {
            self.insert().await;
        }
        let (rows, began) = (self.rows, Instant::now());
        self.tables.wait_arrived(rows, LONG).await;
        for name in self.connectors() {
            for_condition(
                &format!("{}: {name} to work", self.point),
                LONG,
                async || {
                    let task = self.task(&name).await;
                    task["state"] == "RUNNING" && task["warning"].is_null()
                },
            )
            .await;
        }
        assert_eq!(self.tables.assert_same().await, rows, "{}", self.point);
        let topic = lab().kafka().topics().read(&self.tables.pipeline.topic());
        let records = topic
            .iter()
            .filter(|entry| entry.value.as_deref() != Some(b"no JSON"))
            .count();
        assert_eq!(i64::try_from(records).unwrap(), rows, "{}", self.point);
        println!(
            "{}: all {rows} rows after {:.1} s",
            self.point,
            began.elapsed().as_secs_f32()
        );
        self.tables.pipeline.remove(self.rest()).await;
    }

    /// A task that does not come to its end holds up nobody.
    async fn hangs_at_its_end(mut self) {
        self.insert().await;
        self.create().await;
        self.tables.wait_arrived(self.rows, LONG).await;
        self.hang();
        self.insert().await;
        let began = Instant::now();
        self.restart_tasks().await;
        for name in self.connectors() {
            self.rest()
                .delete(&format!("/connectors/{name}"))
                .await
                .expect(204);
            self.rest()
                .get(&format!("/connectors/{name}"))
                .await
                .expect(404);
        }
        assert!(
            began.elapsed() < SOON,
            "{}: {:?}",
            self.point,
            began.elapsed()
        );
        for_condition(&format!("{} to be reached", self.point), SOON, async || {
            self.worker.reached(self.point) > 0
        })
        .await;
        self.create().await;
        self.everything_arrives().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_that_never_returns_is_reported_cut_off_and_recovered_from() {
    let only = std::env::var("ROWFERRY_FAIL_POINT").ok();
    let points: Vec<String> = points()
        .into_iter()
        .filter(|name| only.as_ref().is_none_or(|only| only == name))
        .collect();
    assert!(only.is_some() || points.len() > 25, "{points:?}");
    let shared = |number| {
        points
            .iter()
            .skip(number)
            .step_by(WORKERS)
            .cloned()
            .collect::<Vec<_>>()
    };
    futures_util::future::join_all((0..WORKERS).map(|number| walk(shared(number)))).await;
}

/// One worker comes past these points, one after the other.
async fn walk(points: Vec<String>) {
    let registry = SchemaRegistry::start();
    let settings = Settings::serve(&unique("watched"), lab().kafka().brokers());
    let worker = Rowferry::start(
        lab().scratch(),
        settings.with("task.progress.timeout.ms", TIMEOUT_MS),
    );
    for point in &points {
        let mut case = Case::new(point, &worker, &registry).await;
        if is_closing(point) {
            case.hangs_at_its_end().await;
        } else {
            case.begin().await;
            // a restart is answered when the tasks are up or have failed
            let restart = async {
                if ["database.connect", "offsets.read"].contains(&point.as_str()) {
                    case.restart_tasks().await;
                }
            };
            futures_util::future::join(restart, case.stands_still()).await;
            case.everything_arrives().await;
        }
    }
    assert_eq!(worker.stop(Duration::from_secs(35)), Some(0));
}

/// A thread that never comes back, as of a driver that loops.
#[tokio::test(flavor = "multi_thread")]
async fn threads_that_never_come_back_are_few_and_hold_up_nobody() {
    let settings = Settings::serve(&unique("threads"), lab().kafka().brokers());
    let worker = Rowferry::start(
        lab().scratch(),
        settings.with("task.progress.timeout.ms", "2000"),
    );
    let registry = SchemaRegistry::start();
    let mut case = Case::new("sink.before-sql", &worker, &registry).await;
    case.insert().await;
    worker.fail_at("sink.before-sql", "pause");
    worker.fail_at("source.poll", "pause");
    case.create().await;
    for name in case.connectors() {
        for_condition("three starts that hang", LONG, async || {
            let status = case
                .rest()
                .get(&format!("/connectors/{name}/status"))
                .await
                .expect(200)
                .body;
            let trace = status["tasks"][0]["trace"].as_str().unwrap_or_default();
            // a sink has no records before its source is released
            trace.contains("3 earlier starts of this task")
                || (name.ends_with("sink") && status["tasks"][0]["state"] == "RUNNING")
        })
        .await;
    }
    assert_eq!(worker.reached("source.poll"), 3);
    // it can be steered meanwhile
    let source = format!("/connectors/{}", case.tables.pipeline.source_name());
    let began = Instant::now();
    case.rest()
        .put_empty(&format!("{source}/pause"))
        .await
        .expect(202);
    case.rest()
        .put_empty(&format!("{source}/resume"))
        .await
        .expect(202);
    case.rest()
        .put_empty(&format!("{source}/stop"))
        .await
        .expect(204);
    case.rest()
        .put_empty(&format!("{source}/resume"))
        .await
        .expect(202);
    assert!(began.elapsed() < SOON);
    worker.go_on_at("source.poll");
    for_condition("a sink whose thread hangs", LONG, async || {
        worker.reached("sink.before-sql") > 1
    })
    .await;
    case.rest().get("/health").await.expect(200);
    case.everything_arrives().await;
    assert_eq!(worker.stop(Duration::from_secs(35)), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_idle_paused_and_retrying_tasks_are_not_stalled() {
    const QUIET: Duration = Duration::from_secs(25);
    let (server, settings) = (
        lab().mariadb(),
        Settings::serve(&unique("slow"), lab().kafka().brokers()),
    );
    // a statement is checked when it has taken ten seconds, before it counts as stalled
    let worker = Rowferry::start(
        lab().scratch(),
        settings.with("task.progress.timeout.ms", "18000"),
    );
    let rest = worker.rest();
    let (pipeline, mut connection) = Pipeline::new(server, "slow", "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, at TEXT); INSERT INTO t (at) VALUES ('a')",
    )
    .await;
    // each statement of the sink takes long: a trigger sleeps
    let insert = json!({"insert.mode": "insert", "pk.mode": "none"});
    pipeline.create(rest, server, json!({}), insert).await;
    pipeline.wait_arrived(&mut connection, 1, SOON).await;
    let (idle, copy, topic) = (
        Pipeline::new(server, "idle", "t").await,
        &pipeline.copy,
        pipeline.topic(),
    );
    let (idle, mut idle_connection) = idle;
    run(
        &mut idle_connection,
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT)",
    )
    .await;
    idle.create(rest, server, json!({}), json!({})).await;
    rest.put_empty(&format!("/connectors/{}/pause", idle.sink_name()))
        .await
        .expect(202);
    run(
        &mut connection,
        &format!("CREATE TRIGGER `{copy}`.slow BEFORE INSERT ON `{copy}`.`{topic}` FOR EACH ROW DO SLEEP(45)"),
    )
    .await;
    run(&mut connection, "INSERT INTO t (at) VALUES ('b')").await;
    let (until, mut seen) = (Instant::now() + QUIET, BTreeSet::new());
    let names = [
        pipeline.source_name(),
        pipeline.sink_name(),
        idle.source_name(),
        idle.sink_name(),
    ];
    while Instant::now() < until {
        for name in &names {
            let task = rest
                .get(&format!("/connectors/{name}/status"))
                .await
                .expect(200)
                .body["tasks"][0]
                .take();
            assert_ne!(task["state"], "FAILED", "{name}: {task}");
            let progress = rest
                .get(&format!("/v1/connectors/{name}/progress"))
                .await
                .expect(200)
                .body["tasks"][0]
                .take();
            seen.insert(format!(
                "{} {}",
                &name[..4],
                progress["waiting_for"].as_str().unwrap_or_default()
            ));
            let detail = progress["detail"].as_str().unwrap_or_default().to_owned();
            if detail.contains("is working on a statement") {
                seen.insert("at work".to_owned());
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for wanted in ["slow database", "idle nothing", "idle resume", "at work"] {
        assert!(seen.contains(wanted), "{wanted}: {seen:?}");
    }
    pipeline.wait_arrived(&mut connection, 2, LONG).await;
    assert_eq!(pipeline.assert_same(&mut connection).await, 2);
    idle.remove(rest).await;
    pipeline.remove(rest).await;
}

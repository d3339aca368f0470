//! Where tasks run: busy ones are shared out by what was measured of them, and those of a lost worker may wait
//! for its return.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::MySqlConnection;
use testkit::mariadb::run;
use testkit::{MariaDb, Rowferry, for_condition, unique};

use crate::lab;
use crate::workers::{Group, count, create, id_of, idle_sink, seen_by, status, tasks_on};

const LONG: Duration = Duration::from_secs(90);

/// Sources that have nothing to do until they are made busy.
struct Sources {
    database: String,
    names: Vec<String>,
    connection: MySqlConnection,
}

impl Sources {
    async fn create(on: &Rowferry, count: usize) -> Self {
        let (server, database) = (lab().mariadb(), unique("busy"));
        let mut connection = server.create_database(&database).await;
        let mut names = Vec::new();
        for at in 0..count {
            let table = format!("CREATE TABLE t{at} (id INT PRIMARY KEY, seconds DOUBLE)");
            run(&mut connection, &table).await;
            let name = format!("{database}-{at}");
            create(on, &name, &Self::config(server, &database, at)).await;
            names.push(name);
        }
        Self {
            database,
            names,
            connection,
        }
    }

    /// A source whose reads take as long as its table says.
    fn config(server: &MariaDb, database: &str, at: usize) -> Value {
        json!({
            "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector",
            "connection.url": server.jdbc_url(database),
            "connection.user": MariaDb::USER,
            "connection.password": MariaDb::PASSWORD,
            "mode": "bulk",
            "query": format!("SELECT id, SLEEP(seconds) AS slept FROM t{at}"),
            "topic.prefix": format!("{database}-{at}"),
            "poll.interval.ms": "500",
            "tasks.max": "1",
        })
    }

    async fn make_busy(&mut self, at: usize) {
        let row = format!("INSERT INTO {}.t{at} VALUES (1, 2)", self.database);
        run(&mut self.connection, &row).await;
    }

    /// The worker of each source, if all run.
    async fn owners(&self, asked: &Rowferry) -> Option<Vec<String>> {
        let mut all = Vec::new();
        for name in &self.names {
            let task = &status(asked, name).await["tasks"][0];
            if task["state"] != "RUNNING" {
                return None;
            }
            all.push(task["worker_id"].as_str()?.to_owned());
        }
        Some(all)
    }
}

/// How many tasks were moved because of work.
async fn moves(workers: &[&Rowferry]) -> u64 {
    let mut all = 0;
    for worker in workers {
        let text = worker.rest().get("/metrics").await.expect(200).text;
        let moved = text
            .lines()
            .find_map(|line| line.strip_prefix("rowferry_task_moves_total{reason=\"work\"} "));
        all += moved.map_or(0, |count| count.parse::<u64>().unwrap());
    }
    all
}

/// The load of each worker and when it was seen, in the order of their ids.
async fn loads(asked: &Rowferry) -> Vec<(f64, i64)> {
    let body = asked.rest().get("/v1/workers").await.expect(200).body;
    let of = |one: &Value| {
        let seen = one["seen_ms"].as_i64().unwrap();
        (one["load"].as_f64().unwrap_or_default(), seen)
    };
    body["workers"].as_array().unwrap().iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_tasks_move_to_the_worker_that_has_less_to_do_and_then_all_is_quiet() {
    let mut group = Group::on_mariadb("balance").await;
    let start = |group: &mut Group| {
        let settings = group
            .settings()
            .with("rowferry.balance.interval.ms", "1000");
        Rowferry::start(lab().scratch(), settings)
    };
    let (a, b) = (start(&mut group), start(&mut group));
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let busy = processors.clamp(2, 16);
    let mut sources = Sources::create(&a, 2 * busy).await;
    let mut owners = Vec::new();
    for_condition(
        "each worker to have half of the sources",
        LONG,
        async || {
            owners = sources.owners(&a).await.unwrap_or_default();
            count(&owners, &a) == busy && count(&owners, &b) == busy
        },
    )
    .await;
    // All of one worker become busy, and none of the other.
    let first = id_of(&a);
    for at in (0..owners.len()).filter(|at| owners[*at] == first) {
        sources.make_busy(at).await;
    }
    for_condition("half of the work to be on each worker", LONG, async || {
        let loads = loads(&b).await;
        let sum: f64 = loads.iter().map(|load| load.0).sum();
        sum > 0.5 && (loads[0].0 - loads[1].0).abs() <= 0.25 && moves(&[&a, &b]).await > 0
    })
    .await;
    let (moved, before) = (moves(&[&a, &b]).await, loads(&b).await);
    assert!(
        moved <= busy as u64,
        "{moved} moves for {busy} busy sources"
    );
    for_condition("both workers to measure again", LONG, async || {
        let now = loads(&b).await;
        let quiet = now
            .iter()
            .zip(&before)
            .map(|(now, before)| now.1 - before.1);
        quiet.min() > Some(8000)
    })
    .await;
    assert_eq!(moves(&[&a, &b]).await, moved, "{:?}", loads(&b).await);
    let (table, ..) = crate::workers::run_rowferry(&a, &["get", "workers"]);
    assert!(table.contains("LOAD"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_a_lost_worker_wait_for_its_return_as_long_as_the_settings_say() {
    let mut group = Group::on_postgres("returns").await;
    let start = |group: &mut Group| {
        let key = "scheduled.rebalance.max.delay.ms";
        let settings = group.settings().with(key, "15000");
        Rowferry::start(lab().scratch(), settings)
    };
    let (a, b) = (start(&mut group), start(&mut group));
    let name = unique("waits");
    create(&a, &name, &idle_sink(&name, 6)).await;
    let before = tasks_on(&a, &name, "both workers", |owners| {
        count(owners, &a) == 3 && count(owners, &b) == 3
    })
    .await;
    let starts = |task: usize| crate::workers::starts(&a.log(), &name, task);
    let starts_before: Vec<_> = (0..6).map(starts).collect();
    let waiting = async |_: ()| {
        let tasks = status(&a, &name).await["tasks"].clone();
        let tasks = tasks.as_array().cloned().unwrap_or_default();
        tasks
            .iter()
            .filter(|task| task["state"] == "UNASSIGNED")
            .count()
    };
    b.kill();
    for_condition("the tasks to wait", LONG, async || waiting(()).await == 3).await;
    b.restart();
    let after = tasks_on(&a, &name, "their workers again", |owners| {
        owners.len() == 6 && *owners == *before
    })
    .await;
    for task in (0..6).filter(|task| after[*task] == id_of(&b)) {
        let before = starts_before[task];
        assert_eq!(starts(task), before, "task {task} has run elsewhere");
    }
    b.kill();
    for_condition("the tasks to wait again", LONG, async || {
        waiting(()).await == 3
    })
    .await;
    tasks_on(&a, &name, "the worker that is left", |owners| {
        count(owners, &a) == 6
    })
    .await;
    assert_eq!(seen_by(&a).await.len(), 2);
}

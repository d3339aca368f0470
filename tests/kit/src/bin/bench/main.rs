//! `scripts/bench`: how fast the worker moves rows each way, beside what the parts below it can do at most.
//!
//! One run measures everything on the same table and the same machine, so that the ratios can be compared between
//! machines. The result is printed and written to `target/kit-logs/bench.json`.

#![allow(
    clippy::indexing_slicing,
    reason = "a measurement that cannot go on panics"
)]
#![allow(clippy::cast_precision_loss, reason = "rates are printed rounded")]

mod limits;
mod report;
mod target;
mod worker;

use std::time::Duration;

use testkit::mariadb::run;
use testkit::{Lab, rows_sql};

use report::Report;
use target::Target;

const HELP: &str = "\
usage: scripts/bench [source|sink|all] [options]
  --rows N            rows of the table (default 1000000; about 200 bytes each in 11 columns)
  --database NAME     sinks into mariadb or postgres alone (default: both)
  --fast-servers      databases without binary log, disk syncs and performance schema; by default they are as people run
                      them
  --json              print the result as JSON
  --source KEY=VALUE  one more key of the source connector; --sink and --worker alike";

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Measure the source.
    pub source: bool,
    /// Measure the sink.
    pub sink: bool,
    /// Databases that sinks write to.
    pub databases: Vec<String>,
    /// Databases that need not survive the death of the machine.
    pub fast_servers: bool,
    /// Print the result as JSON.
    pub json: bool,
    /// Rows of the table.
    pub rows: u64,
    /// More keys of the source connector.
    pub source_keys: Vec<(String, String)>,
    /// More keys of the sink connector.
    pub sink_keys: Vec<(String, String)>,
    /// More keys of the worker.
    pub worker_keys: Vec<(String, String)>,
}

/// How long one measurement may take.
pub const PATIENCE: Duration = Duration::from_secs(600);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let options = options();
    let lab = if options.fast_servers {
        Lab::new("bench")
    } else {
        Lab::durable("bench")
    };
    let mut report = Report::new(&options);
    report.say(&format!("filling a table with {} rows", options.rows));
    fill(&lab, options.rows).await;
    let worker = worker::start(&lab, &options);
    report.idle(worker::idle_memory(&worker));
    worker::warm_up(&lab, &worker, &options).await;
    let last = worker::source(&lab, &worker, &options, &mut report).await;
    if options.source {
        limits::read(lab.mariadb(), options.rows, &mut report).await;
        limits::produce(&lab.kafka().topics(), options.rows, &mut report);
    }
    for database in options.databases.iter().filter(|_| options.sink) {
        for insert_mode in ["insert", "upsert"] {
            let name = format!("{database}-{insert_mode}");
            let copy = format!("copy_{insert_mode}");
            let mut target = if database == "postgres" {
                Target::postgres(&lab, &copy).await
            } else {
                Target::mariadb(&lab, &copy).await
            };
            let (worker, how) = ((&lab, &worker), (name.as_str(), insert_mode));
            let measured = worker::sink(worker, &mut target, how, &options, last).await;
            report.worker(&name, &measured);
            limits::load(&mut target, &name, &mut report).await;
        }
    }
    report.print();
}

/// Makes the table.
async fn fill(lab: &Lab, rows: u64) {
    let mut connection = lab.mariadb().create_database("bench").await;
    run(&mut connection, &rows_sql::create("t")).await;
    for first in (1..=rows).step_by(100_000) {
        let sql = rows_sql::fill("t", first, rows.min(first + 99_999));
        run(&mut connection, &sql).await;
    }
    run(&mut connection, "ANALYZE TABLE t").await;
}

fn options() -> Options {
    let mut options = Options {
        source: true,
        sink: true,
        databases: ["mariadb", "postgres"].map(str::to_owned).to_vec(),
        fast_servers: false,
        json: false,
        rows: 1_000_000,
        source_keys: Vec::new(),
        sink_keys: Vec::new(),
        worker_keys: Vec::new(),
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut pair = || {
            args.next()
                .and_then(|pair| Some(owned(pair.split_once('=')?)))
                .unwrap_or_else(|| usage())
        };
        match arg.as_str() {
            "all" => {}
            "source" => options.sink = false,
            "sink" => options.source = false,
            "--fast-servers" => options.fast_servers = true,
            "--json" => options.json = true,
            "--database" => {
                options.databases.retain({
                    let wanted = args.next();
                    move |name| wanted.as_ref() == Some(name)
                });
            }
            "--source" => options.source_keys.push(pair()),
            "--sink" => options.sink_keys.push(pair()),
            "--worker" => options.worker_keys.push(pair()),
            "--rows" => {
                options.rows = args
                    .next()
                    .and_then(|rows| rows.parse().ok())
                    .unwrap_or_else(|| usage());
            }
            _ => usage(),
        }
    }
    options
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn usage() -> ! {
    println!("{HELP}");
    std::process::exit(2)
}

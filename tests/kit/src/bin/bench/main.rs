//! `scripts/bench`: how fast the worker moves rows each way, beside what the parts below it can do at most.
//!
//! One run measures everything on the same table and the same machine, so that the ratios can be compared between
//! machines. The result is printed and written to `target/kit-logs/bench.json`.

mod limits;
mod report;
mod worker;

use std::time::Duration;

use testkit::mariadb::run;
use testkit::{Lab, rows_sql};

use report::Report;

const HELP: &str = "\
usage: scripts/bench [source|sink|all] [--rows N] [--source KEY=VALUE] [--sink KEY=VALUE] [--worker KEY=VALUE]
  --rows N            rows of the table (default 1000000; about 200 bytes each in 11 columns)
  --source KEY=VALUE  one more key of the source connector; --sink and --worker alike";

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Measure the source.
    pub source: bool,
    /// Measure the sink.
    pub sink: bool,
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
    let lab = Lab::new("bench");
    let server = lab.mariadb();
    let mut connection = server.create_database("bench").await;
    println!("filling a table with {} rows", options.rows);
    run(&mut connection, &rows_sql::create("t")).await;
    for first in (1..=options.rows).step_by(100_000) {
        run(
            &mut connection,
            &rows_sql::fill("t", first, options.rows.min(first + 99_999)),
        )
        .await;
    }
    run(&mut connection, "ANALYZE TABLE t").await;

    let mut report = Report::new(options.rows);
    let worker = worker::start(&lab, &options);
    report.idle(worker::idle_memory(&worker));
    worker::warm_up(&lab, &worker, &options).await;
    worker::source(&lab, &worker, &options, &mut report).await;
    if options.source {
        limits::read(server, options.rows, &mut report).await;
        limits::produce(&lab.kafka().topics(), options.rows, &mut report);
    }
    if options.sink {
        worker::sink(&lab, &worker, "insert", &options, &mut report).await;
        limits::load_data(server, &mut report).await;
        worker::sink(&lab, &worker, "upsert", &options, &mut report).await;
    }
    report.print();
}

fn options() -> Options {
    let mut options = Options {
        source: true,
        sink: true,
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

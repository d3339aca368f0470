//! `scripts/bench`: how fast the worker moves rows each way, beside what the parts below it can do at most.
//!
//! One run measures everything on the same table and the same machine, so that the ratios can be compared between
//! machines. The result is printed and written to `target/kit-logs/bench.json`.

#![allow(
    clippy::indexing_slicing,
    reason = "a measurement that cannot go on panics"
)]
#![allow(clippy::cast_precision_loss, reason = "rates are printed rounded")]

mod compare;
mod figures;
mod floor;
mod limits;
mod report;
mod shape;
mod target;
mod turns;
mod worker;

use std::time::Duration;

use testkit::Lab;
use testkit::mariadb::run;

use report::Report;
use shape::Shape;
use target::Target;

const HELP: &str = "\
usage: scripts/bench [source|sink|all|short] [options]
       scripts/bench turns OLD_PROGRAM NEW_PROGRAM [--rounds N] [options]
       scripts/bench compare OLD.json NEW.json
  short               all with 100000 rows; fails if a figure misses its bound in tests/bench-floor.toml
  turns               runs both programs in turn (--rounds, default 5), writes the reports of each to
                      target/kit-logs/bench-old.json and bench-new.json, and compares them
  compare             shows what got slower by more than the noise of the pairs, and fails if something did
  --rows N            rows of the table (default 1000000; about 200 bytes each in 11 columns)
  --shape NAME        usual, or rows that are wide (100 columns), narrow (2), large (0.9 MB; use few) or null
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
    /// What the rows are like.
    pub shape: Shape,
    /// Print the result as JSON.
    pub json: bool,
    /// Fail if a figure misses its bound.
    pub checks_floor: bool,
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
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(is_good) = compare_programs(&mut args) {
        std::process::exit(i32::from(!is_good));
    }
    let options = options(args);
    let lab = if options.fast_servers {
        Lab::new("bench")
    } else {
        Lab::durable("bench")
    };
    let mut report = Report::new(&options);
    report.say(&format!("filling a table with {} rows", options.rows));
    fill(&lab, options.shape, options.rows).await;
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
            if insert_mode == "upsert" {
                let name = format!("{database}-update");
                let what = "upserts of the same rows";
                report.limit(what, &name, measured.elapsed, measured.limit_cpu());
                let how = (name.as_str(), "update");
                let measured = worker::sink(worker, &mut target, how, &options, last).await;
                report.worker(&name, &measured);
            }
        }
    }
    report.print();
    if options.checks_floor {
        let missed = floor::missed(&report.json());
        assert!(
            missed.is_empty(),
            "below tests/bench-floor.toml: {missed:#?}"
        );
    }
}

/// Compares two programs if the arguments ask for that. True if nothing got slower.
fn compare_programs(args: &mut Vec<String>) -> Option<bool> {
    let what = args.first()?.clone();
    if !matches!(what.as_str(), "compare" | "turns") {
        return None;
    }
    if args.len() < 3 {
        usage();
    }
    let (old, new) = (args[1].clone(), args[2].clone());
    args.drain(..3);
    if what == "compare" {
        return Some(turns::compare_files(&old, &new));
    }
    let mut rounds = 5;
    if let Some(at) = args.iter().position(|arg| arg == "--rounds") {
        let given = args.get(at + 1).and_then(|rounds| rounds.parse().ok());
        rounds = given.unwrap_or_else(|| usage());
        args.drain(at..at + 2);
    }
    Some(turns::run(&old, &new, rounds, args))
}

/// Makes the table.
async fn fill(lab: &Lab, shape: Shape, rows: u64) {
    let mut connection = lab.mariadb().create_database("bench").await;
    run(&mut connection, &shape.create("t")).await;
    let at_once = shape.rows_at_once();
    for first in (1..=rows).step_by(usize::try_from(at_once).expect("a number of rows")) {
        let sql = shape.fill("t", first, rows.min(first + at_once - 1));
        run(&mut connection, &sql).await;
    }
    run(&mut connection, "ANALYZE TABLE t").await;
}

fn options(args: Vec<String>) -> Options {
    let mut options = Options {
        source: true,
        sink: true,
        databases: ["mariadb", "postgres"].map(str::to_owned).to_vec(),
        fast_servers: false,
        shape: Shape::Usual,
        json: false,
        checks_floor: false,
        rows: 1_000_000,
        source_keys: Vec::new(),
        sink_keys: Vec::new(),
        worker_keys: Vec::new(),
    };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let mut pair = || {
            args.next()
                .and_then(|pair| Some(owned(pair.split_once('=')?)))
                .unwrap_or_else(|| usage())
        };
        match arg.as_str() {
            "all" => {}
            "short" => {
                options.rows = 100_000;
                options.checks_floor = true;
            }
            "source" => options.sink = false,
            "sink" => options.source = false,
            "--fast-servers" => options.fast_servers = true,
            "--json" => options.json = true,
            "--shape" => {
                options.shape = args
                    .next()
                    .and_then(|name| Shape::named(&name))
                    .unwrap_or_else(|| usage());
            }
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

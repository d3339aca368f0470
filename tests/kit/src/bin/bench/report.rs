//! The figures and the ratios between them.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::target_folder;

use crate::Options;

struct Limit {
    what: String,
    of: String,
    rate: f64,
    client_micros: Option<f64>,
    database_micros: Option<f64>,
}

/// CPU time that a limit took, where it is known.
#[derive(Clone, Copy)]
pub(crate) struct LimitCpu {
    /// Of the client, if it is this program.
    pub client: Option<Duration>,
    /// Of the database's server.
    pub database: Option<Duration>,
}

/// What the worker took for all rows in one direction.
pub(crate) struct Measured {
    pub elapsed: Duration,
    /// CPU time of the worker.
    pub worker: Duration,
    /// CPU time of the database's server.
    pub database: Duration,
    /// Most resident memory of the worker, in bytes.
    pub peak: u64,
}

impl Measured {
    /// The same as a limit of another run.
    pub(crate) fn limit_cpu(&self) -> LimitCpu {
        LimitCpu {
            client: Some(self.worker),
            database: Some(self.database),
        }
    }
}

struct Run {
    name: String,
    rate: f64,
    worker_micros: f64,
    database_micros: f64,
    peak: u64,
}

/// All that was measured in this run.
pub(crate) struct Report {
    rows: u64,
    /// Of the values of all records.
    bytes: f64,
    durable: bool,
    json: bool,
    idle: u64,
    limits: Vec<Limit>,
    runs: Vec<Run>,
}

impl Report {
    /// Nothing measured yet.
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            rows: options.rows,
            bytes: 0.0,
            durable: !options.fast_servers,
            json: options.json,
            idle: 0,
            limits: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Prints a line about the progress.
    pub(crate) fn say(&self, line: &str) {
        if self.json {
            eprintln!("{line}");
        } else {
            println!("{line}");
        }
    }

    fn per_second(&self, elapsed: Duration) -> f64 {
        self.rows as f64 / elapsed.as_secs_f64()
    }

    fn micros(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * 1e6 / self.rows as f64
    }

    /// Resident memory of the idle worker, in bytes.
    pub(crate) fn idle(&mut self, bytes: u64) {
        self.idle = bytes;
    }

    /// Bytes of the values of all records.
    pub(crate) fn bytes(&mut self, bytes: f64) {
        self.bytes = bytes;
    }

    /// A limit of the runs whose names begin with `of`.
    pub(crate) fn limit(&mut self, what: &str, of: &str, elapsed: Duration, cpu: LimitCpu) {
        let rate = self.per_second(elapsed);
        let [client_micros, database_micros] =
            [cpu.client, cpu.database].map(|cpu| cpu.map(|cpu| self.micros(cpu)));
        let micros = database_micros.map_or_else(String::new, |micros| {
            format!("; database {micros:.1} µs CPU a row")
        });
        self.say(&format!(
            "limit  {of:<20} {rate:>10.0} rows/s  {what}{micros}"
        ));
        self.limits.push(Limit {
            what: what.to_owned(),
            of: of.to_owned(),
            rate,
            client_micros,
            database_micros,
        });
    }

    /// One direction of the worker.
    pub(crate) fn worker(&mut self, name: &str, measured: &Measured) {
        let run = Run {
            name: name.to_owned(),
            rate: self.per_second(measured.elapsed),
            worker_micros: self.micros(measured.worker),
            database_micros: self.micros(measured.database),
            peak: measured.peak,
        };
        self.say(&format!(
            "worker {name:<20} {:>10.0} rows/s  {:.1} µs CPU a row, database {:.1}, peak {} MB",
            run.rate,
            run.worker_micros,
            run.database_micros,
            mega(run.peak)
        ));
        self.runs.push(run);
    }

    /// The slowest of the limits of a run.
    fn limit_of(&self, run: &Run) -> Option<&Limit> {
        let limits = self
            .limits
            .iter()
            .filter(|limit| run.name.starts_with(&limit.of));
        limits.min_by(|a, b| a.rate.total_cmp(&b.rate))
    }

    /// The CPU time of a run as a multiple of that of its limits: of the worker, if the limits are all that it has to do,
    /// and of the database's server.
    fn shares(&self, run: &Run) -> (Option<f64>, Option<f64>) {
        let limits = || {
            self.limits
                .iter()
                .filter(|limit| run.name.starts_with(&limit.of))
        };
        let sum = |of: fn(&Limit) -> Option<f64>| limits().filter_map(of).reduce(|a, b| a + b);
        let client = sum(|limit| limit.client_micros);
        let database = sum(|limit| limit.database_micros);
        (
            client.map(|micros| run.worker_micros / micros),
            database.map(|micros| run.database_micros / micros),
        )
    }

    /// Prints the summary and writes it to a file.
    pub(crate) fn print(&self) {
        let all = self.json();
        let file = target_folder().join("kit-logs/bench.json");
        std::fs::write(&file, format!("{all:#}\n")).expect("write bench.json");
        if self.json {
            println!("{all:#}");
        } else {
            self.print_table();
        }
        self.say(&format!("written to {}", file.display()));
    }

    fn print_table(&self) {
        println!(
            "\n{} rows of {:.0} bytes as records; idle worker: {} MB resident; {} databases",
            self.rows,
            self.bytes / self.rows as f64,
            mega(self.idle),
            if self.durable { "durable" } else { "fast" }
        );
        println!(
            "{:<20} {:>10} {:>10} {:>6} {:>13} {:>15} {:>9} {:>8}",
            "",
            "rows/s",
            "limit",
            "ratio",
            "worker µs/row",
            "database µs/row",
            "its limit",
            "peak MB"
        );
        for run in &self.runs {
            let limit = self.limit_of(run);
            let rate = limit.map_or(f64::NAN, |limit| limit.rate);
            let least = limit.and_then(|limit| limit.database_micros);
            println!(
                "{:<20} {:>10.0} {rate:>10.0} {:>6.2} {:>13.1} {:>15.1} {:>9.1} {:>8}",
                run.name,
                run.rate,
                run.rate / rate,
                run.worker_micros,
                run.database_micros,
                least.unwrap_or(f64::NAN),
                mega(run.peak)
            );
        }
    }

    /// Everything as JSON.
    pub(crate) fn json(&self) -> Value {
        let limits = self.limits.iter().map(|limit| {
            json!({"what": limit.what, "of": limit.of, "rows_per_second": limit.rate.round(),
                "client_micros_per_row": limit.client_micros, "database_micros_per_row": limit.database_micros})
        });
        let runs = self.runs.iter().map(|run| {
            let limit = self.limit_of(run);
            let (cpu_share, database_share) = self.shares(run);
            json!({"name": run.name, "rows_per_second": run.rate.round(), "limit": limit.map(|limit| &limit.what),
                "ratio": limit.map(|limit| run.rate / limit.rate), "cpu_micros_per_row": run.worker_micros,
                "megabytes_per_second": run.rate * self.bytes / self.rows as f64 / 1e6,
                "database_micros_per_row": run.database_micros, "peak_bytes": run.peak,
                "cpu_share": cpu_share, "database_share": database_share})
        });
        json!({"rows": self.rows, "durable": self.durable, "idle_bytes": self.idle,
            "runs": runs.collect::<Vec<_>>(), "limits": limits.collect::<Vec<_>>()})
    }
}

/// Bytes as whole megabytes.
fn mega(bytes: u64) -> u64 {
    bytes / 1_000_000
}

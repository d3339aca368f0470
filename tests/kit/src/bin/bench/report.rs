//! The figures and the ratios between them.

use std::time::Duration;

use serde_json::{Map, Value, json};
use testkit::target_folder;

struct Limit {
    what: String,
    of: String,
    rate: f64,
}

struct Run {
    name: String,
    rate: f64,
    cpu_micros: f64,
    peak: u64,
}

/// All that was measured in this run.
pub struct Report {
    rows: u64,
    idle: u64,
    limits: Vec<Limit>,
    runs: Vec<Run>,
}

impl Report {
    /// Nothing measured yet.
    pub fn new(rows: u64) -> Self {
        Self {
            rows,
            idle: 0,
            limits: Vec::new(),
            runs: Vec::new(),
        }
    }

    fn per_second(&self, elapsed: Duration) -> f64 {
        self.rows as f64 / elapsed.as_secs_f64()
    }

    /// Resident memory of the idle worker, in bytes.
    pub fn idle(&mut self, bytes: u64) {
        self.idle = bytes;
    }

    /// A limit for `source` or `sink`.
    pub fn limit(&mut self, what: &str, of: &str, elapsed: Duration) {
        let rate = self.per_second(elapsed);
        println!("limit {of:<12} {rate:>10.0} rows/s  {what}");
        self.limits.push(Limit {
            what: what.to_owned(),
            of: of.to_owned(),
            rate,
        });
    }

    /// One direction of the worker. `peak` in bytes.
    pub fn worker(&mut self, name: &str, elapsed: Duration, cpu: Duration, peak: u64) {
        let rate = self.per_second(elapsed);
        let cpu_micros = cpu.as_secs_f64() * 1e6 / self.rows as f64;
        println!(
            "worker {name:<11} {rate:>10.0} rows/s  {cpu_micros:.1} µs CPU a row, peak {} MB",
            mega(peak)
        );
        self.runs.push(Run {
            name: name.to_owned(),
            rate,
            cpu_micros,
            peak,
        });
    }

    /// The slowest of the limits of a run.
    fn limit_of(&self, run: &Run) -> Option<&Limit> {
        let limits = self
            .limits
            .iter()
            .filter(|limit| run.name.starts_with(&limit.of));
        limits.min_by(|a, b| a.rate.total_cmp(&b.rate))
    }

    /// Prints the summary and writes it to a file.
    pub fn print(&self) {
        println!(
            "\n{} rows of about 200 bytes in 11 columns; idle worker: {} MB resident",
            self.rows,
            mega(self.idle)
        );
        println!(
            "{:<13} {:>10} {:>10} {:>6} {:>10} {:>9}",
            "", "rows/s", "limit", "ratio", "µs CPU/row", "peak MB"
        );
        let mut runs = Vec::new();
        for run in &self.runs {
            let (limit, ratio) = self.limit_of(run).map_or((f64::NAN, f64::NAN), |limit| {
                (limit.rate, run.rate / limit.rate)
            });
            let (rate, cpu, peak) = (run.rate, run.cpu_micros, mega(run.peak));
            println!(
                "{:<13} {rate:>10.0} {limit:>10.0} {ratio:>6.2} {cpu:>10.1} {peak:>9}",
                run.name
            );
            let (name, limit) = (&run.name, self.limit_of(run));
            runs.push(
                json!({"name": name, "rows_per_second": rate.round(), "limit": limit.map(|limit| limit.what.clone()),
                "ratio": ratio, "cpu_micros_per_row": cpu, "peak_bytes": run.peak}),
            );
        }
        let limits: Map<String, Value> = self
            .limits
            .iter()
            .map(|limit| (limit.what.clone(), json!(limit.rate.round())))
            .collect();
        let all = json!({"rows": self.rows, "idle_bytes": self.idle, "runs": runs, "limits_rows_per_second": limits});
        let file = target_folder().join("kit-logs/bench.json");
        std::fs::write(&file, format!("{all:#}\n")).expect("write bench.json");
        println!("written to {}", file.display());
    }
}

/// Bytes as whole megabytes.
fn mega(bytes: u64) -> u64 {
    bytes / 1_000_000
}

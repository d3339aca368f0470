//! Figures of the process itself, from `/proc` of Linux. Names follow Prometheus's client libraries.

use std::sync::OnceLock;

/// What the system reports about this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ProcessFigures {
    pub cpu_seconds: Option<f64>,
    /// Seconds since 1970-01-01 UTC.
    pub started_seconds: Option<f64>,
    pub resident_bytes: Option<u64>,
    pub virtual_bytes: Option<u64>,
    pub threads: Option<u64>,
    pub open_files: Option<u64>,
    pub max_files: Option<u64>,
}

/// Length of a clock tick of `/proc/PID/stat` in seconds. `USER_HZ` is 100 on every architecture
/// that Linux's interface is stable for.
const TICK: f64 = 0.01;

impl ProcessFigures {
    /// Reads the current figures; what the system does not report is `None`.
    pub(crate) fn read() -> Self {
        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        static STARTED: OnceLock<Option<f64>> = OnceLock::new();
        let stat = text("/proc/self/stat");
        let started = STARTED.get_or_init(|| started(&stat, &text("/proc/stat")));
        Self {
            started_seconds: *started,
            open_files: std::fs::read_dir("/proc/self/fd")
                .ok()
                // The folder itself is open while it is read.
                .map(|files| (files.count() as u64).saturating_sub(1)),
            max_files: limit(&text("/proc/self/limits")),
            ..Self::parse(&stat, &text("/proc/self/status"))
        }
    }

    /// Parses `/proc/self/stat` and `/proc/self/status` (proc(5)).
    fn parse(stat: &str, status: &str) -> Self {
        let ticks = |number| field(stat, number).and_then(|text| text.parse::<f64>().ok());
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        Self {
            cpu_seconds: ticks(14).zip(ticks(15)).map(|(u, s)| (u + s) * TICK),
            resident_bytes: line("VmRSS:").map(|kib| kib * 1024),
            virtual_bytes: line("VmSize:").map(|kib| kib * 1024),
            threads: line("Threads:"),
            ..Self::default()
        }
    }
}

/// Returns a field of `/proc/PID/stat` by its number in proc(5). The second field, the name of the
/// program in parentheses, may contain anything.
fn field(stat: &str, number: usize) -> Option<&str> {
    let after = stat.rsplit_once(')')?.1;
    after.split_whitespace().nth(number.checked_sub(3)?)
}

/// Returns when the process was started.
fn started(stat: &str, system: &str) -> Option<f64> {
    let booted: f64 = system
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    let after: f64 = field(stat, 22)?.parse().ok()?;
    Some(booted + after * TICK)
}

/// Returns the soft limit of open files.
fn limit(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{ProcessFigures, limit, started};

    #[test]
    fn the_system_reports_figures_of_this_process() {
        let figures = ProcessFigures::read();
        if !cfg!(target_os = "linux") {
            return;
        }
        assert!(figures.cpu_seconds.is_some_and(|cpu| cpu >= 0.0));
        assert!(figures.resident_bytes.is_some_and(|bytes| bytes > 1 << 20));
        assert!(figures.threads.is_some_and(|threads| threads > 0));
        assert!(figures.open_files.is_some_and(|files| files > 2));
        assert!(figures.started_seconds.is_some_and(|at| at > 1e9));
    }

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 3 18 1000 20";
        let figures = ProcessFigures::parse(stat, "VmRSS:\t 2 kB\nThreads:\t5\n");
        assert_eq!(figures.cpu_seconds, Some(3.0));
        assert_eq!(figures.resident_bytes, Some(2048));
        assert_eq!((figures.threads, figures.virtual_bytes), (Some(5), None));
        assert_eq!(started(stat, "cpu 1\nbtime 100\n"), Some(110.0));
        assert_eq!(ProcessFigures::parse("", ""), ProcessFigures::default());
        assert_eq!(limit("Max open files   1024   4096   files\n"), Some(1024));
    }
}

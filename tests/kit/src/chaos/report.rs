//! What came of a run: counts, in lines that can be quoted, and what was wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Plan;
use super::perform::Made;
use super::writers::Load;

/// Counts, and what was wrong.
#[derive(Debug, Default)]
pub struct Report {
    /// Faults by kind: how many, how long together.
    faults: BTreeMap<String, (u64, Duration)>,
    lines: Vec<String>,
    wrong: Vec<String>,
    slowest_stop: Duration,
}

impl Report {
    /// Whether nothing was wrong.
    pub fn is_clean(&self) -> bool {
        self.wrong.is_empty()
    }

    /// How many faults of that kind were made.
    pub fn made(&self, kind: &str) -> u64 {
        self.faults.get(kind).map_or(0, |(count, _)| *count)
    }

    /// Everything as text.
    pub fn text(&self) -> String {
        let mut text = self.lines.join("\n");
        for wrong in &self.wrong {
            let _ = write!(text, "\nWRONG: {wrong}");
        }
        text
    }

    pub(super) fn fault(&mut self, made: Made) {
        let happened = if made.happened {
            ""
        } else {
            " (came too late)"
        };
        let count = self.faults.entry(made.fault.kind() + happened).or_default();
        count.0 += 1;
        count.1 += made.fault.lasts();
        if let Some((code, took)) = made.stopped {
            self.slowest_stop = self.slowest_stop.max(took);
            if code != Some(0) {
                self.wrong(format!(
                    "the worker ended with {code:?} {took:.1?} after SIGTERM"
                ));
            }
        }
    }

    pub(super) fn say(&mut self, line: String) {
        self.lines.push(line);
    }

    pub(super) fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }

    pub(super) fn written(&mut self, load: &Load) {
        let counts = load.counts();
        let [committed, rolled_back, held_open, failed, unknown] = [
            &counts.committed,
            &counts.rolled_back,
            &counts.held_open,
            &counts.failed,
            &counts.unknown,
        ]
        .map(|count| count.load(Ordering::Relaxed));
        self.say(format!(
            "written:  {} rows inserted, updated or deleted in {committed} transactions ({held_open} held open; {rolled_back} \
             more rolled back, {failed} failed, {unknown} of those in COMMIT)",
            load.written()
        ));
    }

    pub(super) fn memory(&mut self, peak: u64, bound: u64) {
        self.say(format!(
            "memory:   at most {} MiB resident (bound {} MiB)",
            peak >> 20,
            bound >> 20
        ));
        if peak > bound {
            self.wrong(format!(
                "the worker had {} MiB resident, more than {} MiB",
                peak >> 20,
                bound >> 20
            ));
        }
    }

    /// Looks for panics in the worker's log.
    pub(super) fn log(&mut self, log: &str) {
        let panics: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("panicked"))
            .collect();
        if let Some(first) = panics.first() {
            self.wrong(format!(
                "the worker panicked {} times: {first}",
                panics.len()
            ));
        }
    }

    pub(super) fn end(&mut self, plan: &Plan, took: Duration) {
        let faults: Vec<String> = self
            .faults
            .iter()
            .map(|(kind, (count, time))| match time.as_secs() {
                0 => format!("{count} x {kind}"),
                seconds => format!("{count} x {kind} ({seconds} s)"),
            })
            .collect();
        let stops = match self.slowest_stop {
            Duration::ZERO => String::new(),
            slowest => format!("; the slowest end after SIGTERM took {slowest:.1?}"),
        };
        self.lines
            .insert(0, format!("faults:   {}{stops}", faults.join(", ")));
        let verdict = if self.is_clean() { "PASSED" } else { "FAILED" };
        let minutes = took.as_secs_f64() / 60.0;
        self.say(format!(
            "chaos {verdict}: seed {}, {} kills, {minutes:.1} minutes",
            plan.seed, plan.kills
        ));
    }
}

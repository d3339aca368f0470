//! What got slower between two programs, by runs of both in turn.

use serde_json::Value;

use crate::figures::{median, of_report};

/// Runs of each program below which a comparison says nothing.
const FEWEST_RUNS: usize = 5;

/// A smaller change is not reported, however small the noise.
const LEAST_CHANGE: f64 = 0.03;

/// A figure in both programs.
#[derive(Debug, PartialEq)]
pub(crate) struct Change {
    pub name: String,
    pub old: f64,
    pub new: f64,
    /// By which part it got worse, in the median of the pairs; negative if it got better.
    pub worse_by: f64,
    /// The part that a change must exceed: twice the median deviation of the pairs from their median.
    pub noise: f64,
}

impl Change {
    pub(crate) fn is_slower(&self) -> bool {
        self.worse_by > self.noise
    }

    fn is_faster(&self) -> bool {
        -self.worse_by > self.noise
    }
}

/// Compares reports of an old and a new program; those at one place of the lists ran one after the other.
pub(crate) fn changes(old: &[Value], new: &[Value]) -> Result<Vec<Change>, String> {
    let runs = old.len().min(new.len());
    if runs < FEWEST_RUNS {
        return Err(format!(
            "{} and {} runs: at least {FEWEST_RUNS} of each are needed (scripts/bench turns)",
            old.len(),
            new.len()
        ));
    }
    let of_all = |reports: &[Value]| reports.iter().map(of_report).collect::<Vec<_>>();
    let (old, new) = (of_all(old), of_all(new));
    let mut changes = Vec::new();
    for first in &old[0] {
        let of = |runs: &[Vec<crate::figures::Figure>]| -> Vec<f64> {
            let value = |run: &Vec<crate::figures::Figure>| {
                run.iter()
                    .find(|figure| figure.name == first.name)
                    .map(|figure| figure.value)
            };
            runs.iter()
                .map(|run| value(run).unwrap_or(f64::NAN))
                .collect()
        };
        let (before, after) = (of(&old), of(&new));
        let worse: Vec<f64> = before
            .iter()
            .zip(&after)
            .map(|(before, after)| match first.more_is_better {
                true => before / after - 1.0,
                false => after / before - 1.0,
            })
            .filter(|part| part.is_finite())
            .collect();
        if worse.len() < FEWEST_RUNS {
            continue;
        }
        let middle = median(worse.clone());
        let deviation = median(worse.iter().map(|part| (part - middle).abs()).collect());
        changes.push(Change {
            name: first.name.clone(),
            old: median(before),
            new: median(after),
            worse_by: middle,
            noise: LEAST_CHANGE.max(2.0 * deviation),
        });
    }
    Ok(changes)
}

/// Prints the changes. True if nothing got slower.
pub(crate) fn print(changes: &[Change]) -> bool {
    println!(
        "{:<42} {:>12} {:>12} {:>8} {:>7}",
        "", "old", "new", "worse by", "noise"
    );
    for change in changes {
        let verdict = match change {
            change if change.is_slower() => "  SLOWER",
            change if change.is_faster() => "  better",
            _ => "",
        };
        println!(
            "{:<42} {:>12.2} {:>12.2} {:>7.1}% {:>6.1}%{verdict}",
            change.name,
            change.old,
            change.new,
            change.worse_by * 100.0,
            change.noise * 100.0
        );
    }
    !changes.iter().any(Change::is_slower)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::changes;

    fn reports(cpu: &[f64], ratio: f64) -> Vec<Value> {
        let report = |cpu: &f64| json!({"runs": [{"name": "sink", "ratio": ratio, "cpu_micros_per_row": cpu, "peak_bytes": 100}]});
        cpu.iter().map(report).collect()
    }

    #[test]
    fn only_what_exceeds_the_noise_of_its_pairs_is_slower() {
        let quiet = [4.0, 4.1, 3.9, 4.0, 4.0];
        let slower: Vec<f64> = quiet.iter().map(|cpu| cpu * 1.2).collect();
        let found = changes(&reports(&quiet, 0.5), &reports(&slower, 0.6)).unwrap();
        let slower: Vec<_> = found
            .iter()
            .filter(|c| c.is_slower())
            .map(|c| c.name.as_str())
            .collect();
        assert_eq!(slower, ["sink cpu_micros_per_row"]);
        assert!(found[0].is_faster(), "{found:?}");
        // a machine that was busy in some runs
        let noisy = [4.4, 6.9, 3.0, 4.0, 7.0];
        let found = changes(&reports(&quiet, 0.5), &reports(&noisy, 0.5)).unwrap();
        assert!(!found.iter().any(super::Change::is_slower), "{found:?}");
    }

    #[test]
    fn few_runs_are_refused() {
        let four = reports(&[1.0; 4], 0.5);
        assert!(changes(&four, &reports(&[1.0; 9], 0.5)).is_err());
    }
}

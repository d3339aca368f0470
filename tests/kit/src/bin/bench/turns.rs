//! Runs of two programs in turn, each on servers of its own.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use testkit::target_folder;

use crate::compare;

/// Runs the measurement with both programs in turn, writes the reports of each, and compares them. True if nothing got
/// slower.
pub(crate) fn run(old: &str, new: &str, rounds: usize, options: &[String]) -> bool {
    let mut reports = [Vec::new(), Vec::new()];
    for round in 1..=rounds {
        for (program, reports) in [old, new].into_iter().zip(&mut reports) {
            eprintln!("round {round} of {rounds}: {program}");
            reports.push(measure(program, options));
        }
    }
    for (name, reports) in ["old", "new"].into_iter().zip(&reports) {
        let file = target_folder().join(format!("kit-logs/bench-{name}.json"));
        let text = Value::from(reports.clone()).to_string();
        std::fs::write(&file, text).expect("write the reports");
        println!("written to {}", file.display());
    }
    let [old, new] = &reports;
    print(compare::changes(old, new))
}

/// Compares files that [`run`] wrote. True if nothing got slower.
pub(crate) fn compare_files(old: &str, new: &str) -> bool {
    let [old, new] = [old, new].map(|file| {
        let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
        match serde_json::from_str(&text) {
            Ok(Value::Array(reports)) => reports,
            Ok(report) => vec![report],
            Err(error) => panic!("{file}: {error}"),
        }
    });
    print(compare::changes(&old, &new))
}

fn print(changes: Result<Vec<compare::Change>, String>) -> bool {
    match changes {
        Ok(changes) => compare::print(&changes),
        Err(why) => {
            eprintln!("{why}");
            false
        }
    }
}

/// One measurement of that program, in a process of its own.
fn measure(program: &str, options: &[String]) -> Value {
    assert!(Path::new(program).is_file(), "{program} is no program");
    let bench = std::env::current_exe().expect("this program's file");
    let done = Command::new(bench)
        .args(options)
        .arg("--json")
        .env("ROWFERRY_BIN", program)
        .stderr(Stdio::inherit())
        .output()
        .expect("run the measurement");
    assert!(done.status.success(), "the measurement of {program} failed");
    serde_json::from_slice(&done.stdout).expect("a report")
}

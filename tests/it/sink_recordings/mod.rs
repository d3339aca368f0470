//! What Confluent's JDBC sink on Apache Kafka Connect 4.1.1 made of records (`tests/golden/sink`), played against rowferry.
//!
//! Each case is records, a config, and the tables, states, offsets and dead letters that were seen. What differs must
//! be listed in `DIFFERENCES.md` beside the recordings, with its reason, and each listed case must differ.

mod compare;
mod database;
mod play;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::Value;
use testkit::{Random, Rowferry, Settings};

use crate::lab;

/// How many cases go on at once. They mostly wait, for commits and for each other's servers.
const AT_ONCE: usize = 12;

/// The least part of the cases that has to agree, of those that do not show a fault of the recorded sink.
const AGREEMENT: f64 = 0.95;

#[test]
fn recorded_cases_end_as_they_did() {
    // the servers are started before the threads ask for them
    let settings = Settings::serve("sink-recordings", lab().kafka().brokers());
    let worker = Rowferry::start(
        lab().scratch(),
        settings.with("offset.flush.interval.ms", "300"),
    );
    let _servers = (lab().mariadb(), lab().postgres());
    let wanted = std::env::var("ROWFERRY_CASES").unwrap_or_default();
    let cases: Vec<_> = recordings()
        .into_iter()
        .filter(|file| name(file).contains(&wanted))
        .collect();
    let count = cases.len();
    let todo = Mutex::new(cases.into_iter());
    let (seen, random) = (Mutex::new(BTreeMap::new()), Mutex::new(Random::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(count) {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                loop {
                    let Some(file) = todo.lock().expect("the cases").next() else {
                        return;
                    };
                    let run = run_name(&mut random.lock().expect("random numbers"));
                    let began = std::time::Instant::now();
                    let lines =
                        runtime.block_on(play::play(worker.rest(), &recording(&file), &run));
                    let took = began.elapsed().as_secs_f64();
                    seen.lock()
                        .expect("what was seen")
                        .insert(name(&file), (lines, took));
                }
            });
        }
    });
    let seen = seen.into_inner().expect("what was seen");
    assert_eq!(seen.len(), count, "every case was played");
    assert!(worker.is_running());
    judge(&seen, wanted.is_empty());
}

fn judge(seen: &BTreeMap<String, (Vec<String>, f64)>, all: bool) {
    let mut slowest: Vec<_> = seen.iter().map(|(name, (_, took))| (*took, name)).collect();
    slowest.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (took, name) in slowest.iter().take(10) {
        println!("{took:.1} s {name}");
    }
    let differing: BTreeSet<&String> = seen
        .iter()
        .filter(|(_, (lines, _))| !lines.is_empty())
        .map(|(name, _)| name)
        .collect();
    println!("{} cases, {} differ", seen.len(), differing.len());
    for name in &differing {
        println!("{name}\n    {}", seen[*name].0.join("\n    "));
    }
    let listed = listed_differences();
    let unlisted: Vec<_> = differing
        .iter()
        .filter(|name| !listed.contains_key(**name))
        .collect();
    assert!(
        unlisted.is_empty(),
        "differ and are not listed in DIFFERENCES.md: {unlisted:#?}"
    );
    let gone: Vec<_> = listed
        .keys()
        .filter(|name| seen.contains_key(*name) && !differing.contains(name))
        .collect();
    assert!(
        gone.is_empty(),
        "listed in DIFFERENCES.md and do not differ: {gone:#?}"
    );
    if all {
        let unknown: Vec<_> = listed
            .keys()
            .filter(|name| !seen.contains_key(*name))
            .collect();
        assert!(
            unknown.is_empty(),
            "listed in DIFFERENCES.md and not there: {unknown:#?}"
        );
        assert!(seen.len() >= 497, "only {} cases were played", seen.len());
        let faults = listed.values().filter(|fault| **fault).count();
        let sound = seen.len() - faults;
        let agreement = (seen.len() - differing.len()) as f64 / sound as f64;
        println!(
            "{faults} cases show faults that are fixed; {agreement:.4} of the other {sound} agree"
        );
        assert!(
            agreement >= AGREEMENT,
            "{agreement:.4} of the sound cases agree, {AGREEMENT} should"
        );
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/sink")
}

fn recordings() -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder())
        .expect("the recordings")
        .map(|file| file.expect("a file").path());
    let mut files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .collect();
    files.sort_unstable();
    files
}

fn name(file: &Path) -> String {
    file.file_stem()
        .and_then(|stem| stem.to_str())
        .expect("a name")
        .to_owned()
}

fn recording(file: &Path) -> Value {
    let text = std::fs::read_to_string(file).expect("a recording");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Eight characters that name a case's database, topics and connector.
fn run_name(random: &mut Random) -> String {
    let letters = "abcdefghijkmnpqrstuvwxyz23456789".as_bytes();
    let mut letter =
        || letters[usize::try_from(random.below(letters.len() as u64)).expect("an index")];
    std::iter::once('s')
        .chain((0..7).map(|_| char::from(letter())))
        .collect()
}

/// Rows `| case | kind | reason |`: whether each listed case shows a fault of the recorded sink.
fn listed_differences() -> BTreeMap<String, bool> {
    let text = std::fs::read_to_string(folder().join("DIFFERENCES.md")).expect("DIFFERENCES.md");
    let rows = text.lines().filter(|line| line.starts_with("| ")).skip(1);
    let rows = rows.map(|row| {
        row.trim_matches('|')
            .splitn(3, " | ")
            .map(str::trim)
            .collect::<Vec<_>>()
    });
    let cases = rows.map(|cells| match cells.as_slice() {
        [case, kind @ ("fault" | "choice"), reason] if !reason.is_empty() => {
            ((*case).to_owned(), *kind == "fault")
        }
        other => panic!("not | case | kind | reason |: {other:?}"),
    });
    cases.collect()
}

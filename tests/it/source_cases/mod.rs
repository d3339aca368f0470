//! What Confluent's JDBC source connector did in Apache Kafka Connect (`tests/golden/source`), played against rowferry.
//!
//! Each case is a database, a config and actions, with the records, offsets, states and answers that followed. What
//! differs must be listed in `DIFFERENCES.md` beside the recordings, with its reason, and each listed case must differ.
//! Texts of errors are another program's own; those that clients look for are in `must_say.json`.

mod actions;
mod compare;
mod database;
mod play;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use testkit::{MariaDb, Postgres, Rowferry, Settings};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::play::Case;
use self::watch::Watch;
use crate::lab;

/// How many cases are played at once.
const AT_ONCE: usize = 12;

/// The least part of the cases without a fault of the recorded connector that has to agree byte for byte.
const AGREEMENT: f64 = 0.95;

/// How long what was recorded is waited for.
const PLENTY: Duration = Duration::from_secs(45);

/// The same in cases that are listed as differing: it will hardly come.
const LITTLE: Duration = Duration::from_secs(6);

/// The worker's offsets topic.
const OFFSETS: &str = "source-cases-offsets";

/// `ROWFERRY_CASE` plays only the cases whose name contains it.
#[tokio::test(flavor = "multi_thread")]
async fn recorded_sources_write_what_they_wrote() {
    let only = std::env::var("ROWFERRY_CASE").unwrap_or_default();
    let settings = Settings::serve("source-cases", lab().kafka().brokers());
    let worker = Arc::new(Rowferry::start(lab().scratch(), settings));
    let watch = Arc::new(Watch::start(&lab().kafka().topics(), OFFSETS));
    let (listed, must_say) = (listed_differences(), must_say());
    let (turns, mut playing) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    for (number, (name, recording)) in recordings().into_iter().enumerate() {
        if !name.contains(&only) {
            continue;
        }
        let (worker, watch, turns) = (Arc::clone(&worker), Arc::clone(&watch), Arc::clone(&turns));
        let said = must_say.get(&name).cloned().unwrap_or_default();
        let is_listed = listed
            .get(&name)
            .is_some_and(|reason| *reason != Reason::Timing);
        playing.spawn(async move {
            let _turn = turns.acquire().await.expect("a turn");
            let run = format!("sc{number:03}x");
            let case = Case::new(
                &recording,
                &run,
                worker.rest(),
                &watch,
                placeholders(&recording, &run),
                is_listed,
            );
            let lines = match case.play().await {
                Ok(seen) => compare::differences(&recording, &seen, &said),
                Err(error) => vec![format!("could not be played: {error}")],
            };
            (name, lines)
        });
    }
    let (mut cases, mut differing, mut texts) = (0_usize, BTreeSet::new(), Vec::new());
    while let Some(played) = playing.join_next().await {
        let (name, lines) = played.expect("a case");
        cases += 1;
        if !lines.is_empty() {
            texts.push(format!("{name}\n    {}", lines.join("\n    ")));
            differing.insert(name);
        }
    }
    texts.sort_unstable();
    println!(
        "{cases} cases, {} differ\n{}",
        differing.len(),
        texts.join("\n")
    );
    let expected: BTreeSet<_> = listed
        .keys()
        .filter(|name| name.contains(&only))
        .cloned()
        .collect();
    let unlisted: Vec<_> = differing.difference(&expected).collect();
    assert!(
        unlisted.is_empty(),
        "differ and are not listed in DIFFERENCES.md: {unlisted:#?}"
    );
    let gone: Vec<_> = expected
        .difference(&differing)
        .filter(|name| listed[*name] != Reason::Timing)
        .collect();
    assert!(
        gone.is_empty(),
        "listed in DIFFERENCES.md and do not differ: {gone:#?}"
    );
    if only.is_empty() {
        let faults = listed
            .values()
            .filter(|reason| **reason == Reason::Fault)
            .count();
        let (sound, agreeing) = (cases - faults, cases - differing.len());
        println!(
            "{agreeing} of {sound} cases without a fault of the recorded connector agree, {faults} have one"
        );
        assert!(cases > 200, "only {cases} cases were played");
        let agreement = agreeing as f64 / sound as f64;
        assert!(
            agreement >= AGREEMENT,
            "{agreement:.4} of the cases agree, {AGREEMENT} should"
        );
    }
    assert!(worker.is_running());
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/source")
}

/// Name and content of each case.
fn recordings() -> BTreeMap<String, Value> {
    let files = std::fs::read_dir(folder())
        .expect("the recordings")
        .map(|file| file.expect("a file").path());
    let cases = files.filter(|path| {
        path.file_name()
            .is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit())
    });
    let read = |path: PathBuf| {
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("a name")
            .to_owned();
        let text = std::fs::read_to_string(&path).expect("a recording");
        (name, serde_json::from_str(&text).expect("JSON"))
    };
    cases.map(read).collect()
}

/// Why a case differs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// The recorded connector's fault.
    Fault,
    /// Ours is better for its users.
    Choice,
    /// It differs only while somebody else's transactions are open on the server.
    Timing,
}

/// Rows `| case | kind | reason |`.
fn listed_differences() -> BTreeMap<String, Reason> {
    let text = std::fs::read_to_string(folder().join("DIFFERENCES.md")).expect("DIFFERENCES.md");
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| case "));
    let rows = rows.map(|row| {
        row.trim_matches('|')
            .split(" | ")
            .map(str::trim)
            .collect::<Vec<_>>()
    });
    let cases = rows.map(|cells| match cells.as_slice() {
        [case, "fault", reason] if !reason.is_empty() => ((*case).to_owned(), Reason::Fault),
        [case, "choice", reason] if !reason.is_empty() => ((*case).to_owned(), Reason::Choice),
        [case, "timing", reason] if !reason.is_empty() => ((*case).to_owned(), Reason::Timing),
        other => panic!("not | case | fault, choice or timing | reason |: {other:?}"),
    });
    cases.collect()
}

/// Per case the texts that must be in its messages, traces or validation errors.
fn must_say() -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(folder().join("must_say.json")).expect("must_say.json");
    serde_json::from_str(&text).expect("texts by case")
}

/// Values of the placeholders `{{name}}` of a case.
fn placeholders(recording: &Value, run: &str) -> Vec<(&'static str, String)> {
    let (mysql, postgres) = (lab().mariadb().port(), lab().postgres().port());
    let url = match recording["driver"].as_str() {
        Some("mysql") => format!("jdbc:mysql://127.0.0.1:{mysql}/{run}?disableMariaDbDriver=true"),
        Some("mariadb") => format!("jdbc:mariadb://127.0.0.1:{mysql}/{run}"),
        Some("postgresql") => format!("jdbc:postgresql://127.0.0.1:{postgres}/{run}"),
        other => panic!("unknown driver {other:?}"),
    };
    vec![
        ("run", run.to_owned()),
        ("database", run.to_owned()),
        ("connection_url", url),
        ("mysql_host", "127.0.0.1".to_owned()),
        ("mysql_port", mysql.to_string()),
        ("mysql_user", MariaDb::USER.to_owned()),
        ("mysql_password", MariaDb::PASSWORD.to_owned()),
        ("pg_host", "127.0.0.1".to_owned()),
        ("pg_port", postgres.to_string()),
        ("pg_user", Postgres::USER.to_owned()),
        ("pg_password", Postgres::PASSWORD.to_owned()),
    ]
}

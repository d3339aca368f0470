//! Conversations recorded from Apache Kafka Connect 4.1.1 (`tests/golden/rest`), played against rowferry.
//!
//! Each step is one request with the answer that Kafka Connect gave. Differences must be listed in `DIFFERENCES.md`
//! beside the recordings, with their reasons, and each listed case must differ.

mod compare;
mod conformance;
mod http;
mod record;
mod setup;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use regex::Regex;
use serde_json::Value;
use testkit::{MariaDb, Postgres, Random, Rowferry, Settings};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::lab;
use crate::recording::mapped;

/// How many conversations go on at once.
const AT_ONCE: usize = 6;

/// The least part of the steps that has to agree.
const AGREEMENT: f64 = 0.98;

/// Conversation and step.
type Place = (String, String);

#[tokio::test(flavor = "multi_thread")]
async fn recorded_conversations_go_as_they_did() {
    let worker = Arc::new(Rowferry::start(lab().scratch(), settings()));
    let (turns, mut playing) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    let mut random = Random::new();
    for file in recordings() {
        let (worker, turns) = (Arc::clone(&worker), Arc::clone(&turns));
        let names = placeholders(worker.rest().base(), &mut random);
        playing.spawn(async move {
            let _turn = turns.acquire().await.expect("a turn");
            play(worker.rest().base(), &file, &names, false).await
        });
    }
    let (mut steps, mut differing, mut texts) = (0, BTreeSet::new(), Vec::new());
    while let Some(played) = playing.join_next().await {
        for (place, lines) in played.expect("a conversation") {
            steps += 1;
            if !lines.is_empty() {
                texts.push(format!(
                    "{} | {}\n    {}",
                    place.0,
                    place.1,
                    lines.join("\n    ")
                ));
                differing.insert(place);
            }
        }
    }
    assert!(steps > 1000, "only {steps} steps were played");
    let listed = listed_differences();
    println!(
        "{steps} steps, {} differ\n{}",
        differing.len(),
        texts.join("\n")
    );
    let unlisted: Vec<_> = differing.difference(&listed).collect();
    assert!(
        unlisted.is_empty(),
        "differ and are not listed in DIFFERENCES.md: {unlisted:#?}"
    );
    let gone: Vec<_> = listed.difference(&differing).collect();
    assert!(
        gone.is_empty(),
        "listed in DIFFERENCES.md and do not differ: {gone:#?}"
    );
    let agreement = 1.0 - differing.len() as f64 / f64::from(steps);
    assert!(
        agreement >= AGREEMENT,
        "{agreement:.4} of the steps agree, {AGREEMENT} should"
    );
    assert!(worker.is_running());
}

fn settings() -> Settings {
    // The recorded worker logged warnings only, which shows in the levels that loggers inherit.
    Settings::serve("rest-conversations", lab().kafka().brokers())
        .with("rowferry.log.level", "warn")
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/rest")
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

/// Rows `| conversation | step | reason |`.
fn listed_differences() -> BTreeSet<Place> {
    let text = std::fs::read_to_string(folder().join("DIFFERENCES.md")).expect("DIFFERENCES.md");
    let rows = text.lines().filter(|line| line.starts_with("| ")).skip(1);
    let rows = rows.map(|row| {
        row.trim_matches('|')
            .split(" | ")
            .map(str::trim)
            .collect::<Vec<_>>()
    });
    let places = rows.map(|cells| match cells.as_slice() {
        [conversation, step, reason] if !reason.is_empty() => {
            ((*conversation).to_owned(), (*step).to_owned())
        }
        other => panic!("not | conversation | step | reason |: {other:?}"),
    });
    places.collect()
}

/// Plays one conversation: each compared step with its lines of difference. With `renew`, the answers that differ are
/// written into the file.
async fn play(
    base: &str,
    file: &Path,
    names: &[(String, String)],
    renew: bool,
) -> Vec<(Place, Vec<String>)> {
    let text = std::fs::read_to_string(file).expect("a recording");
    let recording: Value = serde_json::from_str(&text).expect("JSON");
    let name = file
        .file_stem()
        .and_then(|stem| stem.to_str())
        .expect("a name")
        .to_owned();
    let address = base.trim_start_matches("http://").to_owned();
    let (mut results, mut renewed, mut late) = (Vec::new(), Vec::new(), false);
    for (number, step) in recording["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .enumerate()
    {
        let filled = fill(step, names);
        let title = format!(
            "{:02} {}",
            number + 1,
            step["name"]
                .as_str()
                .map_or_else(|| title(step), str::to_owned)
        );
        if let Some(request) = filled.get("request") {
            let lines = match ask(&address, request).await {
                Ok(answer) => {
                    let lines = compare::compare(&filled, &filled["expect"], &answer);
                    if renew && !lines.is_empty() {
                        renewed.push((number, record::expect(step, &answer, names)));
                    }
                    lines
                }
                Err(error) => vec![error],
            };
            results.push(((name.clone(), title), lines));
        } else {
            let problem = setup::perform(&address, &filled, &mut late).await.err();
            results.push(((name.clone(), title), problem.into_iter().collect()));
        }
    }
    for step in recording["cleanup"].as_array().into_iter().flatten() {
        let filled = fill(step, names);
        match filled.get("request") {
            Some(request) => drop(ask(&address, request).await),
            None => drop(setup::perform(&address, &filled, &mut late).await),
        }
    }
    if !renewed.is_empty() {
        record::write(file, &renewed);
    }
    results
}

fn title(step: &Value) -> String {
    if let Some(wait) = step.get("wait_until") {
        return format!("wait until {}", wait["path"].as_str().unwrap_or_default());
    }
    let text = |key: &str| step["request"][key].as_str().unwrap_or_default();
    format!("{} {}", text("method"), text("path"))
}

/// One request; an answer that asks the client to try again soon is tried again, as clients do.
async fn ask(address: &str, request: &Value) -> Result<http::Answer, String> {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = http::send(address, request).await?;
        let conflict = answer.status == 409 && !answer.text.contains("already exists");
        let again =
            conflict || (answer.status == 500 && answer.text.contains("a rebalance is expected"));
        if !again || Instant::now() > end || request["retry"] == false {
            return Ok(answer);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

fn placeholders(base: &str, random: &mut Random) -> Vec<(String, String)> {
    let letters = "abcdefghjkmnpqrstuvwxyz23456789".as_bytes();
    let mut run = "r".to_owned();
    for _ in 0..7 {
        let at = usize::try_from(random.below(letters.len() as u64)).expect("an index");
        run.push(char::from(letters[at]));
    }
    let (mysql, postgres) = (
        lab().mariadb().port().to_string(),
        lab().postgres().port().to_string(),
    );
    let names = [
        ("base", base),
        ("run", &run),
        (
            "num",
            &(100_000_000 + random.below(900_000_000)).to_string(),
        ),
        ("mysql_host", "127.0.0.1"),
        ("mysql_port", &mysql),
        ("mysql_user", MariaDb::USER),
        ("mysql_password", MariaDb::PASSWORD),
        ("pg_host", "127.0.0.1"),
        ("pg_port", &postgres),
        ("pg_user", Postgres::USER),
        ("pg_password", Postgres::PASSWORD),
        ("bootstrap", &lab().kafka().brokers()),
    ];
    names
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

/// Puts values in the place of `{{name}}` and `{{repeat:x:3}}` in every text.
fn fill(value: &Value, names: &[(String, String)]) -> Value {
    mapped(value, &|text: &str| fill_text(text, names))
}

fn fill_text(text: &str, names: &[(String, String)]) -> String {
    let repeat = Regex::new(r"\{\{repeat:(.):(\d+)\}\}").expect("a regular expression");
    let mut text = repeat
        .replace_all(text, |found: &regex::Captures<'_>| {
            found[1].repeat(found[2].parse().expect("a count"))
        })
        .into_owned();
    for (name, value) in names {
        text = text.replace(&format!("{{{{{name}}}}}"), value);
    }
    text
}

//! After the faults: is everything there, once and unchanged, and does everything still move?

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::faults::Server;
use super::field::Field;
use super::report::Report;
use super::tables::{Kind, TABLES, Table};
use super::writers::Load;
use crate::mariadb;

const TARGETS: [Server; 2] = [Server::MariaDb, Server::Postgres];

/// How many keys are shown of each kind of difference.
const EXAMPLES: usize = 5;

/// Waits until both targets seem to hold the source's rows, or nothing has moved for `patience`.
pub(super) async fn wait_until_quiet(field: &Field, patience: Duration, say: fn(String)) -> bool {
    let began = Instant::now();
    let (mut last, mut moved, mut reported) = (Vec::new(), Instant::now(), Instant::now());
    loop {
        let source = field.sums(Server::Source).await;
        let mut copies = Vec::new();
        for target in TARGETS {
            copies.push(field.sums(target).await);
        }
        if copies.iter().all(|copy| *copy == source) {
            say(format!("quiet after {} s", began.elapsed().as_secs()));
            return true;
        }
        if copies != last {
            (last, moved) = (copies, Instant::now());
        }
        if moved.elapsed() > patience {
            say(format!("nothing has moved for {} s", patience.as_secs()));
            return false;
        }
        if reported.elapsed() > Duration::from_secs(15) {
            reported = Instant::now();
            say(format!(
                "{:4} s  rows|versions of the source {source:?}, of the copies {last:?}",
                began.elapsed().as_secs()
            ));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Rows by id: how often each is there, and the hash of its text.
type Rows = HashMap<i64, (u32, u64)>;

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

async fn rows(field: &Field, place: Server, table: Table) -> Rows {
    let mut rows = Rows::new();
    field
        .each_row(place, table, |id, text| {
            rows.entry(id).or_insert((0, hash(text))).0 += 1;
        })
        .await;
    rows
}

/// Compares every row of the source with its copies, and each topic with itself and with what was deleted.
pub(super) async fn compare(field: &Field, load: &Load, report: &mut Report) {
    for table in TABLES {
        let source = rows(field, Server::Source, table).await;
        for target in TARGETS {
            let copy = rows(field, target, table).await;
            compare_rows(field, report, table, target, (&source, &copy)).await;
        }
        compare_topic(field, load, report, table, &source);
    }
}

fn sorted<'a>(ids: impl Iterator<Item = &'a i64>) -> Vec<i64> {
    let mut ids: Vec<i64> = ids.copied().collect();
    ids.sort_unstable();
    ids
}

async fn compare_rows(
    field: &Field,
    report: &mut Report,
    table: Table,
    target: Server,
    rows: (&Rows, &Rows),
) {
    let (source, copy) = rows;
    let missing = sorted(source.keys().filter(|id| !copy.contains_key(id)));
    let more = sorted(copy.keys().filter(|id| !source.contains_key(id)));
    let is_doubled = |id: &&i64| copy.get(id).is_some_and(|(times, _)| *times > 1);
    let doubled = sorted(copy.keys().filter(is_doubled));
    let differs =
        |id: &&i64| matches!((source.get(id), copy.get(id)), (Some(a), Some(b)) if a.1 != b.1);
    let differing = sorted(source.keys().filter(differs));
    report.say(format!(
        "{:10}to {target}: {} rows, {} missing, {} doubled, {} differing, {} that are not in the source",
        format!("{}:", table.name),
        source.len(),
        missing.len(),
        doubled.len(),
        differing.len(),
        more.len()
    ));
    for (what, ids) in [
        ("missing", &missing),
        ("doubled", &doubled),
        ("not in the source", &more),
    ] {
        if !ids.is_empty() {
            let first = &ids[..ids.len().min(EXAMPLES)];
            report.wrong(format!(
                "{} rows of {} in {target} are {what}, such as {first:?}",
                ids.len(),
                table.name
            ));
        }
    }
    if !differing.is_empty() {
        let shown = show(
            field,
            table,
            target,
            &differing[..differing.len().min(EXAMPLES)],
        )
        .await;
        report.wrong(format!(
            "{} rows of {} in {target} differ, such as {shown}",
            differing.len(),
            table.name
        ));
    }
}

/// The columns in which rows differ, by id.
async fn show(field: &Field, table: Table, target: Server, ids: &[i64]) -> String {
    let mut texts: HashMap<i64, Vec<String>> = HashMap::new();
    for place in [Server::Source, target] {
        field
            .each_row(place, table, |id, text| {
                if ids.contains(&id) {
                    texts.entry(id).or_default().push(text.to_owned());
                }
            })
            .await;
    }
    let row = |id: &i64| {
        let [ours, theirs] = texts.get(id)?.as_slice() else {
            return None;
        };
        let parts = table.names().zip(ours.split('|').zip(theirs.split('|')));
        let differing = parts
            .filter(|(_, (a, b))| a != b)
            .map(|(name, (a, b))| format!("{name}: {a} became {b}"));
        Some(format!(
            "{id} ({})",
            differing.collect::<Vec<_>>().join(", ")
        ))
    };
    ids.iter().filter_map(row).collect::<Vec<_>>().join("; ")
}

/// A reader of committed records sees each version of a row once, and each deletion at most once: rows that come and go
/// between two looks leave no trace.
fn compare_topic(field: &Field, load: &Load, report: &mut Report, table: Table, source: &Rows) {
    let (mut records, mut tombstones) = (0_u64, 0_u64);
    let mut versions: HashMap<(i64, i64), u32> = HashMap::new();
    let mut reported: HashMap<i64, u32> = HashMap::new();
    let deleted = load.counts().deleted();
    let mut doubled = Vec::new();
    field
        .servers()
        .kafka
        .topics()
        .each(&field.topic(table), |entry| {
            records += 1;
            let key: Value =
                serde_json::from_slice(entry.key.as_deref().unwrap_or(b"null")).unwrap_or_default();
            let id = key["payload"]["id"].as_i64().expect("a key with an id");
            let value = entry.json();
            if value.is_null() {
                tombstones += 1;
                let reported = reported.entry(id).or_default();
                *reported += 1;
                if *reported == deleted.get(&id).copied().unwrap_or(0) + 1 {
                    doubled.push(format!("the tombstone of {id} at offset {}", entry.offset));
                }
                return;
            }
            reported.entry(id).or_default();
            let version = value["payload"]["version"]
                .as_i64()
                .expect("a row with a version");
            let times = versions.entry((id, version)).or_default();
            *times += 1;
            if *times == 2 {
                doubled.push(format!(
                    "version {version} of {id} at offset {}",
                    entry.offset
                ));
            }
        });
    let missing = source
        .keys()
        .filter(|id| !reported.contains_key(id))
        .count();
    report.say(format!(
        "{:10}in its topic: {records} records ({tombstones} tombstones), {} doubled, {missing} rows missing",
        format!("{}:", table.name),
        doubled.len()
    ));
    if !doubled.is_empty() {
        let first = doubled[..doubled.len().min(EXAMPLES)].join(", ");
        report.wrong(format!(
            "{} records of the topic of {} are doubled: {first}",
            doubled.len(),
            table.name
        ));
    }
    if missing > 0 {
        report.wrong(format!(
            "{missing} rows of {} are not in its topic",
            table.name
        ));
    }
}

/// Rows written now arrive, over every task, and every task says that it runs.
pub(super) async fn moves(field: &Field, patience: Duration, report: &mut Report) {
    write_to_each_table(field).await;
    let arrived = wait_until_quiet(field, patience, |_| ()).await;
    let (tasks, running) = count_tasks(field, report).await;
    report.say(format!(
        "tasks:    {running} of {tasks} RUNNING; rows written at the end {}",
        if arrived {
            "have arrived over all of them"
        } else {
            "have NOT all arrived"
        }
    ));
    // Two tasks read the ledgers, one each the other tables; as many write to each target.
    if tasks != 12 {
        report.wrong(format!("there are {tasks} tasks instead of 12"));
    }
    if !arrived {
        let (source, maria) = (
            field.sums(Server::Source).await,
            field.sums(Server::MariaDb).await,
        );
        let postgres = field.sums(Server::Postgres).await;
        report.wrong(format!(
            "rows and versions: source {source:?}, MariaDB {maria:?}, PostgreSQL {postgres:?}"
        ));
    }
}

/// Writes a row to each table of the source.
async fn write_to_each_table(field: &Field) {
    let mut connection = field
        .connect_source()
        .await
        .expect("a connection to the source");
    for table in TABLES {
        let sql = match table.kind {
            Kind::Ledger => format!("INSERT INTO {} (writer, version) VALUES (0, 1)", table.name),
            Kind::KeyValue => {
                "DELETE FROM kv WHERE id IN (SELECT id FROM (SELECT MIN(id) id FROM kv) first); \
                               INSERT INTO kv (id, n, version) VALUES (1000000, 1, 1)"
                    .to_owned()
            }
            Kind::Types => "INSERT INTO types (version) VALUES (1)".to_owned(),
        };
        mariadb::run(&mut connection, &sql).await;
    }
}

/// Returns how many tasks there are and how many of them run, and reports those that do not.
async fn count_tasks(field: &Field, report: &mut Report) -> (u32, u32) {
    let (mut tasks, mut running) = (0, 0);
    let status = field
        .worker()
        .rest()
        .get("/connectors?expand=status")
        .await
        .body;
    for (name, connector) in status.as_object().into_iter().flatten() {
        for task in connector["status"]["tasks"]
            .as_array()
            .into_iter()
            .flatten()
        {
            tasks += 1;
            running += u32::from(task["state"] == "RUNNING");
            if task["state"] != "RUNNING" {
                report.wrong(format!("a task of {name} does not run: {task}"));
            }
        }
    }
    (tasks, running)
}

//! `rowferry conn doctor`: everything that configs need, checked one by one, each with how to fix it.
//! The worker checks it; nothing is created.

use std::path::PathBuf;

use connector_api::shown::{in_lines, on_one_line};
use connector_api::{Error, Result};
use serde_json::{Map, Value, json};

use super::bar::Bar;
use super::client::RestClient;
use super::file::ConnectorFile;
use super::output::OutputArgs;
use super::plan::{files_of, read};
use super::print::outln;
use crate::http::Method;
use crate::model::{ConfigWarning, ConnectorPlan, Health, Plans};

/// Differences of clocks up to this many seconds are no difference: a plan takes its time.
const CLOCK_SECONDS: i64 = 30;
/// Maximum number of connectors of one request for plans.
const AT_ONCE: usize = 20;

/// `rowferry conn doctor`.
#[derive(clap::Args, Debug)]
pub(super) struct DoctorCommand {
    /// Files or folders of connectors, as for apply
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Good,
    /// It works, but a person should know.
    Note,
    Bad,
    /// It could not be checked.
    Unknown,
}

/// One check.
#[derive(Debug)]
struct Check {
    what: &'static str,
    outcome: Outcome,
    /// What is wrong, and how to fix it.
    text: String,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Note => "note",
            Self::Bad => "bad",
            Self::Unknown => "unknown",
        }
    }
}

impl DoctorCommand {
    /// Errors: as [`RestClient::send`]; `Record` if a check fails.
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        let connectors = read(&files_of(&self.files)?)?;
        let mut sections = vec![("worker".to_owned(), worker(client).await?)];
        // Sinks are planned with the records of sources beside them.
        let bar = Bar::of("checking connectors", connectors.len());
        for some in connectors.chunks(AT_ONCE) {
            let plans = plans(client, some.iter().map(|it| (it.name.as_str(), &it.config))).await?;
            for (connector, plan) in some.iter().zip(&plans) {
                let mut checks = of_plan(plan);
                checks.extend(clock(client, connector, &checks).await?);
                sections.push((connector.name.clone(), checks));
                bar.done(sections.len() - 1);
            }
        }
        drop(bar);
        let bad = sections.iter().flat_map(|(_, checks)| checks);
        let bad = bad.filter(|it| it.outcome == Outcome::Bad).count();
        if self.output.is_document() {
            let section = |(name, checks): &(String, Vec<Check>)| {
                let check = |it: &Check| json!({"check": it.what, "outcome": it.outcome.word(), "text": it.text});
                json!({"name": name, "checks": checks.iter().map(check).collect::<Vec<_>>()})
            };
            let all: Vec<_> = sections.iter().map(section).collect();
            self.output.document(&json!(all));
        } else {
            for (name, checks) in &sections {
                show(name, checks);
            }
        }
        match bad {
            0 => Ok(()),
            1 => Err(Error::record("1 check is not good")),
            bad => Err(Error::record(format!("{bad} checks are not good"))),
        }
    }
}

fn show(name: &str, checks: &[Check]) {
    outln!("{}", on_one_line(name));
    for check in checks {
        let text = in_lines(&check.text).replace('\n', "\n          ");
        let line = format!("  {:7} {:12} {text}", check.outcome.word(), check.what);
        outln!("{}", line.trim_end());
    }
}

/// Checks that the worker is healthy, which includes Kafka and the metadata store.
async fn worker(client: &RestClient) -> Result<Vec<Check>> {
    let health = client.health(std::time::Duration::from_secs(20)).await?;
    let Health {
        status,
        message,
        warnings,
        ..
    } = health;
    let is_good = status == "healthy";
    let mut checks = vec![Check {
        what: "health",
        outcome: if is_good { Outcome::Good } else { Outcome::Bad },
        text: if is_good { String::new() } else { message },
    }];
    checks.extend(warnings.into_iter().map(|text| Check {
        what: "settings",
        outcome: Outcome::Note,
        text,
    }));
    Ok(checks)
}

async fn plans<'a>(
    client: &RestClient,
    connectors: impl Iterator<Item = (&'a str, &'a Map<String, Value>)>,
) -> Result<Vec<ConnectorPlan>> {
    let body = connectors.map(|(name, config)| json!({"name": name, "config": config}));
    let body = Value::Array(body.collect());
    let sent = client.send(Method::POST, "/v1/plans", Some(&body)).await?;
    Ok(sent.json::<Plans>()?.connectors)
}

/// Returns the checks that a plan consists of.
fn of_plan(plan: &ConnectorPlan) -> Vec<Check> {
    let mut checks = Vec::new();
    for what in ["connection", "TLS", "privileges", "config"] {
        add_keys(what, plan, &mut checks);
    }
    add_tables(plan, &mut checks);
    add_topics(plan, &mut checks);
    for gap in &plan.unknown {
        // What the config is refused for is the reason here, too.
        let first = gap.message.lines().next().unwrap_or_default();
        if !checks.iter().any(|known| known.text.contains(first)) {
            checks.push(Check {
                what: part(&gap.part),
                outcome: if gap.unreachable {
                    Outcome::Bad
                } else {
                    Outcome::Unknown
                },
                text: gap.message.clone(),
            });
        }
    }
    checks
}

/// Adds what validation says about the keys of one kind.
fn add_keys(what: &'static str, plan: &ConnectorPlan, checks: &mut Vec<Check>) {
    let of = |all: &[ConfigWarning], outcome| {
        let wanted = all.iter().filter(|it| of_key(it) == what);
        wanted.map(|it| (outcome, with_key(it))).collect::<Vec<_>>()
    };
    let (bad, notes) = (
        of(&plan.errors, Outcome::Bad),
        of(&plan.warnings, Outcome::Note),
    );
    // The same error is reported for each key that it may come from.
    let mut found: Vec<(Outcome, String)> = Vec::new();
    for (outcome, text) in bad.into_iter().chain(notes) {
        if !found.iter().any(|(_, known)| known == &text) {
            found.push((outcome, text));
        }
    }
    let is_connected = !checks.iter().any(|it| it.outcome == Outcome::Bad);
    match what {
        _ if !found.is_empty() => {}
        "TLS" => {}
        "privileges" if !is_connected => found.push((
            Outcome::Unknown,
            "they are looked up when the database can be reached".to_owned(),
        )),
        _ => found.push((Outcome::Good, String::new())),
    }
    checks.extend(found.into_iter().map(|(outcome, text)| Check {
        what,
        outcome,
        text,
    }));
}

/// Adds what is wrong with the tables of a source, or the targets of a sink.
fn add_tables(plan: &ConnectorPlan, checks: &mut Vec<Check>) {
    let what = "table";
    let tables = plan.tables.iter();
    let tables = tables.map(|it| (&it.table, &it.error, &it.warnings));
    let targets = plan.targets.iter();
    let targets = targets.map(|it| (&it.table, &it.error, &it.warnings));
    let mut is_good = true;
    for (table, error, warnings) in tables.chain(targets) {
        is_good &= error.is_none();
        let bad = error.iter().map(|text| (Outcome::Bad, text));
        let notes = warnings.iter().map(|text| (Outcome::Note, text));
        checks.extend(bad.chain(notes).map(|(outcome, text)| Check {
            what,
            outcome,
            text: format!("{table}: {text}"),
        }));
    }
    let count = plan.tables.len() + plan.targets.len() + plan.more_tables;
    if count > 0 && is_good {
        checks.push(Check {
            what,
            outcome: Outcome::Good,
            text: format!("{count} can be used"),
        });
    }
}

/// Adds what becomes of topics that do not exist.
fn add_topics(plan: &ConnectorPlan, checks: &mut Vec<Check>) {
    for topic in plan.topics.iter().filter(|topic| !topic.exists) {
        let name = &topic.topic;
        let text = match (topic.created, plan.kind == "source") {
            (true, _) => format!("{name} will be created"),
            (false, true) => format!(
                "{name} does not exist and is not created: create it, or set topic.creation.enable on the worker"
            ),
            (false, false) => format!(
                "{name} does not exist yet: start its source, or correct the name in topics"
            ),
        };
        checks.push(Check {
            what: "topic",
            outcome: if topic.created {
                Outcome::Good
            } else {
                Outcome::Note
            },
            text,
        });
    }
}

fn part(of: &str) -> &'static str {
    match of {
        "source" | "target" => "database",
        "kafka" => "Kafka",
        "transforms" => "transforms",
        _ => "config",
    }
}

/// Returns the check that an error of a key belongs to.
fn of_key(it: &ConfigWarning) -> &'static str {
    let key = it.key.as_str();
    let text = it.message.to_ascii_lowercase();
    if ["privilege", "grant ", "permission"]
        .iter()
        .any(|word| text.contains(word))
    {
        "privileges"
    } else if ["tls", "certificate", "ssl"]
        .iter()
        .any(|word| text.contains(word))
    {
        "TLS"
    } else if key.starts_with("connection.") {
        "connection"
    } else {
        "config"
    }
}

/// Returns what to do about a connection that fails.
fn remedy(text: &str) -> &'static str {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["28000", "28P01", "Access denied"]) {
        "\ncorrect connection.user and connection.password, or create that user for the host of the worker"
    } else if has(&[
        "refused (os",
        "timed out",
        "No answer",
        "resolve",
        "lookup",
        "unreachable",
    ]) {
        "\ncorrect host and port in connection.url, start the server, or open the firewall between it and the worker"
    } else {
        ""
    }
}

fn with_key(it: &ConfigWarning) -> String {
    if it.key.is_empty() || it.message.contains(&it.key) {
        return it.message.clone();
    }
    format!("{}: {}{}", it.key, it.message, remedy(&it.message))
}

/// Compares the clock of a source's database with the one here, as the source would read it: a
/// difference of whole hours is a wrong `db.timezone`.
async fn clock(
    client: &RestClient,
    connector: &ConnectorFile,
    checks: &[Check],
) -> Result<Option<Check>> {
    let text = |key: &str| {
        connector
            .config
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let url = text("connection.url");
    let query = if url.contains("mysql:") || url.contains("mariadb:") {
        "SELECT CURRENT_TIMESTAMP(3) AS now_there"
    } else if url.contains("postgresql:") {
        "SELECT LOCALTIMESTAMP(3) AS now_there"
    } else {
        return Ok(None);
    };
    let is_connected = !checks
        .iter()
        .any(|it| it.what == "connection" && it.outcome == Outcome::Bad);
    if text("mode").is_empty() || !is_connected {
        return Ok(None);
    }
    let kept = |key: &str| {
        key.starts_with("connection.") || ["connector.class", "db.timezone"].contains(&key)
    };
    let mut config: Map<_, _> = (connector.config.iter())
        .filter(|(key, _)| kept(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    for (key, value) in [
        ("mode", "bulk"),
        ("query", query),
        ("topic.prefix", "t"),
        ("timestamp.granularity", "connect_logical"),
    ] {
        config.insert(key.to_owned(), value.into());
    }
    let plan = plans(client, std::iter::once(("rowferry-conn-doctor", &config)))
        .await?
        .pop();
    let here = jiff::Timestamp::now().as_millisecond();
    let there = plan
        .iter()
        .find_map(|plan| plan.records.first())
        .and_then(|it| it.record.as_ref()?.value.as_ref());
    let there: Option<Value> = there.and_then(|value| serde_json::from_str(value.get()).ok());
    let there = there.and_then(|value| {
        let payload = value.get("payload").unwrap_or(&value);
        payload.get("now_there")?.as_i64()
    });
    Ok(there.map(|there| compared(here, there)))
}

fn compared(here_ms: i64, there_ms: i64) -> Check {
    let seconds = (there_ms - here_ms) / 1000;
    // Zones differ by multiples of a quarter of an hour.
    let off = seconds.rem_euclid(900);
    let is_zone = off.min(900 - off) <= CLOCK_SECONDS;
    let (outcome, text) = if seconds.abs() <= CLOCK_SECONDS {
        (Outcome::Good, String::new())
    } else if is_zone {
        let minutes = (seconds + 30 * seconds.signum()) / 60;
        (
            Outcome::Note,
            format!(
                "date-times without a zone are read {minutes} minutes off: set db.timezone to the time zone of the \
                 database's sessions, unless they are stored in another one"
            ),
        )
    } else {
        (
            Outcome::Note,
            format!(
                "the clock of the database differs from the one here by {seconds} s: set both by NTP"
            ),
        )
    };
    Check {
        what: "clock",
        outcome,
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_differ_by_zones_or_alone() {
        let of = |seconds: i64| compared(1_700_000_000_000, 1_700_000_000_000 + seconds * 1000);
        assert_eq!(of(5).outcome, Outcome::Good);
        for (seconds, part) in [
            (7200, "read 120 minutes off"),
            (-3590, "db.timezone"),
            (20_700, "db.timezone"),
            (400, "differs from the one here by 400 s"),
            (-86_000, "NTP"),
        ] {
            let check = of(seconds);
            assert_eq!(check.outcome, Outcome::Note, "{seconds}");
            assert!(check.text.contains(part), "{seconds}: {}", check.text);
        }
    }

    #[test]
    fn errors_are_sorted_by_what_is_to_be_fixed() {
        let of = |key: &str, message: &str| {
            of_key(&ConfigWarning {
                key: key.to_owned(),
                message: message.to_owned(),
            })
        };
        assert_eq!(
            of("connection.url", "Could not connect to database."),
            "connection"
        );
        assert_eq!(of("connection.user", "grant SELECT on t"), "privileges");
        assert_eq!(of("connection.url", "the certificate has expired"), "TLS");
        assert_eq!(of("mode", "must be one of"), "config");
    }
}

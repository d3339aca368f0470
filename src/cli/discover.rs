//! `rowferry conn discover`: the tables of a database, the modes in which a source can read them, and
//! a config for them. The worker makes plans for several modes; nothing is created.

use std::collections::BTreeMap;

use connector_api::shown::on_one_line;
use connector_api::{Error, Result};
use serde_json::{Map, Value, json};

use super::bar::Bar;
use super::client::RestClient;
use super::conn::DatabaseArgs;
use super::output::OutputArgs;
use super::print::{self, errln, out, outln, table};
use crate::http::Method;
use crate::model::{ConnectorPlan, PlannedColumn, PlannedTable, Plans};

/// How many columns are tried as timestamps of changes.
const TIMESTAMPS_MAX: usize = 5;
/// Parts of the names of columns that are set with each change, the best first.
const CHANGED: [&str; 5] = ["updated", "modified", "changed", "last_update", "timestamp"];

/// A way to read tables: the keys of a config.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mode {
    mode: &'static str,
    timestamp: Option<String>,
}

/// `rowferry conn discover`.
#[derive(clap::Args, Debug)]
pub(super) struct DiscoverCommand {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Prefix of the topics in the proposed config [default: the name of the database, and -]
    #[arg(long, value_name = "TEXT")]
    topic_prefix: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// What was found out about a table.
struct FoundTable {
    planned: PlannedTable,
    /// The modes that can read it, the best first.
    modes: Vec<Mode>,
}

impl DiscoverCommand {
    /// Errors: as [`RestClient::send`]; `Record` if the database has no tables, or cannot be read.
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        let bar = Bar::open("looking for tables, and for what can read them");
        let bulk = self.plans(client, &[Mode::named("bulk")]).await?.pop();
        let bulk = bulk.unwrap_or_default();
        if bulk.tables.is_empty() {
            let why = bulk.unknown.iter().map(|gap| &gap.message);
            let mut why = why.chain(bulk.errors.iter().map(|error| &error.message));
            return Err(Error::record(why.next().map_or_else(
                || "the user of the database sees no tables in it".to_owned(),
                |why| on_one_line(why).into_owned(),
            )));
        }
        let mut modes = vec![Mode::named("incrementing"), Mode::named("cdc")];
        for column in timestamps(&bulk.tables) {
            for mode in ["timestamp+incrementing", "timestamp"] {
                let timestamp = Some(column.clone());
                modes.push(Mode { mode, timestamp });
            }
        }
        let plans = self.plans(client, &modes).await?;
        let found = |planned: PlannedTable| FoundTable {
            modes: fitting(&planned.table, &modes, &plans),
            planned,
        };
        let found: Vec<_> = bulk.tables.into_iter().map(found).collect();
        drop(bar);
        self.show(&found, bulk.more_tables);
        Ok(())
    }

    async fn plans(&self, client: &RestClient, modes: &[Mode]) -> Result<Vec<ConnectorPlan>> {
        let body = modes.iter().enumerate().map(|(n, mode)| {
            let mut config = self.database.config("JdbcSource");
            config.extend(mode.keys());
            config.insert("topic.prefix".to_owned(), "t-".into());
            json!({"name": format!("rowferry-conn-discover-{n}"), "config": config})
        });
        let body = Value::Array(body.collect());
        let sent = client.send(Method::POST, "/v1/plans", Some(&body)).await?;
        let plans = sent.json::<Plans>()?.connectors;
        if plans.len() == modes.len() {
            Ok(plans)
        } else {
            Err(Error::fatal(
                "the worker did not answer with a plan for each config",
            ))
        }
    }

    fn show(&self, found: &[FoundTable], more: usize) {
        let proposal = self.proposal(found);
        if self.output.is_document() {
            let tables: Vec<_> = found.iter().map(FoundTable::document).collect();
            let all = json!({"tables": tables, "more_tables": more, "proposed": proposal});
            return self.output.document(&all);
        }
        let rows: Vec<_> = found.iter().map(FoundTable::row).collect();
        out!(
            "{}",
            table(&["TABLE", "ROWS", "KEY", "COLUMNS", "MODES"], &rows)
        );
        if more > 0 {
            outln!("and {more} more tables");
        }
        outln!("\n{}", print::json(&proposal));
        let read = proposal.pointer("/config/table.whitelist");
        let read = read.and_then(Value::as_str).unwrap_or_default();
        let left = found.len().saturating_sub(read.split(',').count());
        if left > 0 {
            errln!("{left} of these tables need another mode, so another connector");
        }
        errln!("add connection.password, save this as a file, and see: rowferry plan -f FILE");
    }

    fn prefix(&self) -> String {
        let given = self.topic_prefix.clone();
        given.unwrap_or_else(|| format!("{}-", self.database.name()))
    }

    /// Returns a connector that reads as many tables as one mode can; of modes that read the same
    /// number, the one that misses least.
    fn proposal(&self, found: &[FoundTable]) -> Value {
        let mut counts: Vec<(usize, &Mode)> = Vec::new();
        for mode in found.iter().flat_map(|table| &table.modes) {
            match counts.iter_mut().find(|(_, known)| *known == mode) {
                Some((count, _)) => *count += 1,
                None => counts.push((1, mode)),
            }
        }
        let bulk = Mode::named("bulk");
        let best = counts
            .into_iter()
            .filter(|(_, mode)| mode.mode != "bulk")
            .max_by_key(|(count, mode)| (*count, std::cmp::Reverse(mode.rank())))
            .map_or(&bulk, |(_, mode)| mode);
        let read = found
            .iter()
            .filter(|table| table.modes.contains(best) || *best == bulk);
        let names: Vec<_> = read.map(|table| table.planned.table.as_str()).collect();
        let mut config = self
            .database
            .config("io.confluent.connect.jdbc.JdbcSourceConnector");
        config.remove("connection.password");
        config.extend(best.keys());
        config.insert("table.whitelist".to_owned(), names.join(",").into());
        config.insert("topic.prefix".to_owned(), self.prefix().into());
        json!({"name": "source", "config": config})
    }
}

impl Mode {
    fn named(mode: &'static str) -> Self {
        Self {
            mode,
            timestamp: None,
        }
    }

    fn keys(&self) -> Map<String, Value> {
        let mut keys = Map::from_iter([("mode".to_owned(), self.mode.into())]);
        if let Some(column) = &self.timestamp {
            keys.insert("timestamp.column.name".to_owned(), column.as_str().into());
        }
        keys
    }

    /// The lower, the less a source misses in this mode: deletes, then updates, then rows.
    fn rank(&self) -> usize {
        let order = ["cdc", "timestamp+incrementing", "timestamp", "incrementing"];
        order
            .iter()
            .position(|mode| *mode == self.mode)
            .unwrap_or(order.len())
    }

    fn shown(&self) -> String {
        match &self.timestamp {
            Some(column) => format!("{} ({column})", self.mode),
            None => self.mode.to_owned(),
        }
    }
}

impl FoundTable {
    fn row(&self) -> Vec<String> {
        let planned = &self.planned;
        let modes: Vec<_> = self.modes.iter().map(Mode::shown).collect();
        let key = planned.key.join(", ");
        vec![
            planned.table.clone(),
            planned
                .rows
                .map_or_else(|| "?".to_owned(), |rows| format!("~{rows}")),
            if key.is_empty() { "-".to_owned() } else { key },
            planned.columns.len().to_string(),
            modes.join(", "),
        ]
    }

    fn document(&self) -> Value {
        let column = |it: &PlannedColumn| json!({"name": it.column, "type": it.sql_type});
        json!({
            "table": self.planned.table,
            "rows": self.planned.rows,
            "key": self.planned.key,
            "columns": self.planned.columns.iter().map(column).collect::<Vec<_>>(),
            "modes": self.modes.iter().map(Mode::keys).collect::<Vec<_>>(),
            "error": self.planned.error,
        })
    }
}

/// Returns the modes whose plan can read a table, the best first.
fn fitting(table: &str, modes: &[Mode], plans: &[ConnectorPlan]) -> Vec<Mode> {
    let reads = |plan: &ConnectorPlan| {
        // An error of the mode concerns all tables, as does a server without a log.
        let whole = plan.errors.iter().any(|error| error.key == "mode");
        let mut tables = plan.tables.iter();
        !whole && tables.any(|it| it.table == table && it.error.is_none())
    };
    let fits = modes.iter().zip(plans).filter(|(_, plan)| reads(plan));
    let mut fits: Vec<_> = fits.map(|(mode, _)| mode.clone()).collect();
    fits.push(Mode::named("bulk"));
    fits.sort_by_key(Mode::rank);
    fits
}

/// Returns the names of columns that may say when a row was changed, those of most tables first.
fn timestamps(tables: &[PlannedTable]) -> Vec<String> {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for column in tables.iter().flat_map(|table| &table.columns) {
        let sql_type = column.sql_type.to_ascii_lowercase();
        if sql_type.starts_with("timestamp") || sql_type.starts_with("datetime") {
            *names.entry(&column.column).or_default() += 1;
        }
    }
    let likely = |name: &str| {
        let name = name.to_ascii_lowercase();
        let part = CHANGED.iter().position(|part| name.contains(part));
        part.unwrap_or(CHANGED.len())
    };
    let mut sorted: Vec<_> = names.into_iter().collect();
    sorted.sort_by_key(|(name, count)| (likely(name), std::cmp::Reverse(*count)));
    let names = sorted.into_iter().map(|(name, _)| name.to_owned());
    names.take(TIMESTAMPS_MAX).collect()
}

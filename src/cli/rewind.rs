//! `rowferry offsets rewind`: lets a connector read again, from a time, a value or some records
//! earlier. Says before what that means.

use std::collections::BTreeMap;

use clap::Args;
use connector_api::shown::on_one_line;
use connector_api::{Error, Result};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::client::RestClient;
use super::dlq::confirm;
use super::offsets::set;
use super::print::outln;
use super::shell::connector_names;
use super::stopped::while_stopped;
use super::tail::page;
use crate::model::{ConnectorInfo, ConnectorOffsets, OffsetEntry, path_segment};

/// `rowferry offsets rewind`.
#[derive(Args, Debug)]
pub(super) struct RewindCommand {
    /// Name of the connector
    #[arg(add = connector_names())]
    name: String,
    /// Read again what is from this time or later: 2026-11-30T09:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with_all = ["to_value", "by"])]
    to_time: Option<Timestamp>,
    /// Of a source: read again the rows from this value of the incrementing column
    #[arg(long, value_name = "NUMBER", conflicts_with = "by")]
    to_value: Option<i64>,
    /// Of a sink: read this number of records of each partition again
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    by: Option<i64>,
    /// Only this table of a source, or this topic of a sink
    #[arg(long, visible_alias = "topic", value_name = "NAME")]
    table: Option<String>,
    /// Do not ask
    #[arg(short = 'y', long)]
    yes: bool,
    /// Only say what it means
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

/// New offsets, and how many records they repeat, if that is known.
struct Plan {
    entries: Vec<OffsetEntry>,
    records: Option<i64>,
    consequence: String,
}

impl RewindCommand {
    /// Errors: as [`RestClient::send`]; `Config` for something that this connector cannot go back
    /// to.
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        let path = format!("/connectors/{}", path_segment(&self.name));
        let info: ConnectorInfo = client.get(&path).await?;
        let offsets: ConnectorOffsets = client.get(&format!("{path}/offsets")).await?;
        let offsets = offsets.offsets.unwrap_or_default();
        let plan = if info.kind == "sink" {
            self.sink(client, &info, &offsets).await?
        } else {
            self.source(&offsets)?
        };
        if plan.entries.is_empty() {
            return Err(Error::config(
                "no offset is later than that; nothing is read again",
            ));
        }
        for entry in &plan.entries {
            let now = offsets
                .iter()
                .find(|known| known.partition == entry.partition);
            outln!(
                "{}: {} -> {}",
                on_one_line(&json!(entry.partition).to_string()),
                json!(now.and_then(|now| now.offset.as_ref())),
                json!(entry.offset)
            );
        }
        let number = match plan.records {
            Some(number) => format!("about {number} records are"),
            None => "what follows these offsets is".to_owned(),
        };
        let what = format!(
            "{}: {number} read again; {}; the connector is stopped meanwhile",
            on_one_line(&self.name),
            plan.consequence
        );
        if self.dry_run {
            outln!("{what}");
            return Ok(());
        }
        confirm(&what, self.yes)?;
        let body = json!({"offsets": plan.entries});
        let done = while_stopped(client, &self.name, async || {
            set(client, &self.name, &body).await
        });
        outln!("{}", on_one_line(&done.await?));
        Ok(())
    }

    async fn sink(
        &self,
        client: &RestClient,
        info: &ConnectorInfo,
        offsets: &[OffsetEntry],
    ) -> Result<Plan> {
        let mut starts: BTreeMap<String, BTreeMap<i64, i64>> = BTreeMap::new();
        let (mut entries, mut records) = (Vec::new(), 0);
        for entry in offsets {
            let Some((topic, partition, now)) = of_sink(entry) else {
                continue;
            };
            if self.table.as_ref().is_some_and(|only| *only != topic) {
                continue;
            }
            let to = match (self.by, self.to_time) {
                (Some(by), _) => now.saturating_sub(by).max(0),
                (None, Some(at)) => {
                    if !starts.contains_key(&topic) {
                        let from = format!("time:{}", at.as_millisecond());
                        let found = page(client, &self.name, Some(&topic), &from, 1, None).await?;
                        starts.insert(topic.clone(), read_offsets(&found.start));
                    }
                    let start = starts.get(&topic).and_then(|all| all.get(&partition));
                    start.copied().unwrap_or(now)
                }
                (None, None) => {
                    return Err(Error::config(
                        "a sink goes back --to-time or --by a number of records",
                    ));
                }
            };
            if to < now {
                records += now - to;
                entries.push(OffsetEntry {
                    partition: entry.partition.clone(),
                    offset: Some(Map::from_iter([("kafka_offset".to_owned(), to.into())])),
                });
            }
        }
        Ok(Plan {
            entries,
            records: Some(records),
            consequence: consequence(info).to_owned(),
        })
    }

    fn source(&self, offsets: &[OffsetEntry]) -> Result<Plan> {
        let mut entries = Vec::new();
        for entry in offsets {
            let (Some(partition), Some(offset)) = (&entry.partition, &entry.offset) else {
                continue;
            };
            // Ranges of a first read, what is read again and known keys have offsets of their own.
            let is_whole = ["range", "reread", "keys", "new_keys"]
                .iter()
                .all(|it| !partition.contains_key(*it));
            let of = partition
                .get("table")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let is_wanted = self.table.as_deref().is_none_or(|only| is_table(of, only));
            if !is_whole || !is_wanted {
                continue;
            }
            if let Some(offset) = self.earlier(offset)? {
                entries.push(OffsetEntry {
                    partition: entry.partition.clone(),
                    offset: Some(offset),
                });
            }
        }
        Ok(Plan {
            entries,
            records: None,
            consequence: "the topic gets these rows again, and all its readers see them".to_owned(),
        })
    }

    /// Returns the offset to go back to, or `None` if it is not earlier.
    fn earlier(&self, now: &Map<String, Value>) -> Result<Option<Map<String, Value>>> {
        let number = |name: &str| now.get(name).and_then(Value::as_i64);
        let mut to = now.clone();
        match (self.to_value, self.to_time) {
            (Some(value), _) => {
                let current = number("incrementing").ok_or_else(|| {
                    Error::config("the source has no incrementing column; it goes back --to-time")
                })?;
                to.insert("incrementing".to_owned(), (value.saturating_sub(1)).into());
                Ok((value <= current).then_some(to))
            }
            (None, Some(at)) => {
                let current = number("timestamp").ok_or_else(|| {
                    Error::config("the source has no timestamp column; it goes back --to-value")
                })?;
                // Rows of that very time are read as well.
                let ms = at.as_millisecond().saturating_sub(1);
                to.insert("timestamp".to_owned(), ms.into());
                if now.contains_key("timestamp_nanos") {
                    let nanos = ms.rem_euclid(1000).saturating_mul(1_000_000);
                    to.insert("timestamp_nanos".to_owned(), nanos.into());
                }
                Ok((ms < current).then_some(to))
            }
            (None, None) => Err(Error::config("a source goes back --to-time or --to-value")),
        }
    }
}

/// True if a table, as offsets name it, is the one that the user names: with its schema or without.
fn is_table(known: &str, named: &str) -> bool {
    known == named || known.rsplit('.').next() == Some(named)
}

fn of_sink(entry: &OffsetEntry) -> Option<(String, i64, i64)> {
    let partition = entry.partition.as_ref()?;
    Some((
        partition.get("kafka_topic")?.as_str()?.to_owned(),
        partition.get("kafka_partition")?.as_i64()?,
        entry.offset.as_ref()?.get("kafka_offset")?.as_i64()?,
    ))
}

/// Says what reading records again means for the target.
fn consequence(info: &ConnectorInfo) -> &'static str {
    match info.config.get("insert.mode").map(String::as_str) {
        Some("upsert") => "rows have older values until it has caught up, and then the same as now",
        Some("update") => "rows are updated again, with older values until it has caught up",
        Some("statement") => {
            "the statement is run again for each of them, which changes the target"
        }
        _ => "they are inserted again: twice in tables without a key, refused where the key exists",
    }
}

fn read_offsets(text: &str) -> BTreeMap<i64, i64> {
    let one = |pair: &str| {
        let (partition, offset) = pair.split_once(':')?;
        Some((partition.parse().ok()?, offset.parse().ok()?))
    };
    text.split(',').filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewind(to_time: Option<&str>, to_value: Option<i64>) -> RewindCommand {
        RewindCommand {
            name: "n".to_owned(),
            to_time: to_time.map(|text| text.parse().unwrap()),
            to_value,
            by: None,
            table: Some("t".to_owned()),
            yes: false,
            dry_run: false,
        }
    }

    fn entry(partition: Value, offset: Value) -> OffsetEntry {
        serde_json::from_value(json!({"partition": partition, "offset": offset})).unwrap()
    }

    #[test]
    fn a_source_goes_back_in_the_tables_named_and_never_forward() {
        let offsets = [
            entry(
                json!({"protocol": "1", "table": "shop.t"}),
                json!({"incrementing": 100}),
            ),
            entry(
                json!({"protocol": "1", "table": "shop.t", "keys": "1"}),
                json!({"k": "x"}),
            ),
            entry(
                json!({"protocol": "1", "table": "shop.other"}),
                json!({"incrementing": 100}),
            ),
        ];
        let plan = rewind(None, Some(40)).source(&offsets).unwrap();
        assert_eq!(
            plan.entries,
            [entry(
                json!({"protocol": "1", "table": "shop.t"}),
                json!({"incrementing": 39})
            )]
        );
        assert!(
            rewind(None, Some(101))
                .source(&offsets)
                .unwrap()
                .entries
                .is_empty()
        );
        assert!(
            rewind(Some("2026-01-01T00:00:00Z"), None)
                .source(&offsets)
                .is_err()
        );
        let at =
            json!({"timestamp": 1_800_000_000_000_i64, "timestamp_nanos": 0, "incrementing": 5});
        let offsets = [entry(json!({"table": "t"}), at)];
        let plan = rewind(Some("2026-01-01T00:00:00Z"), None)
            .source(&offsets)
            .unwrap();
        let want = json!({"timestamp": 1_767_225_599_999_i64, "timestamp_nanos": 999_000_000, "incrementing": 5});
        assert_eq!(json!(plan.entries[0].offset), want);
    }
}

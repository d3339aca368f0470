//! `rowferry trace`: what became of one row, by the key of its records: in the topics of a connector,
//! and in the sinks that read them.

use std::collections::BTreeMap;

use clap::Args;
use connector_api::pattern::Pattern;
use connector_api::shown::on_one_line;
use connector_api::{Error, Result};
use serde_json::json;

use super::bar::Bar;
use super::client::RestClient;
use super::output::OutputArgs;
use super::print::outln;
use super::shell::connector_names;
use super::show::time;
use super::tail::{page, shown};
use crate::model::{ActiveTopics, ConnectorOffsets, Expanded, TopicRecord, path_segment};

/// Maximum number of records that are shown of a topic.
const RECORDS_MAX: usize = 1_000;

/// `rowferry trace`.
#[derive(Args, Debug)]
pub(super) struct TraceCommand {
    /// Name of the source or sink
    #[arg(add = connector_names())]
    name: String,
    /// Key of the row's records: its text, its JSON, or some members of it
    #[arg(long, value_name = "KEY")]
    key: String,
    /// Only this topic
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// The next offsets of the sinks that read a topic, by name and partition.
type SinkOffsets = BTreeMap<String, BTreeMap<i64, i64>>;

impl TraceCommand {
    /// Errors: as [`RestClient::send`]; `Record` if there is no such record.
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        let path = format!("/connectors/{}/topics", path_segment(&self.name));
        let topics: BTreeMap<String, ActiveTopics> = client.get(&path).await?;
        let topics = topics.into_values().flat_map(|used| used.topics);
        let is_wanted = |topic: &String| self.topic.as_ref().is_none_or(|only| only == topic);
        let (mut documents, mut found) = (Vec::new(), 0);
        for topic in topics.filter(is_wanted) {
            let records = self.records(client, &topic).await?;
            let sinks = sinks(client, &topic).await?;
            found += records.len();
            if self.output.is_document() {
                documents.push(json!({"topic": topic, "records": records, "sinks": sinks}));
                continue;
            }
            outln!("topic {}", on_one_line(&topic));
            for record in &records {
                print(record, &sinks);
            }
            if records.is_empty() {
                outln!("  no record with this key");
            }
        }
        if self.output.is_document() {
            self.output.document(&json!(documents));
        }
        if found == 0 {
            return Err(Error::record(
                "no record has this key; rowferry tail NAME shows how keys look",
            ));
        }
        Ok(())
    }

    async fn records(&self, client: &RestClient, topic: &str) -> Result<Vec<TopicRecord>> {
        let (mut all, mut from) = (Vec::new(), "begin".to_owned());
        let bar = Bar::open("");
        loop {
            bar.now(format!(
                "looking through topic {}, {} records found",
                on_one_line(topic),
                all.len()
            ));
            let key = Some(self.key.as_str());
            let found = page(client, &self.name, Some(topic), &from, RECORDS_MAX, key).await?;
            all.extend(found.records);
            if found.end || all.len() >= RECORDS_MAX {
                return Ok(all);
            }
            from = found.next;
        }
    }
}

/// Returns how far each sink that reads a topic has come.
async fn sinks(client: &RestClient, topic: &str) -> Result<SinkOffsets> {
    let all: BTreeMap<String, Expanded> = client.get("/connectors?expand=info").await?;
    let mut found = SinkOffsets::new();
    for (name, expanded) in all {
        let Some(info) = expanded.info.filter(|info| info.kind == "sink") else {
            continue;
        };
        let topics = info
            .config
            .get("topics")
            .map(String::as_str)
            .unwrap_or_default();
        let is_listed = topics.split(',').any(|read| read.trim() == topic);
        let pattern = info
            .config
            .get("topics.regex")
            .and_then(|text| Pattern::whole(text).ok());
        if !is_listed && !pattern.is_some_and(|pattern| pattern.matches(topic).unwrap_or(false)) {
            continue;
        }
        let path = format!("/connectors/{}/offsets", path_segment(&name));
        let offsets: ConnectorOffsets = client.get(&path).await?;
        let mut next = BTreeMap::new();
        for entry in offsets.offsets.unwrap_or_default() {
            let (Some(partition), Some(offset)) = (entry.partition, entry.offset) else {
                continue;
            };
            if partition.get("kafka_topic").and_then(|it| it.as_str()) != Some(topic) {
                continue;
            }
            let number = partition
                .get("kafka_partition")
                .and_then(serde_json::Value::as_i64);
            let offset = offset
                .get("kafka_offset")
                .and_then(serde_json::Value::as_i64);
            next.extend(number.zip(offset));
        }
        found.insert(name, next);
    }
    Ok(found)
}

fn print(record: &TopicRecord, sinks: &SinkOffsets) {
    outln!(
        "  {}:{}  {}  {}",
        record.partition,
        record.offset,
        record.timestamp.map(time).unwrap_or_default(),
        on_one_line(&shown(record.value.as_ref()))
    );
    for (name, next) in sinks {
        let is_done = next
            .get(&i64::from(record.partition))
            .is_some_and(|next| record.offset < *next);
        let done = if is_done {
            "has passed it"
        } else {
            "has not committed it yet"
        };
        outln!("       sink {} {done}", on_one_line(name));
    }
}

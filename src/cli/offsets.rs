//! `rowferry offsets`: shows and changes how far connectors have read or written.

use clap::{Args, Subcommand};
use connector_api::shown::on_one_line;
use connector_api::{Error, Result};
use serde_json::{Map, Value, json};

use super::client::RestClient;
use super::dlq::confirm;
use super::output::OutputArgs;
use super::print::outln;
use super::resources;
use super::rewind::RewindCommand;
use super::shell::connector_names;
use super::stopped::while_stopped;
use crate::http::Method;
use crate::model::{ConnectorOffsets, Message, path_segment};

#[derive(Subcommand, Debug)]
pub(super) enum OffsetsCommand {
    /// List the offsets of connectors
    #[command(visible_alias = "get")]
    List(ListOffsetsCommand),
    /// Set one offset; the connector is stopped meanwhile
    Set(SetOffsetsCommand),
    /// Let a connector read again, from a time, a value or some records earlier; it is stopped meanwhile
    Rewind(RewindCommand),
    /// Delete all offsets, so that the connector begins at the start; it is stopped meanwhile
    Reset(ResetOffsetsCommand),
}

#[derive(Args, Debug)]
pub(super) struct ListOffsetsCommand {
    /// Names of connectors
    #[arg(required = true, value_name = "NAME", add = connector_names())]
    names: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// An offset: of a sink by its topic, of a source as JSON.
#[derive(Args, Clone, Debug)]
pub(super) struct SetOffset {
    /// Of a sink: the topic
    #[arg(long, value_name = "TOPIC", requires_all = ["kafka_partition", "kafka_offset"], conflicts_with = "source_partition")]
    kafka_topic: Option<String>,
    /// Of a sink: the partition of the topic
    #[arg(long, value_name = "NUMBER", requires = "kafka_topic")]
    kafka_partition: Option<i32>,
    /// Of a sink: the next offset to read
    #[arg(long, value_name = "NUMBER", requires = "kafka_topic")]
    kafka_offset: Option<i64>,
    /// Of a source: the partition, as listed
    #[arg(long, value_name = "JSON", requires = "source_offset")]
    source_partition: Option<String>,
    /// Of a source: its offset, as listed; null deletes it
    #[arg(long, value_name = "JSON", requires = "source_partition")]
    source_offset: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct SetOffsetsCommand {
    /// Name of the connector
    #[arg(add = connector_names())]
    name: String,
    #[command(flatten)]
    offset: SetOffset,
    /// Do not ask
    #[arg(short = 'y', long)]
    yes: bool,
}

#[derive(Args, Debug)]
pub(super) struct ResetOffsetsCommand {
    /// Name of the connector
    #[arg(add = connector_names())]
    name: String,
    /// Do not ask
    #[arg(short = 'y', long)]
    yes: bool,
}

impl SetOffset {
    /// Returns the body of the request. Errors: `Config`.
    pub(super) fn document(&self) -> Result<Value> {
        let parse = |what: &str, text: &str| {
            serde_json::from_str::<Option<Map<String, Value>>>(text)
                .map_err(|error| Error::config(format!("{what} {text} is no JSON object: {error}")))
        };
        let (partition, offset) = match (&self.kafka_topic, &self.source_partition) {
            (Some(topic), _) => (
                json!({"kafka_topic": topic, "kafka_partition": self.kafka_partition}),
                json!({"kafka_offset": self.kafka_offset}),
            ),
            (None, Some(partition)) => {
                let offset = self.source_offset.as_deref().unwrap_or("null");
                (
                    json!(parse("--source-partition", partition)?),
                    json!(parse("--source-offset", offset)?),
                )
            }
            (None, None) => {
                return Err(Error::config(
                    "say which offset: --kafka-topic, --kafka-partition and --kafka-offset of a sink, \
                     --source-partition and --source-offset of a source",
                ));
            }
        };
        Ok(json!({"offsets": [{"partition": partition, "offset": offset}]}))
    }
}

/// Changes offsets of a stopped connector. Returns what the worker says.
pub(super) async fn set(client: &RestClient, name: &str, document: &Value) -> Result<String> {
    let path = format!("/connectors/{}/offsets", path_segment(name));
    let answer = client.send(Method::PATCH, &path, Some(document)).await?;
    Ok(answer.json::<Message>()?.message)
}

impl OffsetsCommand {
    /// Errors: as [`RestClient::send`].
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        match self {
            Self::List(list) => resources::offsets(client, &list.names, list.output).await,
            Self::Set(set) => set.run(client).await,
            Self::Rewind(rewind) => rewind.run(client).await,
            Self::Reset(reset) => reset.run(client).await,
        }
    }
}

impl SetOffsetsCommand {
    async fn run(&self, client: &RestClient) -> Result<()> {
        let (name, document) = (self.name.as_str(), self.offset.document()?);
        let path = format!("/connectors/{}/offsets", path_segment(name));
        let before: ConnectorOffsets = client.get(&path).await?;
        let entry = document.pointer("/offsets/0").cloned().unwrap_or_default();
        let of = |member: &str| entry.get(member).cloned().unwrap_or_default();
        let (partition, offset) = (of("partition"), of("offset"));
        let known = before.offsets.unwrap_or_default();
        let known = known
            .iter()
            .find(|known| json!(known.partition) == partition);
        let from = known.map_or_else(
            || "none".to_owned(),
            |known| json!(known.offset).to_string(),
        );
        let what = format!(
            "{}: the offset of {partition} changes from {from} to {offset}; the connector is stopped meanwhile",
            on_one_line(name)
        );
        confirm(&what, self.yes)?;
        let message =
            while_stopped(client, name, async || set(client, name, &document).await).await?;
        outln!("{}", on_one_line(&message));
        Ok(())
    }
}

impl ResetOffsetsCommand {
    async fn run(&self, client: &RestClient) -> Result<()> {
        let name = self.name.as_str();
        let path = format!("/connectors/{}/offsets", path_segment(name));
        let before: ConnectorOffsets = client.get(&path).await?;
        let number = before.offsets.unwrap_or_default().len();
        let what = format!(
            "{}: all offsets are deleted ({number} partitions), and everything is read again; the connector is stopped meanwhile",
            on_one_line(name)
        );
        confirm(&what, self.yes)?;
        let message = while_stopped(client, name, async || {
            let answer = client.send(Method::DELETE, &path, None).await?;
            Ok(answer.json::<Message>()?.message)
        })
        .await?;
        outln!("{}", on_one_line(&message));
        Ok(())
    }
}

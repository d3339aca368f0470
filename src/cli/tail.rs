//! `rowferry tail`: the records of a topic as they come.

use std::time::Duration;

use clap::Args;
use connector_api::Result;
use connector_api::shown::on_one_line;

use super::client::RestClient;
use super::output::OutputArgs;
use super::print::{lost, outln};
use super::shell::connector_names;
use super::show::time;
use crate::model::{RecordPage, ShownBytes, TopicRecord, path_segment, query_value};

/// How often new records are asked for.
const EVERY: Duration = Duration::from_millis(500);

/// `rowferry tail`.
#[derive(Args, Debug)]
pub(super) struct TailCommand {
    /// Name of the connector
    #[arg(add = connector_names())]
    name: String,
    /// The topic, if the connector has used several
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Number of records to begin with
    #[arg(short = 'n', long, default_value_t = 10, value_name = "NUMBER")]
    lines: usize,
    /// Begin with the first record of the topic
    #[arg(long, conflicts_with = "lines")]
    from_beginning: bool,
    /// Only records with this key: its text, its JSON, or some members of it
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// End after the records that are there
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl TailCommand {
    /// Prints records until standard output is closed. Errors: as [`RestClient::send`].
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        let mut from = match (self.from_beginning || self.key.is_some(), self.lines) {
            (true, _) => "begin".to_owned(),
            (false, 0) => "end".to_owned(),
            (false, _) => "last".to_owned(),
        };
        while lost().is_none() {
            let page = page(
                client,
                &self.name,
                self.topic.as_deref(),
                &from,
                self.limit(&from),
                self.key.as_deref(),
            )
            .await?;
            for record in &page.records {
                self.print(record);
            }
            from = page.next;
            if page.end {
                if self.once {
                    return Ok(());
                }
                tokio::time::sleep(EVERY).await;
            }
        }
        Ok(())
    }

    fn limit(&self, from: &str) -> usize {
        if from == "last" { self.lines } else { 500 }
    }

    fn print(&self, record: &TopicRecord) {
        if self.output.is_document() {
            self.output.one_of_many(&serde_json::json!(record));
            return;
        }
        let at = record.timestamp.map(time).unwrap_or_default();
        outln!(
            "{}:{}  {at}  {}  {}",
            record.partition,
            record.offset,
            on_one_line(&shown(record.key.as_ref())),
            on_one_line(&shown(record.value.as_ref()))
        );
    }
}

/// Returns a page of records.
pub(super) async fn page(
    client: &RestClient,
    name: &str,
    topic: Option<&str>,
    from: &str,
    limit: usize,
    key: Option<&str>,
) -> Result<RecordPage> {
    let mut path = format!(
        "/v1/connectors/{}/records?from={from}&limit={limit}",
        path_segment(name)
    );
    for (parameter, value) in [("topic", topic), ("key", key)] {
        if let Some(value) = value {
            path.push_str(&format!("&{parameter}={}", query_value(value)));
        }
    }
    client.get(&path).await
}

/// Returns a key or value for people, with `-` for none.
pub(super) fn shown(part: Option<&ShownBytes>) -> String {
    part.map_or_else(|| "-".to_owned(), shown_bytes)
}

/// Returns bytes as what they are: data, text, or base64.
pub(super) fn shown_bytes(bytes: &ShownBytes) -> String {
    match bytes {
        ShownBytes {
            data: Some(data), ..
        } => data.to_string(),
        ShownBytes {
            text: Some(text), ..
        } => text.clone(),
        ShownBytes { base64, .. } => {
            format!("base64 {}", base64.as_deref().unwrap_or_default())
        }
    }
}

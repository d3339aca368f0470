//! `rowferry logs`: the log lines of a connector.

use std::time::Duration;

use clap::Args;
use connector_api::Result;
use connector_api::shown::on_one_line;

use super::client::RestClient;
use super::output::OutputArgs;
use super::print::{lost, outln};
use super::shell::connector_names;
use super::show::time;
use crate::http::Method;
use crate::model::{ConnectorLevel, ConnectorLines, path_segment, query_value};

/// How often new lines are asked for.
const EVERY: Duration = Duration::from_secs(1);

/// `rowferry logs`.
#[derive(Args, Debug)]
pub(super) struct LogsCommand {
    /// Name of the connector
    #[arg(add = connector_names())]
    name: String,
    /// Number of lines to begin with
    #[arg(short = 'n', long, default_value_t = 50, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=500))]
    lines: u32,
    /// Go on with new lines as they come
    #[arg(short = 'f', long)]
    follow: bool,
    /// Least important level to show
    #[arg(long, default_value = "TRACE", value_name = "LEVEL")]
    level: String,
    /// Set the level of the connector on the worker, for the time of --seconds, instead of showing lines
    #[arg(long, value_name = "LEVEL", conflicts_with_all = ["follow", "lines", "level"])]
    set_level: Option<String>,
    /// Time of --set-level
    #[arg(
        long,
        default_value_t = 600,
        value_name = "SECONDS",
        requires = "set_level"
    )]
    seconds: u64,
    #[command(flatten)]
    output: OutputArgs,
}

impl LogsCommand {
    /// Prints lines, or sets the level. Errors: as [`RestClient::send`].
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        let path = format!("/v1/connectors/{}/logs", path_segment(&self.name));
        if let Some(level) = &self.set_level {
            let body = ConnectorLevel {
                level: level.clone(),
                seconds: self.seconds,
            };
            let body = serde_json::json!(body);
            client
                .send(Method::PUT, &format!("{path}/level"), Some(&body))
                .await?;
            outln!(
                "{} logs at level {} for {} s",
                on_one_line(&self.name),
                on_one_line(level),
                self.seconds
            );
            return Ok(());
        }
        let (mut after, mut limit) = (0, self.lines);
        while lost().is_none() {
            let level = query_value(&self.level);
            let query = format!("{path}?after={after}&limit={limit}&level={level}");
            let page: ConnectorLines = client.get(&query).await?;
            self.print(&page);
            if !self.follow {
                break;
            }
            (after, limit) = (page.next, 500);
            tokio::time::sleep(EVERY).await;
        }
        Ok(())
    }

    fn print(&self, page: &ConnectorLines) {
        for line in &page.lines {
            if self.output.is_document() {
                self.output.one_of_many(&serde_json::json!(line));
                continue;
            }
            let task = line
                .task
                .map(|task| format!(" task {task}"))
                .unwrap_or_default();
            let count = match line.count {
                1 => String::new(),
                count => format!(" ({count} times since {})", time(line.first)),
            };
            outln!(
                "{} {:5}{task} {}{count}",
                time(line.timestamp),
                on_one_line(&line.level),
                on_one_line(&line.text)
            );
        }
    }
}
